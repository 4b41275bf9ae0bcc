// SPDX-License-Identifier: Apache-2.0
/* Answers: JSON as vLLM has it, read back by a JSON library; events that add up to the answer. */
#include "unit.h"

#include <jansson.h>

#include "engine/answer.h"

enum { MAX = 1 << 20 };

static json_t *parse(struct str text) {
    json_error_t e;
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        fail_msg("%s: %.*s", e.text, (int)text.n, text.p);
    return j;
}

static struct engine_request request(enum engine_request_kind kind, uint32_t output) {
    return (struct engine_request){
        .kind = kind, .prompt_tokens = 9, .output_tokens = output, .stream = true};
}

static const char *text_at(const json_t *j, const char *a, const char *b) {
    const json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    const json_t *in = json_object_get(choice, a);
    return json_string_value(b ? json_object_get(in, b) : in);
}

static void check_usage(const json_t *j, int prompt, int completion) {
    const json_t *u = json_object_get(j, "usage");
    assert_int_equal(json_integer_value(json_object_get(u, "prompt_tokens")), prompt);
    assert_int_equal(json_integer_value(json_object_get(u, "completion_tokens")), completion);
    assert_int_equal(json_integer_value(json_object_get(u, "total_tokens")), prompt + completion);
}

// The next `data: ...` of the stream, as text.
static struct str event(struct str *rest) {
    assert_true(str_starts(*rest, "data: "));
    const char *end = memmem(rest->p, rest->n, "\n\n", 2);
    assert_non_null(end);
    struct str data = {rest->p + 6, (size_t)(end - rest->p) - 6};
    rest->n -= (size_t)(end + 2 - rest->p);
    rest->p = end + 2;
    return data;
}

static void test_events_of_any_size_add_up_to_the_whole_answer(void **state) {
    for (int kind = ENGINE_COMPLETION; kind <= ENGINE_CHAT; kind++) {
        struct engine_request q = request((enum engine_request_kind)kind, 50);
        struct engine_answer a = {.request = &q, .model = "a \"model\"\n", .id = "7"};
        const char *holder = kind == ENGINE_CHAT ? "message" : "text";
        CLEANUP_BUF struct buf whole, stream, got;
        buf_init(&whole, MAX);
        buf_init(&stream, MAX);
        buf_init(&got, MAX);
        engine_answer_whole(&whole, &a);
        json_t *all = parse(buf_str(&whole));
        check_usage(all, 9, 50);
        assert_string_equal(json_string_value(json_object_get(all, "model")), "a \"model\"\n");
        assert_string_equal(json_string_value(json_object_get(all, "id")),
                            kind == ENGINE_CHAT ? "chatcmpl-7" : "cmpl-7");
        assert_string_equal(text_at(all, "finish_reason", NULL), "length");

        q.include_usage = true;
        static const uint32_t sizes[] = {1, 1, 40, 8};
        uint32_t first = 0;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); first += sizes[i++])
            engine_answer_event(&stream, &a, first, sizes[i], first + sizes[i] == 50);
        engine_answer_done(&stream, &a);
        struct str rest = buf_str(&stream);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            json_t *j = parse(event(&rest));
            const char *part = kind == ENGINE_CHAT ? text_at(j, "delta", "content")
                                                   : text_at(j, "text", NULL);
            (void)buf_addc(&got, part);
            const char *reason = text_at(j, "finish_reason", NULL);
            assert_true((reason != NULL) == (i == 3));
            assert_true(json_is_null(json_object_get(j, "usage")));
            json_decref(j);
        }
        json_t *usage = parse(event(&rest));
        check_usage(usage, 9, 50);
        assert_int_equal(json_array_size(json_object_get(usage, "choices")), 0);
        json_decref(usage);
        assert_true(str_eqc(event(&rest), "[DONE]"));
        assert_int_equal(rest.n, 0);
        (void)buf_add_byte(&got, 0);
        assert_string_equal(got.p, text_at(all, holder, kind == ENGINE_CHAT ? "content" : NULL));
        json_decref(all);
    }
}

static void test_a_chat_begins_with_its_role(void **state) {
    struct engine_request q = request(ENGINE_CHAT, 3);
    struct engine_answer a = {.request = &q, .model = "m", .id = "7"};
    CLEANUP_BUF struct buf b;
    buf_init(&b, MAX);
    engine_answer_event(&b, &a, 0, 0, false);
    struct str rest = buf_str(&b);
    json_t *j = parse(event(&rest));
    assert_string_equal(text_at(j, "delta", "role"), "assistant");
    assert_string_equal(text_at(j, "delta", "content"), "");
    assert_string_equal(json_string_value(json_object_get(j, "object")), "chat.completion.chunk");
    json_decref(j);
}

static void test_a_stream_without_usage_ends_with_done_alone(void **state) {
    struct engine_request q = request(ENGINE_COMPLETION, 3);
    struct engine_answer a = {.request = &q, .model = "m", .id = "7"};
    CLEANUP_BUF struct buf b;
    buf_init(&b, MAX);
    engine_answer_done(&b, &a);
    assert_true(str_eqc(buf_str(&b), "data: [DONE]\n\n"));
}

static void test_errors_and_models_are_json_whatever_their_text(void **state) {
    static const struct {
        int status;
        const char *type;
    } cases[] = {{400, "BadRequestError"},
                 {404, "NotFoundError"},
                 {413, "BadRequestError"},
                 {500, "InternalServerError"},
                 {503, "ServiceUnavailableError"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP_BUF struct buf b;
        buf_init(&b, MAX);
        engine_answer_error(&b, cases[i].status, STR("a \"quote\"\xff\n"));
        json_t *j = parse(buf_str(&b));
        const json_t *e = json_object_get(j, "error");
        assert_int_equal(json_integer_value(json_object_get(e, "code")), cases[i].status);
        assert_string_equal(json_string_value(json_object_get(e, "type")), cases[i].type);
        json_decref(j);
    }
    CLEANUP_BUF struct buf b;
    buf_init(&b, MAX);
    engine_answer_models(&b, "m\\", 5, 0);
    json_t *j = parse(buf_str(&b));
    const json_t *m = json_array_get(json_object_get(j, "data"), 0);
    assert_string_equal(json_string_value(json_object_get(m, "id")), "m\\");
    assert_true(json_is_null(json_object_get(m, "max_model_len")));
    json_decref(j);
}

static void test_a_prediction_tells_its_times(void **state) {
    struct engine_request q = request(ENGINE_PREDICT, 3);
    struct engine_answer a = {
        .request = &q, .model = "m", .id = "7", .queue_s = 0.5, .service_s = 0.25};
    CLEANUP_BUF struct buf b;
    buf_init(&b, MAX);
    engine_answer_whole(&b, &a);
    json_t *j = parse(buf_str(&b));
    assert_true(json_real_value(json_object_get(j, "queue_seconds")) == 0.5);
    assert_true(json_real_value(json_object_get(j, "service_seconds")) == 0.25);
    check_usage(j, 9, 3);
    json_decref(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_of_any_size_add_up_to_the_whole_answer),
        cmocka_unit_test(test_a_chat_begins_with_its_role),
        cmocka_unit_test(test_a_stream_without_usage_ends_with_done_alone),
        cmocka_unit_test(test_errors_and_models_are_json_whatever_their_text),
        cmocka_unit_test(test_a_prediction_tells_its_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
