// SPDX-License-Identifier: Apache-2.0
/*
 * A request on its way: HELD <-> ASKED -> PASSING -> answered. What a replica's failure means is
 * decided in exchange_failed().
 */
#include "base/clock.h"
#include "base/mem.h"
#include "playground/forward.h"
#include "playground/gateway_internal.h"

#define AVOID_NS (250 * NS_PER_MS)

static void place(struct exchange *x, bool first);

static void list_add(struct exchange_list *l, struct exchange *x) {
    x->next = NULL;
    x->prev = l->last;
    if (l->last)
        l->last->next = x;
    else
        l->first = x;
    l->last = x;
    l->n++;
}

static void list_add_first(struct exchange_list *l, struct exchange *x) {
    x->prev = NULL;
    x->next = l->first;
    if (l->first)
        l->first->prev = x;
    else
        l->last = x;
    l->first = x;
    l->n++;
}

static void list_remove(struct exchange_list *l, struct exchange *x) {
    if (x->prev)
        x->prev->next = x->next;
    else
        l->first = x->next;
    if (x->next)
        x->next->prev = x->prev;
    else
        l->last = x->prev;
    l->n--;
}

// Leaves its replica and its list; belongs to the caller then.
static void unplace(struct exchange *x) {
    if (x->state == EXCHANGE_HELD) {
        list_remove(&x->g->held, x);
        return;
    }
    upstream_cancel(&x->call);
    list_remove(&x->g->flying, x);
    gateway_replica_end(x->replica, clock_mono_ns());
    x->replica = NULL;
}

static void exchange_free(struct exchange *x) {
    buf_done(&x->head);
    buf_done(&x->fields);
    buf_done(&x->body);
    mem_free(x);
}

// Of an exchange that is in no list: counts, answers and frees.
static void fail(struct exchange *x, enum gateway_error kind, int status, const char *why) {
    x->g->stats.errors[kind]++;
    gateway_answer_error(x->request, status, gateway_error_name(kind), why);
    exchange_free(x);
}

static void hold(struct exchange *x, bool first) {
    struct gateway *g = x->g;
    if (g->closing) {
        fail(x, GATEWAY_HOLD_FULL, 503, "the gateway is closing");
        return;
    }
    if (!first && g->held.n >= g->options.max_held) {
        fail(x, GATEWAY_HOLD_FULL, 503, "no replica is ready, and too many requests wait for one");
        return;
    }
    x->state = EXCHANGE_HELD;
    if (first)
        list_add_first(&g->held, x);
    else
        list_add(&g->held, x);
}

static void reset_answer(struct exchange *x) {
    buf_clear(&x->fields);
    buf_clear(&x->body);
    x->status = 0;
    x->starved = x->whole = x->direct = false;
}

// To another replica, or, where there is none, back to the front of those that wait.
static void retry(struct exchange *x, enum gateway_retry why) {
    x->g->stats.retries[why]++;
    x->avoid = x->replica->id;
    unplace(x);
    reset_answer(x);
    place(x, true);
}

static void cut(struct exchange *x, enum gateway_error kind) {
    x->g->stats.errors[kind]++;
    unplace(x);
    http_request_drop(x->request);
    exchange_free(x);
}

static void exchange_failed(struct exchange *x, enum gateway_retry why) {
    struct gateway_replica *r = x->replica;
    if (why == GATEWAY_RETRY_REFUSED)
        r->avoid_until_ns = clock_mono_ns() + AVOID_NS;
    if (x->state == EXCHANGE_PASSING) {
        cut(x, GATEWAY_CUT);
        return;
    }
    if (x->attempts < LIMIT_GATEWAY_ATTEMPTS) {
        retry(x, why);
        return;
    }
    unplace(x);
    fail(x, GATEWAY_FAILED, 502,
         why == GATEWAY_RETRY_GARBAGE ? "the replica's answer is no HTTP"
                                      : "several replicas ended without an answer");
}

