// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

#include "base/mem.h"
#include "playground/screen.h"

static const struct driver_view driver = {
    .rule = "the average GPU utilization over 55 or the queue over 10",
    .signals = {{.name = "s0-prometheus", .known = true, .value = 97, .target = 55},
                {.name = "s1-prometheus", .known = false}},
    .n_signals = 2,
};

static const struct progress load = {
    .t_s = 12, .done = 240, .errors = 3, .p50_ms = 812, .p95_ms = 1240, .p99_ms = 2000};

static struct act_view view(void) {
    struct act_view v = {.t_s = 12.3,
                         .spec = 3,
                         .ready = 1,
                         .starting = 1,
                         .pending = 1,
                         .gpu_s = 20.5,
                         .idle_gpu_s = 4.5,
                         .waiting = 7,
                         .load = &load,
                         .driver = &driver,
                         .gpu_n = 2};
    v.gateway.in_flight = 9;
    v.gateway.held = 2;
    v.gpus[0] = (struct act_gpu){.pod = "llm-1", .state = ROSTER_READY, .requests = 9};
    gpu_reading_set(&v.gpus[0].reading, GPU_UTILIZATION_PCT, 97);
    v.gpus[1] = (struct act_gpu){.pod = "llm-2", .state = ROSTER_STARTING};
    return v;
}

static struct screen_frame frame(const struct act_view *v) {
    return (struct screen_frame){.label = "classic triggers",
                                 .act = 2,
                                 .acts = 3,
                                 .act_s = 40,
                                 .speed = 20,
                                 .usd_per_gpu_hour = 3,
                                 .arriving = 21.5,
                                 .served = 20,
                                 .view = v,
                                 .page = "http://127.0.0.1:1/"};
}

// Columns of the widest line; escape sequences have none.
static int widest(const char *text, int *ret_lines) {
    int best = 0, columns = 0;
    *ret_lines = 0;
    for (const char *c = text; *c; c++) {
        if (*c == '\033') {
            while (*c && !strchr("AKJm", *c))
                c++;
        } else if (*c == '\n') {
            best = columns > best ? columns : best;
            columns = 0;
            ++*ret_lines;
        } else if (*c != '\r' && ((unsigned char)*c & 0xc0) != 0x80) {
            columns++;
        }
    }
    return best;
}

static void the_screen_fits_its_width_and_says_what_it_knows(void **state) {
    (void)state;
    static const int widths[] = {20, 80, 120};
    struct act_view v = view();
    struct screen_frame f = frame(&v);
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        static struct screen s;
        int lines;
        s = (struct screen){.columns = widths[i]};
        screen_begin_act(&s);
        for (int k = 0; k < 400; k++)
            screen_add_second(&s, k % 40, k % 3);
        for (int k = 0; k < 10; k++)
            screen_add_event(&s, k, "HPA",
                             "a long\nsentence that says why there are now more "
                             "replicas than before, and which signal said so");
        CLEANUP_BUF struct buf b;
        buf_init(&b, 64 << 10);
        assert_int_equal(screen_draw(&s, &b, &f), 0);
        assert_int_equal(buf_add_byte(&b, '\0'), 0);
        assert_true(widest(b.p, &lines) <= widths[i]);
        assert_int_equal(lines, s.drawn);
        if (widths[i] < 80)
            continue;
        static const char *const said[] = {"act 2 of 3: classic triggers",
                                           "21.5/s arrive",
                                           "p95 1.24 s",
                                           "s0-prometheus 97 (target 55)",
                                           "s1-prometheus unknown",
                                           "llm-2",
                                           "loads",
                                           "9 requests",
                                           "3 errors",
                                           "20.5 GPU-s"};
        for (size_t k = 0; k < COUNT_OF(said); k++)
            assert_non_null(strstr(b.p, said[k]));
        assert_null(strstr(b.p, "\033[31m")); // no colour was asked for
        assert_non_null(strstr(b.p, "GPU 1   llm-2    loads    ?"));
    }
}

static void it_is_drawn_over_the_last_one(void **state) {
    (void)state;
    static struct screen s = {.columns = 80};
    struct act_view v = view();
    struct screen_frame f = frame(&v);
    CLEANUP_BUF struct buf first, second;
    buf_init(&first, 64 << 10);
    buf_init(&second, 64 << 10);
    assert_int_equal(screen_draw(&s, &first, &f), 0);
    char up[16];
    snprintf(up, sizeof(up), "\033[%dA\r", s.drawn);
    assert_int_equal(screen_draw(&s, &second, &f), 0);
    assert_memory_equal(second.p, up, strlen(up));
}

static void what_is_not_known_yet_is_no_zero(void **state) {
    (void)state;
    static struct screen s = {.columns = 80};
    struct act_view v = view();
    struct screen_frame f = frame(&v);
    f.arriving = f.served = NAN;
    screen_add_second(&s, NAN, 1);
    screen_add_second(&s, 4, NAN);
    screen_add_second(&s, 8, 2);
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    assert_int_equal(screen_draw(&s, &b, &f), 0);
    assert_int_equal(screen_row(&s, &b, &f), 0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    assert_non_null(strstr(b.p, "requests       -/s arrive      -/s served   9 under way"));
    assert_non_null(strstr(b.p, "load       ?▄█\033"));
    assert_non_null(strstr(b.p, "replicas   ▄?█\033"));
    assert_non_null(strstr(b.p, "  12 s         -         -          9     2"));
    assert_null(strstr(b.p, "nan"));
}

static void plain_lines_have_a_heading_and_wrap(void **state) {
    (void)state;
    static struct screen s = {.columns = 80};
    struct act_view v = view();
    struct screen_frame f = frame(&v);
    int lines;
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    assert_int_equal(screen_row(&s, &b, &f), 0);
    assert_int_equal(screen_row(&s, &b, &f), 0);
    assert_int_equal(
        screen_event_line(&b, 12, "gpuscale",
                          "3 replicas: requestRate 30/s at 12/s each needs 3; kvCache 0.1 at 0.85 "
                          "each is quiet; raised from 2.",
                          80),
        0);
    assert_int_equal(buf_add_byte(&b, '\0'), 0);
    assert_true(widest(b.p, &lines) <= 100);
    assert_int_equal(lines, 1 + 2 + 2);
    assert_non_null(strstr(b.p, "  12 s  gpuscale: 3 replicas: requestRate"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_screen_fits_its_width_and_says_what_it_knows),
        cmocka_unit_test(it_is_drawn_over_the_last_one),
        cmocka_unit_test(what_is_not_known_yet_is_no_zero),
        cmocka_unit_test(plain_lines_have_a_heading_and_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
