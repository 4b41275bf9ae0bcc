// SPDX-License-Identifier: Apache-2.0
/* Metadata -> trigger, with the scaler's own presets and demand sources. */
#include "scaler/bind.h"

#include <assert.h>

#include "base/buf.h"

static uint32_t linear_signals(const struct engine_preset *p) {
    uint32_t bits = 0;
    if (p->linear & ENGINE_LINEAR_GPU_UTILIZATION)
        bits |= 1u << SIGNAL_GPU_UTILIZATION;
    if (p->linear & ENGINE_LINEAR_SM_ACTIVITY)
        bits |= 1u << SIGNAL_SM_ACTIVITY;
    return bits;
}

void binder_init(struct binder *b, const char *const *demand_names,
                 const uint32_t *demand_provides) {
    assert(engine_presets_n <= BINDER_PRESETS_MAX);
    b->demand = demand_names;
    b->demand_provides = demand_provides;
    b->n_presets = engine_presets_n;
    for (unsigned i = 0; i < engine_presets_n; i++) {
        const struct engine_preset *p = engine_presets[i];
        b->presets[i] = (struct trigger_preset){
            .name = p->name,
            .continuous_batching = p->continuous_batching,
            .linear = linear_signals(p),
            .provides = engine_preset_provides(p),
        };
    }
}

static uint32_t engine_provides(const struct binder *b, const struct trigger *t) {
    for (size_t i = 0; i < b->n_presets; i++)
        if (strcmp(b->presets[i].name, t->engine) == 0)
            return b->presets[i].provides;
    return 0;
}

// A trigger names a demand source, never a URL: it must be one of the scaler's.
static int check_demand(const struct binder *b, struct trigger *t, struct err *e) {
    if (t->demand == NULL)
        return 0;
    CLEANUP_BUF struct buf names;
    buf_init(&names, 300);
    for (size_t i = 0; b->demand[i] != NULL; i++) {
        if (strcmp(b->demand[i], t->demand) == 0)
            return trigger_fit_demand(t, b->demand_provides[i], engine_provides(b, t), e);
        (void)buf_addf(&names, "%s%s", i > 0 ? ", " : "", b->demand[i]);
    }
    if (names.len == 0)
        return err_set(e, ERR_INVALID,
                       "demand \"%s\": the scaler's configuration has no demand sources (demand:)",
                       t->demand);
    return err_set(e, ERR_INVALID,
                   "demand \"%s\": the scaler's configuration has no demand source of this name; "
                   "there are: " STR_FMT,
                   t->demand, STR_ARG(buf_str(&names)));
}

static int check_queries(const struct trigger *t, struct err *e) {
    if (t->query_n == 0)
        return 0;
    return err_set(e, ERR_INVALID,
                   "%s: \"%s\": the scaler's configuration has no Prometheus servers (prometheus:)",
                   t->queries[0].name, t->queries[0].server);
}

int binder_bind(const struct binder *b, const struct object_ref *r, struct trigger **ret,
                struct err *e) {
    struct trigger_kv kv[LIMIT_METADATA_KEYS];
    for (size_t i = 0; i < r->n_pairs; i++)
        kv[i] = (struct trigger_kv){r->pairs[i].key, r->pairs[i].value};
    struct trigger *t = NULL;
    int rc = trigger_bind(&t, kv, r->n_pairs, b->presets, b->n_presets, e);
    if (rc == 0)
        rc = check_demand(b, t, e);
    if (rc == 0)
        rc = check_queries(t, e);
    if (rc < 0) {
        trigger_free(t);
        (void)err_wrap(e, "ScaledObject " STR_FMT "/" STR_FMT, STR_ARG(r->namespace_),
                       STR_ARG(r->name));
        return rc;
    }
    *ret = t;
    return 0;
}
