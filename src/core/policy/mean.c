// SPDX-License-Identifier: Apache-2.0
/* Means from a small ring of integrals; points closer than a 24th of the window are merged. */
#include "core/policy/mean.h"

#include <math.h>

#include "base/clock.h"

static struct mean_point *point(struct mean *m, unsigned i) {
    return &m->points[(m->head + i) % MEAN_POINTS];
}

static void push(struct mean *m, struct mean_point p, int64_t window_ns) {
    while (m->n >= 2 && point(m, 1)->at_ns <= p.at_ns - window_ns) {
        m->head = (uint8_t)((m->head + 1) % MEAN_POINTS);
        m->n--;
    }
    if (m->n >= 2 && point(m, m->n - 1u)->at_ns - point(m, m->n - 2u)->at_ns < window_ns / 24)
        m->n--;
    if (m->n == MEAN_POINTS) { // of another rhythm, taken over
        m->head = (uint8_t)((m->head + 1) % MEAN_POINTS);
        m->n--;
    }
    *point(m, m->n++) = p;
}

// The integrals at at_ns, which is not before the oldest point and not after the second.
static struct mean_point at(struct mean *m, int64_t at_ns) {
    const struct mean_point *a = point(m, 0), *b = point(m, 1);
    double part = (double)(at_ns - a->at_ns) / (double)(b->at_ns - a->at_ns);
    return (struct mean_point){at_ns, a->s + part * (b->s - a->s),
                               a->lower + part * (b->lower - a->lower),
                               a->upper + part * (b->upper - a->upper)};
}

void mean_add(struct mean *m, int64_t at_ns, int64_t window_ns, bool known, double *lower,
              double *upper) {
    bool seen = m->seen;
    m->seen = known && isfinite(*upper);
    if (!m->seen)
        return;
    struct mean_point now = {.at_ns = at_ns};
    if (m->n > 0) {
        const struct mean_point *last = point(m, m->n - 1u);
        double s = seen ? (double)(at_ns - last->at_ns) / (double)NS_PER_S : 0;
        now.s = last->s + s;
        now.lower = last->lower + *lower * s;
        now.upper = last->upper + *upper * s;
        if (last->at_ns == at_ns)
            return;
    }
    push(m, now, window_ns);
    int64_t from_ns = at_ns - window_ns;
    struct mean_point from = *point(m, 0);
    if (from.at_ns <= from_ns && m->n >= 2)
        from = at(m, from_ns);
    double s = now.s - from.s;
    if (from.at_ns < from_ns || !(s > 0)) // a point of before the window alone, or nothing yet
        return;
    *lower = (now.lower - from.lower) / s;
    *upper = (now.upper - from.upper) / s;
}
