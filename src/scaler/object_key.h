// SPDX-License-Identifier: Apache-2.0
/*
 * Who a call is about. KEDA names a trigger by nothing but {namespace, ScaledObject, metadata}
 * (reference: pkg/scalers/external_scaler.go sends no trigger name or index), and Go's map order
 * differs from call to call. A reference therefore hashes and compares without regard to the order
 * of its pairs, so that a call finds its object without sorting, copying or binding anything.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/str.h"

struct object_pair {
    struct str key, value;
};

// Borrowed: what a request says. At most LIMIT_METADATA_KEYS pairs.
struct object_ref {
    struct str namespace_, name;
    const struct object_pair *pairs;
    size_t n_pairs;
    bool rule; // of the scaler's own configuration, for an HPA without KEDA
};
// "ScaledObject" or "rule": what messages call it.
const char *object_ref_kind(const struct object_ref *r);

// The hashes of a reference, made once a call. Seeded per process (base/map.h).
struct object_hash {
    uint64_t all;
    uint64_t pair[LIMIT_METADATA_KEYS]; // [i]: of pairs[i]; the first n_pairs are set
};
void object_ref_hash(const struct object_ref *r, struct object_hash *ret);

// Owned copy of a reference: one block of memory, immutable, NUL-terminated strings.
struct object_key {
    uint64_t hash;
    struct object_ref ref;
    uint64_t *pair_hash;
    size_t bytes; // of the whole block
};
// NULL: no memory.
struct object_key *object_key_new(const struct object_ref *r, const struct object_hash *h);
struct object_key *object_key_free(struct object_key *k);
// The same kind, namespace, name and pairs, in whatever order. Exact: bytes are compared, not
// hashes only.
bool object_key_matches(const struct object_key *k, const struct object_ref *r,
                        const struct object_hash *h);
