// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP/1.1 answer codec: any bytes, a connection's worth of them. The first byte chooses how
 * they are split and whether HEAD was asked; verdicts and contents must be those of the unsplit
 * input.
 */
#include "fuzz.h"
#include "net/http1_answer.h"

struct sum { // of all that was read
    uint64_t hash;
    size_t answers, used;
    const char *why;
};

static void add(struct sum *s, struct str text) {
    for (size_t i = 0; i < text.n; i++)
        s->hash = (s->hash ^ (unsigned char)text.p[i]) * UINT64_C(1099511628211);
}

static void add_head(struct sum *s, const struct http1_answer *a) {
    struct str name, value;
    require(a->status >= 200 && a->status <= 599 && a->minor <= 1);
    require(!(a->chunked && a->until_end) && !(a->keep_alive && a->until_end));
    s->hash += (uint64_t)a->status + 8u * a->keep_alive + 16u * a->chunked;
    for (size_t i = 0; http1_answer_header_at(a, i, &name, &value); i++) {
        require(name.n > 0);
        add(s, name);
        add(s, value);
    }
}

static struct sum read_all(const uint8_t *data, size_t size, size_t piece, bool is_head) {
    struct sum s = {.hash = UINT64_C(14695981039346656037)};
    struct http1_answer a;
    bool in_head = true;
    http1_answer_init(&a);
    http1_answer_expect(&a, is_head);
    while (s.used < size && a.state != HTTP1_ANSWER_FAILED) {
        size_t n = piece < size - s.used ? piece : size - s.used;
        struct str body;
        size_t took = http1_answer_feed(&a, data + s.used, n, &body);
        require(took <= n && body.n <= took && (took > 0 || a.state == HTTP1_ANSWER_FAILED));
        s.used += took;
        if (in_head && (a.state == HTTP1_ANSWER_BODY || a.state == HTTP1_ANSWER_DONE)) {
            add_head(&s, &a);
            in_head = false;
        }
        add(&s, body);
        if (a.state == HTTP1_ANSWER_DONE) {
            require(a.chunked || a.until_end || !a.body_bytes || a.body_bytes == a.content_length);
            require(!is_head || a.body_bytes == 0);
            s.answers++;
            http1_answer_expect(&a, is_head);
            in_head = true;
        }
    }
    bool begun = http1_answer_begun(&a);
    http1_answer_end(&a);
    require(a.state == HTTP1_ANSWER_FAILED || (a.state == HTTP1_ANSWER_DONE && begun));
    s.why = a.state == HTTP1_ANSWER_FAILED ? a.why : "";
    require(s.why != NULL && s.used <= size);
    http1_answer_done(&a);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    bool is_head = data[0] & 0x80;
    struct sum whole = read_all(data + 1, size - 1, size, is_head);
    struct sum split = read_all(data + 1, size - 1, 1u + data[0] % 31, is_head);
    require(whole.hash == split.hash && whole.answers == split.answers &&
            whole.used == split.used && strcmp(whole.why, split.why) == 0);
    return 0;
}
