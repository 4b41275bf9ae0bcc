// SPDX-License-Identifier: Apache-2.0
/* Paths, Accept and the front proxy's headers; see the header. */
#include "scaler/metrics_api_ask.h"

#include <ctype.h>

#include "kube/labels.h"

static bool is_name(struct str s, size_t cap) {
    bool good = s.n > 0 && s.n < cap;
    for (size_t i = 0; good && i < s.n; i++)
        good = isalnum((unsigned char)s.p[i]) || s.p[i] == '-' || s.p[i] == '.' || s.p[i] == '_';
    return good;
}

int metrics_api_place(struct str path, struct metrics_api_place *ret) {
    struct str rest = path;
    if (!str_starts(rest, METRICS_API_PATH "/namespaces/"))
        return ERR_NOTFOUND;
    rest.p += strlen(METRICS_API_PATH "/namespaces/");
    rest.n -= strlen(METRICS_API_PATH "/namespaces/");
    struct str ns = str_cut(&rest, '/');
    if (!is_name(ns, sizeof(ret->namespace_)) || !is_name(rest, sizeof(ret->metric)))
        return ERR_NOTFOUND;
    (void)str_copy(ret->namespace_, sizeof(ret->namespace_), ns);
    (void)str_copy(ret->metric, sizeof(ret->metric), rest);
    return 0;
}

// One range of Accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList".
static bool is_aggregated(struct str range) {
    unsigned has = 0;
    if (!str_eqc(str_trim(str_cut(&range, ';')), "application/json"))
        return false;
    while (range.n > 0) {
        struct str value = str_cut(&range, ';'), key = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (str_eqc(key, "g") && str_eqc(value, "apidiscovery.k8s.io"))
            has |= 1;
        if (str_eqc(key, "v") && str_eqc(value, "v2"))
            has |= 2;
        if (str_eqc(key, "as") && str_eqc(value, "APIGroupDiscoveryList"))
            has |= 4;
    }
    return has == 7;
}

bool metrics_api_wants_aggregated(struct str accept) {
    while (accept.n > 0)
        if (is_aggregated(str_cut(&accept, ',')))
            return true;
    return false;
}

static bool is_one_of(const struct kube_texts *names, struct str header) {
    for (size_t i = 0; i < names->n; i++)
        if (str_eq_nocase(header, str_from(names->items[i])))
            return true;
    return false;
}

// The first header of these that says something; "".
static int first_value(struct arena *a, const struct http1 *h, const struct kube_texts *names,
                       const char **ret) {
    struct str value = {"", 0};
    for (size_t i = 0; i < names->n && value.n == 0; i++)
        value = http1_header(h, names->items[i]);
    *ret = arena_strdup(a, value.n > 0 ? value : STR(""));
    return *ret ? 0 : ERR_NOMEM;
}

// Each is a header, save one: system:authenticated.
enum { TEXTS_MAX = LIMIT_HTTP_HEADERS + 1 };

struct texts { // in the arena
    const char **items;
    size_t n;
};

static int add_text(struct arena *a, struct texts *t, struct str text) {
    if (t->items == NULL)
        t->items = arena_array(a, TEXTS_MAX, sizeof(*t->items));
    if (t->items == NULL || t->n == TEXTS_MAX)
        return ERR_NOMEM;
    t->items[t->n] = arena_strdup(a, text);
    return t->items[t->n++] ? 0 : ERR_NOMEM;
}

static int read_groups(struct access_user *ret, struct arena *a, const struct http1 *h,
                       const struct kube_texts *names) {
    struct texts groups = {0};
    struct str name, value;
    // Who is known to be nobody stays nobody, as in Kubernetes.
    bool told = strcmp(ret->name, "system:anonymous") == 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && http1_header_at(h, i, &name, &value); i++)
        if (value.n > 0 && is_one_of(names, name)) {
            told |= str_eqc(value, "system:authenticated") ||
                    str_eqc(value, "system:unauthenticated");
            rc = add_text(a, &groups, value);
        }
    if (rc == 0 && !told)
        rc = add_text(a, &groups, STR("system:authenticated"));
    ret->groups = groups.items;
    ret->n_groups = groups.n;
    return rc;
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// An extra's key as it stood before the proxy made it a header's name: lower case, then decoded;
// as it is where its escapes make no sense.
static const char *extra_key(struct arena *a, struct str name) {
    char *raw = arena_strdup(a, name), *decoded = arena_strdup(a, name);
    size_t n = 0;
    if (raw == NULL || decoded == NULL)
        return NULL;
    for (char *p = raw; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    for (const char *p = raw; *p != '\0'; p++) {
        int high = *p == '%' ? hex(p[1]) : 0, low = *p == '%' && high >= 0 ? hex(p[2]) : 0;
        if (high < 0 || low < 0 || (*p == '%' && high + low == 0))
            return raw;
        decoded[n++] = *p == '%' ? (char)(high * 16 + low) : *p;
        p += *p == '%' ? 2 : 0;
    }
    decoded[n] = '\0';
    return decoded;
}

// The header's name behind one of the prefixes; {NULL, 0}: it has none of them.
static struct str behind_prefix(const struct kube_texts *prefixes, struct str name) {
    for (size_t i = 0; i < prefixes->n; i++) {
        size_t n = strlen(prefixes->items[i]);
        if (name.n > n && str_eq_nocase((struct str){name.p, n}, str_from(prefixes->items[i])))
            return (struct str){name.p + n, name.n - n};
    }
    return (struct str){NULL, 0};
}

static int read_extra(struct access_user *ret, struct arena *a, const struct http1 *h,
                      const struct kube_texts *prefixes) {
    struct kube_extra *extra = NULL;
    struct texts values[LIMIT_HTTP_HEADERS] = {0};
    struct str name, value;
    size_t n = 0;
    for (size_t i = 0; http1_header_at(h, i, &name, &value); i++) {
        struct str tail = behind_prefix(prefixes, name);
        if (tail.p == NULL)
            continue;
        const char *key = extra_key(a, tail);
        if (extra == NULL)
            extra = arena_array(a, LIMIT_HTTP_HEADERS, sizeof(*extra));
        if (key == NULL || extra == NULL)
            return ERR_NOMEM;
        size_t k = 0;
        while (k < n && strcmp(extra[k].key, key) != 0)
            k++;
        n += k == n; // no more of them than headers
        if (add_text(a, &values[k], value) < 0)
            return ERR_NOMEM;
        extra[k] = (struct kube_extra){key, values[k].items, values[k].n};
    }
    ret->extra = extra;
    ret->n_extra = n;
    return 0;
}

int metrics_api_user(struct access_user *ret, struct arena *a, const struct http1 *h,
                     const struct kube_front_proxy *names) {
    *ret = (struct access_user){0};
    int rc = first_value(a, h, &names->user_headers, &ret->name);
    if (rc == 0 && ret->name[0] == '\0')
        rc = ERR_NOTFOUND;
    if (rc == 0)
        rc = first_value(a, h, &names->uid_headers, &ret->uid);
    if (rc == 0)
        rc = read_groups(ret, a, h, &names->group_headers);
    return rc == 0 ? read_extra(ret, a, h, &names->extra_prefixes) : rc;
}

bool metrics_api_selects(const struct kube_selector *s, const char *rule) {
    struct kube_label label = {METRICS_API_RULE_LABEL, rule};
    const struct kube_object o = {.labels = &label, .n_labels = 1};
    return kube_selector_matches(s, &o);
}
