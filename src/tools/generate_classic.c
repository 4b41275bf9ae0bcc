// SPDX-License-Identifier: Apache-2.0
/*
 * --style prometheus: what articles describe, done right, for clusters without gpuscale. Sums, not
 * means of percentages; only this workload's series; a lost exporter is an error, not 0; and the
 * AND of the pair as a formula that neither lowers by an empty queue nor raises by one of the two:
 *     both above: the larger; else, downward, what the GPU asks for, and never more than there are.
 * Without KEDA the same is one PromQL expression in prometheus-adapter's rules.
 */
#include <stdio.h>

#include "base/mem.h"
#include "tools/generate_write.h"

enum { QUERY_BYTES = 2048 };

// A dot in a name, in a regular expression in a PromQL string.
static void add_name(struct buf *b, const char *name) {
    for (const char *c = name; *c; c++)
        (void)(*c == '.' ? buf_addc(b, "\\\\.") : buf_add_byte(b, *c));
}

// Which series are this workload's: its namespace, and the names that its controller gives pods.
static const char *matchers(const struct generate_plan *p) {
    static const struct {
        const char *kind, *pods;
    } ends[] = {{"Deployment", "-[a-z0-9]+-[a-z0-9]+"},
                {"Rollout", "-[a-z0-9]+-[a-z0-9]+"},
                {"ReplicaSet", "-[a-z0-9]+"},
                {"StatefulSet", "-[0-9]+"},
                {"LeaderWorkerSet", "-[0-9]+(-[0-9]+)?"}};
    const char *end = "-.+";
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (strcmp(ends[i].kind, p->target_kind) == 0)
            end = ends[i].pods;
    CLEANUP_BUF struct buf b;
    buf_init(&b, QUERY_BYTES);
    (void)buf_addf(&b, "namespace=\"%s\",pod=~\"", p->namespace_);
    add_name(&b, p->target_name);
    (void)buf_addf(&b, "%s\"", end);
    return b.err == 0 ? arena_strdup(p->a, buf_str(&b)) : NULL;
}

static const char *metric_of(const struct generate_plan *p, enum engine_value v) {
    const char *name = engine_preset_metric(p->engine.preset, v);
    return name ? name : "";
}

// Mean over a pod's GPUs, summed over pods: percent of a replica, for any number of GPUs.
static const char *gpu_query(const struct generate_plan *p) {
    const char *resource = p->workload ? p->workload->gpu_resource : NULL;
    bool mig = resource && strstr(resource, "/mig-");
    const char *ours = matchers(p);
    return ours ? arena_printf(p->a, "%ssum(avg by (pod) (%s{%s}))", mig ? "100 * " : "",
                               mig ? "DCGM_FI_PROF_GR_ENGINE_ACTIVE" : "DCGM_FI_DEV_GPU_UTIL", ours)
                : NULL;
}

// The sum of a gauge of the engine's.
static const char *sum_query(const struct generate_plan *p, enum engine_value v) {
    const char *ours = matchers(p);
    return ours ? arena_printf(p->a, "sum(%s{%s})", metric_of(p, v), ours) : NULL;
}

static const char *rate_query(const struct generate_plan *p) {
    const char *ours = matchers(p);
    return ours ? arena_printf(p->a, "sum(rate(%s{%s}[1m]))", metric_of(p, ENGINE_REQUESTS_TOTAL),
                               ours)
                : NULL;
}

static const char *inside_query(const struct generate_plan *p) {
    const char *running = sum_query(p, ENGINE_RUNNING), *queue = sum_query(p, ENGINE_QUEUE);
    return running && queue ? arena_printf(p->a, "%s + %s", running, queue) : NULL;
}

