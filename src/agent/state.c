// SPDX-License-Identifier: Apache-2.0
/* See state.h. GPUs are matched by slot and UUID: another UUID in a slot is another GPU. */
#include "agent/state.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

int agent_state_init(struct agent_state *s, int64_t interval_ns, int64_t now_ns, struct err *e) {
    *s = (struct agent_state){.interval_ns = interval_ns, .due_ns = now_ns, .version = 1};
    s->gpus = mem_array(LIMIT_GPU_ENTITIES_PER_NODE, sizeof *s->gpus);
    return s->gpus ? 0 : err_set(e, ERR_NOMEM, "no memory for the state of GPUs");
}

static void gpu_done(struct agent_gpu *g) {
    mem_free(g->owners);
    mem_free(g->shares);
}

void agent_state_done(struct agent_state *s) {
    for (uint32_t i = 0; i < s->n_gpus; i++)
        gpu_done(&s->gpus[i]);
    mem_free(s->gpus);
    mem_free(s->devices.items);
    *s = (struct agent_state){0};
}

static bool same_owner(const struct gpu_owner *a, const struct gpu_owner *b) {
    return strcmp(a->namespace_, b->namespace_) == 0 && strcmp(a->pod, b->pod) == 0 &&
           strcmp(a->container, b->container) == 0 && strcmp(a->replica, b->replica) == 0;
}

static bool same_owners(const struct agent_gpu *g, const struct gpu_owner *owners, uint32_t n) {
    if (g->n_owners != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!same_owner(&g->owners[i], &owners[i]))
            return false;
    return true;
}

// `all`: an owner that is not found here does not exist.
static int assign_owners(struct agent_state *s, struct agent_gpu *g,
                         const struct agent_owners *owners, bool all) {
    uint32_t n = 0, at = 0;
    for (size_t i = 0; i < owners->list.n; i++)
        n += podres_device_is(&owners->list.items[i].device, &g->info);
    bool known = n > 0 ? n <= LIMIT_OWNERS_PER_GPU : all;
    if (!known)
        n = 0;
    struct gpu_owner *fresh = n > 0 ? mem_array(n, sizeof *fresh) : NULL;
    if (n > 0 && !fresh)
        return ERR_NOMEM;
    for (size_t i = 0; i < owners->list.n && at < n; i++)
        if (podres_device_is(&owners->list.items[i].device, &g->info))
            fresh[at++] = owners->list.items[i].owner;
    if (g->owners_known == known && same_owners(g, fresh, n)) {
        mem_free(fresh);
        return 0;
    }
    mem_free(g->owners);
    g->owners = fresh;
    g->n_owners = n;
    g->owners_known = known;
    g->changed = ++s->version;
    return 0;
}

// Counts the owners whose device is none of the GPUs; true when one of them may be any.
static bool look_for_strangers(struct agent_state *s, const struct agent_owners *owners) {
    bool strangers = false;
    s->unmatched_owners = 0;
    for (size_t i = 0; i < owners->list.n; i++) {
        const struct podres_device *d = &owners->list.items[i].device;
        uint32_t k = 0;
        while (k < s->n_gpus && !podres_device_is(d, &s->gpus[k].info))
            k++;
        if (k < s->n_gpus)
            continue;
        s->unmatched_owners++;
        strangers |= !d->exact;
    }
    return strangers;
}

static bool same_claimed(const struct agent_claimed *a, const struct agent_claimed *b) {
    return strcmp(a->driver, b->driver) == 0 && strcmp(a->pool, b->pool) == 0 &&
           strcmp(a->device, b->device) == 0 && strcmp(a->share, b->share) == 0 &&
           same_owner(&a->owner, &b->owner);
}

static int set_devices(struct agent_state *s, const struct agent_owners *owners, bool complete) {
    struct agent_devices *d = &s->devices;
    uint32_t n = (uint32_t)owners->claimed.n;
    bool same = d->complete == complete && d->n == n;
    for (uint32_t i = 0; same && i < n; i++)
        same = same_claimed(&d->items[i], &owners->claimed.items[i]);
    if (same)
        return 0;
    struct agent_claimed *fresh = n > 0 ? mem_array(n, sizeof *fresh) : NULL;
    if (n > 0 && !fresh)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        fresh[i] = owners->claimed.items[i];
    mem_free(d->items);
    *d = (struct agent_devices){
        .complete = complete, .n = n, .items = fresh, .changed = ++s->version};
    return 0;
}

