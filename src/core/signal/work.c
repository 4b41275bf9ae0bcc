// SPDX-License-Identifier: Apache-2.0
/* Work, lessons and latency shares, taken from pages as they come. */
#include "core/signal/work.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "core/signal/pod.h"

static const int64_t MEAN_NS = 600 * NS_PER_S; // of the work of a request
static const double MEAN_FINISHED = 20;        // that make a mean
static const int64_t LESSON_NS = 15 * NS_PER_S;
static const double LESSON_KEEPS = 0.99424;      // 2^(-15/1800): half after 1800 s
static const double LESSON_TOKENS = 100;         // of a pod, or it was not busy
static const uint32_t GENERATION_LESSONS = 2880; // 12 h
static const double FULL_SMOOTHING = 0.2;

void work_pod_changed(struct pod *p) {
    meter_clear(&p->meter);
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        p->buckets[h].n = 0;
}

static struct work_point *point(struct work_learned *k, unsigned i) {
    return &k->points[(k->head + i) % WORK_POINTS];
}

// The ring holds 600 s and the point before them.
static void note_point(struct work_learned *k, int64_t at_ns) {
    if (k->n > 0 && at_ns - point(k, k->n - 1u)->at_ns < LESSON_NS)
        return;
    while (k->n >= 2 && point(k, 1)->at_ns <= at_ns - MEAN_NS) {
        k->head = (uint8_t)((k->head + 1) % WORK_POINTS);
        k->n--;
    }
    if (k->n == WORK_POINTS) {
        k->head = (uint8_t)((k->head + 1) % WORK_POINTS);
        k->n--;
    }
    *point(k, k->n++) = (struct work_point){at_ns, k->work, k->finished};
}

static void count_work(struct work_learned *k, const struct meter_totals *more, int64_t at_ns) {
    note_point(k, at_ns); // what there was before this page
    k->work += more->work;
    k->finished += more->finished;
    k->block_work += more->work;
    k->block_finished += more->finished;
    if (k->block_finished < MEAN_FINISHED)
        return;
    k->last_per_request = k->block_work / k->block_finished;
    k->block_work = k->block_finished = 0;
}

static bool same_edges(const struct work_buckets *all, const struct engine_buckets *b) {
    return all->n == b->n && memcmp(all->le_s, b->le_s, b->n * sizeof(b->le_s[0])) == 0;
}

// Adds what a pod observed since its last page. Other edges than those before begin a new epoch: a
// share of observations of two sets of edges cannot be told.
static void count_buckets(struct work_buckets *all, struct pod_buckets *last,
                          const struct engine_buckets *b) {
    if (b->n == 0)
        return;
    if (!same_edges(all, b)) {
        all->epoch++;
        all->n = b->n;
        memcpy(all->le_s, b->le_s, sizeof(all->le_s));
        memset(all->count, 0, sizeof(all->count));
    }
    bool follows = last->n == b->n && last->epoch == all->epoch;
    bool fell = false;
    for (uint32_t i = 0; follows && i < b->n; i++)
        fell |= b->count[i] < last->count[i];
    for (uint32_t i = 0; follows && i < b->n; i++)
        all->count[i] += fell ? b->count[i] : b->count[i] - last->count[i];
    last->n = b->n;
    last->epoch = all->epoch;
    memcpy(last->count, b->count, b->n * sizeof(b->count[0]));
}

static void note_extremes(struct work_learned *k, double u, double y, bool full) {
    if (k->extremes[0].lessons >= GENERATION_LESSONS) {
        k->extremes[1] = k->extremes[0];
        k->extremes[0] = (struct work_extremes){0};
    }
    struct work_extremes *x = &k->extremes[0];
    x->lessons++;
    if (y > x->light_y) {
        x->light_y = y;
        x->light_u = u;
    }
    x->seen_u = fmax(x->seen_u, u);
    if (full && x->full_u > 0)
        x->full_u += FULL_SMOOTHING * (u - x->full_u);
    else if (full)
        x->full_u = u;
}

static void take_lesson(struct work_learned *k, double u, double y, bool full) {
    k->weight = k->weight * LESSON_KEEPS + 1;
    k->u = k->u * LESSON_KEEPS + u;
    k->y = k->y * LESSON_KEEPS + y;
    k->uu = k->uu * LESSON_KEEPS + u * u;
    k->uy = k->uy * LESSON_KEEPS + u * y;
    k->lessons++;
    note_extremes(k, u, y, full);
}

