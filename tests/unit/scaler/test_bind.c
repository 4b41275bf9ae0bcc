// SPDX-License-Identifier: Apache-2.0
/* Metadata with the scaler's own presets and demand sources. */
#include "scaler/bind.h"

#include "base/mem.h"
#include "scaler/config.h"
#include "unit.h"

static int bind(const struct object_pair *pairs, size_t n, struct trigger **ret, struct err *e) {
    static const char *const names[] = {"gateway", "epp", "activator", "ingress", NULL};
    // all of it; all of it; what is in flight alone; a counter alone
    static const uint32_t tells[] = {7, 7, 1u << DEMAND_INFLIGHT, 1u << DEMAND_REQUESTS_TOTAL};
    struct binder b;
    binder_init(&b, names, tells);
    struct object_ref r = {STR("prod"), STR("llm"), pairs, n};
    return binder_bind(&b, &r, ret, e);
}

static void gpu_activity_sizes_where_the_preset_says_so(void **state) {
    struct object_pair classic[] = {{STR("queue"), STR("10")}, {STR("gpuUtilization"), STR("55")}};
    struct object_pair llm[] = {{STR("engine"), STR("vllm")}, {STR("gpuUtilization"), STR("55")}};
    struct trigger *t = NULL;
    struct err e = {0};
    assert_int_equal(bind(classic, 2, &t, &e), 0);
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->role, ROLE_CAPACITY);
    assert_int_equal(trigger_rule_of(t, SIGNAL_QUEUE)->role, ROLE_GUARD);
    trigger_free(t);
    assert_int_equal(bind(llm, 2, &t, &e), 0); // saturating: work sizes
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->role, ROLE_SATURATING);
    assert_int_equal(trigger_rule_of(t, SIGNAL_WORK)->role, ROLE_CAPACITY);
    trigger_free(t);
    assert_int_equal(bind(classic, 1, &t, &e), ERR_INVALID); // a queue alone
    assert_non_null(strstr(e.msg, "ScaledObject prod/llm"));
}

static void a_demand_source_is_one_of_the_configuration(void **state) {
    struct object_pair good[] = {
        {STR("engine"), STR("vllm")}, {STR("capacity"), STR("2")}, {STR("demand"), STR("epp")}};
    struct object_pair bad[] = {
        {STR("engine"), STR("vllm")}, {STR("capacity"), STR("2")}, {STR("demand"), STR("istio")}};
    struct trigger *t = NULL;
    struct err e = {0};
    assert_int_equal(bind(good, 3, &t, &e), 0);
    trigger_free(t);
    assert_int_equal(bind(bad, 3, &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "istio"));
    assert_non_null(strstr(e.msg, "gateway, epp"));
}

