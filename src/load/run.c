// SPDX-License-Identifier: Apache-2.0
/* The loop: what is due, what has come, what took too long. */
#include "load/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "load/conn.h"
#include "load/request.h"
#include "net/descriptors.h"

enum { EVENTS = 256, READ_BYTES = 64 << 10 };

struct run {
    struct load_state *state;
    const struct load_options *o;
    const struct load_run_hooks *hooks;
    struct conn_shared shared;
    struct request_maker maker;
    struct schedule schedule;
    struct schedule_item due; // the next request
    bool has_due;
    int64_t freed_ns; // when the last of the connections was in use, and one became free
    int signals;
    struct conn **conns;
    unsigned n_conns, max_conns;
    struct conn *idle, *closed; // stacks: the warmest first
    struct conn in_flight;      // list head; ascending intended times, hence deadlines
    int64_t next_tick_ns;
    char read_buf[READ_BYTES];
};

static void advance(struct run *r) {
    r->has_due = schedule_next(&r->schedule, &r->due);
}

static void link_in_flight(struct run *r, struct conn *c) {
    c->prev = r->in_flight.prev;
    c->next = &r->in_flight;
    c->prev->next = c;
    c->next->prev = c;
    r->state->in_flight++;
}

static bool has_free(const struct run *r) {
    return r->idle || r->closed || r->n_conns < r->max_conns;
}

static void push_free(struct run *r, struct conn *c) {
    struct conn **stack = c->state == CONN_IDLE ? &r->idle : &r->closed;
    c->next_free = *stack;
    *stack = c;
}

// Its request is over.
static void ended(struct run *r, struct conn *c) {
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->prev = c->next = NULL;
    r->state->in_flight--;
    if (c->out.cap > READ_BYTES)
        buf_done(&c->out);
    if (!has_free(r))
        r->freed_ns = clock_mono_ns();
    push_free(r, c);
}

// An idle connection was closed by its server.
static void unused(struct run *r, struct conn *c) {
    struct conn **at = &r->idle;
    while (*at != c)
        at = &(*at)->next_free;
    *at = c->next_free;
    push_free(r, c);
}

static struct conn *new_conn(struct run *r) {
    struct conn *c = mem_zalloc(sizeof(*c));
    if (!c)
        return NULL;
    c->io.fd = -1;
    http1_answer_init(&c->answer);
    buf_init(&c->out, LIMIT_LOAD_BODY_BYTES + LIMIT_HTTP_HEAD_BYTES);
    r->conns[r->n_conns++] = c;
    return c;
}

static struct conn *take_free(struct run *r) {
    struct conn **stack = r->idle ? &r->idle : &r->closed, *c = *stack;
    if (!c)
        return r->n_conns < r->max_conns ? new_conn(r) : NULL;
    *stack = c->next_free;
    return c;
}

static void expire_due(struct run *r) {
    struct load_record *record = &r->state->record;
    load_record_error(record, LOAD_ERROR_TIMEOUT,
                      "the time passed while waiting for a free connection");
    record->now.counts.waited++;
    advance(r);
}

// Sends what is due at now_ns; when that is much, a part, so that answers are not left waiting.
static void pump(struct run *r, int64_t now_ns) {
    struct load_state *s = r->state;
    for (int n = 0; n < EVENTS && r->has_due && s->start_ns + r->due.at_ns <= now_ns; n++) {
        struct conn *c;
        struct err e = {0};
        if (s->start_ns + r->due.at_ns + r->o->flags->timeout_ns <= now_ns) {
            expire_due(r);
            continue;
        }
        c = take_free(r);
        if (!c)
            return;
        c->intended_ns = s->start_ns + r->due.at_ns;
        c->output = r->due.output;
        s->record.now.counts.waited += c->intended_ns < r->freed_ns;
        if (request_make(&r->maker, &r->due, &c->out, &c->request, &e) < 0) {
            load_record_error(&s->record, LOAD_ERROR_OTHER, e.msg);
            push_free(r, c);
        } else {
            link_in_flight(r, c);
            if (conn_start(c, &r->shared, now_ns) != CONN_GOES_ON)
                ended(r, c);
            now_ns = clock_mono_ns();
        }
        advance(r);
    }
}

// Requests whose time has passed, on connections and before they got one.
static void expire(struct run *r, int64_t now_ns) {
    int64_t timeout_ns = r->o->flags->timeout_ns;
    struct load_state *s = r->state;
    while (s->in_flight > 0 && r->in_flight.next->intended_ns + timeout_ns <= now_ns) {
        struct conn *c = r->in_flight.next;
        conn_time_out(c, &r->shared);
        ended(r, c);
    }
    while (r->has_due && s->start_ns + r->due.at_ns + timeout_ns <= now_ns)
        expire_due(r);
}

