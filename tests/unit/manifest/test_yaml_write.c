// SPDX-License-Identifier: Apache-2.0
/* manifest/yaml_write: what is written is read back as what was meant, by libfyaml. */
#include "manifest/yaml_write.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "unit.h"

// Texts that some reader of YAML takes for something else, or that end what they stand in.
static const char *const hostile[] = {
    "",
    " ",
    "  x",
    "x ",
    "~",
    "null",
    "Null",
    "true",
    "False",
    "yes",
    "NO",
    "on",
    "Off",
    "y",
    "n",
    "1",
    "-1",
    "+1",
    "1.5",
    ".5",
    "1e3",
    "0x1f",
    "0o17",
    "017",
    "1_000",
    "1:30",
    "190:20:30",
    ".inf",
    "-.inf",
    ".nan",
    "2026-11-30",
    "2026-11-30T07:00:00Z",
    "=",
    "<<",
    "-",
    "- x",
    "-x",
    "--",
    "---",
    "--- x",
    "...",
    "?",
    "? x",
    ":",
    ": x",
    "x:",
    "x: y",
    "x:y",
    "#",
    "#x",
    "x #y",
    "x#y",
    "*a",
    "&a",
    "!a",
    "!!str x",
    "|",
    ">",
    "|-",
    "%YAML 1.2",
    "@x",
    "`x`",
    "'",
    "'x'",
    "\"",
    "\"x\"",
    "\\",
    "\\n",
    "x\\",
    "a'b\"c\\d",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    "a, b",
    ",",
    "a,b",
    "\n",
    "x\n",
    "x\ny",
    "x\n\ny",
    "\n x\ny",
    "x \ny",
    " x\n y",
    "x\r\ny",
    "\t",
    "x\ty",
    "\x01",
    "\x1b[2J",
    "\x7f",
    "\xc2\x85",
    "\xc2\xa0",
    "\xe2\x80\xa8",
    "\xe2\x80\xa9",
    "\xef\xbb\xbf",
    "\xef\xbb\xbfx",
    "\xef\xbf\xbe",
    "caf\xc3\xa9",
    "\xe6\xa8\xa1\xe5\x9e\x8b",
    "\xf0\x9f\x98\x80",
    "a: b: c",
    "key: |",
    "sum(rate(x{a=\"b\",c=~\"d-[a-z]+\"}[1m])) / 5",
    "gpu / 55 > replicas ? max(gpu, 1) : 0",
    "10.0.0.1:9443",
    "gpuscale.svc:9443",
    "kubectl.kubernetes.io/last-applied-configuration",
};

struct text {
    struct buf out;
    struct yaml_writer w;
    struct arena a;
    struct conf_node *root;
};

static void start(struct text *t) {
    *t = (struct text){0};
    buf_init(&t->out, 1 << 20);
    arena_init(&t->a, 16 << 20);
    t->w.out = &t->out;
}

static void read_back(struct text *t) {
    struct err e = {0};
    const struct conf_text c = {.text = buf_str(&t->out),
                                .name = "out",
                                .line = 1,
                                .column = 1,
                                .max_bytes = 1 << 20,
                                .max_key_bytes = 4096,
                                .bytes_limit = "B",
                                .tree_limit = "T"};
    assert_int_equal(t->out.err, 0);
    if (conf_tree_read(&c, &t->a, &t->root, &e) < 0)
        fail_msg("%s in\n%.*s", e.msg, (int)t->out.len, t->out.p);
}

static void end(struct text *t) {
    buf_done(&t->out);
    arena_done(&t->a);
}

static void assert_text(const struct conf_node *n, const char *wanted, const struct text *t) {
    if (!n || n->kind != CONF_NODE_SCALAR || !str_eqc(n->text, wanted))
        fail_msg("'%s' came back as '%s' from\n%.*s", wanted, n ? n->text.p : "nothing",
                 (int)t->out.len, t->out.p);
}

static void every_text_comes_back_in_every_place(void **state) {
    for (size_t i = 0; i < COUNT_OF(hostile); i++) {
        struct text t;
        start(&t);
        yaml_comment(&t.w, "%s", hostile[i]);
        yaml_text(&t.w, "text", hostile[i]);
        yaml_quoted(&t.w, "quoted", hostile[i]);
        yaml_block(&t.w, "block", hostile[i]);
        yaml_list(&t.w, "list");
        yaml_entry(&t.w, hostile[i]);
        yaml_item(&t.w);
        yaml_comment(&t.w, "%s", hostile[i]);
        yaml_block(&t.w, "in", hostile[i]);
        yaml_item_end(&t.w);
        if (hostile[i][0] != '\0' && strcmp(hostile[i], "<<") != 0)
            yaml_text(&t.w, hostile[i], "as a key");
        read_back(&t);
        const struct conf_node *n = t.root->first;
        for (int k = 0; k < 3; k++, n = n->next)
            assert_text(n, hostile[i], &t);
        assert_text(n->first, hostile[i], &t);
        assert_text(n->first->next->first, hostile[i], &t);
        if (n->next)
            assert_true(str_eqc(n->next->key, hostile[i]));
        end(&t);
    }
}

