// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP/1.1 request codec: any bytes, a connection's worth of them. The first byte chooses how
 * they are split; the verdicts and the contents must be those of the unsplit input.
 */
#include "base/mem.h"
#include "fuzz.h"
#include "net/http1.h"

struct sum { // of all that was read
    uint64_t hash;
    size_t requests, used;
    int status;
};

static void add(struct sum *s, struct str text) {
    for (size_t i = 0; i < text.n; i++)
        s->hash = (s->hash ^ (unsigned char)text.p[i]) * UINT64_C(1099511628211);
    s->hash = (s->hash ^ 256) * UINT64_C(1099511628211);
}

static void add_request(struct sum *s, const struct http1 *h) {
    struct str name, value;
    s->requests++;
    add(s, http1_method(h));
    add(s, http1_path(h));
    add(s, http1_query(h));
    add(s, http1_body(h));
    for (size_t i = 0; http1_header_at(h, i, &name, &value); i++) {
        add(s, name);
        add(s, value);
    }
    char param[16];
    int r = http1_query_param(http1_query(h), "a", param, sizeof(param));
    static const struct http_offer offers[] = {{.type = "text/plain", .version = "0.0.4"},
                                               {.type = "a/b", .version = "1", .named_only = true}};
    s->hash += 8u * http1_prefers(h, offers, 2);
    s->hash += (uint64_t)r + http1_accepts_gzip(h) + 2u * h->keep_alive;
    if (memchr(http1_path(h).p, '\0', http1_path(h).n))
        abort();
    if (http1_body(h).n > LIMIT_HTTP_BODY_BYTES ||
        (!h->chunked && h->content_length != http1_body(h).n))
        abort();
}

static struct sum read_all(const uint8_t *data, size_t size, size_t piece) {
    struct sum s = {.hash = UINT64_C(14695981039346656037)};
    struct http1 h;
    http1_init(&h);
    while (s.used < size && h.state != HTTP1_FAILED) {
        size_t n = piece < size - s.used ? piece : size - s.used;
        size_t took = http1_feed(&h, data + s.used, n);
        if (took > n || (took == 0 && h.state != HTTP1_FAILED))
            abort();
        s.used += took;
        if (h.state == HTTP1_DONE) {
            add_request(&s, &h);
            http1_done(&h);
            http1_init(&h);
        }
    }
    if (h.state == HTTP1_FAILED) {
        s.status = h.status;
        if (!h.why || h.status < 400 || h.status > 505 || h.status == 503)
            abort();
    }
    http1_done(&h);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct sum whole = read_all(data + 1, size - 1, size);
    struct sum split = read_all(data + 1, size - 1, 1u + data[0] % 31);
    if (whole.hash != split.hash || whole.requests != split.requests || whole.used != split.used ||
        whole.status != split.status)
        abort();
    return 0;
}
