// SPDX-License-Identifier: Apache-2.0
/* What is told, and the writing of it; see the header. */
#include "scaler/cluster_events.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/metrics/prom_write.h"
#include "kube/write.h"
#include "scaler/cluster_internal.h"
#include "scaler/replicas.h"

enum { MESSAGE_MAX = 1024, JSON_MAX = 8192, NAME_MAX_BYTES = 300 };

enum told {
    TOLD_RAISED,
    TOLD_LOWERED,
    TOLD_WOULD,
    TOLD_UNAVAILABLE,
    TOLD_AVAILABLE,
    TOLD_UNSCHEDULABLE,
    TOLD_RIVAL,
    TOLD_SECOND_HPA,
    TOLD_NO_WORKLOAD,
    TOLD_UNASKED,
    TOLD_ASKED,
    TOLD_PAGE_REFUSED,
    TOLD_KINDS,
};

static const struct {
    const char *reason;
    bool warning;
} kinds[TOLD_KINDS] = {
    [TOLD_RAISED] = {"ReplicasRaised", false},
    [TOLD_LOWERED] = {"ReplicasLowered", false},
    [TOLD_WOULD] = {"WouldScale", false},
    [TOLD_UNAVAILABLE] = {"DecisionUnavailable", true},
    [TOLD_AVAILABLE] = {"DecisionAvailable", false},
    [TOLD_UNSCHEDULABLE] = {"ReplicasUnschedulable", true},
    [TOLD_RIVAL] = {"TwoScaledObjects", true},
    [TOLD_SECOND_HPA] = {"SecondHPA", true},
    [TOLD_NO_WORKLOAD] = {"NoWorkload", true},
    [TOLD_UNASKED] = {"NotAskedByKEDA", true},
    [TOLD_ASKED] = {"AskedByKEDA", false},
    [TOLD_PAGE_REFUSED] = {"EnginePageRefused", true},
};

// One Event, there or to come.
struct slot {
    struct object_events *of;
    char *message; // to be written; NULL: nothing
    struct kube_call *call;
    int64_t first_real_ns; // names it; 0: not made yet
    int64_t count;         // times it was told, of those written
    int64_t unwritten;     // and since
    int64_t told_ns, written_ns;
    bool there; // the API server has taken it
};

struct object_events {
    struct io *io;
    struct object *object;
    struct slot slots[TOLD_KINDS];
    size_t waiting; // messages
};

static void tell(struct io *io, struct object *o, enum told kind, struct str message) {
    if (io->cluster == NULL || !io->config->kubernetes.events || !o->watched || o->leaving)
        return;
    if (o->events == NULL) {
        o->events = mem_zalloc(sizeof(*o->events));
        if (o->events == NULL)
            return;
        o->events->io = io;
        o->events->object = o;
        for (int i = 0; i < TOLD_KINDS; i++)
            o->events->slots[i].of = o->events;
    }
    struct slot *s = &o->events->slots[kind];
    char *copy = mem_strndup(message.p, message.n < MESSAGE_MAX ? message.n : MESSAGE_MAX);
    if (copy == NULL)
        return;
    o->events->waiting += s->message == NULL;
    mem_free(s->message);
    s->message = copy;
    s->unwritten++;
    s->told_ns = clock_mono_ns();
}

static bool reminds(const struct object *o, enum told kind, int64_t now_ns) {
    const struct slot *s = o->events ? &o->events->slots[kind] : NULL;
    return s == NULL || s->told_ns == 0 || now_ns - s->told_ns >= EVENTS_REMIND_S * NS_PER_S;
}

