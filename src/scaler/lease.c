// SPDX-License-Identifier: Apache-2.0
/* Requests and answers of the election; see the header. */
#include "scaler/lease.h"

#include "base/clock.h"
#include "base/mem.h"
#include "kube/kinds.h"
#include "kube/write.h"
#include "net/loop.h"

enum { CONTENT_MAX = 8192, REQUEST_MS = 4000, RESIGN_MS = 1000 };

struct lease {
    struct lease_options options;
    char *namespace_, *name;
    struct election e;
    struct net_timer *timer;
    struct kube_call *call;
    enum election_act asked;
    bool creates, resigning;
    struct err trouble;
    uint64_t failures;
};

static void step(struct lease *l);

static void tell_trouble(struct lease *l, const struct err *why) {
    bool same = why ? strcmp(l->trouble.msg, why->msg) == 0 : l->trouble.code == 0;
    l->trouble = why ? *why : (struct err){0};
    if (!same)
        l->options.trouble(l->options.ctx, why);
}

static int take_record(struct str body, struct election_record *ret, struct err *e) {
    struct kube_object *o = NULL;
    int rc = kube_object_parse(&o, &kube_leases, body, e);
    if (rc < 0)
        return rc;
    const struct kube_lease *k = (const void *)o;
    *ret = (struct election_record){.duration_s = k->duration_s,
                                    .acquired_ns = k->acquired_ns,
                                    .renewed_ns = k->renewed_ns,
                                    .transitions = k->transitions};
    if (str_copy(ret->holder, sizeof(ret->holder), str_from(k->holder)) < 0 ||
        str_copy(ret->address, sizeof(ret->address), str_from(k->address)) < 0 ||
        str_copy(ret->version, sizeof(ret->version), str_from(o->version)) < 0)
        rc = err_set(e, ERR_LIMIT, "Lease %s: its holder, address or version is too long", o->key);
    kube_object_free(o);
    return rc;
}

static void take_answer(struct lease *l, const struct kube_answer *a, int64_t now_ns) {
    struct election_record r;
    struct err e = {0};
    bool read = l->asked == ELECTION_READ;
    if (a->fault == KUBE_OK && take_record(a->body, &r, &e) == 0) {
        if (read)
            election_read(&l->e, now_ns, &r);
        else
            election_wrote(&l->e, now_ns, r.version);
        tell_trouble(l, NULL);
        return;
    }
    if (read && a->fault == KUBE_NOT_FOUND) {
        election_read(&l->e, now_ns, NULL);
        return;
    }
    // A Lease that cannot be made because its namespace is missing is no conflict.
    bool conflict = !read &&
                    (a->fault == KUBE_CONFLICT || (a->fault == KUBE_NOT_FOUND && !l->creates));
    election_failed(&l->e, now_ns, conflict);
    if (!conflict) {
        l->failures++;
        tell_trouble(l, e.code != 0 ? &e : &a->err);
    }
}

static void on_done(void *ctx, const struct kube_answer *a) {
    struct lease *l = ctx;
    l->call = NULL;
    take_answer(l, a, clock_mono_ns());
    step(l);
    l->options.changed(l->options.ctx);
}

static int ask(struct lease *l, enum election_act act, const struct election_record *w,
               struct err *e) {
    char text[CONTENT_MAX];
    struct buf content;
    struct kube_request q = {
        .verb = "get",
        .at = {kube_leases.group, kube_leases.version, kube_leases.resource, l->namespace_, l->name,
               NULL},
        .timeout_ms = l->resigning ? RESIGN_MS : REQUEST_MS,
        .done = on_done,
        .ctx = l,
    };
    buf_init(&content, sizeof(text));
    l->creates = act == ELECTION_WRITE && w->version[0] == '\0';
    if (act == ELECTION_WRITE) {
        struct kube_lease_write out = {
            .namespace_ = l->namespace_,
            .name = l->name,
            .version = w->version,
            .holder = w->holder,
            .address = w->address,
            .duration_s = w->duration_s,
            .acquired_ns = w->acquired_ns,
            .renewed_ns = w->renewed_ns,
            .transitions = w->transitions,
        };
        int rc = kube_lease_json(&content, &out);
        if (rc < 0) {
            buf_done(&content);
            return err_set(e, rc, "the Lease does not fit its message");
        }
        q.verb = l->creates ? "create" : "update";
        q.at.name = l->creates ? NULL : l->name;
        q.content = buf_str(&content);
    }
    int rc = kube_client_ask(&l->call, l->options.kube, &q, e);
    buf_done(&content);
    return rc;
}

static void step(struct lease *l) {
    struct election_record w;
    struct err e = {0};
    enum election_act act;
    while ((act = election_next(&l->e, clock_mono_ns(), clock_real_ns(), &w)) != ELECTION_WAIT) {
        l->asked = act;
        if (ask(l, act, &w, &e) == 0)
            break;
        election_failed(&l->e, clock_mono_ns(), false);
        l->failures++;
        tell_trouble(l, &e);
    }
    int64_t due_ns = election_due_ns(&l->e), now_ns = clock_mono_ns();
    // The end of a leader's time is told too, while the API server is silent.
    if (lease_leads(l, now_ns) && l->e.led_until_ns < due_ns)
        due_ns = l->e.led_until_ns;
    if (due_ns != INT64_MAX)
        net_timer_again(l->timer, due_ns > now_ns ? due_ns - now_ns : 0);
}

static void on_timer(void *ctx) {
    struct lease *l = ctx;
    step(l);
    l->options.changed(l->options.ctx);
}

int lease_new(struct lease **ret, const struct lease_options *options, struct err *e) {
    struct lease *l = mem_zalloc(sizeof(*l));
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->options = *options;
    l->namespace_ = mem_strdup(options->namespace_);
    l->name = mem_strdup(options->name);
    election_init(&l->e, &election_rules_default, options->identity, options->address,
                  options->seed, clock_mono_ns());
    l->e.stands = false;
    int rc = net_timer_start(&l->timer, kube_client_loop(options->kube), 0, 0, on_timer, l, e);
    if (rc == 0 && (l->namespace_ == NULL || l->name == NULL))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc < 0)
        l = lease_free(l);
    *ret = l;
    return rc;
}

struct lease *lease_free(struct lease *l) {
    if (l != NULL) {
        if (l->call != NULL)
            kube_call_cancel(l->call);
        net_timer_stop(&l->timer);
        mem_free(l->namespace_);
        mem_free(l->name);
        mem_free(l);
    }
    return NULL;
}

bool lease_leads(const struct lease *l, int64_t now_ns) {
    return election_leads(&l->e, now_ns);
}

const struct election_record *lease_record(const struct lease *l) {
    return l->e.exists ? &l->e.record : NULL;
}

bool lease_ours(const struct lease *l) {
    return l->e.exists && strcmp(l->e.record.holder, l->e.identity) == 0;
}

void lease_stand(struct lease *l, bool stands) {
    bool begins = stands && !l->e.stands;
    l->e.stands = stands;
    if (begins)
        lease_hurry(l);
}

void lease_hurry(struct lease *l) {
    election_hurry(&l->e, clock_mono_ns());
    net_timer_again(l->timer, 0);
}

void lease_resign(struct lease *l) {
    l->resigning = true;
    election_resign(&l->e, clock_mono_ns());
    net_timer_again(l->timer, 0);
}

bool lease_over(const struct lease *l) {
    return election_over(&l->e);
}

struct lease_stats lease_stats(const struct lease *l) {
    return (struct lease_stats){l->e.takes, l->e.losses, l->failures};
}
