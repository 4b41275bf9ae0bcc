// SPDX-License-Identifier: Apache-2.0
/*
 * When which page is asked for, and what became of it. Each target has a timer of its own and at
 * most one request; the next turn is set when the request has ended, on the target's own phase of
 * the interval, so that thousands of targets stay spread however long they take.
 */
#include "source/scraper.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"

enum {
    SLOW_SHARE = 10, // a page may take a tenth of its interval before it is asked for less often
    SLOW_BACKOFF_MAX = 4,
    STEADY_FAILED_MAX = 2, // a steady target that fails is asked half as often
    FIRST_SHARE = 5,       // the first turn comes within a fifth of the interval
    GAP_TEXT_MAX = 4096,
    // libcurl walks lists of a pool's connections: with thousands of targets, several pools cost
    // less than one (CPU a page at 2,000 targets: a half; at 10,000: a tenth).
    POOLS = 16,
};
#define TLS_CHECK_NS (10 * NS_PER_S)

struct scraper_target {
    struct scraper *scraper;
    UT_hash_handle hh[2]; // [scraper->now]: the set; the other: the next set, being made
    char *key, *url, *shown, *server_name, *form; // server_name: NULL, the URL's host
    const void *what;
    int64_t interval_ns, phase_ns, fresh_ns, current_ns;
    bool tls, wanted;
    uint32_t missing, bad;
    struct net_timer *timer;
    struct fetch_pool *pool;
    struct fetch *fetch;
    void *reader;
    struct err page_err; // why the reader took no more
    int64_t started_ns, good_at_ns, took_ns;
    unsigned failed;
    int failure;
    char *error;
};

struct scraper {
    struct scraper_options o;
    struct fetch_pool *pools[POOLS];
    struct fetch_tls *tls;
    struct net_timer *tls_timer;
    struct scraper_target *set[2];
    int now; // which of set and hh is the set
    struct scrape_stats stats;
};

const char *scrape_failure_name(int failure) {
    if (failure == SCRAPE_PARSE)
        return "parse";
    if (failure == SCRAPE_NOTHING)
        return "nothing";
    return fetch_failure_name((enum fetch_failure)failure);
}

// How many intervals a slow page may be left alone: its value must not grow too old before the next
// one is here, or a slow engine would be an unknown one.
static int64_t slow_times(int64_t took_ns, int64_t interval_ns, int64_t fresh_ns) {
    int64_t times = (took_ns * SLOW_SHARE + interval_ns - 1) / interval_ns;
    if (times > SLOW_BACKOFF_MAX)
        times = SLOW_BACKOFF_MAX;
    int64_t bound = (fresh_ns - took_ns - interval_ns / 2) / interval_ns;
    return fresh_ns > 0 && times > bound ? bound : times;
}

int64_t scraper_next(int64_t started_ns, int64_t took_ns, unsigned failed, int64_t interval_ns,
                     int64_t phase_ns, int64_t fresh_ns, int64_t *ret_current_ns) {
    int64_t times = 1;
    if (failed > 1) {
        times = failed > 3 ? SCRAPE_BACKOFF_MAX : (int64_t)1 << (failed - 1);
    } else if (failed == 0) {
        times = slow_times(took_ns, interval_ns, fresh_ns);
    }
    if (times < 1)
        times = 1;
    *ret_current_ns = times * interval_ns;
    // The first slot of the phase that is more than half an interval short of a whole pause away.
    int64_t from = started_ns + *ret_current_ns - interval_ns / 2;
    if (from < started_ns + took_ns)
        from = started_ns + took_ns;
    int64_t slots = (from - phase_ns) / interval_ns;
    int64_t next = slots * interval_ns + phase_ns;
    return next <= from ? next + interval_ns : next;
}

static void reader_close(struct scraper_target *t) {
    if (t->reader)
        t->scraper->o.ops->close(t->scraper->o.ctx, t->what, TAKE_PTR(t->reader));
}

static void remember_error(struct scraper_target *t, const char *text) {
    mem_free(t->error);
    t->error = text ? mem_strdup(text) : NULL; // no memory: the status shows the reason alone
}

static void schedule(struct scraper_target *t) {
    int64_t now = clock_mono_ns(), took = now - t->started_ns;
    unsigned failed = t->failed;
    if (t->scraper->o.request.steady) {
        failed = failed < STEADY_FAILED_MAX ? failed : STEADY_FAILED_MAX;
        if (took < t->interval_ns / 2 && took > t->interval_ns / SLOW_SHARE)
            took = t->interval_ns / SLOW_SHARE;
    }
    int64_t due = scraper_next(t->started_ns, took, failed, t->interval_ns, t->phase_ns,
                               t->fresh_ns, &t->current_ns);
    net_timer_again(t->timer, due > now ? due - now : 0);
}

