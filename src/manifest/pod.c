// SPDX-License-Identifier: Apache-2.0
/* Pods and their metrics; see the header. */
#include "manifest/pod.h"

#include "base/mem.h"
#include "base/units.h"

static const char *const phases[] = {
    [HPA_PENDING] = "Pending", [HPA_RUNNING] = "Running",       [HPA_SUCCEEDED] = "Succeeded",
    [HPA_FAILED] = "Failed",   [HPA_PHASE_UNKNOWN] = "Unknown", NULL};

// {cpu: 100m, memory: 1Gi}
static void read_amounts(struct manifest_reader *r, const struct conf_node *map,
                         struct manifest_amount **ret, size_t *ret_n) {
    if (!map)
        return;
    struct manifest_amount *items = manifest_array(r, map->children, sizeof(*items));
    size_t n = 0;
    for (const struct conf_node *c = map->first; c && items; c = c->next) {
        struct quantity q = {0};
        if (!manifest_quantity_of(r, c, &q))
            return;
        items[n++] = (struct manifest_amount){.resource = c->key.p, .milli = q.milli};
    }
    *ret = items;
    *ret_n = n;
}

static const struct manifest_amount *amount_of(const struct manifest_amount *items, size_t n,
                                               const char *resource) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i].resource, resource) == 0)
            return &items[i];
    return NULL;
}

static void read_owner(struct manifest_reader *r, const struct conf_node *meta,
                       struct manifest_pod *p) {
    const struct conf_node *owners = manifest_list(r, meta, "ownerReferences");
    for (const struct conf_node *o = owners ? owners->first : NULL; o; o = o->next) {
        const char *controller = manifest_text(r, o, "controller");
        if (controller && strcmp(controller, "true") == 0) {
            p->owner_kind = manifest_text(r, o, "kind");
            p->owner_name = manifest_text(r, o, "name");
        }
    }
    p->template_hash = manifest_text(r, manifest_map(r, meta, "labels"), "pod-template-hash");
}

static void read_ready(struct manifest_reader *r, const struct conf_node *status,
                       struct hpa_pod *p) {
    p->ready_since_ns = HPA_TIME_ZERO;
    const struct conf_node *conditions = manifest_list(r, status, "conditions");
    for (const struct conf_node *c = conditions ? conditions->first : NULL; c; c = c->next) {
        const char *type = manifest_text(r, c, "type");
        if (!type || strcmp(type, "Ready") != 0)
            continue;
        const char *is = manifest_text(r, c, "status");
        p->ready = HPA_UNKNOWN;
        if (is && strcmp(is, "True") == 0)
            p->ready = HPA_TRUE;
        if (is && strcmp(is, "False") == 0)
            p->ready = HPA_FALSE;
        (void)manifest_time(r, c, "lastTransitionTime", &p->ready_since_ns);
        return; // the first counts
    }
}

static void read_status(struct manifest_reader *r, const struct conf_node *n, struct hpa_pod *p) {
    unsigned phase = HPA_PHASE_UNKNOWN;
    (void)manifest_enum(r, n, "phase", phases, &phase);
    p->phase = (enum hpa_phase)phase;
    p->started_ns = HPA_TIME_NONE;
    (void)manifest_time(r, n, "startTime", &p->started_ns);
    read_ready(r, n, p);
}

static void read_containers(struct manifest_reader *r, const struct conf_node *list, bool init,
                            struct manifest_pod *p) {
    for (const struct conf_node *c = list ? list->first : NULL; c && r->r == 0; c = c->next) {
        if (!manifest_is_map(r, c, "a container"))
            return;
        struct manifest_container *to = &p->containers[p->n_containers++];
        to->name = manifest_text(r, c, "name");
        if (!to->name)
            to->name = "";
        const char *restart = manifest_text(r, c, "restartPolicy");
        to->init = init;
        to->sidecar = init && restart && strcmp(restart, "Always") == 0;
        const struct conf_node *resources = manifest_map(r, c, "resources");
        read_amounts(r, manifest_map(r, resources, "requests"), &to->requests, &to->n_requests);
    }
}

void manifest_pod_read(struct manifest_reader *r, const struct conf_node *n,
                       struct manifest_pod *ret) {
    if (!manifest_is_map(r, n, "a pod"))
        return;
    const struct conf_node *meta = manifest_map(r, n, "metadata");
    *ret = (struct manifest_pod){.name = manifest_text(r, meta, "name"),
                                 .namespace_ = manifest_text(r, meta, "namespace")};
    if (!ret->name) {
        (void)manifest_fail(r, n, ERR_INVALID, "a pod needs metadata.name");
        return;
    }
    ret->state.deleted = manifest_get(r, meta, "deletionTimestamp") != NULL;
    read_owner(r, meta, ret);
    read_status(r, manifest_map(r, n, "status"), &ret->state);
    const struct conf_node *spec = manifest_map(r, n, "spec");
    const struct conf_node *plain = manifest_list(r, spec, "containers");
    const struct conf_node *init = manifest_list(r, spec, "initContainers");
    ret->containers = manifest_array(r, (plain ? plain->children : 0) + (init ? init->children : 0),
                                     sizeof(*ret->containers));
    if (!ret->containers)
        return;
    read_containers(r, plain, false, ret);
    read_containers(r, init, true, ret);
    const struct conf_node *resources = manifest_map(r, spec, "resources");
    read_amounts(r, manifest_map(r, resources, "requests"), &ret->level, &ret->n_level);
    read_amounts(r, manifest_map(r, spec, "overhead"), &ret->overhead, &ret->n_overhead);
}

