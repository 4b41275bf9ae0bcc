// SPDX-License-Identifier: Apache-2.0
/*
 * scaler/election: candidates against a model of the API server. The model keeps one Lease with its
 * resourceVersion; the network delays and loses requests and answers, candidates stop and go on,
 * die and come back, and their clocks are set and run differently.
 */
#include "scaler/election.h"

#include "base/clock.h"
#include "base/str.h"
#include "unit.h"

enum { CANDIDATES_MAX = 3, MESSAGES_MAX = 64 };

struct world;

struct candidate {
    struct world *world;
    struct election e;
    int64_t offset_ns; // its clock at time 0
    double rate;       // how fast it runs
    bool alive;
    int64_t stopped_until_ns; // as SIGSTOP does: hears and does nothing
    unsigned run;
    bool answered;       // what came, while it was stopped
    bool waits;          // for an answer
    int64_t gives_up_ns; // the request's own time limit
    unsigned request;    // number of the running request
};

struct message {
    bool used, is_answer;
    int64_t at_ns;
    unsigned who, run, request;
    enum election_act act;
    struct election_record record; // to write; of an answer: what is there
    int status;                    // of an answer: 200, 404, 409
};

struct world {
    struct random random;
    int64_t now_ns;
    struct candidate candidates[CANDIDATES_MAX];
    unsigned n;
    struct message messages[MESSAGES_MAX];
    struct election_record lease; // version "": none
    unsigned versions;
    double loss;
    int64_t delay_ns;
    bool away; // the API server
    int leader;
    unsigned changes, together;
};

static int64_t clock_of(const struct candidate *c) {
    return c->offset_ns + (int64_t)((double)c->world->now_ns * c->rate);
}

static void start_candidate(struct world *w, unsigned i, const struct election_rules *rules) {
    struct candidate *c = &w->candidates[i];
    char name[64];
    c->world = w;
    c->run++;
    c->alive = true;
    c->waits = c->answered = false;
    c->stopped_until_ns = 0;
    (void)snprintf(name, sizeof(name), "scaler-%u_%u", i, c->run);
    election_init(&c->e, rules, name, "10.0.0.1:9443", random_u64(&w->random), clock_of(c));
}

static struct world *world_new(uint64_t seed, unsigned n) {
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    random_init(&w->random, seed);
    w->n = n;
    w->leader = -1;
    w->delay_ns = 5 * NS_PER_MS;
    for (unsigned i = 0; i < n; i++) {
        struct candidate *c = &w->candidates[i];
        c->world = w;
        c->rate = 1;
        c->offset_ns = (int64_t)random_below(&w->random, 1000) * NS_PER_S;
        start_candidate(w, i, &election_rules_default);
    }
    return w;
}

static void post(struct world *w, const struct message *m) {
    if (random_unit(&w->random) < w->loss)
        return;
    for (unsigned i = 0; i < MESSAGES_MAX; i++)
        if (!w->messages[i].used) {
            w->messages[i] = *m;
            w->messages[i].used = true;
            w->messages[i].at_ns = w->now_ns + 1 +
                                   (int64_t)(random_unit(&w->random) * (double)w->delay_ns);
            return;
        }
    fail_msg("more messages than the model holds");
}

// What the API server does with a request.
static void serve(struct world *w, const struct message *m) {
    if (w->away)
        return;
    struct message answer = *m;
    answer.is_answer = true;
    bool exists = w->lease.version[0] != '\0';
    if (m->act == ELECTION_READ) {
        answer.status = exists ? 200 : 404;
    } else if (m->record.version[0] == '\0'
                   ? exists
                   : exists && strcmp(m->record.version, w->lease.version) != 0) {
        answer.status = 409;
    } else if (m->record.version[0] != '\0' && !exists) {
        answer.status = 404;
    } else {
        answer.status = 200;
        w->lease = m->record;
        (void)snprintf(w->lease.version, sizeof(w->lease.version), "%u", ++w->versions);
    }
    answer.record = w->lease;
    post(w, &answer);
}

static void hear(struct world *w, const struct message *m) {
    struct candidate *c = &w->candidates[m->who];
    if (!c->alive || m->run != c->run || !c->waits || m->request != c->request)
        return; // nobody waits for it any more
    c->waits = false;
    if (m->status == 200 && m->act == ELECTION_READ)
        election_read(&c->e, clock_of(c), &m->record);
    else if (m->status == 404 && m->act == ELECTION_READ)
        election_read(&c->e, clock_of(c), NULL);
    else if (m->status == 200)
        election_wrote(&c->e, clock_of(c), m->record.version);
    else
        election_failed(&c->e, clock_of(c), true);
}

static bool runs(const struct candidate *c) {
    return c->alive && c->world->now_ns >= c->stopped_until_ns;
}

