// SPDX-License-Identifier: Apache-2.0
/*
 * What one pod's counters have counted since it became ready: increases, so that a counter that
 * begins again costs nothing, and marks of them 15 s apart, so that the last minute can be read.
 * For core/signal alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/signal/work.h"

enum { METER_MARKS = 8 };
#define METER_MARK_NS (15 * INT64_C(1000000000))

struct meter_totals {
    double work;     // tokens generated + WORK_PROMPT_WEIGHT x prompt tokens
    double finished; // requests
    double itl_sum_s, itl_count;
};

struct meter_mark {
    int64_t at_ns;
    struct meter_totals totals;
    double queue; // as it was then, 0 where the engine does not tell it
};

struct meter {
    bool started; // `raw` was seen
    uint8_t head, n;
    struct meter_totals raw, totals;
    struct meter_mark newest; // of the last page that had all
    struct meter_mark marks[METER_MARKS];
};

// The next page begins a new count. What was counted stays nowhere.
void meter_clear(struct meter *m);

// Takes a page. *ret is what was counted since the last one, all 0 for the first. False: the page
// lacks one of the engine's counters (bits of `provides`), nothing is known of this stretch.
bool meter_page(struct meter *m, const struct engine_sample *s, uint32_t provides, int64_t at_ns,
                struct meter_totals *ret);

// What was counted over about the last minute (45 to 75 s up to the newest page, which must not be
// older than 15 s at now_ns), in *ret_s seconds. *ret_queue: the smaller queue of its two ends.
// False: not so long without a reset or a hole.
bool meter_minute(const struct meter *m, int64_t now_ns, struct meter_totals *ret, double *ret_s,
                  double *ret_queue);
