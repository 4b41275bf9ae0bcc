// SPDX-License-Identifier: Apache-2.0
/* kube/resource: paths and words, and names that would leave their place. */
#include "base/mem.h"
#include "kube/resource.h"
#include "unit.h"

static void paths_and_words_name_the_place(void **state) {
    static const struct {
        struct kube_resource r;
        const char *path, *words;
    } cases[] = {
        {{"", "v1", "pods"}, "/api/v1/pods", "pods"},
        {{NULL, "v1", "pods", "ml", "llm-0"},
         "/api/v1/namespaces/ml/pods/llm-0",
         "pods llm-0 in namespace ml"},
        {{"apps", "v1", "deployments", "ml", "llm", "scale"},
         "/apis/apps/v1/namespaces/ml/deployments/llm/scale",
         "deployments/scale.apps llm in namespace ml"},
        {{"authentication.k8s.io", "v1", "tokenreviews"},
         "/apis/authentication.k8s.io/v1/tokenreviews",
         "tokenreviews.authentication.k8s.io"},
        // A name out of a trigger leaves its place neither in the path nor in a message.
        {{"", "v1", "pods", "ml", "../../nodes?x=1#y"},
         "/api/v1/namespaces/ml/pods/..%2F..%2Fnodes%3Fx%3D1%23y",
         "pods ..?..?nodes?x?1?y in namespace ml"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_BUF struct buf b;
        struct err e = {0};
        buf_init(&b, 1000);
        assert_int_equal(kube_resource_path(&b, &cases[i].r, &e), 0);
        assert_true(str_eqc(buf_str(&b), cases[i].path));
        buf_clear(&b);
        kube_resource_words(&b, &cases[i].r);
        assert_true(str_eqc(buf_str(&b), cases[i].words));
    }
}

static void parts_that_change_the_path_are_refused(void **state) {
    static const struct kube_resource bad[] = {
        {"", "v1", "pods", "ml", ".."}, {"", "v1", "pods", "", "a"},
        {"", "v1", "pods", ".", "a"},   {"", "v1", ""},
        {"apps", "", "deployments"},    {"", "v1", "pods", "ml", ""},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CLEANUP_BUF struct buf b;
        struct err e = {0};
        buf_init(&b, 1000);
        assert_int_equal(kube_resource_path(&b, &bad[i], &e), ERR_INVALID);
        assert_true(e.msg[0] != '\0');
    }
    CLEANUP_BUF struct buf tiny;
    struct err e = {0};
    buf_init(&tiny, 20);
    assert_int_equal(
        kube_resource_path(&tiny, &(struct kube_resource){"", "v1", "pods", "ml", "a"}, &e),
        ERR_LIMIT);
}

static void foreign_text_is_cleaned_and_cut(void **state) {
    char dst[8];
    kube_clean(dst, sizeof(dst),
               "a\nb\x1b\xff"
               "cdefg");
    assert_string_equal(dst, "a b??cd");
    kube_clean(dst, sizeof(dst), NULL);
    assert_string_equal(dst, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_words_name_the_place),
        cmocka_unit_test(parts_that_change_the_path_are_refused),
        cmocka_unit_test(foreign_text_is_cleaned_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
