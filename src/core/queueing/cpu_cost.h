// SPDX-License-Identifier: Apache-2.0
/*
 * What a request costs the CPU of an inference server: HTTP, JSON and validation, the tokenizer,
 * and for each token that is streamed its text and its event. Measured with real servers'
 * libraries by tests/bench/bench_server_cpu.py; docs/engine.md has date, versions and parts.
 */
#pragma once

#include <stdint.h>

struct cpu_cost {
    const char *name, *title, *source;
    double request_us;        // HTTP, JSON, validation, routing, the answer's end
    double prompt_token_us;   // tokenizer
    double output_token_us;   // detokenizer and the response, not streamed
    double streamed_token_us; // the same, with an event for each token
    double busy_us_per_s;     // of the process while any request runs (scheduler's loop)
    double idle_us_per_s;     // while none does
};

extern const struct cpu_cost cpu_costs[]; // [0] is the default
extern const unsigned cpu_costs_n;

const struct cpu_cost *cpu_cost_find(const char *name); // NULL: none
// CPU of one request, without the loop's.
double cpu_cost_request_us(const struct cpu_cost *c, uint32_t prompt_tokens, uint32_t output_tokens,
                           int streamed);
