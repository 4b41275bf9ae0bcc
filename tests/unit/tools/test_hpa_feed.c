// SPDX-License-Identifier: Apache-2.0
/* tools/hpa_feed: streams cut into values, at every split, with broken values in them. */
#include "tools/hpa_feed.h"

#include "base/mem.h"
#include "tools/hpa_run.h"
#include "unit.h"

struct seen {
    struct buf text; // "LINE:COLUMN " of each value, "!MESSAGE;" of each error
};

static void on_value(void *ctx, const struct conf_node *root, struct arena *a,
                     const struct err *e) {
    struct seen *s = ctx;
    if (root)
        (void)buf_addf(&s->text, "%u:%u ", root->line, root->column);
    else
        (void)buf_addf(&s->text, "!%s;", e->msg);
}

// Feeds the text in pieces of `a` bytes, then `b` bytes, and so on in turn.
static void feed(struct seen *s, struct str text, size_t a, size_t b, enum hpa_feed_format format) {
    struct hpa_feed f = {.file = "f", .format = format, .ctx = s, .on_value = on_value};
    hpa_feed_init(&f);
    for (size_t at = 0, n = a; at < text.n; at += n, n = n == a ? b : a)
        hpa_feed_bytes(&f, (struct str){text.p + at, n < text.n - at ? n : text.n - at});
    hpa_feed_end(&f);
    hpa_feed_done(&f);
}

#define NO_END "the case that begins here has no end: a }, ] or \" is missing;"
#define TOO_DEEP                                                                                   \
    "the case that begins here has no end (a }, ] or \" is missing), or is nested deeper than 32 " \
    "levels (LIMIT_CONFIG_DEPTH);"
#define NO_CASE "expected a case: {\"hpa\": ..., \"scale\": ...};"

static const struct {
    const char *text, *seen;
} streams[] = {
    {"", ""},
    {" \n\t ", ""},
    {"{}", "1:1 "},
    {"{\"a\": [{}, \"}{\\\"\"]}", "1:1 "},
    {"\n {}\n{\n}\n", "2:2 3:1 "},
    {"{}{}, {} \x1e{}", "1:1 1:3 1:7 1:11 "},
    {"[{}, {}]", "1:2 1:6 "},
    {"[\n{},\n{\"b\": [\n{}]}]\n", "2:1 3:1 "},
    {"[]", ""},
    {"[{}]\n[{}]", "1:2 2:2 "},
    {"\xef\xbb\xbf{}", "1:1 "},
    {"{\"\xc3\xa4\": 1} {}", "1:1 1:10 "},
    // Broken ones, and what follows them.
    {"[{}", "1:2 !f:1:4: the list has no closing ]: is the input cut off?;"},
    {"{", "!f:1:1: " NO_END},
    {"{\"a\": \"x}\n{}\n", "!f:1:1: " NO_END "2:1 "},
    {"{\"a\": {}\n{\"b\": 1}\n\n{}", "!f:1:1: " NO_END "2:1 4:1 "},
    {"{\n  \"a\": [\n{}\n{}", "!f:1:1: " NO_END "3:1 4:1 "},
    {"{\"a\" 1}\n{}\n", "!f:1:3: JSON does not allow empty values in a mapping;2:1 "},
    {"{\"a\": nul}{}", "!f:1:7: Invalid JSON plain scalar: JSON has text and keys in double quotes;"
                       " if this is YAML, put a line --- before it;1:11 "},
    {"---\n{a: 3}\n", "2:1 "},
    {"[\"a, {\", {}]", "!f:1:2: " NO_CASE "1:10 "},
    {"[a \"}\\\", ]\n{}]", "!f:1:2: " NO_CASE "2:1 "},
    {"{\"a\": {}}}\n{}", "1:1 !f:1:10: " NO_CASE "2:1 "},
    {"[1, 2]\n{}", "!f:1:2: " NO_CASE "!f:1:5: " NO_CASE "2:1 "},
    {"{}\n]\n{}", "1:1 !f:2:1: " NO_CASE "3:1 "},
    {"[hello", "!f:1:2: " NO_CASE "!f:1:7: the list has no closing ]: is the input cut off?;"},
    // YAML.
    {"a: 1\n", "1:1 "},
    {"a: 1", "1:1 "},
    {"---\na: 1\n---\nb: 2\n", "2:1 4:1 "},
    {"# nothing\n---\n---\n\n---\n- a\n...\n# end\n---\nb: 2\n...\n", "6:1 10:1 "},
    {"a: |\n  ---\n  x\n--- \nb: 1\n", "1:1 5:1 "},
    {"a: [\n---\nb: 1\n", "!f:2:1: flow sequence without a closing bracket;3:1 "},
    {"a: 1\n b: 2\n---\nb: {]\n---\nc: 1\n",
     "!f:1:4: invalid multiline plain key;!f:4:5: mismatched flow sequence end;6:1 "},
    {"hello: &x 1\n---\nb: !t 1\n",
     "!f:1:11: anchors (&...) are not used here: write the value out;"
     "!f:3:7: tags (!...) are not used here;"},
};

