// SPDX-License-Identifier: Apache-2.0
/* Values that handlers ask for: query parameters, accepted codings and types, status codes. */
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

// A weight is 0..1 with at most three decimals (RFC 9110 12.4.2): in thousandths, -1 when
// malformed.
static int weight(struct str q) {
    if (q.n == 0 || q.n > 5 || (q.p[0] != '0' && q.p[0] != '1') || (q.n > 1 && q.p[1] != '.'))
        return -1;
    int w = q.p[0] == '1' ? 1000 : 0, unit = 100;
    for (size_t i = 2; i < q.n; i++, unit /= 10) {
        if (q.p[i] < '0' || q.p[i] > '9')
            return -1;
        w += (q.p[i] - '0') * unit;
    }
    return w <= 1000 ? w : -1;
}

static bool is_weight(struct str parameter) {
    return parameter.n >= 2 && (parameter.p[0] == 'q' || parameter.p[0] == 'Q') &&
           parameter.p[1] == '=';
}

static int weight_of(struct str parameter) {
    return weight((struct str){parameter.p + 2, parameter.n - 2});
}

// One element of Accept-Encoding: coding [;q=weight]. Malformed weights count as 0: then the answer
// goes uncompressed, which every client reads.
static bool element_positive(struct str element) {
    while (element.n > 0) {
        struct str parameter = str_trim(str_cut(&element, ';'));
        if (is_weight(parameter))
            return weight_of(parameter) > 0;
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

// One element of Accept: type/subtype [;parameter=value]... [;q=weight].
struct media_range {
    struct str type, version; // version {NULL, 0}: none is named
    int weight;               // -1: malformed
};

static struct media_range read_range(struct str element) {
    struct media_range m = {.type = str_trim(str_cut(&element, ';')), .weight = 1000};
    while (element.n > 0) {
        struct str value = str_trim(str_cut(&element, ';'));
        if (is_weight(value)) {
            m.weight = weight_of(value);
            break; // what follows is none of the type's parameters
        }
        struct str name = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = (struct str){value.p + 1, value.n - 2};
        if (str_eq_nocase(name, STR("version")))
            m.version = value;
    }
    return m;
}

// How closely a range fits an offer: 0 not at all, 1 any type, 2 any subtype, 3 the type, 4 its
// version too.
static int range_fit(const struct media_range *m, const struct http_offer *o) {
    struct str type = str_from(o->type), main = type;
    main = str_cut(&type, '/');
    if (str_eq_nocase(m->type, str_from(o->type)))
        return m->version.p == NULL ? 3 : str_eqc(m->version, o->version) ? 4 : 0;
    if (o->named_only)
        return 0;
    if (str_eqc(m->type, "*/*"))
        return 1;
    struct str subtype = m->type, range_main = str_cut(&subtype, '/');
    return str_eqc(subtype, "*") && str_eq_nocase(range_main, main) ? 2 : 0;
}

// What the header says of one offer: by the range that fits it most closely.
struct liking {
    int fit, weight;
    size_t at; // which element
};

static struct liking liking_of(const struct http1 *h, const struct http_offer *o) {
    struct liking best = {0};
    struct str name, value;
    for (size_t i = 0, at = 0; http1_header_at(h, i, &name, &value); i++) {
        if (!str_eq_nocase(name, STR("accept")))
            continue;
        for (; value.n > 0; at++) {
            struct media_range m = read_range(str_cut(&value, ','));
            int fit = m.weight < 0 ? 0 : range_fit(&m, o);
            if (fit > best.fit)
                best = (struct liking){fit, m.weight, at};
        }
    }
    return best;
}

static bool likes_more(const struct liking *a, const struct liking *b) {
    if (a->weight != b->weight)
        return a->weight > b->weight;
    bool a_named = a->fit >= 3, b_named = b->fit >= 3;
    return a_named != b_named ? a_named : a->at < b->at;
}

size_t http1_prefers(const struct http1 *h, const struct http_offer *offers, size_t n) {
    size_t best = 0;
    struct liking most = {0};
    for (size_t i = 0; i < n; i++) {
        struct liking l = liking_of(h, &offers[i]);
        if (l.weight > 0 && (most.weight == 0 || likes_more(&l, &most))) {
            best = i;
            most = l;
        }
    }
    return best;
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
