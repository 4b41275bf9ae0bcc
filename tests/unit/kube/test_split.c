// SPDX-License-Identifier: Apache-2.0
/* kube/split: the same objects at every split of the input, bounded memory, ends that are ends. */
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "kube/split.h"
#include "unit.h"

// What was told: objects joined by '|', an oversized one as '#'.
struct told {
    char text[4096];
    size_t n;
    int answer;
};

static int on_object(void *ctx, struct str object, struct err *e) {
    struct told *t = ctx;
    assert_true(t->n + object.n + 2 < sizeof(t->text));
    if (object.p)
        memcpy(t->text + t->n, object.p, object.n);
    else
        t->text[t->n++] = '#';
    t->n += object.n;
    t->text[t->n++] = '|';
    t->text[t->n] = '\0';
    return t->answer ? err_set(e, t->answer, "the receiver says no") : 0;
}

struct outcome {
    int feed, end;
    struct told told;
    char rest[512];
    struct err err;
};

static struct outcome split_pieces(enum kube_split_form form, struct str in, size_t first,
                                   size_t then, size_t max_object) {
    struct outcome o = {0};
    struct kube_split s;
    kube_split_init(&s, form, max_object, on_object, &o.told);
    for (size_t at = 0, n = first; at < in.n && o.feed == 0; at += n, n = then) {
        if (n == 0 || n > in.n - at)
            n = in.n - at;
        char *copy = malloc(n); // so that a read past a piece is seen
        memcpy(copy, in.p + at, n);
        o.feed = kube_split_feed(&s, copy, n, &o.err);
        free(copy);
    }
    if (o.feed == 0)
        o.end = kube_split_end(&s, &o.err);
    struct str rest = kube_split_rest(&s);
    snprintf(o.rest, sizeof(o.rest), STR_FMT, STR_ARG(rest));
    kube_split_done(&s);
    return o;
}

struct split_case {
    enum kube_split_form form;
    const char *in, *objects, *rest;
    int feed, end;
};

static const struct split_case cases[] = {
    {KUBE_SPLIT_LIST, "{\"kind\":\"PodList\",\"items\":[{\"a\":1},{\"b\":[{}]}],\"z\":2}",
     "{\"a\":1}|{\"b\":[{}]}|", "{\"kind\":\"PodList\",\"items\":[],\"z\":2}", 0, 0},
    {KUBE_SPLIT_LIST, " {\"items\" : [ { } , {\"s\":\"}]\\\"{\"} ] } \n",
     "{ }|{\"s\":\"}]\\\"{\"}|", " {\"items\" : [] } \n", 0, 0},
    {KUBE_SPLIT_LIST, "{\"items\":null,\"kind\":\"L\"}", "", "{\"items\":null,\"kind\":\"L\"}", 0,
     0},
    {KUBE_SPLIT_LIST, "{\"items\":{\"a\":[{}]}}", "", "{\"items\":{\"a\":[{}]}}", 0, 0},
    // Only the key at the top is the list's.
    {KUBE_SPLIT_LIST, "{\"m\":{\"items\":[{\"a\":1}]},\"k\":\"items\",\"x\":[{}]}", "",
     "{\"m\":{\"items\":[{\"a\":1}]},\"k\":\"items\",\"x\":[{}]}", 0, 0},
    {KUBE_SPLIT_LIST, "{\"itemss\":[{}],\"item\":[{}],\"it\\u0065ms\":[{}]}", "",
     "{\"itemss\":[{}],\"item\":[{}],\"it\\u0065ms\":[{}]}", 0, 0},
    {KUBE_SPLIT_LIST, "{\"items\":[{\"a\":1},", "{\"a\":1}|", "{\"items\":[", 0, ERR_CLOSED},
    {KUBE_SPLIT_LIST, "{\"items\":[{\"a\":", "", "{\"items\":[", 0, ERR_CLOSED},
    {KUBE_SPLIT_LIST, "{\"items\":[]", "", "{\"items\":[]", 0, ERR_CLOSED},
    {KUBE_SPLIT_LIST, "", "", "", 0, ERR_CLOSED},
    {KUBE_SPLIT_LIST, "{\"items\":[1]}", "", NULL, ERR_PARSE, 0},
    {KUBE_SPLIT_LIST, "{\"items\":[[{}]]}", "", NULL, ERR_PARSE, 0},
    {KUBE_SPLIT_LIST, "[{}]", "", NULL, ERR_PARSE, 0},
    {KUBE_SPLIT_LIST, "{\"items\":[]}{", "", NULL, ERR_PARSE, 0},
    {KUBE_SPLIT_STREAM, "{\"a\":1}\n{\"b\":\"}\"}\n", "{\"a\":1}|{\"b\":\"}\"}|", "", 0, 0},
    {KUBE_SPLIT_STREAM, "{\"a\":{}}{\"b\":[]}", "{\"a\":{}}|{\"b\":[]}|", "", 0, 0},
    {KUBE_SPLIT_STREAM, "", "", "", 0, 0},
    {KUBE_SPLIT_STREAM, "{\"a\":1}\n{\"b\":", "{\"a\":1}|", "", 0, ERR_CLOSED},
    {KUBE_SPLIT_STREAM, "{\"a\":1}\n{\"b\":\"\\", "{\"a\":1}|", "", 0, ERR_CLOSED},
    {KUBE_SPLIT_STREAM, "{\"a\":1}\nx", "{\"a\":1}|", NULL, ERR_PARSE, 0},
    {KUBE_SPLIT_STREAM, "{\"a\":1},{}", "{\"a\":1}|", NULL, ERR_PARSE, 0},
    {KUBE_SPLIT_STREAM, "Internal error", "", NULL, ERR_PARSE, 0},
};