static void finish(struct exchange *x) {
    struct gateway *g = x->g;
    struct http_request *request = x->request;
    g->stats.answered[x->status / 100]++;
    if (x->status == 503)
        g->stats.errors[GATEWAY_BUSY]++;
    histogram_add(&g->stats.seconds, (double)(clock_mono_ns() - x->arrived_ns) / (double)NS_PER_S);
    unplace(x);
    if (x->state == EXCHANGE_PASSING)
        http_request_end(request);
    else
        http_request_answer(request, &(struct http_answer){.status = x->status,
                                                           .extra_headers = x->fields.p,
                                                           .body = buf_str(&x->body)});
    exchange_free(x);
    if (g->held.n)
        exchange_dispatch_held(g);
}

static void answer_head(struct upstream_call *c, const struct http1_answer *a) {
    struct exchange *x = container_of(c, struct exchange, call);
    x->status = a->status;
    x->progress_ns = clock_mono_ns();
    x->direct = !a->until_end && !a->chunked && a->content_length <= LIMIT_GATEWAY_ANSWER_BYTES;
    if (forward_answer_fields(&x->fields, a) < 0 || buf_add_byte(&x->fields, '\0') < 0) {
        exchange_failed(x, GATEWAY_RETRY_GARBAGE);
        return;
    }
    if (x->direct)
        return;
    x->state = EXCHANGE_PASSING;
    http_request_begin(x->request,
                       &(struct http_answer){.status = x->status, .extra_headers = x->fields.p});
}

static void pass(struct exchange *x, struct str piece) {
    int r = x->body.len ? ERR_AGAIN : http_request_send(x->request, piece);
    if (r == 0)
        return;
    if (r == ERR_AGAIN && buf_add_str(&x->body, piece) == 0) {
        x->starved = true;
        upstream_pause(&x->call);
        return;
    }
    if (r != ERR_CLOSED) // then `gone` comes
        cut(x, GATEWAY_CUT);
}

static void answer_body(struct upstream_call *c, struct str piece) {
    struct exchange *x = container_of(c, struct exchange, call);
    x->progress_ns = clock_mono_ns();
    if (x->state == EXCHANGE_PASSING)
        pass(x, piece);
    else if (buf_add_str(&x->body, piece) < 0)
        exchange_failed(x, GATEWAY_RETRY_GARBAGE);
}

static void answer_ended(struct upstream_call *c, enum upstream_end end) {
    struct exchange *x = container_of(c, struct exchange, call);
    switch (end) {
    case UPSTREAM_DONE:
        if (x->body.len && x->state == EXCHANGE_PASSING) {
            x->whole = true; // `writable` ends it
        } else if (x->status == 503 && x->state == EXCHANGE_ASKED && !x->busy_tried &&
                   gateway_choose(x->g, x->replica->id, clock_mono_ns())) {
            x->busy_tried = true;
            retry(x, GATEWAY_RETRY_BUSY);
        } else {
            finish(x);
        }
        break;
    case UPSTREAM_REFUSED:
        exchange_failed(x, GATEWAY_RETRY_REFUSED);
        break;
    case UPSTREAM_RESET:
        exchange_failed(x, GATEWAY_RETRY_RESET);
        break;
    case UPSTREAM_GARBAGE:
        exchange_failed(x, GATEWAY_RETRY_GARBAGE);
        break;
    }
}

static void client_gone(struct http_request *r, void *ctx) {
    struct exchange *x = ctx;
    struct gateway *g = x->g;
    (void)r;
    cut(x, GATEWAY_GONE);
    if (g->held.n)
        exchange_dispatch_held(g);
}

static void client_writable(struct http_request *r, void *ctx) {
    struct exchange *x = ctx;
    if (!x->starved)
        return;
    int sent = http_request_send(r, buf_str(&x->body));
    if (sent == ERR_AGAIN || sent == ERR_CLOSED)
        return;
    if (sent < 0) {
        cut(x, GATEWAY_CUT);
        return;
    }
    buf_clear(&x->body);
    x->starved = false;
    x->progress_ns = clock_mono_ns();
    if (x->whole)
        finish(x);
    else
        upstream_resume(&x->call);
}

