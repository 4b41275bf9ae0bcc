// SPDX-License-Identifier: Apache-2.0
/*
 * Engine pages through each preset: any bytes in two pieces; a value that is told is finite and in
 * its range, and each value is in one of valid, missing, bad at most.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data;
    for (unsigned i = 0; i < engine_presets_n; i++) {
        struct engine_page *pg;
        struct engine_page_result res = {0};
        struct err e = {0};
        if (engine_page_new(&pg, engine_presets[i], &e) < 0)
            continue;
        int r = engine_page_feed(pg, p, size / 2, &e);
        if (r == 0)
            r = engine_page_feed(pg, p + size / 2, size - size / 2, &e);
        if (r == 0)
            r = engine_page_finish(pg, size & 1, &res, &e);
        require(r == 0 || e.msg[0]);
        if (r == 0 || r == ERR_NOTFOUND)
            check(&res);
        engine_page_free(pg);
    }
    return 0;
}
