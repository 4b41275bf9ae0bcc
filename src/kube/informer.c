// SPDX-License-Identifier: Apache-2.0
/* What the reflector says is due is asked; one timer waits for it, or for silence. */
#include "kube/informer.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/loop.h"

struct kube_informer {
    struct kube_informer_options o;
    struct kube_reflector *reflector;
    struct kube_call *call;
    struct net_timer *timer;
    struct err fed; // why the reflector ended the request
    bool failing;
};

static void go_on(struct kube_informer *i);

static bool runs(const struct kube_informer *i) {
    enum kube_phase phase = kube_reflector_phase(i->reflector);
    return phase == KUBE_LISTING || phase == KUBE_WATCHING;
}

// An end (its fault), or what may be one's end (e NULL).
static void tell(struct kube_informer *i, enum kube_fault fault, const struct err *e) {
    bool was = i->failing;
    i->failing = kube_reflector_stats(i->reflector)->failing > 0;
    if (!i->o.state)
        return;
    if (i->failing && e)
        i->o.state(i->o.reflector.ctx, fault, e);
    else if (was && !i->failing)
        i->o.state(i->o.reflector.ctx, KUBE_OK, &(struct err){0});
}

static bool on_body(void *ctx, const char *p, size_t n) {
    struct kube_informer *i = ctx;
    int r = kube_reflector_feed(i->reflector, clock_mono_ns(), p, n, &i->fed);
    if (r == 0 && i->failing)
        tell(i, KUBE_OK, NULL); // a watch that brings something is well
    return r == 0;
}

static void end(struct kube_informer *i, const struct kube_answer *a, const struct err *e) {
    const struct kube_end ended = {.whole = a->fault == KUBE_OK,
                                   .status = a->status,
                                   .retry_after_ms = a->retry_after_ms,
                                   .error = e->code ? e : NULL};
    kube_reflector_end(i->reflector, clock_mono_ns(), &ended);
    const struct err *last = &kube_reflector_stats(i->reflector)->last_error;
    enum kube_fault fault = a->fault == KUBE_OK || i->fed.code ? KUBE_SENSELESS : a->fault;
    tell(i, fault, last);
}

static void on_done(void *ctx, const struct kube_answer *a) {
    struct kube_informer *i = ctx;
    i->call = NULL;
    end(i, a, i->fed.code ? &i->fed : &a->err);
    go_on(i);
}

static int ask(struct kube_informer *i, struct err *e) {
    CLEANUP_BUF struct buf query;
    const struct kube_kind *kind = i->o.reflector.kind;
    bool list = kube_reflector_phase(i->reflector) == KUBE_LIST_DUE;
    buf_init(&query, LIMIT_URL_BYTES);
    i->fed = (struct err){0};
    int r = kube_reflector_begin(i->reflector, clock_mono_ns(), &query, e);
    if (r == 0 && (r = buf_add_byte(&query, '\0')) < 0)
        (void)err_set(e, r, "the query does not fit");
    if (r < 0)
        return r;
    const struct kube_request q = {
        .verb = list ? "list" : "watch",
        .at = {kind->group, kind->version, kind->resource, i->o.reflector.namespace_, NULL, NULL},
        .query = query.p,
        .timeout_ms = list ? 600000 : 0,
        .body = on_body,
        .done = on_done,
        .ctx = i};
    return kube_client_ask(&i->call, i->o.client, &q, e);
}

static void on_silence(struct kube_informer *i) {
    struct err e = {0};
    const struct kube_answer a = {
        .fault = KUBE_UNREACHABLE, .status = kube_call_status(i->call), .retry_after_ms = -1};
    (void)err_set(&e, ERR_TIMEOUT, "%s: nothing came for so long that the connection must be dead",
                  i->o.reflector.kind->resource);
    kube_call_cancel(TAKE_PTR(i->call));
    end(i, &a, &e);
}

static void on_time(void *ctx) {
    struct kube_informer *i = ctx;
    if (i->call && kube_reflector_due_ns(i->reflector) <= clock_mono_ns())
        on_silence(i);
    go_on(i);
}

static void go_on(struct kube_informer *i) {
    int64_t now = clock_mono_ns(), due = kube_reflector_due_ns(i->reflector);
    if (!runs(i) && due <= now) {
        struct err e = {0};
        if (ask(i, &e) < 0) {
            struct kube_answer a = {.fault = KUBE_UNREACHABLE, .retry_after_ms = -1};
            if (runs(i))
                end(i, &a, &e);
        }
        due = kube_reflector_due_ns(i->reflector);
        now = clock_mono_ns();
    }
    // A millisecond more than due, or a timer that rounds down comes in vain; never at once.
    net_timer_again(i->timer, (due > now ? due - now : 0) + NS_PER_MS);
}

int kube_informer_new(struct kube_informer **ret, const struct kube_informer_options *options,
                      struct err *e) {
    struct kube_informer *i = mem_zalloc(sizeof(*i));
    if (!i)
        return err_set(e, ERR_NOMEM, "out of memory");
    i->o = *options;
    int r = kube_reflector_new(&i->reflector, &options->reflector, e);
    r = r ? r : net_timer_start(&i->timer, kube_client_loop(options->client), 0, 0, on_time, i, e);
    if (r < 0)
        kube_informer_free(i);
    else
        *ret = i;
    return r;
}

struct kube_informer *kube_informer_free(struct kube_informer *i) {
    if (i) {
        if (i->call)
            kube_call_cancel(i->call);
        net_timer_stop(&i->timer);
        kube_reflector_free(i->reflector);
        mem_free(i);
    }
    return NULL;
}

bool kube_informer_answered(const struct kube_informer *i) {
    int status = i->call ? kube_call_status(i->call) : 0;
    return status >= 200 && status < 300;
}

const struct kube_reflector *kube_informer_reflector(const struct kube_informer *i) {
    return i->reflector;
}
