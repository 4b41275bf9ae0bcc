// SPDX-License-Identifier: Apache-2.0
/*
 * What a request costs the CPU of an inference server: HTTP, JSON and validation, the tokenizer,
 * and for each token that is streamed its text and its event. Measured with real servers'
 * libraries by tests/bench/bench_server_cpu.py; docs/mock-engine.md has date, versions and parts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct cpu_cost {
    const char *name, *title, *source;
    double request_us;        // HTTP, JSON, validation, the answer's head and end
    double stream_us;         // more where the answer is streamed
    double prompt_token_us;   // tokenizer
    double output_token_us;   // detokenizer and the answer, whole
    double streamed_token_us; // the same, with an event for each token
};

extern const struct cpu_cost cpu_costs[]; // [0] is the default
extern const unsigned cpu_costs_n;

// ERR_NOTFOUND names those there are and the nearest.
int cpu_cost_find(struct str name, const struct cpu_cost **ret, struct err *e);
// Before the request can be scheduled.
double cpu_cost_prompt_us(const struct cpu_cost *c, uint32_t prompt_tokens);
// For n tokens more of the answer; `first`: the answer begins with them.
double cpu_cost_output_us(const struct cpu_cost *c, uint32_t n, bool streamed, bool first);
