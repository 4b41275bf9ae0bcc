// SPDX-License-Identifier: Apache-2.0
/* Learned capacity and trim. */
#include "core/policy/capacity.h"

#include <math.h>

#include "base/clock.h"
#include "core/policy/size.h"

static const double KAPPA = 0.74;          // mean inter-token latency / SLO where 99 % pass (study)
static const double PRIOR_SPREAD = 0.15;   // of u0, at which the prior's lessons stand
static const double PRIOR_LESSONS = 20;    // (study)
static const double PRIOR_TOKENS = 16;     // in a step twice as long as the bare one: half of 70B's
static const double PRIOR_OVERLOADED = 64; // the same, of an engine that was never within the SLO:
                                           // the way back to it is long, which is safe
static const double FEWEST_LOWER = 3;      // u0 / 3 is the least (study)
static const double MOST_SEEN = 1.5;       // of what was seen
static const double MOST_PRIOR = 12;       // (the study's 3 is of a profiled u0, which ours is not)
static const double FULL_SHARE = 0.9;
static const double LEAST_GROWTH = 1.25; // of a step, whatever the SLO: else no batch fits
static const double LEARNED_LESSONS = 20;

static const double TRIM_GAIN_PER_MIN = 0.1; // (study; 0.3 overshoots)
static const double TRIM_ALLOWED = 0.7;      // of the misses that sloGoal allows
static const double TRIM_REQUESTS = 20;
static const double RHO_MIN = 0.75, RHO_MAX = 1.3;
static const int64_t TRIM_STEP_NS = 15 * NS_PER_S, TRIM_STEP_MAX_NS = 60 * NS_PER_S;
static const int64_t TRIM_SHORT_NS = 120 * NS_PER_S;
static const int64_t TRIM_TAKEN_NS = 600 * NS_PER_S; // so long without a page that tells
static const int64_t TRIM_COLD_START_NS = 120 * NS_PER_S;

void capacity_learned(const struct signal_work *work, int64_t itl_ns, struct record_capacity *ret) {
    ret->lessons = work->lessons;
    ret->weight = work->weight;
    if (work->lessons == 0 || work->light_y <= 0) {
        ret->source = CAPACITY_UNKNOWN;
        return;
    }
    double ul = work->light_u, yl = work->light_y;
    double slo = 1 / (KAPPA * (double)itl_ns / (double)NS_PER_S);
    double s0 = 1 / (yl >= slo ? PRIOR_TOKENS : PRIOR_OVERLOADED);
    double bare = yl + s0 * ul;
    double goal = fmin(slo, bare / LEAST_GROWTH);
    double u0 = fmax(ul + (yl - goal) / s0, ul / FEWEST_LOWER);

    // sum h (u-ul)(yl-y) and sum h (u-ul)^2 from the plain sums.
    double num = yl * work->u - work->uy - ul * yl * work->weight + ul * work->y;
    double den = work->uu - 2 * ul * work->u + ul * ul * work->weight;
    double spread = PRIOR_SPREAD * u0, prior = PRIOR_LESSONS * spread * spread;
    double s = (fmax(num, 0) + prior * s0) / (fmax(den, 0) + prior);
    s = fmax(s, s0 / MOST_PRIOR);
    bare = yl + s * ul;
    goal = fmin(slo, bare / LEAST_GROWTH);

    double most = fmin(fmax(u0, MOST_SEEN * work->seen_u), MOST_PRIOR * u0);
    if (work->full_u > 0)
        most = fmin(most, FULL_SHARE * work->full_u);
    double mean_u = work->u / work->weight, mean_y = work->y / work->weight;
    double u = fmin(fmax(mean_u + (mean_y - goal) / s, u0 / FEWEST_LOWER), most);
    ret->source = work->weight >= LEARNED_LESSONS ? CAPACITY_LEARNED : CAPACITY_GUESSED;
    ret->per_replica = u;
    ret->bare_step_s = 1 / bare;
    ret->slo_tight = goal < slo;
}

