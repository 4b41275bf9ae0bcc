// SPDX-License-Identifier: Apache-2.0
/*
 * Typed growable array with a maximum:
 *     struct thing_vec VEC(struct thing);   or a member   VEC(struct thing) things;
 *     vec_init(&v, LIMIT_THINGS);  vec_push(&v, x) -> 0, ERR_LIMIT, ERR_NOMEM;  v.items[i], v.n
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

#define VEC(type)                                                                                  \
    {                                                                                              \
        type *items;                                                                               \
        size_t n, cap, max;                                                                        \
    }
#define vec_init(v, limit) (*(v) = (typeof(*(v))){.max = (limit)})
#define vec_done(v) (mem_free((v)->items), (v)->items = NULL, (v)->n = (v)->cap = 0)
#define vec_clear(v) ((v)->n = 0)
#define vec_push(v, x)                                                                             \
    ({                                                                                             \
        int vec_r_ = vec_grow_((void **)&(v)->items, (v)->n, &(v)->cap, (v)->max,                  \
                               sizeof(*(v)->items));                                               \
        if (vec_r_ == 0)                                                                           \
            (v)->items[(v)->n++] = (x);                                                            \
        vec_r_;                                                                                    \
    })
// Removes item i, keeping order.
#define vec_remove(v, i)                                                                           \
    (memmove(&(v)->items[i], &(v)->items[(i) + 1], ((v)->n - (i)-1) * sizeof(*(v)->items)),        \
     (v)->n--)

int vec_grow_(void **items, size_t n, size_t *cap, size_t max, size_t size);
