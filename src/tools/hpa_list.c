// SPDX-License-Identifier: Apache-2.0
/*
 * What kubectl prints, as cases: an HPA alone, or a List of HPAs with the Pods, PodMetrics and
 * scale targets that were asked for with them. Whose pods they are follows from their owners,
 * because an HPA does not carry the selector of its target.
 */
#include <stdio.h>

#include "base/mem.h"
#include "manifest/selector.h"
#include "tools/hpa_case.h"

static struct str text_of(const struct conf_node *map, const char *key) {
    for (const struct conf_node *n = map ? map->first : NULL; n; n = n->next)
        if (str_eqc(n->key, key) && n->kind == CONF_NODE_SCALAR)
            return n->text;
    return STR("");
}

static const struct conf_node *child_of(const struct conf_node *map, const char *key) {
    for (const struct conf_node *n = map && map->kind == CONF_NODE_MAP ? map->first : NULL; n;
         n = n->next)
        if (str_eqc(n->key, key))
            return n;
    return NULL;
}

static bool is_hpa(const struct conf_node *n) {
    return n->kind == CONF_NODE_MAP && str_eqc(text_of(n, "kind"), "HorizontalPodAutoscaler");
}

static const struct conf_node *items_of(const struct conf_node *root) {
    const struct conf_node *items = child_of(root, "items");
    return items && items->kind == CONF_NODE_LIST && str_ends(text_of(root, "kind"), "List") ? items
                                                                                             : NULL;
}

bool hpa_list_is(const struct conf_node *root) {
    return is_hpa(root) || items_of(root);
}

static bool named(const struct conf_node *object, const char *namespace_, const char *name) {
    const struct conf_node *meta = child_of(object, "metadata");
    struct str in = text_of(meta, "namespace");
    return str_eqc(in.n > 0 ? in : STR("default"), namespace_) &&
           (!name || str_eqc(text_of(meta, "name"), name));
}

// The target itself, where the list has it.
static const struct conf_node *find_target(const struct conf_node *items,
                                           const struct manifest_hpa *h) {
    for (const struct conf_node *n = items ? items->first : NULL; n; n = n->next)
        if (h->target_kind && h->target_name && n->kind == CONF_NODE_MAP &&
            str_eqc(text_of(n, "kind"), h->target_kind) && named(n, h->namespace_, h->target_name))
            return n;
    return NULL;
}

static void take_scale(struct manifest_reader *r, const struct conf_node *target,
                       struct hpa_case *c) {
    c->spec_replicas = 1; // what an unset spec.replicas means
    c->status_replicas = 0;
    (void)manifest_int32(r, manifest_map(r, target, "spec"), "replicas", &c->spec_replicas);
    (void)manifest_int32(r, manifest_map(r, target, "status"), "replicas", &c->status_replicas);
}

// Two HPAs of one target: Kubernetes sees that they select the same pods, and does nothing.
// `target` (may be NULL) tells by which selector.
static void find_rival(struct manifest_reader *r, const struct conf_node *items,
                       const struct conf_node *hpa, const struct conf_node *target,
                       struct hpa_case *c) {
    const struct manifest_hpa *h = &c->hpa;
    const struct conf_node *rival = items && c->n_pods > 0 && h->target_name ? items->first : NULL;
    for (; rival; rival = rival->next) {
        const struct conf_node *ref = child_of(child_of(rival, "spec"), "scaleTargetRef");
        if (rival != hpa && is_hpa(rival) && named(rival, h->namespace_, NULL) &&
            str_eqc(text_of(ref, "name"), h->target_name) &&
            str_eqc(text_of(ref, "kind"), h->target_kind ? h->target_kind : ""))
            break;
    }
    if (!rival || r->r < 0)
        return;
    const char *go, *kubectl = NULL;
    const struct conf_node *selector = manifest_map(r, manifest_map(r, target, "spec"), "selector");
    if (selector)
        manifest_selector_read(r, selector, &go, &kubectl);
    struct str name = text_of(child_of(rival, "metadata"), "name");
    c->selector = HPA_SELECTOR_AMBIGUOUS;
    c->selector_text = kubectl ? kubectl
                               : arena_printf(r->a, "of %s/%s",
                                              h->target_kind ? h->target_kind : "", h->target_name);
    c->selector_detail = arena_printf(r->a, "[{%s %s} {" STR_FMT " %s}]", h->name, h->namespace_,
                                      STR_ARG(name), h->namespace_);
    if (!c->selector_text || !c->selector_detail)
        (void)manifest_no_memory(r);
}

// Is the pod the target's? Its owner is the target, or a ReplicaSet that the target made.
static bool owns(const struct manifest_hpa *h, const struct manifest_pod *p) {
    if (!p->owner_kind || !p->owner_name || !h->target_kind || !h->target_name)
        return false;
    if (strcmp(p->owner_kind, h->target_kind) == 0)
        return strcmp(p->owner_name, h->target_name) == 0;
    char made[512];
    (void)snprintf(made, sizeof(made), "%s-%s", h->target_name,
                   p->template_hash ? p->template_hash : "");
    return strcmp(p->owner_kind, "ReplicaSet") == 0 && p->template_hash &&
           strcmp(p->owner_name, made) == 0;
}

