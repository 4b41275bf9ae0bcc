// SPDX-License-Identifier: Apache-2.0
/*
 * uthash with the two things it lacks: a hash that is seeded per process (keys come from the
 * network) and allocation failure that is an error, not exit(). Include this, never uthash.h.
 * After HASH_ADD*, test map_oom() - true when the last add failed for lack of memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

uint64_t map_hash(const void *key, size_t n); // XXH3 with the process's random seed
void map_seed_set(uint64_t seed);             // tests: deterministic order

extern _Thread_local bool map_oom_flag;
static inline bool map_oom(void) {
    bool was = map_oom_flag;
    map_oom_flag = false;
    return was;
}

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(obj) (map_oom_flag = true)
#define uthash_malloc(sz) mem_alloc(sz)
#define uthash_free(ptr, sz) mem_free(ptr)
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)map_hash((keyptr), (keylen)))
#include <uthash.h>
