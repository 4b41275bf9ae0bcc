// SPDX-License-Identifier: Apache-2.0
/* See the header. */
#include "scaler/view.h"

#include "base/mem.h"

const struct view view_all = {.all = true};

static int compare(struct str a, const char *b) {
    size_t n = strlen(b), least = a.n < n ? a.n : n;
    int r = least > 0 ? memcmp(a.p, b, least) : 0;
    return r != 0 ? r : (a.n > n) - (a.n < n);
}

bool view_has(const struct view *v, struct str namespace_) {
    if (v->all)
        return true;
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int r = compare(namespace_, v->names[middle]);
        if (r == 0)
            return true;
        if (r < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

bool view_equal(const struct view *a, const struct view *b) {
    if (a->all || b->all || a->n != b->n)
        return a->all && b->all;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

struct view *view_copy(const struct view *v) {
    size_t bytes = 0;
    for (size_t i = 0; i < v->n; i++)
        bytes += strlen(v->names[i]) + 1;
    struct view *copy = mem_zalloc(sizeof(*copy) + v->n * sizeof(*v->names) + bytes);
    if (copy == NULL)
        return NULL;
    const char **names = (const char **)(copy + 1);
    char *text = (char *)(names + v->n);
    for (size_t i = 0; i < v->n; i++) {
        size_t n = strlen(v->names[i]) + 1;
        memcpy(text, v->names[i], n);
        names[i] = text;
        text += n;
    }
    *copy = (struct view){.all = v->all, .names = names, .n = v->n};
    return copy;
}

struct view *view_free(struct view *v) {
    mem_free(v);
    return NULL;
}
