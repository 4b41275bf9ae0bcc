// SPDX-License-Identifier: Apache-2.0
/*
 * Engines: pages read through a preset. The schedule is scraper.c's, the meaning core/engine's;
 * this joins them and keeps a few page readers (with their buffers) from one page to the next.
 */
#include "source/engines.h"

#include "base/limits.h"
#include "base/mem.h"
#include "core/engine/page.h"
#include "source/scraper.h"

enum { READERS_KEPT = 16, CONNECT_MS = 2000, TOTAL_MS = 10000 };

struct kept_reader {
    const struct engine_preset *preset;
    struct engine_page *page;
};

struct engines {
    struct engines_options o;
    struct scraper *scraper;
    struct kept_reader kept[READERS_KEPT];
    unsigned n_kept;
};

static void *page_open(void *ctx, const void *what) {
    struct engines *x = ctx;
    for (unsigned i = 0; i < x->n_kept; i++) {
        if (x->kept[i].preset == what) {
            struct engine_page *page = x->kept[i].page;
            x->kept[i] = x->kept[--x->n_kept];
            return page;
        }
    }
    struct engine_page *page;
    return engine_page_new(&page, what, NULL) == 0 ? page : NULL;
}

static void page_close(void *ctx, const void *what, void *reader) {
    struct engines *x = ctx;
    if (x->n_kept == READERS_KEPT) {
        engine_page_free(reader);
        return;
    }
    engine_page_reset(reader);
    x->kept[x->n_kept++] = (struct kept_reader){what, reader};
}

static int page_feed(void *reader, const char *p, size_t n, struct err *e) {
    return engine_page_feed(reader, p, n, e);
}

static void page_describe(const void *what, uint32_t missing, uint32_t bad, struct buf *text) {
    if (missing) {
        buf_addc(text, "not on the page: ");
        engine_page_describe(what, missing, text);
    }
    if (bad) {
        buf_addc(text, missing ? "; without a usable number: " : "without a usable number: ");
        engine_page_describe(what, bad, text);
    }
}

static int page_finish(void *ctx, struct scraper_target *t, void *reader, bool complete,
                       int64_t requested_at_ns, struct err *e) {
    struct engines *x = ctx;
    struct engine_page_result r = {0};
    int rc = engine_page_finish(reader, complete, &r, e);
    if (rc == 0 || rc == ERR_NOTFOUND)
        scraper_tell_gaps(t, r.missing, r.bad);
    if (rc < 0)
        return rc;
    x->o.sample(x->o.ctx, scraper_target_key(t), &r.sample, requested_at_ns);
    return 0;
}

static int page_reason(void *reader, int code) {
    return code == ERR_NOTFOUND ? SCRAPE_NOTHING : scraper_fault_reason(engine_page_fault(reader));
}

static const struct scraper_ops engine_ops = {
    .open = page_open,
    .close = page_close,
    .feed = page_feed,
    .finish = page_finish,
    .reason = page_reason,
    .describe = page_describe,
};

int engines_new(struct engines **ret, const struct engines_options *options, struct err *e) {
    struct engines *x = mem_zalloc(sizeof(*x));
    if (!x)
        return err_set(e, ERR_NOMEM, "out of memory");
    x->o = *options;
    struct scraper_options so = {
        .loop = options->loop,
        .tls = options->tls,
        .tls_server_name = options->tls_server_name,
        .seed = options->seed,
        .connect_ms = CONNECT_MS,
        .total_ms = TOTAL_MS,
        .ops = &engine_ops,
        .ctx = x,
        .told = {options->failure, options->gaps, options->tls_event, options->ctx},
    };
    int r = scraper_new(&x->scraper, &so, e);
    if (r < 0) {
        mem_free(x);
        return r;
    }
    *ret = x;
    return 0;
}

struct engines *engines_free(struct engines *x) {
    if (!x)
        return NULL;
    scraper_free(x->scraper);
    for (unsigned i = 0; i < x->n_kept; i++)
        engine_page_free(x->kept[i].page);
    mem_free(x);
    return NULL;
}

int engines_set_targets(struct engines *x, const struct engines_target *targets, size_t n,
                        struct err *e) {
    if (n > LIMIT_SCRAPE_TARGETS)
        return err_set(e, ERR_LIMIT, "%zu engines, at most %d", n, LIMIT_SCRAPE_TARGETS);
    CLEANUP_FREE struct scraper_spec *specs = mem_array(n ? n : 1, sizeof(*specs));
    if (!specs)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        specs[i] = (struct scraper_spec){
            .key = targets[i].key,
            .url = targets[i].url,
            .what = targets[i].preset,
            .interval_ns = targets[i].interval_ns ? targets[i].interval_ns : ENGINES_INTERVAL_NS,
            .fresh_ns = targets[i].fresh_ns,
            .tls = targets[i].tls,
        };
    }
    return scraper_set(x->scraper, specs, n, e);
}

struct scrape_stats engines_stats(const struct engines *x) {
    return scraper_stats(x->scraper);
}

void engines_each(const struct engines *x, void (*fn)(void *, const struct scrape_status *),
                  void *ctx) {
    scraper_each(x->scraper, fn, ctx);
}