static const int64_t *slo_of(const struct trigger *t, int h) {
    return h == ENGINE_TTFT ? &t->ttft_ns : &t->itl_ns;
}

// What was observed since the last step, of one histogram. False: nothing is known.
static bool since(const struct signal_attained *last, const struct signal_attained *now,
                  double *ret_all, double *ret_missed) {
    if (last->epoch != now->epoch || last->edge_s != now->edge_s || now->all < last->all)
        return false;
    *ret_all = now->all - last->all;
    *ret_missed = *ret_all - (now->within - last->within);
    return true;
}

static void begin(struct trim *x, const struct signal_attained now[], int64_t now_ns) {
    x->at_ns = now_ns;
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++)
        x->last[h] = now[h];
}

// One step, where enough was observed. Of both latencies together, or of the one that is known.
static void step(struct trim *x, const struct trigger *t, const struct signal_attained now[],
                 const bool known[], int64_t now_ns) {
    double misses = 0;
    bool any = false;
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++) {
        double all, missed;
        if (!known[h])
            continue;
        if (!since(&x->last[h], &now[h], &all, &missed)) {
            begin(x, now, now_ns);
            return;
        }
        if (all < TRIM_REQUESTS)
            return; // wait for more
        misses += missed / all;
        any = true;
    }
    if (!any)
        return;
    int64_t took_ns = now_ns - x->at_ns;
    double minutes = (double)(took_ns < TRIM_STEP_MAX_NS ? took_ns : TRIM_STEP_MAX_NS) /
                     (60. * (double)NS_PER_S);
    x->ln += TRIM_GAIN_PER_MIN * minutes * (TRIM_ALLOWED * (1 - t->slo_goal) - fmin(misses, 1));
    x->misses = fmin(misses, 1);
    x->stepped = true;
    begin(x, now, now_ns);
}

// Too few are ready for what was decided, or were a moment ago: misses tell that, not rho.
static bool is_short(struct trim *x, const struct trim_input *in) {
    if (2 * (int64_t)in->ready < in->decided)
        x->short_until_ns = in->now_ns + TRIM_SHORT_NS;
    return in->now_ns < x->short_until_ns;
}

double trim_tick(struct trim *x, const struct trim_input *in, struct record_capacity *ret) {
    double rho = size_rho(in->cold_start_ns);
    struct signal_attained now[ENGINE_HISTOGRAM_MAX] = {0};
    bool known[ENGINE_HISTOGRAM_MAX], any = false;
    for (int h = 0; h < ENGINE_HISTOGRAM_MAX; h++) {
        double slo_s = (double)*slo_of(in->trigger, h) / (double)NS_PER_S;
        known[h] = signal_attained(in->workload, (enum engine_histogram)h, slo_s, &now[h]);
        ret->edge_s[h] = known[h] ? now[h].edge_s : 0;
        any |= known[h];
    }
    bool late = is_short(x, in);
    if (any)
        x->taken_ns = 0;
    else if (x->taken_ns != 0 && in->now_ns - x->taken_ns >= TRIM_TAKEN_NS)
        *x = (struct trim){0};           // no page tells: it is another engine's by now
    bool told = any || x->taken_ns != 0; // taken over, it stands until a page tells
    ret->rho = rho;
    ret->trim = told ? TRIM_SLOW_START : TRIM_UNKNOWN;
    if (!told || in->cold_start_ns == 0 || in->cold_start_ns > TRIM_COLD_START_NS) {
        x->begun = false;
        return rho;
    }
    if (any && (!x->begun || late))
        begin(x, now, in->now_ns);
    else if (any && in->now_ns - x->at_ns >= TRIM_STEP_NS)
        step(x, in->trigger, now, known, in->now_ns);
    x->begun = any;
    x->ln = fmin(fmax(x->ln, log(RHO_MIN / rho)), log(RHO_MAX / rho));
    ret->trim = late ? TRIM_SHORT : TRIM_ON;
    ret->misses = x->stepped ? x->misses : -1;
    ret->rho = rho * exp(x->ln);
    return ret->rho;
}
