// SPDX-License-Identifier: Apache-2.0
/*
 * Seeded pseudo-random numbers (xoshiro256**, seeded by splitmix64) for simulation, jitter and
 * property tests; and kernel randomness for identities. Deterministic from the seed, which every
 * program and test prints.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t s[4];
};

void random_init(struct random *r, uint64_t seed);
uint64_t random_u64(struct random *r);
uint64_t random_below(struct random *r, uint64_t n); // 0 <= x < n, unbiased; n > 0
double random_unit(struct random *r);                // 0 <= x < 1
double random_normal(struct random *r);              // mean 0, deviation 1
double random_exponential(struct random *r, double mean);

int random_kernel(void *p, size_t n); // getrandom; 0 or ERR_IO
