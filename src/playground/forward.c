// SPDX-License-Identifier: Apache-2.0
/* What a reverse proxy changes; see forward.h. */
#include "playground/forward.h"

#include "base/mem.h"

// Fields that mean this hop (RFC 9110 section 7.6.1, RFC 9112 section 7); what the Connection field
// names is one more.
static const char *const one_hop[] = {"Connection", "Keep-Alive",        "Proxy-Connection",
                                      "TE",         "Transfer-Encoding", "Upgrade",
                                      "Trailer",    "Content-Length"};
// Made anew by us or by the server.
static const char *const of_request[] = {"Host", "Expect"};
static const char *const of_answer[] = {"Date"};

static bool among(struct str name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

static bool named_by(struct str list, struct str name) {
    while (list.n) {
        if (str_eq_nocase(str_trim(str_cut(&list, ',')), name))
            return true;
    }
    return false;
}

static int add_field(struct buf *out, struct str name, struct str value) {
    int r = buf_add_str(out, name);
    r |= buf_add(out, ": ", 2);
    r |= buf_add_str(out, value);
    return r | buf_add(out, "\r\n", 2);
}

// The path was decoded: what a target may not hold is encoded again (RFC 3986 section 3.3).
static int add_path(struct buf *out, struct str path) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~!$&'()*+,;=:@/";
    int r = 0;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c && strchr(plain, c))
            r |= buf_add_byte(out, (char)c);
        else
            r |= buf_addf(out, "%%%02X", c);
    }
    return r;
}

int forward_request_head(struct buf *out, const struct http1 *h, const char *host) {
    struct str name, value, query = http1_query(h), body = http1_body(h);
    struct str hop = http1_header(h, "Connection");
    // The server leaves the body out where HEAD asked for none, and knows its length.
    bool is_head = str_eqc(http1_method(h), "HEAD");
    (void)buf_add_str(out, is_head ? STR("GET") : http1_method(h));
    (void)buf_add_byte(out, ' ');
    (void)add_path(out, http1_path(h));
    if (query.n)
        (void)buf_add_byte(out, '?');
    (void)buf_add_str(out, query);
    (void)buf_addf(out, " HTTP/1.1\r\nHost: %s\r\n", host);
    for (size_t i = 0; http1_header_at(h, i, &name, &value); i++) {
        if (!among(name, one_hop, COUNT_OF(one_hop)) &&
            !among(name, of_request, COUNT_OF(of_request)) && !named_by(hop, name))
            (void)add_field(out, name, value);
    }
    if (body.n || str_eqc(http1_method(h), "POST"))
        (void)buf_addf(out, "Content-Length: %zu\r\n", body.n);
    (void)buf_addc(out, "Via: 1.1 gpuscale\r\n\r\n");
    return out->err;
}

int forward_answer_fields(struct buf *out, const struct http1_answer *a) {
    struct str name, value, hop = http1_answer_header(a, "Connection");
    for (size_t i = 0; http1_answer_header_at(a, i, &name, &value); i++) {
        if (!among(name, one_hop, COUNT_OF(one_hop)) &&
            !among(name, of_answer, COUNT_OF(of_answer)) && !named_by(hop, name))
            (void)add_field(out, name, value);
    }
    return out->err;
}