// Ends a turn: counts, tells, sets the next one.
static void turn_failed(struct scraper_target *t, int failure, const struct err *why) {
    struct scraper *s = t->scraper;
    s->stats.scrapes++;
    s->stats.failures[failure]++;
    t->failed++;
    t->failure = failure;
    remember_error(t, why->msg);
    schedule(t);
    s->o.told.failure(s->o.told.ctx, t->key, failure, why);
}

static bool reader_open(struct scraper_target *t) {
    if (!t->reader)
        t->reader = t->scraper->o.ops->open(t->scraper->o.ctx, t->what);
    if (!t->reader)
        err_set(&t->page_err, ERR_NOMEM, "%s: out of memory", t->shown);
    return t->reader != NULL;
}

static bool on_body(void *ctx, const char *p, size_t n) {
    struct scraper_target *t = ctx;
    return reader_open(t) && t->scraper->o.ops->feed(t->reader, p, n, &t->page_err) == 0;
}

static void on_page(struct scraper_target *t, const struct fetch_result *r) {
    struct scraper *s = t->scraper;
    const struct scraper_ops *ops = s->o.ops;
    int rc = t->page_err.code;
    if (rc == 0 && reader_open(t))
        rc = ops->finish(s->o.ctx, t, t->reader, r->complete, r->started_ns, &t->page_err);
    if (!t->reader) {
        turn_failed(t, FETCH_INTERNAL, &t->page_err);
        return;
    }
    if (rc < 0) {
        int failure = ops->reason(t->reader, rc);
        reader_close(t);
        err_wrap(&t->page_err, "%s", t->shown);
        turn_failed(t, failure, &t->page_err);
        return;
    }
    reader_close(t);
    s->stats.scrapes++;
    s->stats.failures[FETCH_OK]++;
    t->failed = 0;
    t->failure = FETCH_OK;
    t->good_at_ns = r->started_ns;
    remember_error(t, NULL);
    schedule(t);
}

static void on_done(void *ctx, const struct fetch_result *r) {
    struct scraper_target *t = ctx;
    t->fetch = NULL;
    t->took_ns = r->took_ns;
    t->scraper->stats.bytes += r->body_bytes;
    if (r->failure == FETCH_OK || r->failure == FETCH_REFUSED) {
        on_page(t, r);
    } else {
        struct err e = r->err;
        if (r->failure == FETCH_STATUS && t->reader && t->scraper->o.ops->refused)
            t->scraper->o.ops->refused(t->reader, r->status, &e);
        if (r->failure == FETCH_STATUS && (r->status == 401 || r->status == 403))
            e.code = ERR_AUTH;
        else if (r->failure == FETCH_STATUS && r->status == 404)
            e.code = ERR_NOTFOUND;
        reader_close(t);
        turn_failed(t, (int)r->failure, &e);
    }
}

static void turn(void *ctx) {
    struct scraper_target *t = ctx;
    struct scraper *s = t->scraper;
    const struct scraper_request *q = &s->o.request;
    struct err e = {0};
    t->started_ns = clock_mono_ns();
    t->page_err = (struct err){0};
    struct fetch_options o = {
        .url = t->url,
        .server_name = t->server_name,
        .tls = t->tls ? s->tls : NULL,
        .accept = q->accept ? q->accept : "text/plain;version=0.0.4,*/*;q=0.1",
        .headers = q->headers,
        .form = t->form,
        .auth = q->auth,
        .error_body = s->o.ops->refused != NULL,
        .connect_ms = s->o.connect_ms,
        .total_ms = s->o.total_ms,
        .max_body_bytes = q->max_body_bytes ? q->max_body_bytes : LIMIT_METRICS_PAGE_BYTES,
        .body = on_body,
        .done = on_done,
        .ctx = t,
    };
    if (fetch_start(&t->fetch, t->pool, &o, &e) < 0)
        turn_failed(t, e.code == ERR_AUTH ? FETCH_SECRET : FETCH_INTERNAL, &e);
}

static void target_free(struct scraper_target *t) {
    if (!t)
        return;
    net_timer_stop(&t->timer);
    if (t->fetch)
        fetch_cancel(t->fetch);
    reader_close(t);
    mem_free(t->key);
    mem_free(t->url);
    mem_free(t->shown);
    mem_free(t->server_name);
    mem_free(t->form);
    mem_free(t->error);
    mem_free(t);
}

