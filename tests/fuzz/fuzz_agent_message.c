// SPDX-License-Identifier: Apache-2.0
/*
 * Whatever two agents send: the input is a row of messages, each a byte (which agent; whether its
 * stream breaks before), two bytes of length and so many bytes. The table must stay sound: a GPU
 * once, values in their ranges, times not after now, everything told that is in it.
 */
#include <math.h>

#include "base/arena.h"
#include "fuzz.h"
#include "net/pb.h"
#include "source/agent_gpus.h"

enum { NOW = 1000000000 };

struct seen {
    size_t alive;
};

static void on_gpu(void *ctx, const struct agents_gpu *g, unsigned changed, void **user) {
    struct seen *s = ctx;
    if (!*user)
        s->alive++;
    *user = s;
    if (!g->uuid[0] || changed == 0 || g->reading_at_ns > NOW || (!g->owners_known && g->n_owners))
        abort();
    for (int i = 0; i < GPU_VALUE_MAX; i++) {
        double v;
        if (gpu_reading_get(g->reading, (enum gpu_value)i, &v) &&
            (!isfinite(v) || v < gpu_values[i].min || v > gpu_values[i].max))
            abort();
    }
}

static void on_removed(void *ctx, const char *node, const char *uuid, void *user) {
    struct seen *s = ctx;
    if (user != s || s->alive == 0)
        abort();
    s->alive--;
}

static void feed(struct agent_node *node, const uint8_t *p, size_t n, struct arena *arena) {
    ProtobufCMessage *m;
    struct err e = {0};
    arena_reset(arena);
    if (pb_unpack(&m, &gpuscale__v1__node_state__descriptor, p, n, arena, &e) < 0)
        return;
    if (agent_node_merge(node, (Gpuscale__V1__NodeState *)m, NOW, &e) < 0) {
        if (!e.msg[0])
            abort();
        agent_node_disconnect(node);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct agents_ops ops = {.gpu = on_gpu, .gpu_removed = on_removed};
    struct seen seen = {0};
    struct agent_gpus gpus;
    struct agent_node nodes[2];
    struct arena arena;
    arena_init(&arena, 4 << 20);
    agent_gpus_init(&gpus, &ops, &seen);
    agent_node_init(&nodes[0], &gpus);
    agent_node_init(&nodes[1], &gpus);
    while (size >= 3) {
        struct agent_node *node = &nodes[data[0] & 1];
        size_t n = (size_t)data[1] << 8 | data[2];
        if (data[0] & 2)
            agent_node_disconnect(node);
        data += 3;
        size -= 3;
        n = n < size ? n : size;
        feed(node, data, n, &arena);
        data += n;
        size -= n;
        if (seen.alive > gpus.n)
            abort();
    }
    agent_node_done(&nodes[0]);
    agent_node_done(&nodes[1]);
    if (seen.alive != 0 || gpus.n != 0)
        abort();
    agent_gpus_done(&gpus);
    arena_done(&arena);
    return 0;
}
