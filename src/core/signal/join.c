// SPDX-License-Identifier: Apache-2.0
/*
 * GPUs and the pods that hold them. A pod's entry exists while a GPU or a workload refers to it; it
 * points at its GPUs, so that a tick reads them without a look-up.
 */
#include "core/signal/join.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

struct signal_pod_gpus {
    UT_hash_handle hh;
    char *key;             // "namespace/pod": neither holds a slash
    uint32_t refs;         // gets and GPUs
    char uid[POD_UID_MAX]; // "": not known
    struct VEC(struct signal_gpu *) gpus;
};

struct signal_gpu {
    struct gpu_reading reading;
    int64_t at_ns;
    bool owners_known;
    bool lost;
    struct VEC(struct signal_pod_gpus *) owners; // distinct pods, each counted
    bool shares_known;
    struct VEC(struct gpu_share) shares; // by pod
};

struct signal_join {
    struct signal_pod_gpus *pods;
};

int signal_join_new(struct signal_join **ret) {
    struct signal_join *j = mem_zalloc(sizeof(*j));
    if (!j)
        return ERR_NOMEM;
    *ret = j;
    return 0;
}

struct signal_join *signal_join_free(struct signal_join *j) {
    mem_free(j);
    return NULL;
}

static void write_key(char *key, struct str namespace_, struct str pod) {
    memcpy(key, namespace_.p, namespace_.n);
    key[namespace_.n] = '/';
    memcpy(key + namespace_.n + 1, pod.p, pod.n);
    key[namespace_.n + 1 + pod.n] = '\0';
}

static char *pod_key(struct str namespace_, struct str pod) {
    char *key = mem_alloc(namespace_.n + pod.n + 2);
    if (key)
        write_key(key, namespace_, pod);
    return key;
}

const struct signal_pod_gpus *signal_join_pod_find(const struct signal_join *j,
                                                   struct str namespace_, struct str pod) {
    char key[2 * KUBE_NAME_MAX];
    struct signal_pod_gpus *p = NULL;
    size_t n = namespace_.n + 1 + pod.n;
    if (n >= sizeof(key))
        return NULL;
    write_key(key, namespace_, pod);
    HASH_FIND(hh, j->pods, key, n, p);
    return p;
}

int signal_join_pod_get(struct signal_join *j, struct str namespace_, struct str pod,
                        struct signal_pod_gpus **ret) {
    CLEANUP_FREE char *key = pod_key(namespace_, pod);
    if (!key)
        return ERR_NOMEM;
    size_t key_n = namespace_.n + 1 + pod.n;
    struct signal_pod_gpus *p;
    HASH_FIND(hh, j->pods, key, key_n, p);
    if (!p) {
        p = mem_zalloc(sizeof(*p));
        if (!p)
            return ERR_NOMEM;
        vec_init(&p->gpus, LIMIT_GPU_ENTITIES_PER_NODE);
        p->key = TAKE_PTR(key);
        HASH_ADD_KEYPTR(hh, j->pods, p->key, key_n, p);
        if (map_oom()) {
            mem_free(p->key);
            mem_free(p);
            return ERR_NOMEM;
        }
    }
    p->refs++;
    *ret = p;
    return 0;
}

void signal_join_pod_release(struct signal_join *j, struct signal_pod_gpus *p) {
    if (!p || --p->refs > 0)
        return;
    HASH_DEL(j->pods, p);
    vec_done(&p->gpus);
    mem_free(p->key);
    mem_free(p);
}

int signal_gpu_new(struct signal_join *j, struct signal_gpu **ret) {
    (void)j;
    struct signal_gpu *g = mem_zalloc(sizeof(*g));
    if (!g)
        return ERR_NOMEM;
    vec_init(&g->owners, LIMIT_OWNERS_PER_GPU);
    vec_init(&g->shares, LIMIT_OWNERS_PER_GPU);
    g->at_ns = INT64_MIN;
    *ret = g;
    return 0;
}

static void forget_gpu(struct signal_pod_gpus *p, const struct signal_gpu *g) {
    for (size_t i = 0; i < p->gpus.n; i++)
        if (p->gpus.items[i] == g) {
            vec_remove(&p->gpus, i);
            return;
        }
}

static void detach(struct signal_join *j, struct signal_gpu *g, size_t from) {
    while (g->owners.n > from) {
        struct signal_pod_gpus *p = g->owners.items[--g->owners.n];
        forget_gpu(p, g);
        signal_join_pod_release(j, p);
    }
}

struct signal_gpu *signal_gpu_free(struct signal_join *j, struct signal_gpu *g) {
    if (!g)
        return NULL;
    detach(j, g, 0);
    vec_done(&g->owners);
    vec_done(&g->shares);
    mem_free(g);
    return NULL;
}

