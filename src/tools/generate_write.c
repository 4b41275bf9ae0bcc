// SPDX-License-Identifier: Apache-2.0
/* KEDA's ScaledObject with gpuscale's trigger, and what all styles share; see the header. */
#include "tools/generate_write.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"

enum { HPA_NAME_BYTES = 63, HPA_PREFIX_BYTES = 9 }; // "keda-hpa-"

static const char *kind_of(const struct generate_plan *p) {
    return p->workload ? p->workload->kind : p->target_kind;
}

void write_sentence(const struct generate_plan *p, struct yaml_writer *w, const char *text) {
    char *s = text && text[0]
                  ? arena_printf(p->a, "%s%s", text, str_ends(str_from(text), ".") ? "" : ".")
                  : NULL;
    if (!s)
        return;
    s[0] = (char)toupper((unsigned char)s[0]);
    yaml_comment(w, "%s", s);
}

void write_head(const struct generate_plan *p, struct yaml_writer *w) {
    const struct manifest_scalable *d = p->workload;
    yaml_comment(w, "%s %s%s%s, by gpuscale generate %s", kind_of(p),
                 p->namespace_ ? p->namespace_ : "", p->namespace_ ? "/" : "", p->target_name,
                 GPUSCALE_VERSION);
    yaml_comment(w, "Engine %s (%s): %s.", p->engine.preset->name, p->engine.preset->title,
                 p->engine.why);
    if (p->engine.port > 0)
        yaml_comment(w, "Metrics page: port %u%s%s.", p->engine.port,
                     p->engine.port_why && p->engine.port_why[0] ? ", " : "",
                     p->engine.port_why ? p->engine.port_why : "");
    if (d && d->gpus > 0)
        yaml_comment(w, "A replica has %lld %s%s.", (long long)d->gpus, d->gpu_resource,
                     d->pods_per_replica > 1 ? " in all its pods" : "");
    for (size_t i = 0; i < p->n_remarks; i++)
        yaml_comment(w, "%s", p->remarks[i]);
}

// kubectl's own note would say that the old one was applied; KEDA writes its label itself.
static bool is_written_by_others(struct str key) {
    return str_eqc(key, "kubectl.kubernetes.io/last-applied-configuration") ||
           str_eqc(key, "scaledobject.keda.sh/name");
}

// `hpa`: they are of an HPA that is there.
static void write_pairs(struct yaml_writer *w, const char *key, const struct conf_node *map,
                        bool hpa) {
    bool open = hpa;
    if (hpa) {
        yaml_map(w, key);
        yaml_comment(w, "KEDA takes the HPA that is there over, instead of refusing a second one.");
        yaml_quoted(w, "scaledobject.keda.sh/transfer-hpa-ownership", "true");
    }
    for (const struct conf_node *n = map ? map->first : NULL; n; n = n->next) {
        if (n->kind != CONF_NODE_SCALAR || is_written_by_others(n->key))
            continue;
        if (!open)
            yaml_map(w, key);
        open = true;
        yaml_tree(w, n->key.p, n);
    }
    if (open)
        yaml_map_end(w);
}

void write_metadata(const struct generate_plan *p, struct yaml_writer *w, const char *name,
                    bool of_from) {
    yaml_map(w, "metadata");
    yaml_text(w, "name", name);
    if (p->namespace_)
        yaml_text(w, "namespace", p->namespace_);
    if (of_from && p->from) {
        write_pairs(w, "labels", p->from->labels, false);
        write_pairs(w, "annotations", p->from->annotations, p->from->is_hpa);
    }
    yaml_map_end(w);
}

void write_target(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_map(w, "scaleTargetRef");
    yaml_text(w, "apiVersion", p->target_api);
    yaml_text(w, "kind", p->target_kind);
    yaml_text(w, "name", p->target_name);
    yaml_map_end(w);
}

void write_bounds(const struct generate_plan *p, struct yaml_writer *w) {
    write_sentence(p, w, p->min_why);
    yaml_int(w, "minReplicaCount", p->min);
    write_sentence(p, w, p->max_why);
    yaml_int(w, "maxReplicaCount", p->max);
}

static const struct conf_node *member(const struct conf_node *map, const char *key) {
    for (const struct conf_node *n = map && map->kind == CONF_NODE_MAP ? map->first : NULL; n;
         n = n->next)
        if (str_eqc(n->key, key))
            return n;
    return NULL;
}

// One direction, with what `from` says of it.
static void write_direction(const struct generate_plan *p, struct yaml_writer *w, const char *key,
                            bool down) {
    const struct conf_node *had = p->from ? member(p->from->behavior, key) : NULL;
    yaml_map(w, key);
    if (down)
        yaml_int(w, "stabilizationWindowSeconds", 0);
    if (p->tolerance && !member(had, "tolerance"))
        yaml_quoted(w, "tolerance", "0");
    if (!p->tolerance && !down && !had)
        yaml_int(w, "stabilizationWindowSeconds", 0);
    for (const struct conf_node *n = had && had->kind == CONF_NODE_MAP ? had->first : NULL; n;
         n = n->next)
        if (!down || !str_eqc(n->key, "stabilizationWindowSeconds"))
            yaml_tree(w, n->key.p, n);
    yaml_map_end(w);
}

