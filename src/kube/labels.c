// SPDX-License-Identifier: Apache-2.0
/* Reading a selector term by term; see the header. */
#include "kube/labels.h"

struct reading {
    struct arena *a;
    struct str all, rest;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct reading *r) {
    while (r->rest.n > 0 && is_blank(r->rest.p[0])) {
        r->rest.p++;
        r->rest.n--;
    }
}

static bool take(struct reading *r, const char *token) {
    skip_blanks(r);
    size_t n = strlen(token);
    if (r->rest.n < n || memcmp(r->rest.p, token, n) != 0)
        return false;
    r->rest.p += n;
    r->rest.n -= n;
    return true;
}

// Of a key or a value; may be empty.
static struct str take_word(struct reading *r) {
    skip_blanks(r);
    struct str word = {r->rest.p, 0};
    while (word.n < r->rest.n) {
        char c = r->rest.p[word.n];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.' || c == '/';
        if (!good)
            break;
        word.n++;
    }
    r->rest.p += word.n;
    r->rest.n -= word.n;
    skip_blanks(r);
    return word;
}

static int refuse(const struct reading *r, struct err *e) {
    return err_set(e, ERR_PARSE,
                   "label selector \"" STR_FMT "\": cannot be read at character %zu: expected "
                   "KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY or !KEY, with commas "
                   "between",
                   STR_ARG(r->all), r->all.n - r->rest.n + 1);
}

static int read_values(struct reading *r, struct kube_requirement *q, struct err *e) {
    size_t most = 1;
    for (size_t i = 0; i < r->rest.n && r->rest.p[i] != ')'; i++)
        most += r->rest.p[i] == ',';
    q->values = arena_array(r->a, most, sizeof(*q->values));
    if (q->values == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    do {
        const char *value = arena_strdup(r->a, take_word(r));
        if (value == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        q->values[q->n_values++] = value;
    } while (q->n_values < most && take(r, ","));
    return take(r, ")") ? 0 : refuse(r, e);
}

static int read_one(struct reading *r, struct kube_requirement *q, struct err *e) {
    q->values = arena_array(r->a, 1, sizeof(*q->values));
    if (q->values == NULL || (q->values[0] = arena_strdup(r->a, take_word(r))) == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    q->n_values = 1;
    return 0;
}

static int read_term(struct reading *r, struct kube_requirement *q, struct err *e) {
    bool absent = take(r, "!");
    struct str key = take_word(r);
    if (key.n == 0)
        return refuse(r, e);
    q->key = arena_strdup(r->a, key);
    if (q->key == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    q->op = absent ? KUBE_LABEL_ABSENT : KUBE_LABEL_EXISTS;
    if (absent || r->rest.n == 0 || r->rest.p[0] == ',')
        return 0;
    q->op = KUBE_LABEL_IN;
    if (take(r, "==") || take(r, "="))
        return read_one(r, q, e);
    if (take(r, "in") && take(r, "("))
        return read_values(r, q, e);
    q->op = KUBE_LABEL_NOT_IN;
    if (take(r, "!="))
        return read_one(r, q, e);
    if (take(r, "notin") && take(r, "("))
        return read_values(r, q, e);
    return refuse(r, e);
}

int kube_selector_parse(struct kube_selector *ret, struct arena *a, struct str text,
                        struct err *e) {
    struct reading r = {a, text, text};
    size_t most = 1;
    for (size_t i = 0; i < text.n; i++)
        most += text.p[i] == ',';
    struct kube_selector s = {.terms = arena_array(a, most, sizeof(*s.terms))};
    if (s.terms == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    skip_blanks(&r);
    while (r.rest.n > 0) {
        int rc = s.n < most ? read_term(&r, &s.terms[s.n++], e) : refuse(&r, e);
        if (rc < 0)
            return rc;
        if (r.rest.n > 0 && (!take(&r, ",") || r.rest.n == 0))
            return refuse(&r, e);
    }
    *ret = s;
    return 0;
}

static bool has(const struct kube_requirement *q, const char *value) {
    for (size_t i = 0; value && i < q->n_values; i++)
        if (strcmp(value, q->values[i]) == 0)
            return true;
    return false;
}

bool kube_selector_matches(const struct kube_selector *s, const struct kube_object *o) {
    for (size_t i = 0; i < s->n; i++) {
        const struct kube_requirement *q = &s->terms[i];
        const char *value = kube_object_label(o, q->key);
        bool good = q->op == KUBE_LABEL_IN       ? has(q, value)
                    : q->op == KUBE_LABEL_NOT_IN ? !has(q, value)
                    : q->op == KUBE_LABEL_EXISTS ? value != NULL
                                                 : value == NULL;
        if (!good)
            return false;
    }
    return true;
}
