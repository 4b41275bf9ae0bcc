// SPDX-License-Identifier: Apache-2.0
/* Reading and checking one version of the workloads file; looking up is in workloads_find.c. */
#include "scaler/workloads.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/signal/reading.h"
#include "net/addr.h"
#include "base/rfc3339.h"
#include "scaler/workloads_internal.h"

enum { ARENA_BYTES = 256 << 20 };

static int check_name(const char *value, struct err *e) {
    struct str s = str_from(value);
    bool good = s.n > 0 && s.n < KUBE_NAME_MAX;
    for (size_t i = 0; good && i < s.n; i++)
        good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
               s.p[i] == '-' || s.p[i] == '.';
    if (good)
        return 0;
    return err_set(e, ERR_INVALID,
                   "expected a Kubernetes name: a-z, 0-9, '-' and '.', at most %d characters",
                   KUBE_NAME_MAX - 1);
}

static int check_target(const char *value, struct err *e) {
    struct str name = str_from(value), kind = str_cut(&name, '/');
    char text[KUBE_NAME_MAX];
    bool good = str_copy(text, sizeof(text), kind) == 0 && check_name(text, NULL) == 0 &&
                str_copy(text, sizeof(text), name) == 0 && check_name(text, NULL) == 0;
    return good ? 0 : err_set(e, ERR_INVALID, "expected KIND/NAME, such as deployment/llm");
}

// An IP with or without a port.
static int split_address(const char *value, char host[NET_HOST_MAX], uint16_t *port) {
    unsigned char ip[sizeof(struct in6_addr)];
    *port = 0;
    if (str_copy(host, NET_HOST_MAX, str_from(value)) < 0)
        return ERR_INVALID;
    if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1)
        return 0;
    if (net_addr_split(str_from(value), host, port, NULL) < 0 || *port == 0)
        return ERR_INVALID;
    return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1 ? 0
                                                                                   : ERR_INVALID;
}

static int check_address(const char *value, struct err *e) {
    char host[NET_HOST_MAX];
    uint16_t port;
    if (split_address(value, host, &port) == 0)
        return 0;
    return err_set(e, ERR_INVALID,
                   "expected IP or IP:PORT, such as 10.0.0.7:8000 or [fd00::7]:8000");
}

static int check_time(const char *value, struct err *e) {
    int64_t at_ns;
    return rfc3339_parse(value, &at_ns, e);
}

static int check_uid(const char *value, struct err *e) {
    size_t digits = strspn(value, "0123456789abcdef-");
    if (digits > 0 && value[digits] == '\0')
        return 0;
    return err_set(e, ERR_INVALID, "expected a UID, such as 3f8c1a52-7d1e-4b9a-9c55-0a1b2c3d4e5f");
}

// By enum pod_state.
static const char *const pod_states[] = {"starting", "ready", "terminating", NULL};

static const struct conf_field pod_fields[] = {
    {"name", CONF_STRING(struct workload_pod, name), .required = true, .check = check_name,
     .help = "The pod's name."},
    {"state", CONF_ENUM(struct workload_pod, state, pod_states), .required = true,
     .help = "Starting pods count in replicas, terminating ones nowhere."},
    {"address", CONF_STRING(struct workload_pod, address), .check = check_address,
     .help = "IP, or IP:PORT of its metrics page."},
    {"startedAt", CONF_STRING(struct workload_pod, started_at), .check = check_time,
     .help = "When it was created."},
    {"uid", CONF_STRING(struct workload_pod, uid), .max = "36", .check = check_uid,
     .help = "Its UID: which processes on a shared GPU are its."},
    {0}};

static const struct conf_field workload_fields[] = {
    {"namespace", CONF_STRING(struct workload, namespace_), .required = true, .check = check_name,
     .help = "Its namespace."},
    {"target", CONF_STRING(struct workload, target), .required = true, .check = check_target,
     .help = "KIND/NAME of what is scaled."},
    {"scaledObjects", CONF_LIST_STRING(struct workload, scaled_objects), .check = check_name,
     .max = "100", .help = "ScaledObjects whose triggers mean this workload by default."},
    {"labels", CONF_MAP_STRING(struct workload, labels), .max = "64",
     .help = "What selector: matches."},
    {"replicas", CONF_INT(struct workload, replicas), .def = "-1", .min = "-1", .max = "1000000",
     .help = "spec.replicas; left out or -1: unknown."},
    {"pods", CONF_LIST_STRUCT(struct workload, pods, pod_fields), .help = "Its pods."},
    {0}};

static const struct conf_field file_fields[] = {
    {"workloads", CONF_LIST_STRUCT(struct workloads, list, workload_fields),
     .help = "The workloads."},
    {0}};

