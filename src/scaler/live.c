// SPDX-License-Identifier: Apache-2.0
/* The scaler's page and feed; see the header. */
#include "scaler/live.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/http1.h"
#include "net/sse.h"
#include "report/html.h"
#include "scaler/gate.h"
#include "scaler/live_frame.h"

enum { WATCHED_S = 1, UNWATCHED_S = 10 };

struct scaler_live {
    struct io *io;
    struct scaler_live *next; // the first, which sees all, is always there
    struct view *view;
    struct live *log;
    struct sse_feed *feed;
    struct net_timer *timer;
    int64_t start_ns, start_real_ns, framed_ns;
    char run[40];
    bool greeted, failed; // failed: said once
    unsigned readers;     // as told last
    size_t objects;       // in the view, at the last hello
    size_t n;
    struct live_policy policies[LIMIT_LIVE_POLICIES];
};

static bool next_event(void *ctx, uint64_t cursor[2], struct str *ret) {
    struct scaler_live *l = ctx;
    struct live_cursor at = {cursor[0], cursor[1]};
    bool more = live_next(l->log, &at, ret);
    cursor[0] = at.seq;
    cursor[1] = at.hello;
    return more;
}

static int greet(struct scaler_live *l) {
    struct frame_policy shown[LIMIT_LIVE_POLICIES];
    char idle[96], more[160];
    (void)snprintf(idle, sizeof(idle), "A GPU is idle while its utilization is below %d %%.",
                   LIVE_IDLE_PCT);
    (void)snprintf(more, sizeof(more),
                   "%zu of %zu ScaledObjects are shown, those that KEDA asked for first; "
                   "/api/v1/objects lists all.",
                   l->n, l->objects);
    const char *notes[3] = {idle};
    size_t notes_n = 1;
    if (l->objects > l->n)
        notes[notes_n++] = more;
    if (!l->view->all)
        notes[notes_n++] = "Shown are the namespaces whose ScaledObjects your token may list; "
                           "/login takes another one.";
    for (size_t i = 0; i < l->n; i++)
        shown[i] = (struct frame_policy){l->policies[i].id, l->policies[i].label, NULL};
    const struct frame_hello h = {
        .run = l->run,
        .title = "the workloads of this scaler",
        .kind = FRAME_SCALER,
        .policies = shown,
        .policy_n = l->n,
        .gpus = -1,
        .usd_per_gpu_hour = NAN,
        .speed = 1,
        .act_s = NAN,
        .start_unix_s = (double)l->start_real_ns / NS_PER_S,
        .notes = notes,
        .note_n = notes_n,
    };
    return live_hello(l->log, &h);
}

static void show(struct live_policy *p, const struct object *o) {
    *p = (struct live_policy){.object = o->id};
    (void)snprintf(p->id, sizeof(p->id), "%llu", (unsigned long long)o->id);
    (void)snprintf(p->label, sizeof(p->label), STR_FMT "/%s", STR_ARG(o->key->ref.namespace_),
                   o->key->ref.name.p);
}

// What is kept of the object, if it was shown at n or further down: objects go and those behind
// them move up, none moves down.
static bool move_up(struct scaler_live *l, size_t n, uint64_t object) {
    for (size_t i = n; i < l->n; i++)
        if (l->policies[i].object == object) {
            if (i > n)
                l->policies[n] = l->policies[i];
            return true;
        }
    return false;
}

// The first objects; true: others than before.
static bool choose(struct scaler_live *l) {
    size_t n = 0, objects = 0;
    bool changed = !l->greeted;
    for (const struct object *o = l->io->objects; o != NULL; o = o->hh.next) {
        if (!view_has(l->view, o->key->ref.namespace_) || ++objects > LIMIT_LIVE_POLICIES)
            continue;
        if (!move_up(l, n, o->id)) {
            show(&l->policies[n], o);
            changed = true;
        }
        n++;
    }
    changed |= n != l->n || (objects != l->objects && objects > LIMIT_LIVE_POLICIES);
    l->n = n;
    l->objects = objects;
    return changed;
}

static int add_frames(struct scaler_live *l) {
    struct io *io = l->io;
    int64_t now_ns = clock_mono_ns();
    l->framed_ns = now_ns;
    int rc = 0;
    if (choose(l)) {
        rc = greet(l);
        l->greeted = rc == 0;
    }
    live_gather_gpus(io, l->policies, l->n, now_ns);
    size_t i = 0;
    for (const struct object *o = io->objects; rc == 0 && i < l->n; o = o->hh.next)
        if (view_has(l->view, o->key->ref.namespace_))
            rc = live_add_frame(l->log, &l->policies[i++], o, now_ns, l->start_ns);
    return rc;
}

static void frame(struct scaler_live *l) {
    int rc = add_frames(l);
    if (rc < 0 && !l->failed)
        log_warn("the page's feed misses a frame", LOG_STR("reason", err_code_name(rc)));
    l->failed = rc < 0;
}

static struct scaler_live *live_done(struct scaler_live *l) {
    net_timer_stop(&l->timer);
    l->feed = sse_feed_free(l->feed);
    live_free(l->log);
    view_free(l->view);
    mem_free(l);
    return NULL;
}

