// SPDX-License-Identifier: Apache-2.0
/* Asking the API server; see the header. */
#include "tools/generate_cluster.h"

#include <ctype.h>
#include <stdio.h>
#include <uv.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/client.h"

static const struct {
    const char *words[3]; // as people write it
    const char *group, *version, *resource;
} kinds[] = {
    {{"deployment", "deployments", "deploy"}, "apps", "v1", "deployments"},
    {{"statefulset", "statefulsets", "sts"}, "apps", "v1", "statefulsets"},
    {{"replicaset", "replicasets", "rs"}, "apps", "v1", "replicasets"},
    {{"leaderworkerset", "leaderworkersets", "lws"},
     "leaderworkerset.x-k8s.io",
     "v1",
     "leaderworkersets"},
    {{"rollout", "rollouts", "ro"}, "argoproj.io", "v1alpha1", "rollouts"},
};

static const struct kube_resource neighbours[] = {
    {"keda.sh", "v1alpha1", "scaledobjects", NULL, NULL, NULL},
    {"autoscaling", "v2", "horizontalpodautoscalers", NULL, NULL, NULL},
    {"networking.k8s.io", "v1", "networkpolicies", NULL, NULL, NULL},
};

struct reference {
    char kind[128], version[64], group[256];
    const char *name;
    struct kube_resource at;
};

// KIND/NAME or RESOURCE.VERSION.GROUP/NAME, as kubectl has it.
static bool parse(const char *argument, struct reference *ret) {
    struct str name = str_from(argument);
    struct str kind = str_cut(&name, '/');
    if (name.n == 0 || memchr(name.p, '/', name.n) || kind.n == 0)
        return false;
    *ret = (struct reference){.name = name.p};
    struct str group = kind;
    struct str word = str_cut(&group, '.'), version = str_cut(&group, '.');
    if (str_copy(ret->kind, sizeof(ret->kind), word) < 0 ||
        str_copy(ret->version, sizeof(ret->version), version) < 0 ||
        str_copy(ret->group, sizeof(ret->group), group) < 0)
        return false;
    for (char *c = ret->kind; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (ret->group[0] != '\0') {
        ret->at = (struct kube_resource){ret->group, ret->version, ret->kind,
                                         NULL,       ret->name,    NULL};
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(kinds) && version.n == 0; i++)
        for (size_t k = 0; k < 3; k++)
            if (strcmp(kinds[i].words[k], ret->kind) == 0) {
                ret->at = (struct kube_resource){
                    kinds[i].group, kinds[i].version, kinds[i].resource, NULL, ret->name, NULL};
                return true;
            }
    return false;
}

bool generate_is_reference(const char *argument) {
    struct reference ignored;
    return parse(argument, &ignored);
}

struct asking {
    uv_loop_t loop;
    struct kube_client *client;
    struct manifest_objects *o;
    struct kube_resource at;
    const char *name; // of the answer, for messages
    int r;
    struct err *e;
};

static void on_answer(void *ctx, const struct kube_answer *answer) {
    struct asking *q = ctx;
    if (answer->fault != KUBE_OK) {
        *q->e = answer->err;
        q->r = answer->fault == KUBE_NOT_FOUND     ? ERR_NOTFOUND
               : answer->fault == KUBE_FORBIDDEN   ? ERR_AUTH
               : answer->fault == KUBE_UNREACHABLE ? ERR_UNAVAILABLE
                                                   : ERR_PROTO;
        return;
    }
    const char *text = arena_strdup(&q->o->arena, answer->body);
    q->r = text ? manifest_objects_read(q->o, (struct str){text, answer->body.n}, q->name, 0, q->e)
                : err_set(q->e, ERR_NOMEM, "out of memory");
}

// One question, answered before it returns.
static int ask(struct asking *q, const char *verb, const struct kube_resource *at,
               const char *name) {
    enum { ATTEMPTS = 3 };
    struct kube_call *call;
    const struct kube_request request = {
        .verb = verb, .at = *at, .attempts = ATTEMPTS, .done = on_answer, .ctx = q};
    q->name = name;
    enum { PENDING = 1 };
    q->r = PENDING;
    int r = kube_client_ask(&call, q->client, &request, q->e);
    if (r < 0)
        return q->r = r;
    while (q->r == PENDING)
        (void)uv_run(&q->loop, UV_RUN_ONCE);
    return q->r;
}

static void ask_neighbours(struct asking *q, const char *namespace_) {
    struct err *to = q->e;
    for (size_t i = 0; i < COUNT_OF(neighbours); i++) {
        struct err e = {0};
        struct kube_resource at = neighbours[i];
        at.namespace_ = namespace_;
        q->e = &e;
        const char *name = arena_printf(&q->o->arena, "%s of namespace %s", at.resource,
                                        namespace_);
        // No KEDA in the cluster, or none in the namespace: nothing to tell.
        if (ask(q, "list", &at, name ? name : at.resource) < 0 && q->r != ERR_NOTFOUND &&
            q->r != ERR_PARSE)
            (void)fprintf(stderr, "gpuscale generate: not looked at: %s\n", e.msg);
    }
    q->e = to;
}

int generate_fetch(const char *argument, const struct generate_flags *flags,
                   struct manifest_objects *o, const char **ret_namespace, struct err *e) {
    struct reference ref;
    if (!parse(argument, &ref))
        return err_set(e, ERR_INVALID, "%s: expected KIND/NAME", argument);
    struct kube_environment environment = kube_environment_read();
    struct kube_config config = {0};
    int r = kube_config_load(&config, &environment, flags->kubeconfig, flags->context, e);
    if (r < 0)
        return r;
    struct asking q = {.o = o, .e = e};
    const char *namespace_ = arena_strdup(
        &o->arena, str_from(flags->namespace_ ? flags->namespace_ : config.namespace_));
    const char *name = arena_printf(&o->arena, "%s in namespace %s", argument,
                                    namespace_ ? namespace_ : "");
    if (!namespace_ || !name || uv_loop_init(&q.loop) < 0) {
        kube_config_done(&config);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    const struct kube_client_options options = {
        .loop = &q.loop, .config = &config, .seed = (uint64_t)clock_mono_ns()};
    r = kube_client_new(&q.client, &options, e);
    ref.at.namespace_ = namespace_;
    if (r == 0)
        r = ask(&q, "get", &ref.at, name);
    if (r == 0)
        ask_neighbours(&q, namespace_);
    q.client = kube_client_free(q.client);
    (void)uv_run(&q.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&q.loop);
    kube_config_done(&config);
    *ret_namespace = namespace_;
    return r;
}
