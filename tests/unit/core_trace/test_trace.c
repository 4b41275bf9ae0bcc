// SPDX-License-Identifier: Apache-2.0
/* Traces: every format in every split, order in time, what is refused, and the real files. */
#include "unit.h"

#include "base/mem.h"
#include "core/trace/trace.h"

#define S 1000000000LL

struct outcome {
    int code;
    enum trace_format format;
    size_t n;
    struct trace_row rows[8];
    char message[ERR_MSG_MAX];
};

static struct outcome read_in(struct str text, enum trace_format format, size_t first,
                              size_t step) {
    struct outcome o;
    struct trace t;
    struct err e = {0};
    memset(&o, 0, sizeof(o));
    trace_init(&t, format, 8);
    size_t take = first;
    for (size_t at = 0; at < text.n && o.code == 0; at += take, take = step) {
        take = take < text.n - at ? take : text.n - at;
        char *copy = malloc(take ? take : 1);
        assert_non_null(copy);
        memcpy(copy, text.p + at, take);
        o.code = trace_feed(&t, copy, take, &e);
        free(copy);
    }
    if (o.code == 0)
        o.code = trace_finish(&t, &e);
    o.format = t.format;
    if (o.code == 0) {
        o.n = t.rows.n;
        memcpy(o.rows, t.rows.items, o.n * sizeof(*o.rows));
    } else {
        (void)snprintf(o.message, sizeof(o.message), "%s", e.msg);
    }
    trace_done(&t);
    return o;
}

static struct outcome read_every_split(struct str text, enum trace_format format) {
    struct outcome whole = read_in(text, format, text.n, text.n);
    for (size_t at = 1; at < text.n; at++) {
        struct outcome other = read_in(text, format, at, text.n);
        if (memcmp(&whole, &other, sizeof(whole)) != 0)
            fail_msg("split at %zu: %s / %s", at, whole.message, other.message);
    }
    for (size_t step = 1; step < 4; step++) {
        struct outcome other = read_in(text, format, step, step);
        assert_memory_equal(&whole, &other, sizeof(whole));
    }
    return whole;
}

static const struct {
    const char *text;
    enum trace_format format;
    size_t n;
    struct trace_row rows[4];
} good[] = {
    {"TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
     "2023-11-16 18:15:50.9951690,396,109\r\n",
     TRACE_AZURE,
     2,
     {{0, 374, 44}, {4314579000, 396, 109}}},
    {"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-31 23:59:59.5+00:00,1,2\n"
     "2024-06-01T00:00:00Z,3,4\n2024-06-01 02:00:00.25+02:00,5,6",
     TRACE_AZURE,
     3,
     {{0, 1, 2}, {S / 2, 3, 4}, {S * 3 / 4, 5, 6}}},
    {"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
     "5,ChatGPT,472,18,490,Conversation log\n45.5,\"GPT-4, \"\"x\"\"\",1087,0,1087,API log\n",
     TRACE_BURSTGPT,
     2,
     {{0, 472, 18}, {40 * S + S / 2, 1087, 0}}},
    {"{\"timestamp\": 0, \"input_length\": 40160, \"output_length\": 6, \"hash_ids\": [0, 1]}\n"
     "{\"hash_ids\":[[],{\"a\":\"}\\\"\"}],\"x\":null,\"timestamp\":27482,\"input_length\":1,"
     "\"output_length\":2}\n",
     TRACE_MOONCAKE,
     2,
     {{0, 40160, 6}, {27482000000, 1, 2}}},
    {"\xef\xbb\xbft_s,prompt_tokens,output_tokens\n\n0.5,10,20\n \n1.25,11,21\n",
     TRACE_CSV,
     2,
     {{0, 10, 20}, {S * 3 / 4, 11, 21}}},
    {"model,output_tokens,\"t_s\"\na,5,1e1\nb,6.0,11\n", TRACE_CSV, 2, {{0, 0, 5}, {S, 0, 6}}},
    {"t_s\n100\n100.000000001", TRACE_CSV, 2, {{0, 0, 0}, {1, 0, 0}}},
    // Out of order; rows of one time stay as they were.
    {"t_s,prompt_tokens\n3,1\n1,2\n2,3\n1,4\n",
     TRACE_CSV,
     4,
     {{0, 2, 0}, {0, 4, 0}, {S, 3, 0}, {2 * S, 1, 0}}},
};

static void formats_are_told_by_their_first_line_and_read_in_every_split(void **state) {
    for (size_t i = 0; i < COUNT_OF(good); i++)
        for (int how = 0; how < 2; how++) {
            struct outcome o = read_every_split(str_from(good[i].text),
                                                how ? good[i].format : TRACE_AUTO);
            if (o.code < 0 || o.n != good[i].n || o.format != good[i].format)
                fail_msg("row %zu: %s", i, o.message);
            for (size_t k = 0; k < o.n; k++)
                if (memcmp(&o.rows[k], &good[i].rows[k], sizeof(o.rows[k])) != 0)
                    fail_msg("row %zu, request %zu: %" PRId64 " %u %u", i, k, o.rows[k].at_ns,
                             o.rows[k].prompt_tokens, o.rows[k].output_tokens);
        }
}

