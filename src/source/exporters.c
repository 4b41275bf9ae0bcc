// SPDX-License-Identifier: Apache-2.0
/*
 * Exporters: the configured targets, the addresses that their names give now, one scraped page an
 * address. What a page means is core/exporter's, what it changes exporter_table.c's.
 */
#include "source/exporters.h"

#include "base/clock.h"
#include "base/limits.h"
#include "source/agent_names.h"
#include "source/exporter_table.h"
#include "source/scraper.h"
#include "source/target_name.h"

// The exporter asks the kubelet who holds what while we wait.
enum { READERS_KEPT = 16, CONNECT_MS = 2000, TOTAL_MS = 10000 };

struct exporter_target {
    char *text;
    struct target_name name;
    bool https;
    const char *path; // into text; NULL: the configured one
    struct exporters *exporters;
    struct VEC(struct net_addr) addresses;
};

struct exporters {
    struct exporters_options o; // its strings are the object's own
    struct scraper *scraper;
    struct exporter_table table;
    struct target_names names;
    struct exporter_target **targets;
    size_t n_targets;
    struct exporter_source *sources; // by url
    uint64_t turn;                   // lists of addresses given to the scraper
    bool starting;                   // all targets first, then their addresses at once
    bool stale;                      // the scraper does not have the last one
    uint64_t over_limit;
    struct net_timer *sweep_timer;
    struct exporter_page *kept[READERS_KEPT];
    unsigned n_kept;
};

// --- pages ---

static void *page_open(void *ctx, const void *what) {
    struct exporters *x = ctx;
    struct exporter_page *page;
    if (x->n_kept > 0)
        return x->kept[--x->n_kept];
    return exporter_page_new(&page, NULL) == 0 ? page : NULL;
}

static void page_close(void *ctx, const void *what, void *reader) {
    struct exporters *x = ctx;
    if (x->n_kept == READERS_KEPT) {
        exporter_page_free(reader);
        return;
    }
    exporter_page_reset(reader);
    x->kept[x->n_kept++] = reader;
}

static int page_feed(void *reader, const char *p, size_t n, struct err *e) {
    return exporter_page_feed(reader, p, n, e);
}

static struct exporter_source *source_of(const struct exporters *x, const char *url) {
    struct exporter_source *s;
    HASH_FIND(hh, x->sources, url, strlen(url), s);
    return s;
}

static int page_finish(void *ctx, struct scraper_target *t, void *reader, bool complete,
                       int64_t requested_at_ns, struct err *e) {
    struct exporters *x = ctx;
    struct exporter_source *s = source_of(x, scraper_target_key(t));
    struct exporter_page_result res = {0};
    int rc = exporter_page_finish(reader, complete, &res, e);
    if (rc < 0)
        return rc;
    scraper_tell_gaps(t, res.missing, 0);
    rc = exporter_table_take(&x->table, s, reader, &res, requested_at_ns,
                             clock_real_ns() / NS_PER_MS);
    if (rc < 0)
        return err_set(e, rc, "out of memory");
    if (s->failing && x->o.recovered)
        x->o.recovered(x->o.ctx, s->shown);
    s->failing = false;
    return 0;
}

static int page_reason(void *reader, int code) {
    if (code == ERR_NOTFOUND)
        return SCRAPE_NOTHING;
    return code == ERR_NOMEM ? FETCH_INTERNAL : scraper_fault_reason(exporter_page_fault(reader));
}

static void page_describe(const void *what, uint32_t missing, uint32_t bad, struct buf *text) {
    if (missing)
        buf_addc(text, "not on the page: ");
    exporter_lack_describe(missing, text);
}

static const struct scraper_ops page_ops = {
    .open = page_open,
    .close = page_close,
    .feed = page_feed,
    .finish = page_finish,
    .reason = page_reason,
    .describe = page_describe,
};

// --- what is told on ---

static void on_failure(void *ctx, const char *url, int failure, const struct err *why) {
    struct exporters *x = ctx;
    // A pod that is gone has left its name's addresses, too.
    struct exporter_source *s = source_of(x, url);
    for (size_t i = 0; i < x->n_targets; i++)
        if (!strcmp(x->targets[i]->text, s->target))
            target_name_look_again(&x->targets[i]->name);
    if (!s->failing)
        x->o.failure(x->o.ctx, s->shown, failure, why);
    s->failing = true;
}

static void on_gaps(void *ctx, const char *url, uint32_t missing, uint32_t bad, const char *text) {
    struct exporters *x = ctx;
    if (x->o.gaps)
        x->o.gaps(x->o.ctx, source_of(x, url)->shown, missing, bad, text);
}

