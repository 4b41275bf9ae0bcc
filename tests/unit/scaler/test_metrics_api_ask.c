// SPDX-License-Identifier: Apache-2.0
/* What a request to the metrics API says: its path, its Accept, the front proxy's headers. */
#include "scaler/metrics_api_ask.h"

#include "base/mem.h"
#include "kube/labels.h"
#include "unit.h"

#define IN METRICS_API_PATH "/namespaces/"

static void a_path_names_a_namespace_and_a_metric(void **state) {
    static const struct {
        const char *path, *namespace_, *metric; // NULL: none of ours
    } cases[] = {
        {IN "prod/desired-replicas", "prod", "desired-replicas"},
        {IN "prod/Other_metric.x", "prod", "Other_metric.x"},
        {IN "prod/desired-replicas/", NULL, NULL},
        {IN "prod/desired-replicas/x", NULL, NULL},
        {IN "prod/", NULL, NULL},
        {IN "prod", NULL, NULL},
        {IN "/desired-replicas", NULL, NULL},
        {IN "a/../b/desired-replicas", NULL, NULL},
        {IN "prod\\/x", NULL, NULL},
        {IN "prod/\"}", NULL, NULL},
        {METRICS_API_PATH "/desired-replicas", NULL, NULL},
        {METRICS_API_PATH, NULL, NULL},
        {"/", NULL, NULL},
        {"", NULL, NULL},
        {IN "a123456789b123456789c123456789d123456789e123456789f123456789g123/m", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct metrics_api_place p;
        int rc = metrics_api_place(str_from(cases[i].path), &p);
        if (rc != (cases[i].metric ? 0 : ERR_NOTFOUND))
            fail_msg("%s: %d", cases[i].path, rc);
        if (rc == 0) {
            assert_string_equal(p.namespace_, cases[i].namespace_);
            assert_string_equal(p.metric, cases[i].metric);
        }
    }
}

static void aggregated_discovery_is_for_who_names_it(void **state) {
    static const struct {
        const char *accept;
        bool aggregated;
    } cases[] = {
        {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", true},
        {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,"
         "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
         true},
        {"text/html, application/json; as=APIGroupDiscoveryList ;v=v2; g=apidiscovery.k8s.io",
         true},
        {"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", false},
        {"application/json;g=apidiscovery.k8s.io;v=v2,application/json;as=APIGroupDiscoveryList",
         false},
        {"application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
         false},
        {"application/json", false},
        {"*/*", false},
        {"", false},
        {";;,,;", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (metrics_api_wants_aggregated(str_from(cases[i].accept)) != cases[i].aggregated)
            fail_msg("%s", cases[i].accept);
}

static const char *user_headers[] = {"X-Remote-User", "X-User"}, *uid_headers[] = {"X-Remote-Uid"},
                  *group_headers[] = {"X-Remote-Group"}, *prefixes[] = {"X-Remote-Extra-"};
static const struct kube_front_proxy names = {.user_headers = {user_headers, 2},
                                              .uid_headers = {uid_headers, 1},
                                              .group_headers = {group_headers, 1},
                                              .extra_prefixes = {prefixes, 1}};

// "user uid [groups] key=[values]...", or the error's name.
static int read_user(const char *headers, struct buf *shown, size_t memory) {
    CLEANUP_ARENA struct arena a;
    struct http1 h;
    char text[2048];
    struct access_user u;
    (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    http1_init(&h);
    arena_init(&a, memory);
    assert_int_equal(http1_feed(&h, (const uint8_t *)text, strlen(text)), strlen(text));
    assert_int_equal(h.state, HTTP1_DONE);
    int rc = metrics_api_user(&u, &a, &h, &names);
    if (rc == 0) {
        (void)buf_addf(shown, "%s '%s' [", u.name, u.uid);
        for (size_t i = 0; i < u.n_groups; i++)
            (void)buf_addf(shown, "%s%s", i ? "|" : "", u.groups[i]);
        (void)buf_addc(shown, "]");
        for (size_t i = 0; i < u.n_extra; i++) {
            (void)buf_addf(shown, " %s=[", u.extra[i].key);
            for (size_t k = 0; k < u.extra[i].n; k++)
                (void)buf_addf(shown, "%s%s", k ? "|" : "", u.extra[i].values[k]);
            (void)buf_addc(shown, "]");
        }
    }
    http1_done(&h);
    return rc;
}

static void the_front_proxy_says_who_asks(void **state) {
    static const struct {
        const char *headers, *user; // NULL: none
    } cases[] = {
        {"X-Remote-User: jane\r\n", "jane '' [system:authenticated]"},
        {"x-remote-user: jane\r\nX-REMOTE-UID: 7\r\nX-Remote-Group: a\r\nX-Remote-Group: b, c\r\n",
         "jane '7' [a|b, c|system:authenticated]"},
        {"X-Remote-User: jane\r\nX-Remote-Group: system:authenticated\r\nX-Remote-Group: z\r\n",
         "jane '' [system:authenticated|z]"},
        {"X-Remote-User: system:anonymous\r\nX-Remote-Group: system:unauthenticated\r\n",
         "system:anonymous '' [system:unauthenticated]"},
        {"X-Remote-User: system:anonymous\r\n", "system:anonymous '' []"},
        {"X-Remote-User: j\r\nX-Remote-Group: system:unauthenticated\r\n",
         "j '' [system:unauthenticated]"},
        {"X-User: other\r\n", "other '' [system:authenticated]"},
        {"X-Remote-User:\r\nX-User: other\r\n", "other '' [system:authenticated]"},
        // The first that says something, as Kubernetes takes it.
        {"X-User: other\r\nX-Remote-User: jane\r\n", "jane '' [system:authenticated]"},
        {"X-Remote-User: j\r\nX-Remote-Extra-Scopes: a\r\nX-Remote-Extra-scopes: b\r\n"
         "X-Remote-Extra-Acme.org%2Fproject: p\r\nX-Remote-Extra-Bad%zz: q\r\n"
         "X-Remote-Extra-: none\r\n",
         "j '' [system:authenticated] scopes=[a|b] acme.org/project=[p] bad%zz=[q]"},
        {"X-Remote-User: j\r\nX-Remote-Extra-a%00b: n\r\nX-Remote-Extra-c%4: n\r\n",
         "j '' [system:authenticated] a%00b=[n] c%4=[n]"},
        {"X-Remote-Group: system:masters\r\n", NULL},
        {"X-Remote-User:\r\n", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_BUF struct buf shown;
        buf_init(&shown, 4096);
        int rc = read_user(cases[i].headers, &shown, 1 << 20);
        assert_int_equal(rc, cases[i].user ? 0 : ERR_NOTFOUND);
        if (rc == 0 && !str_eqc(buf_str(&shown), cases[i].user))
            fail_msg("%s: " STR_FMT, cases[i].headers, STR_ARG(buf_str(&shown)));
    }
}

static void a_user_that_does_not_fit_is_none(void **state) {
    const char *headers = "X-Remote-User: jane\r\nX-Remote-Group: a\r\nX-Remote-Extra-b: c\r\n";
    CLEANUP_BUF struct buf shown;
    buf_init(&shown, 4096);
    bool fits = false;
    for (size_t memory = 1; !fits; memory += 16) {
        int rc = read_user(headers, &shown, memory);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        fits = rc == 0;
    }
    assert_true(str_starts(buf_str(&shown), "jane "));
}

static void a_rule_is_chosen_by_its_label(void **state) {
    static const struct {
        const char *selector;
        bool llm, other;
    } cases[] = {
        {"", true, true},
        {"gpuscale.io/rule=llm", true, false},
        {"gpuscale.io/rule==llm", true, false},
        {"gpuscale.io/rule in (llm,x)", true, false},
        {"gpuscale.io/rule notin (llm)", false, true},
        {"gpuscale.io/rule", true, true},
        {"!gpuscale.io/rule", false, false},
        {"gpuscale.io/rule=llm,app=llm", false, false},
        {"gpuscale.io/rule=llm,app!=x", true, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 << 16);
        struct kube_selector s;
        assert_int_equal(kube_selector_parse(&s, &a, str_from(cases[i].selector), NULL), 0);
        if (metrics_api_selects(&s, "llm") != cases[i].llm ||
            metrics_api_selects(&s, "other") != cases[i].other)
            fail_msg("%s", cases[i].selector);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_names_a_namespace_and_a_metric),
        cmocka_unit_test(aggregated_discovery_is_for_who_names_it),
        cmocka_unit_test(the_front_proxy_says_who_asks),
        cmocka_unit_test(a_user_that_does_not_fit_is_none),
        cmocka_unit_test(a_rule_is_chosen_by_its_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
