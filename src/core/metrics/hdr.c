// SPDX-License-Identifier: Apache-2.0
/* Log-linear histogram: memory, merging, quantiles. */
#include "core/metrics/hdr.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static void forget(struct hdr *h) {
    h->lowest = h->n;
    h->behind = 0;
    h->count = h->over = h->max = 0;
    h->min = UINT64_MAX;
    h->sum = 0;
}

int hdr_init(struct hdr *h, uint64_t highest) {
    *h = (struct hdr){.n = hdr_index(highest) + 1};
    h->counts = mem_array(h->n, sizeof(*h->counts));
    if (!h->counts)
        return ERR_NOMEM;
    forget(h);
    return 0;
}

void hdr_done(struct hdr *h) {
    mem_free(h->counts);
    *h = (struct hdr){0};
}

void hdr_clear(struct hdr *h) {
    if (h->behind > h->lowest)
        memset(&h->counts[h->lowest], 0, (h->behind - h->lowest) * sizeof(*h->counts));
    forget(h);
}

void hdr_merge(struct hdr *h, const struct hdr *other) {
    assert(h->n == other->n);
    for (size_t i = other->lowest; i < other->behind; i++)
        h->counts[i] += other->counts[i];
    h->lowest = other->lowest < h->lowest ? other->lowest : h->lowest;
    h->behind = other->behind > h->behind ? other->behind : h->behind;
    h->min = other->min < h->min ? other->min : h->min;
    h->max = other->max > h->max ? other->max : h->max;
    h->count += other->count;
    h->over += other->over;
    h->sum += other->sum;
}

// The highest value of bucket i.
static uint64_t edge(size_t i) {
    if (i < HDR_LINEAR)
        return i;
    unsigned shift = (unsigned)((i - HDR_LINEAR) / HDR_HALF) + 1;
    uint64_t part = (i - HDR_LINEAR) % HDR_HALF + HDR_HALF;
    return ((part + 1) << shift) - 1; // of the highest bucket there is: wraps to UINT64_MAX
}

static uint64_t within(const struct hdr *h, uint64_t v) {
    return v < h->min ? h->min : v > h->max ? h->max : v;
}

uint64_t hdr_quantile(const struct hdr *h, uint32_t per_million) {
    assert(per_million <= 1000000);
    if (h->count == 0)
        return 0;
    if (per_million == 0)
        return h->min;
    unsigned __int128 scaled = (unsigned __int128)h->count * per_million;
    uint64_t rank = (uint64_t)((scaled + 999999) / 1000000), seen = 0;
    if (rank == h->count)
        return h->max;
    size_t i = h->lowest;
    while (i < h->behind && (seen += h->counts[i]) < rank)
        i++;
    return i == h->n - 1 && h->over > 0 ? h->max : within(h, edge(i));
}

double hdr_mean(const struct hdr *h) {
    return h->count ? h->sum / (double)h->count : 0;
}

bool hdr_next(const struct hdr *h, size_t *at, uint64_t *ret_value, uint64_t *ret_count) {
    size_t i = *at > h->lowest ? *at : h->lowest;
    while (i < h->behind && h->counts[i] == 0)
        i++;
    if (i >= h->behind)
        return false;
    *ret_value = i + 1 == h->behind ? h->max : within(h, edge(i));
    *ret_count = h->counts[i];
    *at = i + 1;
    return true;
}
