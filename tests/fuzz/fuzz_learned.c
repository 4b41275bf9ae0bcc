// SPDX-License-Identifier: Apache-2.0
/*
 * Whatever a scaler that leads says that it has learned: what is taken can be gone on with by a
 * decider (its numbers stay numbers) and reads back the same when it is told on.
 */
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/signal/join.h"
#include "core/signal/work.h"
#include "fuzz.h"
#include "scaler/learned.h"

enum { NOW = 1000000000 };

static void tell_on(const struct learned *x, int64_t now_ns) {
    CLEANUP_BUF struct buf a, b;
    struct learned again;
    struct err e = {0};
    buf_init(&a, LIMIT_LEARNED_BYTES);
    buf_init(&b, LIMIT_LEARNED_BYTES);
    if (learned_pack(&a, x) < 0)
        abort();
    if (learned_unpack(&again, buf_str(&a), 0, now_ns, &e) < 0 || learned_pack(&b, &again) < 0 ||
        !str_eq(buf_str(&a), buf_str(&b)))
        abort();
}

static void go_on(const struct learned *x) {
    static const struct trigger_preset preset = {
        .name = "custom", .linear = 1u << SIGNAL_GPU_UTILIZATION, .provides = ~0u};
    static const struct trigger_kv kv[] = {{STR("queue"), STR("10")},
                                           {STR("gpuUtilization"), STR("55")},
                                           {STR("burstMemory"), STR("60s")}};
    static const struct signal_engine engine = {.provides = ~0u};
    struct trigger *t;
    struct decider *d;
    struct signal_join *join;
    struct signal_gpu *gpu;
    struct signal_workload *w;
    struct signal_work work;
    const struct signal_pod pod = {STR("pod-0"), POD_READY, SIGNAL_TIME_UNKNOWN};
    const struct signal_owner owner = {STR("prod"), STR("pod-0")};
    struct record r;
    struct err e = {0};
    if (trigger_bind(&t, kv, COUNT_OF(kv), &preset, 1, &e) < 0 || decider_new(&d, t) < 0 ||
        signal_join_new(&join) < 0 || signal_workload_new(&w, STR("prod"), join, &engine) < 0 ||
        signal_workload_set_pods(w, &pod, 1, NOW) < 0 || signal_gpu_new(join, &gpu) < 0 ||
        signal_gpu_set_owners(join, gpu, true, &owner, 1) < 0)
        abort();
    decider_seed(d, 3, 1, NOW);
    decider_learned_take(d, &x->decider, NOW);
    (void)signal_learned_take(w, &x->signals);
    struct decide_input in = {.now_ns = NOW, .spec = 3, .status = 3};
    for (int i = 0; i < 45; i++) { // longer than a mean's ring
        struct gpu_reading reading = {0};
        gpu_reading_set(&reading, GPU_UTILIZATION_PCT, 40);
        signal_gpu_set_reading(gpu, &reading, in.now_ns, false);
        decider_tick(d, w, &in, &r);
        in.now_ns += 3 * NS_PER_S;
    }
    struct learned *later = mem_zalloc(sizeof(*later));
    signal_learned_of(w, &later->signals);
    decider_learned_of(d, in.now_ns, &later->decider);
    tell_on(later, in.now_ns);
    mem_free(later);
    signal_work(w, NOW, &work);
    if (r.desired < 0 || r.desired > LIMIT_REPLICAS || isnan(r.capacity.rho) ||
        isnan(work.per_request) || isnan(work.weight))
        abort();
    signal_gpu_free(join, gpu);
    signal_workload_free(w);
    signal_join_free(join);
    decider_free(d);
    trigger_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct learned x;
    struct err e = {0};
    if (learned_unpack(&x, (struct str){(const char *)data, size}, 0, NOW, &e) == 0) {
        tell_on(&x, NOW);
        go_on(&x);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    return 0;
}
