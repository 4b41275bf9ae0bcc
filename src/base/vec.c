// SPDX-License-Identifier: Apache-2.0
/* Growth of a typed array: doubling, bounded by its maximum. */
#include "base/vec.h"

int vec_grow_(void **items, size_t n, size_t *cap, size_t max, size_t size) {
    if (n < *cap && n < max)
        return 0;
    if (n >= max)
        return ERR_LIMIT;
    size_t want = *cap < 4 ? 4 : *cap > max / 2 ? max : *cap * 2;
    if (want > max)
        want = max;
    void *p = mem_resize(*items, want, size);
    if (!p)
        return ERR_NOMEM;
    *items = p;
    *cap = want;
    return 0;
}