static int check_limits(const void *bound, struct err *e) {
    const struct workloads *w = bound;
    if (w->list.n > LIMIT_WORKLOADS)
        return err_set(e, ERR_LIMIT, "%zu workloads, at most %d are allowed (LIMIT_WORKLOADS)",
                       w->list.n, LIMIT_WORKLOADS);
    for (size_t i = 0; i < w->list.n; i++)
        if (w->list.items[i].pods.n > LIMIT_PODS_PER_WORKLOAD)
            return err_set(e, ERR_LIMIT,
                           "%s/%s has %zu pods, at most %d are allowed (LIMIT_PODS_PER_WORKLOAD)",
                           w->list.items[i].namespace_, w->list.items[i].target,
                           w->list.items[i].pods.n, LIMIT_PODS_PER_WORKLOAD);
    return 0;
}

static const struct conf_spec file_spec = {
    .program = "workloads",
    .fields = file_fields,
    .size = sizeof(struct workloads),
    .check = check_limits,
};

static int finish_pod(struct arena *a, struct workload_pod *p) {
    char host[NET_HOST_MAX];
    if (p->address != NULL) {
        if (split_address(p->address, host, &p->port) < 0)
            return ERR_INVALID;
        p->ip = arena_strdup(a, str_from(host));
        if (p->ip == NULL)
            return ERR_NOMEM;
    }
    if (p->started_at != NULL)
        return rfc3339_parse(p->started_at, &p->started_real_ns, NULL);
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// A pod listed twice would count twice.
static int check_pods_once(struct arena *a, const struct workload *w, struct err *e) {
    const char **names = arena_array(a, w->pods.n + 1, sizeof(*names));
    if (names == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < w->pods.n; i++)
        names[i] = w->pods.items[i].name;
    qsort(names, w->pods.n, sizeof(*names), by_name);
    for (size_t i = 1; i < w->pods.n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return err_set(e, ERR_INVALID, "%s: pod %s is listed twice", w->id, names[i]);
    return 0;
}

// What is made from the written values.
static int finish(struct workloads *all, struct workload *w, struct err *e) {
    w->id = arena_printf(&all->arena, "%s/%s", w->namespace_, w->target);
    if (w->id == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    w->status = w->pods.n > 0 || w->replicas == 0 ? 0 : -1;
    for (size_t i = 0; i < w->pods.n; i++) {
        struct workload_pod *p = &w->pods.items[i];
        int rc = finish_pod(&all->arena, p);
        if (rc < 0)
            return err_set(e, rc, "%s: pod %s", w->id, p->name);
        w->status += p->state != POD_TERMINATING;
    }
    workload_digest(w);
    return check_pods_once(&all->arena, w, e);
}

// Pods come in any order: a sum.
void workload_digest(struct workload *w) {
    const int64_t numbers[] = {
        w->replicas,    w->status,      (int64_t)w->pods.n,          w->unschedulable,
        w->hpa != NULL, w->hpa_desired, (int64_t)w->scaled_objects.n};
    w->digest = map_hash(numbers, sizeof(numbers));
    for (size_t i = 0; i < w->pods.n; i++) {
        const struct workload_pod *p = &w->pods.items[i];
        const uint64_t parts[] = {map_hash(p->name, strlen(p->name)),
                                  p->state,
                                  p->port,
                                  p->ip ? map_hash(p->ip, strlen(p->ip)) : 0,
                                  p->uid ? map_hash(p->uid, strlen(p->uid)) : 0,
                                  (uint64_t)p->started_real_ns};
        w->digest += map_hash(parts, sizeof(parts));
    }
}

static struct workloads *make(void) {
    struct workloads *w = mem_zalloc(sizeof(*w));
    if (w != NULL)
        arena_init(&w->arena, ARENA_BYTES);
    return w;
}

int workloads_new(struct workloads **ret, struct err *e) {
    struct workloads *w = make();
    if (w == NULL || workloads_index_build(w, e) < 0) {
        workloads_free(w);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    *ret = w;
    return 0;
}

int workloads_load(struct workloads **ret, const char *file, struct err *e) {
    struct workloads *w = make();
    if (w == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct workloads bound = {0};
    int rc = conf_read(&file_spec, file, &bound, &w->arena, e);
    w->list.items = bound.list.items;
    w->list.n = bound.list.n;
    for (size_t i = 0; rc == 0 && i < w->list.n; i++)
        if ((rc = finish(w, &w->list.items[i], e)) < 0)
            (void)err_wrap(e, "%s", file);
    if (rc == 0 && (rc = workloads_index_build(w, e)) < 0)
        (void)err_wrap(e, "%s", file);
    if (rc < 0) {
        workloads_free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

struct workloads *workloads_free(struct workloads *w) {
    if (w != NULL) {
        workloads_index_done(w);
        cluster_index_done(w);
        arena_done(&w->arena);
        mem_free(w);
    }
    return NULL;
}
