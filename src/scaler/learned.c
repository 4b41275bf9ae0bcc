// SPDX-License-Identifier: Apache-2.0
/* Messages of proto/decisions.proto to what the core knows and back; see the header. */
#include "scaler/learned.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "decisions.pb-c.h"
#include "net/pb.h"

enum { ARENA_BYTES = 512 << 10 };
// A clock is compared in milliseconds: what was a moment ago may seem to lie so far ahead.
static const int64_t AHEAD_NS = 5 * NS_PER_MS;

// Everything that the message points at.
struct packing {
    Gpuscale__V1__Learned m;
    char measured[LEARNED_MEASURED_MAX];
    Gpuscale__V1__Work work;
    int64_t points_ns[WORK_POINTS];
    double points_work[WORK_POINTS], points_finished[WORK_POINTS];
    Gpuscale__V1__Extremes extremes[WORK_GENERATIONS], *extremes_list[WORK_GENERATIONS];
    uint64_t starts_ns[WORKLOAD_STARTS_KEPT];
    Gpuscale__V1__Trim trim;
    int32_t burst_want[DECIDER_MEMORY_MAX];
    int64_t burst_ns[DECIDER_MEMORY_MAX];
    struct packing_mean {
        Gpuscale__V1__Mean m;
        char signal[TRIGGER_SIGNAL_NAME_MAX];
        int64_t points_ns[MEAN_POINTS];
        double seconds[MEAN_POINTS], lower[MEAN_POINTS], upper[MEAN_POINTS];
    } means[DECIDER_MEANS_MAX];
    Gpuscale__V1__Mean *means_list[DECIDER_MEANS_MAX];
};

#define PUT(m, field, value) ((m)->has_##field = 1, (m)->field = (value))

static void fill_points(struct packing *p, const struct work_learned *k) {
    Gpuscale__V1__Work *m = &p->work;
    m->n_points_ns = m->n_points_work = m->n_points_finished = k->n;
    m->points_ns = p->points_ns;
    m->points_work = p->points_work;
    m->points_finished = p->points_finished;
    for (unsigned i = 0; i < k->n; i++) {
        const struct work_point *from = &k->points[(k->head + i) % WORK_POINTS];
        p->points_ns[i] = from->at_ns;
        p->points_work[i] = from->work;
        p->points_finished[i] = from->finished;
    }
}

static void fill_lessons(struct packing *p, const struct work_learned *k) {
    Gpuscale__V1__Work *m = &p->work;
    PUT(m, lessons, k->lessons);
    PUT(m, weight, k->weight);
    PUT(m, u, k->u);
    PUT(m, y, k->y);
    PUT(m, uu, k->uu);
    PUT(m, uy, k->uy);
    m->n_extremes = WORK_GENERATIONS;
    m->extremes = p->extremes_list;
    for (int i = 0; i < WORK_GENERATIONS; i++) {
        Gpuscale__V1__Extremes *x = p->extremes_list[i] = &p->extremes[i];
        gpuscale__v1__extremes__init(x);
        PUT(x, lessons, k->extremes[i].lessons);
        PUT(x, light_u, k->extremes[i].light_u);
        PUT(x, light_y, k->extremes[i].light_y);
        PUT(x, seen_u, k->extremes[i].seen_u);
        PUT(x, full_u, k->extremes[i].full_u);
    }
}

static void fill_work(struct packing *p, const struct work_learned *k) {
    Gpuscale__V1__Work *m = &p->work;
    if (k->n == 0 && k->lessons == 0)
        return; // its engine tells no tokens, or has not yet
    gpuscale__v1__work__init(m);
    p->m.work = m;
    PUT(m, work, k->work);
    PUT(m, finished, k->finished);
    PUT(m, block_work, k->block_work);
    PUT(m, block_finished, k->block_finished);
    PUT(m, last_per_request, k->last_per_request);
    if (k->lesson_ns != 0)
        PUT(m, lesson_ns, k->lesson_ns);
    fill_points(p, k);
    if (k->lessons > 0)
        fill_lessons(p, k);
}

static void fill_mean(struct packing_mean *p, const struct decider_mean *from) {
    const struct mean *k = &from->mean;
    gpuscale__v1__mean__init(&p->m);
    memcpy(p->signal, from->signal, sizeof(p->signal));
    p->m.signal = p->signal;
    PUT(&p->m, seen, k->seen);
    p->m.n_points_ns = p->m.n_seconds = p->m.n_lower = p->m.n_upper = k->n;
    p->m.points_ns = p->points_ns;
    p->m.seconds = p->seconds;
    p->m.lower = p->lower;
    p->m.upper = p->upper;
    for (unsigned i = 0; i < k->n; i++) {
        const struct mean_point *at = &k->points[(k->head + i) % MEAN_POINTS];
        p->points_ns[i] = at->at_ns;
        p->seconds[i] = at->s;
        p->lower[i] = at->lower;
        p->upper[i] = at->upper;
    }
}

