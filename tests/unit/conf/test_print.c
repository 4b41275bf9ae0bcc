// SPDX-License-Identifier: Apache-2.0
/* conf/print: --help is complete and fits a terminal; --print-config reads back to the same. */
#include "base/random.h"
#include "conf/internal.h"
#include "conf/sample.h"

static void help_names_every_flag_and_fits_the_terminal(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    char *argv[] = {(char[]){"sample"}, (char[]){"--help"}, NULL};
    assert_int_equal(conf_load(&sample_spec, 2, argv, &s, &a, &o, NULL), 0);
    static const char *const expected[] = {
        "Usage: sample [FLAGS]\n",
        "  --listen HOST:PORT            Where /metrics is served. (a string from 1 to 20 bytes; "
        "default\n"
        "                                :9400)\n",
        "  --log-level LEVEL             What is logged. (one of debug, info, warn; default "
        "info)\n",
        "  --push                        Wakes at once.\n",
        "  --replicas N                  How many. (an integer from 1 to 1000; default 3)\n",
        "  --tick DURATION               Time between two decisions. (a duration from 100ms to "
        "1m;\n",
        "  --grpc-listen HOST:PORT       Where KEDA asks. (default :9443)\n",
        "  --grpc-cert VALUE             Certificate chain, PEM. (required where grpc.tls is "
        "given)\n",
        "  --target HOST:PORT            Agents. (may be repeated)\n",
        "  --config FILE ",
        "  --print-config ",
        "  --help ",
        "  --version ",
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        if (!strstr(o.text, expected[i]))
            fail_msg("no\n%s in\n%s", expected[i], o.text);
    }
    struct str rest = str_from(o.text);
    while (rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        assert_true(line.n <= 96);
        assert_true(line.n == 0 || line.p[line.n - 1] != ' ');
    }
}

static void print_config_is_a_template(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct conf_outcome o;
    char *argv[] = {(char[]){"sample"}, (char[]){"--print-config"}, (char[]){"--tick=2s"}, NULL};
    assert_int_equal(conf_load(&sample_spec, 3, argv, &s, &a, &o, NULL), 0);
    assert_string_equal(o.text, "# Where /metrics is served.\n"
                                "listen: \":9400\"\n"
                                "# # Says nothing.\n"
                                "# note:\n"
                                "# What is logged.\n"
                                "level: info\n"
                                "# Wakes at once.\n"
                                "push: false\n"
                                "# How many.\n"
                                "replicas: 3\n"
                                "# Time between two decisions.\n"
                                "tick: 2s\n"
                                "# Dead band.\n"
                                "tolerance: 0.1\n"
                                "# At most so much.\n"
                                "memory: 65536\n"
                                "# The gRPC server.\n"
                                "grpc:\n"
                                "  # Where KEDA asks.\n"
                                "  listen: \":9443\"\n"
                                "  # Age at which a connection is asked to go.\n"
                                "  maxConnectionAge: 5m0s\n"
                                "#   # TLS.\n"
                                "#   tls:\n"
                                "#     # Certificate chain, PEM.\n"
                                "#     cert:\n"
                                "#     # Its key.\n"
                                "#     key:\n"
                                "#   proxy:\n"
                                "#     # Which proxy.\n"
                                "#     url: URL\n"
                                "#     user:\n"
                                "# # Agents.\n"
                                "# targets: []\n"
                                "# buckets: []\n"
                                "# ports: []\n"
                                "# waits: []\n"
                                "# # Who holds GPUs.\n"
                                "# pods: []\n"
                                "# labels: {}\n"
                                "# weights: {}\n"
                                "# # By name.\n"
                                "# demand: {}\n");
}

