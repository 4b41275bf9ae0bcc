// SPDX-License-Identifier: Apache-2.0
/* The log of a run: what a late reader is told, what goes when it is full, what a report holds. */
#include "report_unit.h"

enum { ROOMY = 1 << 20 };

static struct live *log_with(size_t max_bytes, enum live_keep keep, int frames) {
    struct live *l = live_new(max_bytes, keep);
    struct frame_hello h = unit_hello("r1");
    assert_int_equal(live_hello(l, &h), 0);
    for (int i = 0; i < frames; i++) {
        struct frame f = unit_frame("cpu", i);
        assert_int_equal(live_frame(l, &f), 0);
    }
    return l;
}

static double t_of(struct str event) {
    const char *data = memmem(event.p, event.n, "\"tS\":", 5);
    return data ? strtod(data + 5, NULL) : NAN;
}

static bool is_event(struct str event, const char *name) {
    char want[32];
    snprintf(want, sizeof(want), "\nevent: %s\n", name);
    return memmem(event.p, event.n, want, strlen(want)) != NULL;
}

static void a_late_reader_is_told_everything_in_order(void **state) {
    struct live *l = log_with(ROOMY, LIVE_THIN, 100);
    struct live_cursor c = {0};
    struct str event;
    assert_true(live_next(l, &c, &event));
    assert_true(is_event(event, "hello"));
    for (int i = 0; i < 100; i++) {
        assert_true(live_next(l, &c, &event));
        assert_true(is_event(event, "frame"));
        assert_true(t_of(event) == i);
        assert_true(str_starts(event, "id: ") && str_ends(event, "}\n\n"));
    }
    assert_false(live_next(l, &c, &event));
    const struct frame_end end = {0};
    assert_false(live_ended(l));
    assert_int_equal(live_end(l, &end), 0);
    assert_true(live_ended(l));
    assert_true(live_next(l, &c, &event));
    assert_true(is_event(event, "end"));
    assert_false(live_next(l, &c, &event));
    live_free(l);
}

static void before_the_hello_there_is_nothing(void **state) {
    struct live *l = live_new(ROOMY, LIVE_THIN);
    struct live_cursor c = {0};
    struct str event;
    CLEANUP_BUF struct buf b;
    buf_init(&b, ROOMY);
    assert_false(live_next(l, &c, &event));
    assert_int_equal(live_json(&b, l), ERR_NOTFOUND);
    live_free(l);
}

static void a_full_run_keeps_its_whole_course_and_every_decision(void **state) {
    enum { MAX = 64 << 10 };
    struct live *l = log_with(MAX, LIVE_THIN, 0);
    for (int i = 0; i < 2000; i++) {
        struct frame_decision d = {i, "HPA", 3, "three"};
        struct frame f = unit_frame("cpu", i);
        f.decisions = &d, f.decision_n = i % 100 == 7;
        assert_int_equal(live_frame(l, &f), 0);
    }
    struct live_cursor c = {0};
    struct str event;
    size_t bytes = 0, decided = 0, kept = 0;
    double before = -1, widest = 0, first = -1;
    while (live_next(l, &c, &event)) {
        bytes += event.n;
        if (!is_event(event, "frame"))
            continue;
        kept++;
        decided += memmem(event.p, event.n, "\"three\"", 7) != NULL;
        double t = t_of(event);
        assert_true(t > before);
        if (first < 0)
            first = t;
        if (before >= 0 && t - before > widest)
            widest = t - before;
        before = t;
    }
    assert_true(bytes <= MAX + 1024); // the hello is kept twice
    assert_int_equal(kept, live_frames(l));
    assert_int_equal(decided, 20);
    assert_true(first == 0 && before == 1999);
    assert_true(kept > 30 && widest < 128);
    live_free(l);
}

static void a_scalers_log_keeps_the_last_and_a_slow_reader_skips(void **state) {
    enum { MAX = 64 << 10 };
    struct live *l = log_with(MAX, LIVE_LAST, 3);
    struct live_cursor slow = {0}, late = {0};
    struct str event;
    for (int i = 0; i < 2; i++)
        assert_true(live_next(l, &slow, &event));
    for (int i = 3; i < 2000; i++) {
        struct frame f = unit_frame("cpu", i);
        assert_int_equal(live_frame(l, &f), 0);
    }
    assert_true(live_next(l, &slow, &event)); // goes on where the log still has something
    double t = t_of(event);
    assert_true(t > 1000);
    size_t n = 1;
    while (live_next(l, &slow, &event)) {
        assert_true(t_of(event) == t + 1);
        t++;
        n++;
    }
    assert_true(t == 1999);
    assert_int_equal(n, live_frames(l));
    assert_true(live_next(l, &late, &event));
    assert_true(is_event(event, "hello"));
    live_free(l);
}

