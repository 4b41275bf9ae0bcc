// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/mem.h"
#include "tools/top_keys.h"

static void keys_are_told_apart_and_unfinished_ones_wait(void **state) {
    static const struct {
        const char *bytes;
        enum top_key key;
        size_t left;
    } cases[] = {
        {"q", TOP_KEY_TEXT, 0},
        {"qq", TOP_KEY_TEXT, 1},
        {"\xc3\xa9x", TOP_KEY_TEXT, 1},
        {"\xc3", TOP_KEY_NONE, 1},
        {"\xff", TOP_KEY_UNKNOWN, 0},
        {"\xc3(", TOP_KEY_UNKNOWN, 1},
        {"\r", TOP_KEY_ENTER, 0},
        {"\x7f", TOP_KEY_BACKSPACE, 0},
        {"\t", TOP_KEY_TAB, 0},
        {"\033", TOP_KEY_ESCAPE, 0},
        {"\033q", TOP_KEY_ESCAPE, 1},
        {"\033[A", TOP_KEY_UP, 0},
        {"\033OBx", TOP_KEY_DOWN, 1},
        {"\033[6~", TOP_KEY_PAGE_DOWN, 0},
        {"\033[5", TOP_KEY_NONE, 3},
        {"\033[", TOP_KEY_NONE, 2},
        {"\033[1;5C", TOP_KEY_UNKNOWN, 0},
        {"\033[F", TOP_KEY_END, 0},
        {"\033[1~", TOP_KEY_HOME, 0},
        {"\001", TOP_KEY_UNKNOWN, 0},
        {"", TOP_KEY_NONE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str in = str_from(cases[i].bytes), text = {0};
        enum top_key key = top_key_next(&in, &text);
        if (key != cases[i].key || in.n != cases[i].left)
            fail_msg("case %zu: key %d, %zu left", i, key, in.n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_told_apart_and_unfinished_ones_wait)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
