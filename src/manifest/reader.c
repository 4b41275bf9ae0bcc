// SPDX-License-Identifier: Apache-2.0
/* Fields of Kubernetes objects; see the header. */
#include "manifest/reader.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rfc3339.h"

int manifest_fail(struct manifest_reader *r, const struct conf_node *at, int code, const char *fmt,
                  ...) {
    if (r->r < 0)
        return r->r;
    va_list ap;
    va_start(ap, fmt);
    (void)err_vset(r->e, code, fmt, ap);
    va_end(ap);
    if (at && at->line > 0)
        (void)err_wrap(r->e, "%s:%u:%u", r->file, at->line, at->column);
    else
        (void)err_wrap(r->e, "%s", r->file);
    return r->r = code;
}

int manifest_no_memory(struct manifest_reader *r) {
    if (r->a->max - r->a->used < 4096)
        return manifest_fail(r, NULL, ERR_LIMIT, "too large (LIMIT_CASE_TREE_BYTES)");
    return manifest_fail(r, NULL, ERR_NOMEM, "out of memory");
}

void *manifest_array(struct manifest_reader *r, size_t count, size_t size) {
    if (r->r < 0)
        return NULL;
    void *p = arena_array(r->a, count > 0 ? count : 1, size);
    if (!p)
        (void)manifest_no_memory(r);
    return p;
}

const char *manifest_found(const struct conf_node *n, char *dst, size_t cap) {
    if (n->kind == CONF_NODE_MAP)
        return "a map";
    if (n->kind == CONF_NODE_LIST)
        return "a list";
    size_t show = n->text.n > 40 ? 40 : n->text.n;
    while (show < n->text.n && show > 0 && ((unsigned char)n->text.p[show] & 0xc0) == 0x80)
        show--; // no character is cut
    (void)snprintf(dst, cap, "'%.*s%s'", (int)show, n->text.p, show < n->text.n ? "..." : "");
    return dst;
}

static void wrong(struct manifest_reader *r, const struct conf_node *n, const char *expected) {
    char found[64];
    (void)manifest_fail(r, n, ERR_INVALID, "'%s': found %s, expected %s",
                        n->key.n > 0 ? n->key.p : "-", manifest_found(n, found, sizeof(found)),
                        expected);
}

static bool is_kind(struct manifest_reader *r, const struct conf_node *n, int kind,
                    const char *what) {
    if (r->r < 0 || !n)
        return false;
    if ((int)n->kind == kind)
        return true;
    char found[64];
    (void)manifest_fail(r, n, ERR_INVALID, "%s: found %s, expected %s", what,
                        manifest_found(n, found, sizeof(found)),
                        kind == CONF_NODE_MAP ? "a map" : "a list");
    return false;
}

bool manifest_is_map(struct manifest_reader *r, const struct conf_node *n, const char *what) {
    return is_kind(r, n, CONF_NODE_MAP, what);
}

bool manifest_is_list(struct manifest_reader *r, const struct conf_node *n, const char *what) {
    return is_kind(r, n, CONF_NODE_LIST, what);
}

bool manifest_is_null(const struct conf_node *n) {
    return !n || (n->kind == CONF_NODE_SCALAR && !n->quoted &&
                  (n->text.n == 0 || str_eqc(n->text, "null") || str_eqc(n->text, "~")));
}

const struct conf_node *manifest_get(struct manifest_reader *r, const struct conf_node *map,
                                     const char *key) {
    if (r->r < 0 || !map || map->kind != CONF_NODE_MAP)
        return NULL;
    const struct conf_node *found = NULL;
    for (const struct conf_node *n = map->first; n; n = n->next) {
        if (!str_eqc(n->key, key))
            continue;
        if (found) {
            (void)manifest_fail(r, n, ERR_INVALID, "'%s': given twice, first at line %u", key,
                                found->key_line);
            return NULL;
        }
        found = n;
    }
    return manifest_is_null(found) ? NULL : found;
}

const struct conf_node *manifest_map(struct manifest_reader *r, const struct conf_node *map,
                                     const char *key) {
    const struct conf_node *n = manifest_get(r, map, key);
    if (n && n->kind != CONF_NODE_MAP)
        wrong(r, n, "a map");
    return r->r < 0 ? NULL : n;
}

const struct conf_node *manifest_list(struct manifest_reader *r, const struct conf_node *map,
                                      const char *key) {
    const struct conf_node *n = manifest_get(r, map, key);
    if (n && n->kind != CONF_NODE_LIST)
        wrong(r, n, "a list");
    return r->r < 0 ? NULL : n;
}