static void every_split_of_the_input_gives_the_same_objects(void **state) {
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct split_case *c = &cases[i];
        struct str in = str_from(c->in);
        for (size_t first = 0; first <= in.n; first++) {
            for (size_t then = 0; then <= 3; then++) {
                struct outcome o = split_pieces(c->form, in, first, then, 1000);
                assert_int_equal(o.feed, c->feed);
                assert_int_equal(o.end, c->end);
                assert_string_equal(o.told.text, c->objects);
                if (c->rest)
                    assert_string_equal(o.rest, c->rest);
                if (c->feed || c->end)
                    assert_true(o.err.msg[0] != '\0');
            }
        }
    }
}

static void an_oversized_object_is_skipped_and_told(void **state) {
    static const char in[] = "{\"items\":[{\"a\":1},{\"long\":\"0123456789\"},{\"b\":2}]}";
    for (size_t first = 1; first <= sizeof(in) - 1; first++) {
        struct outcome o = split_pieces(KUBE_SPLIT_LIST, STR(in), first, 2, 12);
        assert_int_equal(o.feed, 0);
        assert_int_equal(o.end, 0);
        assert_string_equal(o.told.text, "{\"a\":1}|#|{\"b\":2}|");
    }
}

static void the_receiver_may_end_it(void **state) {
    struct told t = {.answer = ERR_NOMEM};
    struct err e = {0};
    struct kube_split s;
    kube_split_init(&s, KUBE_SPLIT_STREAM, 100, on_object, &t);
    assert_int_equal(kube_split_feed(&s, "{}{}", 4, &e), ERR_NOMEM);
    assert_string_equal(t.text, "{}|");
    assert_string_equal(e.msg, "the receiver says no");
    kube_split_done(&s);
}

