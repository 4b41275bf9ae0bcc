// SPDX-License-Identifier: Apache-2.0
/* Continuous batching by runs of iterations is what it is token by token, and keeps its promises.
 */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/random.h"
#include "naive.h"

enum { LOG_MAX = 8192 };

struct entry {
    int number;
    enum station_event_kind kind;
    int64_t at_ns;
};

// One world, played twice: what happens at the moment of an event depends on the event alone.
struct world {
    struct station_config config;
    uint64_t seed;
    int next_number;
    uint64_t tickets[NAIVE_MAX];
    bool told_end[NAIVE_MAX];
    struct entry log[LOG_MAX];
    int n_log;
    struct station *station; // one of the two
    struct naive *naive;
    uint64_t itl_n;
    double itl_sum_s;
};

static uint64_t mix(const struct world *w, int a, int b) {
    struct random r;
    random_init(&r, w->seed + (uint64_t)a * 977 + (uint64_t)b);
    return random_u64(&r);
}

static void offer(struct world *w, int64_t now_ns) {
    if (w->next_number == NAIVE_MAX)
        return;
    int number = w->next_number++;
    uint64_t m = mix(w, number, 100);
    uint32_t room = (uint32_t)w->config.continuous.kv_tokens;
    uint32_t prompt = 1 + (uint32_t)(m % 97) * (m >> 8) % (room - 1);
    uint32_t output = 1 + (uint32_t)(m >> 16) % (room - prompt < 60 ? room - prompt : 60);
    if (m >> 60 == 0)
        output = 1;
    if (w->naive != NULL) {
        if (!naive_offer(w->naive, number, prompt, output))
            w->told_end[number] = true;
        return;
    }
    struct station_request r = {(void *)(intptr_t)number, prompt, output, 0};
    int got = station_offer(w->station, now_ns, &r, &w->tickets[number]);
    assert_true(got == 0 || got == ERR_LIMIT);
    w->told_end[number] = got < 0;
}

static void leave(struct world *w, int number, int64_t now_ns) {
    if (number >= w->next_number || w->told_end[number])
        return;
    w->told_end[number] = true;
    if (w->naive != NULL)
        naive_abort(w->naive, number);
    else
        assert_true(station_abort(w->station, now_ns, w->tickets[number]));
}

static void happened(struct world *w, int number, enum station_event_kind kind, int64_t at_ns) {
    assert_true(w->n_log < LOG_MAX);
    w->log[w->n_log++] = (struct entry){number, kind, at_ns};
    if (kind == STATION_FINISHED)
        w->told_end[number] = true;
    uint64_t m = mix(w, number, kind);
    if (m % 16 == 0)
        offer(w, at_ns); // a client that reacts
    if (m % 16 == 1)
        leave(w, number, at_ns);
    if (m % 16 == 2 && number > 0)
        leave(w, number - 1, at_ns);
}

static void tell(struct naive *n, int number, enum station_event_kind kind, int64_t at_ns) {
    happened(n->ctx, number, kind, at_ns);
}

static void count_itl(void *ctx, const struct station_itl *itl) {
    struct world *w = ctx;
    double n = itl->iterations;
    w->itl_n += (uint64_t)itl->iterations * itl->sequences;
    w->itl_sum_s += itl->sequences * (itl->first_s * n + itl->step_s * n * (n - 1) / 2);
}

static void advance(struct world *w, int64_t until_ns) {
    struct station_event e;
    if (w->naive != NULL)
        return naive_advance(w->naive, until_ns);
    while (station_step(w->station, until_ns, &e))
        happened(w, (int)(intptr_t)e.user, e.kind, e.at_ns);
}

// Tokens of each request at some moments are compared as well, as entries of their own kind.
static void look(struct world *w) {
    for (int i = 0; i < w->next_number; i++) {
        const struct naive_request *r = w->naive != NULL ? &w->naive->r[i] : NULL;
        uint32_t given = r == NULL ? station_tokens(w->station, w->tickets[i])
                         : r->state == NAIVE_GONE || r->aborted ? 0
                                                                : r->given;
        if (w->told_end[i])
            continue;
        assert_true(w->n_log < LOG_MAX);
        w->log[w->n_log++] = (struct entry){i, STATION_FINISHED + 1, given};
    }
}