static const char *replicas_query(const struct generate_plan *p) {
    if (p->flags->replicas_query)
        return p->flags->replicas_query;
    const char *text =
        strcmp(p->target_kind, "StatefulSet") == 0
            ? arena_printf(p->a,
                           "sum(kube_statefulset_replicas{namespace=\"%s\",statefulset=\"%s\"})",
                           p->namespace_, p->target_name)
            : arena_printf(p->a,
                           "sum(kube_deployment_spec_replicas{namespace=\"%s\",deployment=\"%s\"})",
                           p->namespace_, p->target_name);
    return text;
}

// ---- Which signals ------------------------------------------------------------------------------

// One of them: a query and what one replica does of it.
struct load {
    const char *name, *query, *target, *why;
};

static bool is_pair(const struct generate_plan *p) {
    const char *when = plan_get(p, "when");
    return p->engine.preset->linear & ENGINE_LINEAR_GPU_UTILIZATION &&
           plan_engine_tells(p, ENGINE_QUEUE) && plan_get(p, "gpuUtilization") &&
           plan_get(p, "queue") && (!when || strcmp(when, "all") == 0);
}

// The pair; or what sizes, and the queue: the largest counts.
static size_t loads_of(const struct generate_plan *p, struct load loads[4]) {
    size_t n = 0;
    const char *target = plan_get(p, "gpuUtilization");
    if (target && p->engine.preset->linear & ENGINE_LINEAR_GPU_UTILIZATION)
        loads[n++] = (struct load){"gpu", gpu_query(p), target,
                                   "GPU activity, percent of a replica, summed: a sum over its "
                                   "target is replicas; a mean under AverageValue never is"};
    target = plan_get(p, "capacity") ? plan_get(p, "capacity") : plan_get(p, "requestRate");
    if (target && strcmp(target, "learn") != 0 && !is_pair(p))
        loads[n++] = (struct load){"requests", rate_query(p), target,
                                   "requests a second; they are counted when they are done"};
    target = plan_get(p, "running");
    if (target && plan_engine_tells(p, ENGINE_QUEUE) && !is_pair(p))
        loads[n++] = (struct load){"inside", inside_query(p), target,
                                   "requests that are served or wait"};
    target = plan_get(p, "queue");
    if (target && plan_engine_tells(p, ENGINE_QUEUE))
        loads[n++] = (struct load){"queue", sum_query(p, ENGINE_QUEUE), target,
                                   "waiting requests, summed over the replicas"};
    return n;
}

void classic_check(struct generate_plan *p) {
    struct load loads[4];
    size_t n = loads_of(p, loads);
    bool sizes = n > 0 && strcmp(loads[0].name, "queue") != 0;
    if (!sizes)
        (void)plan_fail(p, ERR_INVALID,
                        "--style prometheus cannot learn what a replica of %s can do, and an empty "
                        "queue says nothing about a smaller number: --capacity N (requests a "
                        "second) or --running N (requests at once) says it",
                        p->engine.preset->title);
    if (p->r == 0 && is_pair(p) && !p->flags->replicas_query &&
        strcmp(p->target_kind, "Deployment") != 0 && strcmp(p->target_kind, "StatefulSet") != 0)
        (void)plan_fail(p, ERR_INVALID,
                        "kube-state-metrics does not tell the replicas of a %s: --replicas-query "
                        "QUERY says how many there are",
                        p->target_kind);
    if (p->r == 0 && p->min == 0 && p->flags->min)
        (void)plan_fail(p, ERR_INVALID,
                        "--style prometheus cannot go to zero: with no pod there is no series, and "
                        "Prometheus cannot tell that from a lost exporter; --style gpuscale with "
                        "--demand can");
    if (p->r == 0 && !p->flags->min && p->min <= 1) {
        p->min = 1;
        p->min_why = "with no pod there is no series, and Prometheus cannot tell that from a lost "
                     "exporter: one replica stays, so no activation threshold counts";
    }
}

// ---- KEDA ---------------------------------------------------------------------------------------

