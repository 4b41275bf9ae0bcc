// SPDX-License-Identifier: Apache-2.0
/*
 * Whatever a scaler that leads says of an object: what is taken is one that a leader may say (a
 * value, a window that falls and lies in the past), and reads back the same when it is told on.
 */
#include "base/arena.h"
#include "fuzz.h"
#include "net/pb.h"
#include "scaler/decision.h"

enum { NOW = 1000000000 };

static void check(const struct decision *d) {
    const struct decider_memory *m = &d->memory;
    if (d->object.name.n == 0 || d->object.n_pairs > LIMIT_METADATA_KEYS ||
        !(d->answer.value >= 0 && d->answer.value <= LIMIT_REPLICAS) || m->n > DECIDER_MEMORY_MAX)
        abort();
    for (uint32_t i = 0; i < m->n; i++)
        if (m->window[i].at_ns > NOW || m->window[i].want < 0 ||
            (i > 0 && (m->window[i].want >= m->window[i - 1].want ||
                       m->window[i].at_ns < m->window[i - 1].at_ns)))
            abort();
}

static void tell_on(const struct decision *d, struct arena *arena) {
    CLEANUP_BUF struct buf b;
    struct decision again;
    ProtobufCMessage *m;
    struct err e = {0};
    buf_init(&b, 1 << 20);
    if (decision_pack(&b, d) < 0 ||
        pb_unpack(&m, &gpuscale__v1__decision__descriptor, (uint8_t *)b.p, b.len, arena, &e) < 0)
        return; // larger than a message may be
    if (decision_unpack(&again, (Gpuscale__V1__Decision *)m, 0, NOW, &e) < 0 ||
        again.memory.n != d->memory.n || again.memory.sequence != d->memory.sequence ||
        !str_eq(again.object.name, d->object.name) || again.answer.status != d->answer.status)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena;
    struct decision d;
    struct err e = {0};
    ProtobufCMessage *m;
    arena_init(&arena, 4 << 20);
    if (pb_unpack(&m, &gpuscale__v1__decision__descriptor, data, size, &arena, &e) == 0) {
        if (decision_unpack(&d, (Gpuscale__V1__Decision *)m, 0, NOW, &e) == 0) {
            check(&d);
            tell_on(&d, &arena);
        } else if (e.msg[0] == '\0') {
            abort();
        }
    }
    arena_done(&arena);
    return 0;
}