static bool holds(const struct signal_gpu *g, const struct signal_pod_gpus *p, size_t from) {
    for (size_t i = from; i < g->owners.n; i++)
        if (g->owners.items[i] == p)
            return true;
    return false;
}

// Adds the pod behind the owners that are there already; those before `from` are about to go.
static int attach(struct signal_join *j, struct signal_gpu *g, const struct signal_owner *o,
                  size_t from) {
    struct signal_pod_gpus *p;
    int r = signal_join_pod_get(j, o->namespace_, o->pod, &p);
    if (r)
        return r;
    if (holds(g, p, from)) {
        signal_join_pod_release(j, p);
        return 0;
    }
    r = vec_push(&g->owners, p);
    if (r == 0) {
        r = vec_push(&p->gpus, g);
        if (r)
            g->owners.n--;
    }
    if (r)
        signal_join_pod_release(j, p);
    return r;
}

int signal_gpu_set_owners(struct signal_join *j, struct signal_gpu *g, bool known,
                          const struct signal_owner *owners, size_t n) {
    g->owners_known = false; // until the new ones are all in place
    if (!known)
        return 0;
    if (n > LIMIT_OWNERS_PER_GPU)
        return ERR_LIMIT;
    size_t before = g->owners.n;
    g->owners.max = before + LIMIT_OWNERS_PER_GPU;
    for (size_t i = 0; i < n; i++) {
        int r = attach(j, g, &owners[i], before);
        if (r) {
            detach(j, g, before);
            return r;
        }
    }
    // The new owners stand behind the old ones: release the old, close the gap.
    for (size_t i = 0; i < before; i++) {
        struct signal_pod_gpus *p = g->owners.items[i];
        forget_gpu(p, g); // its first place: the old one
        signal_join_pod_release(j, p);
    }
    g->owners.n -= before;
    if (before > 0)
        memmove(g->owners.items, g->owners.items + before,
                g->owners.n * sizeof(g->owners.items[0]));
    g->owners_known = true;
    return 0;
}

void signal_gpu_set_reading(struct signal_gpu *g, const struct gpu_reading *r, int64_t at_ns,
                            bool lost) {
    g->lost = lost;
    if (at_ns < g->at_ns)
        return;
    g->reading = *r;
    g->at_ns = at_ns;
}

int signal_gpu_set_shares(struct signal_gpu *g, bool known, const struct gpu_share *shares,
                          size_t n) {
    g->shares_known = known;
    g->shares.n = 0;
    for (size_t i = 0; known && i < n; i++) {
        int r = vec_push(&g->shares, shares[i]);
        if (r) {
            g->shares_known = false;
            return r;
        }
    }
    return 0;
}

void signal_join_pod_set_uid(struct signal_pod_gpus *p, struct str uid) {
    if (p)
        (void)str_copy(p->uid, sizeof(p->uid), uid); // "" when it does not fit
}

// All of the GPU's memory, and what of it is used.
static bool memory_bytes(const struct gpu_reading *r, double *ret_used, double *ret_all) {
    double used, free_, reserved = 0;
    if (!gpu_reading_get(r, GPU_MEMORY_USED_BYTES, &used) ||
        !gpu_reading_get(r, GPU_MEMORY_FREE_BYTES, &free_))
        return false;
    gpu_reading_get(r, GPU_MEMORY_RESERVED_BYTES, &reserved);
    *ret_used = used;
    *ret_all = used + free_ + reserved;
    return *ret_all > 0;
}

static bool memory_pct(const struct gpu_reading *r, double *ret) {
    double used, all;
    if (!memory_bytes(r, &used, &all))
        return false;
    *ret = 100 * used / all;
    return true;
}

static bool ratio_pct(const struct gpu_reading *r, enum gpu_value v, double *ret) {
    double ratio;
    if (!gpu_reading_get(r, v, &ratio))
        return false;
    *ret = 100 * ratio;
    return true;
}

bool signal_of_reading(const struct gpu_reading *r, enum signal s, double *ret) {
    switch (s) {
    case SIGNAL_GPU_UTILIZATION:
        return gpu_reading_get(r, GPU_UTILIZATION_PCT, ret) ||
               ratio_pct(r, GPU_GR_ENGINE_ACTIVE_RATIO, ret);
    case SIGNAL_SM_ACTIVITY:
        return ratio_pct(r, GPU_SM_ACTIVE_RATIO, ret);
    case SIGNAL_TENSOR_ACTIVITY:
        return ratio_pct(r, GPU_TENSOR_ACTIVE_RATIO, ret);
    case SIGNAL_GPU_MEMORY:
        return memory_pct(r, ret);
    case SIGNAL_POWER:
        return gpu_reading_get(r, GPU_POWER_W, ret);
    default:
        return false;
    }
}