static void streams_are_cut_alike_at_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        struct str text = str_from(streams[i].text);
        for (size_t a = 1; a <= text.n + 1; a++) {
            for (size_t b = 1; b <= (a < 3 ? text.n + 1 : 1); b++) {
                struct seen s;
                buf_init(&s.text, 1 << 16);
                feed(&s, text, a, b, HPA_FEED_SNIFF);
                if (!str_eqc(buf_str(&s.text), streams[i].seen))
                    fail_msg("stream %zu in pieces of %zu and %zu: %.*s\n  not %s", i, a, b,
                             STR_ARG(buf_str(&s.text)), streams[i].seen);
                buf_done(&s.text);
            }
        }
    }
}

static void a_name_says_what_the_first_byte_would_not(void **state) {
    struct seen s;
    buf_init(&s.text, 1 << 16);
    feed(&s, STR("{a: 1}\n---\n{b: 2}\n"), 3, 5, HPA_FEED_YAML);
    assert_true(str_eqc(buf_str(&s.text), "1:1 3:1 "));
    buf_clear(&s.text);
    feed(&s, STR("a: 1\n{}\n"), 3, 5, HPA_FEED_JSON);
    assert_true(str_eqc(buf_str(&s.text), "!f:1:1: " NO_CASE "2:1 "));
    buf_done(&s.text);
}

static void what_is_deeper_than_any_case_is_given_up_before_the_input_ends(void **state) {
    struct seen s;
    buf_init(&s.text, 1 << 16);
    struct hpa_feed f = {.file = "f", .ctx = &s, .on_value = on_value};
    hpa_feed_init(&f);
    for (int i = 0; i < 32; i++)
        hpa_feed_bytes(&f, STR("{\n"));
    hpa_feed_bytes(&f, STR(" "));
    assert_int_equal(s.text.len, 0);
    hpa_feed_bytes(&f, STR("[\n"));
    assert_true(str_eqc(buf_str(&s.text), "!f:1:1: " TOO_DEEP));
    hpa_feed_bytes(&f, STR("{\n "));
    assert_true(str_eqc(buf_str(&s.text), "!f:1:1: " TOO_DEEP "!f:2:1: " TOO_DEEP));
    hpa_feed_done(&f);
    buf_done(&s.text);
}

struct tally {
    unsigned long values, errors;
};

static void count_value(void *ctx, const struct conf_node *root, struct arena *a,
                        const struct err *e) {
    struct tally *t = ctx;
    t->values += root != NULL;
    t->errors += root == NULL;
}

// Most of these took time that grew with the square of their length: minutes here.
static void each_of_a_flood_of_broken_cases_is_told(void **state) {
    static const struct {
        const char *begin, *line;
        enum hpa_feed_format format;
        unsigned long values, errors; // a line, but for the first `begin`
        unsigned long more_errors;
    } floods[] = {
        {"", "{\n", HPA_FEED_SNIFF, 0, 1, 0},
        {"", "{} {\n", HPA_FEED_SNIFF, 1, 1, 0},
        {"", "{\"a\": [{}\n{}\n", HPA_FEED_SNIFF, 1, 1, 0},
        {"", "{\"a\": \"}\n{}\n", HPA_FEED_SNIFF, 1, 1, 0},
        {"[", "\"a, {\"\n{}\n", HPA_FEED_SNIFF, 1, 1, 1},
        {"{\n", "{}\n", HPA_FEED_SNIFF, 1, 0, 1},
        {"{}\n", "hello ", HPA_FEED_SNIFF, 0, 0, 1},
        {"", "a: 1\n---\n", HPA_FEED_YAML, 1, 0, 0},
        {"x", " ", HPA_FEED_YAML, 0, 0, 0},
        {"", "\n", HPA_FEED_SNIFF, 0, 0, 0},
    };
    enum { BYTES = 1 << 18 };
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        struct tally t = {0};
        struct hpa_feed f = {
            .file = "f", .format = floods[i].format, .ctx = &t, .on_value = count_value};
        hpa_feed_init(&f);
        struct str line = str_from(floods[i].line);
        unsigned long n = BYTES / line.n;
        hpa_feed_bytes(&f, str_from(floods[i].begin));
        for (unsigned long k = 0; k < n; k++)
            hpa_feed_bytes(&f, line);
        hpa_feed_end(&f);
        hpa_feed_done(&f);
        unsigned long first = floods[i].begin[0] == 'x' || strcmp(floods[i].begin, "{}\n") == 0;
        if (t.values != n * floods[i].values + first ||
            t.errors != n * floods[i].errors + floods[i].more_errors)
            fail_msg("flood %zu of %lu lines: %lu values, %lu errors", i, n, t.values, t.errors);
    }
}