static void on_tls(void *ctx, const struct err *why) {
    struct exporters *x = ctx;
    if (x->o.tls_event)
        x->o.tls_event(x->o.ctx, why);
}

// --- addresses ---

static void source_free(struct exporters *x, struct exporter_source *s) {
    exporter_table_forget(&x->table, s);
    HASH_DEL(x->sources, s);
    mem_free(s->url);
    mem_free(s->shown);
    mem_free(s);
}

static struct exporter_source *source_new(struct exporters *x, const char *url) {
    struct exporter_source *s = mem_zalloc(sizeof(*s));
    if (!s)
        return NULL;
    vec_init(&s->records, LIMIT_GPU_ENTITIES_PER_NODE);
    s->good_ns = s->changed_ns = INT64_MIN;
    s->kind = "";
    s->url = mem_strdup(url);
    s->shown = mem_strdup(url);
    if (s->shown)
        fetch_url_redact(str_from(url), s->shown, strlen(url) + 1);
    map_oom();
    if (s->url && s->shown)
        HASH_ADD_KEYPTR(hh, x->sources, s->url, strlen(s->url), s);
    if (!s->url || !s->shown || map_oom()) {
        mem_free(s->url);
        mem_free(s->shown);
        mem_free(s);
        return NULL;
    }
    return s;
}

struct spec_vec VEC(struct scraper_spec);

// One address of a target; one that another target gave before is that one's.
static int add_source(struct exporters *x, const struct exporter_target *t,
                      const struct net_addr *address, struct spec_vec *specs) {
    char at[128], url[LIMIT_URL_BYTES];
    net_addr_format(address, at, sizeof(at));
    const char *path = t->path ? t->path : x->o.path;
    int n = snprintf(url, sizeof(url), "http%s://%s%s", t->https ? "s" : "", at, path);
    if (n < 0 || (size_t)n >= sizeof(url))
        return ERR_LIMIT;
    struct exporter_source *s = source_of(x, url);
    if (!s && !(s = source_new(x, url)))
        return ERR_NOMEM;
    if (s->turn == x->turn)
        return 0;
    s->turn = x->turn;
    s->target = t->text;
    struct scraper_spec spec = {
        .key = s->url,
        .url = s->url,
        // Of an IPv6 address the URL's host is the same.
        .server_name = t->https && !strchr(t->name.host, ':') ? t->name.host : NULL,
        .what = x,
        .interval_ns = x->o.interval_ns,
        .tls = t->https && x->o.tls != NULL,
    };
    int r = vec_push(specs, spec);
    if (r == ERR_LIMIT) {
        x->over_limit++;
        return 0;
    }
    return r;
}

// Gives the scraper the present addresses. What is gone keeps its GPUs until they are forgotten.
static int give_addresses(struct exporters *x, struct err *e) {
    struct spec_vec specs;
    int r = 0;
    vec_init(&specs, LIMIT_SCRAPE_TARGETS);
    x->turn++;
    for (size_t i = 0; i < x->n_targets; i++) {
        const struct exporter_target *t = x->targets[i];
        for (size_t k = 0; k < t->addresses.n && r == 0; k++)
            r = add_source(x, t, &t->addresses.items[k], &specs);
    }
    if (r < 0)
        err_set(e, r, r == ERR_LIMIT ? "a target's URL is too long" : "out of memory");
    else
        r = scraper_set(x->scraper, specs.items, specs.n, e);
    vec_done(&specs);
    x->stale = r < 0;
    struct exporter_source *s, *tmp;
    HASH_ITER(hh, x->sources, s, tmp) {
        if (r == 0)
            s->gone = s->turn != x->turn;
    }
    return r;
}

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct net_addr));
}

// A name's answers come in any order; the same ones again change nothing.
static void on_addresses(struct target_name *name, const struct net_addr *addresses, size_t n) {
    struct exporter_target *t = container_of(name, struct exporter_target, name);
    struct exporters *x = t->exporters;
    struct err e = {0};
    typeof(t->addresses) before = t->addresses;
    vec_init(&t->addresses, LIMIT_NODES);
    for (size_t i = 0; i < n; i++)
        if (vec_push(&t->addresses, addresses[i]) < 0)
            x->over_limit++;
    if (t->addresses.n > 0)
        qsort(t->addresses.items, t->addresses.n, sizeof(struct net_addr), by_bytes);
    bool same = before.n == t->addresses.n && (n == 0 || !memcmp(before.items, t->addresses.items,
                                                                 before.n * sizeof(*addresses)));
    vec_done(&before);
    if (!same && !x->starting)
        (void)give_addresses(x, &e); // tried again by the sweep
}

