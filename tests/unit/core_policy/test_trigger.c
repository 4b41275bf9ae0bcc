// SPDX-License-Identifier: Apache-2.0
/* Trigger metadata: what binds, what it means, and what every mistake is told, word by word. */
#include "lab.h"

#include "base/limits.h"

static struct trigger *bind(const char *metadata) {
    struct trigger *t = NULL;
    struct err e = {0};
    if (lab_bind(&t, metadata, &e))
        fail_msg("%s: %s", metadata, e.msg);
    return t;
}

static void defaults_are_those_of_the_reference(void **state) {
    (void)state;
    struct trigger *t = bind("capacity=2");
    assert_string_equal(t->engine, "custom");
    assert_int_equal(t->target, TARGET_SCALED_OBJECT);
    assert_true(t->capacity == 2 && t->activation == 0 && t->safety == 0.3);
    assert_true(t->tolerance == 0.05 && t->down_margin == 0.1 && t->slo_goal == 0.99);
    assert_int_equal(t->rate_window_ns, 60 * NS_PER_S);
    assert_int_equal(t->down_window_ns, 300 * NS_PER_S);
    assert_int_equal(t->max_age_ns, 30 * NS_PER_S);
    assert_int_equal(t->cold_start_ns, 0);
    assert_int_equal(t->burst_memory_ns, 0);
    assert_int_equal(t->ttft_ns, 2 * NS_PER_S);
    assert_int_equal(t->itl_ns, 100 * NS_PER_MS);
    assert_int_equal(t->mode, MODE_SCALE);
    assert_null(t->when_text);
    assert_null(t->demand);
    assert_int_equal(t->rule_n, 1);
    assert_int_equal(trigger_gpu_signals(t), 0);
    trigger_free(t);
}

static void every_key_binds(void **state) {
    (void)state;
    struct trigger *t = bind(
        "scalerAddress=gpuscale:9443;enableTLS=true;unsafeSsl=false;passwordFromEnv=secret;"
        "workload=statefulset/llama.a-1;engine=vllm;metricsPort=8081;metricsPath=/m?x=1;"
        "capacityFromEnv= 1.5 ;queue=2;kvCache=0.85;tokenRate=900;running=30;"
        "gpuUtilization=80;smActivity=70;tensorActivity=40;gpuMemory=90;power=400;"
        "when=queue and not gpuMemory;activation=1;demand=gateway.shop;safety=0.5;"
        "rateWindow=90;downWindow=3m;tolerance=0;downMargin=0.2;maxAge=20s;coldStart=2m30s;"
        "burstMemory=2h;ttft=1500ms;itl=80ms;sloGoal=0.995;mode=observe");
    assert_int_equal(t->target, TARGET_STATEFULSET);
    assert_string_equal(t->target_name, "llama.a-1");
    assert_int_equal(t->metrics_port, 8081);
    assert_string_equal(t->metrics_path, "/m?x=1");
    assert_true(t->capacity == 1.5 && t->activation == 1 && t->safety == 0.5);
    assert_string_equal(t->demand, "gateway.shop");
    assert_int_equal(t->rate_window_ns, 90 * NS_PER_S); // a bare number is seconds
    assert_int_equal(t->down_window_ns, 180 * NS_PER_S);
    assert_int_equal(t->cold_start_ns, 150 * NS_PER_S);
    assert_int_equal(t->burst_memory_ns, 7200 * NS_PER_S);
    assert_int_equal(t->mode, MODE_OBSERVE);
    assert_string_equal(t->when_text, "queue and not gpuMemory");
    assert_true(trigger_rule_of(t, SIGNAL_QUEUE)->gated);
    assert_false(trigger_rule_of(t, SIGNAL_KV_CACHE)->gated);
    assert_int_equal(t->rule_n,
                     SIGNAL_PROMETHEUS - 1); // all but work: capacity is requests a second
    trigger_free(t);
}

