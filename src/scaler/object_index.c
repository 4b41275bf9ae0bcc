// SPDX-License-Identifier: Apache-2.0
/* Chains behind a hash table; see the header. */
#include "scaler/object_index.h"

#include "base/err.h"

struct object_index_entry *object_index_find(const struct object_index_entry *index,
                                             const struct object_ref *r,
                                             const struct object_hash *h) {
    struct object_index_entry *x;
    HASH_FIND(hh, index, &h->all, sizeof(h->all), x);
    while (x != NULL && !object_key_matches(x->key, r, h))
        x = x->same_hash;
    return x;
}

int object_index_add(struct object_index_entry **index, struct object_index_entry *x,
                     const struct object_key *key) {
    struct object_index_entry *first;
    x->key = key;
    HASH_FIND(hh, *index, &key->hash, sizeof(key->hash), first);
    if (first != NULL) {
        x->same_hash = first->same_hash;
        first->same_hash = x;
        return 0;
    }
    x->same_hash = NULL;
    HASH_ADD_KEYPTR(hh, *index, &key->hash, sizeof(key->hash), x);
    return map_oom() ? ERR_NOMEM : 0;
}

void object_index_remove(struct object_index_entry **index, struct object_index_entry *x) {
    struct object_index_entry *first;
    HASH_FIND(hh, *index, &x->key->hash, sizeof(x->key->hash), first);
    if (first != x) {
        while (first->same_hash != x)
            first = first->same_hash;
        first->same_hash = x->same_hash;
        return;
    }
    // The next of the same hash takes its place before it goes: a table that is not empty needs no
    // memory for one more.
    struct object_index_entry *next = x->same_hash;
    if (next != NULL)
        HASH_ADD_KEYPTR(hh, *index, &next->key->hash, sizeof(next->key->hash), next);
    HASH_DELETE(hh, *index, x);
}

void object_index_clear(struct object_index_entry **index) {
    HASH_CLEAR(hh, *index);
}
