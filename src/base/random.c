// SPDX-License-Identifier: Apache-2.0
/*
 * xoshiro256** by Blackman and Vigna (prng.di.unimi.it, public domain), seeded by splitmix64; a
 * bounded draw by Lemire's multiplication (arXiv:1805.10941).
 */
#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/err.h"

static uint64_t rotl(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

void random_init(struct random *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t random_u64(struct random *r) {
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t random_below(struct random *r, uint64_t n) {
    unsigned __int128 m = (unsigned __int128)random_u64(r) * n;
    if ((uint64_t)m < n) {
        uint64_t floor = (0 - n) % n;
        while ((uint64_t)m < floor)
            m = (unsigned __int128)random_u64(r) * n;
    }
    return (uint64_t)(m >> 64);
}

double random_unit(struct random *r) {
    return (double)(random_u64(r) >> 11) * 0x1p-53;
}

int random_kernel(void *p, size_t n) {
    char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_IO;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}