static void act(struct world *w, unsigned i) {
    struct candidate *c = &w->candidates[i];
    if (c->waits && w->now_ns >= c->gives_up_ns) {
        c->waits = false;
        election_failed(&c->e, clock_of(c), false);
    }
    for (;;) {
        struct message m = {.who = i, .run = c->run};
        m.act = election_next(&c->e, clock_of(c), w->now_ns, &m.record);
        if (m.act == ELECTION_WAIT)
            break;
        m.request = ++c->request;
        c->waits = true;
        c->gives_up_ns = w->now_ns + 5 * NS_PER_S;
        post(w, &m);
    }
}

// Who would decide if it ran this very moment; at most one may.
static void look(struct world *w) {
    int leader = -1;
    unsigned n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        const struct candidate *c = &w->candidates[i];
        if (c->alive && election_leads(&c->e, clock_of(c))) {
            n++;
            leader = (int)i;
        }
    }
    w->together += n > 1;
    assert_true(n <= 1);
    if (leader >= 0 && leader != w->leader) {
        w->changes++;
        w->leader = leader;
    }
}

static void step(struct world *w) {
    w->now_ns += 10 * NS_PER_MS;
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        struct message *m = &w->messages[i];
        if (!m->used || m->at_ns > w->now_ns)
            continue;
        if (m->is_answer && !runs(&w->candidates[m->who]))
            continue; // it lies in the socket
        struct message copy = *m;
        m->used = false;
        if (copy.is_answer)
            hear(w, &copy);
        else
            serve(w, &copy);
    }
    for (unsigned i = 0; i < w->n; i++)
        if (runs(&w->candidates[i]))
            act(w, i);
    look(w);
}

static void run_for(struct world *w, int64_t ns) {
    for (int64_t end_ns = w->now_ns + ns; w->now_ns < end_ns;)
        step(w);
}

static int leads_now(const struct world *w) {
    for (unsigned i = 0; i < w->n; i++)
        if (w->candidates[i].alive &&
            election_leads(&w->candidates[i].e, clock_of(&w->candidates[i])))
            return (int)i;
    return -1;
}

// How long until somebody leads; fails after `limit_ns`.
static int64_t until_led(struct world *w, int64_t limit_ns) {
    int64_t from_ns = w->now_ns;
    while (leads_now(w) < 0) {
        assert_true(w->now_ns - from_ns < limit_ns);
        step(w);
    }
    return w->now_ns - from_ns;
}

static void one_takes_it_and_keeps_it_while_nothing_happens(void **state) {
    struct world *w = world_new(unit_seed(), 3);
    until_led(w, 10 * NS_PER_S);
    int first = leads_now(w);
    run_for(w, 600 * NS_PER_S);
    assert_int_equal(leads_now(w), first);
    assert_int_equal(w->changes, 1);
    assert_int_equal(w->lease.transitions, 0);
    assert_int_equal(w->candidates[first].e.losses, 0);
    free(w);
}

static void a_dead_leader_is_followed_after_its_lease_and_not_before(void **state) {
    struct world *w = world_new(unit_seed(), 3);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 60 * NS_PER_S);
    int first = leads_now(w);
    int64_t renewed_ns = w->lease.renewed_ns;
    w->candidates[first].alive = false;
    until_led(w, 25 * NS_PER_S);
    assert_int_not_equal(leads_now(w), first);
    assert_true(w->now_ns - renewed_ns >= 15 * NS_PER_S);
    assert_int_equal(w->lease.transitions, 1);
    free(w);
}

static void a_leader_without_an_api_server_stops_by_itself(void **state) {
    struct world *w = world_new(unit_seed(), 2);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 30 * NS_PER_S);
    int first = leads_now(w);
    w->away = true;
    run_for(w, 7 * NS_PER_S); // the last renewal was sent up to 2 s ago
    assert_int_equal(leads_now(w), first);
    run_for(w, 4 * NS_PER_S);
    assert_int_equal(leads_now(w), -1);
    run_for(w, 300 * NS_PER_S);
    assert_int_equal(leads_now(w), -1);
    w->away = false;
    until_led(w, 25 * NS_PER_S);
    free(w);
}

static void a_short_outage_changes_nothing(void **state) {
    struct world *w = world_new(unit_seed(), 2);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 30 * NS_PER_S);
    w->away = true;
    run_for(w, 3 * NS_PER_S);
    w->away = false;
    run_for(w, 60 * NS_PER_S);
    assert_int_equal(w->changes, 1);
    assert_int_equal(w->lease.transitions, 0);
    free(w);
}

static void who_resigns_gives_it_up_and_tries_no_more(void **state) {
    struct world *w = world_new(unit_seed(), 2);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 20 * NS_PER_S);
    int first = leads_now(w), other = 1 - first;
    struct candidate *c = &w->candidates[first];
    election_resign(&c->e, clock_of(c));
    assert_false(election_leads(&c->e, clock_of(c)));
    while (!election_over(&c->e))
        step(w);
    assert_string_equal(w->lease.holder, "");
    election_hurry(&w->candidates[other].e, clock_of(&w->candidates[other]));
    assert_true(until_led(w, 10 * NS_PER_S) < NS_PER_S);
    assert_int_equal(leads_now(w), other);
    run_for(w, 60 * NS_PER_S);
    assert_int_equal(leads_now(w), other);
    free(w);
}

