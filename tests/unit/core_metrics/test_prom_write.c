// SPDX-License-Identifier: Apache-2.0
/* The encoder: bytes as the format has them, and what is written is read back the same. */
#include "prom_dump.h"

#include "base/mem.h"
#include "base/random.h"
#include "core/metrics/histogram.h"
#include "core/metrics/prom_write.h"

#define LABEL(n, v) ((struct prom_label){STR(n), STR(v)})

static void test_head_once_a_family_and_doubles_as_prometheus_prints_them(void **state) {
    CLEANUP_BUF struct buf out;
    struct prom_writer w;
    buf_init(&out, 4096);
    prom_writer_init(&w, &out, PROM_TEXT);
    struct prom_label l[] = {LABEL("gpu", "0"), LABEL("UUID", "GPU-1")};
    prom_family(&w, "a_watts", PROM_GAUGE, "Power \\ drawn\nnow.");
    prom_sample(&w, l, 2, 312.5);
    prom_sample(&w, NULL, 0, 1e21);
    prom_family(&w, "b_total", PROM_COUNTER, NULL);
    prom_sample_u64(&w, l, 1, UINT64_MAX);
    prom_sample(&w, l, 1, INFINITY);
    assert_int_equal(prom_writer_end(&w), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "# HELP a_watts Power \\\\ drawn\\nnow.\n"
                               "# TYPE a_watts gauge\n"
                               "a_watts{gpu=\"0\",UUID=\"GPU-1\"} 312.5\n"
                               "a_watts 1e+21\n"
                               "# TYPE b_total counter\n"
                               "b_total{gpu=\"0\"} 18446744073709551615\n"
                               "b_total{gpu=\"0\"} +Inf\n");
}

