// SPDX-License-Identifier: Apache-2.0
/* conf/yaml: what is no text, no YAML, no JSON, or too much of it, at its place. */
#include "base/limits.h"
#include "base/random.h"
#include "base/utf8.h"
#include "conf/internal.h"
#include "conf/sample.h"

#include <fcntl.h>
#include <unistd.h>

static int tree(struct str text, const char *name, struct err *e) {
    CLEANUP_ARENA struct arena scratch;
    arena_init(&scratch, LIMIT_CONFIG_TREE_BYTES);
    struct conf_node *root = NULL;
    int r = conf_tree(text, name, &scratch, &root, e);
    assert_true(r < 0 || root);
    return r;
}

static const struct {
    struct str text;
    const char *name;
    int code;
    const char *message;
} refusals[] = {
    {STR(""), "f.yaml", ERR_PARSE, "f.yaml: the file is empty; {} stands for all defaults"},
    {STR(" \n\t\n"), "f.yaml", ERR_PARSE, "f.yaml: the file is empty; {} stands for all defaults"},
    {STR("# only\n# comments\n"), "f.yaml", ERR_PARSE,
     "f.yaml: the file is empty; {} stands for all defaults"},
    {STR(""), "f.json", ERR_PARSE, "f.json: the file is empty; {} stands for all defaults"},
    {STR("\xef\xbb\xbf"), "f.yaml", ERR_PARSE,
     "f.yaml: the file is empty; {} stands for all defaults"},
    // Not text. libfyaml makes an empty value of bad UTF-8 and drops what follows a NUL.
    {STR("a: \xff\xfe"), "f.yaml", ERR_PARSE, "f.yaml:1:4: byte 0xff is not UTF-8"},
    {STR("\xc3\xa4\nb: \xe2\x82"), "f.yaml", ERR_PARSE, "f.yaml:2:4: byte 0xe2 is not UTF-8"},
    {STR("\xff\xfe{\0}\0"), "f.json", ERR_PARSE, "f.json:1:1: byte 0xff is not UTF-8"},
    {STR("a: x\0y: z"), "f.yaml", ERR_PARSE, "f.yaml:1:5: control byte 0x00; is this a text file?"},
    {STR("\x7f"
         "ELF"),
     "f.yaml", ERR_PARSE, "f.yaml:1:1: control byte 0x7f; is this a text file?"},
    {STR("a: 1\n\x1b[2J"), "f.yaml", ERR_PARSE,
     "f.yaml:2:1: control byte 0x1b; is this a text file?"},
    // Escapes that make what the file itself may not hold.
    {STR("{\"a\": \"x\\u0000y\"}"), "f.json", ERR_PARSE,
     "f.json:1:7: the string has an escape for a character that is not allowed"},
    {STR("a: \"x\\0y\""), "f.yaml", ERR_PARSE,
     "f.yaml:1:4: the string has an escape for a character that is not allowed"},
    // Broken off and malformed: the reason is libfyaml's.
    {STR("a: [1, 2"), "f.yaml", ERR_PARSE, "f.yaml:2:1: flow sequence without a closing bracket"},
    {STR("a: \"x"), "f.yaml", ERR_PARSE, "f.yaml:1:5: double-quoted scalar without closing quote"},
    {STR("a: 1\n b: 2\n"), "f.yaml", ERR_PARSE, "f.yaml:1:4: invalid multiline plain key"},
    {STR("{\"a\": 1"), "f.json", ERR_PARSE, "f.json:2:1: missing comma in flow mapping"},
    {STR("{\"a\": 1,}"), "f.json", ERR_PARSE,
     "f.json:1:8: JSON disallows trailing comma before closing brace"},
    {STR("{'a': 1}"), "f.json", ERR_PARSE,
     "f.json:1:2: single quoted scalars not supported in JSON mode"},
    {STR("{\"a\": nul}"), "f.json", ERR_PARSE, "f.json:1:7: Invalid JSON plain scalar"},
    {STR("{\"a\": 1} {\"b\": 2}"), "f.json", ERR_PARSE, "f.json:1:10: missing document start"},
    // YAML that is not used here.
    {STR("---\na: 1\n---\nb: 2\n"), "f.yaml", ERR_PARSE,
     "f.yaml:3:1: a second document begins; one is allowed"},
    {STR("a: 1\n...\nb: 2\n"), "f.yaml", ERR_PARSE,
     "f.yaml:2:1: a second document begins; one is allowed"},
    {STR("a: *x"), "f.yaml", ERR_PARSE,
     "f.yaml:1:5: aliases (*...) are not used here: write the value out"},
    {STR("a: &x 1"), "f.yaml", ERR_PARSE,
     "f.yaml:1:7: anchors (&...) are not used here: write the value out"},
    {STR("a: &x [1]"), "f.yaml", ERR_PARSE,
     "f.yaml:1:7: anchors (&...) are not used here: write the value out"},
    {STR("a: !!str 1"), "f.yaml", ERR_PARSE, "f.yaml:1:10: tags (!...) are not used here"},
    {STR("a: !env {b: 1}"), "f.yaml", ERR_PARSE, "f.yaml:1:9: tags (!...) are not used here"},
    {STR("a:\n  <<: {b: 1}"), "f.yaml", ERR_PARSE,
     "f.yaml:2:3: merge keys (<<) are not used here: write the values out"},
    {STR("? [a]\n: b"), "f.yaml", ERR_PARSE, "f.yaml:1:3: a key must be a name"},
    {STR("? {a: b}\n: b"), "f.yaml", ERR_PARSE, "f.yaml:1:3: a key must be a name"},
    {STR("\"\": b"), "f.yaml", ERR_PARSE, "f.yaml:1:1: a key must be a name"},
};

