// SPDX-License-Identifier: Apache-2.0
/*
 * What a query on a Prometheus server said: one number for the whole workload, or why there is
 * none. A failure does not take a number back: it ages, as every value does.
 */
#pragma once

#include "core/signal/total.h"

enum external_state {
    EXTERNAL_WAITING, // no answer yet
    EXTERNAL_GOOD,
    EXTERNAL_NO_SAMPLE,
    EXTERNAL_SEVERAL,   // more than one sample
    EXTERNAL_NAN,       // not a finite number
    EXTERNAL_NEGATIVE,  // no load is below zero
    EXTERNAL_TYPE,      // a matrix, a string, a histogram
    EXTERNAL_PARTIAL,   // the server warns: part of the data may be missing
    EXTERNAL_REFUSED,   // the server answers with an error: the query, or who we are
    EXTERNAL_NO_SECRET, // not asked: the token or password is not readable
    EXTERNAL_NO_ANSWER, // nobody answers, or not as Prometheus does
    EXTERNAL_STATE_MAX,
};
const char *external_state_name(enum external_state s);  // "noSample", for JSON and labels
const char *external_state_words(enum external_state s); // "the query gives no sample"

struct signal_external {
    double value;              // of the last good answer
    int64_t at_ns;             // when that was asked; SIGNAL_TIME_UNKNOWN: never
    enum external_state state; // of the newest answer
};

// The total of one query: known or unbounded upward. `x` NULL: nothing is known.
void signal_external_total(const struct signal_external *x, const struct signal_total_query *q,
                           struct signal_total *ret);
