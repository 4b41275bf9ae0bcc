// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/learned, and with it core/signal/learned and core/policy/learned: who takes over what was
 * learned decides as the one who learned it; what nobody can have learned is refused.
 */
#include "scaler/learned.h"

#include "base/random.h"
#include "core_policy/fleet.h"
#include "core_policy/lab.h"
#include "decisions.pb-c.h"

typedef Gpuscale__V1__Learned message;

static void pack(const struct learned *x, struct buf *b) {
    buf_init(b, LIMIT_LEARNED_BYTES);
    assert_int_equal(learned_pack(b, x), 0);
}

static void of(const struct decider *d, const struct signal_workload *w, int64_t now_ns,
               struct learned *ret) {
    signal_learned_of(w, &ret->signals);
    decider_learned_of(d, now_ns, &ret->decider);
}

// Across the wire and back, on the same clock. Returns its bytes.
static size_t told(const struct decider *d, const struct signal_workload *w, int64_t now_ns,
                   struct learned *ret) {
    struct learned x = {0};
    struct err e = {0};
    CLEANUP_BUF struct buf b;
    of(d, w, now_ns, &x);
    pack(&x, &b);
    if (learned_unpack(ret, buf_str(&b), 0, now_ns, &e) < 0)
        fail_msg("what is known is refused: %s", e.msg);
    return b.len;
}

// A decider that goes on where `d` is, on what was told; NULL: on the decision alone.
static struct decider *successor(const struct trigger *t, const struct decider *d,
                                 const struct learned *x, int64_t now_ns) {
    struct decider *other = NULL;
    struct decider_memory m;
    decider_remember(d, &m);
    assert_int_equal(decider_new(&other, t), 0);
    decider_restore(other, &m, now_ns);
    if (x != NULL)
        decider_learned_take(other, &x->decider, now_ns);
    return other;
}

static const char *const rules[] = {
    "queue=10;gpuUtilization=55;burstMemory=600s",
    "queue=10;gpuUtilization=55;smActivity=70;rateWindow=20s;downWindow=60s",
    "engine=dumb;running=8;queue=20;burstMemory=200s;downWindow=30s",
    "engine=vllm;capacity=2;burstMemory=300s;downWindow=0s",
    "engine=vllm;capacity=2;queue=10;gpuUtilization=55;when=queue and gpuUtilization",
    "engine=vllm;running=12;mode=observe;downWindow=45s",
};

static void storm(struct lab *l, struct random *rng, bool sight) {
    struct lab_group g[LAB_GROUPS] = {{0}};
    for (int i = 0; i < LAB_GROUPS - 1; i++)
        g[i] = (struct lab_group){.count = 2 + (int)random_below(rng, 4),
                                  .state = POD_READY,
                                  .rate = 5 * random_unit(rng),
                                  .queue = (double)random_below(rng, 30),
                                  .running = (double)random_below(rng, 20),
                                  .kv = random_unit(rng),
                                  .gpu_pct = (double)random_below(rng, 101),
                                  .lost = !sight && random_below(rng, 5) == 0};
    lab_pods(l, g);
}

// Of a storm's next seconds: how many decisions differ.
static int differences(struct lab *l, struct random *rng, struct decider *other, int seconds) {
    int differ = 0;
    for (int i = 0; i < seconds; i++) {
        struct record r;
        if (i % 10 == 9)
            storm(l, rng, true);
        lab_run(l, 1);
        struct decide_input in = {
            .now_ns = l->now_ns, .spec = l->spec, .status = l->status, .queries = l->queries};
        decider_tick(other, l->w, &in, &r);
        differ += r.sequence != l->r.sequence || r.desired != l->r.desired || r.want != l->r.want ||
                  r.publish != l->r.publish || r.state != l->r.state || r.reason != l->r.reason ||
                  r.activity != l->r.activity || r.notices != l->r.notices;
    }
    return differ;
}

