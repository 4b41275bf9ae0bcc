// SPDX-License-Identifier: Apache-2.0
/* Pods and their GPUs; see roster.h. */
#include "playground/roster.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void roster_init(struct roster *r, const char *prefix, int gpus) {
    *r = (struct roster){.prefix = prefix, .gpus = gpus};
}

int roster_count(const struct roster *r, enum roster_state state) {
    int n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->pods[i].state == state;
    return n;
}

const struct roster_pod *roster_on_gpu(const struct roster *r, int gpu) {
    for (size_t i = 0; i < r->n; i++) {
        if (r->pods[i].gpu == gpu)
            return &r->pods[i];
    }
    return NULL;
}

struct roster_pod *roster_find(struct roster *r, const void *user) {
    for (size_t i = 0; i < r->n; i++) {
        if (r->pods[i].user == user)
            return &r->pods[i];
    }
    return NULL;
}

static int active(const struct roster *r) {
    return (int)r->n - roster_count(r, ROSTER_TERMINATING);
}

static void drop(struct roster *r, struct roster_pod *p) {
    size_t i = (size_t)(p - r->pods);
    memmove(p, p + 1, (r->n - i - 1) * sizeof(*p));
    r->n--;
}

static void add(struct roster *r, int64_t now_ns) {
    if (r->n == ROSTER_PODS_MAX) // all others are about to end: as soon as one has
        return;
    struct roster_pod *p = &r->pods[r->n++];
    *p = (struct roster_pod){.state = ROSTER_PENDING, .gpu = -1, .created_ns = now_ns};
    (void)snprintf(p->name, sizeof(p->name), "%.40s-%u", r->prefix, ++r->serial);
}

// The pod to end first: the state furthest from serving, of these the youngest.
static struct roster_pod *surplus(struct roster *r) {
    struct roster_pod *best = NULL;
    for (size_t i = 0; i < r->n; i++) {
        struct roster_pod *p = &r->pods[i];
        if (p->state == ROSTER_TERMINATING)
            continue;
        if (!best || p->state < best->state ||
            (p->state == best->state &&
             (p->state != ROSTER_READY || p->ready_ns >= best->ready_ns)))
            best = p;
    }
    return best;
}

static void settle(struct roster *r, int64_t now_ns) {
    while (active(r) > r->spec) {
        struct roster_pod *p = surplus(r);
        if (p->state == ROSTER_PENDING)
            drop(r, p);
        else
            p->state = ROSTER_TERMINATING;
    }
    for (int missing = r->spec - active(r); missing > 0; missing--)
        add(r, now_ns);
    for (size_t i = 0; i < r->n; i++) {
        struct roster_pod *p = &r->pods[i];
        for (int gpu = 0; gpu < r->gpus && p->state == ROSTER_PENDING; gpu++) {
            if (roster_on_gpu(r, gpu))
                continue;
            p->gpu = gpu;
            p->gpu_since_ns = now_ns;
            p->state = ROSTER_STARTING;
        }
    }
}

void roster_scale(struct roster *r, int replicas, int64_t now_ns) {
    assert(replicas >= 0 && replicas <= LIMIT_PLAYGROUND_REPLICAS);
    r->spec = replicas;
    settle(r, now_ns);
}

void roster_ready(struct roster *r, struct roster_pod *p, int64_t now_ns) {
    (void)r;
    if (p->state != ROSTER_STARTING)
        return;
    p->state = ROSTER_READY;
    p->ready_ns = now_ns;
}

void roster_gone(struct roster *r, struct roster_pod *p, int64_t now_ns) {
    if (p->gpu >= 0)
        r->held_ns += now_ns - p->gpu_since_ns;
    drop(r, p);
    settle(r, now_ns);
}

int64_t roster_held_ns(const struct roster *r, int64_t now_ns) {
    int64_t held_ns = r->held_ns;
    for (size_t i = 0; i < r->n; i++) {
        if (r->pods[i].gpu >= 0)
            held_ns += now_ns - r->pods[i].gpu_since_ns;
    }
    return held_ns;
}