static void tick(struct run *r, int64_t now_ns, bool last) {
    struct load_state *s = r->state;
    s->elapsed_ns = now_ns - s->start_ns;
    bool waits = r->has_due && !has_free(r) && r->due.at_ns < s->elapsed_ns;
    s->behind_ns = waits ? s->elapsed_ns - r->due.at_ns : 0;
    s->cpu_ns = clock_process_cpu_ns();
    s->connections = 0;
    for (unsigned i = 0; i < r->n_conns; i++)
        s->connections += r->conns[i]->state >= CONN_SENDING;
    if (!last)
        r->hooks->tick(r->hooks->ctx, s, false);
    load_record_turn(&s->record, s->elapsed_ns, s->in_flight, last);
    int64_t every = r->o->flags->interval_ns;
    while (r->next_tick_ns <= now_ns) // after a long stop there is one, not many
        r->next_tick_ns += every;
}

static int64_t wake_ns(const struct run *r, int64_t now_ns) {
    const struct load_state *s = r->state;
    int64_t at = r->next_tick_ns, timeout_ns = r->o->flags->timeout_ns, other;
    if (r->has_due) {
        other = s->start_ns + r->due.at_ns + (has_free(r) ? 0 : timeout_ns);
        at = other < at ? other : at;
    } else if (s->in_flight == 0) {
        other = s->start_ns + s->end_ns;
        at = other < at ? other : at;
    }
    if (s->in_flight > 0) {
        other = r->in_flight.next->intended_ns + timeout_ns;
        at = other < at ? other : at;
    }
    return at > now_ns ? at - now_ns : 0;
}

// epoll_wait that sleeps for nanoseconds; kernels before 5.11 have it through ppoll.
static int wait_events(int epoll, struct epoll_event *events, int64_t for_ns) {
    static bool old_kernel;
    struct timespec t = {.tv_sec = for_ns / NS_PER_S, .tv_nsec = for_ns % NS_PER_S};
    if (!old_kernel) {
        int n = epoll_pwait2(epoll, events, EVENTS, &t, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        old_kernel = true;
    }
    struct pollfd p = {.fd = epoll, .events = POLLIN};
    int n = ppoll(&p, 1, &t, NULL);
    return n <= 0 ? n : epoll_wait(epoll, events, EVENTS, 0);
}

static void handle(struct run *r, const struct epoll_event *event) {
    struct conn *c = event->data.ptr;
    if (!c) {
        r->state->stopped = true;
        return;
    }
    switch (conn_ready(c, &r->shared, event->events)) {
    case CONN_GOES_ON:
        break;
    case CONN_ENDED:
        ended(r, c);
        break;
    case CONN_UNUSED:
        unused(r, c);
        break;
    }
}

// The events of idle connections, before any of them is taken for a request: an event must not be
// told to the connection that was opened in its place.
static void handle_idle(struct run *r, struct epoll_event *events, int n) {
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (!c || c->state != CONN_IDLE)
            continue;
        handle(r, &events[i]);
        events[i].events = 0;
    }
}

static bool over(const struct run *r, int64_t now_ns) {
    const struct load_state *s = r->state;
    return s->stopped || (!r->has_due && s->in_flight == 0 && now_ns - s->start_ns >= s->end_ns);
}

static int loop(struct run *r, struct err *e) {
    struct epoll_event events[EVENTS];
    int64_t now_ns = clock_mono_ns();
    while (!over(r, now_ns)) {
        pump(r, now_ns);
        now_ns = clock_mono_ns();
        int n = wait_events(r->shared.epoll, events, wake_ns(r, now_ns));
        if (n < 0 && errno != EINTR)
            return err_errno(e, errno, "epoll_pwait2");
        handle_idle(r, events, n);
        for (int i = 0; i < n; i++) {
            if (events[i].events)
                handle(r, &events[i]);
            if (r->has_due && (i & 7) == 7) // many answers must not make the next request late
                pump(r, clock_mono_ns());
        }
        now_ns = clock_mono_ns();
        expire(r, now_ns);
        if (now_ns >= r->next_tick_ns)
            tick(r, now_ns, false);
    }
    r->state->unfinished = r->state->in_flight;
    tick(r, clock_mono_ns(), true);
    r->hooks->tick(r->hooks->ctx, r->state, true);
    return 0;
}

