// SPDX-License-Identifier: Apache-2.0
/* Bodies of requests: what is counted, what is ignored, what is refused and how that reads. */
#include "unit.h"

#include "engine/request.h"

static const struct engine_request_rules rules = {.model = "m", .max_tokens = 1000};

static void test_what_a_body_asks_for(void **state) {
    static const struct {
        enum engine_request_kind kind;
        const char *body;
        uint32_t prompt, output;
        bool stream, usage;
    } cases[] = {
        {ENGINE_COMPLETION, "{\"prompt\":\"12345678\"}", 2, 128, false, false},
        {ENGINE_COMPLETION, "{\"prompt\":\"123456789\",\"max_tokens\":1}", 3, 1, false, false},
        {ENGINE_COMPLETION, "{\"prompt\":[\"1234\"],\"model\":\"m\"}", 1, 128, false, false},
        {ENGINE_COMPLETION, "{\"prompt\":[5,6,7]}", 3, 128, false, false},
        {ENGINE_COMPLETION, "{\"prompt\":[[5,6,7,8]]}", 4, 128, false, false},
        {ENGINE_COMPLETION, "{\"prompt\":\"x\",\"stream\":true}", 1, 128, true, false},
        {ENGINE_COMPLETION,
         "{\"prompt\":\"x\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", 1, 128,
         true, true},
        {ENGINE_COMPLETION, "{\"prompt\":\"\\u00e9\\u00e9\\u00e9\"}", 2, 128, false, false},
        {ENGINE_COMPLETION,
         "{\"prompt\":\"x\",\"temperature\":0.5,\"stop\":[\"a\"],\"n\":1,\"seed\":7,\"user\":{},"
         "\"ignore_eos\":true,\"max_tokens\":null,\"stream\":null,\"stream_options\":null}",
         1, 128, false, false},
        {ENGINE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"12345678\"}]}", 6, 128,
         false, false},
        {ENGINE_CHAT,
         "{\"messages\":[{\"role\":\"system\",\"content\":\"1\"},{\"role\":\"user\",\"content\":"
         "[{\"type\":\"text\",\"text\":\"1234\"},{\"type\":\"image_url\",\"image_url\":{}}]}],"
         "\"max_completion_tokens\":7,\"max_tokens\":9}",
         10, 7, false, false},
        {ENGINE_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"content\":null}]}", 4, 128, false,
         false},
        {ENGINE_PREDICT, "", 1, 128, false, false},
        {ENGINE_PREDICT, "{\"inputs\":[1,2]}", 4, 128, false, false},
        {ENGINE_PREDICT, "{\"max_tokens\":3,\"stream\":7}", 7, 3, false, false},
        {ENGINE_COMPLETION, "{\"prompt\":\"x\",\"max_tokens\":999}", 1, 999, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_request q = {0};
        struct err e = {0};
        if (engine_request_parse(cases[i].kind, str_from(cases[i].body), &rules, &q, &e) < 0)
            fail_msg("%s: %s", cases[i].body, e.msg);
        if (q.prompt_tokens != cases[i].prompt || q.output_tokens != cases[i].output)
            fail_msg("%s: %u and %u tokens", cases[i].body, q.prompt_tokens, q.output_tokens);
        assert_int_equal(q.kind, cases[i].kind);
        assert_int_equal(q.stream, cases[i].stream);
        assert_int_equal(q.include_usage, cases[i].usage);
    }
}

static void test_what_is_refused_names_the_key_and_what_is_allowed(void **state) {
    static const struct {
        enum engine_request_kind kind;
        const char *body;
        int code;
        const char *message;
    } cases[] = {
        {ENGINE_COMPLETION, "", ERR_PARSE, "the body is not JSON: line 1, column 0"},
        {ENGINE_COMPLETION, "{\"prompt\":", ERR_PARSE, "the body is not JSON: line 1, column 10"},
        {ENGINE_COMPLETION, "{}x", ERR_PARSE, "not JSON"},
        {ENGINE_COMPLETION, "{\"prompt\":\"\xff\"}", ERR_PARSE, "not JSON"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"prompt\":\"b\"}", ERR_PARSE, "duplicate"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":99999999999999999999}", ERR_PARSE,
         "too big"},
        {ENGINE_COMPLETION, "[]", ERR_INVALID, "the body must be a JSON object"},
        {ENGINE_COMPLETION, "{}", ERR_INVALID, "prompt must be a text"},
        {ENGINE_COMPLETION, "{\"prompt\":\"\"}", ERR_INVALID, "prompt must be a text"},
        {ENGINE_COMPLETION, "{\"prompt\":7}", ERR_INVALID, "prompt must be a text"},
        {ENGINE_COMPLETION, "{\"prompt\":[]}", ERR_INVALID, "prompt must be a text"},
        {ENGINE_COMPLETION, "{\"prompt\":[\"a\",\"b\"]}", ERR_INVALID, "one prompt a request"},
        {ENGINE_COMPLETION, "{\"prompt\":[1,-2]}", ERR_INVALID, "prompt must be a text"},
        {ENGINE_COMPLETION, "{\"prompt\":[1,2.5]}", ERR_INVALID, "prompt must be a text"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":0}", ERR_INVALID,
         "max_tokens must be a whole number from 1 to 1000000000"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":-1}", ERR_INVALID, "max_tokens must"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":1.5}", ERR_INVALID,
         "max_tokens must"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":\"9\"}", ERR_INVALID,
         "max_tokens must"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"n\":2}", ERR_INVALID, "n must be 1"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"stream\":1}", ERR_INVALID,
         "stream must be true or false"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"stream_options\":1}", ERR_INVALID,
         "stream_options must be an object"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"stream_options\":{\"include_usage\":\"no\"}}",
         ERR_INVALID, "include_usage must be true or false"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"temperature\":\"hot\"}", ERR_INVALID,
         "temperature must be a number"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"model\":3}", ERR_INVALID,
         "model must be a string"},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"model\":\"other\"}", ERR_NOTFOUND,
         "The model of the request does not exist; `m` does."},
        {ENGINE_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":1000}", ERR_LIMIT,
         "maximum context length is 1000 tokens. However, you requested 1001 tokens (1 in the "
         "prompt, 1000 in the completion)."},
        {ENGINE_CHAT, "{}", ERR_INVALID, "messages must be a list"},
        {ENGINE_CHAT, "{\"messages\":[]}", ERR_INVALID, "messages must be a list"},
        {ENGINE_CHAT, "{\"messages\":[7]}", ERR_INVALID, "each must have a role and a content"},
        {ENGINE_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", ERR_INVALID, "a role and a content"},
        {ENGINE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", ERR_INVALID,
         "content must be a text or a list"},
        {ENGINE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[7]}]}", ERR_INVALID,
         "a part of content must be an object"},
        {ENGINE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":7}]}]}",
         ERR_INVALID, "its text a string"},
        {ENGINE_PREDICT, "7", ERR_PARSE, "'[' or '{' expected"},
        {ENGINE_PREDICT, "[7]", ERR_INVALID, "must be a JSON object"},
        {ENGINE_PREDICT, "{", ERR_PARSE, "not JSON"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine_request q = {.prompt_tokens = 77};
        struct err e = {0};
        int r = engine_request_parse(cases[i].kind, str_from(cases[i].body), &rules, &q, &e);
        if (r != cases[i].code || !strstr(e.msg, cases[i].message))
            fail_msg("%s: %d %s", cases[i].body, r, e.msg);
        assert_int_equal(q.prompt_tokens, 77); // set only on success
    }
}

