// SPDX-License-Identifier: Apache-2.0
/* Held devices by node, GPUs by device; see the header. */
#include "scaler/claims.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/map.h"
#include "kube/kinds.h"

enum { KEY_MAX = 800 };

struct holding {
    struct agents_device device; // its strings are the node's
    const char *uuid;            // NULL: not known
};

struct claims_node {
    UT_hash_handle hh;
    struct arena memory;
    const char *name;
    struct holding *held;
    size_t n, unknown;
    bool complete;
};

struct claims_gpu {
    UT_hash_handle hh;
    char *uuid;
    char key[];
};

static int key_of(char key[KEY_MAX], const char *driver, const char *pool, const char *device) {
    int n = snprintf(key, KEY_MAX, "%s %s %s", driver, pool, device);
    return n > 0 && n < KEY_MAX ? n : ERR_LIMIT;
}

static const char *uuid_of(const struct claims_gpu *gpus, const struct agents_device *d) {
    char key[KEY_MAX];
    struct claims_gpu *g = NULL;
    int n = key_of(key, d->driver, d->pool, d->device);
    if (n > 0)
        HASH_FIND(hh, gpus, key, (size_t)n, g);
    return g ? g->uuid : NULL;
}

static void look_up(struct claims *c, struct claims_node *node) {
    c->unknown -= node->unknown;
    node->unknown = 0;
    for (size_t i = 0; i < node->n; i++) {
        node->held[i].uuid = uuid_of(c->gpus, &node->held[i].device);
        node->unknown += node->held[i].uuid == NULL;
    }
    c->unknown += node->unknown;
}

static void node_free(struct claims_node *node) {
    if (node != NULL) {
        arena_done(&node->memory);
        mem_free(node);
    }
}

static void drop(struct claims *c, struct claims_node *node) {
    HASH_DEL(c->nodes, node);
    c->devices -= node->n;
    c->unknown -= node->unknown;
    node_free(node);
}

static const char *copy(struct claims_node *node, const char *text, int *rc) {
    const char *s = arena_strdup(&node->memory, str_from(text));
    if (s == NULL)
        *rc = ERR_NOMEM;
    return s;
}

static int node_new(struct claims_node **ret, const char *name, bool complete,
                    const struct agents_device *devices, size_t n) {
    struct claims_node *node = mem_zalloc(sizeof(*node));
    int rc = 0;
    if (node == NULL)
        return ERR_NOMEM;
    arena_init(&node->memory, (size_t)LIMIT_CLAIMED_DEVICES * 2048);
    node->name = copy(node, name, &rc);
    node->complete = complete;
    node->n = n;
    node->held = arena_array(&node->memory, n, sizeof(*node->held));
    for (size_t i = 0; node->held != NULL && rc == 0 && i < n; i++) {
        const struct agents_device *d = &devices[i];
        node->held[i].device = (struct agents_device){copy(node, d->driver, &rc),
                                                      copy(node, d->pool, &rc),
                                                      copy(node, d->device, &rc),
                                                      {copy(node, d->owner.namespace_, &rc),
                                                       copy(node, d->owner.pod, &rc),
                                                       copy(node, d->owner.container, &rc), ""}};
    }
    if (rc < 0 || node->held == NULL) {
        node_free(node);
        return ERR_NOMEM;
    }
    *ret = node;
    return 0;
}

int claims_told(struct claims *c, const char *name, bool complete,
                const struct agents_device *devices, size_t n) {
    struct claims_node *old, *node = NULL;
    HASH_FIND(hh, c->nodes, name, strlen(name), old);
    if (n > 0 && node_new(&node, name, complete, devices, n) < 0)
        return ERR_NOMEM;
    if (old != NULL)
        drop(c, old);
    if (node == NULL)
        return 0;
    HASH_ADD_KEYPTR(hh, c->nodes, node->name, strlen(node->name), node);
    if (map_oom()) {
        node_free(node);
        return ERR_NOMEM;
    }
    c->devices += n;
    look_up(c, node);
    return 0;
}