// Second by second, whatever came before; and without what was learned it would not be so.
static void a_decider_goes_on_elsewhere_with_means_bursts_and_notices(void **state) {
    struct random rng;
    int without = 0;
    size_t most = 0;
    random_init(&rng, unit_seed());
    for (int round = 0; round < 36; round++) {
        struct lab l;
        struct learned x;
        lab_open(&l, rules[(size_t)round % COUNT_OF(rules)]);
        l.spec = l.status = 1 + (int32_t)random_below(&rng, 8);
        for (int i = 0; i < 20; i++) {
            storm(&l, &rng, i > 15); // all is seen at the end
            lab_run(&l, 1 + (int)random_below(&rng, 40));
        }
        size_t n = told(l.d, l.w, l.now_ns, &x);
        most = n > most ? n : most;
        // Each of the two against the same storm as the first decider.
        for (int with = 1; with >= 0; with--) {
            struct decider *other = successor(l.t, l.d, with ? &x : NULL, l.now_ns);
            int differ = differences(&l, &rng, other, 60);
            decider_free(other);
            if (with && differ > 0)
                fail_msg("round %d, %s: %d of 60 decisions differ", round, l.t->engine, differ);
            without += with ? 0 : differ;
        }
        lab_close(&l);
    }
    printf("# without: %d decisions differ; %zu bytes at most\n", without, most);
    assert_true(without > 0);
}

static void same_capacity(const struct record_capacity *a, const struct record_capacity *b) {
    assert_int_equal(a->source, b->source);
    assert_int_equal(a->lessons, b->lessons);
    assert_int_equal(a->trim, b->trim);
    assert_true(a->weight == b->weight && a->per_replica == b->per_replica &&
                a->bare_step_s == b->bare_step_s && a->work_per_request == b->work_per_request &&
                a->rho == b->rho && a->misses == b->misses);
}

static double waves(double x, double t) {
    return x * (0.6 + 0.35 * sin(t / 300));
}

// The new leader has seen no page yet, only which pods there are.
static void a_new_workload_has_the_capacity_the_trim_and_the_cold_start(void **state) {
    static struct fleet f;
    struct fleet_request *requests;
    size_t n = fleet_requests(&requests, unit_seed(), 5400, waves, 24, 24);
    struct fleet_options o = {.metadata = "engine=vllm;burstMemory=600s",
                              .model = fleet_70b,
                              .cold_start_s = 50,
                              .jitter_s = 0.2,
                              .n0 = 8,
                              .max = 40,
                              .seed = 7};
    fleet_open(&f, &o, requests, n);
    int trimmed = 0;
    for (int k = 0; k < 6; k++) {
        fleet_run(&f, 817);
        struct learned x;
        struct record r;
        int64_t now_ns = fleet_ns(f.now_s);
        size_t bytes = told(f.d, f.w, now_ns, &x);
        struct signal_workload *was = f.w;
        struct signal_engine engine = {.provides = fleet_preset.provides,
                                       .requests_finished = true};
        assert_int_equal(signal_workload_new(&f.w, STR("shop"), NULL, &engine), 0);
        fleet_pods_told(&f);
        assert_true(signal_learned_take(f.w, &x.signals));
        assert_int_equal(signal_workload_cold_start_ns(f.w), signal_workload_cold_start_ns(was));
        struct decider *other = successor(f.t, f.d, &x, now_ns);
        struct decide_input in = {
            .now_ns = now_ns, .spec = f.spec, .status = f.spec, .settling = true};
        decider_tick(other, f.w, &in, &r);
        same_capacity(&f.r.capacity, &r.capacity);
        assert_int_equal(r.desired, f.r.desired);
        trimmed += r.capacity.misses >= 0;
        printf("# %u lessons, %.0f tokens/s a replica, rho %.3f, %zu bytes\n", r.capacity.lessons,
               r.capacity.per_replica, r.capacity.rho, bytes);
        decider_free(other);
        signal_workload_free(f.w);
        f.w = was;
        // On the pages that the first one has seen it also wants the same.
        other = successor(f.t, f.d, &x, now_ns);
        in.settling = false;
        in.status = fleet_count(&f, false);
        decider_tick(other, f.w, &in, &r);
        assert_int_equal(r.want, f.r.want);
        assert_int_equal(r.desired, f.r.desired);
        decider_free(other);
    }
    assert_int_equal(f.r.capacity.source, CAPACITY_LEARNED);
    assert_true(trimmed > 0);
    fleet_close(&f);
    mem_free(requests);
}