static void leave(struct scaler_live *l) {
    struct scaler_live **link = &l->io->live;
    while (*link != l)
        link = &(*link)->next;
    *link = l->next;
    live_done(l);
}

static void on_timer(void *ctx) {
    struct scaler_live *l = ctx;
    int64_t every_s = sse_feed_readers(l->feed) > 0 ? WATCHED_S : UNWATCHED_S;
    if (clock_mono_ns() - l->framed_ns < every_s * NS_PER_S - NS_PER_S / 2)
        return;
    if (!l->view->all && sse_feed_readers(l->feed) == 0) {
        leave(l);
        return;
    }
    frame(l);
    sse_feed_changed(l->feed);
}

// Who comes first sees the present, not what was ten seconds ago.
static void on_readers(void *ctx, unsigned n) {
    struct scaler_live *l = ctx;
    bool first = l->readers == 0 && n > 0;
    l->readers = n;
    if (first && clock_mono_ns() - l->framed_ns > WATCHED_S * NS_PER_S)
        frame(l);
}

// The feed of a view, which begins with the present.
static int live_make(struct scaler_live **ret, struct io *io, const struct view *view,
                     struct err *e) {
    struct scaler_live *l = mem_zalloc(sizeof(*l));
    if (l == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the page's feed");
    l->io = io;
    l->start_ns = clock_mono_ns();
    l->start_real_ns = clock_real_ns();
    (void)snprintf(l->run, sizeof(l->run), "scaler-%lld", (long long)l->start_real_ns);
    struct sse_source source = {next_event, on_readers, l};
    if (io->gate != NULL && gate_asks(io->gate))
        source.end_after_ns = LIVE_AGE_S * NS_PER_S;
    l->view = view_copy(view);
    l->log = live_new(LIMIT_LIVE_SCALER_BYTES, LIVE_LAST);
    if (l->view != NULL && l->log != NULL)
        l->feed = sse_feed_new(&io->loop, &source, LIMIT_LIVE_READERS);
    int rc = l->feed != NULL ? 0 : err_set(e, ERR_NOMEM, "no memory for the page's feed");
    if (rc == 0)
        rc = net_timer_start(&l->timer, &io->loop, NS_PER_S, NS_PER_S, on_timer, l, e);
    if (rc < 0) {
        live_done(l);
        return rc;
    }
    frame(l);
    *ret = l;
    return 0;
}

int io_live_start(struct io *io, struct err *e) {
    return live_make(&io->live, io, &view_all, e);
}

void io_live_stop(struct io *io) {
    while (io->live != NULL) {
        struct scaler_live *l = io->live;
        io->live = l->next;
        live_done(l);
    }
}

// The feed of this view, made where there is none. NULL: there are too many, or no memory.
static struct scaler_live *live_of(struct io *io, const struct view *view) {
    struct scaler_live *l = io->live, *fresh;
    unsigned n = 0;
    for (; l != NULL; l = l->next, n++)
        if (view_equal(l->view, view))
            return l;
    struct err e;
    if (n > LIMIT_ACCESS_VIEWS || live_make(&fresh, io, view, &e) < 0)
        return NULL;
    fresh->next = io->live->next;
    io->live->next = fresh;
    return fresh;
}

void live_feed(struct http_request *r, struct io *io, const struct view *view) {
    struct scaler_live *l = io->live != NULL ? live_of(io, view) : NULL;
    if (l != NULL)
        sse_feed_join(l->feed, r);
    else if (io->live == NULL)
        http_request_answer_text(r, 503, "the scaler ends");
    else
        http_request_answer_text(r, 503, "too many different sets of namespaces are looked at now");
}

static void answer_index(struct http_request *r) {
    http_request_answer_text(r, 200,
                             "gpuscale scaler " GPUSCALE_VERSION "\n\n"
                             "/                   the page (for browsers)\n"
                             "/login              a token for the browser, where one is asked for\n"
                             "/metrics            Prometheus\n"
                             "/api/v1/live        what the page shows, as server-sent events\n"
                             "/api/v1/workloads   workloads and their pods\n"
                             "/api/v1/objects     triggers and their present decisions\n"
                             "/api/v1/decisions   ?namespace=&name=&limit=  records (text/plain: "
                             "sentences)\n"
                             "/api/v1/gpus        GPUs by node and pod\n"
                             "/api/v1/sources     agents, engine pages, demand sources\n\n"
                             "Lists take ?limit= and ?offset=.");
}

void live_page(struct http_request *r, struct io *io, const struct view *view) {
    static const struct http_offer offers[] = {
        {.type = "text/html"},
        {.type = "text/plain", .named_only = true},
    };
    CLEANUP_BUF struct buf page;
    buf_init(&page, LIMIT_PAGE_HTML_BYTES);
    if (http_request_prefers(r, offers, COUNT_OF(offers)) == 1)
        answer_index(r);
    else if (html_page(&page) < 0)
        http_request_answer_text(r, 500, "memory is short");
    else
        http_request_answer(r, &(struct http_answer){.status = 200,
                                                     .content_type = "text/html; charset=utf-8",
                                                     .extra_headers = html_headers(),
                                                     .body = buf_str(&page)});
}