static const struct conf_node *scalar(struct manifest_reader *r, const struct conf_node *map,
                                      const char *key, const char *expected) {
    const struct conf_node *n = manifest_get(r, map, key);
    if (n && n->kind != CONF_NODE_SCALAR)
        wrong(r, n, expected);
    return r->r < 0 ? NULL : n;
}

static bool looks_other(const struct conf_node *n) {
    double d;
    return !n->quoted && (str_eqc(n->text, "true") || str_eqc(n->text, "false") ||
                          str_to_double(n->text, &d) == 0);
}

const char *manifest_string(struct manifest_reader *r, const struct conf_node *map,
                            const char *key) {
    const struct conf_node *n = scalar(r, map, key, "a string");
    if (n && looks_other(n))
        wrong(r, n, "a string (put it in quotes)");
    return n && r->r == 0 ? n->text.p : NULL;
}

const char *manifest_text(struct manifest_reader *r, const struct conf_node *map, const char *key) {
    const struct conf_node *n = scalar(r, map, key, "a text");
    return n ? n->text.p : NULL;
}

bool manifest_int32(struct manifest_reader *r, const struct conf_node *map, const char *key,
                    int32_t *ret) {
    const char *expected = "a whole number";
    const struct conf_node *n = scalar(r, map, key, expected);
    if (!n)
        return false;
    long long v;
    if (n->quoted || str_to_i64(n->text, &v) < 0) {
        wrong(r, n, n->quoted ? "a whole number without quotes" : expected);
        return false;
    }
    if (v < INT32_MIN || v > INT32_MAX) {
        wrong(r, n, "a whole number of 32 bits");
        return false;
    }
    *ret = (int32_t)v;
    return true;
}

bool manifest_number(struct manifest_reader *r, const struct conf_node *map, const char *key,
                     double *ret) {
    const struct conf_node *n = scalar(r, map, key, "a number");
    if (!n)
        return false;
    if (n->quoted || str_to_double(n->text, ret) < 0 || !isfinite(*ret)) {
        wrong(r, n, n->quoted ? "a number without quotes" : "a number");
        return false;
    }
    return true;
}

bool manifest_quantity_of(struct manifest_reader *r, const struct conf_node *n,
                          struct quantity *ret) {
    if (r->r < 0 || !n)
        return false;
    int rc = n->kind == CONF_NODE_SCALAR ? quantity_parse(n->text, ret) : ERR_PARSE;
    if (rc == ERR_LIMIT)
        wrong(r, n, "a quantity of fewer digits (LIMIT_QUANTITY_DIGITS)");
    else if (rc < 0)
        wrong(r, n, "a number or a quantity such as 100m, 1.5, 2Gi");
    return rc == 0;
}

bool manifest_quantity(struct manifest_reader *r, const struct conf_node *map, const char *key,
                       struct quantity *ret) {
    return manifest_quantity_of(r, manifest_get(r, map, key), ret);
}

bool manifest_time(struct manifest_reader *r, const struct conf_node *map, const char *key,
                   int64_t *ret_ns) {
    const struct conf_node *n = scalar(r, map, key, "a time");
    if (!n)
        return false;
    struct err why = {0};
    if (rfc3339_parse(n->text.p, ret_ns, &why) < 0) {
        wrong(r, n, "a time such as 2026-11-23T12:00:00Z");
        return false;
    }
    return true;
}

bool manifest_enum(struct manifest_reader *r, const struct conf_node *map, const char *key,
                   const char *const *names, unsigned *ret) {
    const struct conf_node *n = scalar(r, map, key, "a name");
    if (!n)
        return false;
    size_t at = 0;
    char list[160];
    for (unsigned i = 0; names[i]; i++) {
        if (str_eqc(n->text, names[i])) {
            *ret = i;
            return true;
        }
        int k = snprintf(list + at, sizeof(list) - at, "%s%s", i == 0 ? "" : ", ", names[i]);
        at += k > 0 && (size_t)k < sizeof(list) - at ? (size_t)k : 0;
    }
    char found[64];
    const char *near = str_nearest(n->text, names);
    (void)manifest_fail(r, n, ERR_INVALID, "'%s': found %s, expected one of %s%s%s%s", key,
                        manifest_found(n, found, sizeof(found)), list,
                        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return false;
}
