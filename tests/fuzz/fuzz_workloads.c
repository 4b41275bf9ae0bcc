// SPDX-License-Identifier: Apache-2.0
/*
 * The workloads file (lists of pods): any bytes bind, or are refused with a message of one line
 * that names the file. What binds keeps the limits, and every ScaledObject, name and label of it
 * finds a workload of its namespace or a sentence that says why not.
 */
#include "base/limits.h"
#include "core/signal/reading.h"
#include "fuzz.h"
#include "scaler/workloads.h"

FUZZ_LIBFYAML_LEAKS

static void check_pods(const struct workload *w) {
    int status = 0;
    require(w->pods.n <= LIMIT_PODS_PER_WORKLOAD);
    for (size_t i = 0; i < w->pods.n; i++) {
        const struct workload_pod *p = &w->pods.items[i];
        size_t n = strlen(p->name);
        require(n > 0 && n < KUBE_NAME_MAX);
        require(!p->ip == !p->address && (p->port == 0 || p->ip));
        require(p->started_at || p->started_real_ns == 0);
        status += p->state != POD_TERMINATING;
        for (size_t k = 0; k < i && k < 8; k++)
            require(strcmp(p->name, w->pods.items[k].name) != 0);
    }
    require(w->pods.n == 0 ? w->status <= 0 : w->status == status);
}

static void find(const struct workloads *all, const struct workload *w, const char *object,
                 enum trigger_target target, const char *name) {
    const struct workload *found = NULL;
    struct err e = {0};
    int rc = workloads_find(all, str_from(w->namespace_), str_from(object), target, name, &found,
                            &e);
    if (rc < 0)
        require_message(&e);
    else
        require(strcmp(found->namespace_, w->namespace_) == 0);
}

static void check_finds(const struct workloads *all, const struct workload *w) {
    char text[2 * LIMIT_METADATA_VALUE_BYTES];
    const char *slash = strchr(w->target, '/');
    require(slash && strlen(w->id) == strlen(w->namespace_) + 1 + strlen(w->target));
    for (size_t i = 0; i < w->scaled_objects.n && i < 8; i++)
        find(all, w, w->scaled_objects.items[i], TARGET_SCALED_OBJECT, NULL);
    find(all, w, "none", TARGET_DEPLOYMENT, slash + 1);
    find(all, w, "none", TARGET_STATEFULSET, slash + 1);
    for (size_t i = 0; i < w->labels.n && i < 8; i++) {
        snprintf(text, sizeof(text), "%s=%s", w->labels.items[i].name, w->labels.items[i].value);
        find(all, w, "none", TARGET_SELECTOR, text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct workloads *w = NULL;
    struct err e = {0};
    const char *path = fuzz_file(data, size);
    int rc = workloads_load(&w, path, &e);
    if (rc < 0) {
        require(!w);
        require_message(&e);
        require(strstr(e.msg, path) != NULL);
        return 0;
    }
    require(w->list.n <= LIMIT_WORKLOADS);
    for (size_t i = 0; i < w->list.n; i++) {
        check_pods(&w->list.items[i]);
        check_finds(w, &w->list.items[i]);
    }
    workloads_free(w);
    return 0;
}
