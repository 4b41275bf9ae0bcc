// SPDX-License-Identifier: Apache-2.0
/* Event streams: what is an event, in every split. */
#include "unit.h"

#include "base/mem.h"
#include "load/sse.h"

static const struct {
    const char *text;
    unsigned events;
    bool done;
} rows[] = {
    {"", 0, false},
    {"data: a\n\n", 1, false},
    {"data:a\n\ndata: b\n\n", 2, false},
    {"data: a\r\n\r\ndata: b\r\n\r\n", 2, false},
    {"data: a\r\rdata: b\r\r", 2, false},
    {"data: a\ndata: b\n\n", 1, false},
    {"data: a\n", 0, false}, // not ended
    {"\n\n\n: comment\n\n", 0, false},
    {"event: ping\nid: 3\n\n", 0, false}, // without data
    {"event: x\ndata: {\"a\":1}\nid: 3\n\n", 1, false},
    {"dat: a\n\ndatax: b\n\n", 0, false},
    {"data\n\n", 0, false},
    {"data: a\n\ndata: [DONE]\n\n", 1, true},
    {"data:[DONE]\r\n\r\n", 0, true},
    {"data: [DONE] \n\n", 1, false},
    {"data: [DONE]\n", 0, false},
    {"data: a long line of more than sixteen bytes\n\n", 1, false},
    {"data: [DONE]x and more than sixteen bytes\n\n", 1, false},
};

static void events_are_counted_the_same_in_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t n = strlen(rows[i].text);
        for (size_t step = 1; step <= n + 1; step++)
            for (size_t first = 0; first <= n; first++) {
                struct sse s = {0};
                uint64_t told = sse_feed(&s, rows[i].text, first);
                for (size_t at = first; at < n; at += step) {
                    char *copy = malloc(step); // of its own: a sanitizer sees a read past it
                    size_t take = n - at < step ? n - at : step;
                    memcpy(copy, rows[i].text + at, take);
                    told += sse_feed(&s, copy, take);
                    free(copy);
                }
                if (s.events != rows[i].events || told != s.events || s.done != rows[i].done)
                    fail_msg("row %zu step %zu: %" PRIu64 " events, done %d", i, step, s.events,
                             s.done);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_counted_the_same_in_every_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
