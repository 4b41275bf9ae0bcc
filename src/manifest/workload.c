// SPDX-License-Identifier: Apache-2.0
/* Workloads and their containers; see the header. */
#include "manifest/workload.h"

#include <ctype.h>
#include <stdio.h>

#include "base/mem.h"
#include "manifest/quantity.h"

// Kinds by how a count of replicas is made of them.
static const struct {
    const char *kind;
    const char *why; // it cannot be scaled by replicas; NULL: it can
} kinds[] = {
    {"Deployment", NULL},
    {"StatefulSet", NULL},
    {"ReplicaSet", NULL},
    {"LeaderWorkerSet", NULL},
    {"Rollout", NULL},
    {"DaemonSet",
     "a DaemonSet runs one pod on each node: there is no number of replicas to decide"},
    {"Job", "a Job ends by itself: gpuscale scales services (KEDA's ScaledJob starts Jobs)"},
    {"CronJob", "a CronJob is started by the clock: gpuscale scales services"},
    {"ScaledJob", "a ScaledJob starts Jobs: gpuscale scales services, and answers a ScaledJob's "
                  "trigger with an error"},
    {"Pod", "a single Pod has no replicas: give the Deployment or StatefulSet that made it"},
    {"InferenceService", "KServe makes a Deployment of an InferenceService: give that one "
                         "(kubectl get deployment -l serving.kserve.io/inferenceservice=NAME)"},
    {"ExternalMetric", "no API server knows a kind ExternalMetric: gpuscale generate --style "
                       "prometheus --adapter writes what was meant by it, for the workload"},
    {"RayService", "Ray's operator owns the pods of a RayService and scales them itself: "
                   "gpuscale scales what has a scale subresource"},
};

bool manifest_is_scalable(const struct manifest_object *o, const char **ret_why) {
    *ret_why = NULL;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i].kind, o->kind) != 0)
            continue;
        *ret_why = kinds[i].why;
        return kinds[i].why == NULL;
    }
    struct err ignored = {0};
    struct arena none;
    arena_init(&none, 1);
    struct manifest_reader r = {.file = o->file, .a = &none, .e = &ignored};
    const struct conf_node *spec = manifest_get(&r, o->root, "spec");
    const struct conf_node *template = manifest_get(&r, spec, "template");
    const struct conf_node *pod = manifest_get(&r, template, "spec");
    bool yes = manifest_get(&r, pod, "containers") != NULL;
    arena_done(&none);
    return yes;
}

static const char *text_or(struct manifest_reader *r, const struct conf_node *map, const char *key,
                           const char *otherwise) {
    const char *text = manifest_text(r, map, key);
    return text ? text : otherwise;
}

static void read_words(struct manifest_reader *r, const struct conf_node *c,
                       struct manifest_program *p) {
    const struct conf_node *lists[] = {manifest_list(r, c, "command"), manifest_list(r, c, "args")};
    size_t n = (lists[0] ? lists[0]->children : 0) + (lists[1] ? lists[1]->children : 0);
    p->words = manifest_array(r, n, sizeof(*p->words));
    for (size_t i = 0; i < 2 && p->words; i++)
        for (const struct conf_node *w = lists[i] ? lists[i]->first : NULL; w; w = w->next) {
            if (w->kind != CONF_NODE_SCALAR) {
                (void)manifest_fail(r, w, ERR_INVALID, "'%s': expected texts", lists[i]->key.p);
                return;
            }
            p->words[p->n_words++] = w->text.p;
        }
}

static void read_env(struct manifest_reader *r, const struct conf_node *c,
                     struct manifest_program *p) {
    const struct conf_node *list = manifest_list(r, c, "env");
    p->env = manifest_array(r, list ? list->children : 0, sizeof(*p->env));
    for (const struct conf_node *v = list ? list->first : NULL; v && p->env; v = v->next) {
        const char *name = manifest_text(r, v, "name");
        if (name)
            p->env[p->n_env++] = (struct manifest_pair){.name = name,
                                                        .value = manifest_text(r, v, "value")};
    }
}