static void test_openmetrics_names_types_and_units_are_its_own(void **state) {
    static const double bounds[] = {0.001, 1, 2.5, 1e6};
    CLEANUP_BUF struct buf out;
    struct prom_writer w;
    struct histogram h;
    struct prom_label l = LABEL("gpu", "0");
    histogram_init(&h, bounds, 4);
    histogram_add(&h, 2);
    buf_init(&out, 4096);
    prom_writer_init(&w, &out, PROM_OPENMETRICS);
    prom_family(&w, "a_joules_total", PROM_COUNTER, "A \"counter\".");
    prom_sample(&w, &l, 1, 1e6);
    prom_family(&w, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", PROM_COUNTER, NULL);
    prom_sample_u64(&w, &l, 1, 7);
    prom_family(&w, "_total", PROM_COUNTER, NULL); // nothing would be left of its name
    prom_sample_u64(&w, NULL, 0, 1);
    prom_family(&w, "b_info", PROM_INFO, NULL);
    prom_sample(&w, &l, 1, 1);
    prom_family(&w, "c", PROM_UNTYPED, NULL);
    prom_sample(&w, NULL, 0, 2);
    prom_family(&w, "nanoseconds", PROM_GAUGE, NULL); // ends with a unit that is not a word of it
    prom_sample(&w, NULL, 0, 2);
    prom_family(&w, "d_seconds", PROM_HISTOGRAM, NULL);
    prom_sample_histogram(&w, NULL, 0, &h);
    prom_family(&w, "never", PROM_GAUGE, NULL);
    prom_sample(&w, NULL, 0, NAN);
    assert_int_equal(prom_writer_end(&w), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "# HELP a_joules A \\\"counter\\\".\n"
                               "# TYPE a_joules counter\n"
                               "# UNIT a_joules joules\n"
                               "a_joules_total{gpu=\"0\"} 1e+06\n"
                               "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION unknown\n"
                               "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\"} 7\n"
                               "# TYPE _total unknown\n"
                               "_total 1\n"
                               "# TYPE b info\n"
                               "b_info{gpu=\"0\"} 1\n"
                               "# TYPE c unknown\n"
                               "c 2\n"
                               "# TYPE nanoseconds gauge\n"
                               "nanoseconds 2\n"
                               "# TYPE d_seconds histogram\n"
                               "# UNIT d_seconds seconds\n"
                               "d_seconds_bucket{le=\"0.001\"} 0\n"
                               "d_seconds_bucket{le=\"1.0\"} 0\n"
                               "d_seconds_bucket{le=\"2.5\"} 1\n"
                               "d_seconds_bucket{le=\"1e+06\"} 1\n"
                               "d_seconds_bucket{le=\"+Inf\"} 1\n"
                               "d_seconds_sum 2\n"
                               "d_seconds_count 1\n"
                               "# EOF\n");
}

static void test_an_info_is_a_gauge_in_the_text_format(void **state) {
    CLEANUP_BUF struct buf out;
    struct prom_writer w;
    buf_init(&out, 4096);
    prom_writer_init(&w, &out, PROM_TEXT);
    prom_family(&w, "b_info", PROM_INFO, "\"B\".");
    prom_sample(&w, NULL, 0, 1);
    assert_int_equal(prom_writer_end(&w), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "# HELP b_info \"B\".\n# TYPE b_info gauge\nb_info 1\n");
}

static void test_unknown_values_and_families_switched_off_leave_no_trace(void **state) {
    CLEANUP_BUF struct buf out;
    struct prom_writer w;
    buf_init(&out, 4096);
    prom_writer_init(&w, &out, PROM_TEXT);
    prom_family(&w, "a", PROM_GAUGE, "Never known.");
    prom_sample(&w, NULL, 0, NAN);
    prom_sample_text(&w, STR("x=\"y\""), NAN);
    prom_family_if(&w, false, "b", PROM_GAUGE, "Off.");
    prom_sample(&w, NULL, 0, 1);
    prom_sample_u64(&w, NULL, 0, 1);
    prom_sample_text(&w, STR("x=\"y\""), 1);
    prom_family_if(&w, true, "c", PROM_UNTYPED, NULL);
    prom_sample(&w, NULL, 0, NAN);
    prom_sample(&w, NULL, 0, 2);
    assert_int_equal(prom_writer_end(&w), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "# TYPE c untyped\nc 2\n");
}

static void test_label_values_are_escaped_and_made_valid_utf8(void **state) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, 4096);
    struct prom_label l[] = {LABEL("q", "\"\\\n"), LABEL("bad", "a\xff\xc3"),
                             LABEL("good", "\xc3\xa9"), LABEL("nul", "x\0y"), LABEL("empty", "")};
    assert_int_equal(prom_labels_encode(&out, l, 5), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p,
                        "q=\"\\\"\\\\\\n\",bad=\"a\xef\xbf\xbd\xef\xbf\xbd\",good=\"\xc3\xa9\","
                        "nul=\"x\xef\xbf\xbdy\",empty=\"\"");
}