// What an operator writes for each engine, as `key=value` words, and what it becomes:
// "signal:role", `+` where it raises alone; or the sentence that refuses it.
static const struct {
    const char *metadata, *rule;
} engines[] = {
    {"engine=vllm capacity=2 kvCache=0.9", "requestRate:capacity kvCache:guard"},
    {"engine=vllm capacity=2 demand=gateway", "demand:capacity requestRate:capacity+"},
    {"engine=vllm kvCache=0.9", "kvCache:guard work:capacity"},
    {"engine=sglang capacity=learn queue=5", "work:capacity queue:guard"},
    {"engine=sglang queue=5 gpuUtilization=80",
     "queue:guard gpuUtilization:saturating work:capacity"},
    {"engine=trtllm capacity=learn", "work:capacity"},
    {"engine=triton-trtllm capacity=3 queue=4", "requestRate:capacity queue:guard"},
    {"engine=triton-trtllm capacity=learn",
     "capacity: \"learn\" needs counters of tokens, finished requests and inter-token latency"},
    {"engine=triton-trtllm queue=4", "no capacity signal: queue tells trouble, not size"},
    {"engine=triton-trtllm gpuUtilization=80", "no capacity signal: under continuous batching"},
    {"engine=tgi capacity=2 kvCache=0.95", "requestRate:capacity kvCache:guard"},
    {"engine=tgi capacity=learn", "capacity: \"learn\" needs counters"},
    {"engine=dynamo capacity=learn", "work:capacity"},
    {"engine=llamacpp running=3", "running:capacity"},
    {"engine=llamacpp tokenRate=40 queue=2", "tokenRate:capacity queue:guard"},
    {"engine=llamacpp capacity=2",
     "capacity counts requests, but engine \"llamacpp\" tells no request counter: name a demand "
     "source with `demand`, or size by another signal"},
    {"engine=llamacpp capacity=2 demand=gateway", "demand:capacity"},
    {"engine=llamacpp capacity=2 demand=activator",
     "capacity and requestRate count requests, but neither demand source \"activator\" nor engine "
     "\"llamacpp\" tells a counter of them"},
    {"engine=ollama capacity=2 demand=gateway", "demand:capacity"},
    {"engine=ollama capacity=2",
     "capacity counts requests, but engine \"ollama\" tells no request"},
    {"engine=ollama running=2",
     "running: engine \"ollama\" has no metrics page, nothing is read of it: leave running out and "
     "size by a demand source (demand and capacity)"},
    {"engine=ollama gpuUtilization=60", "no capacity signal: under continuous batching"},
    {"engine=ollama capacity=2 demand=ingress queue=5",
     "queue: neither engine \"ollama\" nor demand source \"ingress\" tells how many requests wait"},
    {"engine=ray-serve-llm capacity=learn kvCache=0.9", "work:capacity kvCache:guard"},
    {"engine=ray-serve running=5 queue=2", "queue:guard running:capacity"},
    {"engine=ray-serve queue=10 gpuUtilization=55", "queue:guard gpuUtilization:capacity"},
    {"engine=triton queue=10 gpuUtilization=55", "queue:guard gpuUtilization:capacity"},
    {"engine=triton capacity=20", "requestRate:capacity"},
    {"engine=triton running=5",
     "running: engine \"triton\" does not tell it (it tells: requestRate, queue): leave it out or "
     "name another engine"},
    {"engine=torchserve gpuUtilization=60", "gpuUtilization:capacity"},
    {"engine=torchserve capacity=10", "requestRate:capacity"},
    {"engine=torchserve queue=10 gpuUtilization=55",
     "queue: engine \"torchserve\" does not tell it (it tells: requestRate)"},
    {"engine=torchserve queue=10 gpuUtilization=55 demand=gateway",
     "queue:guard gpuUtilization:capacity"},
    {"engine=kserve capacity=10 demand=activator", "requestRate:capacity"},
    {"engine=kserve smActivity=50", "smActivity:capacity"},
    {"engine=kserve kvCache=0.9", "kvCache: engine \"kserve\" does not tell it"},
    {"queue=10 gpuUtilization=55", "queue:guard gpuUtilization:capacity"},
};

static void say_rule(const struct trigger *t, char *dst, size_t n) {
    size_t at = 0;
    dst[0] = '\0';
    for (uint32_t i = 0; i < t->rule_n; i++)
        at += (size_t)snprintf(dst + at, n - at, "%s%s:%s%s", i ? " " : "",
                               signals[t->rule[i].signal].name, trigger_role_name(t->rule[i].role),
                               t->rule[i].raise_only ? "+" : "");
}

static size_t split(const char *metadata, struct object_pair *pairs) {
    struct str rest = str_from(metadata);
    size_t n = 0;
    while (rest.n) {
        struct str value = str_cut(&rest, ' ');
        struct str key = str_cut(&value, '=');
        pairs[n++] = (struct object_pair){key, value};
    }
    return n;
}

static void every_engine_binds_what_an_operator_writes(void **state) {
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        struct object_pair pairs[8];
        size_t n = split(engines[i].metadata, pairs);
        struct trigger *t = NULL;
        struct err e = {0};
        char said[sizeof(e.msg)];
        if (bind(pairs, n, &t, &e) == 0)
            say_rule(t, said, sizeof(said));
        else
            snprintf(said, sizeof(said), "%s", e.msg);
        if (t ? strcmp(said, engines[i].rule) != 0 : strstr(said, engines[i].rule) == NULL)
            fail_msg("%s: \"%s\", want \"%s\"", engines[i].metadata, said, engines[i].rule);
        trigger_free(t);
    }
}

