// SPDX-License-Identifier: Apache-2.0
/*
 * KEDA names a ScaledJob as it names a ScaledObject. One that is asked about and is no ScaledObject
 * is therefore looked for among the ScaledJobs, once, so that it can be told what is wrong.
 */
#include "base/log.h"
#include "scaler/cluster_internal.h"

struct job_question {
    struct io *io;
    struct object *object;
};

static const struct kube_kind any = {.group = "keda.sh",
                                     .version = "v1alpha1",
                                     .resource = "scaledjobs",
                                     .size = sizeof(struct kube_object)};

static bool is_named(struct str body, const char *name) {
    struct kube_object *job = NULL;
    bool is = kube_object_parse(&job, &any, body, NULL) == 0 && strcmp(job->name, name) == 0;
    kube_object_free(job);
    return is;
}

static void on_answer(void *ctx, const struct kube_answer *a) {
    struct job_question *q = ctx;
    struct io *io = q->io;
    struct object *o = q->object;
    mem_free(q);
    o->job_call = NULL;
    o->job_question = NULL;
    if (a->fault != KUBE_OK || !is_named(a->body, o->key->ref.name.p) || o->watched ||
        o->feed != NULL)
        return;
    struct err e = {0};
    (void)err_set(&e, ERR_UNSUPPORTED,
                  "%s/%s is a ScaledJob: this scaler decides how many replicas a workload has, so "
                  "its triggers belong into a ScaledObject",
                  o->key->ref.namespace_.p, o->key->ref.name.p);
    io_object_refuse(io, o, &e);
}

void io_cluster_ask_job(struct io *io, struct object *o) {
    const struct object_ref *ref = &o->key->ref;
    if (o->job_asked || o->rpc_id == 0 ||
        kube_reflector_find(io->cluster->view.scaled_objects, ref->namespace_.p, ref->name.p))
        return;
    struct job_question *question = mem_zalloc(sizeof(*question));
    if (question == NULL)
        return;
    *question = (struct job_question){io, o};
    struct kube_request q = {
        .verb = "get",
        .at = {"keda.sh", "v1alpha1", "scaledjobs", ref->namespace_.p, ref->name.p, NULL},
        .done = on_answer,
        .ctx = question,
    };
    struct err e = {0};
    o->job_asked = true;
    o->job_question = question;
    if (kube_client_ask(&o->job_call, io->kube, &q, &e) < 0)
        io_cluster_forget_job(o);
}

void io_cluster_forget_job(struct object *o) {
    if (o->job_call != NULL)
        kube_call_cancel(o->job_call);
    o->job_call = NULL;
    mem_free(o->job_question);
    o->job_question = NULL;
}