static void read_ports(struct manifest_reader *r, const struct conf_node *c,
                       struct manifest_program *p) {
    const struct conf_node *list = manifest_list(r, c, "ports");
    p->ports = manifest_array(r, list ? list->children : 0, sizeof(*p->ports));
    for (const struct conf_node *n = list ? list->first : NULL; n && p->ports; n = n->next) {
        int32_t port = 0;
        if (!manifest_int32(r, n, "containerPort", &port))
            continue;
        if (port < 1 || port > 65535) {
            (void)manifest_fail(r, n, ERR_INVALID, "'containerPort': found %d, expected 1 to 65535",
                                port);
            return;
        }
        p->ports[p->n_ports++] = (struct manifest_named_port){.name = text_or(r, n, "name", ""),
                                                              .port = port};
    }
}

// What devices of which a pod holds whole pieces are called.
static bool is_accelerator(const char *resource) {
    static const char *const prefixes[] = {
        "nvidia.com/",           "amd.com/gpu",    "gpu.intel.com/", "habana.ai/",
        "aws.amazon.com/neuron", "google.com/tpu", "nvidia.com.gpu"};
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (str_starts(str_from(resource), prefixes[i]))
            return true;
    return false;
}

static void read_gpus(struct manifest_reader *r, const struct conf_node *c,
                      struct manifest_program *p) {
    const struct conf_node *resources = manifest_map(r, c, "resources");
    const struct conf_node *claims = manifest_list(r, resources, "claims");
    p->n_claims = claims ? claims->children : 0;
    const struct conf_node *amounts = manifest_map(r, resources, "limits");
    if (!amounts)
        amounts = manifest_map(r, resources, "requests");
    p->gpus = manifest_array(r, amounts ? amounts->children : 0, sizeof(*p->gpus));
    for (const struct conf_node *n = amounts ? amounts->first : NULL; n && p->gpus; n = n->next) {
        struct quantity q = {0};
        if (!is_accelerator(n->key.p) || !manifest_quantity_of(r, n, &q) || q.milli <= 0)
            continue;
        p->gpus[p->n_gpus++] = (struct manifest_gpus){.resource = n->key.p,
                                                      .count = (q.milli + 999) / 1000};
    }
}

static void read_readiness(struct manifest_reader *r, const struct conf_node *c,
                           struct manifest_program *p) {
    const struct conf_node *probe = manifest_map(r, c, "readinessProbe");
    const struct conf_node *http = manifest_map(r, probe, "httpGet");
    p->readiness = (struct manifest_probe){.there = probe != NULL,
                                           .path = manifest_text(r, http, "path"),
                                           .port = manifest_text(r, http, "port")};
}

static void read_programs(struct manifest_reader *r, const struct conf_node *pod,
                          struct manifest_scalable *w) {
    const struct conf_node *list = manifest_list(r, pod, "containers");
    if (r->r == 0 && (!list || !list->first)) {
        (void)manifest_fail(r, pod ? pod : w->at, ERR_INVALID, "%s %s: its pods have no containers",
                            w->kind, w->name);
        return;
    }
    w->programs = manifest_array(r, list ? list->children : 0, sizeof(*w->programs));
    for (const struct conf_node *c = list ? list->first : NULL; c && w->programs; c = c->next) {
        if (!manifest_is_map(r, c, "a container"))
            return;
        struct manifest_program *p = &w->programs[w->n_programs++];
        *p = (struct manifest_program){
            .name = text_or(r, c, "name", ""), .image = text_or(r, c, "image", ""), .at = c};
        read_words(r, c, p);
        read_env(r, c, p);
        read_ports(r, c, p);
        read_gpus(r, c, p);
        read_readiness(r, c, p);
    }
}