static void test_a_histogram_is_cumulative_with_le_last_and_inf_as_count(void **state) {
    static const double bounds[] = {0.5, 1};
    CLEANUP_BUF struct buf out;
    struct prom_writer w;
    struct histogram h;
    struct prom_label l = LABEL("m", "x");
    histogram_init(&h, bounds, 2);
    histogram_add(&h, 0.25);
    histogram_add(&h, 0.75);
    histogram_add(&h, 3);
    buf_init(&out, 4096);
    prom_writer_init(&w, &out, PROM_TEXT);
    prom_family(&w, "d_seconds", PROM_HISTOGRAM, NULL);
    prom_sample_histogram(&w, &l, 1, &h);
    prom_sample_histogram(&w, NULL, 0, &h);
    assert_int_equal(prom_writer_end(&w), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    assert_string_equal(out.p, "# TYPE d_seconds histogram\n"
                               "d_seconds_bucket{m=\"x\",le=\"0.5\"} 1\n"
                               "d_seconds_bucket{m=\"x\",le=\"1\"} 2\n"
                               "d_seconds_bucket{m=\"x\",le=\"+Inf\"} 3\n"
                               "d_seconds_sum{m=\"x\"} 4\n"
                               "d_seconds_count{m=\"x\"} 3\n"
                               "d_seconds_bucket{le=\"0.5\"} 1\n"
                               "d_seconds_bucket{le=\"1\"} 2\n"
                               "d_seconds_bucket{le=\"+Inf\"} 3\n"
                               "d_seconds_sum 4\n"
                               "d_seconds_count 3\n");
}

static void write_some(struct prom_writer *w) {
    static const double bounds[] = {1};
    struct histogram h;
    struct prom_label l = LABEL("a", "q\"uote\xff");
    histogram_init(&h, bounds, 1);
    prom_family(w, "x", PROM_GAUGE, "Help.");
    prom_sample(w, &l, 1, 1.5);
    prom_sample_text(w, STR("b=\"c\""), 2);
    prom_sample_u64(w, &l, 1, 7);
    prom_family(w, "y", PROM_HISTOGRAM, NULL);
    prom_sample_histogram(w, &l, 1, &h);
}

// At every limit of the buffer, and with every allocation failing: all or nothing.
static void test_a_page_that_does_not_fit_is_taken_back_whole(void **state) {
    struct prom_writer w;
    struct buf out;
    size_t whole = 0;
    for (size_t max = 3; whole == 0; max++) {
        buf_init(&out, max);
        assert_int_equal(buf_addc(&out, "old"), 0);
        prom_writer_init(&w, &out, PROM_TEXT);
        write_some(&w);
        int r = prom_writer_end(&w);
        if (r == 0)
            whole = max;
        else
            assert_int_equal(r, ERR_LIMIT);
        assert_int_equal(out.len, r == 0 ? max : 3);
        assert_memory_equal(out.p, "old", 3);
        buf_done(&out);
    }
    assert_true(whole > 100);
    int failures = 0;
    for (long k = 1;; k++) {
        buf_init(&out, 4096);
        prom_writer_init(&w, &out, PROM_TEXT);
        mem_fail_from(k);
        write_some(&w);
        int r = prom_writer_end(&w);
        mem_fail_never();
        if (r == 0) {
            buf_done(&out);
            break;
        }
        assert_int_equal(r, ERR_NOMEM);
        assert_int_equal(out.len, 0);
        failures++;
        buf_done(&out);
    }
    assert_true(failures > 0);
}

// Random label values and numbers go out and come back the same.
static void test_what_is_written_is_read_back(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    struct dump *d = calloc(2, sizeof(*d));
    for (int round = 0; round < 3000; round++) {
        CLEANUP_BUF struct buf out;
        struct prom_writer w;
        struct prom_label l[3];
        char bytes[3][12];
        static const char alphabet[] = "a\"\\\n{},=# \x7f";
        static const char *const names[] = {"x", "le", "_z9"};
        size_t n = random_below(&r, 4);
        for (size_t i = 0; i < n; i++) {
            size_t len = random_below(&r, sizeof(bytes[0]));
            for (size_t k = 0; k < len; k++)
                bytes[i][k] = alphabet[random_below(&r, sizeof(alphabet) - 1)];
            l[i] = (struct prom_label){str_from(names[i]), {bytes[i], len}};
        }
        double v = random_normal(&r) * 1e6;
        buf_init(&out, 4096);
        prom_writer_init(&w, &out, PROM_TEXT);
        prom_family(&w, "m:n", PROM_COUNTER, "h\\elp\n");
        prom_sample(&w, l, n, v);
        assert_int_equal(prom_writer_end(&w), 0);
        struct err e = {0};
        if (dump_page(&d[0], out.p, out.len, 0, out.len, false, &e) != 0)
            fail_msg("%s in " STR_FMT, e.msg, STR_ARG(buf_str(&out)));
        d[1].n = 0;
        struct prom_sample same = {
            .name = STR("m:n"), .labels = l, .n_labels = n, .value = v, .type = PROM_COUNTER};
        dump_sample(&d[1], &same, NULL);
        assert_string_equal(d[0].text, d[1].text);
    }
    free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_once_a_family_and_doubles_as_prometheus_prints_them),
        cmocka_unit_test(test_openmetrics_names_types_and_units_are_its_own),
        cmocka_unit_test(test_an_info_is_a_gauge_in_the_text_format),
        cmocka_unit_test(test_unknown_values_and_families_switched_off_leave_no_trace),
        cmocka_unit_test(test_label_values_are_escaped_and_made_valid_utf8),
        cmocka_unit_test(test_a_histogram_is_cumulative_with_le_last_and_inf_as_count),
        cmocka_unit_test(test_a_page_that_does_not_fit_is_taken_back_whole),
        cmocka_unit_test(test_what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
