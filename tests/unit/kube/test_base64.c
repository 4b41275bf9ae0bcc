// SPDX-License-Identifier: Apache-2.0
/* kube/base64: RFC 4648's own cases, and what is not canonical. */
#include "base/err.h"
#include "base/mem.h"
#include "kube/base64.h"
#include "unit.h"

static void texts_become_bytes_or_are_refused(void **state) {
    static const struct {
        const char *text, *bytes; // NULL: refused
    } cases[] = {{"", ""},
                 {"Zg==", "f"},
                 {"Zm8=", "fo"},
                 {"Zm9v", "foo"},
                 {"Zm9vYg==", "foob"},
                 {"Zm9v\n YmFy\n", "foobar"},
                 {"/+8=", "\xff\xef"},
                 {"Zg=", NULL},
                 {"Zg", NULL},
                 {"Z===", NULL},
                 {"====", NULL},
                 {"Zh==", NULL},
                 {"Zm9=", NULL},
                 {"Zg==Zg==", NULL},
                 {"Zm=v", NULL},
                 {"Zm9v!", NULL},
                 {"Zm_v", NULL}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, 100);
        int r = kube_base64_decode(&b, str_from(cases[i].text));
        assert_int_equal(r, cases[i].bytes ? 0 : ERR_PARSE);
        if (cases[i].bytes)
            assert_true(str_eqc(buf_str(&b), cases[i].bytes));
    }
    CLEANUP_BUF struct buf tiny;
    buf_init(&tiny, 2);
    assert_int_equal(kube_base64_decode(&tiny, STR("Zm9v")), ERR_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts_become_bytes_or_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