// x->head to the replica `r`; 0, or it could not be started.
static int ask(struct exchange *x, struct gateway_replica *r) {
    static const struct upstream_ops ops = {answer_head, answer_body, answer_ended};
    x->call.ops = &ops;
    x->call.head = buf_str(&x->head);
    x->call.body = http_request_body(x->request);
    int rc = upstream_start(r->up, &x->call);
    if (rc < 0)
        return rc;
    x->state = EXCHANGE_ASKED;
    x->replica = r;
    x->attempts++;
    x->progress_ns = clock_mono_ns();
    list_add(&x->g->flying, x);
    gateway_replica_begin(r, x->progress_ns);
    return 0;
}

// Of an exchange that is in no list. `first`: where it has to wait, it waits before the others.
static void place(struct exchange *x, bool first) {
    struct gateway *g = x->g;
    int64_t now_ns = clock_mono_ns();
    struct gateway_replica *r;
    while (!g->closing && ((r = gateway_choose(g, x->avoid, now_ns)) ||
                           (x->avoid && (r = gateway_choose(g, 0, now_ns))))) {
        buf_clear(&x->head);
        int rc = forward_request_head(&x->head, http_request_http1(x->request), r->host);
        if (rc < 0) { // no other replica would help
            if (rc == ERR_LIMIT)
                fail(x, GATEWAY_FAILED, 431, "the request's head is too large to be passed on");
            else
                fail(x, GATEWAY_FAILED, 500, "no memory for a request");
            return;
        }
        if (ask(x, r) == 0)
            return;
        r->avoid_until_ns = now_ns + AVOID_NS;
    }
    hold(x, first);
}

void exchange_handle(struct http_request *request, void *ctx) {
    static const struct http_watch watch = {client_gone, client_writable};
    struct gateway *g = ctx;
    g->stats.arrived++;
    struct exchange *x = mem_zalloc(sizeof(*x));
    if (!x) {
        g->stats.errors[GATEWAY_FAILED]++;
        gateway_answer_error(request, 500, "failed", "no memory for a request");
        return;
    }
    x->g = g;
    x->request = request;
    x->arrived_ns = clock_mono_ns();
    buf_init(&x->head, g->options.max_head);
    buf_init(&x->fields, LIMIT_GATEWAY_FIELDS_BYTES);
    buf_init(&x->body, LIMIT_GATEWAY_ANSWER_BYTES);
    http_request_watch(request, &watch, x);
    if (g->held.n) // nobody overtakes
        hold(x, false);
    else
        place(x, false);
}

void exchange_dispatch_held(struct gateway *g) {
    int64_t now_ns = clock_mono_ns();
    while (g->held.n && gateway_choose(g, 0, now_ns)) {
        struct exchange *x = g->held.first;
        unplace(x);
        unsigned held = g->held.n;
        place(x, true);
        if (g->held.n > held)
            return;
    }
}

void exchange_sweep(struct gateway *g, int64_t now_ns) {
    while (g->held.n && now_ns - g->held.first->arrived_ns > g->options.hold_ns) {
        struct exchange *x = g->held.first;
        unplace(x);
        fail(x, GATEWAY_HOLD_TIMEOUT, 503, "no replica became ready in time");
    }
    for (struct exchange *x = g->flying.first, *next; x; x = next) {
        next = x->next;
        if (x->starved || now_ns - x->progress_ns <= g->options.answer_ns)
            continue;
        if (x->state == EXCHANGE_PASSING) {
            cut(x, GATEWAY_TIMEOUT);
        } else {
            unplace(x);
            fail(x, GATEWAY_TIMEOUT, 504, "the replica did not answer in time");
        }
    }
}

void exchange_refuse_held(struct gateway *g) {
    while (g->held.n) {
        struct exchange *x = g->held.first;
        unplace(x);
        fail(x, GATEWAY_HOLD_FULL, 503, "the gateway is closing");
    }
}