static const char *random_text(struct random *r, struct arena *a, size_t max) {
    static const char *const pieces[] = {"a",
                                         "Z",
                                         "0",
                                         " ",
                                         ":",
                                         "#",
                                         "-",
                                         "\"",
                                         "'",
                                         "\\",
                                         "\n",
                                         "\t",
                                         "{",
                                         "\x1b",
                                         "\xc2\x85",
                                         "\x7f",
                                         "\r",
                                         "&",
                                         "*",
                                         "!",
                                         "%",
                                         "@",
                                         "`",
                                         "null",
                                         "1",
                                         "~",
                                         ",",
                                         "]",
                                         "|",
                                         ">",
                                         "?",
                                         "true",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xe2\x80\xa8"};
    char text[256];
    size_t n = 0;
    for (uint64_t k = 1 + random_below(r, max); k > 0; k--) {
        const char *piece = pieces[random_below(r, COUNT_OF(pieces))];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return arena_strdup(a, (struct str){text, n});
}

// Any bound configuration, printed, binds to one that prints the same.
static void what_is_printed_reads_back_to_the_same(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int round = 0; round < 300; round++) {
        CLEANUP_ARENA struct arena a;
        arena_init(&a, 8 << 20);
        struct sample s = {
            .listen = "x:1",
            .note = random_below(&r, 3) ? random_text(&r, &a, 30) : NULL,
            .level = (enum sample_level)random_below(&r, 3),
            .replicas = 1 + (int64_t)random_below(&r, 100),
            .tick_ns = 100000000 + (int64_t)random_below(&r, 59000000000),
            .tolerance = 1 - random_exponential(&r, 5),
            .memory = random_below(&r, 1 << 30),
            .push = random_below(&r, 2),
        };
        s.grpc.listen = random_text(&r, &a, 5);
        s.grpc.max_age_ns = (int64_t)(random_u64(&r) >> 1);
        if (random_below(&r, 2)) {
            s.grpc.tls.cert = random_text(&r, &a, 5);
            s.grpc.tls.key = random_text(&r, &a, 5);
        }
        if (random_below(&r, 2))
            s.grpc.proxy.user = random_text(&r, &a, 5);
        s.targets.n = random_below(&r, 4);
        s.targets.items = arena_array(&a, 4, sizeof(*s.targets.items));
        for (size_t i = 0; i < s.targets.n; i++)
            s.targets.items[i] = random_text(&r, &a, 8);
        s.pods.n = random_below(&r, 3);
        s.pods.items = arena_array(&a, 3, sizeof(*s.pods.items));
        for (size_t i = 0; i < s.pods.n; i++) {
            s.pods.items[i].gpu = random_text(&r, &a, 3);
            s.pods.items[i].namespace = random_text(&r, &a, 3);
        }
        s.labels.n = random_below(&r, 2);
        s.labels.items = arena_array(&a, 2, sizeof(*s.labels.items));
        for (size_t i = 0; i < s.labels.n; i++) {
            s.labels.items[i].name = random_text(&r, &a, 20);
            s.labels.items[i].value = random_text(&r, &a, 20);
        }
        s.demand.n = random_below(&r, 2);
        s.demand.items = arena_array(&a, 2, sizeof(*s.demand.items));
        for (size_t i = 0; i < s.demand.n; i++) {
            s.demand.items[i].name = random_text(&r, &a, 5);
            s.demand.items[i].url = "http://x";
            s.demand.items[i].weight = random_unit(&r);
        }
        const char *first = conf_print(&sample_spec, &s, &a);
        struct sample back;
        struct err e = {0};
        if (conf_parse(&sample_spec, str_from(first), "p.yaml", &back, &a, &e) < 0)
            fail_msg("%s\n%s", e.msg, first);
        assert_string_equal(conf_print(&sample_spec, &back, &a), first);
        if (s.note)
            assert_string_equal(back.note, s.note);
        assert_int_equal(back.tick_ns, s.tick_ns);
        assert_true(back.tolerance == s.tolerance);
    }
}

struct listed {
    struct {
        CONF_LIST_OF(const char *) targets;
    } agents;
};

// A section of lists alone once came out as a bare `agents:`, which is refused as a map of nothing.
static void a_section_that_holds_only_an_unwritten_list_is_a_comment(void **state) {
    static const struct conf_field agents[] = {
        {"targets", CONF_LIST_STRING(struct listed, agents.targets)}, {0}};
    static const struct conf_field fields[] = {
        {"agents", CONF_STRUCT(struct listed, agents, agents)}, {0}};
    static const struct conf_spec spec = {
        .program = "listed", .fields = fields, .size = sizeof(struct listed)};
    static const struct {
        const char *yaml, *printed;
    } cases[] = {
        {"{}", "# agents:\n#   targets: []\n"},
        {"agents: {}", "# agents:\n#   targets: []\n"},
        {"agents: {targets: []}", "agents:\n  targets: []\n"},
        {"agents: {targets: [x]}", "agents:\n  targets:\n    - \"x\"\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_ARENA struct arena a;
        struct listed l = {0};
        arena_init(&a, 8 << 20);
        assert_int_equal(conf_parse(&spec, str_from(cases[i].yaml), "l.yaml", &l, &a, NULL), 0);
        assert_string_equal(conf_print(&spec, &l, &a), cases[i].printed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_names_every_flag_and_fits_the_terminal),
        cmocka_unit_test(print_config_is_a_template),
        cmocka_unit_test(what_is_printed_reads_back_to_the_same),
        cmocka_unit_test(a_section_that_holds_only_an_unwritten_list_is_a_comment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