static void who_follows_resigns_without_writing(void **state) {
    struct world *w = world_new(unit_seed(), 2);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 20 * NS_PER_S);
    int first = leads_now(w);
    struct candidate *c = &w->candidates[1 - first];
    election_resign(&c->e, clock_of(c));
    for (int i = 0; i < 100; i++)
        step(w);
    assert_true(election_over(&c->e));
    assert_string_equal(w->lease.holder, w->candidates[first].e.identity);
    free(w);
}

static void a_stopped_leader_does_not_decide_when_it_goes_on(void **state) {
    struct world *w = world_new(unit_seed(), 2);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 20 * NS_PER_S);
    int first = leads_now(w);
    struct candidate *c = &w->candidates[first];
    c->stopped_until_ns = w->now_ns + 40 * NS_PER_S;
    run_for(w, 40 * NS_PER_S - 20 * NS_PER_MS);
    assert_false(election_leads(&c->e, clock_of(c))); // before it has done anything
    assert_int_equal(leads_now(w), 1 - first);
    run_for(w, 60 * NS_PER_S);
    assert_int_equal(leads_now(w), 1 - first);
    free(w);
}

static void a_deleted_lease_is_made_anew_by_its_holder(void **state) {
    struct world *w = world_new(unit_seed(), 3);
    until_led(w, 10 * NS_PER_S);
    run_for(w, 20 * NS_PER_S);
    int first = leads_now(w);
    w->lease = (struct election_record){0};
    run_for(w, 20 * NS_PER_S);
    assert_int_equal(leads_now(w), first);
    assert_string_equal(w->lease.holder, w->candidates[first].e.identity);
    free(w);
}

// Everything at once, for a while; then peace, and one leader.
static void storm(uint64_t seed) {
    struct random r;
    random_init(&r, seed);
    struct world *w = world_new(seed, 2 + (unsigned)random_below(&r, 2));
    w->loss = random_unit(&r) * 0.3;
    w->delay_ns = (int64_t)(random_unit(&r) * 6 * NS_PER_S);
    for (unsigned i = 0; i < w->n; i++)
        w->candidates[i].rate = 0.85 + 0.3 * random_unit(&r); // 15 s x 0.85 > 10 s x 1.15
    for (int i = 0; i < 400; i++) {
        run_for(w, NS_PER_S);
        struct candidate *c = &w->candidates[random_below(&r, w->n)];
        switch (random_below(&r, 24)) {
        case 0:
            c->stopped_until_ns = w->now_ns + (int64_t)random_below(&r, 30) * NS_PER_S;
            break;
        case 1:
            c->alive = false;
            break;
        case 2:
            w->away = true;
            break;
        case 3:
            election_resign(&c->e, clock_of(c));
            break;
        case 4:
            election_hurry(&c->e, clock_of(c));
            break;
        case 5:
        case 6:
            w->away = false;
            break;
        case 7:
        case 8:
            if (!c->alive || election_over(&c->e))
                start_candidate(w, (unsigned)(c - w->candidates), &election_rules_default);
            break;
        default:
            break;
        }
    }
    w->loss = 0;
    w->delay_ns = 5 * NS_PER_MS;
    w->away = false;
    for (unsigned i = 0; i < w->n; i++)
        if (!w->candidates[i].alive || w->candidates[i].e.resigning)
            start_candidate(w, i, &election_rules_default);
    run_for(w, 60 * NS_PER_S);
    assert_int_not_equal(leads_now(w), -1);
    unsigned changes = w->changes;
    run_for(w, 120 * NS_PER_S);
    assert_int_equal(w->changes, changes);
    free(w);
}

static void never_two_lead_and_always_one_in_the_end(void **state) {
    uint64_t seed = unit_seed();
    for (uint64_t i = 0; i < 150; i++) {
        printf("# storm %" PRIu64 "\n", seed + i);
        storm(seed + i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_takes_it_and_keeps_it_while_nothing_happens),
        cmocka_unit_test(a_dead_leader_is_followed_after_its_lease_and_not_before),
        cmocka_unit_test(a_leader_without_an_api_server_stops_by_itself),
        cmocka_unit_test(a_short_outage_changes_nothing),
        cmocka_unit_test(who_resigns_gives_it_up_and_tries_no_more),
        cmocka_unit_test(who_follows_resigns_without_writing),
        cmocka_unit_test(a_stopped_leader_does_not_decide_when_it_goes_on),
        cmocka_unit_test(a_deleted_lease_is_made_anew_by_its_holder),
        cmocka_unit_test(never_two_lead_and_always_one_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
