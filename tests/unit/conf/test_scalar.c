// SPDX-License-Identifier: Apache-2.0
/* conf/scalar: text to values, by origin: unquoted, quoted, or from the command line. */
#include "base/clock.h"
#include "conf/internal.h"
#include "conf/sample.h"

static const struct conf_field number = {.key = "x", .kind = CONF_KIND_NUMBER};
static const struct conf_field integer = {.key = "x", .kind = CONF_KIND_INT};
static const struct conf_field boolean = {.key = "x", .kind = CONF_KIND_BOOL};
static const struct conf_field string = {.key = "x", .kind = CONF_KIND_STRING};
static const struct conf_field loose = {.key = "x", .kind = CONF_KIND_STRING, .numbers_too = true};
static const struct conf_field duration = {.key = "x", .kind = CONF_KIND_DURATION};

// A row: which origins take this text for this kind. P: unquoted, Q: quoted, T: flag.
static const struct {
    const struct conf_field *field;
    const char *text, *taken;
} cases[] = {
    {&string, "plain", "PQT"},
    {&string, "", "QT"},
    {&string, "null", "QT"},
    {&string, "~", "QT"},
    {&string, "true", "QT"},
    {&string, "False", "QT"},
    {&string, "1", "QT"},
    {&string, "-1.5e3", "QT"},
    {&string, "0x1F", "QT"},
    {&string, "0o17", "QT"},
    {&string, ".inf", "QT"},
    {&string, "1.2.3", "PQT"},
    {&string, "0x", "PQT"},
    {&string, "0xg", "PQT"},
    {&string, "1_000", "PQT"},
    {&string, "yes", "PQT"}, // a string in YAML 1.2
    {&string, "inf", "PQT"},
    {&string, "-", "PQT"},
    {&string, "e5", "PQT"},
    {&loose, "1", "PQT"},
    {&loose, "0x1F", "PQT"},
    {&loose, "true", "QT"},
    {&loose, "", "QT"},
    {&boolean, "true", "PT"},
    {&boolean, "TRUE", "PT"},
    {&boolean, "False", "PT"},
    {&boolean, "tRUE", ""},
    {&boolean, "yes", ""},
    {&boolean, "1", ""},
    {&boolean, "", ""},
    {&integer, "0", "PT"},
    {&integer, "-0", "PT"},
    {&integer, "+5", "PT"},
    {&integer, "9223372036854775807", "PT"},
    {&integer, "-9223372036854775808", "PT"},
    {&integer, "9223372036854775808", ""},
    {&integer, "00", ""},
    {&integer, "-01", ""},
    {&integer, "+-1", ""},
    {&integer, "+", ""},
    {&integer, "-", ""},
    {&integer, "", ""},
    {&integer, "0x10", ""},
    {&integer, "1.0", ""},
    {&number, "1", "PT"},
    {&number, "-1.5e3", "PT"},
    {&number, ".5", "PT"},
    {&number, "5.", "PT"},
    {&number, ".inf", ""},
    {&number, "inf", ""},
    {&number, "nan", ""},
    {&number, "1e999", ""},
    {&number, "0x10", ""},
    {&number, "", ""},
    {&duration, "1h30m", "PQT"},
    {&duration, "30", "PQT"},
    {&duration, "", ""},
    {&duration, "-1s", ""},
    {&duration, "30 s", ""},
};

static void each_origin_takes_what_it_should(void **state) {
    static const char letters[] = "PQT";
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int origin = CONF_PLAIN; origin <= CONF_TEXT; origin++) {
            int64_t room = 0;
            struct err e = {0};
            int r = conf_scalar(cases[i].field, str_from(cases[i].text), (enum conf_origin)origin,
                                &room, &a, &e);
            bool taken = strchr(cases[i].taken, letters[origin]) != NULL;
            if ((r == 0) != taken)
                fail_msg("'%s' as kind %d, origin %c: %d %s", cases[i].text, cases[i].field->kind,
                         letters[origin], r, e.msg);
            assert_true(r == 0 || (r == ERR_INVALID && strstr(e.msg, ", expected ")));
        }
    }
}

static void a_string_is_a_copy(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 10);
    char text[] = "abc";
    const char *bound = NULL;
    assert_int_equal(conf_scalar(&string, str_from(text), CONF_PLAIN, &bound, &a, NULL), 0);
    text[0] = 'x';
    assert_string_equal(bound, "abc");
}

static void expectations_read_as_sentences(void **state) {
    static const char *const names[] = {"a", "b", NULL};
    const struct {
        struct conf_field field;
        const char *text;
    } rows[] = {
        {{.kind = CONF_KIND_STRING}, "a string"},
        {{.kind = CONF_KIND_STRING, .max = "9"}, "a string of at most 9 bytes"},
        {{.kind = CONF_KIND_INT, .min = "1"}, "an integer of at least 1"},
        {{.kind = CONF_KIND_NUMBER, .min = "0", .max = "1"}, "a number from 0 to 1"},
        {{.kind = CONF_KIND_DURATION}, "a duration such as 300ms, 1.5s or 1h30m"},
        {{.kind = CONF_KIND_BYTES}, "a size such as 512, 64KiB or 1.5GiB"},
        {{.kind = CONF_KIND_BYTES, .max = "1MiB"}, "a size of at most 1MiB"},
        {{.kind = CONF_KIND_ENUM, .names = names}, "one of a, b"},
        {{.kind = CONF_KIND_BOOL}, "true or false"},
        {{.kind = CONF_KIND_STRUCT}, "a map"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[320];
        conf_expected(&rows[i].field, text, sizeof(text));
        assert_string_equal(text, rows[i].text);
    }
    char small[8]; // cut, not overrun
    conf_expected(&rows[0].field, small, sizeof(small));
    assert_true(strlen(small) < sizeof(small));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_origin_takes_what_it_should),
        cmocka_unit_test(a_string_is_a_copy),
        cmocka_unit_test(expectations_read_as_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