int agent_state_set_owners(struct agent_state *s, const struct agent_owners *owners) {
    bool complete = owners->known && !owners->doubt && !look_for_strangers(s, owners);
    int r = set_devices(s, owners, complete);
    for (uint32_t i = 0; i < s->n_gpus && !r; i++)
        r = assign_owners(s, &s->gpus[i], owners, complete && owners->claimed.n == 0);
    return r;
}

static void remove_gpu(struct agent_state *s, uint32_t i) {
    struct agent_removed *into = &s->removed[s->removed_at % AGENT_REMOVED_MAX];
    if (s->removed_at >= AGENT_REMOVED_MAX)
        s->forgotten = into->version;
    *into = (struct agent_removed){.id = s->gpus[i].id, .version = ++s->version};
    s->removed_at++;
    gpu_done(&s->gpus[i]);
    s->n_gpus--;
    memmove(&s->gpus[i], &s->gpus[i + 1], (s->n_gpus - i) * sizeof s->gpus[0]);
}

static const struct gpu_device *device_of(const struct agent_round *round, uint32_t slot) {
    for (uint32_t i = 0; i < round->n_devices; i++)
        if (round->devices[i].slot == slot)
            return &round->devices[i];
    return NULL;
}

static void remove_gone(struct agent_state *s, const struct agent_round *round) {
    for (uint32_t i = s->n_gpus; i-- > 0;) {
        const struct gpu_device *d = device_of(round, s->gpus[i].slot);
        if (!d || strcmp(d->info.uuid, s->gpus[i].info.uuid) != 0)
            remove_gpu(s, i);
    }
}

static bool same_info(const struct gpu_info *a, const struct gpu_info *b) {
    return strcmp(a->uuid, b->uuid) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->pci_bus_id, b->pci_bus_id) == 0 &&
           strcmp(a->driver_version, b->driver_version) == 0 && a->index == b->index &&
           a->memory_total_bytes == b->memory_total_bytes &&
           strcmp(a->parent_uuid, b->parent_uuid) == 0 &&
           a->gpu_instance_id == b->gpu_instance_id && strcmp(a->mig_profile, b->mig_profile) == 0;
}

// The place of a slot: of the GPU that has it, or where it belongs.
static uint32_t find_slot(const struct agent_state *s, uint32_t slot) {
    uint32_t i = 0;
    while (i < s->n_gpus && s->gpus[i].slot < slot)
        i++;
    return i;
}

static int take_device(struct agent_state *s, const struct gpu_device *d) {
    uint32_t i = find_slot(s, d->slot);
    struct agent_gpu *g = &s->gpus[i];
    if (i < s->n_gpus && g->slot == d->slot) {
        if (!same_info(&g->info, &d->info)) {
            g->info = d->info;
            g->changed = g->info_changed = ++s->version;
        }
        return 0;
    }
    if (s->n_gpus == LIMIT_GPU_ENTITIES_PER_NODE)
        return ERR_LIMIT;
    memmove(g + 1, g, (s->n_gpus - i) * sizeof *g);
    s->n_gpus++;
    *g = (struct agent_gpu){.id = s->next_id++, .slot = d->slot, .info = d->info};
    g->changed = g->info_changed = ++s->version;
    return 0;
}

// A driver's blank (a huge number, NaN) is no value.
static void discard_blanks(struct agent_state *s, struct gpu_reading *r) {
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++) {
        double v;
        if (!gpu_reading_get(r, (enum gpu_value)i, &v))
            continue;
        if (!(v >= gpu_values[i].min && v <= gpu_values[i].max)) {
            r->valid &= ~(UINT64_C(1) << i);
            s->discarded_values++;
        }
    }
}

static bool same_reading(const struct gpu_reading *a, const struct gpu_reading *b) {
    if (a->valid != b->valid)
        return false;
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++)
        if ((a->valid >> i & 1) && memcmp(&a->v[i], &b->v[i], sizeof a->v[i]) != 0)
            return false;
    return true;
}