static void gpus_free(struct claims_gpu **gpus) {
    struct claims_gpu *g, *next;
    HASH_ITER(hh, *gpus, g, next) {
        HASH_DEL(*gpus, g);
        mem_free(g->uuid);
        mem_free(g);
    }
}

// A pool's slices of an older generation are what it was.
static bool is_newest(const struct kube_reflector *slices, const struct kube_resource_slice *s) {
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(slices, o)) != NULL;) {
        const struct kube_resource_slice *other = (const void *)o;
        if (other->pool_generation > s->pool_generation && strcmp(other->pool, s->pool) == 0 &&
            strcmp(other->driver, s->driver) == 0)
            return false;
    }
    return true;
}

static int add_device(struct claims_gpu **gpus, const struct kube_resource_slice *s,
                      const struct kube_device *d) {
    char key[KEY_MAX];
    struct claims_gpu *g;
    int n = key_of(key, s->driver, s->pool, d->name);
    if (n < 0 || *d->uuid == '\0')
        return 0; // not to be told apart
    HASH_FIND(hh, *gpus, key, (size_t)n, g);
    if (g != NULL)
        return 0;
    g = mem_zalloc(sizeof(*g) + (size_t)n + 1);
    if (g == NULL)
        return ERR_NOMEM;
    memcpy(g->key, key, (size_t)n + 1);
    g->uuid = mem_strdup(d->uuid);
    if (g->uuid != NULL)
        HASH_ADD_KEYPTR(hh, *gpus, g->key, (size_t)n, g);
    if (g->uuid == NULL || map_oom()) {
        mem_free(g->uuid);
        mem_free(g);
        return ERR_NOMEM;
    }
    return 0;
}

int claims_resolve(struct claims *c, const struct kube_reflector *slices) {
    struct claims_gpu *fresh = NULL;
    for (const struct kube_object *o = NULL; (o = kube_reflector_next(slices, o)) != NULL;) {
        const struct kube_resource_slice *s = (const void *)o;
        int rc = 0;
        bool newest = is_newest(slices, s);
        for (size_t i = 0; rc == 0 && newest && i < s->n_devices; i++)
            rc = add_device(&fresh, s, &s->devices[i]);
        if (rc < 0) {
            gpus_free(&fresh);
            return rc;
        }
    }
    gpus_free(&c->gpus);
    c->gpus = fresh;
    c->stale = false;
    for (struct claims_node *node = c->nodes; node != NULL; node = node->hh.next)
        look_up(c, node);
    return 0;
}

void claims_done(struct claims *c) {
    struct claims_node *node, *next;
    HASH_ITER(hh, c->nodes, node, next)
    drop(c, node);
    gpus_free(&c->gpus);
}

struct agents_gpu claims_join(const struct claims *c, const struct agents_gpu *gpu,
                              struct agents_owner owners[CLAIMS_OWNERS_MAX]) {
    struct agents_gpu joined = *gpu;
    struct claims_node *node = NULL;
    if (c->nodes != NULL)
        HASH_FIND(hh, c->nodes, gpu->node, strlen(gpu->node), node);
    if (node == NULL)
        return joined;
    size_t n = 0, claimed = 0;
    for (size_t i = 0; i < gpu->n_owners && n < CLAIMS_OWNERS_MAX; i++)
        owners[n++] = gpu->owners[i];
    for (size_t i = 0; i < node->n && n < CLAIMS_OWNERS_MAX; i++)
        if (node->held[i].uuid != NULL && strcmp(node->held[i].uuid, gpu->uuid) == 0) {
            owners[n++] = node->held[i].device.owner;
            claimed++;
        }
    joined.owners = owners;
    joined.n_owners = n;
    // A device that is not known may be this GPU: then another may hold it, too.
    joined.owners_known = gpu->owners_known || claimed > 0 ||
                          (node->complete && node->unknown == 0);
    return joined;
}
