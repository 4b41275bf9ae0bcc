// SPDX-License-Identifier: Apache-2.0
/* conf/bind: what files give, and the exact words of every refusal. */
#include "base/buf.h"
#include "base/clock.h"
#include "conf/sample.h"

static int parse(const char *text, const char *name, struct sample *ret, struct arena *a,
                 struct err *e) {
    return conf_parse(&sample_spec, str_from(text), name, ret, a, e);
}

static const char full[] = "listen: ':80'\n"
                           "note: |\n"
                           "  two\n"
                           "  lines\n"
                           "level: warn\n"
                           "push: true\n"
                           "replicas: +7 # a comment\n"
                           "tick: 1.5s\n"
                           "tolerance: 2.5e-1\n"
                           "memory: 1MiB\n"
                           "grpc:\n"
                           "  maxConnectionAge: 90\n"
                           "  tls: {cert: /c, key: /k}\n"
                           "targets: [a:1, \"b:2\"]\n"
                           "buckets: [0.5, 1]\n"
                           "ports: [-1, 0]\n"
                           "waits: [5ms, 1]\n"
                           "pods:\n"
                           "- gpu: 0\n"
                           "  containers: [x]\n"
                           "- {gpu: GPU-1, namespace: ml}\n"
                           "labels:\n"
                           "  app: vllm\n"
                           "  \"on\": 'true'\n"
                           "weights: {a: 1, b: .5}\n"
                           "demand:\n"
                           "  chat: {url: \"http://x\", weight: 2}\n";

static void check_full(const struct sample *s) {
    assert_string_equal(s->listen, ":80");
    assert_string_equal(s->note, "two\nlines\n");
    assert_int_equal(s->level, SAMPLE_WARN);
    assert_true(s->push);
    assert_int_equal(s->replicas, 7);
    assert_int_equal(s->tick_ns, 1500 * NS_PER_MS);
    assert_true(s->tolerance == 0.25);
    assert_int_equal(s->memory, 1 << 20);
    assert_string_equal(s->grpc.listen, ":9443");
    assert_int_equal(s->grpc.max_age_ns, 90 * NS_PER_S);
    assert_string_equal(s->grpc.tls.cert, "/c");
    assert_string_equal(s->grpc.tls.key, "/k");
    assert_int_equal(s->targets.n, 2);
    assert_string_equal(s->targets.items[1], "b:2");
    assert_int_equal(s->buckets.n, 2);
    assert_true(s->buckets.items[0] == 0.5 && s->buckets.items[1] == 1);
    assert_int_equal(s->ports.items[0], -1);
    assert_int_equal(s->waits.items[0], 5 * NS_PER_MS);
    assert_int_equal(s->waits.items[1], NS_PER_S);
    assert_int_equal(s->pods.n, 2);
    assert_string_equal(s->pods.items[0].gpu, "0");
    assert_string_equal(s->pods.items[0].namespace, "default");
    assert_string_equal(s->pods.items[0].containers.items[0], "x");
    assert_string_equal(s->pods.items[1].gpu, "GPU-1");
    assert_string_equal(s->pods.items[1].namespace, "ml");
    assert_int_equal(s->pods.items[1].containers.n, 0);
    assert_int_equal(s->labels.n, 2);
    assert_string_equal(s->labels.items[1].name, "on");
    assert_string_equal(s->labels.items[1].value, "true");
    assert_true(s->weights.items[1].value == 0.5);
    assert_string_equal(s->demand.items[0].name, "chat");
    assert_string_equal(s->demand.items[0].url, "http://x");
    assert_true(s->demand.items[0].weight == 2);
    assert_true(s->demand.items[0].place.line > 0 && s->demand.items[0].place.column > 0);
}

static void every_kind_of_field_is_bound(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct err e = {0};
    if (parse(full, "f.yaml", &s, &a, &e) < 0)
        fail_msg("%s", e.msg);
    check_full(&s);
}

