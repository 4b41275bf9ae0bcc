// SPDX-License-Identifier: Apache-2.0
/*
 * Objects by what a call is about: each of the two threads that keep objects has such an index. An
 * entry lies in its object, whose key it borrows. Objects with equal hashes hang behind one of
 * them.
 */
#pragma once

#include "base/map.h"
#include "scaler/object_key.h"

struct object_index_entry {
    const struct object_key *key;
    struct object_index_entry *same_hash;
    UT_hash_handle hh;
};

// NULL: there is none.
struct object_index_entry *object_index_find(const struct object_index_entry *index,
                                             const struct object_ref *r,
                                             const struct object_hash *h);
// `x` is in no index. ERR_NOMEM: nor is it now.
int object_index_add(struct object_index_entry **index, struct object_index_entry *x,
                     const struct object_key *key);
void object_index_remove(struct object_index_entry **index, struct object_index_entry *x);
void object_index_clear(struct object_index_entry **index); // entries are not touched
