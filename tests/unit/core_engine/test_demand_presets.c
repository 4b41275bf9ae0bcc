// SPDX-License-Identifier: Apache-2.0
/* Demand presets: what they read off real pages, what they need, what they call missing. */
#include "repo_file.h"

#include "base/mem.h"
#include "core/engine/demand.h"

static struct demand_rule *rule_new(const struct demand_rule_spec *spec) {
    struct demand_rule *rule;
    struct err e = {0};
    if (demand_rule_new(&rule, spec, &e) < 0)
        fail_msg("%s", e.msg);
    return rule;
}

static void read_page(const struct demand_rule *rule, const char *page,
                      struct demand_page_result *ret) {
    struct demand_page *pg;
    struct err e = {0};
    assert_int_equal(demand_page_new(&pg, rule, &e), 0);
    if (demand_page_feed(pg, page, strlen(page), &e) || demand_page_finish(pg, false, ret, &e))
        fail_msg("%s", e.msg);
    demand_page_free(pg);
}

#define NOT_THERE (-1.0)
#define NOT_TOLD (-2.0)

// The spec's keys, in their order.
#define CLUSTER(c)                                                                                 \
    { c }
#define SERVICE(s, port, reporter)                                                                 \
    { [DEMAND_KEY_SERVICE] = s, [DEMAND_KEY_PORT] = port, [DEMAND_KEY_REPORTER] = reporter }

static const struct {
    const char *file;
    struct demand_rule_spec spec;
    double want[DEMAND_VALUE_MAX]; // requests, waiting, in flight
} samples[] = {
    {"envoy", {"envoy", CLUSTER("vllm_8000"), {0}}, {4116, 11, 37}},
    {"envoy", {"envoy", CLUSTER("other"), {0}}, {NOT_THERE, NOT_THERE, NOT_THERE}},
    // the same gauges under Istio's name of the label; its counters are not told there
    {"istio",
     {"envoy", CLUSTER("outbound|8000||vllm.default.svc.cluster.local"), {0}},
     {NOT_THERE, 0, 37}},
    {"istio",
     {"istio", SERVICE("vllm.default.svc.cluster.local", "8000", "destination"), {0}},
     {4116, 0, 37}},
    // the page has the destination's count alone: the source's is another page's
    {"istio",
     {"istio", SERVICE("vllm.default.svc.cluster.local", NULL, NULL), {0}},
     {NOT_THERE, NOT_TOLD, NOT_TOLD}},
    {"ingress_nginx",
     {"ingress-nginx", {[DEMAND_KEY_NAMESPACE] = "default", [DEMAND_KEY_INGRESS] = "vllm"}, {0}},
     {4116, NOT_TOLD, NOT_TOLD}},
    {"ingress_nginx",
     {"ingress-nginx",
      {[DEMAND_KEY_NAMESPACE] = "default",
       [DEMAND_KEY_INGRESS] = "vllm",
       [DEMAND_KEY_SERVICE] = "other"},
      {0}},
     {NOT_THERE, NOT_TOLD, NOT_TOLD}},
    // 31 held by flow control, 23 running; the old spelling of the running ones is on the page,
    // too, and is not added; the page has no counter
    {"llm_d_epp",
     {"epp", {[DEMAND_KEY_POOL] = "vllm-llama3-8b-instruct"}, {0}},
     {NOT_THERE, 31, 23}},
    {"llm_d_epp", {"epp", {[DEMAND_KEY_MODEL] = "m2"}, {0}}, {NOT_THERE, NOT_TOLD, NOT_THERE}},
};

static void check(const char *fact, const struct demand_rule *rule, const char *page,
                  const double want[DEMAND_VALUE_MAX]) {
    struct demand_page_result r = {0};
    read_page(rule, page, &r);
    assert_int_equal(r.bad, 0);
    for (int v = 0; v < DEMAND_VALUE_MAX; v++) {
        double got = SAMPLE_HAS(&r.sample, v)     ? r.sample.v[v]
                     : r.missing >> v & 1         ? NOT_THERE
                     : !(rule->provides >> v & 1) ? NOT_TOLD
                                                  : 0;
        if (got != want[v])
            fail_msg("%s: %s is %g, want %g", fact, demand_value_name((enum demand_value)v), got,
                     want[v]);
    }
}

static void test_sample_pages_give_what_is_written_on_them(void **state) {
    static char text[1 << 18];
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        if (!sample_page(samples[i].file, text, sizeof(text)))
            return;
        struct demand_rule *rule = rule_new(&samples[i].spec);
        check(samples[i].file, rule, text, samples[i].want);
        demand_rule_free(rule);
    }
}

