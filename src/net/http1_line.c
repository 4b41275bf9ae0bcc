// SPDX-License-Identifier: Apache-2.0
/*
 * Syntax and meaning of the lines of a request's head: RFC 9112 sections 3 and 5, RFC 9110 section
 * 5.6, RFC 3986 for the target.
 */
#include "net/http1_line.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { TOKEN = 1, TARGET = 2, HOST = 4, HEX = 8 };

// What a byte may be part of. TARGET: RFC 3986's characters, with '[' and ']', which browsers and
// scrapers send unescaped in queries ("match[]="). HOST: a name, an IP literal, a port.
static const uint8_t classes[256] = {
    ['!'] = TOKEN | TARGET | HOST,
    ['#'] = TOKEN,
    ['$'] = TOKEN | TARGET | HOST,
    ['%'] = TOKEN | TARGET | HOST,
    ['&'] = TOKEN | TARGET | HOST,
    ['\''] = TOKEN | TARGET | HOST,
    ['*'] = TOKEN | TARGET | HOST,
    ['+'] = TOKEN | TARGET | HOST,
    ['-'] = TOKEN | TARGET | HOST,
    ['.'] = TOKEN | TARGET | HOST,
    ['^'] = TOKEN,
    ['_'] = TOKEN | TARGET | HOST,
    ['`'] = TOKEN,
    ['|'] = TOKEN,
    ['~'] = TOKEN | TARGET | HOST,
    ['('] = TARGET | HOST,
    [')'] = TARGET | HOST,
    [','] = TARGET | HOST,
    [';'] = TARGET | HOST,
    ['='] = TARGET | HOST,
    [':'] = TARGET | HOST,
    ['['] = TARGET | HOST,
    [']'] = TARGET | HOST,
    ['@'] = TARGET,
    ['/'] = TARGET,
    ['?'] = TARGET,
    ['0' ... '9'] = TOKEN | TARGET | HOST | HEX,
    ['A' ... 'F'] = TOKEN | TARGET | HOST | HEX,
    ['G' ... 'Z'] = TOKEN | TARGET | HOST,
    ['a' ... 'f'] = TOKEN | TARGET | HOST | HEX,
    ['g' ... 'z'] = TOKEN | TARGET | HOST,
};

static bool is(char c, unsigned class) {
    return (classes[(unsigned char)c] & class) != 0;
}

static size_t span_of(struct str s, unsigned class) {
    size_t i = 0;
    while (i < s.n && is(s.p[i], class))
        i++;
    return i;
}

bool http1_is_token(struct str s) {
    return s.n > 0 && span_of(s, TOKEN) == s.n;
}

bool http1_is_target(struct str s) {
    return s.n > 0 && span_of(s, TARGET) == s.n;
}

bool http1_is_host(struct str s) {
    return s.n > 0 && span_of(s, HOST) == s.n;
}

static unsigned hex_value(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

static struct http1_span span_at(const struct http1 *h, struct str s) {
    return (struct http1_span){(uint16_t)(s.p - h->head.p), (uint16_t)s.n};
}

static void read_version(struct http1 *h, struct str v) {
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.' || v.p[5] < '0' || v.p[5] > '9' ||
        v.p[7] < '0' || v.p[7] > '9') {
        http1_fail(h, 400, "a request line is METHOD TARGET HTTP/1.1");
        return;
    }
    if (v.p[5] != '1' || v.p[7] > '1') {
        http1_fail(h, 505, "this port speaks HTTP/1.0 and HTTP/1.1");
        return;
    }
    h->minor = (uint8_t)(v.p[7] - '0');
    h->keep_alive = h->minor == 1;
}

// http://host/path and https://: a server must accept them (RFC 9112 3.2.2). Leaves the path.
static bool cut_absolute(struct str *target) {
    size_t scheme = 0;
    if (target->n >= 7 && str_eq_nocase((struct str){target->p, 7}, STR("http://")))
        scheme = 7;
    else if (target->n >= 8 && str_eq_nocase((struct str){target->p, 8}, STR("https://")))
        scheme = 8;
    if (scheme == 0)
        return false;
    struct str rest = {target->p + scheme, target->n - scheme};
    size_t host = span_of(rest, HOST);
    if (host == 0 || (host < rest.n && rest.p[host] != '/' && rest.p[host] != '?'))
        return false;
    *target = (struct str){rest.p + host, rest.n - host};
    return true;
}