// Until it has heard of its pods, what lasted may last; then it tells, as the other one would.
static void a_notice_lasts_over_the_first_blind_seconds(void **state) {
    struct lab l;
    struct learned x;
    struct record r;
    lab_open(&l, "engine=custom;queue=10;gpuUtilization=55");
    l.spec = l.status = 4;
    struct lab_group g[LAB_GROUPS] = {{.count = 4, .state = POD_READY, .queue = 20, .gpu_pct = 20}};
    lab_pods(&l, g);
    lab_run(&l, 130);
    assert_true(l.r.notices & NOTICE_GUARD_GATED);
    for (int settling = 1; settling >= 0; settling--) {
        struct signal_workload *blind;
        struct signal_engine engine = {.provides = ~0u};
        told(l.d, l.w, l.now_ns, &x);
        struct decider *other = successor(l.t, l.d, &x, l.now_ns);
        assert_int_equal(signal_workload_new(&blind, STR("shop"), NULL, &engine), 0);
        struct decide_input in = {.now_ns = l.now_ns, .spec = 4, .status = 4, .settling = settling};
        decider_tick(other, blind, &in, &r);
        assert_false(r.notices & NOTICE_GUARD_GATED);
        lab_run(&l, 1);
        in.now_ns = l.now_ns;
        decider_tick(other, l.w, &in, &r);
        assert_int_equal((r.notices & NOTICE_GUARD_GATED) != 0, settling);
        decider_free(other);
        signal_workload_free(blind);
    }
    lab_close(&l);
}

// Where it sees pages of its own, that is newer; of two that were taken over the longer lessons.
static void what_a_page_taught_here_is_not_taken_back(void **state) {
    struct lab l;
    struct learned x = {0};
    lab_open(&l, "engine=vllm;capacity=2");
    struct lab_group g[LAB_GROUPS] = {{.count = 2, .state = POD_READY, .rate = 1}};
    lab_pods(&l, g);
    x.signals.work.lessons = 5;
    x.signals.starts = 1;
    x.signals.starts_ns[0] = 50 * NS_PER_S;
    assert_true(signal_learned_take(l.w, &x.signals));
    x.signals.starts_ns[0] = 90 * NS_PER_S; // older than what starts here: told once
    x.signals.work.lessons = 4;
    assert_false(signal_learned_take(l.w, &x.signals));
    x.signals.work.lessons = 6;
    assert_true(signal_learned_take(l.w, &x.signals));
    assert_int_equal(signal_workload_cold_start_ns(l.w), 50 * NS_PER_S);
    struct engine_sample s = {.valid = (1u << ENGINE_VALUE_MAX) - 1};
    s.v[ENGINE_AWAKE] = 1;
    assert_true(signal_workload_engine(l.w, STR("pod-0"), &s, l.now_ns + 1));
    x.signals.work.lessons = 7;
    assert_false(signal_learned_take(l.w, &x.signals));
    lab_close(&l);
}

// It saw nothing for longer than maxAge and said so; who follows it goes on saying so.
static void who_was_blind_is_followed_by_one_who_is(void **state) {
    struct lab l;
    struct learned x;
    struct record r;
    lab_open(&l, "engine=vllm;capacity=2");
    l.spec = l.status = 3;
    struct lab_group g[LAB_GROUPS] = {{.count = 3, .state = POD_READY, .rate = 2}};
    lab_pods(&l, g);
    lab_run(&l, 120);
    g[0].lost = true;
    lab_pods(&l, g);
    for (int blind = 0; blind < 2; blind++) {
        lab_run(&l, blind ? 60 : 15);
        told(l.d, l.w, l.now_ns, &x);
        assert_int_equal(x.decider.unseen_since_ns != INT64_MIN, blind);
        struct decider *other = successor(l.t, l.d, &x, l.now_ns);
        struct decide_input in = {.now_ns = l.now_ns, .spec = 3, .status = 3};
        decider_tick(other, l.w, &in, &r);
        assert_int_equal(r.state, blind ? DECISION_UNAVAILABLE : DECISION_OK);
        assert_int_equal(r.state, l.r.state);
        decider_free(other);
    }
    lab_close(&l);
}

