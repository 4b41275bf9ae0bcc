// SPDX-License-Identifier: Apache-2.0
/*
 * One agent's messages into the GPU table: a full state replaces what the node listed, later ones
 * change it; ages date the readings. What cannot be true is unknown.
 */
#include <math.h>

#include "base/clock.h"
#include "source/agent_table.h"

#define SAME_INSTANT_NS (50 * NS_PER_MS) // below every interval of an agent

void agent_node_init(struct agent_node *node, struct agent_gpus *gpus) {
    *node = (struct agent_node){.gpus = gpus, .heard_at_ns = INT64_MIN};
    vec_init(&node->entries, LIMIT_GPU_ENTITIES_PER_NODE);
}

static const char *node_name(const struct agent_node *node) {
    return node->name ? node->name : "";
}

// The node does not list the GPU any more.
static void release(struct agent_node *node, struct agent_gpu *g) {
    struct agent_gpus *gpus = node->gpus;
    if (--g->listed == 0) {
        agent_gpus_drop(gpus, g, node_name(node));
    } else if (g->owner == node) {
        g->owner = NULL;
        if (gpus->orphaned)
            gpus->orphaned(gpus->orphaned_ctx, g);
    }
}

static void tell_devices(struct agent_node *node, bool complete,
                         const struct agents_device *devices, size_t n) {
    const struct agents_ops *ops = node->gpus->ops;
    bool told = node->devices;
    node->devices = n > 0;
    if (ops->devices && (n > 0 || told))
        ops->devices(node->gpus->ctx, node_name(node), complete, devices, n);
}

void agent_node_forget(struct agent_node *node) {
    tell_devices(node, false, NULL, 0);
    while (node->entries.n > 0) {
        struct agent_gpu *g = node->entries.items[--node->entries.n].gpu;
        release(node, g);
    }
    vec_done(&node->entries);
}

void agent_node_done(struct agent_node *node) {
    node->connected = false;
    agent_node_forget(node);
    mem_free(node->name);
    mem_free(node->version);
    node->name = node->version = NULL;
}

void agent_node_disconnect(struct agent_node *node) {
    struct agent_gpus *gpus = node->gpus;
    node->connected = false;
    node->seq = 0;
    for (size_t i = 0; i < node->entries.n; i++) {
        struct agent_gpu *g = node->entries.items[i].gpu;
        if (g->owner == node && g->listed > 1 && gpus->orphaned)
            gpus->orphaned(gpus->orphaned_ctx, g);
    }
}

bool agent_node_lists(const struct agent_node *node, const struct agent_gpu *g) {
    for (size_t i = 0; i < node->entries.n; i++) {
        if (node->entries.items[i].gpu == g)
            return true;
    }
    return false;
}

// Messages name the GPUs in the same order again and again: `*hint` is where the last one was.
static struct agent_entry *entry_by_id(struct agent_node *node, uint32_t id, size_t *hint) {
    size_t n = node->entries.n;
    for (size_t i = 0; i < n; i++) {
        size_t at = *hint + i < n ? *hint + i : *hint + i - n;
        if (node->entries.items[at].id == id) {
            *hint = at + 1 < n ? at + 1 : 0;
            return &node->entries.items[at];
        }
    }
    return NULL;
}

// The node that lists a GPU last owns it: the next run of an agent, on another port or address,
// takes over from the one that is not yet known to be dead.
static void claim(struct agent_node *node, struct agent_gpu *g, unsigned *changed) {
    if (g->owner == node)
        return;
    if (g->owner && g->owner->connected)
        node->gpus->duplicates++;
    g->owner = node;
    *changed |= AGENTS_INFO | AGENTS_OWNERS | AGENTS_READING | AGENTS_LOST | AGENTS_SHARES;
}

static int name_set(char **name, const char *text) {
    if (!text || (*name && !strcmp(*name, text)))
        return 0;
    char *copy = mem_strdup(text);
    if (!copy)
        return ERR_NOMEM;
    mem_free(*name);
    *name = copy;
    return 0;
}

