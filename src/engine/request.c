// SPDX-License-Identifier: Apache-2.0
/* See request.h. */
#include "engine/request.h"

#include <jansson.h>

#include "base/limits.h"
#include "base/utf8.h"

enum { BYTES_PER_TOKEN = 4, TOKENS_PER_MESSAGE = 4, NAME_SHOWN = 64 };

static uint64_t tokens_of(size_t bytes) {
    return (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
}

static int take_bool(const json_t *object, const char *key, bool *ret, struct err *e) {
    const json_t *v = json_object_get(object, key);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_boolean(v))
        return err_set(e, ERR_INVALID, "%s must be true or false", key);
    *ret = json_is_true(v);
    return 0;
}

// Keys whose values change nothing here, but of which clients get the type wrong.
static int check_numbers(const json_t *object, struct err *e) {
    static const char *const keys[] = {"temperature", "top_p", "presence_penalty",
                                       "frequency_penalty"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const json_t *v = json_object_get(object, keys[i]);
        if (v && !json_is_null(v) && !json_is_number(v))
            return err_set(e, ERR_INVALID, "%s must be a number", keys[i]);
    }
    return 0;
}

static int take_count(const json_t *object, const char *key, uint32_t *ret, struct err *e) {
    const json_t *v = json_object_get(object, key);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < 1 ||
        json_integer_value(v) > LIMIT_STATION_TOKENS)
        return err_set(e, ERR_INVALID, "%s must be a whole number from 1 to %d", key,
                       LIMIT_STATION_TOKENS);
    *ret = (uint32_t)json_integer_value(v);
    return 0;
}

static int check_model(const json_t *object, const char *served, struct err *e) {
    const json_t *v = json_object_get(object, "model");
    if (!v || json_is_null(v))
        return 0;
    const char *name = json_string_value(v);
    if (!name)
        return err_set(e, ERR_INVALID, "model must be a string");
    if (!str_eqc((struct str){name, json_string_length(v)}, served))
        return err_set(e, ERR_NOTFOUND, "The model of the request does not exist; `%.*s` does.",
                       NAME_SHOWN, served);
    return 0;
}

static bool all_integers(const json_t *list) {
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++)
        if (!json_is_integer(json_array_get(list, i)) ||
            json_integer_value(json_array_get(list, i)) < 0)
            return false;
    return n > 0;
}

// "text", [12, 7, ...], ["text"], [[12, 7, ...]]
static int take_prompt(const json_t *object, uint64_t *ret, struct err *e) {
    const json_t *v = json_object_get(object, "prompt");
    if (json_is_array(v) && json_array_size(v) == 1 && !json_is_integer(json_array_get(v, 0)))
        v = json_array_get(v, 0);
    if (json_is_string(v) && json_string_length(v) > 0) {
        *ret = tokens_of(json_string_length(v));
        return 0;
    }
    if (json_is_array(v) && all_integers(v)) {
        *ret = json_array_size(v);
        return 0;
    }
    return err_set(e, ERR_INVALID,
                   "prompt must be a text, or a list of token numbers, and not empty; one prompt a "
                   "request");
}

// A string, or [{"type": "text", "text": "..."}, ...]; other parts (images) have no tokens here.
static int message_bytes(const json_t *content, size_t *ret, struct err *e) {
    *ret = 0;
    if (json_is_null(content))
        return 0;
    if (json_is_string(content)) {
        *ret = json_string_length(content);
        return 0;
    }
    for (size_t i = 0; json_is_array(content) && i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
        if (!json_is_object(part) || (text && !json_is_string(text)))
            return err_set(e, ERR_INVALID,
                           "messages: a part of content must be an object, its "
                           "text a string");
        *ret += json_string_length(text);
    }
    return json_is_array(content)
               ? 0
               : err_set(e, ERR_INVALID, "messages: content must be a text or a list of parts");
}

