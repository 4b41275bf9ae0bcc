// SPDX-License-Identifier: Apache-2.0
/*
 * What `gpuscale load --progress json` prints, a line an interval: counters since the start,
 * latencies of the interval, in the last line of the whole run. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct progress {
    double t_s;
    int64_t sent, done, in_flight; // done: answered well
    int64_t errors;                // of all kinds
    double p50_ms, p95_ms, p99_ms; // NAN: no request ended
    bool final;
};

// One line. ERR_PARSE: it is not one, with what is missing.
int progress_parse(struct progress *ret, struct str line, struct err *e);