// Sockets for all connections, beside what a program has open anyway.
static int allow_descriptors(int64_t connections, struct err *e) {
    uint64_t needed = (uint64_t)connections + 32, allowed = net_descriptors_raise(needed);
    return allowed >= needed
               ? 0
               : err_set(e, ERR_LIMIT,
                         "--connections %lld needs %llu descriptors, and %llu are allowed: raise "
                         "`ulimit -n`, or take fewer",
                         (long long)connections, (unsigned long long)needed,
                         (unsigned long long)allowed);
}

static int watch_signals(struct run *r, struct err *e) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_errno(e, errno, "sigprocmask");
    r->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (r->signals < 0 || epoll_ctl(r->shared.epoll, EPOLL_CTL_ADD, r->signals, &event) < 0)
        return err_errno(e, errno, "signalfd");
    return 0;
}

static int start_tls(struct run *r, struct err *e) {
    const struct load_flags *f = r->o->flags;
    struct net_tls_files files = {.cert = f->cert, .key = f->key, .ca = f->ca};
    if (!r->shared.target->tls) {
        if (f->ca || f->cert || f->key || f->insecure)
            return err_set(e, ERR_INVALID, "--ca, --cert, --key and --insecure are for https");
        return 0;
    }
    return net_tls_new(&r->shared.tls, f->insecure ? NET_TLS_CLIENT_UNVERIFIED : NET_TLS_CLIENT,
                       NET_TLS_ALPN_HTTP1, &files, e);
}

static void start_schedule(struct run *r) {
    const struct load_options *o = r->o;
    uint64_t seed = (uint64_t)o->flags->seed;
    if (o->trace.rows.n > 0)
        schedule_init_trace(&r->schedule, &o->trace, o->flags->speed, o->flags->duration_ns,
                            o->lengths, seed);
    else
        schedule_init_shape(&r->schedule, &o->shape, o->flags->arrivals, o->lengths, seed);
    r->state->end_ns = r->schedule.end_ns;
    advance(r);
}

static int prepare(struct run *r, struct err *e) {
    const struct load_flags *f = r->o->flags;
    int code = request_maker_init(&r->maker, r->o, r->shared.target, e);
    code = code < 0 ? code : start_tls(r, e);
    code = code < 0 ? code : load_target_resolve(r->shared.target, e);
    code = code < 0 ? code : allow_descriptors(f->connections, e);
    if (code < 0)
        return code;
    r->shared.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->shared.epoll < 0)
        return err_errno(e, errno, "epoll_create1");
    code = watch_signals(r, e);
    if (code < 0)
        return code;
    r->max_conns = (unsigned)f->connections;
    r->conns = mem_array(r->max_conns, sizeof(struct conn *));
    if (!r->conns)
        return err_set(e, ERR_NOMEM, "no memory for the connections");
    r->in_flight.prev = r->in_flight.next = &r->in_flight;
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); // else a sleep is 50 us too long
    start_schedule(r);
    return load_record_init(&r->state->record, f->timeout_ns + 60 * NS_PER_S, f->interval_ns,
                            r->state->end_ns + f->timeout_ns, e);
}

static void clean_up(struct run *r) {
    for (unsigned i = 0; i < r->n_conns; i++) {
        conn_close(r->conns[i]);
        http1_answer_done(&r->conns[i]->answer);
        buf_done(&r->conns[i]->out);
        mem_free(r->conns[i]);
    }
    mem_free(r->conns);
    if (r->shared.epoll >= 0)
        close(r->shared.epoll);
    if (r->signals >= 0)
        close(r->signals);
    net_tls_free(r->shared.tls);
    request_maker_done(&r->maker);
    mem_free(r);
}

int load_run(struct load_state *ret, const struct load_options *o, struct load_target *target,
             const struct load_run_hooks *hooks, struct err *e) {
    struct run *r = mem_zalloc(sizeof(*r));
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory for a run");
    *ret = (struct load_state){.options = o, .target = target};
    r->state = ret;
    r->o = o;
    r->hooks = hooks;
    r->signals = -1;
    r->shared = (struct conn_shared){.target = target,
                                     .record = &ret->record,
                                     .epoll = -1,
                                     .is_head = o->flags->method &&
                                                str_eqc(STR("HEAD"), o->flags->method),
                                     .read_buf = r->read_buf,
                                     .read_cap = sizeof(r->read_buf)};
    int code = prepare(r, e);
    if (code == 0) {
        ret->start_unix_ns = clock_real_ns();
        ret->start_ns = clock_mono_ns();
        r->next_tick_ns = ret->start_ns + o->flags->interval_ns;
        code = loop(r, e);
        if (code < 0)
            load_state_done(ret);
    }
    clean_up(r);
    return code;
}

void load_state_done(struct load_state *s) {
    load_record_done(&s->record);
}
