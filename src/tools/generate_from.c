// SPDX-License-Identifier: Apache-2.0
/*
 * What the present triggers meant. Each becomes a setting, an SLO, a trigger that stays, or
 * nothing; the remark says which, and why.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "manifest/quantity.h"
#include "tools/generate_plan.h"
#include "tools/generate_query.h"

struct translating {
    struct generate_plan *p;
    const struct manifest_trigger *t;
    unsigned place; // of the trigger, from 0
    const char *threshold;
    double number; // of it; NaN: none
    struct query_reading q;
    unsigned activities, queues;      // triggers that were about GPU activity, about a queue
    const struct engine_preset *told; // the engine whose metrics they ask for
};

static const char *words_of(struct translating *x) {
    const struct manifest_trigger *t = x->t;
    return plan_text(x->p, "Trigger %u (%s%s%s)", x->place, t->type, t->name[0] ? " " : "",
                     t->name);
}

static void keep(struct translating *x, const char *why) {
    struct generate_plan *p = x->p;
    if (p->from->is_hpa) {
        plan_remark(p, "%s is left out: %s, and what an HPA alone has is no trigger of KEDA.",
                    words_of(x), why);
        return;
    }
    if (p->n_kept == PLAN_KEPT) {
        (void)plan_fail(p, ERR_LIMIT, "more than %d triggers", PLAN_KEPT);
        return;
    }
    p->kept[p->n_kept++] = x->t;
    plan_remark(p,
                "%s stays as it is: %s. KEDA's HPA takes the largest of what it and gpuscale ask "
                "for, and at zero either one wakes the service.",
                words_of(x), why);
}

// ---- GPU activity -------------------------------------------------------------------------------

static enum signal activity_of(uint32_t signals_) {
    static const enum signal order[] = {SIGNAL_GPU_UTILIZATION, SIGNAL_SM_ACTIVITY,
                                        SIGNAL_TENSOR_ACTIVITY};
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (signals_ >> order[i] & 1)
            return order[i];
    return SIGNAL_MAX;
}

static void tell_activity(struct translating *x, enum signal s, double target) {
    struct generate_plan *p = x->p;
    bool value = strcmp(x->t->metric_type, "Value") == 0;
    const char *trap =
        x->q.averaged && !value && !p->from->is_hpa
            ? plan_text(p,
                        " Under KEDA's AverageValue a mean of at most 100 %% over %s asked for %g "
                        "replicas at most, whatever the load.",
                        x->threshold, ceil(100 / x->number))
            : "";
    bool told = manifest_trigger_value(x->t, "query") != NULL && !x->q.narrowed;
    const char *all = told
                          ? " The query had every GPU that Prometheus knows in it, other services' "
                            "and idle ones; here each GPU is joined to the pod that holds it, and "
                            "a lost exporter is unknown, not 0."
                          : "";
    plan_remark(p, "%s: %s held at %g %% a replica.%s%s", words_of(x), signals[s].name, target,
                trap, all);
}

static void on_activity(struct translating *x, enum signal s) {
    struct generate_plan *p = x->p;
    double target = x->q.ratio ? x->number * 100 : x->number;
    int64_t gpus = p->workload && p->workload->gpus > 0 ? p->workload->gpus : 1;
    if (!x->q.averaged && gpus > 1 && target > 100)
        target /= (double)gpus; // a sum over the replica's GPUs
    x->activities++;
    if (!(target >= 1 && target <= 100)) {
        plan_remark(p,
                    "%s: the threshold %s is no percentage of a GPU; 55 is written in its place: "
                    "check it.",
                    words_of(x), x->threshold ? x->threshold : "(none)");
        target = 55;
    } else {
        tell_activity(x, s, target);
    }
    plan_set(p, signals[s].name, plan_text(p, "%g", target), "percent to run at");
}

// ---- What engines tell --------------------------------------------------------------------------

// Thresholds were per replica (AverageValue over a sum), or of the whole (Value): the latter cannot
// be kept, for it grew with the replicas.
static void tell_share(struct translating *x, const char *key) {
    bool value = strcmp(x->t->metric_type, "Value") == 0;
    plan_remark(x->p, "%s asked %s: it is %s here, %s a replica%s.", words_of(x),
                x->q.metric ? x->q.metric : "a metric", key, x->threshold,
                value ? " (metricType Value multiplied it by the ready pods; check the number)"
                : x->q.averaged
                    ? " (a mean under AverageValue hardly ever asked for more; a sum was meant)"
                    : "");
}

static void on_signal(struct translating *x) {
    struct generate_plan *p = x->p;
    uint32_t s = x->q.signals;
    enum signal activity = activity_of(s);
    if (!(x->number > 0)) {
        plan_remark(p, "%s is left out: it has no threshold above 0.", words_of(x));
        return;
    }
    if (activity != SIGNAL_MAX) {
        on_activity(x, activity);
        return;
    }
    const char *key = NULL, *why = NULL, *value = x->threshold;
    if (s >> SIGNAL_RUNNING & 1) { // alone, or with the queue: what a replica is to have at once
        key = "running";
        why = "requests that a replica serves at once";
    } else if (s >> SIGNAL_QUEUE & 1) {
        key = "queue";
        why = "waiting requests a replica: a guard, it raises, never lowers";
        x->queues++;
    } else if (s >> SIGNAL_KV_CACHE & 1) {
        key = "kvCache";
        why = "a guard: raises when the KV caches are this full, never lowers";
        value = x->number > 1 ? plan_text(p, "%g", x->number / 100) : value;
    } else if (s >> SIGNAL_REQUEST_RATE & 1) {
        key = "requestRate";
        why = "requests a second a replica";
    } else if (s >> SIGNAL_TOKEN_RATE & 1) {
        key = "tokenRate";
        why = "generated tokens a second a replica";
    } else {
        plan_remark(p, "%s is left out: %s is no measure of load.", words_of(x), x->q.metric);
        return;
    }
    tell_share(x, key);
    plan_set(p, key, value, why);
}

static void on_latency(struct translating *x) {
    struct generate_plan *p = x->p;
    bool first = x->q.about == QUERY_TTFT;
    if (!(x->number > 0) || x->number > 600) {
        plan_remark(p, "%s is left out: a latency says that replicas are missing, not how many.",
                    words_of(x));
        return;
    }
    plan_remark(p,
                "%s was a latency: it says that replicas are missing, not how many, and falls only "
                "when they are there. It is the SLO here, %s.",
                words_of(x), first ? "ttft" : "itl");
    plan_set(p, first ? "ttft" : "itl", plan_text(p, "%gs", x->number),
             first ? "the SLO to the first token" : "the SLO between two tokens");
    if (x->q.quantile > 0.5 && x->q.quantile < 1)
        plan_set(p, "sloGoal", plan_text(p, "%g", x->q.quantile), "share of requests within both");
}

// ---- Triggers -----------------------------------------------------------------------------------

// A query that is no engine's: the load of something else (a broker, a gateway).
static void on_foreign_query(struct translating *x) {
    struct generate_plan *p = x->p;
    const char *query = manifest_trigger_value(x->t, "query");
    if (!query) {
        plan_remark(
            p,
            "%s is left out: it has no query, so KEDA never made a scaler of it (metricName "
            "is ignored since KEDA 2.12).",
            words_of(x));
        return;
    }
    if (!p->flags->prometheus_server || !(x->number > 0)) {
        keep(x, "its query is no engine's and no GPU's (--prometheus-server NAME makes it a part "
                "of the rule)");
        return;
    }
    const char *name = plan_text(p, "q%u", x->place);
    plan_remark(p, "%s is asked by the scaler itself: ceil(value / %s), with the other signals.",
                words_of(x), x->threshold);
    plan_set(p, plan_text(p, "prometheus.%s", name), p->flags->prometheus_server, NULL);
    plan_set(p, plan_text(p, "query.%s", name), query, NULL);
    plan_set(p, plan_text(p, "target.%s", name), x->threshold, "load that one replica works off");
}

static void on_metric(struct translating *x) {
    const char *query = manifest_trigger_value(x->t, "query");
    const char *name = manifest_trigger_value(x->t, "metricName");
    const char *text = query ? query : name ? name : "";
    query_read(str_from(text), x->p->a, &x->q);
    if (!query && !x->p->from->is_hpa && x->q.about != QUERY_UNKNOWN)
        plan_remark(x->p,
                    "%s has no query: KEDA ignores metricName since 2.12 and refuses the trigger, "
                    "so it never scaled anything. %s is what was meant.",
                    words_of(x), name);
    if (x->q.preset && !x->told)
        x->told = x->q.preset;
    switch (x->q.about) {
    case QUERY_SIGNAL:
        on_signal(x);
        break;
    case QUERY_TTFT:
    case QUERY_TPOT:
        on_latency(x);
        break;
    case QUERY_GPU_MEMORY:
        plan_remark(x->p,
                    "%s is left out: engines reserve the GPU's memory when they start, so it says "
                    "nothing about the load.",
                    words_of(x));
        break;
    case QUERY_UNKNOWN:
        on_foreign_query(x);
        break;
    }
}

// A trigger of ours: its metadata are the settings.
static void on_ours(struct translating *x) {
    static const char *const transport[] = {"scalerAddress", "enableTLS", "unsafeSsl"};
    for (size_t i = 0; i < x->t->n_metadata; i++) {
        const struct manifest_pair *m = &x->t->metadata[i];
        bool theirs = false;
        for (size_t k = 0; k < COUNT_OF(transport); k++)
            theirs = theirs || strcmp(transport[k], m->name) == 0;
        if (!theirs)
            plan_set(x->p, m->name, m->value, NULL);
    }
    x->p->ours = true;
    plan_remark(x->p, "%s is gpuscale's already: its metadata are kept.", words_of(x));
}

static bool is_ours(const struct manifest_trigger *t) {
    const char *address = manifest_trigger_value(t, "scalerAddress");
    return str_starts(str_from(t->type), "external") && address && strstr(address, "gpuscale");
}

static void on_cpu(struct translating *x) {
    const char *value = manifest_trigger_value(x->t, "value");
    const char *type = manifest_trigger_value(x->t, "type");
    plan_remark(x->p,
                "%s at %s is left out: the %s of an inference pod parses requests while the GPU, "
                "or the queue in front of it, is what is full.%s",
                words_of(x), value ? value : "?", x->t->type,
                type ? " (It said type in its metadata, which KEDA refuses since 2.18.)" : "");
}

// A number; in an HPA a quantity (500m).
static void take_threshold(struct translating *x, const char *text) {
    struct quantity q = {0};
    x->threshold = text;
    if (str_to_double(str_trim(str_from(text)), &x->number) == 0)
        return;
    x->number = NAN;
    if (!x->p->from->is_hpa || quantity_parse(str_from(text), &q) < 0)
        return;
    x->number = q.approximate;
    x->threshold = plan_text(x->p, "%g", q.approximate);
}

static void on_trigger(struct translating *x) {
    const char *type = x->t->type;
    const char *threshold = manifest_trigger_value(x->t, "threshold");
    take_threshold(x, threshold ? threshold : "");
    x->q = (struct query_reading){0};
    if (strcmp(type, "cpu") == 0 || strcmp(type, "memory") == 0)
        on_cpu(x);
    else if (is_ours(x->t))
        on_ours(x);
    else if (strcmp(type, "prometheus") == 0 || (x->p->from->is_hpa && type[0] != '\0'))
        on_metric(x);
    else
        keep(x, "it is not about the GPU or the engine");
}

// ---- Together -----------------------------------------------------------------------------------

static void pair(struct translating *x) {
    struct generate_plan *p = x->p;
    bool saturates = p->engine.preset && p->engine.preset->continuous_batching;
    if (x->activities > 0 && x->queues > 0) {
        plan_set(p, "when", "all",
                 "raises only while queue and GPU are both above: what two triggers promise, but "
                 "KEDA's HPA takes the larger of the two, so either one raised");
        if (saturates)
            plan_remark(p,
                        "The pair stays as a guard that the GPU confirms. %s batches "
                        "continuously, its GPUs are near 100 %% from the first request on: what "
                        "a replica can do is learned and sizes instead.",
                        p->engine.preset->title);
    } else if (x->activities > 0 && saturates) {
        static const char *const keys[] = {"gpuUtilization", "smActivity", "tensorActivity"};
        size_t n = 0;
        for (size_t i = 0; i < p->n_settings; i++) {
            bool activity = false;
            for (size_t k = 0; k < COUNT_OF(keys); k++)
                activity = activity || (strcmp(keys[k], p->settings[i].key) == 0 &&
                                        !generate_flag(p->flags, keys[k]));
            if (!activity)
                p->settings[n++] = p->settings[i];
        }
        p->n_settings = n;
        plan_remark(p,
                    "GPU activity is left out: %s batches continuously, its GPUs are near 100 %% "
                    "from the first request on, whatever the load: they would never let a replica "
                    "go.",
                    p->engine.preset->title);
    }
}

// The engine that the triggers ask about, where the workload does not say it.
static void tell_engine(struct translating *x) {
    struct generate_plan *p = x->p;
    if (p->engine.preset || !x->told)
        return;
    p->engine.preset = x->told;
    p->engine.port = x->told->path ? x->told->port : 0;
    p->engine.port_why = "the usual one; --metrics-port says another";
    p->engine.why = "the triggers ask for its metrics";
}

static void take_down_window(struct translating *x) {
    struct generate_plan *p = x->p;
    const struct conf_node *behavior = p->from->behavior;
    for (const struct conf_node *d = behavior ? behavior->first : NULL; d; d = d->next)
        for (const struct conf_node *n = str_eqc(d->key, "scaleDown") ? d->first : NULL; n;
             n = n->next)
            if (str_eqc(n->key, "stabilizationWindowSeconds") && n->kind == CONF_NODE_SCALAR)
                p->down_window = n->text.p;
    long long seconds = 0;
    if (p->flags->style != STYLE_GPUSCALE || !p->down_window ||
        str_to_i64(str_from(p->down_window), &seconds) < 0 || seconds <= 0)
        return;
    plan_remark(p,
                "The HPA's scale-down window of %lld s is gpuscale's now (downWindow): two dampers "
                "after each other would be one too many.",
                seconds);
    plan_set(p, "downWindow", plan_text(p, "%llds", seconds), "the HPA's, before");
}

void plan_translate(struct generate_plan *p) {
    struct translating x = {.p = p};
    for (const struct conf_node *n = p->from->spec ? p->from->spec->first : NULL; n; n = n->next)
        p->idles = p->idles || str_eqc(n->key, "idleReplicaCount");
    for (size_t i = 0; i < p->from->n_triggers && p->r == 0; i++) {
        x.t = &p->from->triggers[i];
        x.place = (unsigned)i;
        on_trigger(&x);
    }
    tell_engine(&x);
    pair(&x);
    take_down_window(&x);
    if (p->idles && !plan_get(p, "demand") && p->n_kept == 0)
        plan_remark(p,
                    "idleReplicaCount is left out: once idle, nothing here knows of requests that "
                    "could wake the service; --demand NAME makes it possible.");
}