// Which resources a pod as a whole may request (component-helpers, IsSupportedPodLevelResource).
static bool is_level_resource(const char *resource) {
    return strcmp(resource, "cpu") == 0 || strcmp(resource, "memory") == 0 ||
           strncmp(resource, "hugepages-", 10) == 0;
}

static bool has_level(const struct manifest_pod *p) {
    for (size_t i = 0; i < p->n_level; i++)
        if (is_level_resource(p->level[i].resource))
            return true;
    return false;
}

// Go's int64 wraps around.
static int64_t add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

// AggregateContainerRequests: containers and sidecars together, or the largest step of the start.
static bool sum_of_containers(const struct manifest_pod *p, const char *resource, int64_t *ret) {
    int64_t sum = 0, sidecars = 0, start = 0;
    bool any = false;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct manifest_container *c = &p->containers[i];
        const struct manifest_amount *a = amount_of(c->requests, c->n_requests, resource);
        if (!a)
            continue;
        any = true;
        if (!c->init || c->sidecar)
            sum = add(sum, a->milli);
        if (c->sidecar)
            sidecars = add(sidecars, a->milli);
        int64_t step = c->sidecar ? sidecars : add(sidecars, a->milli);
        if (c->init && step > start)
            start = step;
    }
    *ret = start > sum ? start : sum;
    return any;
}

static int level_request(const struct manifest_pod *p, const char *resource, int64_t *ret,
                         struct err *e) {
    bool any = sum_of_containers(p, resource, ret);
    const struct manifest_amount *level = amount_of(p->level, p->n_level, resource);
    const struct manifest_amount *more = amount_of(p->overhead, p->n_overhead, resource);
    if (level && is_level_resource(resource)) {
        *ret = level->milli;
        any = true;
    }
    if (more) {
        *ret = any ? add(*ret, more->milli) : more->milli;
        any = true;
    }
    if (!any)
        return err_set(e, ERR_NOTFOUND, "missing pod-level request for %s in Pod %s", resource,
                       p->name);
    return 0;
}

int manifest_pod_request(const struct manifest_pod *p, const char *resource, const char *container,
                         bool pod_level, int64_t *ret_milli, struct err *e) {
    if (pod_level && !container && has_level(p))
        return level_request(p, resource, ret_milli, e);
    int64_t sum = 0;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct manifest_container *c = &p->containers[i];
        if ((c->init && !c->sidecar) || (container && strcmp(container, c->name) != 0))
            continue;
        const struct manifest_amount *a = amount_of(c->requests, c->n_requests, resource);
        if (!a)
            return err_set(e, ERR_NOTFOUND, "missing request for %s in container %s of Pod %s",
                           resource, c->name, p->name);
        sum = add(sum, a->milli);
        if (container) {
            *ret_milli = sum;
            return 0;
        }
    }
    if (container)
        return err_set(e, ERR_NOTFOUND, "container %s not found in Pod %s", container, p->name);
    *ret_milli = sum;
    return 0;
}

// "30s", Go's duration; metav1.Duration.
static void read_window(struct manifest_reader *r, const struct conf_node *n, int64_t *ret_ns) {
    const struct conf_node *w = manifest_get(r, n, "window");
    if (w && (w->kind != CONF_NODE_SCALAR || units_parse_duration_ns(w->text, ret_ns) < 0)) {
        char found[64];
        (void)manifest_fail(r, w, ERR_INVALID,
                            "'window': found %s, expected a duration such as 30s",
                            manifest_found(w, found, sizeof(found)));
    }
}

void manifest_pod_metrics_read(struct manifest_reader *r, const struct conf_node *n,
                               struct manifest_pod_metrics *ret) {
    if (!manifest_is_map(r, n, "pod metrics"))
        return;
    const struct conf_node *meta = manifest_map(r, n, "metadata");
    *ret = (struct manifest_pod_metrics){.name = manifest_text(r, meta, "name"),
                                         .namespace_ = manifest_text(r, meta, "namespace"),
                                         .at_ns = HPA_TIME_ZERO};
    if (!ret->name) {
        (void)manifest_fail(r, n, ERR_INVALID, "pod metrics need metadata.name, the pod's");
        return;
    }
    (void)manifest_time(r, n, "timestamp", &ret->at_ns);
    read_window(r, n, &ret->window_ns);
    const struct conf_node *list = manifest_list(r, n, "containers");
    ret->containers = manifest_array(r, list ? list->children : 0, sizeof(*ret->containers));
    if (!ret->containers)
        return;
    for (const struct conf_node *c = list ? list->first : NULL; c && r->r == 0; c = c->next) {
        if (!manifest_is_map(r, c, "a container"))
            return;
        struct manifest_usage *u = &ret->containers[ret->n_containers++];
        u->name = manifest_text(r, c, "name");
        if (!u->name)
            u->name = "";
        read_amounts(r, manifest_map(r, c, "usage"), &u->used, &u->n_used);
    }
}

bool manifest_pod_usage(const struct manifest_pod_metrics *m, const char *resource,
                        const char *container, int64_t *ret_milli) {
    int64_t sum = 0;
    bool any = false;
    for (size_t i = 0; i < m->n_containers; i++) {
        const struct manifest_usage *u = &m->containers[i];
        if (container && strcmp(container, u->name) != 0)
            continue;
        const struct manifest_amount *a = amount_of(u->used, u->n_used, resource);
        if (!a)
            return false;
        sum = add(sum, a->milli);
        any = true;
        if (container)
            break;
    }
    *ret_milli = sum;
    return any;
}
