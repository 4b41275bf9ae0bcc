// SPDX-License-Identifier: Apache-2.0
/*
 * A tree of values to a struct, by its table: defaults first, then what the file says, then what
 * is missing. Recursion is as deep as the tables are, not as the file is.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "conf/internal.h"

// The way from the outermost struct to a value, for messages: "agents.targets[2]".
struct path {
    const struct path *up;
    struct str key;
    size_t index; // of a list's item, where key is empty
};

enum { PATH_BYTES = 256, FIELDS_MAX = 128 };

static size_t path_print(const struct path *p, char *dst, size_t cap) {
    size_t n = p->up ? path_print(p->up, dst, cap) : 0;
    int added;
    if (p->key.p)
        added = snprintf(dst + n, cap - n, "%s" STR_FMT, n ? "." : "", STR_ARG(p->key));
    else
        added = snprintf(dst + n, cap - n, "[%zu]", p->index);
    n += added > 0 ? (size_t)added : 0;
    return n < cap ? n : cap - 1;
}

// Puts "file:line:column: key 'x': " before the message (what is not known is left out).
static void at(const struct conf_binding *b, const struct path *p, const struct conf_node *n,
               struct err *e) {
    if (p) {
        char key[PATH_BYTES];
        path_print(p, key, sizeof(key));
        err_wrap(e, "key '%s'", key);
    }
    if (b->name && n)
        err_wrap(e, "%s:%u:%u", b->name, n->line, n->column);
    else if (b->name)
        err_wrap(e, "%s", b->name);
}

static int refuse(const struct conf_binding *b, const struct path *p, const struct conf_node *n,
                  const char *expected, bool secret, struct err *e) {
    if (n->kind != CONF_NODE_SCALAR)
        err_set(e, ERR_INVALID, "found a %s, expected %s",
                n->kind == CONF_NODE_LIST ? "list" : "map", expected);
    else if (n->text.n == 0 && !n->quoted)
        err_set(e, ERR_INVALID, "found nothing, expected %s", expected);
    else if (secret)
        err_set(e, ERR_INVALID, "found a value that is not shown, expected %s", expected);
    else
        err_set(e, ERR_INVALID,
                n->quoted ? "found \"%.60s\", expected %s" : "found '%.60s', expected %s",
                n->text.p, expected);
    at(b, p, n, e);
    return ERR_INVALID;
}

static int bind_struct(const struct conf_binding *b, const struct conf_field *table,
                       const struct conf_node *n, const struct path *p, char *base, struct err *e);

// One value, or one item of a list or map: f->many says nothing here.
static int bind_one(const struct conf_binding *b, const struct conf_field *f,
                    const struct conf_node *n, const struct path *p, char *dst, struct err *e) {
    if (f->kind == CONF_KIND_STRUCT) {
        if (n->kind != CONF_NODE_MAP)
            return refuse(b, p, n, "a map", f->secret, e);
        struct conf_place place = {n->line, n->column};
        if (n->key_line > 0)
            place = (struct conf_place){n->key_line, n->key_column};
        if (f->place > 0)
            memcpy(dst + f->place, &place, sizeof(place));
        return bind_struct(b, f->table, n, p, dst, e);
    }
    if (n->kind != CONF_NODE_SCALAR) {
        char expected[320];
        conf_expected(f, expected, sizeof(expected));
        return refuse(b, p, n, expected, f->secret, e);
    }
    int r = conf_scalar(f, n->text, n->quoted ? CONF_QUOTED : CONF_PLAIN, dst, b->a, e);
    if (r < 0)
        at(b, p, n, e);
    return r;
}

// The field as its items see it: min and max of a list are its length.
static struct conf_field item_field(const struct conf_field *f) {
    struct conf_field item = *f;
    item.many = CONF_ONE;
    item.min = item.max = NULL;
    return item;
}

static int check_count(const struct conf_binding *b, const struct conf_field *f,
                       const struct conf_node *n, const struct path *p, struct err *e) {
    unsigned long long min = 0, max = UINT32_MAX;
    int bad = (f->min ? str_to_u64(str_from(f->min), &min) : 0) |
              (f->max ? str_to_u64(str_from(f->max), &max) : 0);
    assert(bad == 0);
    if (n->children >= min && n->children <= max)
        return 0;
    bool few = n->children < min;
    err_set(e, ERR_INVALID, "found %u items, expected at %s %llu", n->children,
            few ? "least" : "most", few ? min : max);
    at(b, p, n, e);
    return ERR_INVALID;
}

static int by_key(const void *a, const void *b) {
    const struct conf_node *x = *(const struct conf_node *const *)a;
    const struct conf_node *y = *(const struct conf_node *const *)b;
    int r = strcmp(x->key.p, y->key.p);
    return r ? r : (x->key_line > y->key_line) - (x->key_line < y->key_line);
}

// The place of a node's key instead of its value.
static struct conf_node key_place(const struct conf_node *n) {
    return (struct conf_node){.line = n->key_line, .column = n->key_column};
}

static int refuse_twice(const struct conf_binding *b, const struct conf_node *first,
                        const struct conf_node *again, const struct path *p, struct err *e) {
    struct path inner = {p, again->key, 0};
    struct conf_node place = key_place(again);
    err_set(e, ERR_INVALID, "given twice (first in line %u)", first->key_line);
    at(b, &inner, &place, e);
    return ERR_INVALID;
}

// Keys of a free map may be many: sorted, equal ones are neighbours.
static int check_keys_unique(const struct conf_binding *b, const struct conf_node *map,
                             const struct path *p, struct err *e) {
    if (map->children < 2)
        return 0;
    const struct conf_node **all = arena_array(b->scratch, map->children, sizeof(*all));
    if (!all)
        return err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
    size_t n = 0;
    for (const struct conf_node *c = map->first; c; c = c->next)
        all[n++] = c;
    qsort(all, n, sizeof(*all), by_key);
    for (size_t i = 1; i < n; i++) {
        if (str_eq(all[i - 1]->key, all[i]->key))
            return refuse_twice(b, all[i - 1], all[i], p, e);
    }
    return 0;
}

struct items { // the layout of every list and map member
    void *items;
    size_t n;
};

static int bind_many(const struct conf_binding *b, const struct conf_field *f,
                     const struct conf_node *n, const struct path *p, char *dst, struct err *e) {
    bool map = f->many == CONF_MAP;
    if (n->kind != (map ? CONF_NODE_MAP : CONF_NODE_LIST))
        return refuse(b, p, n, map ? "a map" : "a list", f->secret, e);
    int r = check_count(b, f, n, p, e);
    if (r == 0 && map)
        r = check_keys_unique(b, n, p, e);
    if (r < 0)
        return r;
    struct items out = {NULL, n->children};
    // An empty list that is written is not NULL: `pods: []` says something, no pods key says
    // nothing.
    out.items = arena_array(b->a, out.n > 0 ? out.n : 1, f->item_size);
    if (!out.items)
        return err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
    struct conf_field item = item_field(f);
    size_t value_at = map && f->kind != CONF_KIND_STRUCT ? sizeof(const char *) : 0;
    size_t i = 0;
    for (const struct conf_node *c = n->first; c; c = c->next, i++) {
        char *to = (char *)out.items + i * f->item_size;
        struct path inner = {p, map ? c->key : (struct str){0}, i};
        if (map) {
            const char *name = arena_strdup(b->a, c->key);
            if (!name)
                return err_set(e, ERR_NOMEM, "%s: out of memory", b->name);
            memcpy(to, &name, sizeof(name));
        }
        r = bind_one(b, &item, c, &inner, to + value_at, e);
        if (r < 0)
            return r;
    }
    memcpy(dst, &out, sizeof(out));
    return 0;
}

static int set_defaults(const struct conf_binding *b, const struct conf_field *table, char *base,
                        struct err *e) {
    for (const struct conf_field *f = table; f->key; f++) {
        int r = 0;
        if (f->many == CONF_ONE && f->kind == CONF_KIND_STRUCT)
            r = set_defaults(b, f->table, base + f->offset, e);
        else if (f->many == CONF_ONE && f->def)
            r = conf_scalar(f, str_from(f->def), CONF_TEXT, base + f->offset, b->a, e);
        assert(r == 0 || r == ERR_NOMEM); // a default is of its field's type and range
        if (r < 0)
            return r;
    }
    return 0;
}

static int refuse_unknown(const struct conf_binding *b, const struct conf_field *table,
                          const struct conf_node *n, const struct path *p, struct err *e) {
    const char *names[FIELDS_MAX + 1];
    size_t count = 0;
    for (const struct conf_field *f = table; f->key; f++)
        names[count++] = f->key;
    names[count] = NULL;
    const char *near = str_nearest(n->key, names);
    if (near) {
        err_set(e, ERR_INVALID, "unknown; did you mean '%s'?", near);
    } else {
        char known[320];
        size_t len = 0;
        known[0] = '\0';
        for (size_t i = 0; i < count && len < sizeof(known); i++)
            len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "",
                                    names[i]);
        err_set(e, ERR_INVALID, "unknown; known here: %s", known);
    }
    struct path inner = {p, n->key, 0};
    struct conf_node place = key_place(n);
    at(b, &inner, &place, e);
    return ERR_INVALID;
}

// Given as a flag? Only fields of the outermost struct and its nested structs have one; an item of
// a list lies outside the outermost struct's bytes, so its address is none of a flag's.
static bool has_flag(const struct conf_binding *b, const struct conf_field *f, const char *dst) {
    for (size_t i = 0; b->flags && i < b->flags->n; i++) {
        const struct conf_flag *flag = &b->flags->items[i];
        if (flag->given && flag->field == f && b->base + flag->offset == dst)
            return true;
    }
    return false;
}

static int check_missing(const struct conf_binding *b, const struct conf_field *table,
                         const bool *seen, const struct conf_node *n, const struct path *p,
                         char *base, struct err *e) {
    for (size_t i = 0; table[i].key && !b->lenient; i++) {
        const struct conf_field *f = &table[i];
        if (!f->required || seen[i] || has_flag(b, f, base + f->offset))
            continue;
        struct path inner = {p, str_from(f->key), 0};
        if (f->flag)
            err_set(e, ERR_INVALID, "missing (or --%s)", f->flag);
        else
            err_set(e, ERR_INVALID, "missing");
        at(b, &inner, n, e);
        return ERR_INVALID;
    }
    return 0;
}

static const struct conf_node *sibling_before(const struct conf_node *map,
                                              const struct conf_node *n) {
    const struct conf_node *c = map->first;
    while (!str_eq(c->key, n->key))
        c = c->next;
    return c;
}

// The defaults are set already where base is part of an outer struct, and for an item here.
static int bind_struct(const struct conf_binding *b, const struct conf_field *table,
                       const struct conf_node *n, const struct path *p, char *base, struct err *e) {
    bool seen[FIELDS_MAX] = {false};
    int r = set_defaults(b, table, base, e);
    if (r < 0)
        return r;
    for (const struct conf_node *c = n ? n->first : NULL; c; c = c->next) {
        size_t i = 0;
        while (table[i].key && !str_eqc(c->key, table[i].key))
            i++;
        const struct conf_field *f = &table[i];
        if (!f->key)
            return refuse_unknown(b, table, c, p, e);
        assert(i < FIELDS_MAX);
        if (seen[i])
            return refuse_twice(b, sibling_before(n, c), c, p, e);
        seen[i] = true;
        struct path inner = {p, c->key, 0};
        char *dst = base + f->offset;
        r = f->many == CONF_ONE ? bind_one(b, f, c, &inner, dst, e)
                                : bind_many(b, f, c, &inner, dst, e);
        if (r < 0)
            return r;
    }
    return check_missing(b, table, seen, n, p, base, e);
}

int conf_bind(const struct conf_binding *b, const struct conf_field *table,
              const struct conf_node *root, struct err *e) {
    if (root && root->kind != CONF_NODE_MAP)
        return refuse(b, NULL, root, "a map of keys", false, e);
    return bind_struct(b, table, root, NULL, b->base, e);
}

int conf_parse(const struct conf_spec *spec, struct str text, const char *name, void *ret,
               struct arena *a, struct err *e) {
    CLEANUP_ARENA struct arena scratch;
    arena_init(&scratch, LIMIT_CONFIG_TREE_BYTES);
    struct conf_node *root;
    int r = conf_tree(text, name, &scratch, &root, e);
    if (r < 0)
        return r;
    struct conf_binding b = {.name = name, .a = a, .scratch = &scratch};
    b.base = arena_zalloc(&scratch, spec->size);
    if (!b.base)
        return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    r = conf_bind(&b, spec->fields, root, e);
    if (r < 0)
        return r;
    if (spec->check && (r = spec->check(b.base, e)) < 0) {
        err_wrap(e, "%s", name);
        return r;
    }
    memcpy(ret, b.base, spec->size);
    return 0;
}

int conf_read(const struct conf_spec *spec, const char *path, void *ret, struct arena *a,
              struct err *e) {
    CLEANUP_ARENA struct arena scratch;
    arena_init(&scratch, LIMIT_CONFIG_BYTES + 4096);
    struct str text;
    int r = conf_file_text(path, &scratch, &text, e);
    return r < 0 ? r : conf_parse(spec, text, path, ret, a, e);
}