// Adds a pod's GPUs, `times` over.
static void count_gpus(struct manifest_scalable *w, int64_t times) {
    for (size_t i = 0; i < w->n_programs; i++) {
        const struct manifest_program *p = &w->programs[i];
        w->gpu_claims = w->gpu_claims || p->n_claims > 0;
        for (size_t k = 0; k < p->n_gpus; k++) {
            if (!w->gpu_resource)
                w->gpu_resource = p->gpus[k].resource;
            if (p->gpus[k].count < 1024 && times < 1024)
                w->gpus += p->gpus[k].count * times;
        }
    }
}

static void read_template(struct manifest_reader *r, const struct conf_node *template,
                          struct manifest_scalable *w) {
    const struct conf_node *labels = manifest_map(r, manifest_map(r, template, "metadata"),
                                                  "labels");
    w->labels = manifest_array(r, labels ? labels->children : 0, sizeof(*w->labels));
    w->n_labels = 0;
    for (const struct conf_node *n = labels ? labels->first : NULL; n && w->labels; n = n->next)
        if (n->kind == CONF_NODE_SCALAR)
            w->labels[w->n_labels++] = (struct manifest_pair){.name = n->key.p, .value = n->text.p};
    w->n_programs = 0;
    read_programs(r, manifest_map(r, template, "spec"), w);
}

// A leader and its workers are one replica; the leader serves.
static void read_group(struct manifest_reader *r, const struct conf_node *spec,
                       struct manifest_scalable *w) {
    const struct conf_node *group = manifest_map(r, spec, "leaderWorkerTemplate");
    const struct conf_node *leader = manifest_map(r, group, "leaderTemplate");
    const struct conf_node *worker = manifest_map(r, group, "workerTemplate");
    w->pods_per_replica = 1;
    (void)manifest_int32(r, group, "size", &w->pods_per_replica);
    if (w->pods_per_replica > 1 && worker) {
        read_template(r, worker, w);
        count_gpus(w, w->pods_per_replica - (leader ? 1 : 0));
    }
    if (leader || w->pods_per_replica <= 1) {
        read_template(r, leader ? leader : worker, w);
        count_gpus(w, 1);
    }
}

void manifest_scalable_read(struct manifest_reader *r, const struct manifest_object *o,
                            struct manifest_scalable *ret) {
    const struct conf_node *meta = manifest_map(r, o->root, "metadata");
    *ret = (struct manifest_scalable){
        .object = o,
        .api_version = o->api_version,
        .kind = o->kind,
        .name = manifest_text(r, meta, "name"),
        .namespace_ = manifest_text(r, meta, "namespace"),
        .replicas = 1,
        .pods_per_replica = 1,
        .at = o->root,
    };
    if (r->r == 0 && !ret->name)
        (void)manifest_fail(r, o->root, ERR_INVALID, "%s: metadata.name is missing", o->kind);
    if (r->r == 0 && o->api_version[0] == '\0')
        (void)manifest_fail(r, o->root, ERR_INVALID, "%s %s: apiVersion is missing", o->kind,
                            ret->name);
    const struct conf_node *spec = manifest_map(r, o->root, "spec");
    if (r->r == 0 && !spec)
        (void)manifest_fail(r, o->root, ERR_INVALID, "%s %s: spec is missing", o->kind, ret->name);
    ret->replicas_told = manifest_int32(r, spec, "replicas", &ret->replicas);
    ret->selector = manifest_map(r, spec, "selector");
    if (strcmp(o->kind, "Rollout") == 0 && manifest_get(r, spec, "workloadRef"))
        (void)manifest_fail(r, manifest_get(r, spec, "workloadRef"), ERR_INVALID,
                            "Rollout %s takes its pods from workloadRef: give that Deployment's "
                            "file, and --target rollout/%s",
                            ret->name, ret->name);
    if (strcmp(o->kind, "LeaderWorkerSet") == 0) {
        read_group(r, spec, ret);
        return;
    }
    read_template(r, manifest_map(r, spec, "template"), ret);
    count_gpus(ret, 1);
}

const char *manifest_scalable_short(const struct manifest_scalable *w, struct arena *a) {
    char *text = arena_printf(a, "%s/%s", w->kind, w->name);
    for (char *p = text; p && *p != '/' && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return text ? text : w->name;
}
