// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <unistd.h>

#include "agent/config.h"
#include "base/clock.h"

static char path[64];

static int load(struct agent_config_file **ret, const char *yaml, struct err *e, const char *flag) {
    char config[96], program[] = "gpuscale-agent", extra[128];
    snprintf(path, sizeof path, "/tmp/gpuscale-agent-XXXXXX.yaml");
    int fd = mkstemps(path, 5);
    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    close(fd);
    snprintf(config, sizeof config, "--config=%s", path);
    snprintf(extra, sizeof extra, "%s", flag ? flag : "");
    char *argv[] = {program, config, flag ? extra : NULL, NULL};
    int r = agent_config_load(ret, flag ? 3 : 2, argv, e);
    unlink(path);
    return r;
}

static struct agent_config_file *good(const char *yaml, const char *flag) {
    struct agent_config_file *c = NULL;
    struct err e = {0};
    if (load(&c, yaml, &e, flag))
        fail_msg("%s", e.msg);
    return c;
}

static void test_defaults_are_the_documented_ports(void **state) {
    struct agent_config_file *c = good("{}", NULL);
    assert_string_equal(c->config.source, "auto");
    assert_int_equal(c->config.interval_ns, NS_PER_S);
    assert_string_equal(c->config.metrics.listen, ":9400");
    assert_string_equal(c->config.grpc.listen, ":9443");
    assert_string_equal(c->config.health.listen, ":9401");
    assert_int_equal(c->config.metrics.dcgm, AGENT_DCGM_AUTO);
    assert_int_equal(c->config.metrics.hostname_label, AGENT_HOSTNAME_UPPER);
    assert_true(c->config.metrics.classic && c->config.metrics.own);
    assert_null(c->config.metrics.tls.cert);
    agent_config_free(c);
}

static void test_a_flag_is_stronger_than_the_file(void **state) {
    struct agent_config_file *c = good("source: sim:8\ninterval: 500ms\n", "--source=sim:4,ramp");
    assert_string_equal(c->config.source, "sim:4,ramp");
    assert_int_equal(c->config.interval_ns, 500 * NS_PER_MS);
    agent_config_free(c);
}

static void test_readings_leave_the_page_after_five_intervals_but_not_before_5_s(void **state) {
    struct agent_config_file *c = good("interval: 200ms", NULL);
    assert_int_equal(agent_config_stale_after_ns(&c->config), 5 * NS_PER_S);
    agent_config_free(c);
    c = good("interval: 10s", NULL);
    assert_int_equal(agent_config_stale_after_ns(&c->config), 50 * NS_PER_S);
    agent_config_free(c);
    c = good("metrics: {staleAfter: 30s}", NULL);
    assert_int_equal(agent_config_stale_after_ns(&c->config), 30 * NS_PER_S);
    agent_config_free(c);
}

static void test_pods_become_owners(void **state) {
    struct agent_config_file *c = good("pods:\n"
                                       "- {gpu: 0, namespace: ml, pod: vllm-0, container: main}\n"
                                       "- {gpu: GPU-b, namespace: ml, pod: vllm-1}\n",
                                       NULL);
    struct agent_owners o;
    struct err e = {0};
    assert_int_equal(agent_config_owners(&c->config, &o, &e), 0);
    assert_true(o.known);
    assert_int_equal(o.list.n, 2);
    assert_string_equal(o.list.items[0].device.gpu, "0");
    assert_string_equal(o.list.items[0].owner.container, "main");
    assert_string_equal(o.list.items[1].owner.pod, "vllm-1");
    agent_owners_done(&o);
    agent_config_free(c);
}

static void test_no_list_is_unknown_and_an_empty_one_is_nobody(void **state) {
    struct agent_owners o;
    struct err e = {0};
    struct agent_config_file *c = good("source: sim:1", NULL);
    assert_int_equal(agent_config_owners(&c->config, &o, &e), 0);
    assert_false(o.known);
    agent_config_free(c);
    c = good("pods: []", NULL);
    assert_int_equal(agent_config_owners(&c->config, &o, &e), 0);
    assert_true(o.known);
    assert_int_equal(o.list.n, 0);
    agent_config_free(c);
}

static void test_the_kubelet_is_asked_unless_the_file_names_the_pods(void **state) {
    static const struct {
        const char *yaml;
        bool asks;
        int64_t max_age_s;
    } cases[] = {
        {"{}", true, 30},
        {"pods: []", false, 30},
        {"podResources: {mode: off}", false, 30},
        {"podResources: {mode: on, interval: 20s}", true, 60},
        {"podResources: {interval: 20s, maxAge: 45s}", true, 45},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_config_file *c = good(cases[i].yaml, NULL);
        assert_int_equal(agent_config_asks_kubelet(&c->config), cases[i].asks);
        assert_int_equal(agent_config_owners_max_age_ns(&c->config), cases[i].max_age_s * NS_PER_S);
        agent_config_free(c);
    }
}