#define ROUTE_KEYS                                                                                 \
    { [DEMAND_KEY_NAMESPACE] = "ns", [DEMAND_KEY_ROUTE] = "llm" }
#define KNATIVE_KEYS                                                                               \
    { [DEMAND_KEY_NAMESPACE] = "ns", [DEMAND_KEY_SERVICE] = "llm" }
#define KN "k8s_namespace_name=\"ns\",kn_service_name=\"llm\",kn_revision_name="

static const struct {
    const char *fact;
    struct demand_rule_spec spec;
    const char *page;
    double want[DEMAND_VALUE_MAX];
} pages[] = {
    {"a request to an Envoy cluster without hosts is demand",
     {"envoy", CLUSTER("llm"), {0}},
     "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"llm\"} 10\n"
     "envoy_cluster_upstream_cx_none_healthy{envoy_cluster_name=\"llm\"} 3\n"
     "envoy_cluster_upstream_cx_none_healthy{envoy_cluster_name=\"other\"} 9\n",
     {13, NOT_THERE, NOT_THERE}},
    {"a cluster's name is matched whole",
     {"envoy", CLUSTER("llm"), {0}},
     "envoy_cluster_upstream_rq_active{envoy_cluster_name=\"llm_8000\"} 10\n",
     {NOT_THERE, NOT_THERE, NOT_THERE}},
    {"Istio's gateway and sidecar on one page count one request twice: one reporter is read",
     {"istio", SERVICE("s", NULL, NULL), {0}},
     "istio_requests_total{reporter=\"source\",destination_service=\"s\",response_code=\"200\"} 7\n"
     "istio_requests_total{reporter=\"source\",destination_service=\"s\",response_code=\"503\"} 1\n"
     "istio_requests_total{reporter=\"destination\",destination_service=\"s\"} 7\n",
     {8, NOT_TOLD, NOT_TOLD}},
    {"Istio without the stats of its clusters",
     {"istio", SERVICE("s", "80", NULL), {0}},
     "istio_requests_total{reporter=\"source\",destination_service=\"s\"} 7\n",
     {7, NOT_THERE, NOT_THERE}},
    {"all revisions of a Knative service, held and passed on",
     {"knative", KNATIVE_KEYS, {0}},
     "kn_revision_request_active{" KN "\"a\"} 2\nkn_revision_request_active{" KN "\"b\"} 3\n"
     "kn_revision_request_queued{" KN "\"a\"} 4\nkn_revision_request_concurrency{" KN "\"a\"} 6\n",
     {NOT_TOLD, NOT_TOLD, 9}},
    {"one revision",
     {"knative",
      {[DEMAND_KEY_NAMESPACE] = "ns", [DEMAND_KEY_SERVICE] = "llm", [DEMAND_KEY_REVISION] = "b"},
      {0}},
     "kn_revision_request_concurrency{" KN "\"a\"} 6\nkn_revision_request_concurrency{" KN
     "\"b\"} 5\n",
     {NOT_TOLD, NOT_TOLD, 5}},
    {"Knative until 1.18",
     {"knative", KNATIVE_KEYS, {0}},
     "activator_request_concurrency{namespace_name=\"ns\",service_name=\"llm\"} 5\n"
     "activator_request_concurrency{namespace_name=\"other\",service_name=\"llm\"} 7\n",
     {NOT_TOLD, NOT_TOLD, 5}},
    {"the http-add-on",
     {"http-add-on", ROUTE_KEYS, {0}},
     "interceptor_request_count_total{code=\"200\",route_name=\"llm\",route_namespace=\"ns\"} 6\n"
     "interceptor_request_count_total{code=\"502\",route_name=\"llm\",route_namespace=\"ns\"} 1\n"
     "interceptor_request_count_total{code=\"200\",route_name=\"x\",route_namespace=\"ns\"} 9\n"
     "interceptor_request_concurrency{route_name=\"llm\",route_namespace=\"ns\"} 2\n",
     {7, NOT_TOLD, 2}},
    {"the endpoint picker with nobody to pick: what it turned away is demand",
     {"epp", {[DEMAND_KEY_POOL] = "p"}, {0}},
     "llm_d_epp_request_total{model_name=\"m\"} 5\n"
     "llm_d_epp_flow_control_requests_total{inference_pool=\"p\",outcome=\"Dispatched\"} 5\n"
     "llm_d_epp_flow_control_requests_total{inference_pool=\"p\",outcome=\"RejectedNoEndpoints\"} "
     "2\n"
     "llm_d_epp_flow_control_requests_total{inference_pool=\"p\",outcome=\"EvictedNoEndpoints\"} "
     "1\n"
     "llm_d_epp_flow_control_pool_saturation{inference_pool=\"p\",stage=\"effective\"} 1\n",
     {8, 0, NOT_THERE}},
    {"the endpoint picker's first names, dual-emitted with the second: never both",
     {"epp", {0}, {0}},
     "inference_objective_request_total{model_name=\"m\"} 5\n"
     "inference_model_request_total{model_name=\"m\"} 5\n"
     "inference_objective_running_requests{model_name=\"m\"} 2\n"
     "inference_model_running_requests{model_name=\"m\"} 2\n",
     {5, NOT_TOLD, 2}},
    {"a written selector wins over the preset's",
     {"ingress-nginx",
      {[DEMAND_KEY_NAMESPACE] = "n", [DEMAND_KEY_INGRESS] = "i"},
      {NULL, NULL, "g{a=\"b\"}"}},
     "nginx_ingress_controller_requests{namespace=\"n\",ingress=\"i\"} 4\ng{a=\"b\"} 3\ng 2\n",
     {4, NOT_TOLD, 3}},
};