static void roles_depend_on_the_engine(void **state) {
    (void)state;
    struct trigger *t = bind("engine=custom;gpuUtilization=55;tensorActivity=30;queue=10");
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->role, ROLE_CAPACITY);
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->sizing, SIZE_TARGET);
    assert_int_equal(trigger_rule_of(t, SIGNAL_TENSOR_ACTIVITY)->role, ROLE_SATURATING);
    assert_int_equal(trigger_rule_of(t, SIGNAL_QUEUE)->role, ROLE_GUARD);
    trigger_free(t);
    t = bind("engine=vllm;capacity=2;gpuUtilization=55;queue=10;kvCache=0.8");
    assert_int_equal(trigger_rule_of(t, SIGNAL_GPU_UTILIZATION)->role, ROLE_SATURATING);
    assert_int_equal(trigger_rule_of(t, SIGNAL_REQUEST_RATE)->sizing, SIZE_STAFFED);
    assert_int_equal(trigger_rule_of(t, SIGNAL_KV_CACHE)->role, ROLE_GUARD);
    trigger_free(t);
}

static void gpu_activity_with_the_queue_means_both(void **state) {
    (void)state;
    static const struct {
        const char *metadata, *when;
    } rows[] = {
        {"queue=10;gpuUtilization=55", "queue and gpuUtilization"},
        {"queue=10;gpuUtilization=55;when=any", "queue or gpuUtilization"},
        {"queue=10;gpuUtilization=55;when=ALL", "queue and gpuUtilization"},
        {"engine=vllm;capacity=2;queue=10;smActivity=55;kvCache=0.8", "queue and smActivity"},
        {"engine=vllm;capacity=2;queue=10;smActivity=55;kvCache=0.8;when=all",
         "queue and kvCache and smActivity"},
        {"engine=vllm;capacity=2;queue=10;kvCache=0.8", NULL}, // each raises by itself
        {"gpuUtilization=55", NULL},
        {"queue=10;gpuUtilization=55;when= queue\n or gpuUtilization ", "queue  or gpuUtilization"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trigger *t = bind(rows[i].metadata);
        if (!rows[i].when)
            assert_null(t->when_text);
        else
            assert_string_equal(t->when_text, rows[i].when);
        trigger_free(t);
    }
}

static void a_demand_source_sizes_downward_alone(void **state) {
    (void)state;
    struct trigger *t = bind("engine=vllm;capacity=2;demand=gw");
    assert_int_equal(t->rule_n, 2);
    assert_int_equal(t->rule[0].signal, SIGNAL_DEMAND);
    assert_false(t->rule[0].raise_only);
    assert_int_equal(t->rule[1].signal, SIGNAL_REQUEST_RATE);
    assert_true(t->rule[1].raise_only);
    trigger_free(t);
    t = bind("engine=bare;requestRate=2;demand=gw"); // the engine counts no requests
    assert_int_equal(t->rule_n, 1);
    assert_int_equal(t->rule[0].sizing, SIZE_TARGET);
    trigger_free(t);
}

#define ALLOWED                                                                                    \
    "allowed: workload, engine, metricsPort, metricsPath, capacity, requestRate, tokenRate, "      \
    "queue, running, kvCache, smActivity, gpuMemory, power, gpuUtilization, when, "                \
    "tensorActivity, activation, demand, safety, rateWindow, downWindow, tolerance, downMargin, "  \
    "maxAge, coldStart, burstMemory, ttft, itl, sloGoal, mode, work, prometheus.NAME, "            \
    "query.NAME, "                                                                                 \
    "target.NAME"

static void work_sizes_where_nothing_else_does(void **state) {
    (void)state;
    static const struct {
        const char *metadata;
        bool learns;
        enum trigger_sizing sizing;
        double target;
        uint32_t rule_n;
    } rows[] = {
        {"engine=vllm", true, SIZE_STAFFED, 0, 1},
        {"engine=vllm;capacity=learn", true, SIZE_STAFFED, 0, 1},
        {"engine=vllm;capacity=learn;demand=gw;kvCache=0.85", true, SIZE_STAFFED, 0, 2},
        {"engine=vllm;queue=10;gpuUtilization=55", true, SIZE_STAFFED, 0, 3},
        {"engine=vllm;capacity=learn;work=capacity", true, SIZE_STAFFED, 0, 1},
        {"engine=vllm;capacity=700;work=capacity", false, SIZE_STAFFED, 700, 1},
        {"engine=vllm;work=700", false, SIZE_TARGET, 700, 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trigger *t = bind(rows[i].metadata);
        const struct trigger_signal *s = trigger_rule_of(t, SIGNAL_WORK);
        assert_non_null(s);
        assert_int_equal(s->role, ROLE_CAPACITY);
        assert_int_equal(s->sizing, rows[i].sizing);
        assert_true(s->target == rows[i].target && t->learns == rows[i].learns);
        assert_int_equal(t->rule_n, rows[i].rule_n);
        trigger_free(t);
    }
    struct trigger *t = bind("engine=vllm;capacity=2"); // requests a second, as ever
    assert_null(trigger_rule_of(t, SIGNAL_WORK));
    trigger_free(t);
    t = bind("engine=vllm;prometheus.lag=main;query.lag=up;target.lag=5"); // something else sizes
    assert_null(trigger_rule_of(t, SIGNAL_WORK));
    trigger_free(t);
    t = bind("engine=vllm;running=30");
    assert_null(trigger_rule_of(t, SIGNAL_WORK));
    trigger_free(t);
    t = bind("engine=vllm;queue=10;gpuUtilization=55"); // the pair is a guard confirmed by the GPU
    assert_true(trigger_rule_of(t, SIGNAL_QUEUE)->gated);
    assert_false(trigger_rule_of(t, SIGNAL_WORK)->gated);
    trigger_free(t);
}

static void every_mistake_is_told(void **state) {
    (void)state;
    static const struct {
        const char *metadata, *error;
    } rows[] = {
        {"capcity=2.0",
         "unknown key \"capcity\" (value \"2.0\"), did you mean \"capacity\"?; " ALLOWED},
        {"Capacity=2",
         "unknown key \"Capacity\" (value \"2\"), did you mean \"capacity\"?; " ALLOWED},
        {"threshold=5", "unknown key \"threshold\" (value \"5\"); " ALLOWED},
        {"capacity=2;capacity=3", "capacity is given twice (capacityFromEnv counts as capacity)"},
        {"capacity=2;capacityFromEnv=3",
         "capacity is given twice (capacityFromEnv counts as capacity)"},
        {"capacity=", "capacity: \"\" is not allowed: leave the key out or give a value"},
        {"capacity=  ", "capacity: \"\" is not allowed: leave the key out or give a value"},
        {"capacity=fast", "capacity: \"fast\" is not allowed; allowed: requests a second that one "
                          "replica serves, a number above 0; or learn"},
        {"capacity=0", "capacity: \"0\" is not allowed; allowed: requests a second that one "
                       "replica serves, a number above 0; or learn"},
        {"capacity=-1", "capacity: \"-1\" is not allowed; allowed: requests a second that one "
                        "replica serves, a number above 0; or learn"},
        {"capacity=0x10", "capacity: \"0x10\" is not allowed; allowed: requests a second that one "
                          "replica serves, a number above 0; or learn"},
        {"capacity=inf", "capacity: \"inf\" is not allowed; allowed: requests a second that one "
                         "replica serves, a number above 0; or learn"},
        {"capacity=2/s", "capacity: \"2/s\" is not allowed; allowed: requests a second that one "
                         "replica serves, a number above 0; or learn"},
        {"capacity=learn",
         "capacity: \"learn\" needs counters of tokens, finished requests and inter-token latency "
         "of an engine that batches continuously, which engine \"custom\" does not tell: give the "
         "requests a second that one replica serves within its SLO, as in \"2.0\""},
        {"engine=dumb;work=capacity;capacity=700",
         "work: engine \"dumb\" does not tell the tokens that it generates and the requests that "
         "it "
         "finishes: give capacity in requests a second, without work"},
        {"engine=vllm;work=capacity",
         "work: \"capacity\" says that capacity is in tokens a second, and there is none: give "
         "capacity, a number or learn"},
        {"engine=vllm;work=700;capacity=2",
         "capacity and work both say what one replica serves: give capacity (a margin for noise is "
         "added; work: \"capacity\" makes its unit tokens a second) or work (taken as it is)"},
        {"engine=vllm;work=700;capacity=learn",
         "capacity and work both say what one replica serves: give capacity (a margin for noise is "
         "added; work: \"capacity\" makes its unit tokens a second) or work (taken as it is)"},
        {"engine=vllm;requestRate=2;capacity=learn",
         "capacity and requestRate both say how many requests a second one replica serves: give "
         "one of them (capacity adds a margin for noise, requestRate is taken as it is)"},
        {"engine=vllm;work=fast",
         "work: \"fast\" is not allowed; allowed: tokens a second that one replica does (a "
         "generated one counts 1, one of a prompt 0.12), above 0; or \"capacity\": size by work, "
         "`capacity` is in its units"},
        {"work=2", "work: engine \"custom\" does not tell it (it tells: requestRate, queue, "
                   "running): leave it out or name another engine"},
        {"engine=vlm;capacity=2", "engine: \"vlm\" is no engine preset, did you mean \"vllm\"?; "
                                  "allowed: custom, vllm, bare, dumb"},
        {"capacity=2;metricsPort=0",
         "metricsPort: \"0\" is not allowed; allowed: a port of 1 to 65535"},
        {"capacity=2;metricsPort=70000",
         "metricsPort: \"70000\" is not allowed; allowed: a port of 1 to 65535"},
        {"capacity=2;metricsPath=metrics",
         "metricsPath: \"metrics\" is not allowed; allowed: a path that begins with /"},
        {"capacity=2;workload=daemonset/x",
         "workload: \"daemonset/x\" is not allowed; allowed: deployment/NAME, statefulset/NAME or "
         "selector:LABELS, of the ScaledObject's own namespace (without it: its own target)"},
        {"capacity=2;workload=deployment/Llama",
         "workload: \"deployment/Llama\" is not allowed; allowed: deployment/NAME, "
         "statefulset/NAME "
         "or selector:LABELS, of the ScaledObject's own namespace (without it: its own target)"},
        {"capacity=2;demand=10",
         "demand: \"10\" is not allowed; allowed: the name of a demand source of the scaler's "
         "configuration (what one replica serves is said by capacity or requestRate)"},
        {"capacity=2;kvCache=85",
         "kvCache: \"85\" is not allowed; allowed: a ratio of 0.01 to 1, as in 0.85"},
        {"gpuUtilization=0.55", "gpuUtilization: \"0.55\" is not allowed; allowed: percent of 1 to "
                                "100, as in 55 (a ratio of 0.55 is 55)"},
        {"gpuUtilization=110", "gpuUtilization: \"110\" is not allowed; allowed: percent of 1 to "
                               "100, as in 55 (a ratio of 0.55 is 55)"},
        {"capacity=2;maxAge=1", "maxAge: \"1\" is not allowed; allowed: a duration of 5s to 10m"},
        {"capacity=2;downWindow=2h",
         "downWindow: \"2h\" is not allowed; allowed: a duration of 0s to 1h"},
        {"capacity=2;downWindow=soon",
         "downWindow: \"soon\" is not allowed; allowed: a duration of 0s to 1h"},
        {"capacity=2;tolerance=5", "tolerance: \"5\" is not allowed; allowed: a ratio of 0 to 0.5"},
        {"capacity=2;mode=dry-run", "mode: \"dry-run\" is not allowed; allowed: scale or observe"},
        {"", "nothing to scale by: give capacity, the requests a second that one replica serves "
             "within its SLO, as in \"2.0\""},
        {"queue=10",
         "no capacity signal: queue tells trouble, not size (when it is quiet the rule would say "
         "zero replicas); give capacity, the requests a second that one replica serves, or "
         "gpuUtilization, the percent to run at"},
        {"engine=dumb;kvCache=0.8",
         "no capacity signal: kvCache tells trouble, not size (when it is quiet the rule would say "
         "zero replicas); give capacity, the requests a second that one replica serves"},
        {"engine=dumb;queue=10;gpuUtilization=55",
         "no capacity signal: under continuous batching (engine \"dumb\") GPU activity is near "
         "100% from the first request on, so it can confirm but never size; give capacity, the "
         "requests a second that one replica serves"},
        {"capacity=2;requestRate=2",
         "capacity and requestRate both say how many requests a second one replica serves: give "
         "one of them (capacity adds a margin for noise, requestRate is taken as it is)"},
        {"engine=bare;capacity=2",
         "capacity counts requests, but engine \"bare\" tells no request counter: name a demand "
         "source with `demand`, or size by another signal"},
        {"engine=bare;capacity=2;demand=gw;kvCache=0.8",
         "kvCache: engine \"bare\" does not tell it (it tells: queue): leave it out or name "
         "another "
         "engine"},
        {"capacity=2;when=all",
         "when: \"all\" speaks of the signals that have a target, and none has one: leave it out "
         "or name some, as in queue: \"10\""},
        {"capacity=2;queue=5;when=queue and kvCache",
         "when: \"queue and kvCache\" names kvCache, which the rule does not have: give it a "
         "target "
         "(kvCache: a ratio of 0.01 to 1, as in 0.85)"},
        {"capacity=2;queue=5;when=queue and gpu",
         "when: \"queue and gpu\": column 11: \"gpu\" is no signal"},
        {"capacity=2;mode=a\nb", "mode: \"a?b\" is not allowed; allowed: scale or observe"},
        {"capacity=\xff", "capacity: not text (UTF-8 without NUL)"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trigger *t = NULL;
        struct err e = {0};
        int r = lab_bind(&t, rows[i].metadata, &e);
        if (r == 0 || t || strcmp(e.msg, rows[i].error) != 0)
            fail_msg("%s\n gave %s\n not  %s", rows[i].metadata, e.msg, rows[i].error);
        assert_true(r == ERR_INVALID || r == ERR_PARSE);
    }
}

static void sizes_have_limits(void **state) {
    (void)state;
    static char text[LIMIT_METADATA_VALUE_BYTES + 64];
    struct trigger *t = NULL;
    struct err e = {0};
    struct trigger_kv kv[LIMIT_METADATA_KEYS + 1];
    memset(text, 'x', sizeof(text));
    for (int i = 0; i <= LIMIT_METADATA_KEYS; i++)
        kv[i] = (struct trigger_kv){STR("aFromEnv"), STR("1")};
    assert_int_equal(trigger_bind(&t, kv, LIMIT_METADATA_KEYS + 1, lab_presets, 3, &e), ERR_LIMIT);
    kv[0] = (struct trigger_kv){STR("when"), {text, LIMIT_METADATA_VALUE_BYTES + 1}};
    assert_int_equal(trigger_bind(&t, kv, 1, lab_presets, 3, &e), ERR_LIMIT);
    // A long value is shown cut, at a character's end.
    memset(text, 'y', 63);
    memcpy(text + 63, "\xc3\xa4", 2);
    kv[0] = (struct trigger_kv){STR("mode"), {text, 100}};
    memset(text + 65, 'z', 35);
    assert_int_equal(trigger_bind(&t, kv, 1, lab_presets, 3, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "yyyy...\""));
    assert_null(t);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct trigger *t = NULL;
    struct err e = {0};
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        assert_true(n < 200);
        mem_fail_from(n);
        r = lab_bind(&t,
                     "engine=vllm;workload=deployment/a;metricsPath=/"
                     "m;demand=gw;capacity=2;queue=3;kvCache=0.8;"
                     "when=queue and kvCache",
                     &e);
        mem_fail_never();
        assert_true((r == 0) == (t != NULL));
    }
    assert_int_equal(r, 0);
    trigger_free(t);
}

static void the_canonical_form_knows_no_order(void **state) {
    (void)state;
    static const char *const same[] = {
        "capacity=2;queue=10;engine=vllm", "engine=vllm;capacity=2;queue=10",
        "queue=10;scalerAddress=x:1;engine=vllm;enableTLS=true;capacity=2;unsafeSsl=a"};
    static const char *const different[] = {"capacity=2;queue=10;engine=vll", "capacity=2;queue=1",
                                            "capacity=2;queue=10;engine=vllm;mode=scale",
                                            "capacity=21;queue=0;engine=vllm"};
    struct trigger_kv kv[8];
    struct buf first, other;
    buf_init(&first, 1000);
    buf_init(&other, 1000);
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        struct buf *b = i ? &other : &first;
        buf_clear(b);
        assert_int_equal(trigger_canonical(b, kv, lab_pairs(same[i], kv, 8)), 0);
        assert_true(str_eq(buf_str(b), buf_str(&first)));
    }
    for (size_t i = 0; i < COUNT_OF(different); i++) {
        buf_clear(&other);
        assert_int_equal(trigger_canonical(&other, kv, lab_pairs(different[i], kv, 8)), 0);
        assert_false(str_eq(buf_str(&other), buf_str(&first)));
    }
    buf_done(&other);
    buf_init(&other, 10);
    assert_int_equal(trigger_canonical(&other, kv, lab_pairs(same[0], kv, 8)), ERR_LIMIT);
    assert_int_equal(other.len, 0);
    buf_done(&first);
    buf_done(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_reference),
        cmocka_unit_test(every_key_binds),
        cmocka_unit_test(roles_depend_on_the_engine),
        cmocka_unit_test(gpu_activity_with_the_queue_means_both),
        cmocka_unit_test(a_demand_source_sizes_downward_alone),
        cmocka_unit_test(work_sizes_where_nothing_else_does),
        cmocka_unit_test(every_mistake_is_told),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(the_canonical_form_knows_no_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
