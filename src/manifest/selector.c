// SPDX-License-Identifier: Apache-2.0
/* Label selectors; see the header. */
#include "manifest/selector.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "core/hpa/hpa_text.h"

static const char *const operators[] = {"In", "NotIn", "Exists", "DoesNotExist", NULL};
enum { OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS };

struct parts {
    struct hpa_label *labels;
    struct hpa_requirement *requirements;
    unsigned *ops; // of the requirements
    size_t n_labels, n_requirements;
};

static int by_text(struct str a, struct str b) {
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_key(const void *a, const void *b) {
    return by_text(((const struct hpa_label *)a)->key, ((const struct hpa_label *)b)->key);
}

static int by_value(const void *a, const void *b) {
    return by_text(*(const struct str *)a, *(const struct str *)b);
}

static void read_labels(struct manifest_reader *r, const struct conf_node *map, struct parts *p) {
    p->labels = manifest_array(r, map ? map->children : 0, sizeof(*p->labels));
    for (const struct conf_node *c = map ? map->first : NULL; c && p->labels; c = c->next) {
        const char *value = manifest_string(r, map, c->key.p);
        if (r->r < 0)
            return;
        p->labels[p->n_labels++] = (struct hpa_label){.key = c->key,
                                                      .value = str_from(value ? value : "")};
    }
    if (p->n_labels > 1)
        qsort(p->labels, p->n_labels, sizeof(*p->labels), by_key);
}

static void read_requirement(struct manifest_reader *r, const struct conf_node *n,
                             struct parts *p) {
    if (!manifest_is_map(r, n, "a requirement"))
        return;
    unsigned op = OP_IN;
    const char *key = manifest_string(r, n, "key");
    if (!key || !manifest_enum(r, n, "operator", operators, &op)) {
        (void)manifest_fail(r, n, ERR_INVALID,
                            "a requirement of a selector needs key and operator");
        return;
    }
    const struct conf_node *list = manifest_list(r, n, "values");
    size_t k = 0;
    struct str *values = manifest_array(r, list ? list->children : 0, sizeof(*values));
    for (const struct conf_node *c = list ? list->first : NULL; c && values; c = c->next)
        values[k++] = c->text;
    if (r->r < 0)
        return;
    if ((op <= OP_NOT_IN) != (k > 0)) {
        (void)manifest_fail(r, n, ERR_INVALID, "a requirement %s has %s values", operators[op],
                            op <= OP_NOT_IN ? "one or more" : "no");
        return;
    }
    p->ops[p->n_requirements] = op;
    p->requirements[p->n_requirements++] = (struct hpa_requirement){
        .key = str_from(key),
        .operator_ = str_from(operators[op]),
        .values = values,
        .n_values = k};
}

// A requirement as kubectl takes it; labels are written among them, in the order of keys.
static void add_requirement(struct buf *b, struct manifest_reader *r,
                            const struct hpa_requirement *q, unsigned op) {
    if (b->len > 0)
        (void)buf_add_byte(b, ',');
    if (op >= OP_EXISTS) {
        (void)buf_addf(b, "%s" STR_FMT, op == OP_NOT_EXISTS ? "!" : "", STR_ARG(q->key));
        return;
    }
    struct str *sorted = manifest_array(r, q->n_values, sizeof(*sorted));
    if (!sorted)
        return;
    memcpy(sorted, q->values, q->n_values * sizeof(*sorted));
    qsort(sorted, q->n_values, sizeof(*sorted), by_value);
    (void)buf_addf(b, STR_FMT " %s (", STR_ARG(q->key), op == OP_IN ? "in" : "notin");
    for (size_t i = 0; i < q->n_values; i++)
        (void)buf_addf(b, "%s" STR_FMT, i > 0 ? "," : "", STR_ARG(sorted[i]));
    (void)buf_add_byte(b, ')');
}

static void add_kubectl(struct buf *b, struct manifest_reader *r, const struct parts *p) {
    for (size_t i = 0; i < p->n_labels; i++)
        (void)buf_addf(b, "%s" STR_FMT "=" STR_FMT, b->len > 0 ? "," : "",
                       STR_ARG(p->labels[i].key), STR_ARG(p->labels[i].value));
    for (size_t i = 0; i < p->n_requirements; i++)
        add_requirement(b, r, &p->requirements[i], p->ops[i]);
}

static const char *kept(struct manifest_reader *r, const struct buf *b) {
    char *text = b->err == 0 ? arena_strdup(r->a, buf_str(b)) : NULL;
    if (!text && r->r == 0)
        (void)manifest_no_memory(r);
    return text;
}

void manifest_selector_read(struct manifest_reader *r, const struct conf_node *n,
                            const char **ret_go, const char **ret_kubectl) {
    struct parts p = {0};
    read_labels(r, manifest_map(r, n, "matchLabels"), &p);
    const struct conf_node *list = manifest_list(r, n, "matchExpressions");
    size_t count = list ? list->children : 0;
    p.requirements = manifest_array(r, count, sizeof(*p.requirements));
    p.ops = manifest_array(r, count, sizeof(*p.ops));
    for (const struct conf_node *c = list ? list->first : NULL; c && r->r == 0; c = c->next)
        read_requirement(r, c, &p);
    if (r->r < 0)
        return;
    CLEANUP_BUF struct buf b;
    buf_init(&b, LIMIT_METADATA_VALUE_BYTES * 4);
    hpa_text_selector(&b, p.labels, p.n_labels, p.requirements, p.n_requirements);
    *ret_go = kept(r, &b);
    buf_clear(&b);
    add_kubectl(&b, r, &p);
    *ret_kubectl = kept(r, &b);
}