static void test_pages_of_gateways(void **state) {
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        struct demand_rule *rule = rule_new(&pages[i].spec);
        check(pages[i].fact, rule, pages[i].page, pages[i].want);
        demand_rule_free(rule);
    }
}

static void test_keys_are_values_not_selectors(void **state) {
    struct demand_rule_spec spec = {"envoy", CLUSTER("a\"} b\\\n,x=\"{y}"), {0}};
    struct demand_rule *rule = rule_new(&spec);
    static const double want[] = {NOT_THERE, NOT_THERE, 3};
    check("every byte of a key is the label's", rule,
          "envoy_cluster_upstream_rq_active{envoy_cluster_name=\"a\\\"} b\\\\\\n,x=\\\"{y}\"} 3\n",
          want);
    demand_rule_free(rule);
}

static void test_what_is_looked_for_is_said(void **state) {
    struct demand_rule_spec spec = {
        "epp", {[DEMAND_KEY_POOL] = "p", [DEMAND_KEY_MODEL] = "m"}, {0}};
    struct demand_rule *rule = rule_new(&spec);
    assert_string_equal(rule->text[DEMAND_REQUESTS_TOTAL],
                        "llm_d_epp_request_total{model_name=\"m\"} or "
                        "inference_objective_request_total{model_name=\"m\"} or "
                        "inference_model_request_total{model_name=\"m\"}");
    assert_string_equal(
        rule->text[DEMAND_WAITING],
        "llm_d_epp_flow_control_queue_size{inference_pool=\"p\",model_name=\"m\"} or "
        "inference_extension_flow_control_queue_size{inference_pool=\"p\",model_name=\"m\"}");
    demand_rule_free(rule);
}

static void test_what_the_counter_has_not_counted(void **state) {
    static const struct {
        struct demand_rule_spec spec;
        uint32_t uncounted;
    } cases[] = {
        {{"envoy", CLUSTER("c"), {0}}, 1u << DEMAND_WAITING},
        {{"istio", SERVICE("s", "80", NULL), {0}}, 1u << DEMAND_WAITING | 1u << DEMAND_INFLIGHT},
        {{"istio", SERVICE("s", NULL, NULL), {0}}, 0}, // it tells no gauges
        {{"http-add-on", ROUTE_KEYS, {0}}, 1u << DEMAND_INFLIGHT},
        {{"epp", {0}, {0}}, 0},
        {{"envoy", CLUSTER("c"), {"mine"}}, 0}, // who knows what it counts
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct demand_rule *rule = rule_new(&cases[i].spec);
        assert_int_equal(rule->uncounted, cases[i].uncounted);
        demand_rule_free(rule);
    }
}

