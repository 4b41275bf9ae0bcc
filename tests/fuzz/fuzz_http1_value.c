// SPDX-License-Identifier: Apache-2.0
/*
 * Values that handlers ask for: the bytes, up to the first newline as a query, after it as an
 * Accept-Encoding header and after the next as Accept, through a whole request. A parameter is what
 * a plain reading of the query finds, in every capacity that holds it; a weight that takes gzip is
 * above 0.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "fuzz.h"
#include "net/http1.h"

static int hex(char c) {
    const char *digits = "0123456789abcdef", *at;
    c = c >= 'A' && c <= 'F' ? (char)(c + 32) : c;
    return c && (at = strchr(digits, c)) ? (int)(at - digits) : -1;
}

// The plain way: one byte at a time. Negative: a bad escape, or a NUL.
static long decode(struct str s, char *dst) {
    size_t o = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i] == '+' ? ' ' : s.p[i];
        if (c == '%') {
            if (s.n - i < 3 || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
                return -1;
            c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
            i += 2;
        }
        if (c == '\0')
            return -1;
        dst[o++] = c;
    }
    return (long)o;
}

static void check_param(struct str query, const char *name) {
    static char value[LIMIT_HTTP_TARGET_BYTES + 1], got[LIMIT_HTTP_TARGET_BYTES + 1];
    struct str rest = query;
    while (rest.n > 0) {
        struct str pair = str_cut(&rest, '&'), key = str_cut(&pair, '=');
        long n = decode(key, value);
        if (n < 0 || (size_t)n != strlen(name) || memcmp(value, name, (size_t)n) != 0)
            continue;
        n = decode(pair, value);
        int rc = http1_query_param(query, name, got, sizeof(got));
        require(n < 0 ? rc == ERR_PARSE : rc == 0 && strlen(got) == (size_t)n);
        require(n < 0 || memcmp(value, got, (size_t)n) == 0);
        if (n > 0) {
            require(http1_query_param(query, name, got, (size_t)n) == ERR_LIMIT);
            require(http1_query_param(query, name, got, (size_t)n + 1) == 0);
        }
        require(http1_query_param(query, name, got, 0) < 0);
        return;
    }
    require(http1_query_param(query, name, got, sizeof(got)) == ERR_NOTFOUND);
}

static bool mentions(struct str value, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= value.n; i++)
        if (strncasecmp(value.p + i, word, n) == 0)
            return true;
    return false;
}

static void check_accept(const struct http1 *h) {
    static const struct http_offer offers[] = {
        {.type = "text/plain", .version = "0.0.4"},
        {.type = "application/openmetrics-text", .version = "1.0.0", .named_only = true},
        {.type = "application/json"},
    };
    struct str coding = http1_header(h, "accept-encoding"), type = http1_header(h, "accept");
    if (http1_accepts_gzip(h))
        require(mentions(coding, "*") || mentions(coding, "gzip"));
    size_t one = http1_prefers(h, offers, 1), all = http1_prefers(h, offers, COUNT_OF(offers));
    require(one == 0 && all < COUNT_OF(offers));
    if (all == 1)
        require(mentions(type, offers[1].type));
    if (all == 2)
        require(mentions(type, offers[2].type) || mentions(type, "*/*") ||
                mentions(type, "application/*"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str accept = {(const char *)data, size}, query = str_cut(&accept, '\n'),
               coding = str_cut(&accept, '\n');
    struct buf b;
    struct http1 h;
    buf_init(&b, 2 * size + 256);
    require(buf_addf(&b,
                     "GET /p?" STR_FMT " HTTP/1.1\r\nHost: x\r\nAccept-Encoding: " STR_FMT
                     "\r\nAccept: " STR_FMT "\r\n\r\n",
                     STR_ARG(query), STR_ARG(coding), STR_ARG(accept)) == 0);
    http1_init(&h);
    http1_feed(&h, b.p, b.len);
    if (h.state == HTTP1_DONE) {
        static const char *const names[] = {"namespace", "limit", "offset", "a", ""};
        for (size_t i = 0; i < COUNT_OF(names); i++)
            check_param(http1_query(&h), names[i]);
        check_accept(&h);
    }
    http1_done(&h);
    buf_done(&b);
    return 0;
}
