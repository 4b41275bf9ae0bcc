// SPDX-License-Identifier: Apache-2.0
/* The demo's ending: one column a policy, and the same as JSON. Pure. */
#pragma once

#include "base/buf.h"

struct table_row { // of one policy
    const char *id, *label;
    double gpu_s, idle_gpu_s, usd;
    double p50_ms, p95_ms, p99_ms; // NAN: no request was answered
    int64_t errors, served, scale_events;
    bool whole; // false: its act was cut short
};

// At most 80 columns for three rows with labels up to 16.
int table_write(struct buf *out, const struct table_row *rows, size_t n);
// {"policies":[...]} without the braces around: the list alone.
int table_write_json(struct buf *out, const struct table_row *rows, size_t n);
// "1.24 s", "842 ms", "-" for NAN.
void table_format_ms(char *dst, size_t cap, double ms);
