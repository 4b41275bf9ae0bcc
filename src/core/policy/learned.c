// SPDX-License-Identifier: Apache-2.0
/* What a decider knows, handed out and taken over; see the header. */
#include "core/policy/learned.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/policy/decide_inside.h"

static const double TRIM_LN_MAX = 1; // rho is 0.75 to 1.3
static const double INTEGRAL_MAX = 1e18;

void decider_learned_none(struct decider_learned *ret) {
    *ret = (struct decider_learned){.spec = -1,
                                    .unseen_since_ns = INT64_MIN,
                                    .unknown_since_ns = INT64_MIN,
                                    .gated_since_ns = INT64_MIN,
                                    .saturating_since_ns = INT64_MIN};
}

void decider_learned_of(const struct decider *d, int64_t now_ns, struct decider_learned *ret) {
    decider_learned_none(ret);
    ret->trimmed = d->trim.stepped;
    ret->trim_ln = d->trim.ln;
    ret->trim_misses = d->trim.misses;
    ret->trim_short_until_ns = d->trim.short_until_ns;
    ret->burst_n = peak_copy(&d->burst, ret->burst, DECIDER_MEMORY_MAX);
    ret->gated_since_ns = d->gated_since_ns;
    ret->saturating_since_ns = d->saturating_since_ns;
    if (d->seeded) {
        ret->spec = d->spec;
        if (now_ns - d->seen_ns > d->trigger->max_age_ns)
            ret->unseen_since_ns = d->seen_ns;
        if (now_ns - d->known_ns > d->trigger->max_age_ns)
            ret->unknown_since_ns = d->known_ns;
    }
    for (uint32_t i = 0; i < d->trigger->rule_n && ret->mean_n < DECIDER_MEANS_MAX; i++) {
        if (d->means[i] == NULL || d->means[i]->n == 0)
            continue;
        struct decider_mean *m = &ret->means[ret->mean_n++];
        m->mean = *d->means[i];
        (void)str_copy(m->signal, sizeof(m->signal),
                       str_from(trigger_signal_name(d->trigger, d->trigger->rule[i].signal)));
    }
}

static void take_burst(struct decider *d, const struct decider_learned *x) {
    if (d->burst.cap == 0)
        return;
    peak_expire(&d->burst, INT64_MAX);
    for (uint32_t i = 0; i < x->burst_n; i++)
        peak_add(&d->burst, x->burst[i].at_ns, x->burst[i].want);
    if (x->burst_n > 0)
        d->burst_ns = x->burst[x->burst_n - 1].at_ns; // the newest is the last sample
}

static void take_mean(struct mean *to, const char *signal, const struct decider_learned *x,
                      int64_t now_ns) {
    *to = (struct mean){0};
    for (uint32_t i = 0; i < x->mean_n; i++) {
        const struct mean *m = &x->means[i].mean;
        if (strcmp(x->means[i].signal, signal) == 0 &&
            m->points[(m->head + m->n - 1u) % MEAN_POINTS].at_ns <= now_ns)
            *to = *m;
    }
}

void decider_learned_take(struct decider *d, const struct decider_learned *x, int64_t now_ns) {
    d->trim = (struct trim){.ln = x->trim_ln,
                            .misses = x->trim_misses,
                            .stepped = x->trimmed,
                            .taken_ns = x->trimmed ? now_ns : 0,
                            .short_until_ns = x->trim_short_until_ns};
    take_burst(d, x);
    d->gated_since_ns = x->gated_since_ns;
    d->saturating_since_ns = x->saturating_since_ns;
    if (x->spec >= 0)
        d->spec = x->spec;
    if (x->unseen_since_ns != INT64_MIN)
        d->seen_ns = x->unseen_since_ns;
    if (x->unknown_since_ns != INT64_MIN)
        d->known_ns = x->unknown_since_ns;
    for (uint32_t i = 0; i < d->trigger->rule_n; i++)
        if (d->means[i] != NULL)
            take_mean(d->means[i], trigger_signal_name(d->trigger, d->trigger->rule[i].signal), x,
                      now_ns);
}

static bool sane_burst(const struct decider_learned *x, int64_t now_ns) {
    if (x->burst_n > DECIDER_MEMORY_MAX)
        return false;
    for (uint32_t i = 0; i < x->burst_n; i++) {
        const struct peak_entry *p = &x->burst[i];
        if (p->want < 0 || p->want > LIMIT_REPLICAS || p->at_ns > now_ns ||
            (i > 0 && (p->want >= p[-1].want || p->at_ns < p[-1].at_ns)))
            return false;
    }
    return true;
}

static bool grows(double from, double to) { // NAN does not
    return to >= from && to <= INTEGRAL_MAX;
}

static bool sane_mean(const struct mean *m, int64_t now_ns) {
    struct mean_point last = {.at_ns = INT64_MIN};
    if (m->n == 0 || m->n > MEAN_POINTS || m->head >= MEAN_POINTS)
        return false;
    for (unsigned i = 0; i < m->n; i++) {
        const struct mean_point *p = &m->points[(m->head + i) % MEAN_POINTS];
        if (p->at_ns <= last.at_ns || p->at_ns > now_ns || !grows(last.s, p->s) ||
            !grows(last.lower, p->lower) || !grows(last.upper, p->upper) ||
            p->lower > p->upper * (1 + 1e-9) ||
            (i > 0 && p->s - last.s > (double)(p->at_ns - last.at_ns) / (double)NS_PER_S + 1e-3))
            return false;
        last = *p;
    }
    return true;
}

int decider_learned_check(const struct decider_learned *x, int64_t now_ns, struct err *e) {
    const int64_t times_ns[] = {x->unseen_since_ns, x->unknown_since_ns, x->gated_since_ns,
                                x->saturating_since_ns};
    if (x->spec < -1 || x->spec > LIMIT_REPLICAS)
        return err_set(e, ERR_PARSE, "spec.replicas of %d", x->spec);
    if (!(fabs(x->trim_ln) <= TRIM_LN_MAX) || !(x->trim_misses >= 0 && x->trim_misses <= 1) ||
        x->trim_short_until_ns > now_ns + 3600 * NS_PER_S)
        return err_set(e, ERR_PARSE, "a trim by e^%g for %g misses", x->trim_ln, x->trim_misses);
    if (!sane_burst(x, now_ns))
        return err_set(e, ERR_PARSE, "a burst memory that grows or lies ahead");
    for (size_t i = 0; i < COUNT_OF(times_ns); i++)
        if (times_ns[i] > now_ns)
            return err_set(e, ERR_PARSE, "something that lasts since a time ahead");
    if (x->mean_n > DECIDER_MEANS_MAX)
        return err_set(e, ERR_PARSE, "%u means", x->mean_n);
    for (uint32_t i = 0; i < x->mean_n; i++)
        if (!sane_mean(&x->means[i].mean, now_ns))
            return err_set(e, ERR_PARSE, "a mean of %.40s that is none", x->means[i].signal);
    return 0;
}