static void tell_scene(struct io *io, struct object *o, const struct record *now) {
    static const struct {
        uint32_t notice;
        enum told kind;
    } lasting[] = {{NOTICE_UNSCHEDULABLE, TOLD_UNSCHEDULABLE},
                   {NOTICE_RIVAL, TOLD_RIVAL},
                   {NOTICE_SECOND_HPA, TOLD_SECOND_HPA},
                   {NOTICE_UNASKED, TOLD_UNASKED}};
    for (size_t i = 0; i < COUNT_OF(lasting); i++) {
        if (!(now->notices & lasting[i].notice) || !reminds(o, lasting[i].kind, now->now_ns))
            continue;
        CLEANUP_BUF struct buf message;
        buf_init(&message, MESSAGE_MAX * 4);
        struct record only = {.scene = now->scene, .notices = lasting[i].notice};
        if (lasting[i].kind == TOLD_UNSCHEDULABLE)
            (void)buf_addf(&message, "%d replicas are wanted, %u ready:", now->desired, now->ready);
        if (record_scene_sentence(&message, &only) == 0)
            tell(io, o, lasting[i].kind, str_trim(buf_str(&message)));
    }
}

void io_events_decided(struct io *io, struct object *o, const struct record *now,
                       const struct record *was) {
    if (io->cluster == NULL || !io->config->kubernetes.events)
        return;
    tell_scene(io, o, now);
    // The notice ends, too, where nobody has to ask any more.
    if (was != NULL && (was->notices & ~now->notices & NOTICE_UNASKED) && o->asked_ns > was->now_ns)
        tell(io, o, TOLD_ASKED, STR("KEDA asks for it again."));
    if (was == NULL || (now->desired == was->desired && now->state == was->state))
        return;
    CLEANUP_BUF struct buf sentence;
    buf_init(&sentence, MESSAGE_MAX * 8);
    if (record_sentence(&sentence, now) < 0)
        return;
    enum told kind = now->state != DECISION_OK     ? TOLD_UNAVAILABLE
                     : was->state != DECISION_OK   ? TOLD_AVAILABLE
                     : now->observe                ? TOLD_WOULD
                     : now->desired > was->desired ? TOLD_RAISED
                                                   : TOLD_LOWERED;
    tell(io, o, kind, buf_str(&sentence));
}

void io_events_no_workload(struct io *io, struct object *o) {
    tell(io, o, TOLD_NO_WORKLOAD, str_from(o->fault.msg));
}

void io_events_page_refused(struct io *io, struct object *o, const char *pod,
                            const struct err *why) {
    CLEANUP_BUF struct buf message;
    buf_init(&message, MESSAGE_MAX * 4);
    if (buf_addf(&message, "Pod %s: %s", pod, why->msg) == 0)
        tell(io, o, TOLD_PAGE_REFUSED, buf_str(&message));
}

static void on_answer(void *ctx, const struct kube_answer *a) {
    struct slot *s = ctx;
    struct cluster *c = s->of->io->cluster;
    s->call = NULL;
    c->events_written += a->fault == KUBE_OK;
    c->events_failed += a->fault != KUBE_OK;
    if (a->fault == KUBE_OK) {
        s->there = true;
        c->events_fault = KUBE_OK;
        return;
    }
    if (s->there && a->fault == KUBE_NOT_FOUND) { // Events live an hour
        s->there = false;
        s->first_real_ns = 0;
        s->count = 0;
        return;
    }
    if (a->fault != c->events_fault)
        log_warn("an Event is not written: nothing else depends on it", LOG_ERR(&a->err));
    c->events_fault = a->fault;
    if (!s->there)
        s->first_real_ns = 0;
}

static int render(struct slot *s, enum told kind, const struct kube_scaled_object *so,
                  const char *name, int64_t real_ns, struct buf *json) {
    if (s->there)
        return kube_event_again_json(json, s->count, real_ns, s->message);
    char instance[256] = "";
    (void)gethostname(instance, sizeof(instance) - 1);
    const struct kube_event event = {
        .namespace_ = so->o.namespace_,
        .name = name,
        .api = "keda.sh/v1alpha1",
        .kind = "ScaledObject",
        .object = so->o.name,
        .uid = so->o.uid,
        .version = so->o.version,
        .warning = kinds[kind].warning,
        .reason = kinds[kind].reason,
        .message = s->message,
        .component = "gpuscale-scaler",
        .instance = instance,
        .at_ns = real_ns,
    };
    return kube_event_json(json, &event);
}

