// SPDX-License-Identifier: Apache-2.0
/* Values that handlers ask for: query parameters, accepted codings, names of status codes. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/http1_line.h"

// Whether a raw parameter name, decoded, is `name`.
static bool name_is(struct str raw, struct str name) {
    char decoded[256];
    long n = http1_decode(raw.p, raw.n, decoded, sizeof(decoded), true);
    return n >= 0 && str_eq((struct str){decoded, (size_t)n}, name);
}

int http1_query_param(struct str query, const char *name, char *dst, size_t cap) {
    struct str wanted = str_from(name);
    while (query.n > 0) {
        struct str value = str_cut(&query, '&');
        if (!name_is(str_cut(&value, '='), wanted))
            continue;
        if (cap == 0)
            return ERR_LIMIT;
        long n = http1_decode(value.p, value.n, dst, cap - 1, true);
        dst[n < 0 ? 0 : n] = '\0';
        return n == -2 ? ERR_LIMIT : n < 0 ? ERR_PARSE : 0;
    }
    return ERR_NOTFOUND;
}

// A weight is 0..1 with at most three decimals (RFC 9110 12.4.2): whether it is above 0. Malformed
// ones count as 0: then the answer goes uncompressed, which every client reads.
static bool weight_positive(struct str q) {
    if (q.n == 0 || q.n > 5 || (q.p[0] != '0' && q.p[0] != '1') || (q.n > 1 && q.p[1] != '.'))
        return false;
    bool positive = q.p[0] == '1';
    for (size_t i = 2; i < q.n; i++) {
        if (q.p[i] < '0' || q.p[i] > '9')
            return false;
        positive = positive || q.p[i] > '0';
    }
    return positive;
}

// One element of Accept-Encoding: coding [;q=weight].
static bool element_positive(struct str element) {
    while (element.n > 0) {
        struct str parameter = str_trim(str_cut(&element, ';'));
        if (parameter.n >= 2 && (parameter.p[0] == 'q' || parameter.p[0] == 'Q') &&
            parameter.p[1] == '=')
            return weight_positive((struct str){parameter.p + 2, parameter.n - 2});
    }
    return true;
}

bool http1_accepts_gzip(const struct http1 *h) {
    int named = -1, any = -1; // -1: not mentioned
    struct str name, value;
    for (size_t i = 0; http1_header_at(h, i, &name, &value); i++) {
        if (!str_eq_nocase(name, STR("accept-encoding")))
            continue;
        while (value.n > 0) {
            struct str element = str_cut(&value, ',');
            struct str coding = str_trim(str_cut(&element, ';'));
            if (str_eq_nocase(coding, STR("gzip")) || str_eq_nocase(coding, STR("x-gzip")))
                named = element_positive(element);
            else if (str_eqc(coding, "*"))
                any = element_positive(element);
        }
    }
    return named >= 0 ? named == 1 : any == 1;
}

const char *http1_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "";
}
