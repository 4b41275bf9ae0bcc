// SPDX-License-Identifier: Apache-2.0
/*
 * The schedule that engines and demand endpoints share: a set of named targets, each fetched once
 * an interval at a phase of its own (a hash of its key: no herd), one request at a time, backing
 * off while the target is slow or fails (rendering a page costs an engine), recovering when it
 * answers. What the bytes mean is the owner's: it gives begin/feed/end. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "web/fetch.h"

enum { SCRAPE_BACKOFF_MAX = 6 }; // the interval grows to at most so many times itself

// What counters and labels say: the reasons of fetch_failure and two of ours.
enum scrape_failure {
    // 0 .. FETCH_FAILURE_MAX - 1: enum fetch_failure
    SCRAPE_PARSE = FETCH_FAILURE_MAX, // the page is malformed; the message holds the place
    SCRAPE_NOTHING,                   // a sound page without any of the metrics looked for
    SCRAPE_FAILURE_MAX,
};
const char *scrape_failure_name(int failure);

struct scrape_stats {
    size_t targets, in_flight, failing, backed_off; // now
    uint64_t scrapes;                               // ended, well or not
    uint64_t failures[SCRAPE_FAILURE_MAX];          // [FETCH_OK]: the good ones
    uint64_t bytes;
};

// One target as the status API shows it. Strings live until the call returns.
struct scrape_status {
    const char *key, *url; // url without credentials and query
    int64_t interval_ns;   // configured
    int64_t current_ns;    // with back-off
    int64_t good_at_ns;    // when the last good page was asked for; 0: never
    int64_t took_ns;       // of the last request
    unsigned failed;       // in a row
    int failure;           // the last one's reason; FETCH_OK: the last one was good
    const char *error;     // its sentence, ""
};
