// SPDX-License-Identifier: Apache-2.0
/*
 * What people are told of an engine page that fails, and when: each thing once until a page is good
 * again, and nothing twice in other words. Connections fail while pods come and go, and engines
 * answer errors while they load (llama.cpp's 503): only what time does not mend is an Event at
 * once. Plain state.
 */
#pragma once

#include <stdint.h>

// Each says more than the one before.
enum page_trouble {
    PAGE_NOTHING, // nothing new
    PAGE_FAILS,   // for the log
    PAGE_ERRS,    // it has failed for maxAge, and the engine (or a proxy) answers: an Event
    PAGE_REFUSES, // 401, 403, 404: an Event at once
};

struct page_failure {
    enum page_trouble told;
    int64_t since_ns; // of the first failure after a good page, or ever; 0: none yet
};

// One more failure. `failure`: enum scrape_failure; `code`: its error's. What to tell now.
enum page_trouble page_failure_take(struct page_failure *f, int failure, int code, int64_t now_ns,
                                    int64_t max_age_ns);

// What to do about a status, "" when only its words say it.
const char *page_failure_remedy(int failure, int code);