// Everything that can be told, at its largest.
static void fill(struct learned *x) {
    *x = (struct learned){.measured = "prod/deployment/llm vllm 8000 /metrics gateway"};
    struct work_learned *k = &x->signals.work;
    k->head = 40;
    k->n = WORK_POINTS;
    for (unsigned i = 0; i < k->n; i++)
        k->points[(k->head + i) % WORK_POINTS] = (struct work_point){
            (1000 + 15 * i) * NS_PER_S + 123456789, 1234.5678 * i, 1.25 * i};
    k->work = 1e6;
    k->finished = 1e5;
    k->block_work = 345.6;
    k->block_finished = 7;
    k->last_per_request = 333.3;
    k->lesson_ns = 1715 * NS_PER_S;
    k->lessons = 6000;
    k->weight = 170;
    k->u = 170 * 1000.1;
    k->y = 170 * 21.7;
    k->uu = 170 * 1000.1 * 1000.1 * 1.01;
    k->uy = 170 * 1000.1 * 21.6;
    k->extremes[0] = (struct work_extremes){120, 100.5, 33.3, 1500.5, 1400.4};
    k->extremes[1] = (struct work_extremes){2880, 90.5, 34.3, 1600.5, 0};
    for (; x->signals.starts < WORKLOAD_STARTS_KEPT; x->signals.starts++)
        x->signals.starts_ns[x->signals.starts] = (50 + x->signals.starts) * NS_PER_S + 1;
    struct decider_learned *d = &x->decider;
    decider_learned_none(d);
    d->spec = 12;
    d->trimmed = true;
    d->trim_ln = -0.123;
    d->trim_misses = 0.02;
    d->trim_short_until_ns = 1800 * NS_PER_S;
    for (; d->burst_n < DECIDER_MEMORY_MAX; d->burst_n++)
        d->burst[d->burst_n] = (struct peak_entry){(900 + d->burst_n) * NS_PER_S,
                                                   LIMIT_REPLICAS - (int32_t)d->burst_n};
    d->unseen_since_ns = d->unknown_since_ns = 1600 * NS_PER_S;
    d->gated_since_ns = d->saturating_since_ns = -5 * NS_PER_S;
    for (; d->mean_n < DECIDER_MEANS_MAX; d->mean_n++) {
        struct decider_mean *m = &d->means[d->mean_n];
        memset(m->signal, 'a' + (int)d->mean_n, sizeof(m->signal) - 1);
        m->mean.head = 31;
        m->mean.seen = true;
        m->mean.n = MEAN_POINTS;
        for (unsigned i = 0; i < MEAN_POINTS; i++)
            m->mean.points[(31 + i) % MEAN_POINTS] = (struct mean_point){
                (1600 + 2 * i) * NS_PER_S + 7, 2. * i, 55.5 * i, 66.6 * i};
    }
}

static const int64_t NOW_NS = 1720 * NS_PER_S;

static void it_reads_back_on_another_clock(void **state) {
    static const int64_t aheads_ns[] = {0, 1000 * NS_PER_S, -5000 * NS_PER_S, 86400 * NS_PER_S};
    struct learned x, there, here;
    struct err e = {0};
    fill(&x);
    for (size_t i = 0; i < COUNT_OF(aheads_ns); i++) {
        CLEANUP_BUF struct buf a, b, c;
        int64_t ahead_ns = aheads_ns[i];
        pack(&x, &a);
        assert_int_equal(learned_unpack(&there, buf_str(&a), ahead_ns, NOW_NS + ahead_ns, &e), 0);
        assert_string_equal(there.measured, x.measured);
        assert_int_equal(there.signals.work.lesson_ns, x.signals.work.lesson_ns + ahead_ns);
        assert_int_equal(there.decider.burst[0].at_ns, 900 * NS_PER_S + ahead_ns);
        assert_int_equal(there.decider.gated_since_ns, -5 * NS_PER_S + ahead_ns);
        pack(&there, &b);
        assert_int_equal(learned_unpack(&here, buf_str(&b), -ahead_ns, NOW_NS, &e), 0);
        pack(&here, &c);
        assert_true(str_eq(buf_str(&a), buf_str(&c)));
    }
    CLEANUP_BUF struct buf b;
    pack(&x, &b);
    printf("# %zu bytes at most, of %d\n", b.len, LIMIT_LEARNED_BYTES);
    struct learned none = {0};
    decider_learned_none(&none.decider);
    buf_clear(&b);
    assert_int_equal(learned_pack(&b, &none), 0);
    assert_int_equal(b.len, 0);
    assert_int_equal(learned_unpack(&here, buf_str(&b), 0, NOW_NS, &e), 0);
    assert_int_equal(here.decider.spec, -1);
    assert_true(here.decider.unseen_since_ns == INT64_MIN);
}

static message *unpacked(const struct buf *b) {
    message *m = gpuscale__v1__learned__unpack(NULL, b->len, (const uint8_t *)b->p);
    assert_non_null(m);
    return m;
}

#define SPOIL(name, what)                                                                          \
    static void name(message *m) {                                                                 \
        what;                                                                                      \
    }