static void what_is_no_item_has_a_limit_and_so_has_depth(void **state) {
    struct told t = {0};
    struct err e = {0};
    struct kube_split s;
    kube_split_init(&s, KUBE_SPLIT_LIST, 100, on_object, &t);
    int r = kube_split_feed(&s, "{\"x\":\"", 6, &e);
    for (int i = 0; i < LIMIT_KUBE_LIST_REST_BYTES && r == 0; i++)
        r = kube_split_feed(&s, "y", 1, &e);
    assert_int_equal(r, ERR_LIMIT);
    assert_non_null(strstr(e.msg, "LIMIT_KUBE_LIST_REST_BYTES"));
    kube_split_done(&s);

    kube_split_init(&s, KUBE_SPLIT_STREAM, 1000, on_object, &t);
    for (int i = 0; i < LIMIT_KUBE_DEPTH; i++)
        assert_int_equal(kube_split_feed(&s, i ? "[" : "{", 1, &e), 0);
    assert_int_equal(kube_split_feed(&s, "[", 1, &e), ERR_LIMIT);
    kube_split_done(&s);
}

static int count_object(void *ctx, struct str object, struct err *e) {
    ++*(size_t *)ctx;
    return 0;
}

// 200 MB in pieces of 64 KiB: what is held is one object.
static void a_list_of_200_mb_costs_the_memory_of_one_object(void **state) {
    enum { OBJECT = 20000, OBJECTS = 10000, PIECE = 64 << 10 };
    static char piece[PIECE];
    size_t told = 0, fed = 0;
    char *object = malloc(OBJECT + 1);
    memset(object, 'x', OBJECT);
    memcpy(object, "{\"p\":\"", 6);
    memcpy(object + OBJECT - 2, "\"}", 2);
    object[OBJECT] = ',';
    struct err e = {0};
    struct kube_split s;
    kube_split_init(&s, KUBE_SPLIT_LIST, LIMIT_KUBE_OBJECT_BYTES, count_object, &told);
    assert_int_equal(kube_split_feed(&s, "{\"items\":[", 10, &e), 0);
    int64_t began = clock_mono_ns();
    size_t in_piece = 0, at = 0;
    for (size_t i = 0; i < (size_t)OBJECTS * (OBJECT + 1) - 1; i += in_piece) {
        for (in_piece = 0; in_piece < PIECE && i + in_piece < (size_t)OBJECTS * (OBJECT + 1) - 1;) {
            size_t n = OBJECT + 1 - at;
            if (n > PIECE - in_piece)
                n = PIECE - in_piece;
            if (n > (size_t)OBJECTS * (OBJECT + 1) - 1 - i - in_piece)
                n = (size_t)OBJECTS * (OBJECT + 1) - 1 - i - in_piece;
            memcpy(piece + in_piece, object + at, n);
            at = (at + n) % (OBJECT + 1);
            in_piece += n;
        }
        assert_int_equal(kube_split_feed(&s, piece, in_piece, &e), 0);
        fed += in_piece;
        assert_true(s.object.cap <= 2 * OBJECT + 4096 && s.rest.cap <= 4096);
    }
    assert_int_equal(kube_split_feed(&s, "]}", 2, &e), 0);
    assert_int_equal(kube_split_end(&s, &e), 0);
    assert_int_equal(told, OBJECTS);
    print_message("# %zu MB in %.2f s\n", fed / 1000000,
                  (double)(clock_mono_ns() - began) / NS_PER_S);
    kube_split_done(&s);
    free(object);
}

static void memory_that_ends_is_an_error(void **state) {
    static const char in[] = "{\"kind\":\"L\",\"items\":[{\"a\":1},{\"b\":2}]}";
    for (long n = 1;; n++) {
        struct told t = {0};
        struct err e = {0};
        struct kube_split s;
        kube_split_init(&s, KUBE_SPLIT_LIST, 100, on_object, &t);
        mem_fail_from(n);
        int r = 0;
        for (size_t i = 0; i < sizeof(in) - 1 && r == 0; i++)
            r = kube_split_feed(&s, in + i, 1, &e);
        mem_fail_never();
        kube_split_done(&s);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_true(n < 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_of_the_input_gives_the_same_objects),
        cmocka_unit_test(an_oversized_object_is_skipped_and_told),
        cmocka_unit_test(the_receiver_may_end_it),
        cmocka_unit_test(what_is_no_item_has_a_limit_and_so_has_depth),
        cmocka_unit_test(a_list_of_200_mb_costs_the_memory_of_one_object),
        cmocka_unit_test(memory_that_ends_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