static void test_what_a_preset_needs_is_said(void **state) {
    static const struct {
        struct demand_rule_spec spec;
        const char *says;
    } cases[] = {
        {{NULL, {0}, {0}},
         "a preset, or at least one of requestsTotal, waiting and inflight is needed"},
        {{"enovy", CLUSTER("c"), {0}},
         "no demand preset \"enovy\", did you mean \"envoy\"?; there are: envoy, istio, "
         "ingress-nginx, knative, epp, http-add-on"},
        {{"envoy", {0}, {0}},
         "preset envoy needs cluster (Envoy's name of the upstream cluster); it takes: cluster"},
        {{"http-add-on", {[DEMAND_KEY_NAMESPACE] = "n"}, {0}},
         "preset http-add-on needs route (name of the InterceptorRoute or HTTPScaledObject); it "
         "takes: namespace, route"},
        {{"envoy", {"c", "s"}, {0}}, "preset envoy has no key service; it needs: cluster"},
        {{"epp", {[DEMAND_KEY_PORT] = "1"}, {0}},
         "preset epp has no key port; it needs: none; it may have: pool, model"},
        {{"envoy", CLUSTER(""), {0}}, "cluster: empty"},
        {{"istio", SERVICE("s", NULL, "both"), {0}},
         "reporter: \"both\" is not allowed; allowed: source, destination, waypoint"},
        {{NULL, CLUSTER("c"), {"r"}}, "cluster: without a preset nothing says what it means"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct demand_rule *rule = NULL;
        struct err e = {0};
        assert_int_equal(demand_rule_new(&rule, &cases[i].spec, &e), ERR_INVALID);
        assert_string_equal(e.msg, cases[i].says);
        assert_null(rule);
    }
}

static char engines_md[1 << 18], signals_md[1 << 18];

static void check_documented(const char *preset, const char *what) {
    if (!strstr(engines_md, what))
        fail_msg("docs/engines.md lacks %s of demand preset %s", what, preset);
}

// Every row: no empty lists, every key that its texts name is one that it takes, in the document.
static void test_every_row_is_well_formed_and_documented(void **state) {
    assert_true(repo_file("docs/engines.md", engines_md, sizeof(engines_md)));
    assert_true(repo_file("docs/signals.md", signals_md, sizeof(signals_md)));
    for (unsigned i = 0; i < demand_presets_n; i++) {
        const struct demand_preset *p = &demand_presets[i];
        check_documented(p->name, p->name);
        if (!strstr(signals_md, p->name))
            fail_msg("docs/signals.md lacks demand preset %s", p->name);
        check_documented(p->name, p->page);
        assert_int_equal(p->required & p->optional, 0);
        for (int k = 0; k < DEMAND_KEY_MAX; k++)
            if ((p->required | p->optional) >> k & 1)
                check_documented(p->name, demand_key_name((enum demand_key)k));
        for (int v = 0; v < DEMAND_VALUE_MAX; v++) {
            unsigned ways = 0;
            for (const struct demand_way *w = p->values[v]; w && w->add; w++, ways++) {
                unsigned terms = 0;
                for (; w->add[terms].name; terms++)
                    check_documented(p->name, w->add[terms].name);
                assert_true(terms > 0 && terms <= DEMAND_TERMS_MAX);
                assert_false(w->add[0].optional);
            }
            assert_true(ways <= DEMAND_WAYS_MAX && (!p->values[v] || ways > 0));
        }
        assert_int_equal(p->uncounted & 1u << DEMAND_REQUESTS_TOTAL, 0);
    }
}

static void test_every_failing_allocation_is_reported(void **state) {
    struct demand_rule_spec spec = {
        "epp", {[DEMAND_KEY_POOL] = "p", [DEMAND_KEY_MODEL] = "m"}, {0}};
    int failures = 0;
    for (long k = 1;; k++, failures++) {
        struct demand_rule *rule = NULL;
        struct err e = {0};
        mem_fail_from(k);
        int r = demand_rule_new(&rule, &spec, &e);
        mem_fail_never();
        demand_rule_free(rule);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
    }
    assert_true(failures > 20);
}

static void test_rules_are_the_same_when_they_read_the_same(void **state) {
    struct demand_rule_spec a = {"envoy", CLUSTER("a"), {0}}, b = {"envoy", CLUSTER("b"), {0}};
    struct demand_rule *one = rule_new(&a), *two = rule_new(&a), *other = rule_new(&b);
    assert_true(demand_rule_same(one, two));
    assert_false(demand_rule_same(one, other));
    demand_rule_free(one);
    demand_rule_free(two);
    demand_rule_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_pages_give_what_is_written_on_them),
        cmocka_unit_test(test_pages_of_gateways),
        cmocka_unit_test(test_keys_are_values_not_selectors),
        cmocka_unit_test(test_what_is_looked_for_is_said),
        cmocka_unit_test(test_what_the_counter_has_not_counted),
        cmocka_unit_test(test_what_a_preset_needs_is_said),
        cmocka_unit_test(test_every_row_is_well_formed_and_documented),
        cmocka_unit_test(test_every_failing_allocation_is_reported),
        cmocka_unit_test(test_rules_are_the_same_when_they_read_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