SPOIL(nan_weight, m->work->weight = NAN)
SPOIL(weight_of_ages, m->work->weight = 1e6)
SPOIL(negative_lesson, m->work->u = -1)
SPOIL(endless_work, m->work->uu = INFINITY)
SPOIL(no_latency, m->work->y = 0)
SPOIL(no_variance, m->work->uu /= 2)
SPOIL(nan_sum, m->work->uy = NAN)
SPOIL(sums_of_no_lessons, m->work->has_lessons = 0)
SPOIL(lesson_ahead, m->work->lesson_ns = INT64_MAX)
SPOIL(lesson_of_ages_ago, m->work->lesson_ns = INT64_MIN + 1)
SPOIL(point_of_ages_ago, m->work->points_ns[0] = INT64_MIN / 2)
SPOIL(more_weight_than_lessons, m->work->lessons = 160; m->work->extremes[0]->lessons = 100;
      m->work->extremes[1]->lessons = 60)
SPOIL(lessons_of_ages, m->work->lessons = UINT32_MAX)
SPOIL(nan_light, m->work->extremes[0]->light_y = NAN)
SPOIL(light_beyond_seen, m->work->extremes[1]->light_u = 1e5)
SPOIL(full_beyond_seen, m->work->extremes[0]->full_u = 1e5)
SPOIL(more_extremes, m->work->extremes[0]->lessons = 6000)
SPOIL(nan_work, m->work->work = NAN)
SPOIL(negative_work, m->work->points_work[0] = -1)
SPOIL(counter_that_falls, m->work->points_finished[5] = 0)
SPOIL(point_back_in_time, m->work->points_ns[1] = m->work->points_ns[0])
SPOIL(point_ahead, m->work->points_ns[WORK_POINTS - 1] = NOW_NS + NS_PER_S)
SPOIL(half_a_point, m->work->n_points_work--)
SPOIL(nan_request, m->work->last_per_request = NAN)
SPOIL(huge_request, m->work->last_per_request = 1e12)
SPOIL(start_of_no_time, m->cold_starts_ns[0] = 0)
SPOIL(start_of_years, m->cold_starts_ns[3] = UINT64_MAX)
SPOIL(negative_spec, m->spec = -7)
SPOIL(nan_trim, m->trim->ln = NAN)
SPOIL(trim_of_ten, m->trim->ln = 2.3)
SPOIL(misses_of_two, m->trim->misses = 2)
SPOIL(nan_misses, m->trim->misses = NAN)
SPOIL(short_for_ever, m->trim->short_until_ns = INT64_MAX)
SPOIL(growing_burst, m->burst_want[1] = LIMIT_REPLICAS)
SPOIL(negative_burst, m->burst_want[DECIDER_MEMORY_MAX - 1] = -1)
SPOIL(burst_ahead, m->burst_ns[DECIDER_MEMORY_MAX - 1] = NOW_NS + NS_PER_S)
SPOIL(half_a_burst, m->n_burst_ns--)
SPOIL(blind_since_tomorrow, m->unseen_since_ns = NOW_NS + NS_PER_S)
SPOIL(blind_for_ages, m->unseen_since_ns = INT64_MIN + 1)
SPOIL(unknown_for_ages, m->unknown_since_ns = INT64_MIN / 20)
SPOIL(burst_of_ages_ago, m->burst_ns[0] = INT64_MIN + 1)
SPOIL(mean_of_ages_ago, m->means[0]->points_ns[0] = INT64_MIN + 1)
SPOIL(measured_of_a_page, free(m->measured); m->measured = calloc(1, 2 * LEARNED_MEASURED_MAX);
      memset(m->measured, 'x', 2 * LEARNED_MEASURED_MAX - 1))
SPOIL(gated_since_tomorrow, m->gated_since_ns = INT64_MAX)
SPOIL(nan_mean, m->means[0]->lower[3] = NAN)
SPOIL(mean_that_falls, m->means[1]->upper[3] = 0)
SPOIL(mean_upside_down, m->means[1]->lower[MEAN_POINTS - 1] = 1e9)
SPOIL(mean_of_more_time, m->means[2]->seconds[MEAN_POINTS - 1] = 1e6)
SPOIL(mean_back_in_time, m->means[3]->points_ns[3] = 0)
SPOIL(mean_of_nothing, m->means[4]->n_points_ns = m->means[4]->n_seconds = m->means[4]->n_lower =
                           m->means[4]->n_upper = 0)
SPOIL(half_a_mean, m->means[4]->n_upper--)

