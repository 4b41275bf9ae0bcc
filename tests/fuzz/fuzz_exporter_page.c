// SPDX-License-Identifier: Apache-2.0
/*
 * Exporters' pages, any bytes in two pieces: what is told is in its range, every GPU has an
 * identity of its own, holders have names, and a reset page reads the same again.
 */
#include <math.h>

#include "base/limits.h"
#include "core/exporter/page.h"
#include "fuzz.h"

static void check_gpu(const struct exporter_page *pg, size_t i) {
    const struct exporter_gpu *g = exporter_page_gpu(pg, i);
    for (int v = 0; v < GPU_VALUE_MAX; v++) {
        double x;
        if (gpu_reading_get(&g->reading, (enum gpu_value)v, &x))
            require(isfinite(x) && x >= gpu_values[v].min && x <= gpu_values[v].max);
    }
    require(g->id[0] && g->uuid[0] && strlen(g->uuid) < GPU_UUID_MAX);
    require(g->n_owners <= LIMIT_OWNERS_PER_GPU && (g->owners_known || g->n_owners == 0));
    for (size_t k = 0; k < g->n_owners; k++)
        require(g->owners[k].pod[0] && g->owners[k].namespace_[0]);
    for (size_t k = 0; k < i; k++)
        require(strcmp(exporter_page_gpu(pg, k)->id, g->id) != 0);
}

static int read_page(struct exporter_page *pg, const char *p, size_t n, size_t cut,
                     struct exporter_page_result *res) {
    struct err e = {0};
    int r = exporter_page_feed(pg, p, cut, &e);
    if (r == 0)
        r = exporter_page_feed(pg, p + cut, n - cut, &e);
    if (r == 0)
        r = exporter_page_finish(pg, n & 1, res, &e);
    require(r == 0 || e.msg[0]);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *p = (const char *)data;
    struct exporter_page *pg;
    struct exporter_page_result a = {0}, b = {0};
    if (exporter_page_new(&pg, NULL) < 0)
        return 0;
    int first = read_page(pg, p, size, size / 2, &a);
    for (size_t i = 0; first == 0 && i < a.n_gpus; i++)
        check_gpu(pg, i);
    exporter_page_reset(pg);
    require(read_page(pg, p, size, size / 3, &b) == first);
    if (first == 0)
        require(memcmp(&a, &b, sizeof(a)) == 0);
    exporter_page_free(pg);
    return 0;
}