static void every_preset_has_metadata_in_the_table(void **state) {
    for (unsigned i = 0; i < engine_presets_n; i++) {
        char wanted[80];
        bool found = strcmp(engine_presets[i]->name, "custom") == 0; // the default
        snprintf(wanted, sizeof(wanted), "engine=%s ", engine_presets[i]->name);
        for (size_t k = 0; k < COUNT_OF(engines) && !found; k++)
            found = str_starts(str_from(engines[k].metadata), wanted);
        assert_true(found);
    }
}

static void a_query_reads_what_its_namespace_may(void **state) {
    static const char *some[] = {"prod", "dev"}, *none[] = {"dev"};
    static struct config_prometheus servers[] = {
        {.name = "main", .enforced_label = "ns"},
        {.name = "raw", .enforced_label = ""},
        {.name = "hidden", .enforced_label = "ns"},
    };
    for (int i = 0; i < 2; i++) {
        servers[i].namespaces.items = some;
        servers[i].namespaces.n = 2;
    }
    servers[2].namespaces.items = none;
    servers[2].namespaces.n = 1;
    static const struct {
        const char *server, *query, *enforced, *error;
    } rows[] = {
        {"main", "sum(x)", "sum(x{ns=\"prod\"})", NULL},
        {"raw", "sum(x", NULL, NULL}, // as it is: the server says what is wrong
        {"main", "sum(x", NULL,
         "ScaledObject prod/llm: query.q: column 6: expected ',' or ')', found the end"},
        {"main", "x{ns=\"dev\"}", NULL,
         "ScaledObject prod/llm: query.q: column 6: only series with ns=\"prod\" can be read here, "
         "which is added by itself: leave the matcher out"},
        {"hidden", "x", NULL,
         "ScaledObject prod/llm: prometheus.q: \"hidden\" is no Prometheus server that namespace "
         "prod may use; there are: main, raw"},
        {"mian", "x", NULL,
         "ScaledObject prod/llm: prometheus.q: \"mian\" is no Prometheus server that namespace "
         "prod may use, did you mean \"main\"?; there are: main, raw"},
    };
    static const char *const no_demand[] = {NULL};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct object_pair p[] = {{STR("prometheus.q"), str_from(rows[i].server)},
                                  {STR("query.q"), str_from(rows[i].query)},
                                  {STR("target.q"), STR("2")}};
        struct object_ref r = {STR("prod"), STR("llm"), p, 3};
        struct trigger *t = NULL;
        struct err e = {0};
        struct binder b;
        binder_init(&b, no_demand, NULL);
        binder_set_servers(&b, servers, COUNT_OF(servers));
        int rc = binder_bind(&b, &r, &t, &e);
        assert_int_equal(rc == 0, rows[i].error == NULL);
        if (rows[i].error != NULL)
            assert_string_equal(e.msg, rows[i].error);
        else if (rows[i].enforced != NULL)
            assert_string_equal(t->queries[0].enforced, rows[i].enforced);
        else
            assert_null(t->queries[0].enforced);
        trigger_free(t);
        // Without any server for the namespace it is told so, and no name.
        binder_set_servers(&b, servers + 2, 1);
        t = NULL;
        assert_true(binder_bind(&b, &r, &t, &e) < 0);
        assert_non_null(
            strstr(e.msg, "has no Prometheus server (prometheus:) that namespace prod"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpu_activity_sizes_where_the_preset_says_so),
        cmocka_unit_test(a_demand_source_is_one_of_the_configuration),
        cmocka_unit_test(every_engine_binds_what_an_operator_writes),
        cmocka_unit_test(every_preset_has_metadata_in_the_table),
        cmocka_unit_test(a_query_reads_what_its_namespace_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