static void write_trigger(const struct generate_plan *p, struct yaml_writer *w,
                          const struct load *l) {
    write_sentence(p, w, l->why);
    yaml_item(w);
    yaml_text(w, "type", "prometheus");
    yaml_text(w, "name", l->name);
    yaml_map(w, "metadata");
    yaml_text(w, "serverAddress", p->flags->prometheus);
    yaml_block(w, "query", l->query);
    yaml_quoted(w, "threshold", l->target);
    yaml_comment(w, "No series is an error: nothing is scaled by a lost exporter.");
    yaml_quoted(w, "ignoreNullValues", "false");
    yaml_map_end(w);
    yaml_item_end(w);
}

static void write_formula(const struct generate_plan *p, struct yaml_writer *w) {
    const char *gpu = plan_get(p, "gpuUtilization"), *queue = plan_get(p, "queue");
    yaml_comment(w,
                 "Both above: the larger of the two. The queue alone above: as many as there are. "
                 "Else what the GPUs ask for, and no more than there are: an empty queue lowers "
                 "nothing. Two triggers without a formula raise when either one is above; min() of "
                 "them lowers by either one.");
    yaml_map(w, "scalingModifiers");
    const char *text = arena_printf(
        p->a,
        "queue / %s > replicas ? (gpu / %s > replicas ? max(gpu / %s, queue / %s) : replicas) "
        ": min(gpu / %s, replicas)",
        queue, gpu, gpu, queue, gpu);
    yaml_text(w, "formula", text);
    yaml_quoted(w, "target", "1");
    yaml_text(w, "metricType", "AverageValue");
    yaml_map_end(w);
}

static void write_damper(struct yaml_writer *w, bool tolerance) {
    yaml_comment(w, "The one damper: the highest of five minutes counts.");
    yaml_map(w, "behavior");
    yaml_map(w, "scaleDown");
    yaml_int(w, "stabilizationWindowSeconds", 300);
    yaml_map_end(w);
    if (tolerance) {
        yaml_comment(w, "Surge pods of a rollout are inside the usual 10 %%, and would stay.");
        yaml_map(w, "scaleUp");
        yaml_quoted(w, "tolerance", "0");
        yaml_map_end(w);
    }
    yaml_map_end(w);
}

static void write_scrape_notes(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_comment(w,
                 "Needs Prometheus to scrape dcgm-exporter (or gpuscale-agent) with honorLabels: "
                 "true, else `namespace` and `pod` are those of the exporter (and the pod's are "
                 "exported_namespace, exported_pod); the engine's page on port %u with the labels "
                 "namespace and pod (a PodMonitor sets them)%s.",
                 p->engine.port,
                 is_pair(p) && !p->flags->replicas_query ? "; and kube-state-metrics" : "");
}

void write_classic_object(const struct generate_plan *p, struct yaml_writer *w) {
    struct load loads[4];
    size_t n = loads_of(p, loads);
    write_head(p, w);
    write_scrape_notes(p, w);
    write_object_start(p, w);
    yaml_map(w, "advanced");
    if (is_pair(p))
        write_formula(p, w);
    yaml_map(w, "horizontalPodAutoscalerConfig");
    write_hpa_name(p, w);
    write_damper(w, p->tolerance);
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_list(w, "triggers");
    for (size_t i = 0; i < n; i++)
        write_trigger(p, w, &loads[i]);
    if (is_pair(p)) {
        const struct load replicas = {"replicas", replicas_query(p), "1",
                                      "how many there are to be, which the formula compares with"};
        write_trigger(p, w, &replicas);
        if (p->n_kept > 0)
            yaml_comment(w,
                         "What else was there is left out: a formula replaces every trigger that "
                         "it does not name.");
    } else {
        write_kept_triggers(p, w);
    }
    yaml_map_end(w);
}

// ---- Without KEDA -------------------------------------------------------------------------------