static struct scraper_target *target_new(struct scraper *s, const struct scraper_spec *spec) {
    struct scraper_target *t = mem_zalloc(sizeof(*t));
    if (!t)
        return NULL;
    size_t n = strlen(spec->url) + 1;
    t->scraper = s;
    t->key = mem_strdup(spec->key);
    t->url = mem_strdup(spec->url);
    t->shown = mem_alloc(n);
    t->server_name = spec->server_name ? mem_strdup(spec->server_name) : NULL;
    t->form = spec->form ? mem_strdup(spec->form) : NULL;
    if (!t->key || !t->url || !t->shown || (spec->server_name && !t->server_name) ||
        (spec->form && !t->form)) {
        target_free(t);
        return NULL;
    }
    fetch_url_redact(str_from(spec->url), t->shown, n);
    t->what = spec->what;
    t->interval_ns = t->current_ns = spec->interval_ns;
    t->tls = spec->tls;
    uint64_t mixed = (map_hash(t->key, strlen(t->key)) ^ s->o.seed) * 0x9e3779b97f4a7c15u;
    t->phase_ns = (int64_t)(mixed >> 1) % t->interval_ns;
    t->pool = s->pools[(mixed >> 32) % s->o.pools];
    return t;
}

static bool same(const struct scraper_target *t, const struct scraper_spec *spec) {
    return t->what == spec->what && t->interval_ns == spec->interval_ns && t->tls == spec->tls &&
           !strcmp(t->url, spec->url) && str_eq(str_from(t->form), str_from(spec->form)) &&
           str_eq(str_from(t->server_name), str_from(spec->server_name));
}

static int spec_check(const struct scraper *s, const struct scraper_spec *spec, struct err *e) {
    int r = fetch_url_check(spec->url, e);
    if (r < 0)
        return err_wrap(e, "%s", spec->key);
    if (spec->tls && !s->tls)
        return err_set(e, ERR_INVALID, "%s: asks for TLS files, and none are configured",
                       spec->key);
    if (spec->interval_ns < 100 * NS_PER_MS)
        return err_set(e, ERR_INVALID, "%s: an interval below 100ms is not allowed", spec->key);
    return 0;
}

