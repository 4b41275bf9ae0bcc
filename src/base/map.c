// SPDX-License-Identifier: Apache-2.0
/*
 * The hash of every map: XXH3 under a seed that is drawn once a process, so that nobody outside
 * can prepare keys that all fall into one bucket.
 */
#include "base/map.h"

#include <stdatomic.h>
#include <threads.h>
// Inline: the library would be one more that the agent loads, for one function.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/random.h"

_Thread_local bool map_oom_flag;

static _Atomic uint64_t seed;
static once_flag seed_once = ONCE_FLAG_INIT;

static void seed_draw(void) {
    uint64_t s;
    if (random_kernel(&s, sizeof(s)) < 0) // no getrandom (seccomp): hard to guess is enough here
        s = (uint64_t)clock_mono_ns() ^ (uint64_t)(uintptr_t)&s << 20;
    atomic_store_explicit(&seed, s, memory_order_relaxed);
}

uint64_t map_hash(const void *key, size_t n) {
    call_once(&seed_once, seed_draw);
    return XXH3_64bits_withSeed(key, n, atomic_load_explicit(&seed, memory_order_relaxed));
}

void map_seed_set(uint64_t s) {
    call_once(&seed_once, seed_draw);
    atomic_store_explicit(&seed, s, memory_order_relaxed);
}
