// SPDX-License-Identifier: Apache-2.0
/*
 * What KEDA does with the scalers' answers: fallback (pkg/fallback), the composite metric
 * (pkg/scaling/modifiers), the answer to the HPA and the loop's verdict (pkg/scaling/scale_handler,
 * pkg/scaling/executor), of v2.21.0; see keda.h.
 */
#include <math.h>
#include <stdio.h>

#include "core/hpa/keda.h"

// A Go conversion on amd64: what does not fit is the smallest integer.
static int64_t go_int64(double x) {
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

static double from_milli(int64_t milli) {
    return (double)milli * 1e-3; // Quantity.AsApproximateFloat64
}

static bool fallback_works(const struct keda_object *o) {
    const struct keda_fallback *f = &o->fallback;
    if (!f->set || f->failure_threshold < 0 || f->replicas < 0)
        return false;
    long long whole; // HasValidFallback reads the target as an integer: "0.8" turns fallback off
    return !o->modifiers.formula || (str_to_i64(o->modifiers.target, &whole) == 0 && whole > 0);
}

static double modifiers_target(const struct keda_object *o) {
    double x = 0;
    str_to_double(o->modifiers.target, &x);
    return x;
}

static int32_t fallback_replicas(const struct keda_fallback *f, int32_t current) {
    switch (f->behavior) {
    case KEDA_FALLBACK_CURRENT:
        return current;
    case KEDA_FALLBACK_CURRENT_IF_HIGHER:
        return current > f->replicas ? current : f->replicas;
    case KEDA_FALLBACK_CURRENT_IF_LOWER:
        return current < f->replicas ? current : f->replicas;
    case KEDA_FALLBACK_STATIC:
    case KEDA_FALLBACK_MODIFIERS:
        break;
    }
    return f->replicas;
}

// The value that makes the HPA's division come out at the wanted replicas.
static bool fallback_value(const struct keda_object *o, size_t i, const struct keda_target *target,
                           int64_t *ret_milli) {
    const struct keda_trigger *t = &o->triggers[i];
    bool composite = o->modifiers.formula != NULL;
    double replicas = fallback_replicas(&o->fallback, target->replicas);
    if ((composite ? o->modifiers.type : t->type) == KEDA_VALUE) {
        if (target->ready == 0)
            return false;
        replicas /= target->ready;
    }
    double each = composite ? modifiers_target(o) : from_milli(t->target_milli);
    *ret_milli = go_int64(each * 1000 * replicas);
    return true;
}

static struct keda_record observe(const struct keda_object *o, struct keda_state *s, size_t i,
                                  struct keda_record raw, const struct keda_target *target) {
    struct keda_record r = {.stored = true, .active = raw.active};
    bool works = fallback_works(o);
    if (!raw.failed) {
        if (works)
            s->failures[i] = 0;
        r.empty = raw.empty;
        r.milli = raw.milli;
        r.nameless = o->modifiers.formula && raw.from_fallback;
        return r;
    }
    r.failed = true;
    if (!works)
        return r;
    if (s->failures[i] < INT32_MAX)
        s->failures[i]++;
    if (s->failures[i] <= o->fallback.failure_threshold)
        return r;
    if (o->fallback.behavior == KEDA_FALLBACK_MODIFIERS) {
        r.failed = false;
        r.milli = -1000; // a placeholder: the formula sees nil
    } else if (fallback_value(o, i, target, &r.milli)) {
        r.failed = false;
        r.from_fallback = true;
    }
    return r;
}

static struct keda_record raw_of(const struct keda_sample *sample) {
    return (struct keda_record){.failed = sample->failed,
                                .active = sample->active && !sample->failed,
                                .empty = sample->empty,
                                .milli = keda_quantity_milli(sample->value)};
}

// What one round of asking came to.
struct round {
    bool failed; // of any trigger
    bool any;    // a value, fallback's too
    bool from_fallback;
    int64_t fallback_milli; // of the first trigger that fell back
    double values[LIMIT_KEDA_TRIGGERS];
    uint32_t nil;
};

static void round_add(struct round *r, const struct keda_object *o, const struct keda_state *s,
                      size_t i, const struct keda_record *record) {
    r->failed |= record->failed;
    if (record->from_fallback && !r->from_fallback)
        r->fallback_milli = record->milli;
    r->from_fallback |= record->from_fallback;
    if (record->failed || record->empty)
        return;
    r->any = true;
    if (record->nameless)
        return;
    r->values[i] = from_milli(record->milli);
    bool out = o->fallback.set && o->fallback.behavior == KEDA_FALLBACK_MODIFIERS &&
               s->failures[i] > o->fallback.failure_threshold;
    if (!out)
        r->nil &= ~(1u << i);
}

static struct round round_begin(void) {
    return (struct round){.nil = UINT32_MAX};
}

// The composite metric of a round.
static int composite(const struct keda_object *o, const struct round *r, int64_t *ret_milli,
                     struct err *e) {
    if (r->from_fallback) {
        *ret_milli = r->fallback_milli;
        return 0;
    }
    double x;
    bool is_nil;
    int rc = keda_formula_eval(o->modifiers.formula, r->values, r->nil, &x, &is_nil, e);
    if (rc < 0)
        return rc;
    if (is_nil && !o->fallback.set)
        return err_set(e, ERR_INVALID, "the formula came out as nil and there is no fallback");
    if (is_nil)
        x = (double)o->fallback.replicas * modifiers_target(o);
    *ret_milli = go_int64(x * 1000);
    return 0;
}

// One trigger's, or the composite's answer out of a finished round.
static void answer_round(const struct keda_object *o, const struct round *r, int trigger,
                         int64_t milli, struct keda_answer *ret) {
    struct err e = {0};
    *ret = (struct keda_answer){.milli = milli, .from_fallback = r->from_fallback};
    if (r->failed && !r->from_fallback)
        ret->refusal = KEDA_SCALER_ERROR;
    else if (!r->any)
        ret->refusal = KEDA_NO_VALUE;
    else if (trigger == KEDA_COMPOSITE && composite(o, r, &ret->milli, &e) < 0) {
        ret->refusal = KEDA_FORMULA_ERROR;
        snprintf(ret->reason, sizeof(ret->reason), "%s", e.msg);
    }
}

void keda_answer(const struct keda_object *o, struct keda_state *s,
                 const struct keda_sample *samples, const struct keda_target *target, int trigger,
                 struct keda_answer *ret) {
    struct round r = round_begin();
    bool stores = keda_uses_hpa_observations(o);
    int64_t milli = 0;
    for (size_t i = 0; i < o->n_triggers; i++) {
        if (o->triggers[i].resource)
            continue;
        if (samples[i].spec_failed) { // another trigger's too (kedacore/keda#5914)
            r.failed = true;
            continue;
        }
        if (trigger != KEDA_COMPOSITE && (size_t)trigger != i)
            continue;
        bool cached = o->triggers[i].cached && s->records[i].stored;
        struct keda_record record = observe(o, s, i, cached ? s->records[i] : raw_of(&samples[i]),
                                            target);
        round_add(&r, o, s, i, &record);
        milli = record.milli;
        if (stores)
            s->records[i] = record;
    }
    answer_round(o, &r, trigger, milli, ret);
}

static bool cooled_down(const struct keda_object *o, const struct keda_state *s, int64_t now_ns) {
    return s->active_known ? s->last_active_ns + o->cooldown_ns < now_ns
                           : o->created_ns + o->initial_cooldown_ns < now_ns;
}

static void set_active(struct keda_state *s, int64_t now_ns) {
    s->active_known = true;
    s->last_active_ns = now_ns;
}

static void request_active(const struct keda_object *o, struct keda_state *s, int32_t replicas,
                           int32_t min, int64_t now_ns, struct keda_verdict *v) {
    v->active_reason = "ScalerActive";
    if ((o->idle_replicas != KEDA_UNSET && replicas < min) || replicas == 0) {
        v->step = o->annotations.scale_out_paused ? KEDA_SCALE_OUT_PAUSED : KEDA_ACTIVATES;
        if (v->step == KEDA_ACTIVATES) {
            v->scale_to = min > 0 ? min : 1;
            set_active(s, now_ns);
        }
    } else if (v->failed) {
        v->ready = KEDA_READY_UNKNOWN; // and the time of the last activity stands still
        v->ready_reason = "PartialTriggerError";
    } else {
        set_active(s, now_ns);
    }
}

static void request_inactive(const struct keda_object *o, const struct keda_state *s,
                             int32_t replicas, int32_t min, int64_t now_ns,
                             struct keda_verdict *v) {
    int32_t idle = o->idle_replicas;
    v->active_reason = "ScalerNotActive";
    if (v->failed && o->fallback.set && o->fallback.replicas != 0) {
        v->step = KEDA_AWAITS_FALLBACK;
    } else if (v->failed && !o->fallback.set) {
        v->step = KEDA_TRIGGER_ERROR;
        v->ready = KEDA_NOT_READY;
        v->ready_reason = "TriggerError";
    } else if ((idle != KEDA_UNSET && replicas > idle) || (replicas > 0 && min == 0)) {
        if (o->annotations.scale_in_paused) {
            v->step = KEDA_SCALE_IN_PAUSED;
        } else if (cooled_down(o, s, now_ns)) {
            v->step = KEDA_DEACTIVATES;
            v->scale_to = idle != KEDA_UNSET ? idle : min;
        } else {
            v->step = KEDA_COOLS_DOWN;
            v->active_reason = "ScalerCooldown";
        }
    } else if (idle == KEDA_UNSET && replicas < min) {
        v->step = KEDA_RAISES_TO_MIN;
        v->scale_to = min;
    }
}

// pkg/scaling/executor/scale_scaledobjects.go RequestScale.
static void request(const struct keda_object *o, struct keda_state *s, int32_t replicas,
                    int64_t now_ns, struct keda_verdict *v) {
    const struct keda_annotations *a = &o->annotations;
    v->scale_to = KEDA_UNSET;
    v->ready = KEDA_READY;
    v->ready_reason = "ScaledObjectReady";
    if (a->paused || a->paused_replicas != KEDA_UNSET) {
        v->step = KEDA_IS_PAUSED;
        if (a->paused_replicas != KEDA_UNSET && a->paused_replicas != replicas)
            v->scale_to = a->paused_replicas; // the controller's doing, when the annotation comes
        return;
    }
    int32_t min = o->min_replicas == KEDA_UNSET ? 0 : o->min_replicas;
    if (v->active || a->force_activation)
        request_active(o, s, replicas, min, now_ns, v);
    else
        request_inactive(o, s, replicas, min, now_ns, v);
}

// Under a formula the triggers' own activity does not count, and any error is inactivity.
static bool composite_active(const struct keda_object *o, const struct round *r) {
    double activation = 0;
    int64_t milli;
    if (r->failed)
        return false;
    if (composite(o, r, &milli, NULL) < 0)
        return false;
    if (o->modifiers.activation_target.n)
        str_to_double(o->modifiers.activation_target, &activation);
    return keda_activates(from_milli(milli), activation);
}

bool keda_poll_due(const struct keda_state *s, int64_t now_ns) {
    return now_ns >= s->next_poll_ns;
}

static void store_cached(const struct keda_object *o, struct keda_state *s,
                         const struct keda_record *fresh) {
    bool any = false;
    for (size_t i = 0; i < o->n_triggers; i++)
        any |= fresh[i].stored;
    for (size_t i = 0; any && i < o->n_triggers; i++)
        s->records[i] = fresh[i];
}

void keda_poll(const struct keda_object *o, struct keda_state *s, const struct keda_sample *samples,
               const struct keda_target *target, int64_t now_ns, struct keda_verdict *ret) {
    struct keda_verdict v = {0};
    struct round r = round_begin();
    struct keda_record fresh[LIMIT_KEDA_TRIGGERS] = {0};
    bool observed = target->hpa_active && keda_uses_hpa_observations(o);
    size_t resources = 0;
    for (size_t i = 0; i < o->n_triggers; i++) {
        if (o->triggers[i].resource) {
            resources++;
            continue;
        }
        if (samples[i].spec_failed) {
            r.failed = true;
            continue;
        }
        struct keda_record record = observed && s->records[i].stored
                                        ? s->records[i]
                                        : observe(o, s, i, raw_of(&samples[i]), target);
        round_add(&r, o, s, i, &record);
        if (o->triggers[i].cached)
            fresh[i] = record;
        if (!record.failed && (record.active || record.from_fallback)) {
            v.active = true;
            v.active_triggers |= record.empty ? 0 : 1u << i;
        }
    }
    v.failed = r.failed;
    v.fallback = r.from_fallback;
    if (o->modifiers.formula) {
        v.active = composite_active(o, &r);
        v.active_triggers = 0;
    }
    if (resources == o->n_triggers && !v.failed)
        v.active = true;
    request(o, s, target->replicas, now_ns, &v);
    store_cached(o, s, fresh);
    s->next_poll_ns = now_ns + o->polling_ns;
    *ret = v;
}

void keda_push(const struct keda_object *o, struct keda_state *s, int trigger, int32_t replicas,
               int64_t now_ns, struct keda_verdict *ret) {
    struct keda_verdict v = {.active = true, .active_triggers = 1u << trigger};
    request(o, s, replicas, now_ns, &v);
    *ret = v;
}

const char *keda_step_name(enum keda_step step) {
    static const char *const names[] = {
        "stays",
        "activates",
        "deactivates",
        "raises to minReplicaCount",
        "cools down",
        "awaits fallback",
        "trigger error",
        "scale-in is paused",
        "scale-out is paused",
        "is paused",
    };
    return names[step];
}
