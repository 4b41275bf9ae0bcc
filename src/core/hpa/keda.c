// SPDX-License-Identifier: Apache-2.0
/* ScaledObjects: defaults, checks, annotations, and the HPA they become; see keda.h. */
#include "core/hpa/keda.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"

#define POLLING_NS (30 * NS_PER_S)
#define COOLDOWN_NS (300 * NS_PER_S)
#define MAX_REPLICAS 100 // GetHPAMaxReplicas

void keda_object_init(struct keda_object *o) {
    *o = (struct keda_object){.min_replicas = KEDA_UNSET,
                              .max_replicas = KEDA_UNSET,
                              .idle_replicas = KEDA_UNSET,
                              .polling_ns = POLLING_NS,
                              .cooldown_ns = COOLDOWN_NS,
                              .annotations.paused_replicas = KEDA_UNSET};
}

static int32_t hpa_min(const struct keda_object *o) {
    return o->min_replicas > 0 ? o->min_replicas : 1;
}

static int32_t hpa_max(const struct keda_object *o) {
    return o->max_replicas == KEDA_UNSET ? MAX_REPLICAS : o->max_replicas;
}

static int check_counts(const struct keda_object *o, struct err *e) {
    if (o->min_replicas < KEDA_UNSET || o->idle_replicas < KEDA_UNSET)
        return err_set(e, ERR_INVALID, "%s is negative: give 0 or more",
                       o->min_replicas < KEDA_UNSET ? "minReplicaCount" : "idleReplicaCount");
    if (o->max_replicas != KEDA_UNSET && o->max_replicas < 1)
        return err_set(e, ERR_INVALID, "maxReplicaCount is %d: give 1 or more", o->max_replicas);
    // An explicit 0 counts as 1 here, an absent one as 0 (CheckReplicaCountBoundsAreValid).
    int32_t min = o->min_replicas == KEDA_UNSET ? 0 : hpa_min(o);
    if (min > hpa_max(o))
        return err_set(e, ERR_INVALID, "minReplicaCount %d is above maxReplicaCount %d", min,
                       hpa_max(o));
    if (o->idle_replicas != KEDA_UNSET && o->idle_replicas >= min)
        return err_set(e, ERR_INVALID,
                       "idleReplicaCount %d must be below minReplicaCount %d: raise "
                       "minReplicaCount or leave idleReplicaCount out",
                       o->idle_replicas, min);
    if (o->polling_ns <= 0 || o->cooldown_ns < 0 || o->initial_cooldown_ns < 0)
        return err_set(e, ERR_INVALID, "%s must be %s",
                       o->polling_ns <= 0   ? "pollingInterval"
                       : o->cooldown_ns < 0 ? "cooldownPeriod"
                                            : "initialCooldownPeriod",
                       o->polling_ns <= 0 ? "positive" : "0 or more");
    return 0;
}

static bool only_resources(const struct keda_object *o) {
    for (size_t i = 0; i < o->n_triggers; i++)
        if (!o->triggers[i].resource)
            return false;
    return true;
}

static int check_trigger(const struct keda_object *o, size_t i, struct err *e) {
    const struct keda_trigger *t = &o->triggers[i];
    if (t->cached && t->resource)
        return err_set(e, ERR_INVALID, "triggers[%zu]: useCachedMetrics does not go with %s", i,
                       t->metric_name);
    if (!t->resource && t->target_milli <= 0)
        return err_set(e, ERR_INVALID, "triggers[%zu]: the target must be above 0", i);
    for (size_t j = 0; t->name && j < i; j++)
        if (o->triggers[j].name && str_eqc(str_from(t->name), o->triggers[j].name))
            return err_set(e, ERR_INVALID, "triggers[%zu] and [%zu] have the same name \"%s\"", j,
                           i, t->name);
    return 0;
}

static int check_modifiers(const struct keda_object *o, struct err *e) {
    const struct keda_modifiers *m = &o->modifiers;
    double x;
    if (!m->formula)
        return o->fallback.set && o->fallback.behavior == KEDA_FALLBACK_MODIFIERS
                   ? err_set(e, ERR_INVALID,
                             "fallback.behavior scalingModifiers needs scalingModifiers.formula")
                   : 0;
    if (str_to_double(m->target, &x) < 0 || !(x > 0))
        return err_set(e, ERR_INVALID,
                       "scalingModifiers.target \"" STR_FMT "\" must be a number above 0",
                       STR_ARG(m->target));
    if (m->activation_target.n && str_to_double(m->activation_target, &x) < 0)
        return err_set(e, ERR_INVALID,
                       "scalingModifiers.activationTarget \"" STR_FMT "\" is no number",
                       STR_ARG(m->activation_target));
    return 0;
}

