// SPDX-License-Identifier: Apache-2.0
/* The folder of a run: what its path may be. */
#include "playground/programs.h"

#include "playground/files.h"

#define TWENTY "abcdefghijklmnopqrst"

static const struct {
    const char *name; // of a folder in an existing one
    int r;
    const char *said; // of an error
} cases[] = {
    {"run", 0, ""},
    {"a run #1, not", ERR_INVALID, "','"},
    {"say \"hello\"", ERR_INVALID, "'\"'"},
    {"back\\slash", ERR_INVALID, "'\\'"},
    {"two\nlines", ERR_INVALID, "control character"},
    {"del\x7f", ERR_INVALID, "control character"},
    {"latin-1 \xe9", ERR_INVALID, "UTF-8"},
    {"a run #1: it's {é} $HOME", 0, ""},
    {TWENTY TWENTY TWENTY TWENTY, ERR_LIMIT, "a shorter one"},
};

static void a_folder_of_the_user_is_refused_with_the_flags_name(void **state) {
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct programs p;
        struct stat st;
        struct err e = {0};
        char folder[FILES_PATH_MAX];
        programs_init(&p);
        struct programs_path path = programs_path(&p, cases[i].name);
        assert_int_equal(files_make(folder, path.at, &e), cases[i].r);
        assert_int_equal(stat(path.at, &st), cases[i].r ? -1 : 0);
        if (cases[i].r == 0) {
            struct act_files f;
            assert_string_equal(folder, path.at);
            assert_int_equal(files_make_act(&f, folder, "gpuscale", &e), 0);
        } else {
            assert_non_null(strstr(e.msg, "flag --out: "));
            assert_non_null(strstr(e.msg, cases[i].said));
        }
        programs_done(&p);
    }
}

static void a_folder_below_tmpdir_is_refused_with_its_name(void **state) {
    const char *tmp = getenv("TMPDIR");
    char *saved = tmp ? strdup(tmp) : NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct programs p;
        struct err e = {0};
        char folder[FILES_PATH_MAX];
        programs_init(&p);
        struct programs_path path = programs_path(&p, cases[i].name);
        assert_int_equal(mkdir(path.at, 0755), 0);
        assert_int_equal(setenv("TMPDIR", path.at, 1), 0);
        assert_int_equal(files_make(folder, NULL, &e), cases[i].r);
        if (cases[i].r) {
            assert_non_null(strstr(e.msg, "TMPDIR: "));
            assert_non_null(strstr(e.msg, cases[i].said));
        } else {
            assert_memory_equal(folder, path.at, strlen(path.at));
        }
        programs_done(&p);
    }
    assert_int_equal(saved ? setenv("TMPDIR", saved, 1) : unsetenv("TMPDIR"), 0);
    free(saved);
}

// Longer by one byte than the longest that works, for the act with the longest name.
static void a_path_that_passes_suits_every_act(void **state) {
    struct programs p;
    struct err e = {0};
    struct act_files f;
    char folder[FILES_PATH_MAX], out[FILES_PATH_MAX];
    size_t longest = 0;
    programs_init(&p);
    for (size_t n = strlen(p.folder) + 2; n < 120; n++) {
        memset(out, 'x', n);
        memcpy(out, p.folder, strlen(p.folder));
        out[strlen(p.folder)] = '/';
        out[n] = '\0';
        if (files_make(folder, out, &e) < 0)
            break;
        longest = n;
        assert_int_equal(files_make_act(&f, folder, "cpu", &e), 0);
        assert_int_equal(files_make_act(&f, folder, "classic", &e), 0);
        assert_int_equal(files_make_act(&f, folder, "gpuscale", &e), 0);
    }
    assert_int_equal(longest, 107 - strlen("/gpuscale/gpu.sock")); // unix(7)
    programs_done(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_the_user_is_refused_with_the_flags_name),
        cmocka_unit_test(a_folder_below_tmpdir_is_refused_with_its_name),
        cmocka_unit_test(a_path_that_passes_suits_every_act),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