// The pods that were busy through the last minute, all together.
static void learn(struct signal_workload *w, int64_t now_ns) {
    struct meter_totals sum = {0};
    double u = 0, queue = INFINITY;
    uint32_t n = 0;
    struct work_learned *k = &w->work.learned;
    if (now_ns - k->lesson_ns < LESSON_NS && k->lesson_ns)
        return;
    k->lesson_ns = now_ns;
    for (size_t i = 0; i < w->ready.n; i++) {
        struct meter_totals t;
        double s, waiting;
        if (!meter_minute(&w->ready.items[i]->meter, now_ns, &t, &s, &waiting) ||
            t.itl_count < LESSON_TOKENS || t.itl_sum_s <= 0)
            continue;
        u += t.work / s;
        sum.itl_sum_s += t.itl_sum_s;
        sum.itl_count += t.itl_count;
        queue = fmin(queue, waiting);
        n++;
    }
    if (n > 0)
        take_lesson(k, u / n, sum.itl_count / sum.itl_sum_s, queue >= 1 && 2 * n >= w->ready.n);
}

void work_page(struct signal_workload *w, struct pod *p, const struct engine_sample *s,
               int64_t at_ns) {
    struct meter_totals more;
    if (SAMPLE_HAS(s, ENGINE_AWAKE) && s->v[ENGINE_AWAKE] == 0) {
        work_pod_changed(p);
        return;
    }
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        count_buckets(&w->work.buckets[h], &p->buckets[h], &s->histograms[h]);
    if (!meter_page(&p->meter, s, w->engine.provides, at_ns, &more))
        return;
    w->work.taught = true;
    count_work(&w->work.learned, &more, at_ns);
    learn(w, at_ns);
}

// The point from which the last 600 s are counted: the newest that is so old, or the oldest. One
// from before a long silence is no use: what came after it cannot be dated.
static const struct work_point *mean_from(const struct work_learned *k, int64_t now_ns) {
    const struct work_point *from = NULL;
    for (unsigned i = 0; i < k->n; i++) {
        const struct work_point *p = &k->points[(k->head + i) % WORK_POINTS];
        bool dated = p->at_ns >= now_ns - MEAN_NS - 2 * LESSON_NS;
        if (dated && (!from || p->at_ns <= now_ns - MEAN_NS))
            from = p;
    }
    return from;
}

static double per_request(const struct work_learned *k, int64_t now_ns, double *ret_finished) {
    const struct work_point *from = mean_from(k, now_ns);
    double work = from ? k->work - from->work : 0;
    double finished = from ? k->finished - from->finished : 0;
    *ret_finished = finished;
    if (finished >= MEAN_FINISHED)
        return work / finished;
    if (k->last_per_request <= 0)
        return 0;
    return (work + (MEAN_FINISHED - finished) * k->last_per_request) / MEAN_FINISHED;
}

void signal_work(const struct signal_workload *w, int64_t now_ns, struct signal_work *ret) {
    const struct work_learned *k = &w->work.learned;
    const struct work_extremes *now = &k->extremes[0], *before = &k->extremes[1];
    *ret = (struct signal_work){.lessons = k->lessons,
                                .weight = k->weight,
                                .u = k->u,
                                .y = k->y,
                                .uu = k->uu,
                                .uy = k->uy,
                                .seen_u = fmax(now->seen_u, before->seen_u),
                                .full_u = now->full_u > 0 ? now->full_u : before->full_u};
    const struct work_extremes *light = now->light_y >= before->light_y ? now : before;
    ret->light_u = light->light_u;
    ret->light_y = light->light_y;
    ret->per_request = per_request(k, now_ns, &ret->finished);
    for (size_t i = 0; i < w->ready.n; i++) {
        struct meter_totals t;
        double s, waiting;
        if (!meter_minute(&w->ready.items[i]->meter, now_ns, &t, &s, &waiting))
            continue;
        ret->per_s += t.work / s;
        ret->per_s_n++;
    }
}

bool signal_attained(const struct signal_workload *w, enum engine_histogram h, double target_s,
                     struct signal_attained *ret) {
    const struct work_buckets *b = &w->work.buckets[h];
    // An edge that was written in milliseconds misses a round number of seconds by the last bits.
    for (uint32_t i = 0; i + 1 < b->n; i++)
        if (b->le_s[i] >= target_s * (1 - 1e-9)) {
            *ret = (struct signal_attained){b->epoch, b->le_s[i], b->count[i], b->count[b->n - 1]};
            return true;
        }
    return false;
}