static void json_is_bound_to_the_same(void **state) {
    static const char json[] =
        "{\"listen\": \":80\", \"note\": \"two\\nlines\\n\", \"level\": \"warn\", \"push\": true,\n"
        "\"replicas\": 7, \"tick\": \"1.5s\", \"tolerance\": 0.25, \"memory\": 1048576,\n"
        "\"grpc\": {\"maxConnectionAge\": 90, \"tls\": {\"cert\": \"/c\", \"key\": \"/k\"}},\n"
        "\"targets\": [\"a:1\", \"b:2\"], \"buckets\": [0.5, 1], \"ports\": [-1, 0],\n"
        "\"waits\": [\"5ms\", 1], \"pods\": [{\"gpu\": 0, \"containers\": [\"x\"]},\n"
        "{\"gpu\": \"GPU-1\", \"namespace\": \"ml\"}], \"labels\": {\"app\": \"vllm\", \"on\":\n"
        "\"true\"}, \"weights\": {\"a\": 1, \"b\": 0.5},\n"
        "\"demand\": {\"chat\": {\"url\": \"http://x\", \"weight\": 2}}}";
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct err e = {0};
    if (parse(json, "f.json", &s, &a, &e) < 0)
        fail_msg("%s", e.msg);
    check_full(&s);
}

static void what_is_absent_has_its_default(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    memset(&s, 0xff, sizeof(s));
    assert_int_equal(parse("{}", "f.yaml", &s, &a, NULL), 0);
    assert_string_equal(s.listen, ":9400");
    assert_null(s.note);
    assert_int_equal(s.level, SAMPLE_INFO);
    assert_false(s.push);
    assert_int_equal(s.replicas, 3);
    assert_int_equal(s.tick_ns, NS_PER_S);
    assert_int_equal(s.memory, 65536);
    assert_int_equal(s.grpc.max_age_ns, 300 * NS_PER_S);
    assert_null(s.grpc.tls.cert);
    assert_int_equal(s.targets.n, 0);
    assert_null(s.targets.items);
    assert_int_equal(s.demand.n, 0);
}