static void reading_from(struct agent_gpus *gpus, const Gpuscale__V1__Gpu *g,
                         struct gpu_reading *ret) {
    uint64_t valid = g->has_valid ? g->valid : 0;
    *ret = (struct gpu_reading){0};
    if ((size_t)__builtin_popcountll(valid) != g->n_values) {
        gpus->bad_values++; // which value is which cannot be told
        return;
    }
    size_t at = 0;
    for (int i = 0; i < 64 && valid >> i; i++) {
        if (!(valid >> i & 1))
            continue;
        double v = g->values[at++];
        if (i >= GPU_VALUE_MAX)
            continue; // of a newer agent
        if (!isfinite(v) || v < gpu_values[i].min || v > gpu_values[i].max)
            gpus->bad_values++;
        else
            gpu_reading_set(ret, (enum gpu_value)i, v);
    }
}

static bool reading_same(const struct gpu_reading *a, const struct gpu_reading *b) {
    if (a->valid != b->valid)
        return false;
    for (int i = 0; i < GPU_VALUE_MAX; i++) {
        if ((a->valid >> i & 1) && a->v[i] != b->v[i])
            return false;
    }
    return true;
}

// What a message says about one GPU that the node owns.
static int gpu_apply(struct agent_node *node, struct agent_entry *entry,
                     const Gpuscale__V1__Gpu *m) {
    struct agent_gpu *g = entry->gpu;
    bool changed = false;
    if (m->info) {
        if (agent_gpu_set_info(g, m->info, &changed) < 0)
            return ERR_NOMEM;
        entry->changed |= changed ? AGENTS_INFO : 0;
    }
    bool known = m->has_owners_known && m->owners_known;
    if (agent_gpu_set_owners(g, known, m->n_owners, m->owners, &changed) < 0)
        return ERR_NOMEM;
    entry->changed |= changed ? AGENTS_OWNERS : 0;
    if (agent_gpu_set_shares(g, m->has_shares_known && m->shares_known, m->n_shares, m->shares,
                             &node->gpus->bad_values, &changed) < 0)
        return ERR_NOMEM;
    entry->changed |= changed ? AGENTS_SHARES : 0;
    bool lost = m->has_lost && m->lost;
    entry->changed |= lost != g->lost ? AGENTS_LOST : 0;
    g->lost = lost;
    struct gpu_reading reading;
    reading_from(node->gpus, m, &reading);
    if (!reading_same(&reading, &g->reading))
        entry->changed |= AGENTS_READING;
    g->reading = reading;
    return 0;
}

// The record of a GPU that the node has not listed before.
static int entry_new(struct agent_node *node, const Gpuscale__V1__Gpu *m, struct agent_entry *ret) {
    struct agent_gpu *g = agent_gpus_find(node->gpus, m->info->uuid);
    unsigned changed = 0;
    if (!g) {
        g = agent_gpus_add(node->gpus, m->info);
        if (!g)
            return ERR_NOMEM;
        changed = AGENTS_NEW | AGENTS_INFO | AGENTS_OWNERS | AGENTS_READING | AGENTS_SHARES;
    }
    g->listed++;
    claim(node, g, &changed);
    *ret = (struct agent_entry){.id = m->id, .changed = changed, .gpu = g};
    return 0;
}

static void entry_remove(struct agent_node *node, struct agent_entry *entry) {
    struct agent_gpu *g = entry->gpu;
    size_t at = (size_t)(entry - node->entries.items);
    vec_remove(&node->entries, at);
    release(node, g);
}

static struct agent_entry *entry_by_uuid(struct agent_node *node, const char *uuid) {
    for (size_t i = 0; i < node->entries.n; i++) {
        if (!strcmp(node->entries.items[i].gpu->text, uuid))
            return &node->entries.items[i];
    }
    return NULL;
}

