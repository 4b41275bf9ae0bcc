// SPDX-License-Identifier: Apache-2.0
/* See answer.h. */
#include "engine/answer.h"

#include "base/mem.h"

static const char *const words[] = {
    " the",   " queue", " is",    " short", " and",   " each",  " GPU",  " works",
    " at",    " one",   " step",  " after", " an",    " other", " so",   " that",
    " every", " token", " has",   " its",   " turn",  " while", " new",  " ones",
    " wait",  " for",   " their", " own",   " place", " in",    " line", " again,",
};

static void add_text(struct buf *b, uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        (void)buf_addc(b, words[(first + i) % COUNT_OF(words)]);
}

static bool is_chat(const struct engine_answer *a) {
    return a->request->kind == ENGINE_CHAT;
}

static void add_head(struct buf *b, const struct engine_answer *a, const char *object) {
    (void)buf_addc(b, "{\"id\":");
    char id[ENGINE_ID_MAX + 16] = "chatcmpl-";
    (void)str_copy(id + strlen(id), sizeof(id) - strlen(id), str_from(a->id));
    (void)buf_add_json(b, str_from(is_chat(a) ? id : id + strlen("chat")));
    (void)buf_addf(b, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
                   (long long)a->created_s);
    (void)buf_add_json(b, str_from(a->model));
}

static void add_usage(struct buf *b, const struct engine_request *q) {
    (void)buf_addf(b,
                   "\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%llu,\"completion_tokens\":%u,"
                   "\"prompt_tokens_details\":null}",
                   q->prompt_tokens, (unsigned long long)q->prompt_tokens + q->output_tokens,
                   q->output_tokens);
}

static const char *error_type(int status) {
    return status == 404   ? "NotFoundError"
           : status == 503 ? "ServiceUnavailableError"
           : status >= 500 ? "InternalServerError"
                           : "BadRequestError";
}

void engine_answer_error(struct buf *b, int status, struct str message) {
    (void)buf_addc(b, "{\"error\":{\"message\":");
    (void)buf_add_json(b, message);
    (void)buf_addf(b, ",\"type\":\"%s\",\"param\":null,\"code\":%d}}", error_type(status), status);
}

static void add_prediction(struct buf *b, const struct engine_answer *a) {
    (void)buf_addc(b, "{\"id\":");
    (void)buf_add_json(b, str_from(a->id));
    (void)buf_addc(b, ",\"model\":");
    (void)buf_add_json(b, str_from(a->model));
    (void)buf_addf(b, ",\"queue_seconds\":%.6f,\"service_seconds\":%.6f,", a->queue_s,
                   a->service_s);
    add_usage(b, a->request);
    (void)buf_addc(b, "}");
}

void engine_answer_whole(struct buf *b, const struct engine_answer *a) {
    if (a->request->kind == ENGINE_PREDICT) {
        add_prediction(b, a);
        return;
    }
    add_head(b, a, is_chat(a) ? "chat.completion" : "text_completion");
    (void)buf_addf(b, ",\"choices\":[{\"index\":0,%s",
                   is_chat(a) ? "\"message\":{\"role\":\"assistant\",\"content\":\""
                              : "\"text\":\"");
    add_text(b, 0, a->request->output_tokens);
    (void)buf_addf(b, "\"%s,\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null}],",
                   is_chat(a) ? "}" : "");
    add_usage(b, a->request);
    (void)buf_addc(b, "}");
}

void engine_answer_event(struct buf *b, const struct engine_answer *a, uint32_t first, uint32_t n,
                         bool last) {
    (void)buf_addc(b, "data: ");
    add_head(b, a, is_chat(a) ? "chat.completion.chunk" : "text_completion");
    (void)buf_addf(b, ",\"choices\":[{\"index\":0,%s",
                   !is_chat(a) ? "\"text\":\""
                   : n == 0    ? "\"delta\":{\"role\":\"assistant\",\"content\":\""
                               : "\"delta\":{\"content\":\"");
    add_text(b, first, n);
    (void)buf_addf(b, "\"%s,\"logprobs\":null,\"finish_reason\":%s}]", is_chat(a) ? "}" : "",
                   last ? "\"length\"" : "null");
    (void)buf_addc(b, a->request->include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

void engine_answer_done(struct buf *b, const struct engine_answer *a) {
    if (a->request->include_usage) {
        (void)buf_addc(b, "data: ");
        add_head(b, a, is_chat(a) ? "chat.completion.chunk" : "text_completion");
        (void)buf_addc(b, ",\"choices\":[],");
        add_usage(b, a->request);
        (void)buf_addc(b, "}\n\n");
    }
    (void)buf_addc(b, "data: [DONE]\n\n");
}

void engine_answer_models(struct buf *b, const char *model, int64_t created_s,
                          uint64_t max_tokens) {
    (void)buf_addc(b, "{\"object\":\"list\",\"data\":[{\"id\":");
    (void)buf_add_json(b, str_from(model));
    (void)buf_addf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"gpuscale\",\"root\":",
                   (long long)created_s);
    (void)buf_add_json(b, str_from(model));
    (void)buf_addc(b, ",\"parent\":null,\"max_model_len\":");
    if (max_tokens > 0)
        (void)buf_add_u64(b, max_tokens);
    else
        (void)buf_addc(b, "null");
    (void)buf_addc(b, "}]}");
}