// --- a pod's part of a GPU that several hold

// In the signal's unit.
static bool share_value(const struct gpu_share *share, enum signal s, double all_bytes,
                        double *ret) {
    if (s == SIGNAL_GPU_UTILIZATION) {
        *ret = share->utilization_pct;
        return share->has_utilization;
    }
    *ret = 100 * share->memory_bytes / all_bytes;
    return share->has_memory;
}

// The GPU's own value, which its processes' values add up to; of memory also how much there is.
static bool whole_value(const struct gpu_reading *r, enum signal s, double *ret,
                        double *ret_all_bytes) {
    double used;
    if (s == SIGNAL_GPU_MEMORY && !memory_bytes(r, &used, ret_all_bytes))
        return false;
    return signal_of_reading(r, s, ret);
}

const char *signal_part_gap_name(uint32_t gap) {
    return gap == PART_NOT_TOLD ? "notTold" : gap == PART_NO_UID ? "noUid" : "notSplit";
}

bool signal_gpu_is_shared(const struct signal_gpu *g) {
    return g->owners_known && g->owners.n > 1;
}

int signal_join_part(const struct signal_gpu *g, const struct signal_pod_gpus *p, enum signal s,
                     struct signal_part *ret) {
    if (s != SIGNAL_GPU_UTILIZATION && s != SIGNAL_GPU_MEMORY)
        return PART_NOT_SPLIT;
    if (!g->shares_known)
        return PART_NOT_TOLD;
    if (p->uid[0] == '\0')
        return PART_NO_UID;
    double whole = 0, all_bytes = 0, own = 0, pods = 0, all = 0, v = 0;
    bool seen = false, strangers = false; // processes of the pod; some of no known pod, at work
    if (!whole_value(&g->reading, s, &whole, &all_bytes))
        return -1;
    for (size_t i = 0; i < g->shares.n; i++) {
        const struct gpu_share *share = &g->shares.items[i];
        bool mine = strcmp(share->pod_uid, p->uid) == 0;
        bool told = share_value(share, s, all_bytes, &v);
        seen |= mine;
        strangers |= share->pod_uid[0] == '\0' && (!told || v > 0);
        if (!told) {
            if (mine)
                return PART_NOT_SPLIT;
            continue; // it hides in what is not explained
        }
        own += mine ? v : 0;
        pods += share->pod_uid[0] != '\0' ? v : 0;
        all += v;
    }
    if (!seen && strangers && whole > 0) // they may be its own: 0 is not known of it
        return PART_NOT_TOLD;
    double scale = all > whole ? whole / all : 1;
    double unexplained = whole - pods * scale;
    ret->lower = own * scale;
    ret->upper = ret->lower + (unexplained > 0 ? unexplained : 0);
    return 0;
}

static void take_level(struct signal_level *l, int64_t at_ns, double lower, double upper) {
    l->sum += lower;
    l->hidden += upper - lower;
    if (l->known++ == 0 || at_ns < l->oldest_ns)
        l->oldest_ns = at_ns;
    if (at_ns > l->newest_ns)
        l->newest_ns = at_ns;
}

static void take_part(struct signal_level *l, const struct signal_gpu *g,
                      const struct signal_pod_gpus *p, enum signal s, bool fresh) {
    struct signal_part part;
    int gap = signal_join_part(g, p, s, &part);
    if (gap > 0) {
        l->shared++;
        l->gaps |= (uint32_t)gap;
    } else if (gap == 0 && fresh) {
        l->parts++;
        take_level(l, g->at_ns, part.lower, part.upper);
    }
}

void signal_join_pod_level(const struct signal_pod_gpus *p, enum signal s, int64_t now_ns,
                           int64_t max_age_ns, struct signal_level *ret) {
    *ret = (struct signal_level){.oldest_ns = INT64_MIN, .newest_ns = INT64_MIN};
    if (!p)
        return;
    for (size_t i = 0; i < p->gpus.n; i++) {
        const struct signal_gpu *g = p->gpus.items[i];
        double v;
        bool fresh = g->owners_known && !g->lost && g->at_ns >= now_ns - max_age_ns;
        ret->gpus++;
        if (signal_gpu_is_shared(g))
            take_part(ret, g, p, s, fresh);
        else if (fresh && signal_of_reading(&g->reading, s, &v))
            take_level(ret, g->at_ns, v, v);
    }
}
