// SPDX-License-Identifier: Apache-2.0
/* base/log: lines that cannot be forged, a rate that holds, and a descriptor that refuses. */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static char page[1 << 20];

// Runs with the log in memory and leaves what was written in page.
static int capture_fd = -1;

static void begin(enum log_format format, enum log_level level) {
    capture_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(capture_fd >= 0);
    log_setup(capture_fd, format, level, "test");
}

static const char *end(void) {
    ssize_t n = pread(capture_fd, page, sizeof(page) - 1, 0);
    assert_true(n >= 0);
    page[n] = '\0';
    close(capture_fd);
    log_setup(STDERR_FILENO, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "test");
    return page;
}

// The line behind its time, which is checked for form.
static const char *after_time(const char *line, const char *lead) {
    assert_memory_equal(line, lead, strlen(lead));
    line += strlen(lead);
    int y, mo, d, h, mi, s, ms, used = 0;
    assert_int_equal(
        sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &y, &mo, &d, &h, &mi, &s, &ms, &used), 7);
    assert_int_equal(used, 24);
    return line + used;
}

static void a_logfmt_line(void **state) {
    begin(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    struct err e = {0};
    err_set(&e, ERR_TIMEOUT, "no answer");
    log_warn("scrape failed", LOG_STR("pod", "vllm-0"), LOG_I64("n", -3), LOG_F64("ratio", 0.5),
             LOG_DUR("took", 1500 * NS_PER_MS), LOG_BOOL("retry", true), LOG_ERR(&e),
             LOG_VIEW("view", ((struct str){"abcdef", 3})));
    assert_string_equal(after_time(end(), "time="),
                        " level=warn program=test msg=\"scrape failed\" pod=vllm-0 n=-3 ratio=0.5 "
                        "took=1.5s retry=true error=\"no answer\" view=abc\n");
}

static void a_json_line(void **state) {
    begin(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    log_error("bad", LOG_STR("s", "a\"b\n"), LOG_F64("nan", NAN), LOG_F64("inf", -INFINITY),
              LOG_F64("d", 0.25), LOG_DUR("took", 0), LOG_BOOL("b", false), LOG_I64("i", 7));
    assert_string_equal(after_time(end(), "{\"time\":\""),
                        "\",\"level\":\"error\",\"program\":\"test\",\"msg\":\"bad\",\"s\":"
                        "\"a\\\"b\\n\",\"nan\":\"NaN\",\"inf\":\"-Inf\",\"d\":0.25,\"took\":\"0s\","
                        "\"b\":false,\"i\":7}\n");
}

static void values_cannot_forge_a_line_or_a_field(void **state) {
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"x\nlevel=error msg=forged", "\"x\\nlevel=error msg=forged\""},
        {"x\r\n", "\"x\\r\\n\""},
        {"\x1b[2J", "\"\\u001b[2J\""},
        {"q\"q", "\"q\\\"q\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"\x7f", "\"\\u007f\""},
        {"\xc2\x9b", "\"\\u009b\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
        log_debug("below the level", LOG_STR("v", cases[i].value));
        log_write_(LOG_LEVEL_INFO, &(struct log_site){0}, "m",
                   (const struct log_field[]){LOG_STR("v", cases[i].value), {.key = NULL}});
        char want[200];
        snprintf(want, sizeof(want), " level=info program=test msg=m v=%s\n", cases[i].shown);
        assert_string_equal(after_time(end(), "time="), want);
    }
}

static void long_values_and_lines_are_cut_and_say_so(void **state) {
    static char big[LIMIT_LOG_VALUE_BYTES * 3];
    for (size_t i = 0; i + 3 < sizeof(big); i += 3)
        memcpy(big + i, "\xe2\x82\xac", 3);
    for (int f = 0; f < 2; f++) {
        begin(f ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
        log_info("m", LOG_STR("a", big), LOG_STR("b", big), LOG_STR("c", big), LOG_STR("d", big),
                 LOG_I64("small", 1));
        const char *line = end();
        size_t n = strlen(line);
        assert_true(n <= LIMIT_LOG_LINE_BYTES && utf8_valid(line, n));
        assert_int_equal(line[n - 1], '\n');
        assert_non_null(strstr(line, "\xe2\x82\xac..."));
        assert_non_null(strstr(line, f ? "\"small\":1" : " small=1"));
        assert_non_null(strstr(line, f ? ",\"truncated\":true}\n" : " truncated=true\n"));
    }
}

static void the_rate_is_ten_then_one_a_minute(void **state) {
    struct log_site site = {0};
    uint32_t suppressed = 99;
    int64_t t = 1000 * NS_PER_S, second = NS_PER_S;
    for (int i = 0; i < 10; i++) {
        assert_true(log_site_admit(&site, t, &suppressed));
        assert_int_equal(suppressed, 0);
    }
    for (int i = 1; i < 60; i++)
        assert_false(log_site_admit(&site, t + i * second, &suppressed));
    assert_true(log_site_admit(&site, t + 60 * second, &suppressed));
    assert_int_equal(suppressed, 59);
    for (int i = 61; i < 120; i++)
        assert_false(log_site_admit(&site, t + i * second, &suppressed));
    assert_true(log_site_admit(&site, t + 120 * second, &suppressed));
    assert_int_equal(suppressed, 59);
    // A quiet minute gives the ten back.
    for (int i = 0; i < 10; i++)
        assert_true(log_site_admit(&site, t + 200 * second, &suppressed));
    assert_false(log_site_admit(&site, t + 200 * second, &suppressed));
}

static void one_call_site_is_limited_and_another_is_not(void **state) {
    begin(LOG_FORMAT_LOGFMT, LOG_LEVEL_DEBUG);
    for (int i = 0; i < 100; i++) {
        log_warn("often");
        log_debug("detail");
    }
    log_warn("other");
    size_t often = 0, detail = 0, other = 0;
    for (const char *p = end(); *p; p = strchr(p, '\n') + 1) {
        const char *msg = strstr(p, "msg=");
        often += strncmp(msg, "msg=often", 9) == 0;
        detail += strncmp(msg, "msg=detail", 10) == 0;
        other += strncmp(msg, "msg=other", 9) == 0;
    }
    assert_int_equal(often, 10);
    assert_int_equal(detail, 100); // who asks for debug wants all of it
    assert_int_equal(other, 1);
}

static void suppressed_lines_are_told(void **state) {
    struct log_site site = {
        .window_start_ns = clock_mono_ns() - 61 * NS_PER_S, .in_window = 10, .suppressed = 4711};
    begin(LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    log_write_(LOG_LEVEL_WARN, &site, "m", (const struct log_field[]){{.key = NULL}});
    assert_string_equal(after_time(end(), "time="),
                        " level=warn program=test msg=m suppressed=4711\n");
}

static void say(int n) {
    for (int i = 0; i < n; i++)
        log_write_(LOG_LEVEL_INFO, &(struct log_site){0}, "m",
                   (const struct log_field[]){{.key = NULL}});
}

static void a_full_disk_loses_lines_and_counts_them(void **state) {
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    log_setup(fd, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "test");
    uint64_t before = log_lost_lines();
    errno = EXDEV;
    say(5);
    assert_int_equal(errno, EXDEV); // a log line disturbs nobody's errno
    assert_int_equal(log_lost_lines() - before, 5);
    close(fd);
    say(1); // a closed descriptor
    assert_int_equal(log_lost_lines() - before, 6);
    log_setup(STDERR_FILENO, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "test");
}

static void a_pipe_that_nobody_reads_does_not_stop_the_program(void **state) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    log_setup(fds[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "test");
    uint64_t before = log_lost_lines();
    say(10000); // far more than a pipe holds
    uint64_t lost = log_lost_lines() - before;
    assert_true(lost > 0 && lost < 10000);
    // What came through is whole lines.
    size_t lines = 0;
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    ssize_t n = 0, got;
    while ((got = read(fds[0], page + n, sizeof(page) - 1 - (size_t)n)) > 0)
        n += got;
    page[n] = '\0';
    for (const char *p = page; *p; p = strchr(p, '\n') + 1, lines++)
        after_time(p, "time=");
    assert_int_equal(lines + lost, 10000);
    // With the reader gone the program lives on.
    close(fds[0]);
    say(3);
    assert_int_equal(log_lost_lines() - before, lost + 3);
    close(fds[1]);
    log_setup(STDERR_FILENO, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO, "test");
}

static void *speaker(void *arg) {
    say(500);
    for (int i = 0; i < 200; i++)
        log_info("shared site"); // the site's counters are shared too: TSan watches
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state) {
    begin(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, speaker, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    size_t lines = 0;
    for (const char *p = end(); *p; p = strchr(p, '\n') + 1, lines++) {
        const char *newline = strchr(p, '\n');
        assert_non_null(newline);
        assert_int_equal(newline[-1], '}');
        after_time(p, "{\"time\":\"");
    }
    assert_int_equal(lines, 4 * 500 + 10);
}

static void no_allocation(void **state) {
    begin(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    mem_fail_from(1);
    log_info("m", LOG_F64("d", 0.1), LOG_DUR("t", 1), LOG_STR("s", "a b"));
    long used = mem_fail_count();
    mem_fail_never();
    assert_int_equal(used, 0);
    assert_non_null(strstr(end(), "\"s\":\"a b\"}\n"));
}

static void names_of_levels_and_formats(void **state) {
    enum log_level level;
    enum log_format format;
    assert_int_equal(log_level_parse(STR("warn"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse(STR("debug"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_parse(STR("WARN"), &level), ERR_PARSE);
    assert_int_equal(log_level_parse(STR(""), &level), ERR_PARSE);
    assert_int_equal(log_format_parse(STR("json"), &format), 0);
    assert_int_equal(format, LOG_FORMAT_JSON);
    assert_int_equal(log_format_parse(STR("logfmt"), &format), 0);
    assert_int_equal(log_format_parse(STR("xml"), &format), ERR_PARSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_logfmt_line),
        cmocka_unit_test(a_json_line),
        cmocka_unit_test(values_cannot_forge_a_line_or_a_field),
        cmocka_unit_test(long_values_and_lines_are_cut_and_say_so),
        cmocka_unit_test(the_rate_is_ten_then_one_a_minute),
        cmocka_unit_test(one_call_site_is_limited_and_another_is_not),
        cmocka_unit_test(suppressed_lines_are_told),
        cmocka_unit_test(a_full_disk_loses_lines_and_counts_them),
        cmocka_unit_test(a_pipe_that_nobody_reads_does_not_stop_the_program),
        cmocka_unit_test(threads_do_not_mix_their_lines),
        cmocka_unit_test(no_allocation),
        cmocka_unit_test(names_of_levels_and_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