static void test_a_nul_in_a_model_name_is_part_of_it(void **state) {
    struct engine_request q;
    struct err e = {0};
    // "m\0x" is no "m"
    const char body[] = "{\"prompt\":\"a\",\"model\":\"m\\u0000x\"}";
    assert_true(engine_request_parse(ENGINE_COMPLETION, str_from(body), &rules, &q, &e) < 0);
}

static void test_deep_bodies_end_with_an_error(void **state) {
    char body[200001];
    struct engine_request q;
    struct err e = {0};
    memset(body, '[', sizeof(body) - 1);
    body[sizeof(body) - 1] = 0;
    assert_int_equal(engine_request_parse(ENGINE_COMPLETION, str_from(body), &rules, &q, &e),
                     ERR_PARSE);
}

static void test_without_a_limit_any_length_is_taken(void **state) {
    struct engine_request q;
    struct engine_request_rules none = {.model = "m"};
    assert_int_equal(engine_request_parse(ENGINE_COMPLETION,
                                          STR("{\"prompt\":\"a\",\"max_tokens\":1000000000}"),
                                          &none, &q, NULL),
                     0);
    assert_int_equal(q.output_tokens, 1000000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_body_asks_for),
        cmocka_unit_test(test_what_is_refused_names_the_key_and_what_is_allowed),
        cmocka_unit_test(test_a_nul_in_a_model_name_is_part_of_it),
        cmocka_unit_test(test_deep_bodies_end_with_an_error),
        cmocka_unit_test(test_without_a_limit_any_length_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
