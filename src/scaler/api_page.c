// SPDX-License-Identifier: Apache-2.0
/* The frame of the status API's lists; see the header. */
#include "scaler/api_page.h"

#include <math.h>

static bool read_count(struct http_request *r, const char *name, size_t def, size_t max,
                       size_t *ret) {
    char text[32];
    if (!api_param(r, name, text, sizeof(text)))
        return false;
    *ret = def;
    if (text[0] == '\0')
        return true;
    unsigned long long n;
    if (str_to_u64(str_from(text), &n) == 0 && n <= max) {
        *ret = (size_t)n;
        return true;
    }
    http_request_answer_text(r, 400, "%s=%s: a number up to %zu is expected", name, text, max);
    return false;
}

bool api_param(struct http_request *r, const char *name, char *dst, size_t cap) {
    int rc = http_request_param(r, name, dst, cap);
    if (rc == ERR_NOTFOUND)
        dst[0] = '\0';
    if (rc == 0 || rc == ERR_NOTFOUND)
        return true;
    http_request_answer_text(r, 400, "parameter %s is malformed or too long", name);
    return false;
}

bool api_page_begin(struct api_page *p, struct http_request *r, const struct view *view,
                    size_t limit, size_t limit_max) {
    *p = (struct api_page){.request = r, .view = view};
    buf_init(&p->out, API_BODY_MAX);
    if (!read_count(r, "limit", limit, limit_max, &p->limit) ||
        !read_count(r, "offset", 0, SIZE_MAX / 2, &p->offset))
        return false;
    p->rc = buf_addc(&p->out, "{\"items\":[");
    return true;
}

bool api_page_item(struct api_page *p) {
    size_t i = p->seen++;
    if (i < p->offset || p->shown >= p->limit || p->rc < 0)
        return false;
    if (buf_reserve(&p->out, API_ITEM_MAX) == NULL) {
        p->rc = ERR_LIMIT;
        return false;
    }
    if (p->shown++ > 0)
        (void)buf_add_byte(&p->out, ',');
    return true;
}

void api_page_end(struct api_page *p) {
    if (p->rc == 0)
        p->rc = buf_addf(&p->out, "],\"total\":%zu", p->seen);
    if (p->rc == 0 && p->offset + p->shown < p->seen)
        p->rc = buf_addf(&p->out, ",\"next\":%zu", p->offset + p->shown);
    if (p->rc == 0)
        p->rc = buf_addc(&p->out, "}\n");
    if (p->rc < 0) { // JSON that is cut is never sent
        api_page_fail(p, 500, "the answer is over its limit: ask for less with limit=");
        return;
    }
    http_request_answer(p->request, &(struct http_answer){.status = 200,
                                                          .content_type = "application/json",
                                                          .body = buf_str(&p->out)});
    buf_done(&p->out);
}

void api_page_fail(struct api_page *p, int status, const char *message) {
    buf_clear(&p->out);
    (void)buf_addc(&p->out, "{\"error\":");
    (void)buf_add_json(&p->out, str_from(message));
    (void)buf_addc(&p->out, "}\n");
    http_request_answer(p->request, &(struct http_answer){.status = status,
                                                          .content_type = "application/json",
                                                          .body = buf_str(&p->out)});
    buf_done(&p->out);
}

static void key(struct buf *b, const char *name) {
    (void)buf_addf(b, ",\"%s\":", name);
}

void api_text(struct buf *b, const char *name, const char *value) {
    key(b, name);
    (void)buf_add_json(b, str_from(value ? value : ""));
}

void api_number(struct buf *b, const char *name, double value) {
    key(b, name);
    if (isfinite(value))
        (void)buf_add_double(b, value);
    else
        (void)buf_addc(b, "null");
}

void api_int(struct buf *b, const char *name, int64_t value) {
    key(b, name);
    (void)buf_add_i64(b, value);
}

void api_bool(struct buf *b, const char *name, bool value) {
    key(b, name);
    (void)buf_addc(b, value ? "true" : "false");
}