static void on_told(struct target_name *name, const struct err *why) {
    struct exporter_target *t = container_of(name, struct exporter_target, name);
    if (t->exporters->o.resolve)
        t->exporters->o.resolve(t->exporters->o.ctx, t->text, why);
}

static void sweep(void *ctx) {
    struct exporters *x = ctx;
    int64_t now = clock_mono_ns();
    struct err e = {0};
    for (size_t i = 0; i < x->n_targets; i++)
        target_name_sweep(&x->targets[i]->name, now);
    if (x->stale)
        (void)give_addresses(x, &e);
    struct exporter_source *s, *tmp;
    HASH_ITER(hh, x->sources, s, tmp) {
        bool old = s->good_ns < now - x->o.forget_ns;
        if (s->gone && (old || s->records.n == 0))
            source_free(x, s);
        else if (old)
            exporter_table_forget(&x->table, s);
    }
}

// --- targets ---

static void target_free(struct exporter_target *t) {
    if (!t)
        return;
    target_name_stop(&t->name);
    vec_done(&t->addresses);
    mem_free(t->text);
    mem_free(t);
}

// A URL's HOST:PORT (the scheme's port where it has none) and its path.
static int url_parse(struct exporter_target *t, const char *text, struct err *e) {
    int r = fetch_url_check(text, e);
    if (r < 0)
        return r;
    t->https = str_starts(str_from(text), "https:");
    const char *authority = strstr(text, "://") + 3;
    size_t n = strcspn(authority, "/?#");
    char at[NET_HOST_MAX + 16];
    const char *bracket = memchr(authority, ']', n);
    const char *from = bracket ? bracket : authority;
    bool port = memchr(from, ':', (size_t)(authority + n - from)) != NULL;
    int w = snprintf(at, sizeof(at), STR_FMT "%s", (int)n, authority,
                     port       ? ""
                     : t->https ? ":443"
                                : ":80");
    if (w < 0 || (size_t)w >= sizeof(at))
        return err_set(e, ERR_LIMIT, "%s: the host is too long", text);
    t->path = authority[n] == '/' ? authority + n : NULL;
    return target_name_parse(&t->name, at, e);
}

static int target_parse(struct exporter_target *t, const char *text, bool tls, struct err *e) {
    if (str_starts(str_from(text), "unix:"))
        return err_set(e, ERR_INVALID, "%s: exporters have no unix sockets: write HOST:PORT", text);
    if (strstr(text, "://"))
        return url_parse(t, text, e);
    t->https = tls;
    return target_name_parse(&t->name, text, e);
}

int exporters_target_check(const char *text, struct err *e) {
    struct exporter_target t = {0};
    return target_parse(&t, text, false, e);
}

