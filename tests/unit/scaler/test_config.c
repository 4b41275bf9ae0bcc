// SPDX-License-Identifier: Apache-2.0
/* The scaler's configuration: what a person can write wrong, and what is then said. */
#include "scaler/config.h"

#include "base/limits.h"
#include "base/mem.h"
#include "scaler/config_rules.h"
#include "unit.h"

static int parse(const char *text, struct scaler_config *c, struct arena *a, struct err *e) {
    return conf_parse(&scaler_config_spec, str_from(text), "scaler.yaml", c, a, e);
}

static void defaults_are_the_documented_ports(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
    struct scaler_config c = {0};
    struct err e = {0};
    int rc = parse("workloads: w.yaml\n", &c, &a, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_string_equal(c.grpc.listen, ":9443");
    assert_string_equal(c.http.listen, ":9444");
    assert_string_equal(c.health.listen, ":8081");
    assert_int_equal(c.tick_ns, 1000000000);
    assert_int_equal(c.engines.interval_ns, 5000000000);
    assert_int_equal(c.grpc.max_connection_age_ns, 600000000000);
    assert_int_equal(c.demand.n, 0);
    assert_int_equal(c.agents.targets.n, 0);
    assert_int_equal(c.exporters.targets.n, 0);
    assert_string_equal(c.exporters.path, "/metrics");
    assert_int_equal(c.exporters.interval_ns, 10000000000);
    assert_int_equal(c.exporters.collect_interval_ns, 30000000000);
    assert_null(c.grpc.tls.cert);
    assert_false(config_tls_on(&c.agents.tls));
}

static void everything_is_bound(void **state) {
    static const char text[] =
        "grpc: {listen: '127.0.0.1:1', tls: {cert: c, key: k, ca: a, allowedNames: [x.svc, "
        "'spiffe://c/keda']}, maxConnectionAge: 1h}\n"
        "http: {listen: '[::1]:2', tls: {cert: c2, key: k2}}\n"
        "health: {listen: ':3'}\n"
        "agents: {targets: ['a:1', 'b.c:2'], tls: {ca: x, serverName: agent}}\n"
        "exporters: {targets: ['e:9400', 'https://e/m'], path: /x, interval: 1s,\n"
        "            collectInterval: 5s, tls: {ca: y}}\n"
        "engines: {interval: 2s}\n"
        "demand:\n"
        "  gateway: {url: 'http://g/metrics', requestsTotal: 'r{s=\"llm\"}', waiting: w}\n"
        "  other: {url: 'https://o:8/m', inflight: i, interval: 100ms}\n"
        "  mesh: {url: 'http://m/', preset: istio, service: llm.ns.svc, port: 8000}\n"
        "prometheus:\n"
        "  main: {url: 'https://p/x', namespaces: [a, b], bearerTokenFile: t, orgID: o,\n"
        "         headers: {X-A: b}, tls: {ca: c}, interval: 20s, timeout: 7s, lookback: 1m}\n"
        "  all: {url: 'http://q', namespaces: ['*'], enforcedLabel: '',\n"
        "        basicAuth: {username: u, passwordFile: f}}\n"
        "workloads: w.yaml\n"
        "tick: 500ms\n"
        "log: {format: json, level: debug}\n";
    CLEANUP_ARENA struct arena a;
    arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
    struct scaler_config c = {0};
    struct err e = {0};
    int rc = parse(text, &c, &a, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_string_equal(config_tls_files(&c.grpc.tls).ca, "a");
    assert_int_equal(config_tls_files(&c.grpc.tls).n_allowed, 2);
    assert_string_equal(config_tls_files(&c.grpc.tls).allowed[1], "spiffe://c/keda");
    assert_string_equal(c.http.tls.key, "k2");
    assert_int_equal(c.agents.targets.n, 2);
    assert_string_equal(c.agents.targets.items[1], "b.c:2");
    assert_string_equal(c.agents.tls.server_name, "agent");
    assert_true(config_tls_on(&c.agents.tls));
    assert_int_equal(c.exporters.targets.n, 2);
    assert_string_equal(c.exporters.targets.items[1], "https://e/m");
    assert_string_equal(c.exporters.path, "/x");
    assert_int_equal(c.exporters.interval_ns, 1000000000);
    assert_int_equal(c.exporters.collect_interval_ns, 5000000000);
    assert_string_equal(config_tls_files(&c.exporters.tls).ca, "y");
    assert_int_equal(c.demand.n, 3);
    assert_string_equal(c.demand.items[0].name, "gateway");
    assert_string_equal(c.demand.items[0].rule.selector[DEMAND_WAITING], "w");
    assert_null(c.demand.items[0].rule.selector[DEMAND_INFLIGHT]);
    assert_string_equal(c.demand.items[1].url, "https://o:8/m");
    assert_int_equal(c.demand.items[0].interval_ns, 1000000000);
    assert_int_equal(c.demand.items[1].interval_ns, 100000000);
    assert_string_equal(c.demand.items[2].rule.preset, "istio");
    assert_string_equal(c.demand.items[2].rule.key[DEMAND_KEY_PORT], "8000");
    assert_int_equal(c.prometheus.n, 2);
    const struct config_prometheus *p = &c.prometheus.items[0];
    assert_string_equal(p->name, "main");
    assert_string_equal(p->bearer_token_file, "t");
    assert_string_equal(p->org_id, "o");
    assert_string_equal(p->headers.items[0].value, "b");
    assert_string_equal(p->enforced_label, "namespace"); // the default
    assert_int_equal(p->lookback_ns, 60000000000);
    assert_true(config_prometheus_allows(p, STR("b")));
    assert_false(config_prometheus_allows(p, STR("c")));
    assert_true(config_prometheus_allows(p + 1, STR("anyone")));
    assert_string_equal(p[1].enforced_label, "");
    assert_string_equal(p[1].basic_auth.password_file, "f");
    assert_int_equal(p[1].interval_ns, 10000000000);
    assert_int_equal(c.log.format, LOG_FORMAT_JSON);
    assert_int_equal(c.log.level, LOG_LEVEL_DEBUG);
}

static void rules_are_bound_as_triggers_are(void **state) {
    static const char text[] =
        "kubernetes: {enabled: true}\n"
        "http: {tls: {cert: c, key: k}}\n"
        "demand: {gateway: {url: 'http://g/', requestsTotal: r}}\n"
        "metricsAPI: {enabled: true, requestHeader: {ca: f, allowedNames: [front-proxy-client]}}\n"
        "rules:\n"
        "  llm:\n"
        "    namespace: prod\n"
        "    target: deployment/llm\n"
        "    metadata: {engine: vllm, capacity: 2, demand: gateway}\n"
        "  b: {namespace: prod, target: statefulset/b, metadata: {engine: vllm}}\n";
    CLEANUP_ARENA struct arena a;
    arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
    struct scaler_config c = {0};
    struct err e = {0};
    int rc = parse(text, &c, &a, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_true(c.metrics_api.enabled);
    assert_string_equal(c.metrics_api.listen, ":6443");
    assert_string_equal(c.metrics_api.request_header.ca, "f");
    assert_string_equal(c.metrics_api.request_header.allowed_names.items[0], "front-proxy-client");
    assert_int_equal(c.rules.n, 2);
    assert_string_equal(c.rules.items[0].name, "llm");
    assert_string_equal(c.rules.items[0].metadata.items[1].value, "2"); // a number's text
    assert_int_equal(c.rules.items[1].place.line, 10);
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref ref;
    assert_int_equal(config_rule_ref(&c.rules.items[0], pairs, &ref, &e), 0);
    assert_true(ref.rule);
    assert_int_equal(ref.n_pairs, 4);
    assert_true(str_eqc(ref.pairs[0].key, "workload"));
    assert_true(str_eqc(ref.pairs[0].value, "deployment/llm"));
}

static void mistakes_are_told_with_the_place(void **state) {
    static const struct {
        const char *text, *says[3];
    } cases[] = {
        {"tick: 1s\n", {"workloads: FILE", "kubernetes: {enabled: true}"}},
        {"workloads: w\nkubernetes: {enabled: true}\n", {"workloads: w", "exclude"}},
        {"workloads: w\nkubernetes: {kubeconfig: k}\n", {"kubernetes.kubeconfig", "enabled"}},
        {"workloads: w\nkubernetes: {agents: {service: a/b}}\n", {"agents.service", "enabled"}},
        {"kubernetes: {enabled: true, agents: {service: agent}}\n", {"1:47", "NAMESPACE/NAME"}},
        {"kubernetes: {enabled: true, agents: {service: a/b.c}}\n", {"NAMESPACE/NAME"}},
        {"workloads: w\ngrcp: {}\n", {"scaler.yaml:2", "grcp", "grpc"}},
        {"workloads: w\ngrpc: {listn: ':1'}\n", {"scaler.yaml:2", "listn", "listen"}},
        {"workloads: w\ngrpc: {listen: nowhere}\n", {"scaler.yaml:2", "listen", "nowhere"}},
        {"workloads: w\ngrpc: {tls: {cert: c}}\n", {"tls", "key"}},
        {"workloads: w\nagents: {tls: {cert: c}}\n", {"agents.tls", "key"}},
        {"workloads: w\ngrpc: {tls: {cert: c, key: k, allowedNames: [a]}}\n",
         {"grpc.tls.allowedNames", "without ca"}},
        {"workloads: w\ngrpc: {tls: {cert: c, key: k, ca: a, allowedNames: ['*.a']}}\n",
         {"grpc.tls.allowedNames[0]", "without '*'"}},
        {"workloads: w\nexporters: {tls: {key: k}}\n", {"exporters.tls", "cert"}},
        {"workloads: w\nexporters: {path: metrics}\n", {"exporters.path", "begins with '/'"}},
        {"workloads: w\nexporters: {targets: [dcgm.svc]}\n", {"exporters.targets", "HOST:PORT"}},
        {"workloads: w\nagents: {targets: a}\n", {"scaler.yaml:2", "targets"}},
        {"workloads: w\nagents: {targets: ['a:b:c']}\n", {"scaler.yaml:2:20", "a:b:c"}},
        {"workloads: w\nagents: {targets: [':80']}\n", {"scaler.yaml:2:20", "host"}},
        {"workloads: w\nagents: {targets: ['a:0']}\n", {"scaler.yaml:2:20", "port 0"}},
        {"workloads: w\ntick: 1ms\n", {"scaler.yaml:2", "tick", "1ms"}},
        {"workloads: w\ntick: soon\n", {"tick", "soon", "duration"}},
        {"workloads: w\nengines: {interval: 10ms}\n", {"interval"}},
        {"workloads: w\ndemand: {g: {requestsTotal: r}}\n", {"url"}},
        {"workloads: w\ndemand: {g: {url: 'http://g/', interval: 10ms}}\n", {"interval", "100ms"}},
        {"workloads: w\ndemand: {g: {url: 'http://x'}}\n", {"demand.g", "requestsTotal"}},
        {"workloads: w\ndemand: {g: {url: 'ftp://x', waiting: w}}\n", {"url", "ftp://x"}},
        {"workloads: w\ndemand: {g: {url: 'http://x', waiting: 'w{a=~\"b\"}'}}\n",
         {"waiting", "=~"}},
        {"workloads: w\ndemand: {g: {url: 'http://x', preset: envoi, cluster: c}}\n",
         {"demand.g", "envoi", "did you mean \"envoy\""}},
        {"workloads: w\ndemand: {g: {url: 'http://x', preset: ingress-nginx, namespace: n}}\n",
         {"demand.g", "needs ingress (name of the Ingress)", "service, namespace, ingress"}},
        {"workloads: w\ndemand: {g: {url: 'http://x', preset: envoy, cluster: c, pool: p}}\n",
         {"demand.g", "envoy has no key pool", "cluster"}},
        {"workloads: w\ndemand: {g: {url: 'http://x', waiting: w, cluster: c}}\n",
         {"demand.g", "cluster", "without a preset"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p'}}\n", {"namespaces"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: []}}\n", {"namespaces"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: ['A']}}\n",
         {"namespaces", "'A'"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p/api/v1/query', namespaces: ['*']}}\n",
         {"url", "/api/v1/query"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: ['*'], headers: {host: a}}}"
         "\n",
         {"prometheus.m.headers", "host"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: ['*'], headers: {'a b': a}}}"
         "\n",
         {"prometheus.m.headers", "a b"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: ['*'], tls: {ca: x}}}\n",
         {"prometheus.m", "https://"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: ['*'], basicAuth: {username: "
         "u}}}\n",
         {"passwordFile"}},
        {"workloads: w\nprometheus: {m: {url: 'http://p', namespaces: ['*'], interval: 1ms}}\n",
         {"interval"}},
        {"workloads: w\nmetricsAPI: {enabled: true}\n", {"metricsAPI", "kubernetes.enabled"}},
        {"kubernetes: {enabled: true}\nmetricsAPI: {enabled: true}\n",
         {"metricsAPI.tls", "http.tls"}},
        {"kubernetes: {enabled: true}\nhttp: {webConfig: web.yml}\nmetricsAPI: {enabled: true}\n",
         {"needs metricsAPI.tls", "web.yml (http.webConfig)", "http port alone"}},
        {"workloads: w\nmetricsAPI: {tls: {cert: c}}\n", {"metricsAPI.tls.key", "missing"}},
        {"kubernetes: {enabled: true}\nmetricsAPI: {enabled: true, tls: {cert: c, key: k},\n"
         "  requestHeader: {allowedNames: [a]}}\n",
         {"requestHeader", "needs its ca"}},
        {"workloads: w\nrules:\n  a: {target: deployment/a, metadata: {engine: vllm}}\n",
         {"scaler.yaml:3", "rules.a.namespace", "missing"}},
        {"workloads: w\nrules:\n  a: {namespace: n, target: pod/a, metadata: {engine: vllm}}\n",
         {"scaler.yaml:3:29", "rules.a.target", "deployment/NAME"}},
        {"workloads: w\nrules:\n  a: {namespace: n, target: deployment/a, metadata: {queue: 3}}\n",
         {"line 3: rules.a", "rule n/a", "no capacity signal"}},
        {"workloads: w\nrules:\n  a: {namespace: n, target: deployment/a,\n"
         "      metadata: {engine: vllm, capacty: 3}}\n",
         {"line 3: rules.a", "rule n/a: unknown key \"capacty\"", "capacity"}},
        {"workloads: w\nrules:\n  a: {namespace: n, target: deployment/a,\n"
         "      metadata: {engine: vllm, demand: gate}}\n",
         {"line 3: rules.a", "demand \"gate\"", "no demand sources"}},
        {"workloads: w\nrules:\n  a: {namespace: n, target: deployment/a,\n"
         "      metadata: {engine: vllm, workload: deployment/b}}\n",
         {"line 3: rules.a", "workload", "target"}},
        {"workloads: w\nrules: {A: {namespace: n, target: deployment/a, metadata: {engine: "
         "vllm}}}\n",
         {"line 2: rules.A", "lower case"}},
        {"workloads: w\nlog: {level: loud}\n", {"level", "loud"}},
        {"workloads: w\nworkloads: v\n", {"scaler.yaml:2", "workloads"}},
        {"workloads: [w]\n", {"workloads"}},
        {"- a\n", {"scaler.yaml"}},
        {"", {"scaler.yaml"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
        struct scaler_config c = {0};
        struct err e = {0};
        if (parse(cases[i].text, &c, &a, &e) == 0)
            fail_msg("accepted: %s", cases[i].text);
        for (int s = 0; s < 3 && cases[i].says[s] != NULL; s++)
            if (strstr(e.msg, cases[i].says[s]) == NULL)
                fail_msg("\"%s\" does not say \"%s\"", e.msg, cases[i].says[s]);
    }
}

static void a_cluster_takes_the_place_of_the_workloads_file(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
    struct scaler_config c = {0};
    struct err e = {0};
    int rc = parse("kubernetes: {enabled: true, kubeconfig: k, agents: {service: g/a, port: 9443}}",
                   &c, &a, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_null(c.workloads);
    assert_true(c.kubernetes.enabled);
    assert_true(c.kubernetes.events);
    assert_string_equal(c.kubernetes.kubeconfig, "k");
    assert_string_equal(c.kubernetes.agents.service, "g/a");
    assert_string_equal(c.kubernetes.agents.port, "9443");
}

// A pod is told its IP without brackets, whatever its family; the port is ours.
static void the_other_scalers_reach_a_pod_of_either_family(void **state) {
    static const struct {
        const char *listen, *replicas, *want; // want NULL: refused
    } cases[] = {
        {":9443", "ip: 10.244.1.7", "10.244.1.7:9443"},
        {"'[::]:9443'", "ip: 'fd00:10:244::7'", "[fd00:10:244::7]:9443"},
        {":9443", "address: '10.244.1.7:1'", "10.244.1.7:1"},
        {":9443", "address: '[fd00::7]:9443'", "[fd00::7]:9443"},
        {":9443", "address: 'fd00::7:9443'", NULL},
        {":9443", "ip: '[fd00::7]'", NULL},
        {":9443", "ip: '10.244.1.7:9443'", NULL},
        {":9443", "ip: pod.example", NULL},
        {":0", "ip: 10.244.1.7", NULL},
        {"'unix:/s'", "ip: 10.244.1.7", NULL},
        {":9443", "ip: 10.244.1.7, address: '10.244.1.7:9443'", NULL},
        {":9443", "identity: a", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, LIMIT_CONFIG_ARENA_BYTES);
        struct scaler_config c = {0};
        struct err e = {0};
        char text[512], address[300];
        (void)snprintf(text, sizeof(text),
                       "grpc: {listen: %s}\nkubernetes: {enabled: true}\n"
                       "replicas: {lease: a/b, %s}\n",
                       cases[i].listen, cases[i].replicas);
        int rc = parse(text, &c, &a, &e);
        if (cases[i].want == NULL) {
            assert_true(rc < 0 && e.msg[0] != '\0');
            continue;
        }
        assert_string_equal(e.msg, "");
        assert_int_equal(config_replicas_address(&c, address, sizeof(address), &e), 0);
        assert_string_equal(address, cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_takes_the_place_of_the_workloads_file),
        cmocka_unit_test(defaults_are_the_documented_ports),
        cmocka_unit_test(everything_is_bound),
        cmocka_unit_test(rules_are_bound_as_triggers_are),
        cmocka_unit_test(the_other_scalers_reach_a_pod_of_either_family),
        cmocka_unit_test(mistakes_are_told_with_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