static void bad_traces_are_refused_with_their_line(void **state) {
    static const struct {
        const char *text, *message;
        enum trace_format format;
    } rows[] = {
        {"", "no request", TRACE_AUTO},
        {"t_s\n", "no request", TRACE_AUTO},
        {"time,prompt\n1,2\n", "line 1: found \"time,prompt\", expected a header", TRACE_AUTO},
        {"t_s\n1\n", "line 1: found \"t_s\", expected the header TIMESTAMP", TRACE_AZURE},
        {"t_s\n1\nx\n", "line 3: found \"x\", expected seconds", TRACE_AUTO},
        {"t_s\n-1\n", "line 2: found \"-1\"", TRACE_AUTO},
        {"t_s\nnan\n", "line 2", TRACE_AUTO},
        {"t_s\n1e300\n", "line 2", TRACE_AUTO},
        {"t_s,prompt_tokens\n1\n", "line 2: found \"1\", expected as many columns", TRACE_AUTO},
        {"t_s,prompt_tokens\n1,-2\n", "a number of tokens", TRACE_AUTO},
        {"t_s,prompt_tokens\n1,99999999999\n", "a number of tokens", TRACE_AUTO},
        {"t_s,prompt_tokens\n1,\"2\n", "quote", TRACE_AUTO},
        {"t_s\n1\x01\n", "found \"1?\"", TRACE_AUTO},
        {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-16 18:15:46,1,2\n",
         "line 2: found \"2023-13-16 18:15:46\", expected a time", TRACE_AUTO},
        {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.,1,2\n", "a time",
         TRACE_AUTO},
        {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46 CET,1,2\n", "a time",
         TRACE_AUTO},
        {"{\"timestamp\":1,\"input_length\":2}\n", "line 1", TRACE_AUTO},
        {"{\"timestamp\":1,\"input_length\":2,\"output_length\":3\n", "a JSON object", TRACE_AUTO},
        {"{\"timestamp\":1,\"input_length\":2,\"output_length\":3} x\n", "a JSON object",
         TRACE_AUTO},
        {"{\"timestamp\":\"1\",\"input_length\":2,\"output_length\":3}\n", "milliseconds",
         TRACE_AUTO},
        {"{\"timestamp\":[1,\"input_length\":2\n", "a JSON object", TRACE_AUTO},
        {"{\n", "a JSON object", TRACE_AUTO},
        {"t_s\n1\n", "a JSON object", TRACE_MOONCAKE},
        {"t_s\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", "more than 8 requests", TRACE_AUTO},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct outcome o = read_every_split(str_from(rows[i].text), rows[i].format);
        if (o.code >= 0 || !strstr(o.message, rows[i].message))
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, o.message, rows[i].message);
    }
}

static void a_line_has_a_limit_and_memory_may_end(void **state) {
    struct trace t;
    struct err e = {0};
    char piece[4096];
    int r = 0;
    memset(piece, 'x', sizeof(piece));
    trace_init(&t, TRACE_AUTO, 8);
    for (int i = 0; i < 1 << 10 && r == 0; i++)
        r = trace_feed(&t, piece, sizeof(piece), &e);
    assert_int_equal(r, ERR_LIMIT);
    assert_non_null(strstr(e.msg, "line 1 is longer than"));
    trace_done(&t);
    static const char text[] = "t_s\n3\n1\n2\n";
    for (long at = 1;; at++) {
        trace_init(&t, TRACE_AUTO, 8);
        mem_fail_from(at);
        r = trace_feed(&t, text, 5, &e);
        if (r == 0)
            r = trace_feed(&t, text + 5, sizeof(text) - 6, &e);
        if (r == 0)
            r = trace_finish(&t, &e);
        mem_fail_never();
        trace_done(&t);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_true(at < 20);
    }
}

// The shared traces, where they lie beside the project: counts and spans that its README tells.
static void the_published_traces_are_read_whole(void **state) {
    static const struct {
        const char *name;
        enum trace_format format;
        size_t rows;
        int64_t seconds;
    } files[] = {
        {"azure2023_conv.csv", TRACE_AZURE, 19366, 3502},
        {"mooncake_synthetic.jsonl", TRACE_MOONCAKE, 3993, 1022},
    };
    const char *root = getenv("GPUSCALE_SOURCE_ROOT");
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[512], piece[10007];
        (void)snprintf(path, sizeof(path), "%s/../shared/data/traces/%s", root ? root : ".",
                       files[i].name);
        FILE *f = fopen(path, "rb");
        if (!f) {
            printf("# %s is missing\n", path); // said, not skip(): meson takes that for a failure
            continue;
        }
        struct trace t;
        struct err e = {0};
        size_t n;
        trace_init(&t, TRACE_AUTO, 1 << 20);
        while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
            if (trace_feed(&t, piece, n, &e) < 0)
                fail_msg("%s: %s", files[i].name, e.msg);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(trace_finish(&t, &e), 0);
        assert_int_equal(t.format, files[i].format);
        assert_int_equal(t.rows.n, files[i].rows);
        assert_int_equal((trace_end_ns(&t) + S / 2) / S, files[i].seconds);
        trace_done(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_told_by_their_first_line_and_read_in_every_split),
        cmocka_unit_test(bad_traces_are_refused_with_their_line),
        cmocka_unit_test(a_line_has_a_limit_and_memory_may_end),
        cmocka_unit_test(the_published_traces_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
