// SPDX-License-Identifier: Apache-2.0
/*
 * Cold starts by name. new-node is a measured chain: Karpenter with a GPU node and vLLM, May 2026
 * (resume-site-4js.pages.dev/experiments/autoscaling): pod scheduled after 65 s, container started
 * after 354-357 s (the image's pull is about 290 s of it), model ready after 425-439 s. The others
 * are planning values of the same order. The spread is that of GenTD26's measured model loads (p50
 * 22.7 s, p90 42.0 s).
 */
#include "core/queueing/cold_start.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/queueing/named.h"

#define SPREAD 1.8
#define PLANNED "a planning value"
static const double z90 = 1.2815515655446004; // the normal distribution's 90th percentile

const struct cold_start cold_starts[] = {
    {"serverless",
     "weights in the host's memory, a started process",
     PLANNED,
     {0, 0, 1, 4},
     SPREAD},
    {"warm-node", "a node with the image and the weights", PLANNED, {0, 0, 5, 30}, SPREAD},
    {"cold-image", "a node without the image", PLANNED, {0, 145, 5, 30}, SPREAD},
    {"new-node",
     "no node: Karpenter makes one",
     "Karpenter and vLLM, May 2026",
     {65, 290, 0, 77},
     SPREAD},
};
const unsigned cold_starts_n = COUNT_OF(cold_starts);

int cold_start_find(struct str name, const struct cold_start **ret, struct err *e) {
    const char *names[COUNT_OF(cold_starts) + 1] = {NULL};
    unsigned i;
    for (i = 0; i < cold_starts_n; i++)
        names[i] = cold_starts[i].name;
    int r = named_find("cold start", name, names, &i, e);
    if (r == 0)
        *ret = &cold_starts[i];
    return r;
}

double cold_start_p50_s(const struct cold_start *c) {
    double total_s = 0;
    for (int i = 0; i < COLD_START_PARTS; i++)
        total_s += c->p50_s[i];
    return total_s;
}

int64_t cold_start_draw(const struct cold_start *c, struct random *r,
                        double ret_parts_s[COLD_START_PARTS]) {
    double stretch = exp(log(c->p90_over_p50) / z90 * random_normal(r));
    if (ret_parts_s)
        for (int i = 0; i < COLD_START_PARTS; i++)
            ret_parts_s[i] = c->p50_s[i] * stretch;
    return (int64_t)(cold_start_p50_s(c) * stretch * (double)NS_PER_S);
}