static void play(struct world *w, struct random rng, int64_t start_ns) {
    int64_t now_ns = start_ns;
    bool sparse = random_below(&rng, 3) == 0;
    for (int i = 0; i < 150; i++) {
        uint64_t what = random_below(&rng, 20);
        now_ns += (int64_t)random_below(&rng, sparse ? 900000 : 90000);
        advance(w, now_ns);
        if (what < 12)
            for (uint64_t n = random_below(&rng, 4); n > 0; n--)
                offer(w, now_ns);
        else if (what < 15)
            leave(w, (int)random_below(&rng, NAIVE_MAX), now_ns);
        else if (what < 16)
            look(w);
        else if (what < 18 && w->station != NULL) {
            struct station_reading r;
            station_read(w->station, &r); // cuts runs, changes nothing
        }
    }
    advance(w, now_ns + 3600 * NS_PER_S);
}

static struct station_config draw_config(struct random *rng) {
    struct station_config c = {.kind = STATION_CONTINUOUS,
                               .max_queue = 1 + (uint32_t)random_below(rng, 60)};
    struct station_continuous *k = &c.continuous;
    k->base_s = 1e-6 * (double)(1 + random_below(rng, 30));
    k->sequence_s = random_below(rng, 2) ? 0 : 1e-9 * random_unit(rng) * 300;
    k->context_s = random_below(rng, 4) == 0 ? 0 : 1e-9 * random_unit(rng) * 30;
    k->prefill_s = random_below(rng, 4) == 0 ? 0 : 1e-9 * random_unit(rng) * 900;
    k->roofline = random_below(rng, 2);
    k->max_sequences = 1 + (uint32_t)random_below(rng, 24);
    k->token_budget = k->max_sequences + (uint32_t)random_below(rng, 80);
    k->kv_tokens = 60 + random_below(rng, random_below(rng, 2) ? 200 : 3000);
    k->kv_reserve = random_below(rng, 3) == 0;
    return c;
}

static struct world *world_new(const struct station_config *c, uint64_t seed) {
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->config = *c;
    w->seed = seed;
    return w;
}

static void compare(const struct world *a, const struct world *b, uint64_t round) {
    for (int i = 0; i < a->n_log && i < b->n_log; i++)
        if (a->log[i].number != b->log[i].number || a->log[i].kind != b->log[i].kind ||
            a->log[i].at_ns != b->log[i].at_ns)
            fail_msg("round %" PRIu64 ", entry %d: request %d kind %d at %" PRId64
                     ", token by token request %d kind %d at %" PRId64,
                     round, i, a->log[i].number, (int)a->log[i].kind, a->log[i].at_ns,
                     b->log[i].number, (int)b->log[i].kind, b->log[i].at_ns);
    assert_int_equal(a->n_log, b->n_log);
}

static void runs_of_iterations_are_exact(void **state) {
    (void)state;
    struct random rng;
    random_init(&rng, unit_seed());
    uint64_t preempted = 0, aborted = 0, rejected = 0, finished = 0;
    for (uint64_t round = 0; round < 1500; round++) {
        struct station_config c = draw_config(&rng);
        int64_t start_ns = (int64_t)random_below(&rng, 1000000);
        uint64_t seed = random_u64(&rng);
        struct world *a = world_new(&c, seed), *b = world_new(&c, seed);
        struct naive n = {.c = &c.continuous,
                          .max_queue = c.max_queue,
                          .tell = tell,
                          .ctx = b,
                          .now_ns = start_ns};
        b->naive = &n;
        a->config.itl = count_itl;
        a->config.itl_ctx = a;
        assert_int_equal(station_new(&a->station, &a->config, start_ns, NULL), 0);
        play(a, rng, start_ns);
        play(b, rng, start_ns);
        compare(a, b, round);
        struct station_reading r;
        station_read(a->station, &r);
        assert_true(station_empty(a->station));
        assert_int_equal(r.iterations, n.iterations);
        assert_int_equal(r.finished, n.finished);
        assert_int_equal(r.aborted, n.aborted);
        assert_int_equal(r.preempted, n.preempted);
        assert_int_equal(r.rejected, n.rejected);
        assert_int_equal(r.prompt_tokens, n.prompt_tokens);
        assert_int_equal(r.output_tokens, n.output_tokens);
        assert_int_equal(r.kv_used_tokens, 0);
        assert_true(r.prefill_tokens == n.prefill_tokens);
        assert_true(r.sequence_iterations == n.sequence_iterations);
        assert_true(r.context_tokens == n.context_tokens);
        assert_int_equal(a->itl_n, n.itl_n);
        assert_true(fabs(a->itl_sum_s - n.itl_sum_s) <= 1e-9 * n.itl_sum_s);
        preempted += r.preempted;
        aborted += r.aborted;
        rejected += r.rejected;
        finished += r.finished;
        random_u64(&rng);
        station_free(a->station);
        free(a);
        free(b);
    }
    // The worlds have met everything, many times.
    assert_true(finished > 50000 && preempted > 5000 && aborted > 5000 && rejected > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_of_iterations_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