static void another_hello_of_the_run_keeps_its_frames(void **state) {
    struct live *l = log_with(ROOMY, LIVE_LAST, 3);
    struct live_cursor c = {0}, late = {0};
    struct str event;
    for (int i = 0; i < 4; i++)
        assert_true(live_next(l, &c, &event));
    struct frame_hello h = unit_hello("r1");
    h.title = "another";
    assert_int_equal(live_hello(l, &h), 0);
    assert_int_equal(live_frames(l), 3);
    assert_true(live_next(l, &c, &event));
    assert_true(is_event(event, "hello") && memmem(event.p, event.n, "another", 7) != NULL);
    assert_false(live_next(l, &c, &event));
    int hellos = 0, frames = 0;
    while (live_next(l, &late, &event)) {
        hellos += is_event(event, "hello");
        frames += is_event(event, "frame");
        assert_null(memmem(event.p, event.n, "a test", 6));
    }
    assert_int_equal(hellos, 1);
    assert_int_equal(frames, 3);
    live_free(l);
}

static void another_run_begins_anew(void **state) {
    struct live *l = log_with(ROOMY, LIVE_THIN, 3);
    const struct frame_end end = {0};
    assert_int_equal(live_end(l, &end), 0);
    struct live_cursor c = {0};
    struct str event;
    while (live_next(l, &c, &event))
        ;
    struct frame_hello h = unit_hello("r2");
    assert_int_equal(live_hello(l, &h), 0);
    assert_false(live_ended(l));
    assert_int_equal(live_frames(l), 0);
    assert_true(live_next(l, &c, &event));
    assert_true(is_event(event, "hello"));
    assert_false(live_next(l, &c, &event));
    live_free(l);
}

static void what_is_too_large_leaves_the_log_as_it_was(void **state) {
    struct live *l = log_with(ROOMY, LIVE_THIN, 1);
    char *text = mem_zalloc(LIMIT_LIVE_EVENT_BYTES + 1);
    memset(text, 'x', LIMIT_LIVE_EVENT_BYTES);
    struct frame f = unit_frame(text, 1);
    assert_int_equal(live_frame(l, &f), ERR_LIMIT);
    struct frame_hello h = unit_hello("r2");
    h.title = text;
    assert_int_equal(live_hello(l, &h), ERR_LIMIT);
    assert_int_equal(live_frames(l), 1);
    mem_free(text);
    live_free(l);
}

static void every_allocation_may_fail(void **state) {
    for (long n = 1; n < 40; n++) {
        mem_fail_from(n);
        struct live *l = live_new(ROOMY, LIVE_THIN);
        struct frame_hello h = unit_hello("r1");
        struct frame f = unit_frame("cpu", 1);
        const struct frame_end end = {0};
        int rc = l ? live_hello(l, &h) : ERR_NOMEM;
        rc = rc == 0 ? live_frame(l, &f) : rc;
        rc = rc == 0 ? live_end(l, &end) : rc;
        mem_fail_never();
        assert_true(rc == 0 || rc == ERR_NOMEM);
        if (l != NULL && rc < 0) { // goes on when there is memory again
            assert_int_equal(live_hello(l, &h), 0);
            assert_int_equal(live_frame(l, &f), 0);
            assert_int_equal(live_end(l, &end), 0);
        }
        live_free(l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_reader_is_told_everything_in_order),
        cmocka_unit_test(before_the_hello_there_is_nothing),
        cmocka_unit_test(a_full_run_keeps_its_whole_course_and_every_decision),
        cmocka_unit_test(a_scalers_log_keeps_the_last_and_a_slow_reader_skips),
        cmocka_unit_test(another_hello_of_the_run_keeps_its_frames),
        cmocka_unit_test(another_run_begins_anew),
        cmocka_unit_test(what_is_too_large_leaves_the_log_as_it_was),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
