// SPDX-License-Identifier: Apache-2.0
/* Sliding maximum as a monotone queue. */
#include "core/policy/peak.h"

#include "base/err.h"
#include "base/mem.h"

int peak_init(struct peak *p, uint32_t cap) {
    *p = (struct peak){.cap = cap};
    p->entries = mem_array(cap, sizeof(*p->entries));
    return p->entries ? 0 : ERR_NOMEM;
}

void peak_done(struct peak *p) {
    mem_free(p->entries);
    *p = (struct peak){0};
}

static struct peak_entry *entry(const struct peak *p, uint32_t i) {
    return &p->entries[(p->head + i) % p->cap];
}

void peak_add(struct peak *p, int64_t at_ns, int32_t want) {
    while (p->n && entry(p, p->n - 1)->want <= want)
        p->n--;
    if (p->n == p->cap) {
        entry(p, p->n - 1)->at_ns = at_ns;
        return;
    }
    *entry(p, p->n++) = (struct peak_entry){at_ns, want};
}

void peak_expire(struct peak *p, int64_t at_ns) {
    while (p->n && entry(p, 0)->at_ns <= at_ns) {
        p->head = (p->head + 1) % p->cap;
        p->n--;
    }
}

bool peak_last(const struct peak *p, struct peak_entry *ret) {
    if (p->n)
        *ret = *entry(p, p->n - 1);
    return p->n > 0;
}

uint32_t peak_copy(const struct peak *p, struct peak_entry *dst, uint32_t cap) {
    uint32_t n = p->n < cap ? p->n : cap;
    for (uint32_t i = 0; i < n; i++)
        dst[i] = *entry(p, i);
    if (n > 0)
        dst[n - 1].at_ns = entry(p, p->n - 1)->at_ns;
    return n;
}

bool peak_max(const struct peak *p, struct peak_entry *ret) {
    if (p->n)
        *ret = *entry(p, 0);
    return p->n > 0;
}
