// SPDX-License-Identifier: Apache-2.0
/* The client's half that writes: a request's head, checked so that nobody can smuggle a line. */
#include "net/http1_answer.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/http1_line.h"

// For messages: names from outside may be long or hold anything.
static bool printable(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return false;
    return s.n > 0 && s.n <= 64;
}

static int refuse(struct err *e, const char *what, struct str s, const char *why) {
    if (!printable(s))
        return err_set(e, ERR_INVALID, "%s: %s", what, why);
    return err_set(e, ERR_INVALID, "%s \"" STR_FMT "\": %s", what, STR_ARG(s), why);
}

static bool value_ok(struct str value) {
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

int http1_ask_check_header(struct http1_header h, struct err *e) {
    static const char *const ours[] = {"host", "content-length", "transfer-encoding"};
    if (!http1_is_token(h.name))
        return refuse(e, "header", h.name, "a name is letters, digits and !#$%&'*+-.^_`|~");
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (str_eq_nocase(h.name, str_from(ours[i])))
            return refuse(e, "header", h.name, "is written by gpuscale itself");
    if (!value_ok(h.value))
        return refuse(e, "header", h.name, "its value holds a control character");
    return 0;
}

static int check(const struct http1_ask *ask, struct err *e) {
    if (!http1_is_token(ask->method) || ask->method.n > HTTP1_METHOD_MAX)
        return refuse(e, "method", ask->method, "is no HTTP method such as GET or POST");
    if (!http1_is_target(ask->target))
        return refuse(e, "target", ask->target,
                      "a path starts with '/', other characters than RFC 3986's as %XX");
    if (!http1_is_host(ask->host))
        return refuse(e, "host", ask->host, "a name or an address, and a port, is needed");
    for (size_t i = 0; i < ask->n_headers; i++) {
        int r = http1_ask_check_header(ask->headers[i], e);
        if (r < 0)
            return r;
    }
    return 0;
}

int http1_ask_encode(struct buf *out, const struct http1_ask *ask, struct err *e) {
    int r = check(ask, e);
    if (r < 0)
        return r;
    const struct str head[] = {ask->method, STR(" "),   ask->target, STR(" HTTP/1.1\r\nHost: "),
                               ask->host,   STR("\r\n")};
    for (size_t i = 0; i < COUNT_OF(head) && r == 0; i++)
        r = buf_add_str(out, head[i]);
    for (size_t i = 0; i < ask->n_headers && r == 0; i++) {
        const struct str line[] = {ask->headers[i].name, STR(": "), ask->headers[i].value,
                                   STR("\r\n")};
        for (size_t k = 0; k < COUNT_OF(line) && r == 0; k++)
            r = buf_add_str(out, line[k]);
    }
    if (r == 0 && ask->has_body) {
        r = buf_addc(out, "Content-Length: ");
        r = r < 0 ? r : buf_add_u64(out, ask->body_bytes);
        r = r < 0 ? r : buf_addc(out, "\r\n");
    }
    r = r < 0 ? r : buf_addc(out, "\r\n");
    return r < 0 ? err_set(e, r, "the request's head does not fit") : 0;
}