// A GPU with its info: known by its UUID, whatever id it has now.
static int gpu_named(struct agent_node *node, const Gpuscale__V1__Gpu *m, size_t *hint,
                     struct agent_entry **ret) {
    struct agent_entry *entry = entry_by_id(node, m->id, hint);
    if (entry && !strcmp(entry->gpu->text, m->info->uuid)) {
        *ret = entry;
        return 0;
    }
    if (entry)
        entry_remove(node, entry); // another GPU has its id now
    struct agent_entry *other = entry_by_uuid(node, m->info->uuid);
    if (other) {
        other->id = m->id;
        *ret = other;
        return 0;
    }
    struct agent_entry fresh;
    int r = entry_new(node, m, &fresh);
    if (r == 0 && (r = vec_push(&node->entries, fresh)) < 0)
        release(node, fresh.gpu);
    if (r == 0)
        *ret = &node->entries.items[node->entries.n - 1];
    return r;
}

static int gpus_apply(struct agent_node *node, const Gpuscale__V1__NodeState *m, bool full,
                      struct err *e) {
    size_t hint = 0;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const Gpuscale__V1__Gpu *g = m->gpus[i];
        struct agent_entry *entry = NULL;
        int r = 0;
        if (g->info)
            r = gpu_named(node, g, &hint, &entry);
        else if (!(entry = entry_by_id(node, g->id, &hint)))
            return err_set(e, ERR_PROTO,
                           "the agent's message is not one: GPU %u is unknown and"
                           " comes without its info",
                           g->id);
        if (entry && full)
            claim(node, entry->gpu, &entry->changed);
        if (entry && entry->gpu->owner == node)
            r = gpu_apply(node, entry, g);
        if (r < 0)
            return err_set(e, r,
                           r == ERR_LIMIT ? "the node lists more than %d GPUs" : "out of memory",
                           LIMIT_GPU_ENTITIES_PER_NODE);
    }
    return 0;
}

static bool in_message(const Gpuscale__V1__NodeState *m, const char *uuid) {
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpus[i]->info && !strcmp(m->gpus[i]->info->uuid, uuid))
            return true;
    }
    return false;
}

// Drops what a full message does not have. Goes first, so that ids may move between GPUs.
static void full_begin(struct agent_node *node, const Gpuscale__V1__NodeState *m) {
    for (size_t i = node->entries.n; i-- > 0;) {
        if (!in_message(m, node->entries.items[i].gpu->text))
            entry_remove(node, &node->entries.items[i]);
    }
    // Ids are of this run: until the message gives one, a GPU has none.
    for (size_t i = 0; i < node->entries.n; i++)
        node->entries.items[i].id = UINT32_MAX;
}

static void removed_apply(struct agent_node *node, const Gpuscale__V1__NodeState *m) {
    size_t hint = 0;
    for (size_t i = 0; i < m->n_removed; i++) {
        struct agent_entry *entry = entry_by_id(node, m->removed[i], &hint);
        if (entry)
            entry_remove(node, entry);
        hint = 0;
    }
}

// The age of one and the same reading, told again, gives its time again, but for the message's way
// here: not a newer reading.
static bool same_instant(int64_t at, int64_t before) {
    return before != INT64_MIN && at - before < SAME_INSTANT_NS && before - at < SAME_INSTANT_NS;
}

static void ages_apply(struct agent_node *node, const Gpuscale__V1__NodeState *m, int64_t now_ns) {
    size_t hint = 0;
    for (size_t i = 0; i < m->n_age_id; i++) {
        struct agent_entry *entry = entry_by_id(node, m->age_id[i], &hint);
        if (!entry) {
            node->gpus->bad_values++;
            continue;
        }
        if (entry->gpu->owner != node)
            continue;
        int64_t at = now_ns - (int64_t)m->age_ms[i] * NS_PER_MS;
        if (!(entry->changed & AGENTS_READING) && same_instant(at, entry->gpu->reading_at_ns))
            continue;
        entry->changed |= AGENTS_AGE;
        entry->gpu->reading_at_ns = at;
    }
}