static size_t count(const struct conf_node *items, const char *kind, const char *namespace_) {
    size_t n = 0;
    for (const struct conf_node *c = items->first; c; c = c->next)
        n += c->kind == CONF_NODE_MAP && str_eqc(text_of(c, "kind"), kind) &&
             named(c, namespace_, NULL);
    return n;
}

static void note_pods(struct manifest_reader *r, struct hpa_case *c, size_t all, bool owned) {
    const struct manifest_hpa *h = &c->hpa;
    if (!owned)
        hpa_case_note(r, c,
                      arena_printf(r->a,
                                   "none of the pods has an owner: all %zu of namespace %s are"
                                   " taken",
                                   all, h->namespace_));
    else if (c->n_pods < all)
        hpa_case_note(r, c,
                      arena_printf(r->a, "%zu of %zu pods belong to %s/%s, by their owners",
                                   c->n_pods, all, h->target_kind ? h->target_kind : "?",
                                   h->target_name ? h->target_name : "?"));
}

// The target's pods of the list; false: it has no pods at all of this namespace.
static bool take_pods(struct manifest_reader *r, const struct conf_node *items,
                      struct hpa_case *c) {
    size_t all = items ? count(items, "Pod", c->hpa.namespace_) : 0;
    if (all == 0)
        return false;
    struct manifest_pod *pods = manifest_array(r, all, sizeof(*pods));
    size_t n = 0;
    bool owned = false;
    for (const struct conf_node *p = items->first; p && pods && r->r == 0; p = p->next) {
        if (p->kind != CONF_NODE_MAP || !str_eqc(text_of(p, "kind"), "Pod") ||
            !named(p, c->hpa.namespace_, NULL))
            continue;
        manifest_pod_read(r, p, &pods[n]);
        owned |= r->r == 0 && pods[n++].owner_kind != NULL;
    }
    if (r->r < 0)
        return true;
    c->pods = pods;
    for (size_t i = 0; i < n; i++)
        if (!owned || owns(&c->hpa, &pods[i]))
            c->pods[c->n_pods++] = pods[i];
    if (c->n_pods > LIMIT_PODS_PER_WORKLOAD)
        (void)manifest_fail(r, NULL, ERR_LIMIT,
                            "HPA %s/%s: more than %d pods"
                            " (LIMIT_PODS_PER_WORKLOAD)",
                            c->hpa.namespace_, c->hpa.name, LIMIT_PODS_PER_WORKLOAD);
    note_pods(r, c, all, owned);
    return true;
}

static bool is_chosen(const struct hpa_case *c, const char *pod) {
    for (size_t i = 0; i < c->n_pods; i++)
        if (strcmp(c->pods[i].name, pod) == 0)
            return true;
    return false;
}

static void take_pod_metrics(struct manifest_reader *r, const struct conf_node *items,
                             struct hpa_case *c, bool has_pods) {
    size_t all = items ? count(items, "PodMetrics", c->hpa.namespace_) : 0;
    if (all == 0)
        return;
    c->pod_metrics = manifest_array(r, all, sizeof(*c->pod_metrics));
    c->has_pod_metrics = true;
    for (const struct conf_node *m = items->first; m && r->r == 0; m = m->next) {
        if (m->kind != CONF_NODE_MAP || !str_eqc(text_of(m, "kind"), "PodMetrics") ||
            !named(m, c->hpa.namespace_, NULL))
            continue;
        struct manifest_pod_metrics *to = &c->pod_metrics[c->n_pod_metrics];
        manifest_pod_metrics_read(r, m, to);
        if (r->r == 0 && (!has_pods || is_chosen(c, to->name)))
            c->n_pod_metrics++;
    }
}

static void read_one(const struct hpa_case_source *s, const struct conf_node *hpa,
                     const struct conf_node *items) {
    struct err e = {0};
    struct manifest_reader r = {.file = s->file, .a = s->a, .e = &e};
    struct hpa_case *c = hpa_case_new(&r, s, hpa);
    if (c) {
        manifest_hpa_read(&r, hpa, &c->hpa);
        if (r.r == 0) {
            const struct conf_node *target = find_target(items, &c->hpa);
            if (target)
                take_scale(&r, target, c);
            bool has_pods = take_pods(&r, items, c);
            take_pod_metrics(&r, items, c, has_pods);
            hpa_case_finish(&r, c, target != NULL, has_pods);
            find_rival(&r, items, hpa, target, c);
        }
    }
    s->on_case(s->ctx, r.r < 0 ? NULL : c, r.r < 0 ? &e : NULL);
}

void hpa_list_read(const struct hpa_case_source *s, const struct conf_node *root) {
    if (is_hpa(root)) {
        read_one(s, root, NULL);
        return;
    }
    const struct conf_node *items = items_of(root);
    bool any = false;
    for (const struct conf_node *n = items->first; n; n = n->next) {
        // Items of a HorizontalPodAutoscalerList from the API itself carry no kind.
        if (is_hpa(n) || str_eqc(text_of(root, "kind"), "HorizontalPodAutoscalerList")) {
            any = true;
            read_one(s, n, items);
        }
    }
    if (any)
        return;
    struct err e = {0};
    (void)err_set(&e, ERR_INVALID,
                  "%s:%u:%u: the list has no HorizontalPodAutoscaler; `kubectl get hpa,pods -o"
                  " json` prints them with their pods",
                  s->file, root->line, root->column);
    s->on_case(s->ctx, NULL, &e);
}