static bool same_shares(const struct agent_gpu *g, bool known, const struct agent_share *shares,
                        uint32_t n) {
    if (g->shares_known != known || g->n_shares != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct agent_share *a = &g->shares[i], *b = &shares[i];
        if (strcmp(a->pod_uid, b->pod_uid) != 0 || strcmp(a->container_id, b->container_id) != 0 ||
            a->processes != b->processes || a->has_memory != b->has_memory ||
            a->has_utilization != b->has_utilization || a->memory_bytes != b->memory_bytes ||
            memcmp(&a->utilization_pct, &b->utilization_pct, sizeof a->utilization_pct) != 0)
            return false;
    }
    return true;
}

// Without memory they are unknown.
static void take_shares(struct agent_state *s, struct agent_gpu *g, bool known,
                        const struct agent_share *shares, uint32_t n) {
    if (same_shares(g, known, shares, n))
        return;
    struct agent_share *copy = n > 0 ? mem_array(n, sizeof *copy) : NULL;
    if (copy)
        memcpy(copy, shares, n * sizeof *copy);
    mem_free(g->shares);
    g->shares = copy;
    g->n_shares = copy ? n : 0;
    g->shares_known = known && (copy || n == 0);
    g->changed = ++s->version;
}

static void take_sample(struct agent_state *s, const struct agent_round *round,
                        const struct agent_sample *sample) {
    uint32_t i = find_slot(s, sample->slot);
    struct agent_gpu *g = &s->gpus[i];
    if (i == s->n_gpus || g->slot != sample->slot || sample->state == AGENT_SAMPLE_FAILED)
        return; // what was read before ages
    take_shares(s, g, sample->shares_known,
                sample->n_shares > 0 ? &round->shares.items[sample->shares_at] : NULL,
                sample->n_shares);
    bool lost = sample->state == AGENT_SAMPLE_LOST;
    if (lost != g->lost) {
        g->lost = lost;
        g->changed = ++s->version;
    }
    if (lost) {
        if (g->has_reading) { // the last reading of a GPU that is not there says nothing
            g->has_reading = false;
            g->changed = ++s->version;
        }
        return;
    }
    struct gpu_reading reading = sample->reading;
    discard_blanks(s, &reading);
    if (!g->has_reading || !same_reading(&g->reading, &reading))
        g->changed = ++s->version;
    g->has_reading = true;
    g->reading = reading;
    g->read_ns = sample->at_ns;
}

int agent_state_apply(struct agent_state *s, const struct agent_round *round,
                      const struct agent_owners *owners) {
    int r = 0;
    if (round->enumerated) {
        remove_gone(s, round);
        for (uint32_t i = 0; i < round->n_devices && !r; i++)
            r = take_device(s, &round->devices[i]);
        if (!r)
            r = agent_state_set_owners(s, owners);
    }
    for (uint32_t i = 0; i < round->n_samples; i++)
        take_sample(s, round, &round->samples[i]);
    s->sampled = true;
    s->rounds++;
    s->failed_calls += round->failed_calls;
    s->round_took_ns = round->ended_ns - round->begun_ns;
    s->due_ns = round->begun_ns + s->interval_ns;
    return r;
}

int64_t agent_state_stalled_ns(const struct agent_state *s, int64_t now_ns) {
    int64_t late_ns = now_ns - s->due_ns;
    int64_t allowed_ns = s->interval_ns / 2;
    if (allowed_ns < 100 * NS_PER_MS)
        allowed_ns = 100 * NS_PER_MS;
    return late_ns > allowed_ns ? late_ns : 0;
}

int agent_state_removed_since(const struct agent_state *s, uint64_t version, uint32_t *ret) {
    int n = 0;
    if (version < s->forgotten)
        return -1;
    uint32_t held = s->removed_at < AGENT_REMOVED_MAX ? s->removed_at : AGENT_REMOVED_MAX;
    for (uint32_t i = 0; i < held; i++)
        if (s->removed[i].version > version)
            ret[n++] = s->removed[i].id;
    return n;
}
