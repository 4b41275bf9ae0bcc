// SPDX-License-Identifier: Apache-2.0
/* The demo's run as the page gets it: read back from the report. */
#include "playground/feed.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "unit.h"

struct world {
    uv_loop_t loop;
    struct feed *feed;
    char path[64];
};

static void world_init(struct world *w) {
    static const enum driver_policy policies[] = {DRIVER_CPU, DRIVER_CLASSIC, DRIVER_GPUSCALE};
    static const struct plan plan = {.gpus = 8, .speed = 20, .act_ns = 40 * NS_PER_S};
    uv_loop_init(&w->loop);
    assert_int_equal(feed_open(&w->feed, &w->loop, NULL, NULL), 0);
    assert_int_equal(feed_hello(w->feed, &plan, policies, COUNT_OF(policies)), 0);
    (void)snprintf(w->path, sizeof(w->path), "/tmp/feed-%d.html", (int)getpid());
}

// The run inside the report.
static json_t *world_done(struct world *w) {
    static const char open[] = "<script type=\"application/json\" id=\"run\">";
    static char page[1 << 20];
    assert_int_equal(feed_write_report(w->feed, w->path, NULL), 0);
    FILE *f = fopen(w->path, "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    fclose(f);
    unlink(w->path);
    feed_close(w->feed);
    net_loop_drain_close(&w->loop);
    char *at = strstr(page, open);
    assert_non_null(at);
    at += strlen(open);
    *strstr(at, "</script>") = '\0';
    json_t *j = json_loads(at, 0, NULL);
    assert_non_null(j);
    return j;
}

static void add_second(struct world *w, enum driver_policy policy, int spec,
                       const struct driver_signal *signal) {
    struct driver_view driver = {.rule = "a rule", .n_signals = 1, .desired = spec};
    driver.signals[0] = *signal;
    struct act_view view = {.t_s = 1, .spec = spec, .driver = &driver};
    const struct feed_second s = {
        .policy = policy, .view = &view, .arriving = NAN, .served = NAN, .now_ns = 5 * NS_PER_S};
    assert_int_equal(feed_frame(w->feed, &s), 0);
}

static void a_signal_is_breached_where_it_asks_for_more_replicas_than_there_are(void **state) {
    (void)state;
    static const struct {
        enum driver_policy policy;
        int spec;
        struct driver_signal signal; // name, known, value, target, at_ns, proposal
        const char *state;
    } cases[] = {
        {DRIVER_CLASSIC, 2, {"gpu", true, 100, 55, NS_PER_S, 2}, "quiet"}, // 50 of each
        {DRIVER_CLASSIC, 1, {"gpu", true, 100, 55, NS_PER_S, 2}, "breached"},
        {DRIVER_CLASSIC, 2, {"queue", true, 15, 10, NS_PER_S, 2}, "quiet"}, // 7.5 of each
        {DRIVER_CLASSIC, 2, {"queue", true, 25, 10, NS_PER_S, 3}, "breached"},
        {DRIVER_CLASSIC, 2, {"queue", true, 25, 10, NS_PER_S, -1}, "unknown"}, // no sync yet
        {DRIVER_CLASSIC, 2, {"queue", false, 25, 10, NS_PER_S, 3}, "unknown"},
        {DRIVER_GPUSCALE, 4, {"desired", true, 4, 1, NS_PER_S, 4}, "quiet"},
        {DRIVER_GPUSCALE, 4, {"desired", true, 5, 1, NS_PER_S, 5}, "breached"},
        {DRIVER_CPU, 2, {"cpu", true, 71, 70, NS_PER_S, 2}, "breached"}, // an average already
        {DRIVER_CPU, 2, {"cpu", true, 69, 70, NS_PER_S, 2}, "quiet"},
        {DRIVER_CPU, 2, {"cpu", false, 71, 70, NS_PER_S, -1}, "unknown"},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        add_second(&w, cases[i].policy, cases[i].spec, &cases[i].signal);
    json_t *run = world_done(&w), *frames = json_object_get(run, "frames");
    assert_int_equal(json_array_size(frames), COUNT_OF(cases));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *rule = json_object_get(json_array_get(frames, i), "rule");
        json_t *signal = json_array_get(json_object_get(rule, "signals"), 0);
        const char *got = json_string_value(json_object_get(signal, "state"));
        if (strcmp(got, cases[i].state) != 0)
            fail_msg("case %zu is %s, not %s", i, got, cases[i].state);
    }
    json_decref(run);
}

static void the_end_tells_which_acts_were_cut_short(void **state) {
    (void)state;
    static const struct table_row rows[] = {
        {"cpu", "CPU 70 %", 40, 0.26, 0.03, 6140, 10740, 13160, 262, 485, 0, true},
        {"classic", "classic triggers", 10, 1, 0.01, 99, NAN, NAN, 0, 7, 8, false},
    };
    static const struct feed_file files[] = {{"report", "/tmp/a.html"}};
    struct world w;
    world_init(&w);
    assert_int_equal(feed_end(w.feed, rows, COUNT_OF(rows), files, COUNT_OF(files)), 0);
    json_t *run = world_done(&w), *end = json_object_get(run, "end");
    json_t *table = json_object_get(end, "table");
    assert_int_equal(json_array_size(table), 2);
    assert_true(json_is_true(json_object_get(json_array_get(table, 0), "whole")));
    assert_true(json_is_false(json_object_get(json_array_get(table, 1), "whole")));
    for (size_t i = 0; i < 2; i++) // the plan knows no SLO: none is told
        assert_true(json_is_null(json_object_get(json_array_get(table, i), "withinSloPct")));
    assert_string_equal(json_string_value(json_object_get(end, "slo")), "");
    json_decref(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_breached_where_it_asks_for_more_replicas_than_there_are),
        cmocka_unit_test(the_end_tells_which_acts_were_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
