// SPDX-License-Identifier: Apache-2.0
/*
 * The splitter: one pass over the bytes. What belongs to the same thing (an object, the rest) is
 * kept in one piece; an object that lies whole in one input is never copied.
 */
#include "kube/split.h"

#include "base/limits.h"
#include "base/mem.h"

void kube_split_init(struct kube_split *s, enum kube_split_form form, size_t max_object,
                     kube_split_fn fn, void *ctx) {
    *s = (struct kube_split){.form = form, .fn = fn, .ctx = ctx, .max_object = max_object};
    s->base = form == KUBE_SPLIT_LIST ? 2 : 0;
    buf_init(&s->object, max_object);
    buf_init(&s->rest, LIMIT_KUBE_LIST_REST_BYTES);
}

void kube_split_done(struct kube_split *s) {
    buf_done(&s->object);
    buf_done(&s->rest);
}

struct str kube_split_rest(const struct kube_split *s) {
    return buf_str(&s->rest);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int keep_object(struct kube_split *s, const char *p, size_t n, struct err *e) {
    if (s->oversized || n == 0)
        return 0;
    int r = buf_add(&s->object, p, n);
    if (r == ERR_LIMIT) {
        s->oversized = true;
        buf_done(&s->object);
        return 0;
    }
    return r < 0 ? err_set(e, r, "out of memory") : 0;
}

static int keep_rest(struct kube_split *s, const char *p, size_t n, struct err *e) {
    int r = buf_add(&s->rest, p, n);
    if (r == ERR_LIMIT)
        return err_set(e, r,
                       "the list is larger than %d bytes without its items "
                       "(LIMIT_KUBE_LIST_REST_BYTES)",
                       LIMIT_KUBE_LIST_REST_BYTES);
    return r < 0 ? err_set(e, r, "out of memory") : 0;
}

// The object that ends with the n bytes at p.
static int tell_object(struct kube_split *s, const char *p, size_t n, struct err *e) {
    struct str whole = {p, n};
    s->in_object = false;
    s->objects++;
    if (s->object.len > 0 || s->oversized) {
        int r = keep_object(s, p, n, e);
        if (r < 0)
            return r;
        whole = s->oversized ? (struct str){0} : buf_str(&s->object);
    } else if (n > s->max_object) {
        whole = (struct str){0};
    }
    int r = s->fn(s->ctx, whole, e);
    s->oversized = false;
    buf_clear(&s->object);
    return r;
}

static int deeper(struct kube_split *s, struct err *e) {
    if (++s->depth <= LIMIT_KUBE_DEPTH)
        return 0;
    return err_set(e, ERR_LIMIT, "values are nested deeper than %d levels (LIMIT_KUBE_DEPTH)",
                   LIMIT_KUBE_DEPTH);
}

// Inside of an object: returns how many bytes of p belong to it, and whether it ends there.
static int scan_object(struct kube_split *s, const char *p, size_t n, size_t *ret_n, bool *ret_end,
                       struct err *e) {
    size_t i = 0;
    *ret_end = false;
    while (i < n && !*ret_end) {
        char c = p[i++];
        if (s->escaped) {
            s->escaped = false;
        } else if (s->in_string) {
            s->escaped = c == '\\';
            s->in_string = c != '"';
        } else if (c == '"') {
            s->in_string = true;
        } else if (c == '{' || c == '[') {
            int r = deeper(s, e);
            if (r < 0)
                return r;
        } else if (c == '}' || c == ']') {
            *ret_end = --s->depth == s->base;
        }
    }
    *ret_n = i;
    return 0;
}

static void key_byte(struct kube_split *s, char c) {
    if (s->key_len < sizeof(s->key))
        s->key[s->key_len++] = c;
}

// A byte inside of a string of the rest.
static void rest_string_byte(struct kube_split *s, char c) {
    if (s->escaped) {
        s->escaped = false;
    } else if (c == '\\') {
        s->escaped = true;
    } else if (c == '"') {
        s->in_string = false;
        s->items_next = s->in_key && s->key_len == 5 && memcmp(s->key, "items", 5) == 0;
        s->in_key = false;
        return;
    }
    if (s->in_key)
        key_byte(s, c);
}

// A byte of the rest: everything of a list but its items.
static int rest_byte(struct kube_split *s, char c, struct err *e) {
    if (s->done || (s->depth == 0 && c != '{'))
        return is_space(c) ? 0
                           : err_set(e, ERR_PARSE, "the answer is no list: not one JSON object");
    if (s->in_string) {
        rest_string_byte(s, c);
        return 0;
    }
    if (c == '"') {
        s->in_string = true;
        s->in_key = s->depth == 1 && s->key_next;
        s->key_len = 0;
        s->key_next = false;
    } else if (c == '{' || c == '[') {
        s->key_next = s->depth == 0;
        s->items_next &= c == '[';
        return deeper(s, e);
    } else if (c == '}' || c == ']') {
        s->done = --s->depth == 0;
    } else if (c == ',') {
        s->key_next = s->depth == 1;
        s->items_next = false;
    } else if (!is_space(c) && c != ':') {
        s->items_next = false;
    }
    return 0;
}

// Between two objects: negative, 0 (skipped), 1 (an object begins), 2 (the list of items ends).
static int between(struct kube_split *s, char c, struct err *e) {
    if (is_space(c) || (c == ',' && s->form == KUBE_SPLIT_LIST))
        return 0;
    if (c == '{')
        return 1;
    if (c == ']' && s->form == KUBE_SPLIT_LIST)
        return 2;
    return err_set(e, ERR_PARSE, "%s",
                   s->form == KUBE_SPLIT_LIST ? "the list has an item that is no object"
                                              : "the watch has an event that is no object");
}

static bool in_items(const struct kube_split *s) {
    return s->form == KUBE_SPLIT_STREAM || (s->depth == 2 && s->items_next);
}

// Bytes of the rest, up to where the items begin or the input ends; *ret_n of them.
static int feed_rest(struct kube_split *s, const char *p, size_t n, size_t *ret_n, struct err *e) {
    size_t i = 0;
    int r = 0;
    while (i < n && r == 0 && !in_items(s))
        r = rest_byte(s, p[i++], e);
    *ret_n = i;
    return r < 0 ? r : keep_rest(s, p, i, e);
}

static int feed_between(struct kube_split *s, const char *p, size_t *ret_n, struct err *e) {
    int r = between(s, *p, e);
    *ret_n = 0;
    if (r == 1) {
        s->in_object = true; // its brace is the object's first byte
        return 0;
    }
    *ret_n = 1;
    if (r != 2)
        return r;
    s->items_next = false;
    s->depth = 1;
    return keep_rest(s, p, 1, e);
}

static int feed_object(struct kube_split *s, const char *p, size_t n, size_t *ret_n,
                       struct err *e) {
    bool end;
    int r = scan_object(s, p, n, ret_n, &end, e);
    if (r < 0)
        return r;
    return end ? tell_object(s, p, *ret_n, e) : keep_object(s, p, *ret_n, e);
}

int kube_split_feed(struct kube_split *s, const char *p, size_t n, struct err *e) {
    s->bytes += n;
    while (n > 0) {
        size_t used;
        int r = s->in_object  ? feed_object(s, p, n, &used, e)
                : in_items(s) ? feed_between(s, p, &used, e)
                              : feed_rest(s, p, n, &used, e);
        if (r < 0)
            return r;
        p += used;
        n -= used;
    }
    return 0;
}

int kube_split_end(const struct kube_split *s, struct err *e) {
    if (s->form == KUBE_SPLIT_LIST && !s->done)
        return err_set(e, ERR_CLOSED, "the list ended before its end, after %llu bytes",
                       (unsigned long long)s->bytes);
    if (s->in_object)
        return err_set(e, ERR_CLOSED, "the watch ended inside an event");
    return 0;
}