int keda_object_check(const struct keda_object *o, struct err *e) {
    if (o->n_triggers == 0)
        return err_set(e, ERR_INVALID, "triggers is empty: name at least one");
    if (o->n_triggers > LIMIT_KEDA_TRIGGERS)
        return err_set(e, ERR_LIMIT, "%zu triggers, at most %d", o->n_triggers,
                       LIMIT_KEDA_TRIGGERS);
    int r = check_counts(o, e);
    for (size_t i = 0; r == 0 && i < o->n_triggers; i++)
        r = check_trigger(o, i, e);
    if (r == 0)
        r = check_modifiers(o, e);
    if (r < 0)
        return r;
    if (only_resources(o) && o->min_replicas <= 0)
        return err_set(e, ERR_INVALID,
                       "cpu and memory alone never scale from zero: set minReplicaCount to 1");
    const struct keda_fallback *f = &o->fallback;
    if (f->set && (f->failure_threshold < 0 || f->replicas < 0))
        return err_set(e, ERR_INVALID,
                       "fallback.failureThreshold and fallback.replicas must be 0 or more");
    if (f->set && !o->modifiers.formula && only_resources(o))
        return err_set(e, ERR_INVALID, "fallback does nothing for cpu and memory: leave it out");
    return 0;
}

// strconv.ParseBool; what it refuses is true (getBoolAnnotation).
static bool annotation_bool(struct str v) {
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (str_eqc(v, no[i]))
            return false;
    return true;
}

int keda_annotation_set(struct keda_annotations *a, struct str key, struct str value,
                        struct err *e) {
    const struct {
        const char *name;
        bool *to;
    } flags[] = {{"paused", &a->paused},
                 {"paused-scale-in", &a->scale_in_paused},
                 {"paused-scale-out", &a->scale_out_paused},
                 {"force-activation", &a->force_activation}};
    struct str name = key;
    if (!str_eqc(str_cut(&name, '/'), "autoscaling.keda.sh"))
        return err_set(e, ERR_NOTFOUND, "\"" STR_FMT "\" is no annotation of KEDA's that scales",
                       STR_ARG(key));
    if (str_eqc(name, "paused-replicas")) {
        long long n;
        if (str_to_i64(value, &n) < 0 || n < INT32_MIN || n > INT32_MAX)
            return err_set(e, ERR_INVALID,
                           "annotation " STR_FMT ": \"" STR_FMT "\" is no replica count",
                           STR_ARG(key), STR_ARG(value));
        if (n < 0)
            return err_set(e, ERR_INVALID, "annotation " STR_FMT ": %lld is below 0", STR_ARG(key),
                           n);
        a->paused_replicas = (int32_t)n;
        return 0;
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (str_eqc(name, flags[i].name)) {
            *flags[i].to = annotation_bool(value);
            return 0;
        }
    return err_set(e, ERR_NOTFOUND, "\"" STR_FMT "\" is no annotation of KEDA's that scales",
                   STR_ARG(key));
}

// pkg/scalers/scaler.go quantityFromFloat64: "%.3f", correctly rounded from the binary value.
int64_t keda_quantity_milli(double value) {
    if (!isfinite(value) || value < 0)
        return 0;
    if (value >= 9.2e15)
        return (int64_t)9.2e18;
    char text[32];
    snprintf(text, sizeof(text), "%.3f", value);
    int64_t milli = 0;
    for (const char *p = text; *p; p++)
        if (*p != '.')
            milli = milli * 10 + (*p - '0');
    return milli;
}

static void add_metric(struct keda_hpa *h, const struct keda_object *o, size_t i) {
    const struct keda_trigger *t = &o->triggers[i];
    struct keda_hpa_metric *m = &h->metrics[h->n_metrics++];
    *m = (struct keda_hpa_metric){.trigger = (int)i,
                                  .resource = t->resource,
                                  .type = t->type,
                                  .target_milli = t->target_milli};
    if (t->resource)
        snprintf(m->name, sizeof(m->name), "%s", t->metric_name);
    else
        snprintf(m->name, sizeof(m->name), "s%zu-%s", i, t->metric_name);
}

static void add_composite(struct keda_hpa *h, const struct keda_object *o) {
    double target = 0;
    str_to_double(o->modifiers.target, &target);
    h->metrics[h->n_metrics++] = (struct keda_hpa_metric){.trigger = KEDA_COMPOSITE,
                                                          .type = o->modifiers.type,
                                                          .target_milli = (int64_t)(target * 1000),
                                                          .name = "composite-metric"};
}

// controllers/keda/hpa.go. Metrics are sorted by type: External before Resource, save that the
// composite metric is put last.
void keda_hpa(const struct keda_object *o, struct keda_hpa *ret) {
    const struct keda_annotations *a = &o->annotations;
    *ret = (struct keda_hpa){.exists = !a->paused && a->paused_replicas == KEDA_UNSET,
                             .min_replicas = hpa_min(o),
                             .max_replicas = hpa_max(o),
                             .scale_down_disabled = a->scale_in_paused,
                             .scale_up_disabled = a->scale_out_paused};
    for (int resource = 0; resource < 2; resource++)
        for (size_t i = 0; i < o->n_triggers && i < LIMIT_KEDA_TRIGGERS; i++)
            if (o->triggers[i].resource == resource && (resource || !o->modifiers.formula))
                add_metric(ret, o, i);
    if (o->modifiers.formula && ret->n_metrics < LIMIT_KEDA_TRIGGERS)
        add_composite(ret, o);
}

bool keda_uses_hpa_observations(const struct keda_object *o) {
    if (o->min_replicas <= 0 || o->idle_replicas != KEDA_UNSET || o->modifiers.formula)
        return false;
    for (size_t i = 0; i < o->n_triggers; i++)
        if (o->triggers[i].cached)
            return false;
    return true;
}
