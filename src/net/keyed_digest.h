// SPDX-License-Identifier: Apache-2.0
/*
 * HMAC-SHA-256 under a key that never leaves the process: what caches remember of tokens and
 * passwords in their place.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { NET_DIGEST_BYTES = 32, NET_DIGEST_PARTS = 8 };

struct net_digest_key {
    uint8_t bytes[NET_DIGEST_BYTES];
};
struct net_digest {
    uint8_t bytes[NET_DIGEST_BYTES];
};

// From the kernel's random numbers. ERR_IO.
int net_digest_key_make(struct net_digest_key *ret, struct err *e);
// Of n parts (at most NET_DIGEST_PARTS) with their borders: {"a","bc"} is not {"ab","c"}. ERR_NOMEM
// (OpenSSL's).
int net_digest_of(struct net_digest *ret, const struct net_digest_key *key, const struct str *parts,
                  size_t n);
