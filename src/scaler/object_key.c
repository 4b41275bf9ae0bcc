// SPDX-License-Identifier: Apache-2.0
/*
 * Order-independent identity of a trigger: the hash of the whole is a sum over the pairs, and a
 * comparison finds each pair by its own hash before it compares the bytes.
 */
#include "scaler/object_key.h"

#include <assert.h>

#include "base/map.h"
#include "base/mem.h"

// Odd constants of splitmix64: the hashes of a key and of its value must not cancel each other.
static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t x = a * UINT64_C(0xbf58476d1ce4e5b9) + (b ^ UINT64_C(0x9e3779b97f4a7c15));
    x ^= x >> 31;
    return x * UINT64_C(0x94d049bb133111eb);
}

const char *object_ref_kind(const struct object_ref *r) {
    return r->rule ? "rule" : "ScaledObject";
}

void object_ref_hash(const struct object_ref *r, struct object_hash *ret) {
    assert(r->n_pairs <= LIMIT_METADATA_KEYS);
    uint64_t sum = r->n_pairs + (r->rule ? UINT64_C(1) << 63 : 0);
    for (size_t i = 0; i < r->n_pairs; i++) {
        const struct object_pair *p = &r->pairs[i];
        ret->pair[i] = mix(map_hash(p->key.p, p->key.n), map_hash(p->value.p, p->value.n));
        sum += ret->pair[i];
    }
    uint64_t who = mix(map_hash(r->namespace_.p, r->namespace_.n), map_hash(r->name.p, r->name.n));
    ret->all = mix(who, sum);
}

static struct str put(char **at, struct str s) {
    struct str copy = {*at, s.n};
    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return copy;
}

struct object_key *object_key_new(const struct object_ref *r, const struct object_hash *h) {
    size_t bytes = sizeof(struct object_key) +
                   r->n_pairs * (sizeof(struct object_pair) + sizeof(uint64_t)) + r->namespace_.n +
                   r->name.n + 2;
    for (size_t i = 0; i < r->n_pairs; i++)
        bytes += r->pairs[i].key.n + r->pairs[i].value.n + 2;
    char *block = mem_alloc(bytes);
    if (block == NULL)
        return NULL;
    struct object_key *k = (struct object_key *)(void *)block;
    struct object_pair *pairs = (struct object_pair *)(void *)(block + sizeof(*k));
    k->pair_hash = (uint64_t *)(void *)(pairs + r->n_pairs);
    char *text = (char *)(k->pair_hash + r->n_pairs);
    k->hash = h->all;
    k->bytes = bytes;
    k->ref = (struct object_ref){put(&text, r->namespace_), put(&text, r->name), pairs, r->n_pairs,
                                 r->rule};
    for (size_t i = 0; i < r->n_pairs; i++) {
        pairs[i] = (struct object_pair){put(&text, r->pairs[i].key), put(&text, r->pairs[i].value)};
        k->pair_hash[i] = h->pair[i];
    }
    assert(text == block + bytes);
    return k;
}

struct object_key *object_key_free(struct object_key *k) {
    mem_free(k);
    return NULL;
}

static bool has_pair(const struct object_key *k, const struct object_pair *p, uint64_t hash) {
    for (size_t i = 0; i < k->ref.n_pairs; i++)
        if (k->pair_hash[i] == hash && str_eq(k->ref.pairs[i].key, p->key) &&
            str_eq(k->ref.pairs[i].value, p->value))
            return true;
    return false;
}

bool object_key_matches(const struct object_key *k, const struct object_ref *r,
                        const struct object_hash *h) {
    if (k->hash != h->all || k->ref.rule != r->rule || k->ref.n_pairs != r->n_pairs ||
        !str_eq(k->ref.name, r->name) || !str_eq(k->ref.namespace_, r->namespace_))
        return false;
    for (size_t i = 0; i < r->n_pairs; i++)
        if (!has_pair(k, &r->pairs[i], h->pair[i]))
            return false;
    return true;
}