// Adds one target to the next set: the present one where nothing changed, else a new one.
static int next_add(struct scraper *s, const struct scraper_spec *spec, struct err *e) {
    struct scraper_target *t = NULL;
    size_t n = strlen(spec->key);
    int next = !s->now;
    HASH_FIND(hh[next], s->set[next], spec->key, n, t);
    if (t)
        return err_set(e, ERR_INVALID, "%s: given twice", spec->key);
    HASH_FIND(hh[s->now], s->set[s->now], spec->key, n, t);
    bool keep = t && same(t, spec);
    if (!keep) {
        int r = spec_check(s, spec, e);
        if (r < 0)
            return r;
        t = target_new(s, spec);
        if (!t)
            return err_set(e, ERR_NOMEM, "out of memory");
        int64_t after = t->phase_ns / FIRST_SHARE;
        r = net_timer_start(&t->timer, s->o.loop, after, 0, turn, t, e);
        if (r < 0) {
            target_free(t);
            return r;
        }
    }
    map_oom();
    HASH_ADD_KEYPTR(hh[next], s->set[next], t->key, n, t);
    if (map_oom()) {
        if (!keep)
            target_free(t);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    t->wanted = true;
    t->fresh_ns = spec->fresh_ns;
    return 0;
}

// Frees the targets of one set that are not in the other, and forgets the set itself.
static void set_drop(struct scraper *s, int which, bool keep_wanted) {
    struct scraper_target *t, *tmp, *first = s->set[which];
    HASH_ITER(hh[which], first, t, tmp) {
        HASH_DELETE(hh[which], s->set[which], t);
        if (!keep_wanted || !t->wanted)
            target_free(t);
        first = s->set[which];
    }
}

static void next_abandon(struct scraper *s) {
    struct scraper_target *t, *tmp;
    int next = !s->now;
    HASH_ITER(hh[s->now], s->set[s->now], t, tmp) {
        if (t->wanted)
            HASH_DELETE(hh[next], s->set[next], t);
        t->wanted = false;
    }
    set_drop(s, next, false);
}

int scraper_set(struct scraper *s, const struct scraper_spec *specs, size_t n, struct err *e) {
    if (n > LIMIT_SCRAPE_TARGETS)
        return err_set(e, ERR_LIMIT, "%zu targets, at most %d", n, LIMIT_SCRAPE_TARGETS);
    for (size_t i = 0; i < n; i++) {
        int r = next_add(s, &specs[i], e);
        if (r < 0) {
            next_abandon(s);
            return r;
        }
    }
    set_drop(s, s->now, true);
    s->now = !s->now;
    struct scraper_target *t, *tmp;
    HASH_ITER(hh[s->now], s->set[s->now], t, tmp)
    t->wanted = false;
    return 0;
}

static void check_tls(void *ctx) {
    struct scraper *s = ctx;
    struct err e = {0};
    int r = fetch_tls_reload_if_changed(s->tls, &e);
    if (r != 0 && s->o.told.tls_event)
        s->o.told.tls_event(s->o.told.ctx, r < 0 ? &e : NULL);
}

int scraper_new(struct scraper **ret, const struct scraper_options *options, struct err *e) {
    struct scraper *s = mem_zalloc(sizeof(*s));
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->o = *options;
    if (s->o.pools == 0 || s->o.pools > POOLS)
        s->o.pools = POOLS;
    int r = 0;
    for (unsigned i = 0; i < s->o.pools && r == 0; i++)
        r = fetch_pool_new(&s->pools[i], options->loop, e);
    if (r == 0 && options->tls) {
        r = fetch_tls_new(&s->tls, options->tls, options->tls_server_name, e);
        if (r == 0)
            r = net_timer_start(&s->tls_timer, options->loop, TLS_CHECK_NS, TLS_CHECK_NS, check_tls,
                                s, e);
    }
    s->o.tls = NULL;
    s->o.tls_server_name = NULL;
    if (r < 0) {
        scraper_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct scraper *scraper_free(struct scraper *s) {
    if (!s)
        return NULL;
    set_drop(s, s->now, false);
    net_timer_stop(&s->tls_timer);
    for (int i = 0; i < POOLS; i++)
        s->pools[i] = fetch_pool_free(s->pools[i]);
    fetch_tls_free(s->tls);
    mem_free(s);
    return NULL;
}

struct scrape_stats scraper_stats(const struct scraper *s) {
    struct scrape_stats stats = s->stats;
    for (const struct scraper_target *t = s->set[s->now]; t; t = t->hh[s->now].next) {
        stats.targets++;
        stats.in_flight += t->fetch != NULL;
        stats.failing += t->failed > 0;
        stats.backed_off += t->current_ns > t->interval_ns;
    }
    return stats;
}

void scraper_each(const struct scraper *s, void (*fn)(void *, const struct scrape_status *),
                  void *ctx) {
    for (const struct scraper_target *t = s->set[s->now]; t; t = t->hh[s->now].next) {
        struct scrape_status status = {
            .key = t->key,
            .url = t->shown,
            .interval_ns = t->interval_ns,
            .current_ns = t->current_ns,
            .good_at_ns = t->good_at_ns,
            .took_ns = t->took_ns,
            .failed = t->failed,
            .failure = t->failure,
            .error = t->error ? t->error : "",
        };
        fn(ctx, &status);
    }
}

const char *scraper_target_key(const struct scraper_target *t) {
    return t->key;
}

const void *scraper_target_what(const struct scraper_target *t) {
    return t->what;
}

int scraper_fault_reason(enum prom_fault fault) {
    switch (fault) {
    case PROM_FAULT_NOT_TEXT:
        return FETCH_HTML;
    case PROM_FAULT_TRUNCATED:
        return FETCH_TRUNCATED;
    case PROM_FAULT_LIMIT:
        return FETCH_TOO_LARGE;
    case PROM_FAULT_NOMEM:
        return FETCH_INTERNAL;
    default:
        return SCRAPE_PARSE;
    }
}

void scraper_tell_gaps(struct scraper_target *t, uint32_t missing, uint32_t bad) {
    const struct scraper_told *told = &t->scraper->o.told;
    bool changed = t->missing != missing || t->bad != bad;
    t->missing = missing;
    t->bad = bad;
    if (!changed || !told->gaps)
        return;
    CLEANUP_BUF struct buf text;
    buf_init(&text, GAP_TEXT_MAX);
    t->scraper->o.ops->describe(t->what, missing, bad, &text);
    if (buf_add_byte(&text, 0) < 0 && text.len > 0)
        text.p[text.len - 1] = 0; // cut
    told->gaps(told->ctx, t->key, missing, bad, text.p ? text.p : "");
}