static const char *pair_expression(const struct generate_plan *p, const struct load *gpu,
                                   const struct load *queue) {
    const char *r = replicas_query(p);
    if (!gpu->query || !queue->query || !r)
        return NULL;
    const char *g = arena_printf(p->a, "%s / %s", gpu->query, gpu->target);
    const char *q = arena_printf(p->a, "%s / %s", queue->query, queue->target);
    if (!g || !q)
        return NULL;
    return arena_printf(p->a,
                        "(((%s) >= (%s) or (%s))\n  and (%s) > (%s)\n  and (%s) > (%s))\n"
                        "or ((%s) and (%s) > (%s))\nor ((%s) < (%s))\nor ((%s) and (%s))",
                        g, q, q, g, r, q, r, r, q, r, g, r, r, g);
}

// One expression that gives replicas.
static const char *expression(const struct generate_plan *p) {
    struct load loads[4];
    size_t n = loads_of(p, loads);
    if (is_pair(p) && n >= 2)
        return pair_expression(p, &loads[0], &loads[n - 1]);
    CLEANUP_BUF struct buf b;
    buf_init(&b, (size_t)4 * QUERY_BYTES);
    for (size_t i = 0; i < n; i++) { // the largest, each under a label of its own
        if (!loads[i].query)
            return NULL;
        (void)buf_addf(&b, "%slabel_replace((%s) / %s, \"by\", \"%s\", \"\", \"\")",
                       i == 0 ? "max(" : "\n  or ", loads[i].query, loads[i].target, loads[i].name);
    }
    (void)buf_addc(&b, ")");
    return b.err == 0 ? arena_strdup(p->a, buf_str(&b)) : NULL;
}

static const char *metric_name(const struct generate_plan *p) {
    char *text = arena_printf(p->a, "%s_desired_replicas", p->name);
    for (char *c = text; c && *c; c++)
        if (*c == '-' || *c == '.')
            *c = '_';
    return text;
}

void write_classic_hpa(const struct generate_plan *p, struct yaml_writer *w) {
    write_head(p, w);
    write_scrape_notes(p, w);
    yaml_text(w, "apiVersion", "autoscaling/v2");
    yaml_text(w, "kind", "HorizontalPodAutoscaler");
    write_metadata(p, w, p->name, false);
    yaml_map(w, "spec");
    write_target(p, w);
    yaml_int(w, "minReplicas", p->min);
    yaml_int(w, "maxReplicas", p->max);
    yaml_list(w, "metrics");
    yaml_comment(w,
                 "Replicas, so the target is 1. External, not custom.metrics.k8s.io: that API has "
                 "no kind ExternalMetric, and knows of no sums over a service.");
    yaml_item(w);
    yaml_text(w, "type", "External");
    yaml_map(w, "external");
    yaml_map(w, "metric");
    yaml_text(w, "name", metric_name(p));
    yaml_map_end(w);
    yaml_map(w, "target");
    yaml_text(w, "type", "AverageValue");
    yaml_quoted(w, "averageValue", "1");
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_item_end(w);
    write_damper(w, p->tolerance);
    yaml_map_end(w);
}

void write_classic_rules(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_comment(w, "prometheus-adapter (Helm values of prometheus-community/prometheus-adapter). "
                    "Only one provider of external.metrics.k8s.io fits into a cluster: not beside "
                    "KEDA.");
    yaml_map(w, "rules");
    yaml_list(w, "external");
    yaml_item(w);
    yaml_text(w, "seriesQuery",
              metric_of(p, ENGINE_QUEUE)[0] != '\0' ? metric_of(p, ENGINE_QUEUE)
                                                    : metric_of(p, ENGINE_REQUESTS_TOTAL));
    yaml_map(w, "resources");
    yaml_map(w, "overrides");
    yaml_map(w, "namespace");
    yaml_text(w, "resource", "namespace");
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_map(w, "name");
    yaml_text(w, "as", metric_name(p));
    yaml_map_end(w);
    yaml_block(w, "metricsQuery", expression(p));
    yaml_item_end(w);
    yaml_map_end(w);
}