static int take_messages(const json_t *object, uint64_t *ret, struct err *e) {
    const json_t *list = json_object_get(object, "messages");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return err_set(e, ERR_INVALID, "messages must be a list and not empty");
    *ret = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        if (!json_is_string(json_object_get(m, "role")) || !json_object_get(m, "content"))
            return err_set(e, ERR_INVALID, "messages: each must have a role and a content");
        size_t bytes;
        int r = message_bytes(json_object_get(m, "content"), &bytes, e);
        if (r < 0)
            return r;
        *ret += TOKENS_PER_MESSAGE + tokens_of(bytes);
    }
    return 0;
}

static int take_stream(const json_t *object, struct engine_request *q, struct err *e) {
    int r = take_bool(object, "stream", &q->stream, e);
    const json_t *options = json_object_get(object, "stream_options");
    if (r < 0 || !options || json_is_null(options))
        return r;
    if (!json_is_object(options))
        return err_set(e, ERR_INVALID, "stream_options must be an object");
    return take_bool(options, "include_usage", &q->include_usage, e);
}

static int take_openai(const json_t *object, struct engine_request *q, uint64_t *prompt,
                       struct err *e) {
    uint32_t n = 1;
    int r = take_count(object, "n", &n, e);
    if (r == 0 && n != 1)
        r = err_set(e, ERR_INVALID, "n must be 1: one answer a request");
    if (r == 0)
        r = q->kind == ENGINE_CHAT ? take_messages(object, prompt, e)
                                   : take_prompt(object, prompt, e);
    r = r < 0 ? r : check_numbers(object, e);
    r = r < 0 ? r : take_stream(object, q, e);
    return r < 0 || q->kind != ENGINE_CHAT
               ? r
               : take_count(object, "max_completion_tokens", &q->output_tokens, e);
}

static int take(const json_t *object, struct str body, const struct engine_request_rules *rules,
                struct engine_request *q, struct err *e) {
    uint64_t prompt = tokens_of(body.n);
    if (!json_is_object(object))
        return err_set(e, ERR_INVALID, "the body must be a JSON object");
    int r = check_model(object, rules->model, e);
    r = r < 0 ? r : take_count(object, "max_tokens", &q->output_tokens, e);
    if (r == 0 && q->kind != ENGINE_PREDICT)
        r = take_openai(object, q, &prompt, e);
    if (r < 0)
        return r;
    q->prompt_tokens = (uint32_t)prompt; // a token has a byte of the body at least
    if (rules->max_tokens > 0 && prompt + q->output_tokens > rules->max_tokens)
        return err_set(e, ERR_LIMIT,
                       "This model's maximum context length is %llu tokens. However, you requested "
                       "%llu tokens (%llu in the prompt, %u in the completion).",
                       (unsigned long long)rules->max_tokens,
                       (unsigned long long)(prompt + q->output_tokens), (unsigned long long)prompt,
                       q->output_tokens);
    return 0;
}

// The parser's text has some of the client's in it: it becomes one line of whole characters.
static int refuse_json(json_error_t *where, struct err *e) {
    if (json_error_code(where) == json_error_out_of_memory)
        return err_set(e, ERR_NOMEM, "no memory for the request");
    where->text[utf8_valid_prefix(where->text, strlen(where->text))] = '\0';
    for (char *p = where->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return err_set(e, ERR_PARSE, "the body is not JSON: line %d, column %d: %s", where->line,
                   where->column, where->text);
}

int engine_request_parse(enum engine_request_kind kind, struct str body,
                         const struct engine_request_rules *rules, struct engine_request *ret,
                         struct err *e) {
    struct engine_request q = {
        .kind = kind, .prompt_tokens = 1, .output_tokens = ENGINE_DEFAULT_MAX_TOKENS};
    if (kind == ENGINE_PREDICT && body.n == 0) {
        body = STR("{}");
    }
    json_error_t where;
    json_t *root = json_loadb(body.p ? body.p : "", body.n, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return refuse_json(&where, e);
    int r = take(root, body, rules, &q, e);
    json_decref(root);
    if (r == 0)
        *ret = q;
    return r;
}