static bool escapes_ok(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '%' && (s.n - i < 3 || !is(s.p[i + 1], HEX) || !is(s.p[i + 2], HEX)))
            return false;
    return true;
}

static void read_target(struct http1 *h, struct str method, struct str target) {
    if (span_of(target, TARGET) < target.n || !escapes_ok(target)) {
        http1_fail(h, 400, "a character that no target may hold");
        return;
    }
    bool star = str_eqc(target, "*") && str_eqc(method, "OPTIONS");
    bool authority = str_eqc(method, "CONNECT") && span_of(target, HOST) == target.n;
    if (!star && !authority && target.p[0] != '/' && !cut_absolute(&target)) {
        http1_fail(h, 400, "a target is a path that starts with '/', or an http URL");
        return;
    }
    const char *question = target.n ? memchr(target.p, '?', target.n) : NULL;
    size_t path_n = question ? (size_t)(question - target.p) : target.n;
    h->path = span_at(h, (struct str){target.p, path_n});
    h->query = span_at(h, (struct str){target.p + path_n, 0});
    if (question)
        h->query = span_at(h, (struct str){question + 1, target.n - path_n - 1});
}

void http1_request_line(struct http1 *h, struct str line) {
    struct str method = {line.p, span_of(line, TOKEN)};
    if (method.n == 0 || method.n >= line.n || line.p[method.n] != ' ') {
        http1_fail(h, 400, "a request line is METHOD TARGET HTTP/1.1");
        return;
    }
    struct str rest = {line.p + method.n + 1, line.n - method.n - 1};
    struct str target = str_cut(&rest, ' ');
    if (target.n == 0) {
        http1_fail(h, 400, "a request line is METHOD TARGET HTTP/1.1");
        return;
    }
    read_version(h, rest);
    if (h->state == HTTP1_FAILED)
        return;
    if (method.n > HTTP1_METHOD_MAX) {
        http1_fail(h, 501, "an unknown method");
        return;
    }
    if (target.n > LIMIT_HTTP_TARGET_BYTES) {
        http1_fail(h, 414, "the request's target is too long");
        return;
    }
    h->method = span_at(h, method);
    read_target(h, method, target);
}

bool http1_cut_field(struct str line, struct str *ret_name, struct str *ret_value) {
    size_t name = span_of(line, TOKEN);
    if (name == 0 || name == line.n || line.p[name] != ':')
        return false;
    struct str value = {line.p + name + 1, line.n - name - 1};
    while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t')) {
        value.p++;
        value.n--;
    }
    while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
        value.n--;
    *ret_name = (struct str){line.p, name};
    *ret_value = value;
    return true;
}

bool http1_field_ok(struct str line) {
    struct str name, value;
    return http1_cut_field(line, &name, &value);
}

static void on_host(struct http1 *h, struct str value) {
    if (h->has_host)
        http1_fail(h, 400, "Host twice");
    else if (span_of(value, HOST) < value.n)
        http1_fail(h, 400, "a character that no Host may hold");
    h->has_host = true;
}

bool http1_length(struct str value, uint64_t *ret_length) {
    uint64_t length = 0;
    bool over = false;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
        over = over || __builtin_mul_overflow(length, 10u, &length) ||
               __builtin_add_overflow(length, (uint64_t)(value.p[i] - '0'), &length);
    }
    *ret_length = over ? UINT64_MAX : length;
    return value.n > 0;
}

static void on_content_length(struct http1 *h, struct str value) {
    if (h->has_length)
        http1_fail(h, 400, "Content-Length twice");
    else if (!http1_length(value, &h->content_length))
        http1_fail(h, 400, "Content-Length is not a number");
    h->has_length = true;
}

