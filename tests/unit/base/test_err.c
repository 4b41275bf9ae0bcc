// SPDX-License-Identifier: Apache-2.0
/* base/err: messages are one printable line, whatever was put into them. */
#include "base/err.h"
#include "base/utf8.h"
#include "unit.h"

#include <errno.h>

static void set_returns_its_code(void **state) {
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_PARSE, "line %d", 3), ERR_PARSE);
    assert_int_equal(e.code, ERR_PARSE);
    assert_string_equal(e.msg, "line 3");
    assert_int_equal(err_set(NULL, ERR_LIMIT, "nobody reads this"), ERR_LIMIT);
    assert_int_equal(err_errno(NULL, ENOENT, "x"), ERR_IO);
}

static void errno_is_told_in_words(void **state) {
    struct err e = {0};
    assert_int_equal(err_errno(&e, ENOENT, "open %s", "/a"), ERR_IO);
    assert_string_equal(e.msg, "open /a: No such file or directory");
}

static void context_goes_before_the_reason(void **state) {
    struct err e = {0};
    err_set(&e, ERR_TIMEOUT, "no answer in 3s");
    assert_int_equal(err_wrap(&e, "agent %s", "n1"), ERR_TIMEOUT);
    assert_int_equal(err_wrap(&e, "nodes"), ERR_TIMEOUT);
    assert_string_equal(e.msg, "nodes: agent n1: no answer in 3s");

    struct err unset = {0};
    assert_int_equal(err_wrap(&unset, "context"), ERR_INVALID);
    assert_string_equal(unset.msg, "context");
    assert_int_equal(err_wrap(NULL, "context"), ERR_INVALID);
}

static void a_message_is_one_printable_line(void **state) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"two\nlines\r\n", "two lines  "},
        {"tab\there", "tab here"},
        {"\x1b[31mred", "?[31mred"},
        {"del\x7f", "del?"},
        {"bad \xff\xfe utf8", "bad ?? utf8"},
        {"half \xe2\x82", "half ??"},
        {"good \xe2\x82\xac", "good \xe2\x82\xac"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err e = {0};
        err_set(&e, ERR_INVALID, "%s", cases[i].in);
        assert_string_equal(e.msg, cases[i].out);
    }
}

static void too_long_ends_in_dots_at_a_whole_character(void **state) {
    static const char *const units[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t u = 0; u < 4; u++) {
        for (size_t lead = 0; lead < 4; lead++) {
            char text[ERR_MSG_MAX * 2] = "";
            size_t n = 0;
            while (n < lead)
                text[n++] = '.';
            for (size_t len = strlen(units[u]); n + len < sizeof(text); n += len)
                memcpy(text + n, units[u], len + 1);
            struct err e = {0};
            err_set(&e, ERR_LIMIT, "%s", text);
            size_t got = strlen(e.msg);
            assert_true(got < ERR_MSG_MAX && got >= ERR_MSG_MAX - 4 - 3);
            assert_string_equal(e.msg + got - 3, "...");
            assert_true(utf8_valid(e.msg, got));
            assert_memory_equal(e.msg, text, got - 3);
        }
    }
    char exact[ERR_MSG_MAX];
    memset(exact, 'x', sizeof(exact) - 1);
    exact[sizeof(exact) - 1] = '\0';
    struct err e = {0};
    err_set(&e, ERR_LIMIT, "%s", exact);
    assert_string_equal(e.msg, exact);
}

static void every_code_has_a_name_of_its_own(void **state) {
    for (int a = ERR_AGAIN; a <= ERR_OK; a++) {
        assert_string_not_equal(err_code_name(a), "unknown");
        for (int b = ERR_AGAIN; b < a; b++)
            assert_string_not_equal(err_code_name(a), err_code_name(b));
    }
    assert_string_equal(err_code_name(ERR_AGAIN - 1), "unknown");
    assert_string_equal(err_code_name(1), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_its_code),
        cmocka_unit_test(errno_is_told_in_words),
        cmocka_unit_test(context_goes_before_the_reason),
        cmocka_unit_test(a_message_is_one_printable_line),
        cmocka_unit_test(too_long_ends_in_dots_at_a_whole_character),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
