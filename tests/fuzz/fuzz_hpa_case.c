// SPDX-License-Identifier: Apache-2.0
/*
 * `gpuscale hpa`: any bytes give answers or refusals of one printable line each; answers are one
 * line of JSON and lines that a terminal shows as they are; pieces give what the whole gives.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "fuzz.h"
#include "tools/hpa_feed.h"
#include "tools/hpa_run.h"

FUZZ_LIBFYAML_LEAKS

struct result {
    struct buf json; // and refusals, in their order
    struct arena *a;
};

static void check_json(struct str line) {
    require(line.n > 2 && line.p[0] == '{' && line.p[line.n - 1] == '\n');
    require(!memchr(line.p, '\n', line.n - 1) && utf8_valid(line.p, line.n));
}

static void check_text(struct str text) {
    require(text.n > 0 && text.p[text.n - 1] == '\n' && utf8_valid(text.p, text.n));
    for (size_t i = 0; i < text.n; i++)
        require((unsigned char)text.p[i] >= 0x20 || text.p[i] == '\n');
}

static void check_answer(const struct hpa_answer *a) {
    const struct hpa_result *r = &a->result;
    require(a->c->n_notes <= HPA_CASE_NOTES);
    require(r->failed || r->rescale == (r->desired != a->in.spec_replicas));
    // Twice as many as 2^30 is a negative number in Kubernetes too.
    if (r->rescale && a->in.spec_replicas < 1 << 29)
        require(r->desired >= 0 && r->desired <= a->c->hpa.spec.max_replicas);
    require(!r->computed || r->n_metrics == a->c->hpa.spec.n_metrics);
}

static void on_case(void *ctx, struct hpa_case *c, const struct err *e) {
    struct result *to = ctx;
    if (!c) {
        require_message(e);
        hpa_json_write_error(&to->json, e);
        return;
    }
    struct err why = {0};
    struct hpa_answer *a = arena_zalloc(to->a, sizeof(*a));
    require(a != NULL);
    int rc = hpa_run(c, to->a, a, &why);
    if (rc < 0) {
        require_message(&why);
        return;
    }
    check_answer(a);
    size_t from = to->json.len;
    hpa_json_write(&to->json, a);
    struct buf text;
    buf_init(&text, LIMIT_ANSWER_BYTES);
    hpa_tell(&text, a);
    if (to->json.err == 0)
        check_json((struct str){to->json.p + from, to->json.len - from});
    if (text.err == 0)
        check_text(buf_str(&text));
    buf_done(&text);
}

static void on_value(void *ctx, const struct conf_node *root, struct arena *a,
                     const struct err *e) {
    struct result *to = ctx;
    if (!root) {
        require_message(e);
        hpa_json_write_error(&to->json, e);
        return;
    }
    to->a = a;
    const struct hpa_case_source s = {.file = "f",
                                      .now_ns = INT64_C(1795435200) * NS_PER_S,
                                      .a = a,
                                      .ctx = to,
                                      .on_case = on_case};
    hpa_case_read(&s, root);
}

static void feed(struct result *to, const uint8_t *data, size_t size, size_t piece) {
    buf_init(&to->json, LIMIT_ANSWER_BYTES);
    struct hpa_feed f = {.file = "f", .ctx = to, .on_value = on_value};
    hpa_feed_init(&f);
    for (size_t at = 0; at < size; at += piece)
        hpa_feed_bytes(
            &f, (struct str){(const char *)data + at, piece < size - at ? piece : size - at});
    hpa_feed_end(&f);
    hpa_feed_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct result whole = {0}, pieces = {0};
    feed(&whole, data, size, size > 0 ? size : 1);
    feed(&pieces, data, size, 1 + (size > 0 ? data[size - 1] % 61 : 0));
    require(whole.json.len == pieces.json.len &&
            (whole.json.len == 0 || memcmp(whole.json.p, pieces.json.p, whole.json.len) == 0));
    buf_done(&whole.json);
    buf_done(&pieces.json);
    return 0;
}