static void test_mistakes_are_told_with_place_and_remedy(void **state) {
    static const struct {
        const char *yaml, *flag, *says;
    } cases[] = {
        {"sourc: sim:1", NULL, ":1:1: key 'sourc': unknown; did you mean 'source'?"},
        {"interval: 5", "--interval=5x", "flag --interval: found '5x'"},
        {"interval: 10ms", NULL, "interval"},
        {"metrics: {tls: {cert: a}}", NULL, "metrics.tls.key is missing beside metrics.tls.cert"},
        {"grpc: {tls: {key: a}}", NULL, "grpc.tls.cert is missing beside grpc.tls.key"},
        {"grpc: {tls: {ca: a}}", NULL, "grpc.tls.ca needs grpc.tls.cert"},
        {"grpc: {tls: {cert: a, key: b, allowedNames: [c]}}", NULL,
         "grpc.tls.allowedNames: no certificate is asked for without grpc.tls.ca"},
        {"grpc: {tls: {cert: a, key: b, ca: c, allowedNames: ['']}}", NULL,
         "a name is written out"},
        {"metrics: {dcgm: maybe}", NULL, "maybe"},
        {"pods: [{gpu: 0, namespace: a}]", NULL, "pod"},
        {"pods: [{gpu: '', namespace: a, pod: b}]", NULL, "expected a UUID"},
        {"nodes: 1", "--dcgm=on", "nodes"},
        {"podResources: {mode: yes}", NULL, "yes"},
        {"podResources: {socket: kubelet.sock}", NULL, "expected the absolute path of a socket"},
        {"podResources: {interval: 100ms}", NULL, "podResources.interval"},
        {"pods: []", "--pod-resources=on", "both say who holds the GPUs; remove one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_config_file *c = NULL;
        struct err e = {0};
        int r = load(&c, cases[i].yaml, &e, cases[i].flag);
        if (r != ERR_INVALID || !strstr(e.msg, cases[i].says))
            fail_msg("%s: %d \"%s\", wanted \"%s\"", cases[i].yaml, r, e.msg, cases[i].says);
        assert_null(c);
    }
}

static void test_a_gpu_that_is_held_too_often_is_refused(void **state) {
    static char yaml[8192];
    struct agent_config_file *c = NULL;
    struct err e = {0};
    size_t n = (size_t)snprintf(yaml, sizeof yaml, "pods:\n");
    for (int i = 0; i <= LIMIT_OWNERS_PER_GPU; i++)
        n += (size_t)snprintf(yaml + n, sizeof yaml - n, "- {gpu: 0, namespace: a, pod: p%d}\n", i);
    assert_int_equal(load(&c, yaml, &e, NULL), ERR_INVALID);
    assert_non_null(strstr(e.msg, "GPU 0 is held 65 times, at most 64"));
}

static void test_what_needs_a_restart_is_named(void **state) {
    static const struct {
        const char *yaml, *key;
    } cases[] = {
        {"{}", NULL},
        {"pods: []", NULL},
        {"metrics: {dcgm: on, classic: false, staleAfter: 9s, dcgmExporter: 'h:1'}", NULL},
        {"log: {level: debug}", NULL},
        {"source: sim:1", "source"},
        {"interval: 2s", "interval"},
        {"nodeName: x", "nodeName"},
        {"metrics: {listen: ':1'}", "metrics.listen"},
        {"grpc: {tls: {cert: a, key: b}}", "grpc.tls"},
        {"grpc: {maxConnectionAge: 1h}", "grpc.maxConnectionAge"},
        {"health: {listen: ':1'}", "health.listen"},
    };
    struct agent_config_file *base = good("{}", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct agent_config_file *c = good(cases[i].yaml, NULL);
        const char *key = agent_config_needs_restart(&base->config, &c->config);
        if (!key != !cases[i].key || (key && strcmp(key, cases[i].key) != 0))
            fail_msg("%s: %s", cases[i].yaml, key ? key : "(none)");
        agent_config_free(c);
    }
    agent_config_free(base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_documented_ports),
        cmocka_unit_test(test_a_flag_is_stronger_than_the_file),
        cmocka_unit_test(test_readings_leave_the_page_after_five_intervals_but_not_before_5_s),
        cmocka_unit_test(test_pods_become_owners),
        cmocka_unit_test(test_no_list_is_unknown_and_an_empty_one_is_nobody),
        cmocka_unit_test(test_the_kubelet_is_asked_unless_the_file_names_the_pods),
        cmocka_unit_test(test_mistakes_are_told_with_place_and_remedy),
        cmocka_unit_test(test_a_gpu_that_is_held_too_often_is_refused),
        cmocka_unit_test(test_what_needs_a_restart_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
