// SPDX-License-Identifier: Apache-2.0
/* Requests: head and body. */
#include "load/request.h"

#include "base/mem.h"

// Words that are one token, with the blank before them, for GPT's, Llama's and Qwen's tokenizers.
static const char three[] = "theandforyouarebutnotallanyhadcanherhisoneouroutdaygethasmanwhonowold"
                            "seetwowaydidsheletsaytoousehowmaynewnorsetputendtryaskownwhy";

static void fill_words(struct request_maker *m) {
    for (size_t i = 0; i < REQUEST_WORDS; i++) {
        size_t word = random_below(&m->random, (sizeof(three) - 1) / 3);
        memcpy(&m->words[4 * i], &three[3 * word], 3);
        m->words[4 * i + 3] = ' ';
    }
}

static int encode(const struct request_maker *m, struct buf *out, bool has_body, size_t body_bytes,
                  struct err *e) {
    const struct load_options *o = m->options;
    struct http1_header headers[LIMIT_HTTP_HEADERS];
    size_t n = o->n_headers;
    bool typed = false, named = false;
    memcpy(headers, o->headers, n * sizeof(*headers));
    for (size_t i = 0; i < n; i++) {
        typed = typed || str_eq_nocase(headers[i].name, STR("content-type"));
        named = named || str_eq_nocase(headers[i].name, STR("user-agent"));
    }
    if (!named)
        headers[n++] = (struct http1_header){STR("User-Agent"), STR("gpuscale/" GPUSCALE_VERSION)};
    if (o->openai && !typed)
        headers[n++] = (struct http1_header){STR("Content-Type"), STR("application/json")};
    const char *method = o->flags->method ? o->flags->method : has_body ? "POST" : "GET";
    struct http1_ask ask = {.method = str_from(method),
                            .target = str_from(m->target->path),
                            .host = str_from(m->target->authority),
                            .headers = headers,
                            .n_headers = n,
                            .has_body = has_body,
                            .body_bytes = body_bytes};
    return http1_ask_encode(out, &ask, e);
}

int request_maker_init(struct request_maker *m, const struct load_options *o,
                       const struct load_target *t, struct err *e) {
    *m = (struct request_maker){.options = o, .target = t};
    buf_init(&m->fixed, LIMIT_LOAD_BODY_BYTES + LIMIT_HTTP_HEAD_BYTES);
    buf_init(&m->body, LIMIT_LOAD_BODY_BYTES);
    random_init(&m->random, (uint64_t)o->flags->seed ^ UINT64_C(0x5bd1e995));
    if (o->openai) {
        m->chat = strstr(t->path, "/chat/") != NULL;
        fill_words(m);
        struct buf probe;
        buf_init(&probe, LIMIT_HTTP_HEAD_BYTES);
        int r = encode(m, &probe, true, 0, e);
        buf_done(&probe);
        return r;
    }
    int r = encode(m, &m->fixed, o->has_body, o->body.len, e);
    if (r == 0 && buf_add_str(&m->fixed, buf_str(&o->body)) < 0)
        r = err_set(e, ERR_NOMEM, "no memory for the request");
    return r;
}

void request_maker_done(struct request_maker *m) {
    buf_done(&m->fixed);
    buf_done(&m->body);
}

static void add_prompt(struct request_maker *m, uint32_t tokens) {
    size_t at = random_below(&m->random, REQUEST_WORDS), left = 4 * (size_t)(tokens ? tokens : 1);
    left--; // no blank behind the last word
    at *= 4;
    while (left > 0) {
        size_t take = sizeof(m->words) - at < left ? sizeof(m->words) - at : left;
        (void)buf_add(&m->body, &m->words[at], take);
        left -= take;
        at = 0;
    }
}

static int make_body(struct request_maker *m, const struct schedule_item *item) {
    struct buf *b = &m->body;
    buf_clear(b);
    (void)buf_addc(b, "{");
    if (m->options->flags->model) {
        (void)buf_addc(b, "\"model\":");
        (void)buf_add_json(b, str_from(m->options->flags->model));
        (void)buf_addc(b, ",");
    }
    (void)buf_addc(b,
                   m->chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"" : "\"prompt\":\"");
    add_prompt(m, item->prompt);
    (void)buf_addc(b, m->chat ? "\"}]" : "\"");
    (void)buf_addf(b, ",\"max_tokens\":%u,\"ignore_eos\":true", item->output ? item->output : 1);
    if (m->options->flags->stream)
        (void)buf_addc(b, ",\"stream\":true");
    return buf_addc(b, "}") < 0 || b->err ? b->err : 0;
}

int request_make(struct request_maker *m, const struct schedule_item *item, struct buf *out,
                 struct str *ret, struct err *e) {
    if (!m->options->openai) {
        *ret = buf_str(&m->fixed);
        return 0;
    }
    int r = make_body(m, item);
    if (r < 0)
        return err_set(e, r, "a body does not fit");
    buf_clear(out);
    r = encode(m, out, true, m->body.len, e);
    if (r == 0)
        r = buf_add_str(out, buf_str(&m->body));
    *ret = buf_str(out);
    return r < 0 ? err_set(e, r, "a request does not fit") : 0;
}
