// SPDX-License-Identifier: Apache-2.0
/* Rounds and GPUs that the agent's tests are made of. */
#pragma once

#include "agent/round.h"
#include "agent/state.h"
#include "base/clock.h"

static inline struct gpu_device fixture_device(uint32_t slot) {
    struct gpu_device d = {.slot = slot};
    snprintf(d.info.uuid, sizeof d.info.uuid, "GPU-%u", slot);
    snprintf(d.info.model, sizeof d.info.model, "NVIDIA H100 80GB HBM3");
    snprintf(d.info.pci_bus_id, sizeof d.info.pci_bus_id, "00000000:8%u:00.0", slot);
    snprintf(d.info.driver_version, sizeof d.info.driver_version, "550.144.03");
    d.info.index = slot;
    d.info.memory_total_bytes = UINT64_C(85520809984);
    return d;
}

// A round at `at_ns` over `n` GPUs in slots 0.., enumerated, with utilization 10, 11, ...
static inline struct agent_round *fixture_round(uint32_t n, int64_t at_ns) {
    struct agent_round *r = agent_round_new(AGENT_ROUND_SAMPLED, n ? n : 1);
    r->begun_ns = at_ns;
    r->ended_ns = at_ns + NS_PER_MS;
    r->enumerated = true;
    r->n_devices = r->n_samples = n;
    for (uint32_t i = 0; i < n; i++) {
        r->devices[i] = fixture_device(i);
        r->samples[i].slot = i;
        r->samples[i].state = AGENT_SAMPLE_OK;
        r->samples[i].at_ns = at_ns;
        gpu_reading_set(&r->samples[i].reading, GPU_UTILIZATION_PCT, 10 + i);
    }
    return r;
}

static inline void fixture_apply(struct agent_state *s, struct agent_round *r,
                                 const struct agent_owners *owners) {
    struct agent_owners none;
    agent_owners_init(&none);
    assert_int_equal(agent_state_apply(s, r, owners ? owners : &none), 0);
    agent_round_free(r);
}

// Of the GPU in slot `slot`: two containers' shares, memory and activity of the first alone known.
static inline void fixture_share(struct agent_round *r, uint32_t slot, double busy) {
    struct agent_share one = {.pod_uid = "uid-a",
                              .container_id = "cid-a",
                              .processes = 2,
                              .has_memory = true,
                              .has_utilization = true,
                              .memory_bytes = 4096,
                              .utilization_pct = busy};
    struct agent_share two = {.pod_uid = "uid-b", .processes = 1};
    struct agent_sample *s = &r->samples[slot];
    s->shares_known = true;
    s->shares_at = (uint32_t)r->shares.n;
    s->n_shares = 2;
    assert_int_equal(vec_push(&r->shares, one), 0);
    assert_int_equal(vec_push(&r->shares, two), 0);
}

static inline void fixture_claim(struct agent_owners *o, const char *device, const char *pod) {
    struct agent_claimed one = {.driver = "gpu.nvidia.com", .pool = "node-a"};
    snprintf(one.device, sizeof one.device, "%s", device);
    snprintf(one.owner.namespace_, sizeof one.owner.namespace_, "ml");
    snprintf(one.owner.pod, sizeof one.owner.pod, "%s", pod);
    o->known = true;
    assert_int_equal(vec_push(&o->claimed, one), 0);
}

static inline void fixture_own(struct agent_owners *o, const char *gpu, const char *pod,
                               const char *replica) {
    struct agent_owner one = {.device = {.gpu_instance = -1, .exact = true}};
    snprintf(one.device.gpu, sizeof one.device.gpu, "%s", gpu);
    snprintf(one.owner.namespace_, sizeof one.owner.namespace_, "ml");
    snprintf(one.owner.pod, sizeof one.owner.pod, "%s", pod);
    snprintf(one.owner.container, sizeof one.owner.container, "main");
    snprintf(one.owner.replica, sizeof one.owner.replica, "%s", replica);
    o->known = true;
    assert_int_equal(vec_push(&o->list, one), 0);
}
