// SPDX-License-Identifier: Apache-2.0
/*
 * Trigger metadata: lines of KEY=VALUE, any bytes. What binds has a capacity signal and decides for
 * an empty workload; what does not has a message of one line; the canonical form knows no order.
 */
#include "base/mem.h"
#include "core/policy/decide.h"
#include "core/signal/sample.h"
#include "fuzz.h"

static const struct trigger_preset presets[] = {
    {.name = "custom",
     .linear = 1u << SIGNAL_GPU_UTILIZATION | 1u << SIGNAL_SM_ACTIVITY,
     .provides = 1u << ENGINE_QUEUE | 1u << ENGINE_REQUESTS_TOTAL},
    {.name = "vllm", .continuous_batching = true, .provides = (1u << ENGINE_VALUE_MAX) - 1},
};

static size_t split(const uint8_t *data, size_t size, struct trigger_kv *kv, size_t max) {
    struct str rest = {(const char *)data, size};
    size_t n = 0;
    while (rest.n > 0 && n < max) {
        struct str line = str_cut(&rest, '\n');
        kv[n].key = str_cut(&line, '=');
        kv[n++].value = line;
    }
    return n;
}

static void decide(const struct trigger *t) {
    struct signal_engine engine = {.provides = presets[1].provides};
    struct signal_workload *w = NULL;
    struct decider *d = NULL;
    struct record r;
    struct buf b;
    if (signal_workload_new(&w, STR("n"), NULL, &engine) || decider_new(&d, t))
        abort();
    buf_init(&b, 1 << 16);
    for (int64_t now = 1; now < 4; now++) {
        struct decide_input in = {now * 10000000000, now, (int32_t)now - 1, (int32_t)now - 1};
        decider_tick(d, w, &in, &r);
        if (r.desired < 0 || r.desired > LIMIT_REPLICAS || record_json(&b, &r))
            abort();
        buf_clear(&b);
    }
    buf_done(&b);
    decider_free(d);
    signal_workload_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trigger_kv kv[LIMIT_METADATA_KEYS + 8], swapped;
    size_t n = split(data, size, kv, COUNT_OF(kv));
    struct trigger *t = NULL;
    struct err e = {0};
    struct buf a, b;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    int r = trigger_bind(&t, kv, n, presets, COUNT_OF(presets), &e);
    require((r == 0) == (t != NULL));
    if (r < 0)
        require_message(&e);
    if (t)
        decide(t);
    trigger_free(t);
    int first = trigger_canonical(&a, kv, n);
    if (n > 1) {
        swapped = kv[0];
        kv[0] = kv[n - 1];
        kv[n - 1] = swapped;
    }
    if (first != trigger_canonical(&b, kv, n) || !str_eq(buf_str(&a), buf_str(&b)))
        abort();
    buf_done(&a);
    buf_done(&b);
    return 0;
}