static void fill_decider(struct packing *p, const struct decider_learned *x) {
    Gpuscale__V1__Learned *m = &p->m;
    if (x->spec >= 0)
        PUT(m, spec, x->spec);
    if (x->trimmed || x->trim_short_until_ns != 0) {
        gpuscale__v1__trim__init(&p->trim);
        m->trim = &p->trim;
        PUT(m->trim, ln, x->trim_ln);
        PUT(m->trim, misses, x->trim_misses);
        PUT(m->trim, stepped, x->trimmed);
        if (x->trim_short_until_ns != 0)
            PUT(m->trim, short_until_ns, x->trim_short_until_ns);
    }
    m->n_burst_want = m->n_burst_ns = x->burst_n;
    m->burst_want = p->burst_want;
    m->burst_ns = p->burst_ns;
    for (uint32_t i = 0; i < x->burst_n; i++) {
        p->burst_want[i] = x->burst[i].want;
        p->burst_ns[i] = x->burst[i].at_ns;
    }
    m->n_means = x->mean_n;
    m->means = p->means_list;
    for (uint32_t i = 0; i < x->mean_n; i++) {
        p->means_list[i] = &p->means[i].m;
        fill_mean(&p->means[i], &x->means[i]);
    }
    if (x->unseen_since_ns != INT64_MIN)
        PUT(m, unseen_since_ns, x->unseen_since_ns);
    if (x->unknown_since_ns != INT64_MIN)
        PUT(m, unknown_since_ns, x->unknown_since_ns);
    if (x->gated_since_ns != INT64_MIN)
        PUT(m, gated_since_ns, x->gated_since_ns);
    if (x->saturating_since_ns != INT64_MIN)
        PUT(m, saturating_since_ns, x->saturating_since_ns);
}

int learned_pack(struct buf *out, const struct learned *x) {
    struct packing p;
    gpuscale__v1__learned__init(&p.m);
    memcpy(p.measured, x->measured, sizeof(p.measured));
    p.m.measured = x->measured[0] != '\0' ? p.measured : NULL;
    fill_work(&p, &x->signals.work);
    p.m.n_cold_starts_ns = x->signals.starts;
    p.m.cold_starts_ns = p.starts_ns;
    for (uint32_t i = 0; i < x->signals.starts; i++)
        p.starts_ns[i] = (uint64_t)x->signals.starts_ns[i];
    fill_decider(&p, &x->decider);
    size_t n = gpuscale__v1__learned__get_packed_size(&p.m);
    char *to = buf_reserve(out, n);
    if (to == NULL)
        return out->err;
    buf_commit(out, gpuscale__v1__learned__pack(&p.m, (uint8_t *)to));
    return 0;
}

// Nothing that counts is older: differences of times never overflow.
static const int64_t OLDEST_NS = 10 * 365 * 86400LL * NS_PER_S;

// Another clock's time by ours. What no clock shows becomes the end of time, which no check allows.
struct clocks {
    int64_t ahead_ns, now_ns;
};

static int64_t ours(const struct clocks *c, int64_t at_ns) {
    int64_t here_ns;
    if (__builtin_add_overflow(at_ns, c->ahead_ns, &here_ns) || here_ns < c->now_ns - OLDEST_NS)
        return INT64_MAX;
    return here_ns > c->now_ns && here_ns - c->now_ns <= AHEAD_NS ? c->now_ns : here_ns;
}

static int read_lessons(struct work_learned *k, const Gpuscale__V1__Work *m, struct err *e) {
    k->lessons = m->lessons;
    k->weight = m->weight;
    k->u = m->u;
    k->y = m->y;
    k->uu = m->uu;
    k->uy = m->uy;
    if (m->n_extremes > WORK_GENERATIONS)
        return err_set(e, ERR_PARSE, "%zu generations of lessons", m->n_extremes);
    for (size_t i = 0; i < m->n_extremes; i++) {
        const Gpuscale__V1__Extremes *x = m->extremes[i];
        k->extremes[i] = (struct work_extremes){x->lessons, x->light_u, x->light_y, x->seen_u,
                                                x->full_u};
    }
    return 0;
}

static int read_work(struct work_learned *k, const Gpuscale__V1__Work *m, const struct clocks *c,
                     struct err *e) {
    if (m == NULL)
        return 0;
    if (m->n_points_ns > WORK_POINTS || m->n_points_work != m->n_points_ns ||
        m->n_points_finished != m->n_points_ns)
        return err_set(e, ERR_PARSE, "%zu points of work", m->n_points_ns);
    k->work = m->work;
    k->finished = m->finished;
    k->block_work = m->block_work;
    k->block_finished = m->block_finished;
    k->last_per_request = m->last_per_request;
    k->lesson_ns = m->has_lesson_ns ? ours(c, m->lesson_ns) : 0;
    for (; k->n < m->n_points_ns; k->n++)
        k->points[k->n] = (struct work_point){ours(c, m->points_ns[k->n]), m->points_work[k->n],
                                              m->points_finished[k->n]};
    return read_lessons(k, m, e);
}