void write_behavior(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_comment(w, "The number is damped already (downWindow): a window of the HPA's would only "
                    "hold it longer.");
    if (p->tolerance)
        yaml_comment(w, "Tolerance 0: the HPA's own 10 %% would swallow changes by one from ten "
                        "replicas on (Kubernetes 1.35 and later).");
    else
        yaml_comment(w, "Kubernetes before 1.35 has no tolerance here: its 10 %% swallow a change "
                        "by one from ten replicas on, downward from twenty on.");
    yaml_map(w, "behavior");
    write_direction(p, w, "scaleUp", false);
    write_direction(p, w, "scaleDown", true);
    yaml_map_end(w);
}

void write_hpa_name(const struct generate_plan *p, struct yaml_writer *w) {
    const struct conf_node *had = p->from ? member(p->from->hpa_config, "name") : NULL;
    if (had)
        yaml_tree(w, "name", had);
    else if (p->from && p->from->is_hpa)
        yaml_text(w, "name", p->from->name);
    else if (strlen(p->name) + HPA_PREFIX_BYTES > HPA_NAME_BYTES)
        yaml_text(w, "name", p->name); // keda-hpa-NAME would be too long for a label
}

static void write_advanced(const struct generate_plan *p, struct yaml_writer *w) {
    const struct conf_node *had = p->from ? p->from->advanced : NULL;
    const struct conf_node *formula = member(had, "scalingModifiers");
    yaml_map(w, "advanced");
    for (const struct conf_node *n = had ? had->first : NULL; n; n = n->next)
        if (!str_eqc(n->key, "horizontalPodAutoscalerConfig") &&
            !str_eqc(n->key, "scalingModifiers"))
            yaml_tree(w, n->key.p, n);
    if (formula && formula->first) // KEDA itself writes an empty one into every ScaledObject
        yaml_comment(w, "scalingModifiers are left out: their formula was over the old triggers; "
                        "`when` says what is to be true together.");
    yaml_map(w, "horizontalPodAutoscalerConfig");
    write_hpa_name(p, w);
    write_behavior(p, w);
    yaml_map_end(w);
    yaml_map_end(w);
}

void write_fallback(const struct generate_plan *p, struct yaml_writer *w) {
    const struct conf_node *had = p->from ? member(p->from->spec, "fallback") : NULL;
    yaml_comment(w, "While nothing can be asked, or nothing is known: what runs stays, and no "
                    "less than this.");
    yaml_map(w, "fallback");
    const struct conf_node *threshold = member(had, "failureThreshold");
    const struct conf_node *replicas = member(had, "replicas");
    if (threshold)
        yaml_tree(w, "failureThreshold", threshold);
    else
        yaml_int(w, "failureThreshold", 3);
    if (replicas)
        yaml_tree(w, "replicas", replicas);
    else
        yaml_int(w, "replicas", p->replicas > p->min ? p->replicas : p->min);
    yaml_text(w, "behavior", "currentReplicasIfHigher");
    yaml_map_end(w);
}

// Fields of the old spec that no choice here is about: pollingInterval, cooldownPeriod, ...
void write_kept_fields(const struct generate_plan *p, struct yaml_writer *w) {
    static const char *const ours[] = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount",
                                       "fallback",       "advanced",        "triggers"};
    const struct conf_node *spec = p->from && !p->from->is_hpa ? p->from->spec : NULL;
    for (const struct conf_node *n = spec ? spec->first : NULL; n; n = n->next) {
        bool written = false;
        for (size_t i = 0; i < COUNT_OF(ours); i++)
            written = written || str_eqc(n->key, ours[i]);
        // At idle only something that knows of requests could wake it.
        written = written || (str_eqc(n->key, "idleReplicaCount") && !p->demand && p->n_kept == 0);
        if (!written && p->min > 0 && !p->idles && str_eqc(n->key, "cooldownPeriod"))
            yaml_comment(w, "Kept; it counts only on the way to zero.");
        if (!written)
            yaml_tree(w, n->key.p, n);
    }
    if (p->min > 0 || member(spec, "cooldownPeriod"))
        return;
    bool running = engine_preset_provides(p->engine.preset) >> ENGINE_RUNNING & 1;
    yaml_comment(w, "%s",
                 running ? "Idle for so long, then to zero."
                         : "Idle for so long, then to zero. This engine does not tell what "
                           "runs: keep it above your longest request.");
    yaml_int(w, "cooldownPeriod", 300);
}

