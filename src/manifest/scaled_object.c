// SPDX-License-Identifier: Apache-2.0
/* ScaledObjects and HPAs; see the header. */
#include "manifest/scaled_object.h"

#include <ctype.h>
#include <stdio.h>

bool manifest_is_scaled(const struct manifest_object *o) {
    return strcmp(o->kind, "ScaledObject") == 0 || strcmp(o->kind, "HorizontalPodAutoscaler") == 0;
}

const char *manifest_trigger_value(const struct manifest_trigger *t, const char *key) {
    for (size_t i = 0; i < t->n_metadata; i++)
        if (strcmp(t->metadata[i].name, key) == 0)
            return t->metadata[i].value;
    return NULL;
}

static const char *text_or(struct manifest_reader *r, const struct conf_node *map, const char *key,
                           const char *otherwise) {
    const char *text = manifest_text(r, map, key);
    return text ? text : otherwise;
}

static void read_keda_trigger(struct manifest_reader *r, const struct conf_node *n,
                              struct manifest_trigger *t) {
    if (!manifest_is_map(r, n, "a trigger"))
        return;
    const struct conf_node *metadata = manifest_map(r, n, "metadata");
    *t = (struct manifest_trigger){.type = manifest_text(r, n, "type"),
                                   .name = text_or(r, n, "name", ""),
                                   .metric_type = text_or(r, n, "metricType", ""),
                                   .at = n};
    if (r->r == 0 && !t->type)
        (void)manifest_fail(r, n, ERR_INVALID, "a trigger needs a type, as in 'type: prometheus'");
    t->metadata = manifest_array(r, metadata ? metadata->children : 0, sizeof(*t->metadata));
    for (const struct conf_node *m = metadata ? metadata->first : NULL; m && t->metadata;
         m = m->next) {
        if (m->kind != CONF_NODE_SCALAR) {
            (void)manifest_fail(r, m, ERR_INVALID,
                                "'%s': found %s, expected a text: KEDA's metadata are texts",
                                m->key.p, m->kind == CONF_NODE_MAP ? "a map" : "a list");
            return;
        }
        t->metadata[t->n_metadata++] = (struct manifest_pair){.name = m->key.p, .value = m->text.p};
    }
}

static void add_pair(struct manifest_trigger *t, const char *name, const char *value) {
    if (value)
        t->metadata[t->n_metadata++] = (struct manifest_pair){.name = name, .value = value};
}

// A metric of an HPA as a trigger.
static void read_hpa_metric(struct manifest_reader *r, const struct conf_node *n,
                            struct manifest_trigger *t) {
    static const struct {
        const char *type, *key, *trigger;
    } types[] = {{"Resource", "resource", NULL},
                 {"ContainerResource", "containerResource", NULL},
                 {"Pods", "pods", "pods"},
                 {"External", "external", "external"},
                 {"Object", "object", "object"}};
    *t = (struct manifest_trigger){.type = "", .name = "", .metric_type = "", .at = n};
    const char *type = manifest_text(r, n, "type");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && type; i++) {
        if (strcmp(types[i].type, type) != 0)
            continue;
        const struct conf_node *body = manifest_map(r, n, types[i].key);
        const struct conf_node *target = manifest_map(r, body, "target");
        const char *name = types[i].trigger
                               ? manifest_text(r, manifest_map(r, body, "metric"), "name")
                               : manifest_text(r, body, "name");
        t->type = types[i].trigger ? types[i].trigger : name ? name : "";
        t->metric_type = text_or(r, target, "type", "");
        t->metadata = manifest_array(r, 4, sizeof(*t->metadata));
        if (!t->metadata)
            return;
        add_pair(t, "metricName", types[i].trigger ? name : NULL);
        const char *value = manifest_text(r, target, "averageUtilization");
        if (!value)
            value = manifest_text(r, target, "averageValue");
        add_pair(t, types[i].trigger ? "threshold" : "value",
                 value ? value : manifest_text(r, target, "value"));
    }
}

static void read_target(struct manifest_reader *r, const struct conf_node *spec,
                        struct manifest_scaled *s) {
    const struct conf_node *target = manifest_map(r, spec, "scaleTargetRef");
    s->target_name = manifest_text(r, target, "name");
    s->target_api = text_or(r, target, "apiVersion", "apps/v1");
    s->target_kind = text_or(r, target, "kind", "Deployment");
    if (r->r == 0 && !s->target_name)
        (void)manifest_fail(r, spec ? spec : s->object->root, ERR_INVALID,
                            "%s %s: spec.scaleTargetRef.name is missing", s->object->kind, s->name);
}

void manifest_scaled_read(struct manifest_reader *r, const struct manifest_object *o,
                          struct manifest_scaled *ret) {
    const struct conf_node *meta = manifest_map(r, o->root, "metadata");
    const struct conf_node *spec = manifest_map(r, o->root, "spec");
    bool hpa = strcmp(o->kind, "HorizontalPodAutoscaler") == 0;
    *ret = (struct manifest_scaled){
        .object = o,
        .is_hpa = hpa,
        .name = text_or(r, meta, "name", ""),
        .namespace_ = manifest_text(r, meta, "namespace"),
        .min = hpa ? 1 : 0,
        .max = 100,
        .labels = manifest_map(r, meta, "labels"),
        .annotations = manifest_map(r, meta, "annotations"),
        .spec = spec,
    };
    if (r->r == 0 && ret->name[0] == '\0')
        (void)manifest_fail(r, o->root, ERR_INVALID, "%s: metadata.name is missing", o->kind);
    read_target(r, spec, ret);
    ret->min_told = manifest_int32(r, spec, hpa ? "minReplicas" : "minReplicaCount", &ret->min);
    ret->max_told = manifest_int32(r, spec, hpa ? "maxReplicas" : "maxReplicaCount", &ret->max);
    if (!hpa) {
        ret->advanced = manifest_map(r, spec, "advanced");
        ret->hpa_config = manifest_map(r, ret->advanced, "horizontalPodAutoscalerConfig");
    }
    ret->behavior = manifest_map(r, hpa ? spec : ret->hpa_config, "behavior");
    const struct conf_node *list = manifest_list(r, spec, hpa ? "metrics" : "triggers");
    ret->triggers = manifest_array(r, list ? list->children : 0, sizeof(*ret->triggers));
    for (const struct conf_node *n = list ? list->first : NULL; n && ret->triggers; n = n->next) {
        struct manifest_trigger *t = &ret->triggers[ret->n_triggers++];
        if (hpa)
            read_hpa_metric(r, n, t);
        else
            read_keda_trigger(r, n, t);
    }
}
