// SPDX-License-Identifier: Apache-2.0
/*
 * --style managed and hpa, whose rule stands in the scaler's configuration; and which parts there
 * are by style.
 */
#include "base/mem.h"
#include "tools/generate_write.h"

// A rule's name: one for the whole cluster.
static const char *rule_name(const struct generate_plan *p) {
    char *text = arena_printf(p->a, "%s-%s", p->namespace_, p->name);
    for (char *c = text; c && *c; c++)
        *c = (char)(*c == '.' ? '-' : *c);
    return text;
}

// Does gpuscale only look on while something else scales? A trigger beside the present ones would
// make the HPA take the larger, a second HPA on the same pods would stop both: only a rule can.
static bool watches(const struct generate_plan *p) {
    const char *mode = plan_get(p, "mode");
    return p->flags->style == STYLE_GPUSCALE && p->from && !p->ours && mode &&
           strcmp(mode, "observe") == 0;
}

// A rule of the configuration, and a query, must name the namespace.
static void check_style(struct generate_plan *p) {
    enum generate_style style = (enum generate_style)p->flags->style;
    if ((style != STYLE_GPUSCALE || watches(p)) && !p->namespace_)
        (void)plan_fail(p, ERR_INVALID,
                        "in which namespace it is must be known here, and the input does not say: "
                        "--namespace NAME");
    bool rule = style == STYLE_MANAGED || style == STYLE_HPA || watches(p);
    if (rule && strcmp(p->target_kind, "Deployment") != 0 &&
        strcmp(p->target_kind, "StatefulSet") != 0)
        (void)plan_fail(
            p, ERR_INVALID,
            "a rule of the scaler's configuration scales a Deployment or a StatefulSet, "
            "this is a %s: --style gpuscale can",
            p->target_kind);
}

void write_scaler_rule(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_comment(w, "Into the scaler's configuration (the chart's values: scaler.config.rules):");
    yaml_map(w, "rules");
    yaml_map(w, rule_name(p));
    yaml_text(w, "namespace", p->namespace_);
    yaml_text(w, "target", p->workload_text);
    yaml_map(w, "metadata");
    write_settings(p, w);
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_map_end(w);
}

static void write_watching_rule(const struct generate_plan *p, struct yaml_writer *w) {
    write_head(p, w);
    yaml_comment(
        w,
        "%s %s goes on scaling it: nothing is to be applied. gpuscale decides and records "
        "beside it by a rule; a trigger among the present ones would make the HPA take the "
        "larger number, and a second HPA on the same pods would stop both.",
        p->from->object->kind, p->from->name);
    write_scaler_rule(p, w);
}

void write_managed_object(const struct generate_plan *p, struct yaml_writer *w) {
    write_head(p, w);
    yaml_comment(w, "For a KEDA that allows no external scalers: it asks Prometheus for gpuscale's "
                    "decision, which is as old as a scrape and a poll. The rule stands in the "
                    "scaler's configuration.");
    write_object_start(p, w);
    yaml_map(w, "advanced");
    yaml_map(w, "horizontalPodAutoscalerConfig");
    write_hpa_name(p, w);
    write_behavior(p, w);
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_list(w, "triggers");
    yaml_item(w);
    yaml_text(w, "type", "prometheus");
    yaml_comment(w, "The value is replicas: the sum over one that each serves.");
    yaml_text(w, "metricType", "AverageValue");
    yaml_map(w, "metadata");
    yaml_text(w, "serverAddress", p->flags->prometheus);
    yaml_comment(w,
                 "max: while a leader changes, two scalers may tell the same decision. Prometheus "
                 "scrapes the scaler with honorLabels: true.");
    const char *query = arena_printf(
        p->a, "max(gpuscale_desired_replicas{namespace=\"%s\",workload=\"%s\"})", p->namespace_,
        p->workload_text);
    yaml_text(w, "query", query);
    yaml_quoted(w, "threshold", "1");
    yaml_comment(w, "The series is absent while nothing is known: an error, so that the fallback "
                    "acts, never 0.");
    yaml_quoted(w, "ignoreNullValues", "false");
    yaml_map_end(w);
    yaml_item_end(w);
    write_kept_triggers(p, w);
    yaml_map_end(w);
}

void write_hpa(const struct generate_plan *p, struct yaml_writer *w) {
    write_head(p, w);
    yaml_comment(w,
                 "Without KEDA: the HPA asks gpuscale through external.metrics.k8s.io (metricsAPI "
                 "in the scaler's configuration, where the rule stands).");
    yaml_text(w, "apiVersion", "autoscaling/v2");
    yaml_text(w, "kind", "HorizontalPodAutoscaler");
    write_metadata(p, w, p->from && p->from->is_hpa ? p->from->name : p->name, false);
    yaml_map(w, "spec");
    write_target(p, w);
    if (p->min == 0)
        yaml_comment(w, "0 needs Kubernetes 1.37 (the gate HPAScaleToZero before).");
    write_sentence(p, w, p->min_why);
    yaml_int(w, "minReplicas", p->min);
    write_sentence(p, w, p->max_why);
    yaml_int(w, "maxReplicas", p->max);
    yaml_list(w, "metrics");
    yaml_item(w);
    yaml_text(w, "type", "External");
    yaml_map(w, "external");
    yaml_map(w, "metric");
    yaml_text(w, "name", "desired-replicas");
    yaml_map(w, "selector");
    yaml_map(w, "matchLabels");
    yaml_text(w, "gpuscale.io/rule", rule_name(p));
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_map(w, "target");
    yaml_text(w, "type", "AverageValue");
    yaml_quoted(w, "averageValue", "1");
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_item_end(w);
    write_behavior(p, w);
    yaml_map_end(w);
}

static void add(struct generate_plan *p, struct generate_part *parts, size_t *n, const char *end,
                void (*write)(const struct generate_plan *, struct yaml_writer *)) {
    const char *file = plan_text(p, "%s-%s", p->name, end);
    parts[(*n)++] = (struct generate_part){
        .file = file, .manifest = str_ends(str_from(file), ".yaml"), .write = write};
}

static bool wants_policy(const struct generate_plan *p) {
    return p->closed && p->workload && p->engine.port > 0;
}

size_t generate_parts(struct generate_plan *p, struct generate_part parts[GENERATE_PARTS]) {
    size_t n = 0;
    check_style(p);
    if (p->r < 0)
        return 0;
    switch ((enum generate_style)p->flags->style) {
    case STYLE_GPUSCALE:
        if (watches(p))
            add(p, parts, &n, "scaler-rules.txt", write_watching_rule);
        else
            add(p, parts, &n, "scaledobject.yaml", write_scaled_object);
        break;
    case STYLE_PROMETHEUS:
        classic_check(p);
        if (p->flags->adapter) {
            add(p, parts, &n, "hpa.yaml", write_classic_hpa);
            add(p, parts, &n, "adapter-values.txt", write_classic_rules);
        } else {
            add(p, parts, &n, "scaledobject.yaml", write_classic_object);
        }
        return n;
    case STYLE_MANAGED:
        add(p, parts, &n, "scaledobject.yaml", write_managed_object);
        add(p, parts, &n, "scaler-rules.txt", write_scaler_rule);
        break;
    case STYLE_HPA:
        add(p, parts, &n, "hpa.yaml", write_hpa);
        add(p, parts, &n, "scaler-rules.txt", write_scaler_rule);
        break;
    }
    if (wants_policy(p))
        add(p, parts, &n, "networkpolicy.yaml", write_network_policy);
    return n;
}