static void on_transfer_encoding(struct http1 *h, struct str value) {
    if (h->has_te || value.n == 0)
        http1_fail(h, 400, "Transfer-Encoding twice or empty");
    else if (!str_eq_nocase(value, STR("chunked")))
        http1_fail(h, 501, "the only Transfer-Encoding here is chunked");
    h->has_te = true;
}

void http1_connection(struct str value, bool *keep_alive, bool *closes) {
    while (value.n > 0) {
        struct str option = str_trim(str_cut(&value, ','));
        if (str_eq_nocase(option, STR("close")))
            *closes = true;
        else if (str_eq_nocase(option, STR("keep-alive")))
            *keep_alive = true;
    }
    if (*closes)
        *keep_alive = false;
}

static void on_connection(struct http1 *h, struct str value) {
    http1_connection(value, &h->keep_alive, &h->closes);
}

static void on_expect(struct http1 *h, struct str value) {
    if (str_eq_nocase(value, STR("100-continue")))
        h->expects_continue = true;
    else
        http1_fail(h, 417, "the only expectation here is 100-continue");
}

static bool remember_field(struct http1 *h, struct str name, struct str value) {
    if (h->n_fields == LIMIT_HTTP_HEADERS) {
        http1_fail(h, 431, "too many headers");
        return false;
    }
    if (h->n_fields == h->fields_cap) {
        uint16_t cap = h->fields_cap ? h->fields_cap * 2 : 8;
        struct http1_field *grown = mem_resize(h->fields, cap, sizeof(*grown));
        if (!grown) {
            http1_fail(h, 503, "no memory for the request");
            return false;
        }
        h->fields = grown;
        h->fields_cap = cap;
    }
    h->fields[h->n_fields++] = (struct http1_field){span_at(h, name), span_at(h, value)};
    return true;
}

void http1_field_line(struct http1 *h, struct str line) {
    static const struct {
        const char *name;
        void (*meet)(struct http1 *h, struct str value);
    } known[] = {
        {"host", on_host},
        {"content-length", on_content_length},
        {"transfer-encoding", on_transfer_encoding},
        {"connection", on_connection},
        {"expect", on_expect},
    };
    struct str name, value;
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        http1_fail(h, 400, "a folded header line");
        return;
    }
    if (!http1_cut_field(line, &name, &value)) {
        http1_fail(h, 400, "a header line is Name: value");
        return;
    }
    if (!remember_field(h, name, value))
        return;
    for (size_t i = 0; i < COUNT_OF(known) && h->state != HTTP1_FAILED; i++)
        if (str_eq_nocase(name, str_from(known[i].name)))
            known[i].meet(h, value);
}

bool http1_chunk_line(struct str line, uint64_t *ret_size) {
    size_t digits = span_of(line, HEX);
    if (digits == 0 || digits > 15) // 15 digits cannot overflow
        return false;
    uint64_t size = 0;
    for (size_t i = 0; i < digits; i++)
        size = size << 4 | hex_value(line.p[i]);
    // Extensions have no meaning here, but an unquoted name must follow the semicolon.
    struct str rest = {line.p + digits, line.n - digits};
    if (rest.n > 0 && (rest.p[0] != ';' || rest.n < 2 || !is(rest.p[1], TOKEN)))
        return false;
    *ret_size = size;
    return true;
}

long http1_decode(const char *src, size_t n, char *dst, size_t cap, bool form) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++, out++) {
        char c = src[i];
        if (c == '%') {
            if (n - i < 3 || !is(src[i + 1], HEX) || !is(src[i + 2], HEX))
                return -1;
            c = (char)(hex_value(src[i + 1]) << 4 | hex_value(src[i + 2]));
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (c == '\0')
            return -1;
        if (out == cap)
            return -2;
        dst[out] = c;
    }
    return (long)out;
}

void http1_decode_path(struct http1 *h) {
    char *p = h->head.p + h->path.at;
    long n = http1_decode(p, h->path.n, p, h->path.n, false);
    if (n < 0)
        http1_fail(h, 400, "a NUL in the path");
    else
        h->path.n = (uint16_t)n;
}
