// SPDX-License-Identifier: Apache-2.0
/* Readers of pods, nodes, endpoint slices, leases and resource slices. */
#include "kube/kinds.h"

#include "base/buf.h"

enum { WORDS_MAX = 256 };

static const json_t *get(const json_t *json, const char *key) {
    return json_object_get(json, key);
}

static const char *text(const json_t *json, const char *key) {
    const char *s = json_string_value(get(json, key));
    return s ? s : "";
}

static const char *copy_cut(struct kube_reader *r, const char *s) {
    char cut[WORDS_MAX + 1];
    size_t n = strlen(s);
    if (n <= WORDS_MAX)
        return kube_read_copy(r, s);
    for (n = WORDS_MAX; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
        n--; // no character is cut
    memcpy(cut, s, n);
    cut[n] = '\0';
    return kube_read_copy(r, cut);
}

// GPUs in a list of resources.
static int64_t count_gpus(const json_t *resources) {
    int64_t n = 0;
    void *at = json_object_iter((json_t *)(uintptr_t)resources);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)resources, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "nvidia.com/gpu") == 0 || strcmp(key, "nvidia.com/gpu.shared") == 0 ||
            str_starts(str_from(key), "nvidia.com/mig-"))
            n += kube_read_quantity(resources, key);
    }
    return n;
}

// Extended resources have a request equal to their limit; a request alone may be left out.
static int64_t container_gpus(const json_t *container) {
    const json_t *resources = get(container, "resources");
    int64_t limits = count_gpus(get(resources, "limits"));
    int64_t requests = count_gpus(get(resources, "requests"));
    return limits > requests ? limits : requests;
}

static int64_t pod_gpus(const json_t *spec) {
    const json_t *init = get(spec, "initContainers"), *all = get(spec, "containers");
    int64_t together = 0, largest = 0, sidecars = 0;
    for (size_t i = 0; i < json_array_size(init); i++) {
        const json_t *c = json_array_get(init, i);
        int64_t n = container_gpus(c);
        if (strcmp(text(c, "restartPolicy"), "Always") == 0)
            sidecars += n;
        else if (n + sidecars > largest)
            largest = n + sidecars;
    }
    together = sidecars;
    for (size_t i = 0; i < json_array_size(all); i++)
        together += container_gpus(json_array_get(all, i));
    return together > largest ? together : largest;
}

static const json_t *condition(const json_t *status, const char *type) {
    const json_t *all = get(status, "conditions");
    for (size_t i = 0; i < json_array_size(all); i++)
        if (strcmp(text(json_array_get(all, i), "type"), type) == 0)
            return json_array_get(all, i);
    return NULL;
}

static void read_containers(struct kube_pod *p, const json_t *all, struct kube_reader *r) {
    p->containers = kube_read_array(r, json_array_size(all), sizeof(*p->containers));
    for (size_t i = 0; p->containers && i < json_array_size(all); i++) {
        const json_t *c = json_array_get(all, i), *state = get(c, "state");
        p->containers[p->n_containers++] = (struct kube_container){
            .name = kube_read_text(r, c, "name"),
            .ready = kube_read_bool(c, "ready", false),
            .restarts = kube_read_int(c, "restartCount", 0),
            .started_ns = kube_read_time_ns(get(state, "running"), "startedAt"),
            .waiting = kube_read_text(r, get(state, "waiting"), "reason")};
    }
}

// spec.resourceClaims name a claim, or a template of which status tells the claim that was made.
static void read_claims(struct kube_pod *p, const json_t *spec, const json_t *status,
                        struct kube_reader *r) {
    const json_t *named = get(spec, "resourceClaims"), *made = get(status, "resourceClaimStatuses");
    size_t n = json_array_size(named) + json_array_size(made);
    p->claims = kube_read_array(r, n, sizeof(*p->claims));
    for (size_t i = 0; p->claims && i < n; i++) {
        const json_t *c = i < json_array_size(named)
                              ? json_array_get(named, i)
                              : json_array_get(made, i - json_array_size(named));
        const char *name = text(c, "resourceClaimName");
        if (*name)
            p->claims[p->n_claims++] = kube_read_copy(r, name);
    }
}

static void read_pod(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_pod *p = container_of(o, struct kube_pod, o);
    const json_t *spec = get(json, "spec"), *status = get(json, "status");
    const json_t *ready = condition(status, "Ready");
    const json_t *scheduled = condition(status, "PodScheduled");
    p->phase = kube_read_text(r, status, "phase");
    p->reason = kube_read_text(r, status, "reason");
    p->ip = kube_read_text(r, status, "podIP");
    p->node = kube_read_text(r, spec, "nodeName");
    p->ready = strcmp(text(ready, "status"), "True") == 0;
    p->ready_ns = kube_read_time_ns(ready, "lastTransitionTime");
    p->started_ns = kube_read_time_ns(status, "startTime");
    p->unschedulable = "";
    if (strcmp(text(scheduled, "status"), "False") == 0 &&
        strcmp(text(scheduled, "reason"), "Unschedulable") == 0) {
        p->unschedulable_ns = kube_read_time_ns(scheduled, "lastTransitionTime");
        p->unschedulable = copy_cut(r, text(scheduled, "message"));
    }
    p->gpus = pod_gpus(spec);
    read_containers(p, get(status, "containerStatuses"), r);
    read_claims(p, spec, status, r);
}

