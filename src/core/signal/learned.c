// SPDX-License-Identifier: Apache-2.0
/* What is learned, handed out and taken over; see the header. */
#include "core/signal/learned.h"

#include <math.h>

#include "base/clock.h"
#include "core/signal/pod.h"

// Far beyond what an engine does, so that a mistake shows: tokens a second of a replica, steps a
// second, tokens of a request; tokens and requests ever.
static const double RATE_MAX = 1e9, COUNT_MAX = 1e18;
static const double WEIGHT_MAX = 200;               // 1 / (1 - 2^(-15/1800)) is 174
static const uint32_t LESSONS_MAX = UINT32_MAX / 2; // 1,000 years of them

void signal_learned_of(const struct signal_workload *w, struct signal_learned *ret) {
    *ret = (struct signal_learned){.work = w->work.learned};
    uint32_t n = w->starts_n < WORKLOAD_STARTS_KEPT ? w->starts_n : WORKLOAD_STARTS_KEPT;
    for (uint32_t i = w->starts_n - n; i < w->starts_n; i++)
        ret->starts_ns[ret->starts++] = w->starts_ns[i % WORKLOAD_STARTS_KEPT];
}

bool signal_learned_take(struct signal_workload *w, const struct signal_learned *x) {
    if (w->work.taught || x->work.lessons < w->work.learned.lessons)
        return false;
    w->work.learned = x->work;
    if (x->starts > 0 && !w->starts_taken) {
        memcpy(w->starts_ns, x->starts_ns, sizeof(w->starts_ns));
        w->starts_n = x->starts;
    }
    w->starts_taken = true; // those seen here since are newer than what another trigger tells
    return true;
}

// NAN is in no range.
static bool within(double v, double least, double most) {
    return v >= least && v <= most;
}

static bool sane_extremes(const struct work_extremes *x) {
    double most = x->lessons > 0 ? RATE_MAX : 0;
    return within(x->seen_u, 0, most) && within(x->light_u, 0, x->seen_u) &&
           within(x->full_u, 0, x->seen_u * (1 + 1e-9)) &&
           within(x->light_y, x->lessons > 0 ? 1 / RATE_MAX : 0, most);
}

static bool sane_lessons(const struct work_learned *k) {
    if (k->lessons == 0)
        return k->weight == 0 && k->u == 0 && k->y == 0 && k->uu == 0 && k->uy == 0;
    double most = k->weight * RATE_MAX;
    return k->lessons <= LESSONS_MAX && k->weight <= k->lessons * (1 + 1e-9) &&
           within(k->weight, 1, WEIGHT_MAX) && within(k->u, 0, most) &&
           within(k->y, k->weight / RATE_MAX, most) && within(k->uu, 0, most * RATE_MAX) &&
           within(k->uy, 0, most * RATE_MAX) &&
           k->u * k->u <= k->uu * k->weight * (1 + 1e-6); // a variance
}

static bool sane_points(const struct work_learned *k, int64_t now_ns) {
    struct work_point last = {.at_ns = INT64_MIN};
    if (k->n > WORK_POINTS || k->head >= WORK_POINTS)
        return false;
    for (unsigned i = 0; i < k->n; i++) {
        const struct work_point *p = &k->points[(k->head + i) % WORK_POINTS];
        if (p->at_ns <= last.at_ns || p->at_ns > now_ns || !within(p->work, last.work, k->work) ||
            !within(p->finished, last.finished, k->finished))
            return false;
        last = *p;
    }
    return true;
}

int signal_learned_check(const struct signal_learned *x, int64_t now_ns, struct err *e) {
    const struct work_learned *k = &x->work;
    uint64_t generations = 0;
    for (int g = 0; g < WORK_GENERATIONS; g++) {
        generations += k->extremes[g].lessons;
        if (!sane_extremes(&k->extremes[g]))
            return err_set(e, ERR_PARSE, "extremes of lessons that no engine shows");
    }
    if (generations > k->lessons || (k->lessons > 0) != (k->extremes[0].lessons > 0))
        return err_set(e, ERR_PARSE, "%u lessons, and extremes of %llu", k->lessons,
                       (unsigned long long)generations);
    if (!sane_lessons(k) || k->lesson_ns > now_ns)
        return err_set(e, ERR_PARSE, "%u lessons whose sums are nobody's", k->lessons);
    if (!within(k->work, 0, COUNT_MAX) || !within(k->finished, 0, COUNT_MAX) ||
        !within(k->block_work, 0, COUNT_MAX) || !within(k->block_finished, 0, COUNT_MAX) ||
        !within(k->last_per_request, 0, RATE_MAX) || !sane_points(k, now_ns))
        return err_set(e, ERR_PARSE, "work that no requests make");
    if (x->starts > WORKLOAD_STARTS_KEPT)
        return err_set(e, ERR_PARSE, "%u cold starts, of the last %d", x->starts,
                       WORKLOAD_STARTS_KEPT);
    for (uint32_t i = 0; i < x->starts; i++)
        if (x->starts_ns[i] <= 0 || x->starts_ns[i] > WORKLOAD_START_MAX_NS)
            return err_set(e, ERR_PARSE, "a cold start of %lld ms",
                           (long long)(x->starts_ns[i] / NS_PER_MS));
    return 0;
}
