// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <unistd.h>

#include "base/clock.h"
#include "gpu/source.h"

static char path[64];

static void write_file(const char *text) {
    snprintf(path, sizeof path, "/tmp/gpuscale-replay-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct gpu_source open_file(const char *options) {
    struct gpu_source s = {0};
    struct err e = {0};
    char spec[128];
    write_file("time_s,gpu,state,uuid,utilization_pct\n"
               "0,0,,GPU-a,10\n"
               "1,0,,,20\n"
               "1,4,,GPU-b,5\n"
               "2,0,error,,\n"
               "2,4,lost,,\n"
               "3,0,,,\n"
               "3,4,gone,,\n");
    snprintf(spec, sizeof spec, "replay:%s%s", path, options);
    if (gpu_source_open(str_from(spec), &s, &e))
        fail_msg("%s", e.msg);
    unlink(path);
    return s;
}

enum { FAILED = 100, UNKNOWN, LOST, CLOSED };

// Utilization, or one of the words above.
static int read_at(struct gpu_source *s, uint32_t slot, double t_s) {
    struct gpu_reading r = {0};
    enum gpu_sample_result result = GPU_SAMPLE_OK;
    struct err e = {0};
    double v;
    int code = s->ops->sample(s->state, slot, 50 * NS_PER_S + (int64_t)(t_s * 1e9), &r, &result,
                              &e);
    if (code)
        return code == ERR_CLOSED ? CLOSED : FAILED;
    if (result == GPU_SAMPLE_LOST)
        return LOST;
    return gpu_reading_get(&r, GPU_UTILIZATION_PCT, &v) ? (int)v : UNKNOWN;
}

static size_t count_at(struct gpu_source *s, double t_s) {
    struct gpu_device devices[8];
    struct err e = {0};
    size_t n = 0;
    assert_int_equal(
        s->ops->enumerate(s->state, 50 * NS_PER_S + (int64_t)(t_s * 1e9), devices, 8, &n, &e), 0);
    return n;
}

static void test_gpus_come_and_go_and_values_are_blank(void **state) {
    struct gpu_source s = open_file("");
    assert_int_equal(count_at(&s, 0), 1);
    assert_int_equal(read_at(&s, 0, 0), 10);
    assert_int_equal(read_at(&s, 4, 0), LOST); // not there yet
    assert_int_equal(count_at(&s, 1), 2);
    assert_int_equal(read_at(&s, 0, 1), 20);
    assert_int_equal(read_at(&s, 4, 1), 5);
    assert_int_equal(read_at(&s, 0, 2), FAILED);
    assert_int_equal(read_at(&s, 4, 2), LOST);
    assert_int_equal(count_at(&s, 2), 2); // lost is not gone
    assert_int_equal(read_at(&s, 0, 3), UNKNOWN);
    assert_int_equal(count_at(&s, 3), 1);
    assert_int_equal(read_at(&s, 0, 9999), UNKNOWN); // holds at the end
    gpu_source_close(&s);
}

static void test_loop_starts_again(void **state) {
    struct gpu_source s = open_file(",end=loop");
    assert_int_equal(read_at(&s, 0, 0), 10);
    assert_int_equal(read_at(&s, 0, 4), 10);
    assert_int_equal(read_at(&s, 0, 4 * 1000 + 1), 20);
    gpu_source_close(&s);
}

static void test_stop_fails_for_good(void **state) {
    struct gpu_source s = open_file(",end=stop");
    assert_int_equal(read_at(&s, 0, 3.9), 10);
    assert_int_equal(read_at(&s, 0, 3.9 + 4), CLOSED);
    gpu_source_close(&s);
}

static void test_speed_plays_faster(void **state) {
    struct gpu_source s = open_file(",speed=10,end=loop");
    assert_int_equal(read_at(&s, 0, 0), 10);
    assert_int_equal(read_at(&s, 0, 0.1), 20);
    gpu_source_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpus_come_and_go_and_values_are_blank),
        cmocka_unit_test(test_loop_starts_again),
        cmocka_unit_test(test_stop_fails_for_good),
        cmocka_unit_test(test_speed_plays_faster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
