// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/mem.h"
#include "tools/top_text.h"

static void names_are_cut_by_columns_and_never_obeyed(void **state) {
    static const struct {
        const char *text;
        size_t width;
        enum top_cut cut;
        bool utf8;
        const char *wanted;
        size_t columns;
    } cases[] = {
        {"llm-0", 5, TOP_CUT_END, true, "llm-0", 5},
        {"llm-0", 4, TOP_CUT_END, true, "llm\xe2\x80\xa6", 4},
        {"llm-0", 4, TOP_CUT_END, false, "llm~", 4},
        {"abcdefghij", 5, TOP_CUT_MIDDLE, true, "ab\xe2\x80\xa6ij", 5},
        {"abcdefghij", 6, TOP_CUT_MIDDLE, false, "abc~ij", 6},
        {"abc", 1, TOP_CUT_MIDDLE, true, "\xe2\x80\xa6", 1},
        {"abc", 0, TOP_CUT_END, true, "", 0},
        {"", 4, TOP_CUT_END, true, "", 0},
        {"caf\xc3\xa9", 4, TOP_CUT_END, true, "caf\xc3\xa9", 4},
        {"caf\xc3\xa9", 4, TOP_CUT_END, false, "caf?", 4},
        {"\xe6\xa8\xa1\xe5\x9e\x8b", 4, TOP_CUT_END, true, "\xe6\xa8\xa1\xe5\x9e\x8b", 4}, // wide
        {"\xe6\xa8\xa1\xe5\x9e\x8b", 3, TOP_CUT_END, true, "\xe6\xa8\xa1\xe2\x80\xa6", 3},
        {"\xe6\xa8\xa1\xe5\x9e\x8b", 2, TOP_CUT_END, true, "\xe2\x80\xa6", 1},
        {"e\xcc\x81t", 2, TOP_CUT_END, true, "e\xcc\x81t", 2}, // combining
        {"a\033[2Jb", 6, TOP_CUT_END, true, "a?[2Jb", 6},
        {"a\xc2\x9bz", 6, TOP_CUT_END, true, "a?z", 3},     // CSI of 8 bits
        {"a\xe2\x80\xaez", 6, TOP_CUT_END, true, "a?z", 3}, // right to left
        {"a\xff\xc3", 6, TOP_CUT_END, true, "a??", 3},
        {"a\nb", 6, TOP_CUT_END, false, "a?b", 3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, 256);
        size_t n = top_text_add(&b, str_from(cases[i].text), cases[i].width, cases[i].cut,
                                cases[i].utf8);
        if (!str_eqc(buf_str(&b), cases[i].wanted) || n != cases[i].columns)
            fail_msg("case %zu: \"" STR_FMT "\" in %zu", i, STR_ARG(buf_str(&b)), n);
        assert_true(top_text_width(buf_str(&b), true) == n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_are_cut_by_columns_and_never_obeyed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