static void tell(struct agent_node *node) {
    struct agent_gpus *gpus = node->gpus;
    for (size_t i = 0; i < node->entries.n; i++) {
        struct agent_entry *entry = &node->entries.items[i];
        struct agent_gpu *g = entry->gpu;
        unsigned changed = entry->changed;
        entry->changed = 0;
        if (changed == 0 || g->owner != node)
            continue;
        struct agents_gpu view;
        agent_gpu_view(g, &view);
        g->told = true;
        if (gpus->ops->gpu)
            gpus->ops->gpu(gpus->ctx, &view, changed, &g->user);
    }
}

static int order_check(const struct agent_node *node, const Gpuscale__V1__NodeState *m,
                       struct err *e) {
    uint64_t seq = m->has_seq ? m->seq : 0;
    bool full = m->has_full && m->full;
    if (node->seq == 0) {
        if (!full || seq != 1)
            return err_set(e, ERR_PROTO, "the agent's stream does not begin with its full state");
        return 0;
    }
    if (strcmp(node->boot_id, m->boot_id) != 0)
        return err_set(e, ERR_PROTO, "the agent's boot_id changed inside a stream");
    if (seq != node->seq + 1)
        return err_set(e, ERR_AGAIN, "message %llu came after %llu: some are missing",
                       (unsigned long long)seq, (unsigned long long)node->seq);
    return 0;
}

static int node_apply(struct agent_node *node, const Gpuscale__V1__NodeState *m, struct err *e) {
    if (name_set(&node->name, m->node) < 0 || name_set(&node->version, m->agent_version) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    node->restarted = node->boot_id[0] && strcmp(node->boot_id, m->boot_id) != 0;
    str_copy(node->boot_id, sizeof(node->boot_id), str_from(m->boot_id));
    if (m->has_interval_ms)
        node->interval_ms = m->interval_ms;
    node->driver_stalled_ms = m->has_driver_stalled_ms ? m->driver_stalled_ms : 0;
    return 0;
}

static const char *text(const char *s) {
    return s ? s : "";
}

static int devices_apply(struct agent_node *node, const Gpuscale__V1__NodeState *m, bool full,
                         struct err *e) {
    const Gpuscale__V1__Devices *d = m->devices;
    if (!d) {
        if (full) // an agent that knows none says nothing of them
            tell_devices(node, false, NULL, 0);
        return 0;
    }
    struct agents_device *devices = mem_array(d->n_holders + 1, sizeof(*devices));
    if (!devices)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < d->n_holders; i++) {
        const Gpuscale__V1__DeviceHolder *h = d->holders[i];
        devices[i] = (struct agents_device){
            text(h->driver),
            text(h->pool),
            text(h->device),
            {text(h->owner->namespace_), text(h->owner->pod), text(h->owner->container), ""}};
    }
    tell_devices(node, d->has_complete && d->complete, devices, d->n_holders);
    mem_free(devices);
    return 0;
}

int agent_node_merge(struct agent_node *node, const Gpuscale__V1__NodeState *m, int64_t now_ns,
                     struct err *e) {
    int r = agent_message_check(m, e);
    if (r == 0)
        r = order_check(node, m, e);
    if (r == 0)
        r = node_apply(node, m, e);
    if (r < 0)
        return r;
    bool full = m->has_full && m->full;
    node->heard_at_ns = now_ns;
    node->connected = true;
    if (full)
        full_begin(node, m);
    removed_apply(node, m);
    r = gpus_apply(node, m, full, e);
    if (r < 0)
        return r;
    ages_apply(node, m, now_ns);
    r = devices_apply(node, m, full, e);
    if (r < 0)
        return r;
    node->seq = m->seq;
    tell(node);
    return 0;
}
