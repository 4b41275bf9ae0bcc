// SPDX-License-Identifier: Apache-2.0
/* Each part's digest, and the digest of those: parts are never copied together. */
#include "net/keyed_digest.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/random.h"

static int one(uint8_t *ret, const struct net_digest_key *key, const void *p, size_t n) {
    unsigned len;
    if (HMAC(EVP_sha256(), key->bytes, sizeof(key->bytes), n ? p : "", n, ret, &len))
        return 0;
    ERR_clear_error();
    return ERR_NOMEM;
}

int net_digest_key_make(struct net_digest_key *ret, struct err *e) {
    if (random_kernel(ret->bytes, sizeof(ret->bytes)) < 0)
        return err_set(e, ERR_IO, "the kernel gives no random numbers");
    return 0;
}

int net_digest_of(struct net_digest *ret, const struct net_digest_key *key, const struct str *parts,
                  size_t n) {
    uint8_t all[NET_DIGEST_PARTS][NET_DIGEST_BYTES];
    assert(n <= NET_DIGEST_PARTS);
    for (size_t i = 0; i < n; i++)
        if (one(all[i], key, parts[i].p, parts[i].n) < 0)
            return ERR_NOMEM;
    return one(ret->bytes, key, all, n * NET_DIGEST_BYTES);
}