static void a_value_without_end_is_given_up_at_the_limit(void **state) {
    static char part[1 << 20];
    struct seen s;
    buf_init(&s.text, 1 << 16);
    struct hpa_feed f = {.file = "f", .ctx = &s, .on_value = on_value};
    hpa_feed_init(&f);
    hpa_feed_bytes(&f, STR("{}\n{\"a\": \""));
    memset(part, 'x', sizeof(part));
    for (int i = 0; i < 40; i++)
        hpa_feed_bytes(&f, (struct str){part, sizeof(part)});
    hpa_feed_bytes(&f, STR("\n{}\n"));
    hpa_feed_end(&f);
    hpa_feed_done(&f);
    assert_true(
        str_eqc(buf_str(&s.text), "1:1 !f:2:1: a case is larger than 32 MiB (LIMIT_CASE_BYTES);"));
    buf_done(&s.text);
}

// ---- The whole way, without memory
// ---------------------------------------------------------------

static const char whole[] =
    "{\"hpa\":{\"metadata\":{\"name\":\"w\"},\"spec\":{\"maxReplicas\":9,\"metrics\":["
    "{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"q\",\"selector\":{\"matchLabels\":"
    "{\"a\":\"b\"}}},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"10\"}}},"
    "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","
    "\"averageUtilization\":50}}}],\"behavior\":{\"scaleUp\":{\"policies\":[{\"type\":\"Pods\","
    "\"value\":2,\"periodSeconds\":60}]}}},\"status\":{\"conditions\":[{\"type\":\"X\",\"status\":"
    "\"True\"}]}},\"scale\":{\"spec\":4},\"external\":{\"q\":[60]},\"pods\":[{\"metadata\":"
    "{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":"
    "{\"cpu\":1}}}]},\"status\":{\"phase\":\"Running\"}}],\"podMetrics\":[{\"metadata\":{\"name\":"
    "\"p\"},\"containers\":[{\"name\":\"c\",\"usage\":{\"cpu\":\"1\"}}]}],\"history\":{"
    "\"scaleUps\":"
    "[{\"change\":1,\"secondsAgo\":5}]},\"now\":\"2026-11-23T12:00:00Z\"}";

struct way {
    struct buf json, text;
    int answers, refusals;
    struct arena *a;
};

static void on_case(void *ctx, struct hpa_case *c, const struct err *e) {
    struct way *w = ctx;
    struct hpa_answer *a = c ? arena_zalloc(w->a, sizeof(*a)) : NULL;
    struct err why = {0};
    if (!a || hpa_run(c, w->a, a, &why) < 0) {
        w->refusals++;
        return;
    }
    hpa_json_write(&w->json, a);
    hpa_tell(&w->text, a);
    w->answers++;
}

static void run_value(void *ctx, const struct conf_node *root, struct arena *a,
                      const struct err *e) {
    struct way *w = ctx;
    if (!root) {
        assert_true(e->code < 0 && e->msg[0] != '\0');
        w->refusals++;
        return;
    }
    w->a = a;
    const struct hpa_case_source s = {.file = "f", .a = a, .ctx = w, .on_case = on_case};
    hpa_case_read(&s, root);
}

static void go_whole_way(struct way *w) {
    buf_init(&w->json, 1 << 20);
    buf_init(&w->text, 1 << 20);
    struct hpa_feed f = {.file = "f", .ctx = w, .on_value = run_value};
    hpa_feed_init(&f);
    hpa_feed_bytes(&f, str_from(whole));
    hpa_feed_end(&f);
    hpa_feed_done(&f);
}

static void every_allocation_may_fail(void **state) {
    struct way good = {0};
    go_whole_way(&good);
    assert_int_equal(good.answers, 1);
    assert_int_equal(good.refusals, 0);
    assert_true(good.json.err == 0 && good.text.err == 0);
    mem_fail_never();
    struct way again = {0};
    go_whole_way(&again);
    long n = mem_fail_count();
    buf_done(&again.json);
    buf_done(&again.text);
    assert_true(n > 5);
    for (long i = 1; i <= n; i++) {
        struct way w = {0};
        mem_fail_from(i);
        go_whole_way(&w);
        mem_fail_never();
        // Refused, or a buffer that says so; never a shorter answer that looks whole.
        bool whole_answer = w.answers == 1 && w.json.err == 0 && w.text.err == 0;
        if (whole_answer)
            fail_msg("allocation %ld of %ld may fail unseen", i, n);
        buf_done(&w.json);
        buf_done(&w.text);
    }
    buf_done(&good.json);
    buf_done(&good.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_cut_alike_at_every_split),
        cmocka_unit_test(a_name_says_what_the_first_byte_would_not),
        cmocka_unit_test(what_is_deeper_than_any_case_is_given_up_before_the_input_ends),
        cmocka_unit_test(each_of_a_flood_of_broken_cases_is_told),
        cmocka_unit_test(a_value_without_end_is_given_up_at_the_limit),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
