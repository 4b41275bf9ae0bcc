// SPDX-License-Identifier: Apache-2.0
/* gRPC's own wire format: length-prefixed messages, grpc-timeout, grpc-message. */
#include "net/grpc_frame.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

void grpc_reader_init(struct grpc_reader *r, size_t max) {
    *r = (struct grpc_reader){0};
    buf_init(&r->body, max);
}

void grpc_reader_done(struct grpc_reader *r) {
    buf_done(&r->body);
    r->have_prefix = 0;
    r->took = false;
}

static uint32_t prefix_len(const struct grpc_reader *r) {
    return (uint32_t)r->prefix[1] << 24 | (uint32_t)r->prefix[2] << 16 |
           (uint32_t)r->prefix[3] << 8 | r->prefix[4];
}

// Takes bytes of the prefix: 1 when it is complete and allowed.
static int take_prefix(struct grpc_reader *r, const uint8_t **p, size_t *n, struct err *e) {
    while (r->have_prefix<GRPC_PREFIX_BYTES && * n> 0) {
        r->prefix[r->have_prefix++] = **p;
        ++*p;
        --*n;
    }
    if (r->have_prefix > 0 && r->prefix[0] > 1)
        return err_set(e, ERR_PROTO, "message flag %u is neither 0 nor 1", r->prefix[0]);
    if (r->have_prefix < GRPC_PREFIX_BYTES)
        return 0;
    if (prefix_len(r) > r->body.max)
        return err_set(e, ERR_LIMIT, "message of %u bytes is larger than the limit of %zu",
                       prefix_len(r), r->body.max);
    return 1;
}

int grpc_reader_next(struct grpc_reader *r, const uint8_t **p, size_t *n, struct grpc_message *ret,
                     struct err *e) {
    if (r->took) {
        buf_done(&r->body);
        r->took = false;
    }
    int got = take_prefix(r, p, n, e);
    if (got <= 0)
        return got;
    size_t len = prefix_len(r);
    ret->compressed = r->prefix[0] == 1;
    ret->n = len;
    if (r->body.len == 0 && *n >= len) { // the whole message lies in the chunk
        ret->p = *p;
        *p += len;
        *n -= len;
        r->have_prefix = 0;
        return 1;
    }
    size_t missing = len - r->body.len, take = *n < missing ? *n : missing;
    if (take > 0) {
        int err = buf_add(&r->body, *p, take);
        if (err < 0)
            return err_set(e, err, "no memory for a message of %zu bytes", len);
        *p += take;
        *n -= take;
    }
    if (take < missing)
        return 0;
    ret->p = (const uint8_t *)r->body.p;
    r->have_prefix = 0;
    r->took = true;
    return 1;
}

bool grpc_reader_partial(const struct grpc_reader *r) {
    return r->have_prefix > 0;
}

void grpc_prefix_write(uint8_t dst[GRPC_PREFIX_BYTES], uint32_t len) {
    dst[0] = 0;
    dst[1] = (uint8_t)(len >> 24);
    dst[2] = (uint8_t)(len >> 16);
    dst[3] = (uint8_t)(len >> 8);
    dst[4] = (uint8_t)len;
}

static const struct {
    char unit;
    int64_t ns;
} timeout_units[] = {
    // finest first: grpc_timeout_format takes the first that fits 8 digits
    {'n', 1},        {'u', NS_PER_US},     {'m', NS_PER_MS},
    {'S', NS_PER_S}, {'M', 60 * NS_PER_S}, {'H', 3600 * NS_PER_S},
};

int grpc_timeout_parse(struct str s, int64_t *ret_ns) {
    if (s.n < 2 || s.n > 9)
        return ERR_PARSE;
    int64_t digits = 0, ns = 0;
    for (size_t i = 0; i < s.n - 1; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return ERR_PARSE;
        digits = digits * 10 + (s.p[i] - '0');
    }
    for (size_t i = 0; i < COUNT_OF(timeout_units); i++) {
        if (s.p[s.n - 1] != timeout_units[i].unit)
            continue;
        if (__builtin_mul_overflow(digits, timeout_units[i].ns, &ns))
            ns = INT64_MAX;
        *ret_ns = ns;
        return 0;
    }
    return ERR_PARSE;
}

void grpc_timeout_format(int64_t ns, char dst[GRPC_TIMEOUT_MAX]) {
    if (ns < 0)
        ns = 0;
    for (size_t i = 0; i < COUNT_OF(timeout_units); i++) {
        int64_t unit = timeout_units[i].ns, value = ns / unit + (ns % unit != 0);
        if (value <= 99999999) { // 2^63 ns are 2,562,048 hours: the last unit always fits
            snprintf(dst, GRPC_TIMEOUT_MAX, "%u%c", (unsigned)value, timeout_units[i].unit);
            return;
        }
    }
}

// Length of the valid character at s (1..4), 0 when there is none.
static size_t char_len(struct str s) {
    for (size_t n = 1; n <= 4 && n <= s.n; n++)
        if (utf8_valid(s.p, n))
            return n;
    return 0;
}

size_t grpc_text_encode(char *dst, size_t cap, struct str text) {
    static const char hex[] = "0123456789ABCDEF";
    size_t out = 0;
    while (text.n > 0) {
        size_t len = char_len(text);
        char one[12];
        size_t one_len = 0;
        for (size_t i = 0; i < len; i++) {
            unsigned char c = (unsigned char)text.p[i];
            if (c >= 0x20 && c <= 0x7e && c != '%') {
                one[one_len++] = (char)c;
            } else {
                one[one_len++] = '%';
                one[one_len++] = hex[c >> 4];
                one[one_len++] = hex[c & 15];
            }
        }
        if (len == 0)
            one[one_len++] = '?';
        if (out + one_len + 1 > cap)
            break;
        memcpy(dst + out, one, one_len);
        out += one_len;
        len += len == 0;
        text.p += len;
        text.n -= len;
    }
    if (cap > 0)
        dst[out] = '\0';
    return out;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t grpc_text_decode(char *dst, size_t cap, struct str encoded) {
    size_t out = 0;
    for (size_t i = 0; i < encoded.n && out + 1 < cap; i++) {
        char c = encoded.p[i];
        if (c == '%' && i + 2 < encoded.n && hex_value(encoded.p[i + 1]) >= 0 &&
            hex_value(encoded.p[i + 2]) >= 0) {
            c = (char)(hex_value(encoded.p[i + 1]) << 4 | hex_value(encoded.p[i + 2]));
            i += 2;
        }
        dst[out++] = c == '\0' ? '?' : c;
    }
    if (cap > 0)
        dst[out] = '\0';
    for (size_t ok = 0; (ok += utf8_valid_prefix(dst + ok, out - ok)) < out;)
        dst[ok] = '?';
    return out;
}
