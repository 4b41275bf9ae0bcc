// SPDX-License-Identifier: Apache-2.0
/*
 * A trigger's identity: strings out of the bytes (a byte tells the length of each), the first two
 * being namespace and name. Its pairs may come in any order; any other byte is another object.
 */
#include "base/mem.h"
#include "fuzz.h"
#include "scaler/object_key.h"

struct input {
    const char *p;
    size_t n;
};

static struct str take(struct input *in) {
    size_t n = in->n > 0 ? (unsigned char)in->p[0] % 40 : 0;
    if (in->n > 0)
        in->p++, in->n--;
    n = n < in->n ? n : in->n;
    struct str s = {in->p, n};
    in->p += n;
    in->n -= n;
    return s;
}

static bool same(const struct object_key *k, const struct object_ref *r) {
    struct object_hash h;
    object_ref_hash(r, &h);
    return object_key_matches(k, r, &h);
}

static void check_copy(const struct object_key *k, const struct object_ref *r) {
    require(str_eq(k->ref.namespace_, r->namespace_) && str_eq(k->ref.name, r->name));
    require(k->ref.namespace_.p[r->namespace_.n] == '\0' && k->ref.name.p[r->name.n] == '\0');
    require(k->ref.n_pairs == r->n_pairs);
    for (size_t i = 0; i < r->n_pairs; i++) {
        require(str_eq(k->ref.pairs[i].key, r->pairs[i].key));
        require(str_eq(k->ref.pairs[i].value, r->pairs[i].value));
        require(k->ref.pairs[i].value.p[r->pairs[i].value.n] == '\0');
    }
}

// The same with one byte of one string changed, added or taken away.
static void check_other(const struct object_key *k, struct object_ref r, struct object_pair *pairs,
                        size_t which, unsigned how) {
    char text[64];
    struct str *all[2 + 2 * LIMIT_METADATA_KEYS] = {&r.namespace_, &r.name};
    for (size_t i = 0; i < r.n_pairs; i++) {
        all[2 + 2 * i] = &pairs[i].key;
        all[3 + 2 * i] = &pairs[i].value;
    }
    struct str *one = all[which % (2 + 2 * r.n_pairs)], was = *one;
    if (was.n > 0)
        memcpy(text, was.p, was.n);
    text[was.n] = 'x';
    if (how % 3 == 0 && was.n > 0)
        text[how % was.n] ^= 1;
    *one = (struct str){text, how % 3 == 1 || was.n == 0  ? was.n + 1
                              : how % 3 == 2 && was.n > 0 ? was.n - 1
                                                          : was.n};
    r.pairs = pairs;
    require(!same(k, &r));
    *one = was;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {(const char *)data, size};
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref r = {.pairs = pairs};
    struct object_hash h;
    unsigned turn = size > 0 ? data[size - 1] : 0, how = size > 1 ? data[size - 2] : 0;
    r.namespace_ = take(&in);
    r.name = take(&in);
    while (in.n > 0 && r.n_pairs < COUNT_OF(pairs)) {
        struct str key = take(&in);
        pairs[r.n_pairs++] = (struct object_pair){key, take(&in)};
    }
    object_ref_hash(&r, &h);
    struct object_key *k = object_key_new(&r, &h);
    require(k && object_key_matches(k, &r, &h));
    check_copy(k, &r);
    for (size_t i = 1; i < r.n_pairs; i++) { // some other order
        size_t with = (turn + 7 * i) % (i + 1);
        struct object_pair p = pairs[i];
        pairs[i] = pairs[with];
        pairs[with] = p;
    }
    require(same(k, &r));
    check_other(k, r, pairs, turn, how);
    if (r.n_pairs > 0) {
        r.n_pairs--;
        require(!same(k, &r));
    }
    object_key_free(k);
    return 0;
}