static int read_mean(struct decider_mean *to, const Gpuscale__V1__Mean *m, const struct clocks *c,
                     struct err *e) {
    struct mean *k = &to->mean;
    if (m->signal == NULL || m->n_points_ns > MEAN_POINTS || m->n_seconds != m->n_points_ns ||
        m->n_lower != m->n_points_ns || m->n_upper != m->n_points_ns ||
        str_copy(to->signal, sizeof(to->signal), str_from(m->signal)) < 0)
        return err_set(e, ERR_PARSE, "a mean of %zu points", m->n_points_ns);
    k->seen = m->seen;
    for (; k->n < m->n_points_ns; k->n++)
        k->points[k->n] = (struct mean_point){ours(c, m->points_ns[k->n]), m->seconds[k->n],
                                              m->lower[k->n], m->upper[k->n]};
    return 0;
}

static int64_t since(const struct clocks *c, bool has, int64_t at_ns) {
    return has ? ours(c, at_ns) : INT64_MIN;
}

static int read_decider(struct decider_learned *x, const Gpuscale__V1__Learned *m,
                        const struct clocks *c, struct err *e) {
    x->spec = m->has_spec ? m->spec : -1;
    if (m->trim != NULL) {
        x->trimmed = m->trim->stepped;
        x->trim_ln = m->trim->ln;
        x->trim_misses = m->trim->misses;
        x->trim_short_until_ns = m->trim->has_short_until_ns ? ours(c, m->trim->short_until_ns) : 0;
    }
    if (m->n_burst_want != m->n_burst_ns || m->n_burst_want > DECIDER_MEMORY_MAX ||
        m->n_means > DECIDER_MEANS_MAX)
        return err_set(e, ERR_PARSE, "%zu wants of bursts, %zu means", m->n_burst_want, m->n_means);
    for (; x->burst_n < m->n_burst_want; x->burst_n++)
        x->burst[x->burst_n] = (struct peak_entry){ours(c, m->burst_ns[x->burst_n]),
                                                   m->burst_want[x->burst_n]};
    for (; x->mean_n < m->n_means; x->mean_n++) {
        int rc = read_mean(&x->means[x->mean_n], m->means[x->mean_n], c, e);
        if (rc < 0)
            return rc;
    }
    x->unseen_since_ns = since(c, m->has_unseen_since_ns, m->unseen_since_ns);
    x->unknown_since_ns = since(c, m->has_unknown_since_ns, m->unknown_since_ns);
    x->gated_since_ns = since(c, m->has_gated_since_ns, m->gated_since_ns);
    x->saturating_since_ns = since(c, m->has_saturating_since_ns, m->saturating_since_ns);
    return 0;
}

static int read_all(struct learned *ret, const Gpuscale__V1__Learned *m, const struct clocks *c,
                    struct err *e) {
    int rc = read_work(&ret->signals.work, m->work, c, e);
    if (rc == 0 && m->measured != NULL &&
        str_copy(ret->measured, sizeof(ret->measured), str_from(m->measured)) < 0)
        rc = err_set(e, ERR_PARSE, "what is measured, in %zu bytes", strlen(m->measured));
    if (rc == 0 && m->n_cold_starts_ns > WORKLOAD_STARTS_KEPT)
        rc = err_set(e, ERR_PARSE, "%zu cold starts", m->n_cold_starts_ns);
    for (size_t i = 0; rc == 0 && i < m->n_cold_starts_ns; i++) // too long ones turn negative
        ret->signals.starts_ns[ret->signals.starts++] = (int64_t)m->cold_starts_ns[i];
    if (rc == 0)
        rc = read_decider(&ret->decider, m, c, e);
    if (rc == 0)
        rc = signal_learned_check(&ret->signals, c->now_ns, e);
    return rc == 0 ? decider_learned_check(&ret->decider, c->now_ns, e) : rc;
}

int learned_unpack(struct learned *ret, struct str bytes, int64_t ahead_ns, int64_t now_ns,
                   struct err *e) {
    struct arena arena;
    ProtobufCMessage *m;
    struct clocks c = {ahead_ns, now_ns};
    *ret = (struct learned){0};
    if (bytes.n > LIMIT_LEARNED_BYTES)
        return err_set(e, ERR_LIMIT, "%zu bytes, of %d at most", bytes.n, LIMIT_LEARNED_BYTES);
    arena_init(&arena, ARENA_BYTES);
    int rc = pb_unpack(&m, &gpuscale__v1__learned__descriptor, bytes.p, bytes.n, &arena, e);
    if (rc == 0)
        rc = read_all(ret, (const Gpuscale__V1__Learned *)m, &c, e);
    arena_done(&arena);
    return rc;
}
