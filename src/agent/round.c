// SPDX-License-Identifier: Apache-2.0
/* The message between the two threads. */
#include "agent/round.h"

#include "base/mem.h"

struct agent_round *agent_round_new(enum agent_round_kind kind, uint32_t n) {
    struct agent_round *r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    r->kind = kind;
    vec_init(&r->shares, LIMIT_GPU_ENTITIES_PER_NODE * LIMIT_OWNERS_PER_GPU);
    if (n > 0) {
        r->devices = mem_array(n, sizeof *r->devices);
        r->samples = mem_array(n, sizeof *r->samples);
        if (!r->devices || !r->samples)
            return agent_round_free(r);
    }
    return r;
}

struct agent_round *agent_round_free(struct agent_round *r) {
    if (r) {
        mem_free(r->devices);
        mem_free(r->samples);
        vec_done(&r->shares);
        mem_free(r);
    }
    return NULL;
}