static void write_one(struct io *io, struct slot *s, enum told kind,
                      const struct kube_scaled_object *so) {
    CLEANUP_BUF struct buf json;
    char name[NAME_MAX_BYTES];
    struct err e = {0};
    int64_t real_ns = clock_real_ns();
    buf_init(&json, JSON_MAX);
    s->count += s->unwritten;
    s->unwritten = 0;
    if (s->first_real_ns == 0)
        s->first_real_ns = real_ns + (int64_t)kind; // several of one object begin at once
    (void)snprintf(name, sizeof(name), "%.220s.%llx", so->o.name,
                   (unsigned long long)s->first_real_ns);
    int rc = render(s, kind, so, name, real_ns, &json);
    mem_free(TAKE_PTR(s->message));
    s->of->waiting--;
    if (rc < 0)
        return;
    struct kube_request q = {
        .verb = s->there ? "patch" : "create",
        .at = {"", "v1", "events", so->o.namespace_, s->there ? name : NULL, NULL},
        .content = buf_str(&json),
        .content_type = s->there ? KUBE_MERGE_PATCH : NULL,
        .attempts = 2,
        .done = on_answer,
        .ctx = s,
    };
    if (kube_client_ask(&s->call, io->kube, &q, &e) < 0)
        s->call = NULL;
}

static void forget_messages(struct object_events *x) {
    for (int i = 0; i < TOLD_KINDS; i++)
        mem_free(TAKE_PTR(x->slots[i].message));
    x->waiting = 0;
}

// False: the budget is spent.
static bool write_object(struct io *io, struct object *o, int64_t now_ns) {
    struct cluster *c = io->cluster;
    const struct object_ref *ref = &o->key->ref;
    const struct kube_scaled_object *so = (const void *)kube_reflector_find(
        c->view.scaled_objects, ref->namespace_.p, ref->name.p);
    if (so == NULL) {
        forget_messages(o->events);
        return true;
    }
    for (int i = 0; i < TOLD_KINDS; i++) {
        struct slot *s = &o->events->slots[i];
        bool due = s->written_ns == 0 || now_ns - s->written_ns >= EVENTS_SPACING_S * NS_PER_S;
        if (s->message == NULL || s->call != NULL || !due)
            continue;
        if (c->events_budget < 1)
            return false;
        c->events_budget--;
        s->written_ns = now_ns;
        write_one(io, s, (enum told)i, so);
    }
    return true;
}

void io_events_turn(struct io *io, int64_t now_ns) {
    struct cluster *c = io->cluster;
    if (c == NULL || io->kube == NULL)
        return;
    double since_s = (double)(now_ns - c->events_turn_ns) / NS_PER_S;
    c->events_turn_ns = now_ns;
    c->events_budget += since_s * EVENTS_PER_S;
    if (c->events_budget > EVENTS_PER_S)
        c->events_budget = EVENTS_PER_S;
    for (struct object *o = io->objects; o != NULL; o = o->hh.next) {
        if (o->events == NULL || o->events->waiting == 0)
            continue;
        if (!io_leads(io))
            forget_messages(o->events); // the leader says it
        else if (!write_object(io, o, now_ns))
            return;
    }
}

void io_events_forget(struct object *o) {
    if (o->events == NULL)
        return;
    forget_messages(o->events);
    for (int i = 0; i < TOLD_KINDS; i++)
        if (o->events->slots[i].call != NULL)
            kube_call_cancel(o->events->slots[i].call);
    mem_free(o->events);
    o->events = NULL;
}

void io_events_families(const struct io *io, struct prom_writer *w) {
    const struct cluster *c = io->cluster;
    const struct prom_label ok = {STR("result"), STR("ok")},
                            failed = {STR("result"), STR("failed")};
    prom_family(w, "gpuscale_events_total", PROM_COUNTER, "Kubernetes Events written.");
    prom_sample_u64(w, &ok, 1, c->events_written);
    prom_sample_u64(w, &failed, 1, c->events_failed);
}