static const struct {
    const char *text, *message;
} refusals[] = {
    // Unknown keys.
    {"lisen: x", "f.yaml:1:1: key 'lisen': unknown; did you mean 'listen'?"},
    {"grpc:\n  tls:\n    certt: x",
     "f.yaml:3:5: key 'grpc.tls.certt': unknown; did you mean 'cert'?"},
    {"grpc: {zzz: 1}", "f.yaml:1:8: key 'grpc.zzz': unknown; known here: listen, "
                       "maxConnectionAge, tls, proxy"},
    {"demand: {a: {url: 'http://x', q: 1}}",
     "f.yaml:1:31: key 'demand.a.q': unknown; known here: url, weight"},
    {"Listen: x", "f.yaml:1:1: key 'Listen': unknown; did you mean 'listen'?"},
    {"? listen2\n: 1", "f.yaml:1:3: key 'listen2': unknown; did you mean 'listen'?"},
    // Twice.
    {"tick: 1s\nlisten: x\ntick: 2s", "f.yaml:3:1: key 'tick': given twice (first in line 1)"},
    {"labels: {a: x, b: x, a: y}", "f.yaml:1:22: key 'labels.a': given twice (first in line 1)"},
    {"pods: [{gpu: a, \"gpu\": b}]",
     "f.yaml:1:17: key 'pods[0].gpu': given twice (first in line 1)"},
    // Missing.
    {"grpc: {tls: {cert: x}}", "f.yaml:1:13: key 'grpc.tls.key': missing"},
    {"grpc: {tls: {key: x}}", "f.yaml:1:13: key 'grpc.tls.cert': missing (or --grpc-cert)"},
    {"pods:\n- namespace: x", "f.yaml:2:3: key 'pods[0].gpu': missing"},
    {"demand:\n  a: {}", "f.yaml:2:6: key 'demand.a.url': missing"},
    // Another type.
    {"- x", "f.yaml:1:1: found a list, expected a map of keys"},
    {"x", "f.yaml:1:1: found 'x', expected a map of keys"},
    {"''", "f.yaml:1:1: found \"\", expected a map of keys"},
    {"listen:", "f.yaml:1:1: key 'listen': found nothing, expected a string from 1 to 20 bytes"},
    {"listen: null",
     "f.yaml:1:9: key 'listen': found 'null', expected a string from 1 to 20 bytes"},
    {"listen: 80",
     "f.yaml:1:9: key 'listen': found '80', expected a string from 1 to 20 bytes (put it in "
     "quotes)"},
    {"listen: true",
     "f.yaml:1:9: key 'listen': found 'true', expected a string from 1 to 20 bytes (put it in "
     "quotes)"},
    {"listen: [x]", "f.yaml:1:9: key 'listen': found a list, expected a string from 1 to 20 bytes"},
    {"note: 0x1f", "f.yaml:1:7: key 'note': found '0x1f', expected a string (put it in quotes)"},
    {"note: .inf", "f.yaml:1:7: key 'note': found '.inf', expected a string (put it in quotes)"},
    {"note: ~", "f.yaml:1:7: key 'note': found '~', expected a string"},
    {"push: yes", "f.yaml:1:7: key 'push': found 'yes', expected true or false (YAML 1.2 has no "
                  "yes, no, on and off)"},
    {"push: on", "f.yaml:1:7: key 'push': found 'on', expected true or false (YAML 1.2 has no "
                 "yes, no, on and off)"},
    {"push: 1", "f.yaml:1:7: key 'push': found '1', expected true or false"},
    {"push: \"true\"",
     "f.yaml:1:7: key 'push': found \"true\", expected true or false (without quotes)"},
    {"replicas: 1.5", "f.yaml:1:11: key 'replicas': found '1.5', expected an integer from 1 to "
                      "1000"},
    {"replicas: 010", "f.yaml:1:11: key 'replicas': found '010', expected an integer from 1 to "
                      "1000"},
    {"replicas: '5'", "f.yaml:1:11: key 'replicas': found \"5\", expected an integer from 1 to "
                      "1000 (without quotes)"},
    {"tolerance: .nan", "f.yaml:1:12: key 'tolerance': found '.nan', expected a number of at most "
                        "1"},
    {"tolerance: 1e999", "f.yaml:1:12: key 'tolerance': found '1e999', expected a number of at "
                         "most 1"},
    {"tick: soon", "f.yaml:1:7: key 'tick': found 'soon', expected a duration from 100ms to 1m"},
    {"grpc: {maxConnectionAge: 5x}",
     "f.yaml:1:26: key 'grpc.maxConnectionAge': found '5x', expected a duration such as 300ms, "
     "1.5s or 1h30m"},
    {"grpc: []", "f.yaml:1:7: key 'grpc': found a list, expected a map"},
    {"grpc:", "f.yaml:1:1: key 'grpc': found nothing, expected a map"},
    {"level: inf", "f.yaml:1:8: key 'level': found 'inf', expected one of debug, info, warn; did "
                   "you mean 'info'?"},
    {"level: loud", "f.yaml:1:8: key 'level': found 'loud', expected one of debug, info, warn"},
    {"targets: a", "f.yaml:1:10: key 'targets': found 'a', expected a list"},
    {"targets: {a: b}", "f.yaml:1:10: key 'targets': found a map, expected a list"},
    {"targets: [a, [b]]", "f.yaml:1:14: key 'targets[1]': found a list, expected a string"},
    {"labels: [a]", "f.yaml:1:9: key 'labels': found a list, expected a map"},
    {"labels: {a: 1}",
     "f.yaml:1:13: key 'labels.a': found '1', expected a string (put it in quotes)"},
    {"pods: [a]", "f.yaml:1:8: key 'pods[0]': found 'a', expected a map"},
    {"pods: [{gpu: true}]",
     "f.yaml:1:14: key 'pods[0].gpu': found 'true', expected a string (put it in quotes)"},
    // Out of range.
    {"replicas: 0", "f.yaml:1:11: key 'replicas': found '0', expected an integer from 1 to 1000"},
    {"replicas: 99999999999999999999",
     "f.yaml:1:11: key 'replicas': found '99999999999999999999', expected an integer from 1 to "
     "1000"},
    {"tick: 99ms", "f.yaml:1:7: key 'tick': found '99ms', expected a duration from 100ms to 1m"},
    {"tick: 61", "f.yaml:1:7: key 'tick': found '61', expected a duration from 100ms to 1m"},
    {"memory: 1.1GiB", "f.yaml:1:9: key 'memory': found '1.1GiB', expected a size of at most 1GiB"},
    {"tolerance: 1.01", "f.yaml:1:12: key 'tolerance': found '1.01', expected a number of at most "
                        "1"},
    {"demand: {a: {url: 'http://x', weight: -1}}",
     "f.yaml:1:39: key 'demand.a.weight': found '-1', expected a number of at least 0"},
    {"listen: ''", "f.yaml:1:9: key 'listen': found \"\", expected a string from 1 to 20 bytes"},
    {"listen: aaaaaaaaaaaaaaaaaaaaa",
     "f.yaml:1:9: key 'listen': found 'aaaaaaaaaaaaaaaaaaaaa', expected a string from 1 to 20 "
     "bytes"},
    {"targets: [a, b, c, d]", "f.yaml:1:10: key 'targets': found 4 items, expected at most 3"},
    {"pods: [{gpu: a, containers: [x, y, z]}]",
     "f.yaml:1:29: key 'pods[0].containers': found 3 items, expected at most 2"},
    // The field's own check, and the whole's.
    {"demand: {a: {url: ftp}}", "f.yaml:1:19: key 'demand.a.url': found 'ftp', expected a URL "
                                "such as http://host:port/path"},
    {"push: true\nreplicas: 101", "f.yaml: push and replicas above 100 do not go together"},
};