void write_settings(const struct generate_plan *p, struct yaml_writer *w) {
    // In the order of the flags, then what --set and --from brought.
    for (int known = 1; known >= 0; known--)
        for (unsigned k = 0; known ? generate_key(k) != NULL : k == 0; k++)
            for (size_t i = 0; i < p->n_settings; i++) {
                const struct generate_setting *s = &p->settings[i];
                bool is_known = false;
                for (unsigned j = 0; generate_key(j); j++)
                    is_known = is_known || strcmp(generate_key(j), s->key) == 0;
                if (known ? strcmp(generate_key(k), s->key) != 0 : is_known)
                    continue;
                write_sentence(p, w, s->why);
                yaml_quoted(w, s->key, s->value);
            }
}

static void write_our_trigger(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_comment(w, "%s",
                 p->demand ? "external-push: the scaler wakes the service at zero at once, KEDA "
                             "does not have to ask first."
                           : "external: without a demand source nothing could be pushed.");
    yaml_item(w);
    yaml_text(w, "type", p->demand ? "external-push" : "external");
    yaml_map(w, "metadata");
    yaml_text(w, "scalerAddress", p->flags->scaler);
    write_settings(p, w);
    yaml_map_end(w);
    if (p->flags->authentication[0] != '\0') {
        yaml_comment(w, "KEDA's certificate; the chart makes it, and gpuscale certs --manifests.");
        yaml_map(w, "authenticationRef");
        yaml_text(w, "name", p->flags->authentication);
        yaml_text(w, "kind", "ClusterTriggerAuthentication");
        yaml_map_end(w);
    }
    yaml_item_end(w);
}

void write_kept_triggers(const struct generate_plan *p, struct yaml_writer *w) {
    for (size_t i = 0; i < p->n_kept; i++) {
        yaml_item(w);
        for (const struct conf_node *n = p->kept[i]->at->first; n; n = n->next)
            yaml_tree(w, n->key.p, n);
        yaml_item_end(w);
    }
}

void write_object_start(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_text(w, "apiVersion", "keda.sh/v1alpha1");
    yaml_text(w, "kind", "ScaledObject");
    write_metadata(p, w, p->name, true);
    yaml_map(w, "spec");
    write_target(p, w);
    write_bounds(p, w);
    write_kept_fields(p, w);
    write_fallback(p, w);
}

void write_scaled_object(const struct generate_plan *p, struct yaml_writer *w) {
    write_head(p, w);
    write_object_start(p, w);
    write_advanced(p, w);
    yaml_list(w, "triggers");
    write_our_trigger(p, w);
    write_kept_triggers(p, w);
    yaml_map_end(w);
}

// ---- NetworkPolicy ------------------------------------------------------------------------------

static void write_pod_selector(const struct generate_plan *p, struct yaml_writer *w) {
    const struct manifest_scalable *d = p->workload;
    if (d->selector) {
        yaml_tree(w, "podSelector", d->selector);
        return;
    }
    yaml_map(w, "podSelector");
    yaml_map(w, "matchLabels");
    if (strcmp(d->kind, "LeaderWorkerSet") == 0) {
        yaml_text(w, "leaderworkerset.sigs.k8s.io/name", d->name);
        yaml_quoted(w, "leaderworkerset.sigs.k8s.io/worker-index", "0");
    } else {
        for (size_t i = 0; i < d->n_labels; i++)
            yaml_text(w, d->labels[i].name, d->labels[i].value);
    }
    yaml_map_end(w);
    yaml_map_end(w);
}

void write_network_policy(const struct generate_plan *p, struct yaml_writer *w) {
    yaml_comment(w,
                 "The scaler reads the engines' page; nothing else is opened. A policy closes the "
                 "pods that it selects for all that no policy allows: apply this one only where "
                 "another one closes them already and lets your clients in.");
    yaml_text(w, "apiVersion", "networking.k8s.io/v1");
    yaml_text(w, "kind", "NetworkPolicy");
    const char *name = arena_printf(p->a, "%s-gpuscale", p->target_name);
    write_metadata(p, w, name, false);
    yaml_map(w, "spec");
    write_pod_selector(p, w);
    yaml_list(w, "policyTypes");
    yaml_entry(w, "Ingress");
    yaml_list(w, "ingress");
    yaml_item(w);
    yaml_list(w, "from");
    yaml_item(w);
    yaml_map(w, "namespaceSelector");
    yaml_map(w, "matchLabels");
    yaml_text(w, "kubernetes.io/metadata.name", p->flags->scaler_namespace);
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_map(w, "podSelector");
    yaml_map(w, "matchLabels");
    yaml_text(w, "app.kubernetes.io/name", "gpuscale-scaler");
    yaml_map_end(w);
    yaml_map_end(w);
    yaml_item_end(w);
    yaml_list(w, "ports");
    yaml_item(w);
    yaml_text(w, "protocol", "TCP");
    yaml_int(w, "port", p->engine.port);
    yaml_item_end(w);
    yaml_item_end(w);
    yaml_map_end(w);
}