// Any bytes: valid UTF-8 comes back, all else as U+FFFD.
static void random_texts_come_back(void **state) {
    static const char alphabet[] =
        "ab1-:#{}[]&*!|>'\"%@`\\,? \n\t.~=<\xc3\xa9\xe2\x80\xa8\x85\x01\xff";
    struct random rng;
    random_init(&rng, unit_seed());
    for (int round = 0; round < 20000; round++) {
        char text[24];
        size_t n = random_below(&rng, sizeof(text) - 1);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[random_below(&rng, sizeof(alphabet) - 1)];
        text[n] = '\0';
        struct text t;
        start(&t);
        yaml_comment(&t.w, "%s", text);
        yaml_text(&t.w, "text", text);
        read_back(&t);
        if (utf8_valid(text, n))
            assert_text(t.root->first, text, &t);
        end(&t);
    }
}

static void trees_are_written_as_what_they_were(void **state) {
    static const char source[] =
        "a: 1\nb: '1'\nc: [x, [1, '2'], {}, [], {k: v, l: [{m: n}]}]\nd: {}\ne: []\nf: yes\n"
        "g: 'yes'\nh:\ni: \"x\\ny\"\nj: ~\nk: 1.50\nl: {m: {n: {o: p}}}\n";
    struct text from, to;
    start(&from);
    assert_int_equal(buf_addc(&from.out, source), 0);
    read_back(&from);
    start(&to);
    yaml_tree(&to.w, "tree", from.root);
    static const char wanted[] =
        "tree:\n  a: 1\n  b: \"1\"\n  c:\n  - x\n  -\n    - 1\n    - \"2\"\n  - {}\n  - []\n"
        "  - k: v\n    l:\n    - m: n\n  d: {}\n  e: []\n  f: yes\n  g: \"yes\"\n  h: null\n"
        "  i: \"x\\ny\"\n  j: ~\n  k: 1.50\n  l:\n    m:\n      \"n\":\n        o: p\n";
    assert_int_equal(buf_add_byte(&to.out, '\0'), 0);
    assert_string_equal(to.out.p, wanted);
    buf_truncate(&to.out, to.out.len - 1);
    read_back(&to);
    end(&from);
    end(&to);
}

static void comments_are_broken_between_words(void **state) {
    struct text t;
    start(&t);
    yaml_map(&t.w, "a");
    yaml_list(&t.w, "b");
    yaml_item(&t.w);
    yaml_comment(&t.w, "%s",
                 "word word word word word word word word word word word word word word "
                 "word word word word word word word word\nsecond\033[2J");
    yaml_int(&t.w, "c", -1);
    yaml_bool(&t.w, "d", true);
    yaml_item_end(&t.w);
    yaml_item(&t.w);
    yaml_item_end(&t.w);
    yaml_map_end(&t.w);
    static const char wanted[] =
        "a:\n  b:\n  # word word word word word word word word word word word word word word word "
        "word "
        "word word word\n  # word word word\n  # second?[2J\n  - c: -1\n    d: true\n"
        "  - {}\n";
    assert_int_equal(buf_add_byte(&t.out, '\0'), 0);
    assert_string_equal(t.out.p, wanted);
    end(&t);
}

static void lines_of_queries_stay_lines(void **state) {
    struct text t;
    start(&t);
    yaml_map(&t.w, "m");
    yaml_block(&t.w, "query", "(a\n  and b)\nor c");
    yaml_map_end(&t.w);
    yaml_document(&t.w);
    yaml_text(&t.w, "x", "y");
    assert_int_equal(buf_add_byte(&t.out, '\0'), 0);
    assert_string_equal(t.out.p,
                        "m:\n  query: |-\n    (a\n      and b)\n    or c\n---\nx: \"y\"\n");
    end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_comes_back_in_every_place),
        cmocka_unit_test(random_texts_come_back),
        cmocka_unit_test(trees_are_written_as_what_they_were),
        cmocka_unit_test(comments_are_broken_between_words),
        cmocka_unit_test(lines_of_queries_stay_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
