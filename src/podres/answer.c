// SPDX-License-Identifier: Apache-2.0
/* See answer.h. Strings were checked for UTF-8 and NUL by the gRPC client. */
#include "podres/answer.h"

#include "base/limits.h"

static bool is_name(const char *s, size_t min, size_t max) {
    size_t n = s ? strlen(s) : 0;
    if (n < min || n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

static int full(struct err *e, int r, size_t max) {
    return err_set(e, r,
                   r == ERR_LIMIT ? "the kubelet lists more than %zu GPUs in use"
                                  : "no memory for the %zu GPUs in use",
                   max);
}

static int take_devices(struct podres_answer *a, const V1__PodResources *pod,
                        const V1__ContainerResources *c, const V1__ContainerDevices *devices,
                        struct err *e) {
    struct podres_holder h = {pod->namespace_, pod->name, c->name ? c->name : "", {{0}}};
    struct str resource = str_from(devices->resource_name);
    for (size_t i = 0; i < devices->n_device_ids; i++) {
        if (!podres_device_parse(resource, str_from(devices->device_ids[i]), &h.device))
            continue;
        int r = vec_push(&a->holders, h);
        if (r < 0)
            return full(e, r, a->holders.max);
    }
    return 0;
}

static int take_claim(struct podres_answer *a, const V1__PodResources *pod,
                      const V1__ContainerResources *c, const V1__ClaimResource *claim,
                      struct err *e) {
    bool no_driver = !claim->driver_name || !claim->driver_name[0];
    if (!no_driver && !podres_driver_is_gpu(str_from(claim->driver_name)))
        return 0;
    if (no_driver || !claim->pool_name || !claim->device_name || !claim->pool_name[0] ||
        !claim->device_name[0]) {
        a->unnamed++;
        return 0;
    }
    struct podres_claimed d = {
        .namespace_ = pod->namespace_,
        .pod = pod->name,
        .container = c->name ? c->name : "",
        .driver = claim->driver_name,
        .pool = claim->pool_name,
        .device = claim->device_name,
        .share = claim->share_id ? claim->share_id : "",
    };
    if (!is_name(d.driver, 1, KUBE_NAME_MAX - 1) || !is_name(d.pool, 1, KUBE_NAME_MAX - 1) ||
        !is_name(d.device, 1, KUBE_NAME_MAX - 1) || !is_name(d.share, 0, KUBE_NAME_MAX - 1))
        return err_set(e, ERR_PROTO, "a claimed device of pod %s/%s without usable names",
                       pod->namespace_, pod->name);
    int r = vec_push(&a->claimed, d);
    return r < 0 ? full(e, r, a->claimed.max) : 0;
}

static int take_container(struct podres_answer *a, const V1__PodResources *pod,
                          const V1__ContainerResources *c, struct err *e) {
    int r = 0;
    if (!is_name(c->name, 0, KUBE_NAME_MAX - 1))
        return err_set(e, ERR_PROTO, "a container of pod %s/%s without a usable name",
                       pod->namespace_, pod->name);
    for (size_t i = 0; i < c->n_devices && !r; i++)
        r = take_devices(a, pod, c, c->devices[i], e);
    for (size_t i = 0; i < c->n_dynamic_resources && !r; i++) {
        const V1__DynamicResource *d = c->dynamic_resources[i];
        for (size_t k = 0; k < d->n_claim_resources && !r; k++)
            r = take_claim(a, pod, c, d->claim_resources[k], e);
    }
    return r;
}

int podres_answer_read(struct podres_answer *ret, const V1__ListPodResourcesResponse *m,
                       struct err *e) {
    struct podres_answer a = {.pods = m->n_pod_resources};
    int r = 0;
    vec_init(&a.holders, LIMIT_PODRES_HOLDERS);
    vec_init(&a.claimed, LIMIT_CLAIMED_DEVICES);
    for (size_t i = 0; i < m->n_pod_resources && !r; i++) {
        const V1__PodResources *pod = m->pod_resources[i];
        if (!is_name(pod->name, 1, KUBE_NAME_MAX - 1) ||
            !is_name(pod->namespace_, 1, KUBE_NAME_MAX - 1)) {
            r = err_set(e, ERR_PROTO, "pod %zu without a usable name or namespace", i + 1);
            break;
        }
        for (size_t k = 0; k < pod->n_containers && !r; k++)
            r = take_container(&a, pod, pod->containers[k], e);
    }
    if (r) {
        podres_answer_done(&a);
        return r;
    }
    *ret = a;
    return 0;
}

void podres_answer_done(struct podres_answer *a) {
    vec_done(&a->holders);
    vec_done(&a->claimed);
}