static void refusals_say_where_what_and_what_instead(void **state) {
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 << 20);
        struct sample s, before;
        memset(&s, 0xab, sizeof(s));
        memset(&before, 0xab, sizeof(before));
        struct err e = {0};
        int r = parse(refusals[i].text, "f.yaml", &s, &a, &e);
        if (r != ERR_INVALID || strcmp(e.msg, refusals[i].message) != 0)
            fail_msg("%s\n gives %s: %s\n not %s", refusals[i].text, err_code_name(r), e.msg,
                     refusals[i].message);
        assert_memory_equal(&s, &before, sizeof(s)); // nothing half-bound
    }
}

static void a_long_value_is_shown_shortened(void **state) {
    char text[3000] = "level: ";
    memset(text + 7, 'x', sizeof(text) - 8);
    text[sizeof(text) - 1] = '\0';
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct err e = {0};
    assert_int_equal(parse(text, "f.yaml", &s, &a, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "xxx...', expected one of debug, info, warn"));
    assert_true(strlen(e.msg) < 200);
}

static void every_allocation_may_fail(void **state) {
    long n = 1;
    for (int r = ERR_NOMEM; r != 0; n++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 1 << 20);
        struct sample s;
        struct err e = {0};
        mem_fail_from(n);
        r = parse(full, "f.yaml", &s, &a, &e);
        mem_fail_never();
        if (r == 0)
            check_full(&s);
        else
            assert_int_equal(r, ERR_NOMEM);
        assert_true(r == 0 || e.msg[0]);
    }
    assert_true(n > 3); // it did fail, several times
}

static void a_full_arena_is_no_memory(void **state) {
    CLEANUP_ARENA struct arena enough;
    arena_init(&enough, 1 << 20);
    struct sample s;
    assert_int_equal(parse(full, "f.yaml", &s, &enough, NULL), 0);
    for (size_t max = 0; max < enough.used; max += 16) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, max);
        assert_int_equal(parse(full, "f.yaml", &s, &a, NULL), ERR_NOMEM);
    }
}

static void many_keys_are_checked_quickly(void **state) {
    enum { KEYS = 50000 };
    CLEANUP_BUF struct buf text;
    buf_init(&text, 4 << 20);
    buf_addc(&text, "labels:\n");
    for (int i = 0; i < KEYS; i++)
        buf_addf(&text, "  k%d: x\n", i);
    assert_int_equal(text.err, 0);
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 64 << 20);
    struct sample s;
    struct err e = {0};
    if (conf_parse(&sample_spec, buf_str(&text), "f.yaml", &s, &a, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(s.labels.n, KEYS);
    assert_int_equal(buf_addc(&text, "  k77: y\n"), 0);
    assert_int_equal(conf_parse(&sample_spec, buf_str(&text), "f.yaml", &s, &a, &e), ERR_INVALID);
    assert_string_equal(e.msg, "f.yaml:50002:3: key 'labels.k77': given twice (first in line 79)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_field_is_bound),
        cmocka_unit_test(json_is_bound_to_the_same),
        cmocka_unit_test(what_is_absent_has_its_default),
        cmocka_unit_test(refusals_say_where_what_and_what_instead),
        cmocka_unit_test(a_long_value_is_shown_shortened),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_full_arena_is_no_memory),
        cmocka_unit_test(many_keys_are_checked_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
