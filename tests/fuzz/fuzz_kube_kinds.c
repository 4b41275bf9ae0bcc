// SPDX-License-Identifier: Apache-2.0
/*
 * Objects of every kind that is followed: any JSON, the kind by the first byte. What is read has no
 * text that is NULL, keeps to its limit, and lies in memory as large as it needs.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "fuzz.h"
#include "kube/kinds.h"

static const struct kube_kind *const kinds[] = {
    &kube_pods,        &kube_nodes,  &kube_endpoint_slices, &kube_leases, &kube_resource_slices,
    &kube_deployments, &kube_scales, &kube_scaled_objects,  &kube_hpas};

static void text(const char *s) {
    require(s != NULL && strlen(s) < LIMIT_KUBE_KEPT_BYTES);
}

static void labels(const struct kube_label *l, size_t n) {
    for (size_t i = 0; i < n; i++)
        text(l[i].key), text(l[i].value);
}

static void pod(const struct kube_pod *p) {
    text(p->phase), text(p->reason), text(p->ip), text(p->node), text(p->unschedulable);
    require(strlen(p->unschedulable) <= 256);
    for (size_t i = 0; i < p->n_containers; i++)
        text(p->containers[i].name), text(p->containers[i].waiting);
    for (size_t i = 0; i < p->n_claims; i++)
        text(p->claims[i]);
}

static void slice(const struct kube_endpoint_slice *s) {
    text(s->service);
    for (size_t i = 0; i < s->n_ports; i++)
        text(s->ports[i].name);
    for (size_t i = 0; i < s->n_endpoints; i++)
        text(s->endpoints[i].address), text(s->endpoints[i].pod), text(s->endpoints[i].node);
}

static void devices(const struct kube_resource_slice *s) {
    text(s->driver), text(s->node), text(s->pool);
    for (size_t i = 0; i < s->n_devices; i++)
        text(s->devices[i].name), text(s->devices[i].uuid);
}

static void scaled_object(const struct kube_scaled_object *s) {
    text(s->target_api), text(s->target_kind), text(s->target_name), text(s->hpa);
    text(s->ready), text(s->active), text(s->fallback);
    for (size_t i = 0; i < s->n_triggers; i++) {
        text(s->triggers[i].type), text(s->triggers[i].name), text(s->triggers[i].metric_type);
        text(s->triggers[i].auth_kind), text(s->triggers[i].auth_name);
        labels(s->triggers[i].metadata, s->triggers[i].n_metadata);
    }
}

static void look(const struct kube_object *o) {
    text(o->key), text(o->namespace_), text(o->name), text(o->uid), text(o->version);
    text(o->owner_kind), text(o->owner_name), text(o->owner_uid);
    labels(o->labels, o->n_labels);
    require(o->memory.used == o->memory.max && o->memory.used <= LIMIT_KUBE_KEPT_BYTES);
    if (o->kind == &kube_pods)
        pod((const struct kube_pod *)o);
    else if (o->kind == &kube_endpoint_slices)
        slice((const struct kube_endpoint_slice *)o);
    else if (o->kind == &kube_resource_slices)
        devices((const struct kube_resource_slice *)o);
    else if (o->kind == &kube_scaled_objects)
        scaled_object((const struct kube_scaled_object *)o);
    else if (o->kind == &kube_deployments)
        text(((const struct kube_workload *)o)->selector);
    else if (o->kind == &kube_scales)
        text(((const struct kube_scale *)o)->selector);
    else if (o->kind == &kube_leases)
        text(((const struct kube_lease *)o)->address);
    else if (o->kind == &kube_hpas)
        text(((const struct kube_hpa *)o)->active);
    else
        text(((const struct kube_node *)o)->ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP_JSON json_t *json = NULL;
    struct kube_object *o = NULL;
    struct err e = {0};
    if (size == 0)
        return 0;
    const struct kube_kind *kind = kinds[data[0] % COUNT_OF(kinds)];
    int r = kube_json_parse((struct str){(const char *)data + 1, size - 1}, &json, &e);
    r = r ? r : kube_object_read(&o, kind, json, &e);
    if (r < 0) {
        require_message(&e);
        return 0;
    }
    look(o);
    kube_object_free(o);
    return 0;
}