static void read_node(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_node *n = container_of(o, struct kube_node, o);
    const json_t *status = get(json, "status"), *addresses = get(status, "addresses");
    n->ip = "";
    for (size_t i = 0; i < json_array_size(addresses) && !*n->ip; i++)
        if (strcmp(text(json_array_get(addresses, i), "type"), "InternalIP") == 0)
            n->ip = kube_read_text(r, json_array_get(addresses, i), "address");
    n->ready = strcmp(kube_json_condition(status, "Ready"), "True") == 0;
    n->unschedulable = kube_read_bool(get(json, "spec"), "unschedulable", false);
    n->gpus = count_gpus(get(status, "allocatable"));
}

static void read_endpoint(struct kube_endpoint *e, const json_t *json, struct kube_reader *r) {
    const json_t *conditions = get(json, "conditions"), *target = get(json, "targetRef");
    const char *address = json_string_value(json_array_get(get(json, "addresses"), 0));
    *e = (struct kube_endpoint){
        .address = kube_read_copy(r, address),
        .pod = strcmp(text(target, "kind"), "Pod") == 0 ? kube_read_text(r, target, "name") : "",
        .node = kube_read_text(r, json, "nodeName"),
        .ready = kube_read_bool(conditions, "ready", true),
        .terminating = kube_read_bool(conditions, "terminating", false)};
}

static void read_slice(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_endpoint_slice *s = container_of(o, struct kube_endpoint_slice, o);
    const json_t *ports = get(json, "ports"), *endpoints = get(json, "endpoints");
    const char *service = kube_object_label(o, "kubernetes.io/service-name");
    s->service = service ? service : "";
    s->ports = kube_read_array(r, json_array_size(ports), sizeof(*s->ports));
    for (size_t i = 0; s->ports && i < json_array_size(ports); i++)
        s->ports[s->n_ports++] = (struct kube_port){
            .name = kube_read_text(r, json_array_get(ports, i), "name"),
            .port = kube_read_int(json_array_get(ports, i), "port", -1)};
    s->endpoints = kube_read_array(r, json_array_size(endpoints), sizeof(*s->endpoints));
    for (size_t i = 0; s->endpoints && i < json_array_size(endpoints); i++)
        read_endpoint(&s->endpoints[s->n_endpoints++], json_array_get(endpoints, i), r);
}

static void read_lease(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_lease *l = container_of(o, struct kube_lease, o);
    const json_t *spec = get(json, "spec");
    l->holder = kube_read_text(r, spec, "holderIdentity");
    l->duration_s = kube_read_int(spec, "leaseDurationSeconds", 0);
    l->acquired_ns = kube_read_time_ns(spec, "acquireTime");
    l->renewed_ns = kube_read_time_ns(spec, "renewTime");
    l->transitions = kube_read_int(spec, "leaseTransitions", 0);
    l->address = kube_read_text(r, get(get(json, "metadata"), "annotations"), KUBE_LEASE_ADDRESS);
}

// attributes: {"uuid": {"string": "GPU-..."}}, its name with or without the driver's domain.
// v1beta1 had it below "basic".
static const char *device_uuid(const json_t *device) {
    const json_t *basic = get(device, "basic");
    const json_t *attributes = get(basic ? basic : device, "attributes");
    void *at = json_object_iter((json_t *)(uintptr_t)attributes);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)attributes, at)) {
        struct str key = str_from(json_object_iter_key(at));
        if (str_eqc(key, "uuid") || str_ends(key, "/uuid"))
            return text(json_object_iter_value(at), "string");
    }
    return "";
}

static void read_resource_slice(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_resource_slice *s = container_of(o, struct kube_resource_slice, o);
    const json_t *spec = get(json, "spec"), *pool = get(spec, "pool"), *all = get(spec, "devices");
    s->driver = kube_read_text(r, spec, "driver");
    s->node = kube_read_text(r, spec, "nodeName");
    s->pool = kube_read_text(r, pool, "name");
    s->pool_generation = kube_read_int(pool, "generation", 0);
    s->pool_slices = kube_read_int(pool, "resourceSliceCount", 0);
    s->devices = kube_read_array(r, json_array_size(all), sizeof(*s->devices));
    for (size_t i = 0; s->devices && i < json_array_size(all); i++) {
        const json_t *d = json_array_get(all, i);
        s->devices[s->n_devices++] = (struct kube_device){kube_read_text(r, d, "name"),
                                                          kube_read_copy(r, device_uuid(d))};
    }
}

const struct kube_kind kube_pods = {"", "v1", "pods", sizeof(struct kube_pod), read_pod};
const struct kube_kind kube_nodes = {"", "v1", "nodes", sizeof(struct kube_node), read_node};
const struct kube_kind kube_endpoint_slices = {"discovery.k8s.io", "v1", "endpointslices",
                                               sizeof(struct kube_endpoint_slice), read_slice};
const struct kube_kind kube_leases = {"coordination.k8s.io", "v1", "leases",
                                      sizeof(struct kube_lease), read_lease};
const struct kube_kind kube_resource_slices = {"resource.k8s.io", "v1", "resourceslices",
                                               sizeof(struct kube_resource_slice),
                                               read_resource_slice};
