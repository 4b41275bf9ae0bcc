// SPDX-License-Identifier: Apache-2.0
/* Label selectors: what matches, and what cannot be read. */
#include "kube/labels.h"

#include "base/mem.h"
#include "unit.h"

static struct kube_label labels[] = {
    {"app", "llm"}, {"tier", "gpu"}, {"a.b/c", "x_1"}, {"empty", ""}};
static const struct kube_object pod = {.labels = labels, .n_labels = COUNT_OF(labels)};

static void a_selector_matches_as_kubectl_reads_it(void **state) {
    static const struct {
        const char *text;
        bool matches;
    } cases[] = {
        {"", true},
        {" ", true},
        {"app=llm", true},
        {"app==llm", true},
        {" app = llm , tier=gpu ", true},
        {"app=llm,tier=cpu", false},
        {"app!=llm", false},
        {"app!=web", true},
        {"none!=x", true}, // an absent key matches != and notin
        {"none notin (a,b)", true},
        {"tier notin (gpu)", false},
        {"tier in (cpu, gpu)", true},
        {"tier in (cpu)", false},
        {"none in (a)", false},
        {"tier", true},
        {"none", false},
        {"!none", true},
        {"!tier", false},
        {"a.b/c=x_1,!none,tier in (gpu,tpu)", true},
        {"empty=", true},
        {"app=", false},
        {"empty in (,x)", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 << 16);
        struct kube_selector s;
        struct err e = {0};
        if (kube_selector_parse(&s, &a, str_from(cases[i].text), &e) < 0)
            fail_msg("%s", e.msg);
        if (kube_selector_matches(&s, &pod) != cases[i].matches)
            fail_msg("\"%s\" matches: %d expected", cases[i].text, cases[i].matches);
    }
}

static void what_is_no_selector_is_refused_with_the_place(void **state) {
    static const char *const cases[] = {
        ",",     "app=llm,",     "=x",      "app in llm", "app in (a", "app notin", "app=llm x",
        "app>5", "app in (a b)", "app=a;b", "!",          "!app=x",    "app,,tier", "app in (a),)"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 << 16);
        struct kube_selector s;
        struct err e = {0};
        if (kube_selector_parse(&s, &a, str_from(cases[i]), &e) != ERR_PARSE)
            fail_msg("accepted: %s", cases[i]);
        assert_non_null(strstr(e.msg, "at character"));
    }
}

static void memory_that_ends_is_an_error(void **state) {
    struct kube_selector s;
    struct err e = {0};
    for (size_t most = 0; most < 400; most += 16) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, most);
        int rc = kube_selector_parse(&s, &a, STR("app in (a,b),tier=gpu,!none"), &e);
        assert_true(rc == 0 || rc == ERR_NOMEM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_selector_matches_as_kubectl_reads_it),
        cmocka_unit_test(what_is_no_selector_is_refused_with_the_place),
        cmocka_unit_test(memory_that_ends_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
