// SPDX-License-Identifier: Apache-2.0
/*
 * Engine pages through a preset (the first byte chooses it): any bytes, in pieces (the second byte
 * says how large), mean the same as in one piece; a value that is told is finite and in its range,
 * and each value is in one of valid, missing, bad at most.
 */
#include <math.h>

#include "core/engine/page.h"
#include "fuzz.h"

static void check(const struct engine_page_result *res) {
    const struct engine_sample *s = &res->sample;
    require((s->valid & res->missing) == 0 && (s->valid & res->bad) == 0 &&
            (res->missing & res->bad) == 0);
    for (int v = 0; v < ENGINE_VALUE_MAX; v++)
        if (SAMPLE_HAS(s, v))
            require(isfinite(s->v[v]) && s->v[v] >= 0);
    if (SAMPLE_HAS(s, ENGINE_KV_CACHE_RATIO))
        require(s->v[ENGINE_KV_CACHE_RATIO] <= 1);
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++) {
        const struct engine_buckets *b = &s->histograms[h];
        require(b->n <= LIMIT_ENGINE_BUCKETS && (b->n == 0 || isinf(b->le_s[b->n - 1])));
        require(b->n == 0 || !((res->missing | res->bad) & ENGINE_HISTOGRAM_BIT(h)));
        for (uint32_t i = 0; i < b->n; i++)
            require(isfinite(b->count[i]) && b->count[i] >= (i ? b->count[i - 1] : 0) &&
                    b->le_s[i] > (i ? b->le_s[i - 1] : -1));
    }
}

struct outcome {
    int rc;
    enum prom_fault fault;
    struct engine_page_result res;
    struct err e;
};

static void read_in(struct engine_page *pg, const char *p, size_t n, size_t piece,
                    struct outcome *o) {
    *o = (struct outcome){0};
    for (size_t at = 0; at < n && o->rc == 0; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        char *copy = malloc(take); // so that a sanitizer sees what keeps a pointer into it
        require(copy != NULL);
        memcpy(copy, p + at, take);
        o->rc = engine_page_feed(pg, copy, take, &o->e);
        free(copy);
    }
    if (o->rc == 0)
        o->rc = engine_page_finish(pg, n % 2, &o->res, &o->e);
    o->fault = engine_page_fault(pg);
}

static void same(const struct outcome *a, const struct outcome *b) {
    const struct engine_page_result *x = &a->res, *y = &b->res;
    require(a->rc == b->rc && a->fault == b->fault);
    if (a->rc < 0) {
        require_message(&a->e);
        require(strcmp(a->e.msg, b->e.msg) == 0);
    }
    require(x->missing == y->missing && x->bad == y->bad && x->samples == y->samples);
    require(x->duplicates == y->duplicates && x->sample.valid == y->sample.valid);
    for (int v = 0; v < ENGINE_VALUE_MAX; v++)
        if (SAMPLE_HAS(&x->sample, v))
            require(x->sample.v[v] == y->sample.v[v]);
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++) {
        const struct engine_buckets *m = &x->sample.histograms[h], *n = &y->sample.histograms[h];
        require(m->n == n->n);
        for (uint32_t i = 0; i < m->n; i++)
            require(m->le_s[i] == n->le_s[i] && m->count[i] == n->count[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct engine_page *pg;
    struct outcome whole, pieces;
    if (size < 2)
        return 0;
    require(engine_page_new(&pg, engine_presets[data[0] % engine_presets_n], NULL) == 0);
    read_in(pg, (const char *)data + 2, size - 2, size, &whole);
    engine_page_reset(pg);
    read_in(pg, (const char *)data + 2, size - 2, data[1] % 67 + 1u, &pieces);
    engine_page_free(pg);
    same(&whole, &pieces);
    if (whole.rc == 0 || whole.rc == ERR_NOTFOUND)
        check(&whole.res);
    return 0;
}
