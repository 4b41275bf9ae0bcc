// SPDX-License-Identifier: Apache-2.0
/*
 * What a run finds out. Values go to the figures of the current interval alone; at its end these
 * are added to the course over time and to the whole.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "core/metrics/hdr.h"

enum load_error {
    LOAD_ERROR_REFUSED,  // nobody listens there
    LOAD_ERROR_RESET,    // the connection ended before the answer did
    LOAD_ERROR_TIMEOUT,  // --timeout passed since the intended send time
    LOAD_ERROR_STATUS,   // a complete answer with 4xx or 5xx
    LOAD_ERROR_PROTOCOL, // bytes that are no HTTP answer
    LOAD_ERROR_TLS,      // the handshake failed
    LOAD_ERROR_OTHER,    // no route, no port, no memory
    LOAD_ERROR_COUNT,
};
extern const char *const load_error_names[]; // "refused", ..., NULL

struct load_counts {
    uint64_t sent; // requests whose first byte left
    uint64_t done; // complete answers, 200 to 399
    uint64_t errors[LOAD_ERROR_COUNT];
    uint64_t waited;   // for a connection
    uint64_t opened;   // connections
    uint64_t bytes_in; // of answers, as they came
    uint64_t bytes_out;
    uint64_t tokens;          // events of streams
    uint64_t answered_tokens; // asked for by requests that are done
};

// Nanoseconds. Latencies are those of `done` requests.
struct load_figures {
    struct load_counts counts;
    struct hdr latency; // intended send time to the answer's last byte
    struct hdr service; // real send time to the answer's last byte
    struct hdr late;    // intended send time to the real one
    struct hdr first;   // intended send time to the first event of a stream
    struct hdr between; // two events of a stream
};

// A stretch of the run, at its end.
struct load_row {
    double end_s, seconds;
    uint64_t sent, done, errors;
    uint32_t in_flight;
    uint64_t count; // of latencies; 0: the following are 0
    uint64_t p50_ns, p95_ns, p99_ns, max_ns;
    uint64_t first_p50_ns, first_p95_ns;
    uint64_t first_count;
};

struct load_record {
    struct load_figures now, stretch, whole; // the current interval, the current row, all
    struct load_row *rows;
    size_t n_rows, max_rows;
    int64_t interval_ns, row_ns; // a row is one interval or several
    int64_t row_start_ns;        // of the current one
    uint64_t statuses[600];
    char first_errors[LOAD_ERROR_COUNT][160]; // what the first of each kind said
};

// `longest_ns`: the highest latency that can be told; `run_ns`: how long the run lasts at most,
// from which the length of rows follows. ERR_NOMEM.
int load_record_init(struct load_record *r, int64_t longest_ns, int64_t interval_ns, int64_t end_ns,
                     struct err *e);
void load_record_done(struct load_record *r);
void load_record_error(struct load_record *r, enum load_error kind, const char *what);
// The interval has ended at `at_ns` since the start: `now` (which the caller may have read) moves
// to the row and the whole, and begins anew. `last`: so has the run.
void load_record_turn(struct load_record *r, int64_t at_ns, uint32_t in_flight, bool last);
uint64_t load_counts_errors(const struct load_counts *c);