static void refusals_have_a_place_and_a_reason(void **state) {
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct err e = {0};
        int r = tree(refusals[i].text, refusals[i].name, &e);
        if (r != refusals[i].code || strcmp(e.msg, refusals[i].message) != 0)
            fail_msg("%s\n gives %s: %s\n not %s", refusals[i].text.p, err_code_name(r), e.msg,
                     refusals[i].message);
    }
}

static void repeat(char *text, const char *unit, size_t times) {
    size_t n = strlen(unit);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * n, unit, n);
    text[n * times] = '\0';
}

static void depth_is_limited(void **state) {
    static char text[1 << 20];
    static const struct {
        const char *unit, *name;
    } cases[] = {{"[", "f.yaml"}, {"[", "f.json"}, {"{a: ", "f.yaml"}, {"- ", "f.yaml"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        repeat(text, cases[i].unit, 200000 / strlen(cases[i].unit));
        struct err e = {0};
        assert_int_equal(tree(str_from(text), cases[i].name, &e), ERR_LIMIT);
        assert_non_null(strstr(e.msg, ": nested deeper than 32 levels"));
    }
    repeat(text, "[", LIMIT_CONFIG_DEPTH);
    repeat(text + LIMIT_CONFIG_DEPTH, "]", LIMIT_CONFIG_DEPTH);
    assert_int_equal(tree(str_from(text), "f.yaml", NULL), 0);
}

static void size_is_limited(void **state) {
    size_t n = LIMIT_CONFIG_BYTES + 1;
    char *text = mem_alloc(n);
    memset(text, '#', n);
    struct err e = {0};
    assert_int_equal(tree((struct str){text, n}, "f.yaml", &e), ERR_LIMIT);
    assert_string_equal(e.msg, "f.yaml: larger than 4 MiB (LIMIT_CONFIG_BYTES)");
    // As large as allowed, and as many values as fit into that: more than the tree may hold.
    text[0] = '[';
    for (size_t i = 1; i < LIMIT_CONFIG_BYTES; i++)
        text[i] = i % 2 ? '1' : ',';
    assert_int_equal(tree((struct str){text, LIMIT_CONFIG_BYTES}, "f.json", &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "too many values (LIMIT_CONFIG_TREE_BYTES, 64 MiB)"));
    // A key that is too long.
    memcpy(text, "{\"", 2);
    memset(text + 2, 'k', 300);
    memcpy(text + 302, "\": 1}", 5);
    assert_int_equal(tree((struct str){text, 307}, "f.json", &e), ERR_LIMIT);
    assert_string_equal(e.msg, "f.json:1:2: a key is longer than 256 bytes");
    mem_free(text);
}

static void what_is_good_text(void **state) {
    static const char *const good[] = {
        "\xef\xbb\xbf{\"a\": 1}", "a: \xe2\x82\xac\r\nb: 2\r\n", "--- {a: 1}\n...\n", "# c\n\n{}",
        "a: \"\\u20ac\\x41\"",    "%YAML 1.2\n---\na: 1\n",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct err e = {0};
        if (tree(str_from(good[i]), "f.yaml", &e) < 0)
            fail_msg("%s: %s", good[i], e.msg);
    }
}

static const char sample_text[] =
    "a: 1\nb: [x, \"y\\n\", 'z']\nc:\n  d: |\n    text\n  e: >-\n    folded\nf: {g: null}\n- ";

// Damaged text is refused in words or read; nothing else. Under the sanitizers this is a search.
static void damaged_text_never_gives_more_than_an_error(void **state) {
    struct random r;
    random_init(&r, unit_seed());
    for (int i = 0; i < 4000; i++) {
        char text[sizeof(sample_text)];
        memcpy(text, sample_text, sizeof(text));
        size_t n = random_below(&r, sizeof(text));
        for (uint64_t k = random_below(&r, 4); k > 0 && n > 0; k--)
            text[random_below(&r, n)] = (char)random_below(&r, 256);
        struct err e = {0};
        int code = tree((struct str){text, n}, i % 2 ? "f.yaml" : "f.json", &e);
        assert_true(code == 0 || code == ERR_PARSE || code == ERR_LIMIT);
        assert_true(code == 0 || (e.msg[0] && utf8_valid(e.msg, strlen(e.msg))));
    }
}

// libfyaml writes its complaints to stderr unless it is given another place.
static void nothing_is_written_to_stderr(void **state) {
    char path[] = "/tmp/gpuscale-conf-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    for (size_t i = 0; i < COUNT_OF(refusals); i++)
        tree(refusals[i].text, refusals[i].name, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    off_t written = lseek(fd, 0, SEEK_END);
    close(fd);
    assert_int_equal(written, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_have_a_place_and_a_reason),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(size_is_limited),
        cmocka_unit_test(what_is_good_text),
        cmocka_unit_test(damaged_text_never_gives_more_than_an_error),
        cmocka_unit_test(nothing_is_written_to_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
