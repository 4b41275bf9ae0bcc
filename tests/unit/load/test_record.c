// SPDX-License-Identifier: Apache-2.0
/* Figures of intervals: what is added up where, and how long the course's rows are. */
#include "unit.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "load/record.h"

static void an_interval_s_figures_move_to_its_row_and_to_the_whole(void **state) {
    struct load_record r;
    struct err e = {0};
    assert_int_equal(load_record_init(&r, 60 * NS_PER_S, NS_PER_S, 10 * NS_PER_S, &e), 0);
    for (int i = 1; i <= 3; i++) {
        r.now.counts.sent += 10;
        r.now.counts.done += (uint64_t)i;
        for (int k = 0; k < i; k++)
            hdr_add(&r.now.latency, (uint64_t)(i * 1000));
        hdr_add(&r.now.first, 5);
        load_record_error(&r, LOAD_ERROR_RESET, i == 1 ? "one" : "two");
        load_record_turn(&r, i * NS_PER_S + 1000, (uint32_t)i, false);
        assert_int_equal(r.now.counts.sent, 0);
        assert_int_equal(r.now.latency.count, 0);
    }
    r.now.counts.sent = 7;
    load_record_turn(&r, 3 * NS_PER_S + NS_PER_S / 4, 0, true);
    assert_int_equal(r.n_rows, 4);
    assert_int_equal(r.rows[1].done, 2);
    assert_int_equal(r.rows[1].count, 2);
    assert_int_equal(r.rows[1].max_ns, 2000);
    assert_int_equal(r.rows[1].errors, 1);
    assert_int_equal(r.rows[1].in_flight, 2);
    assert_int_equal(r.rows[3].sent, 7);
    assert_true(r.rows[3].seconds < 0.26 && r.rows[3].count == 0);
    assert_int_equal(r.whole.counts.sent, 37);
    assert_int_equal(r.whole.latency.count, 6);
    assert_int_equal(r.whole.first.count, 3);
    assert_int_equal(load_counts_errors(&r.whole.counts), 3);
    assert_string_equal(r.first_errors[LOAD_ERROR_RESET], "one");
    load_record_done(&r);
}

// Whatever the run's length: rows of whole intervals, and none is lost.
static void long_runs_have_longer_rows_and_never_too_many(void **state) {
    static const struct {
        int64_t interval_ms, run_s, row_ms;
    } rows[] = {
        {1000, 10, 1000}, {1000, 2400, 1000}, {1000, 2401, 2000},     {1000, 24000, 10000},
        {10, 24, 10},     {10, 25, 20},       {3600000, 10, 3600000},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct load_record r;
        struct err e = {0};
        int64_t every = rows[i].interval_ms * NS_PER_MS, end = rows[i].run_s * NS_PER_S, at = 0;
        assert_int_equal(load_record_init(&r, NS_PER_S, every, end, &e), 0);
        assert_int_equal(r.row_ns, rows[i].row_ms * NS_PER_MS);
        while (at + every < end) {
            at += every;
            r.now.counts.done++;
            load_record_turn(&r, at + (at / every % 3) * 1000, 0, false); // a little late
        }
        load_record_turn(&r, end, 0, true);
        assert_true(r.n_rows <= LIMIT_LOAD_ROWS + 1);
        assert_int_equal(r.rows[r.n_rows - 1].end_s, rows[i].run_s);
        uint64_t done = 0;
        for (size_t k = 0; k < r.n_rows; k++) {
            done += r.rows[k].done;
            assert_true(k + 1 == r.n_rows ||
                        (r.rows[k].seconds > (double)r.row_ns / NS_PER_S * 0.9 &&
                         r.rows[k].seconds < (double)r.row_ns / NS_PER_S * 1.1));
        }
        assert_int_equal(done, r.whole.counts.done);
        load_record_done(&r);
    }
}

static void memory_that_ends_is_an_error(void **state) {
    for (long at = 1;; at++) {
        struct load_record r;
        struct err e = {0};
        mem_fail_from(at);
        int code = load_record_init(&r, NS_PER_S, NS_PER_S, NS_PER_S, &e);
        mem_fail_never();
        if (code == 0) {
            load_record_done(&r);
            assert_true(at > 10);
            return;
        }
        assert_int_equal(code, ERR_NOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_s_figures_move_to_its_row_and_to_the_whole),
        cmocka_unit_test(long_runs_have_longer_rows_and_never_too_many),
        cmocka_unit_test(memory_that_ends_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
