// SPDX-License-Identifier: Apache-2.0
/* The page and the report: one file, a policy that names what is in it, nothing breaks out. */
#include "report/html.h"

#include "report_unit.h"

static const char begin[] = "<script type=\"application/json\" id=\"run\">";

static size_t count(struct str text, const char *what) {
    size_t n = 0, len = strlen(what);
    for (const char *p = text.p; (p = memmem(p, text.n - (size_t)(p - text.p), what, len));
         p += len)
        n++;
    return n;
}

static struct str between(struct str text, const char *from, const char *to) {
    const char *p = memmem(text.p, text.n, from, strlen(from));
    assert_non_null(p);
    p += strlen(from);
    const char *end = memmem(p, text.n - (size_t)(p - text.p), to, strlen(to));
    assert_non_null(end);
    return (struct str){p, (size_t)(end - p)};
}

static void the_page_asks_nobody_else(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, LIMIT_PAGE_HTML_BYTES);
    assert_int_equal(html_page(&b), 0);
    struct str page = buf_str(&b);
    assert_int_equal(count(page, "<script>"), 2); // uPlot and ours
    assert_int_equal(count(page, "<script"), count(page, "</script>"));
    assert_int_equal(count(page, "<link"), 1); // the icon, within
    assert_int_equal(count(page, "<link rel=\"icon\" href=\"data:"), 1);
    assert_int_equal(count(page, "src="), 0);
    assert_int_equal(count(page, "@import"), 0);
    assert_int_equal(count(page, " style=\""), 0);
    assert_int_equal(count(page, "<!--policy"), 0);
    assert_int_equal(count(page, "id=\"run\""), 0);
    assert_true(count(page, "MIT License") > 0); // uPlot's licence goes with it
}

static void the_header_and_the_page_have_one_policy(void **state) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, LIMIT_PAGE_HTML_BYTES);
    assert_int_equal(html_page(&b), 0);
    struct str policy = between(buf_str(&b), "http-equiv=\"Content-Security-Policy\" content=\"",
                                "\"");
    const char *headers = html_headers();
    assert_non_null(memmem(headers, strlen(headers), policy.p, policy.n));
    assert_true(str_starts(policy, "default-src 'none'; "));
    assert_int_equal(count(policy, "'sha256-"), 3);
    assert_int_equal(count(policy, "unsafe"), 0);
    assert_int_equal(count(policy, "http"), 0);
    assert_non_null(strstr(headers, "; frame-ancestors 'none'\r\n"));
    assert_true(str_ends(str_from(headers), "\r\n"));
    assert_null(strstr(headers, "\r\n\r\n"));
}

static void a_report_holds_the_run_and_nothing_breaks_out_of_it(void **state) {
    static const char evil[] =
        "</script><script>alert(1)</script><!--<script> ]]> \xff \xe2\x80\xa8";
    const struct frame_policy policies[] = {{"cpu", evil, evil}};
    struct frame_hello h = unit_hello(evil);
    h.title = evil;
    h.policies = policies, h.policy_n = 1;
    struct live *l = live_new(1 << 20, LIVE_THIN);
    assert_int_equal(live_hello(l, &h), 0);
    struct frame_decision d = {1, evil, 1, evil};
    for (int i = 0; i < 3; i++) {
        struct frame f = unit_frame("cpu", i);
        f.decisions = &d, f.decision_n = 1;
        assert_int_equal(live_frame(l, &f), 0);
    }
    CLEANUP_BUF struct buf page, report;
    buf_init(&page, LIMIT_PAGE_HTML_BYTES);
    buf_init(&report, LIMIT_PAGE_HTML_BYTES + LIMIT_LIVE_RUN_BYTES);
    assert_int_equal(html_page(&page), 0);
    assert_int_equal(html_report(&report, l), 0);
    struct str text = buf_str(&report);
    assert_int_equal(count(text, "<script"), count(buf_str(&page), "<script") + 1);
    assert_int_equal(count(text, "</script"), count(buf_str(&page), "</script") + 1);
    struct str data = between(text, begin, "</script>");
    assert_null(memchr(data.p, '<', data.n));
    json_t *j = unit_json(data);
    static const char read_back[] =
        "</script><script>alert(1)</script><!--<script> ]]> \xef\xbf\xbd \xe2\x80\xa8";
    assert_string_equal(json_string_value(unit_at(j, "hello.title")), read_back);
    assert_string_equal(json_string_value(unit_at(j, "frames.2.decisions.0.text")), read_back);
    assert_int_equal(json_array_size(unit_at(j, "frames")), 3);
    assert_true(json_is_null(unit_at(j, "end")));
    json_decref(j);
    live_free(l);
}

static void a_report_has_the_end_beside_the_frames(void **state) {
    struct live *l = live_new(1 << 20, LIVE_THIN);
    struct frame_hello h = unit_hello("r1");
    CLEANUP_BUF struct buf report;
    buf_init(&report, LIMIT_PAGE_HTML_BYTES);
    assert_int_equal(html_report(&report, l), ERR_NOTFOUND);
    assert_int_equal(live_hello(l, &h), 0);
    const struct frame_row row = {.policy = "cpu", .gpu_s = 7};
    const struct frame_end end = {.rows = &row, .row_n = 1};
    assert_int_equal(live_end(l, &end), 0);
    buf_clear(&report);
    assert_int_equal(html_report(&report, l), 0);
    json_t *j = unit_json(between(buf_str(&report), begin, "</script>"));
    assert_int_equal(json_array_size(unit_at(j, "frames")), 0);
    assert_true(json_number_value(unit_at(j, "end.table.0.gpuSeconds")) == 7);
    json_decref(j);
    struct buf small;
    buf_init(&small, 4096);
    assert_int_equal(html_report(&small, l), ERR_LIMIT);
    buf_done(&small);
    live_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_asks_nobody_else),
        cmocka_unit_test(the_header_and_the_page_have_one_policy),
        cmocka_unit_test(a_report_holds_the_run_and_nothing_breaks_out_of_it),
        cmocka_unit_test(a_report_has_the_end_beside_the_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