static int target_new(struct exporter_target **ret, struct exporters *x, const char *text,
                      struct err *e) {
    struct exporter_target *t = mem_zalloc(sizeof(*t));
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->exporters = x;
    vec_init(&t->addresses, LIMIT_NODES);
    t->text = mem_strdup(text);
    int r = t->text ? target_parse(t, t->text, x->o.tls != NULL, e)
                    : err_set(e, ERR_NOMEM, "out of memory");
    if (r < 0) {
        target_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

int exporters_set_targets(struct exporters *x, const char *const *targets, size_t n,
                          struct err *e) {
    if (n > LIMIT_EXPORTER_TARGETS)
        return err_set(e, ERR_LIMIT, "%zu exporter targets, at most %d", n, LIMIT_EXPORTER_TARGETS);
    x->targets = mem_array(n + 1, sizeof(struct exporter_target *));
    if (!x->targets)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        int r = target_new(&x->targets[i], x, targets[i], e);
        if (r < 0)
            return r;
        x->n_targets++;
    }
    x->starting = true;
    for (size_t i = 0; i < n; i++)
        target_name_start(&x->targets[i]->name, &x->names);
    x->starting = false;
    return give_addresses(x, e);
}

// --- the whole ---

static int64_t or_else(int64_t given, int64_t otherwise) {
    return given ? given : otherwise;
}

static int options_copy(struct exporters *x, const struct exporters_options *options) {
    x->o = *options;
    x->o.tls_server_name = NULL; // the scraper's
    x->o.path = mem_strdup(options->path ? options->path : "/metrics");
    x->o.interval_ns = or_else(options->interval_ns, 10 * NS_PER_S);
    x->o.collect_interval_ns = or_else(options->collect_interval_ns, 30 * NS_PER_S);
    x->o.forget_ns = or_else(options->forget_ns, 600 * NS_PER_S);
    x->names = (struct target_names){
        .loop = options->loop,
        .resolver = options->resolver ? options->resolver : &agent_names_resolver,
        .interval_ns = or_else(options->resolve_interval_ns, 30 * NS_PER_S),
        .found = on_addresses,
        .told = on_told,
    };
    random_init(&x->names.random, options->seed);
    exporter_table_init(&x->table, &x->o);
    return x->o.path ? 0 : ERR_NOMEM;
}

int exporters_new(struct exporters **ret, const struct exporters_options *options, struct err *e) {
    struct exporters *x = mem_zalloc(sizeof(*x));
    if (!x)
        return err_set(e, ERR_NOMEM, "out of memory");
    int r = options_copy(x, options);
    if (r < 0)
        err_set(e, r, "out of memory");
    struct scraper_options so = {
        .loop = options->loop,
        .tls = options->tls,
        .tls_server_name = options->tls_server_name,
        .seed = options->seed,
        .connect_ms = CONNECT_MS,
        .total_ms = TOTAL_MS,
        .ops = &page_ops,
        .ctx = x,
        .told = {on_failure, on_gaps, on_tls, x},
    };
    if (r == 0)
        r = scraper_new(&x->scraper, &so, e);
    if (r == 0)
        r = net_timer_start(&x->sweep_timer, options->loop, NS_PER_S, NS_PER_S, sweep, x, e);
    if (r < 0) {
        exporters_free(x);
        return r;
    }
    *ret = x;
    return 0;
}

static void nothing_removed(void *ctx, const char *node, const char *uuid, void *user) {
}

struct exporters *exporters_free(struct exporters *x) {
    if (!x)
        return NULL;
    x->o.gpu_removed = nothing_removed;
    for (size_t i = 0; i < x->n_targets; i++)
        target_free(x->targets[i]);
    mem_free(x->targets);
    x->scraper = scraper_free(x->scraper);
    struct exporter_source *s, *tmp;
    HASH_ITER(hh, x->sources, s, tmp)
    source_free(x, s);
    exporter_table_done(&x->table);
    for (unsigned i = 0; i < x->n_kept; i++)
        exporter_page_free(x->kept[i]);
    net_timer_stop(&x->sweep_timer);
    mem_free((void *)(uintptr_t)x->o.path);
    mem_free(x);
    return NULL;
}

struct exporters_stats exporters_stats(const struct exporters *x) {
    struct exporters_stats stats = {
        .scrape = scraper_stats(x->scraper),
        .targets = x->n_targets,
        .gpus = x->table.n,
        .bad_values = x->table.bad_values,
        .differing = x->table.differing,
        .duplicates = x->table.duplicates,
        .resolve_failures = x->names.failures,
        .over_limit = x->over_limit,
    };
    for (const struct exporter_source *s = x->sources; s; s = s->hh.next)
        stats.stuck += s->stuck;
    return stats;
}

struct each {
    const struct exporters *x;
    void (*fn)(void *ctx, const struct exporters_page *page);
    void *ctx;
};

static void show_page(void *ctx, const struct scrape_status *status) {
    const struct each *each = ctx;
    const struct exporter_source *s = source_of(each->x, status->key);
    struct agents_gpu first = {.node = ""};
    if (s->records.n > 0)
        exporter_record_view(s->records.items[0], &first);
    struct scrape_status shown = *status;
    shown.key = s->shown;
    struct exporters_page page = {
        .scrape = &shown,
        .target = s->target,
        .kind = s->kind,
        .node = first.node,
        .gpus = s->records.n,
        .duplicates = s->duplicates,
        .pods_named = s->pods_named,
        .alive = s->alive,
        .stuck = s->stuck,
    };
    each->fn(each->ctx, &page);
}

void exporters_each(const struct exporters *x,
                    void (*fn)(void *ctx, const struct exporters_page *page), void *ctx) {
    struct each each = {x, fn, ctx};
    scraper_each(x->scraper, show_page, &each);
}

void exporters_each_gpu(const struct exporters *x,
                        void (*fn)(void *ctx, const struct agents_gpu *gpu, const char *key),
                        void *ctx) {
    for (const struct exporter_record *r = exporter_table_next(&x->table, NULL); r;
         r = exporter_table_next(&x->table, r)) {
        struct agents_gpu view;
        exporter_record_view(r, &view);
        fn(ctx, &view, exporter_record_key(r));
    }
}
