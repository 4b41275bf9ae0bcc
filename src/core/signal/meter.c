// SPDX-License-Identifier: Apache-2.0
/* A pod's counters as increases, with a mark of them every 15 s. */
#include "core/signal/meter.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

static const int64_t FRESH_NS = 15 * NS_PER_S;
static const int64_t SHORTEST_NS = 45 * NS_PER_S, LONGEST_NS = 75 * NS_PER_S;

void meter_clear(struct meter *m) {
    m->started = false;
    m->head = m->n = 0;
}

// The counters that are needed; one that the engine never tells counts as standing still.
static bool read_raw(const struct engine_sample *s, uint32_t provides, struct meter_totals *ret) {
    const uint32_t all = 1u << ENGINE_REQUESTS_TOTAL | 1u << ENGINE_PROMPT_TOKENS_TOTAL |
                         1u << ENGINE_GENERATION_TOKENS_TOTAL | 1u << ENGINE_ITL_SUM_S |
                         1u << ENGINE_ITL_COUNT;
    uint32_t needed = provides & all;
    if ((s->valid & needed) != needed || !(needed >> ENGINE_GENERATION_TOKENS_TOTAL & 1))
        return false;
    bool prompts = SAMPLE_HAS(s, ENGINE_PROMPT_TOKENS_TOTAL);
    ret->work = s->v[ENGINE_GENERATION_TOKENS_TOTAL] +
                WORK_PROMPT_WEIGHT * (prompts ? s->v[ENGINE_PROMPT_TOKENS_TOTAL] : 0);
    ret->finished = SAMPLE_HAS(s, ENGINE_REQUESTS_TOTAL) ? s->v[ENGINE_REQUESTS_TOTAL] : 0;
    ret->itl_sum_s = SAMPLE_HAS(s, ENGINE_ITL_SUM_S) ? s->v[ENGINE_ITL_SUM_S] : 0;
    ret->itl_count = SAMPLE_HAS(s, ENGINE_ITL_COUNT) ? s->v[ENGINE_ITL_COUNT] : 0;
    return isfinite(ret->work) && isfinite(ret->itl_sum_s);
}

static bool fell(const struct meter_totals *now, const struct meter_totals *before) {
    return now->work < before->work || now->finished < before->finished ||
           now->itl_sum_s < before->itl_sum_s || now->itl_count < before->itl_count;
}

static struct meter_totals minus(const struct meter_totals *a, const struct meter_totals *b) {
    return (struct meter_totals){a->work - b->work, a->finished - b->finished,
                                 a->itl_sum_s - b->itl_sum_s, a->itl_count - b->itl_count};
}

static void add(struct meter_totals *to, const struct meter_totals *more) {
    to->work += more->work;
    to->finished += more->finished;
    to->itl_sum_s += more->itl_sum_s;
    to->itl_count += more->itl_count;
}

bool meter_page(struct meter *m, const struct engine_sample *s, uint32_t provides, int64_t at_ns,
                struct meter_totals *ret) {
    struct meter_totals raw;
    *ret = (struct meter_totals){0};
    if (!read_raw(s, provides, &raw))
        return false;
    if (m->started && fell(&raw, &m->raw)) { // began again: all that it shows was counted since
        *ret = raw;
        m->n = 0;
    } else if (m->started) {
        *ret = minus(&raw, &m->raw);
    }
    m->started = true;
    m->raw = raw;
    add(&m->totals, ret);
    double queue = SAMPLE_HAS(s, ENGINE_QUEUE) ? s->v[ENGINE_QUEUE] : 0;
    m->newest = (struct meter_mark){at_ns, m->totals, queue};
    const struct meter_mark *last = &m->marks[(m->head + m->n + METER_MARKS - 1) % METER_MARKS];
    if (m->n > 0 && at_ns - last->at_ns < METER_MARK_NS - NS_PER_S) // pages come with a jitter
        return true;
    if (m->n == METER_MARKS) {
        m->head = (uint8_t)((m->head + 1) % METER_MARKS);
        m->n--;
    }
    m->marks[(m->head + m->n++) % METER_MARKS] = m->newest;
    return true;
}

bool meter_minute(const struct meter *m, int64_t now_ns, struct meter_totals *ret, double *ret_s,
                  double *ret_queue) {
    const struct meter_mark *from = NULL;
    int64_t best_ns = INT64_MAX;
    if (m->n == 0 || now_ns - m->newest.at_ns > FRESH_NS)
        return false;
    for (unsigned i = 0; i < m->n; i++) {
        const struct meter_mark *mark = &m->marks[(m->head + i) % METER_MARKS];
        int64_t span_ns = m->newest.at_ns - mark->at_ns;
        int64_t off_ns = llabs(span_ns - 60 * NS_PER_S);
        if (span_ns < SHORTEST_NS || span_ns > LONGEST_NS || off_ns >= best_ns)
            continue;
        best_ns = off_ns;
        from = mark;
    }
    if (!from)
        return false;
    *ret = minus(&m->newest.totals, &from->totals);
    *ret_s = (double)(m->newest.at_ns - from->at_ns) / (double)NS_PER_S;
    *ret_queue = fmin(from->queue, m->newest.queue);
    return true;
}
