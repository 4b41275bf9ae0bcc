// SPDX-License-Identifier: Apache-2.0
#include "playground/programs.h"

#include "playground/explain.h"

struct seen {
    int times;
    bool done;
    struct explain **slot;
    char text[256];
};

static void on_done(void *ctx, struct str text) {
    struct seen *s = ctx;
    assert_null(*s->slot);
    s->times++;
    s->done = true;
    assert_int_equal(str_copy(s->text, sizeof(s->text), text), 0);
}

static void its_output_is_handed_over_once(void **state) {
    static const struct {
        const char *script, *text;
    } cases[] = {
        {"echo \"$@\"", "explain --server http://x --last 1 ns/o\n"},
        {"exit 1", ""},
        {"echo half; kill -9 $$", "half\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct programs p;
        struct explain *slot = NULL;
        struct seen s = {.slot = &slot};
        programs_init(&p);
        struct programs_path program = programs_script(&p, "program", cases[i].script);
        assert_int_equal(
            explain_run(&slot, &p.loop, program.at, "http://x", "ns/o", on_done, &s, NULL), 0);
        assert_non_null(slot);
        programs_until(&p, &s.done);
        programs_done(&p);
        assert_int_equal(s.times, 1);
        assert_string_equal(s.text, cases[i].text);
    }
}

// The error is all that is told: who counts those that run must not count it out again.
static void one_that_cannot_be_started_is_never_done(void **state) {
    struct programs p;
    struct explain *slot = NULL;
    struct seen s = {.slot = &slot};
    struct err e = {0};
    programs_init(&p);
    struct programs_path missing = programs_path(&p, "missing");
    assert_int_equal(explain_run(&slot, &p.loop, missing.at, "http://x", "ns/o", on_done, &s, &e),
                     ERR_IO);
    assert_non_null(strstr(e.msg, missing.at));
    assert_null(slot);
    programs_done(&p);
    assert_int_equal(s.times, 0);
}

static void one_that_hangs_can_be_killed(void **state) {
    struct programs p;
    struct explain *slot = NULL;
    struct seen s = {.slot = &slot};
    programs_init(&p);
    struct programs_path program = programs_script(&p, "program", "exec sleep 1000");
    assert_int_equal(explain_run(&slot, &p.loop, program.at, "http://x", "ns/o", on_done, &s, NULL),
                     0);
    explain_kill(slot);
    programs_until(&p, &s.done);
    programs_done(&p);
    assert_int_equal(s.times, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_output_is_handed_over_once),
        cmocka_unit_test(one_that_cannot_be_started_is_never_done),
        cmocka_unit_test(one_that_hangs_can_be_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
