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

enum { READERS_KEPT = 16, CONNECT_MS = 2000, TOTAL_MS = 10000, GAP_TEXT_MAX = 4096 };

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

static void describe(const struct engine_preset *preset, const struct engine_page_result *r,
                     struct buf *text) {
    if (r->missing) {
        buf_addc(text, "not on the page: ");
        engine_page_describe(preset, r->missing, text);
    }
    if (r->bad) {
        buf_addc(text, r->missing ? "; without a usable number: " : "without a usable number: ");
        engine_page_describe(preset, r->bad, text);
    }
    if (buf_add_byte(text, 0) < 0 && text->len > 0)
        text->p[text->len - 1] = 0;
}

static void tell_gaps(struct engines *x, struct scraper_target *t,
                      const struct engine_preset *preset, const struct engine_page_result *r) {
    if (!scraper_target_gaps_changed(t, r->missing, r->bad) || !x->o.gaps)
        return;
    CLEANUP_BUF struct buf text;
    buf_init(&text, GAP_TEXT_MAX);
    describe(preset, r, &text);
    x->o.gaps(x->o.ctx, scraper_target_key(t), r->missing, r->bad, text.p ? text.p : "");
}

static int page_finish(void *ctx, struct scraper_target *t, void *reader, bool complete,
                       int64_t requested_at_ns, struct err *e) {
    struct engines *x = ctx;
    struct engine_page_result r = {0};
    int rc = engine_page_finish(reader, complete, &r, e);
    if (rc == 0 || rc == ERR_NOTFOUND)
        tell_gaps(x, t, scraper_target_what(t), &r);
    if (rc < 0)
        return rc;
    x->o.sample(x->o.ctx, scraper_target_key(t), &r.sample, requested_at_ns);
    return 0;
}

static int page_reason(void *reader, int code) {
    return code == ERR_NOTFOUND ? SCRAPE_NOTHING : scraper_fault_reason(engine_page_fault(reader));
}

static void page_failed(void *ctx, const char *key, int failure, const struct err *why) {
    struct engines *x = ctx;
    x->o.failure(x->o.ctx, key, failure, why);
}

static void tls_event(void *ctx, const struct err *why) {
    struct engines *x = ctx;
    if (x->o.tls_event)
        x->o.tls_event(x->o.ctx, why);
}

static const struct scraper_ops engine_ops = {
    .open = page_open,
    .close = page_close,
    .feed = page_feed,
    .finish = page_finish,
    .reason = page_reason,
    .failed = page_failed,
    .tls_event = tls_event,
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