static void what_nobody_can_have_learned_is_refused(void **state) {
    static void (*const all[])(message *) = {nan_weight,
                                             weight_of_ages,
                                             negative_lesson,
                                             endless_work,
                                             no_latency,
                                             no_variance,
                                             nan_sum,
                                             sums_of_no_lessons,
                                             lesson_ahead,
                                             lesson_of_ages_ago,
                                             point_of_ages_ago,
                                             more_weight_than_lessons,
                                             lessons_of_ages,
                                             nan_light,
                                             light_beyond_seen,
                                             full_beyond_seen,
                                             more_extremes,
                                             nan_work,
                                             negative_work,
                                             counter_that_falls,
                                             point_back_in_time,
                                             point_ahead,
                                             half_a_point,
                                             nan_request,
                                             huge_request,
                                             start_of_no_time,
                                             start_of_years,
                                             negative_spec,
                                             nan_trim,
                                             trim_of_ten,
                                             misses_of_two,
                                             nan_misses,
                                             short_for_ever,
                                             growing_burst,
                                             negative_burst,
                                             burst_ahead,
                                             half_a_burst,
                                             blind_since_tomorrow,
                                             blind_for_ages,
                                             unknown_for_ages,
                                             burst_of_ages_ago,
                                             mean_of_ages_ago,
                                             measured_of_a_page,
                                             gated_since_tomorrow,
                                             nan_mean,
                                             mean_that_falls,
                                             mean_upside_down,
                                             mean_of_more_time,
                                             mean_back_in_time,
                                             mean_of_nothing,
                                             half_a_mean};
    struct learned x, r;
    fill(&x);
    CLEANUP_BUF struct buf b;
    pack(&x, &b);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        static uint8_t bytes[2 * LIMIT_LEARNED_BYTES];
        struct err e = {0};
        message *m = unpacked(&b);
        all[i](m);
        size_t n = gpuscale__v1__learned__pack(m, bytes);
        int rc = learned_unpack(&r, (struct str){(char *)bytes, n}, 0, NOW_NS, &e);
        if (rc != ERR_PARSE || e.msg[0] == '\0')
            fail_msg("case %zu of what nobody learns: %d %s", i, rc, e.msg);
        gpuscale__v1__learned__free_unpacked(m, NULL);
    }
}

static void bytes_that_end_early_or_are_too_many_are_refused(void **state) {
    static char large[LIMIT_LEARNED_BYTES + 1];
    struct learned x, r;
    struct err e = {0};
    fill(&x);
    CLEANUP_BUF struct buf b;
    pack(&x, &b);
    for (size_t n = 0; n < b.len; n++) // whole fields may remain: then it is what it says
        if (learned_unpack(&r, (struct str){b.p, n}, 0, NOW_NS, &e) < 0)
            assert_string_not_equal(e.msg, "");
    assert_int_equal(learned_unpack(&r, (struct str){large, sizeof(large)}, 0, NOW_NS, &e),
                     ERR_LIMIT);
    CLEANUP_BUF struct buf small;
    buf_init(&small, 100);
    assert_int_equal(learned_pack(&small, &x), ERR_LIMIT);
    mem_fail_from(1);
    assert_int_equal(learned_unpack(&r, buf_str(&b), 0, NOW_NS, &e), ERR_NOMEM);
    mem_fail_never();
}

// A later version says more: what it adds is passed over.
static void what_is_not_understood_is_passed_over(void **state) {
    struct learned x, r;
    struct err e = {0};
    fill(&x);
    CLEANUP_BUF struct buf b;
    pack(&x, &b);
    assert_int_equal(buf_add(&b, "\xa2\x06\x03new", 6), 0); // field 100, bytes
    assert_int_equal(learned_unpack(&r, buf_str(&b), 0, NOW_NS, &e), 0);
    assert_int_equal(r.signals.work.lessons, 6000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decider_goes_on_elsewhere_with_means_bursts_and_notices),
        cmocka_unit_test(a_new_workload_has_the_capacity_the_trim_and_the_cold_start),
        cmocka_unit_test(a_notice_lasts_over_the_first_blind_seconds),
        cmocka_unit_test(what_a_page_taught_here_is_not_taken_back),
        cmocka_unit_test(who_was_blind_is_followed_by_one_who_is),
        cmocka_unit_test(it_reads_back_on_another_clock),
        cmocka_unit_test(what_nobody_can_have_learned_is_refused),
        cmocka_unit_test(bytes_that_end_early_or_are_too_many_are_refused),
        cmocka_unit_test(what_is_not_understood_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
