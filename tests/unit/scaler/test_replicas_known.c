// SPDX-License-Identifier: Apache-2.0
/* What a scaler goes on with when it begins to lead, and what it answers with when it no more does.
 */
#include "io_lab.h"
#include "net/grpc_status.h"
#include "core/signal/work.h"
#include "scaler/learned.h"
#include "scaler/replicas_internal.h"

static const char workloads[] = "workloads:\n"
                                "- {namespace: default, target: deployment/llm, replicas: 6,\n"
                                "   scaledObjects: [llm]}\n";

struct lab {
    struct io *io;
    struct replicas *r;
    struct follow_options hear;
    struct object_pair pairs[2];
    struct object_ref ref;
    struct object_hash hash;
};

// One of several scalers, which follows.
static void open_lab(struct lab *l) {
    struct err e = {0};
    l->io = lab_open(workloads, 64);
    l->r = l->io->replicas = mem_zalloc(sizeof(*l->r));
    assert_non_null(l->r);
    l->r->io = l->io;
    vec_init(&l->io->told, 16);
    l->hear = (struct follow_options){
        .loop = &l->io->loop, .identity = "a", .seed = 1, .ctx = l->r};
    replicas_hear(&l->hear);
    assert_int_equal(follow_new(&l->r->follow, &l->hear, &e), 0);
    l->pairs[0] = (struct object_pair){STR("capacity"), STR("2")};
    l->pairs[1] = (struct object_pair){STR("engine"), STR("vllm")};
    l->ref = (struct object_ref){STR("default"), STR("llm"), l->pairs, 2};
    object_ref_hash(&l->ref, &l->hash);
}

static void close_lab(struct lab *l) {
    io_replicas_stop(l->io);
    io_replicas_done(l->io);
    lab_close(l->io);
}

static struct object *watched(struct lab *l) {
    struct object *o = io_object_new(l->io, 0, object_key_new(&l->ref, &l->hash));
    assert_non_null(o);
    return o;
}

// The leader that is heard has decided so, just now, and has learned this.
static void hear_learned(struct lab *l, int32_t desired, uint64_t sequence, struct str learned) {
    struct decision d = {.id = 7,
                         .object = l->ref,
                         .answer = {.seq = sequence, .value = desired, .active = true},
                         .memory = {.decided = true, .desired = desired, .sequence = sequence},
                         .learned = learned};
    struct follow_update u = {
        .leader = "b", .decided_ns = clock_mono_ns(), .full = true, .complete = true};
    l->hear.began(l->r, &u);
    l->hear.decision(l->r, &d);
    l->hear.ended(l->r, &u);
}

static void hear(struct lab *l, int32_t desired, uint64_t sequence) {
    hear_learned(l, desired, sequence, (struct str){0});
}

static struct decider_memory take_over(struct lab *l, const struct object *o, bool inherited) {
    struct decider_memory m;
    l->r->leads = true;
    l->r->inherited = inherited;
    replicas_restore(l->r, clock_mono_ns());
    decider_remember(o->decider, &m);
    return m;
}

static void what_the_leader_decided_is_gone_on_with(void **state) {
    struct lab l;
    open_lab(&l);
    struct object *o = watched(&l);
    hear(&l, 4, 50);
    struct decider_memory m = take_over(&l, o, true);
    assert_true(m.decided);
    assert_int_equal(m.desired, 4);
    assert_int_equal(m.sequence, 50);
    close_lab(&l);
}

// It led until another took over, and heard it late or never.
static void a_decision_of_an_earlier_term_is_not_the_last(void **state) {
    static const struct {
        bool heard, inherited, decided;
        int32_t desired;
        uint64_t sequence;
    } cases[] = {
        {true, true, true, 4, 1000}, // the other began to count anew: its decision counts
        {true, false, false, 0, 1000},
        {false, true, false, 0, 1000},
        {false, false, false, 0, 1000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct lab l;
        open_lab(&l);
        struct object *o = watched(&l);
        decider_seed(o->decider, 20, 1000, clock_mono_ns()); // of the earlier term
        if (cases[i].heard)
            hear(&l, 4, 50);
        struct decider_memory m = take_over(&l, o, cases[i].inherited);
        assert_int_equal(m.decided, cases[i].decided);
        assert_int_equal(m.sequence, cases[i].sequence);
        if (m.decided)
            assert_int_equal(m.desired, cases[i].desired);
        else
            assert_int_equal(m.n, 0);
        close_lab(&l);
    }
}

static void what_the_leader_tells_no_more_of_is_not_gone_on_with(void **state) {
    struct lab l;
    open_lab(&l);
    struct object *o = watched(&l);
    lab_register(l.io, 1, "llm", "2", "vllm");
    hear(&l, 4, 50);
    l.hear.removed(l.r, 7);
    assert_false(take_over(&l, o, true).decided);
    close_lab(&l);
}

// KEDA would wake a service for an error, so zero is held; an HPA is told that it is not known.
static void a_rule_that_the_leader_does_not_tell_of_is_no_zero(void **state) {
    for (int rule = 0; rule < 2; rule++) {
        struct lab l;
        open_lab(&l);
        l.ref.rule = rule;
        object_ref_hash(&l.ref, &l.hash);
        struct object *o = watched(&l);
        if (!rule)
            lab_register(l.io, 1, "llm", "2", "vllm");
        hear(&l, 0, 50);
        l.hear.removed(l.r, 7);
        struct known *k = l.r->known;
        assert_ptr_equal(k->object, o);
        k->answer.at_zero = true;
        k->gone_ns -= 2 * LIMIT_DECISION_AGE_MS * NS_PER_MS;
        replicas_tend_gone(l.r, clock_mono_ns());
        assert_int_equal(o->sent.status, rule ? GRPC_UNAVAILABLE : GRPC_OK);
        assert_true(o->sent.value == 0);
        close_lab(&l);
    }
}

// Its Lease ended between the watch's word of an object and the first decision about it.
static void what_was_never_decided_is_not_answered_with_zero(void **state) {
    struct lab l;
    open_lab(&l);
    l.r->leads = true;
    watched(&l);
    replicas_remember(l.r);
    l.r->leads = false;
    lab_register(l.io, 1, "llm", "2", "vllm"); // KEDA asks
    for (size_t i = 0; i < l.io->outbox.n; i++)
        fail_msg("answered with %g, %s", l.io->outbox.items[i].value,
                 l.io->outbox.items[i].active ? "active" : "inactive");
    hear(&l, 4, 50);
    struct to_rpc *m = lab_batch(l.io);
    assert_int_equal(m->n_items, 1);
    assert_true(m->items[0].value == 4);
    to_rpc_free(m);
    close_lab(&l);
}

// At zero when we led; what came of it since was another's matter.
static void a_workload_that_is_missing_is_not_held_at_the_zero_of_an_earlier_term(void **state) {
    struct lab l;
    open_lab(&l);
    l.io->replicas = NULL; // leads
    lab_write("workloads:\n- {namespace: default, target: deployment/llm, replicas: 0, "
              "scaledObjects: [llm]}\n");
    io_workloads_check(l.io, true);
    lab_register(l.io, 1, "llm", "2", "vllm");
    const struct object *o = l.io->objects;
    assert_true(o->decided && o->sent.at_zero);
    l.io->replicas = l.r;
    io_objects_follow(l.io);
    lab_write("workloads: []\n");
    io_workloads_check(l.io, true);
    l.r->leads = true;
    io_objects_lead(l.io, clock_mono_ns());
    assert_int_equal(o->sent.status, GRPC_NOT_FOUND);
    close_lab(&l);
}

// Else the rpc thread would go on as a leader, or never begin.
static void who_leads_is_told_again_where_the_queue_was_full(void **state) {
    struct lab l;
    struct to_rpc *m;
    size_t others = 0;
    open_lab(&l);
    for (bool more = true; more; others += more) {
        m = mem_zalloc(sizeof(*m));
        m->kind = TO_RPC_RELOAD;
        more = queue_push(l.io->to_rpc, m);
        if (!more)
            to_rpc_free(m);
    }
    l.r->leads = true;
    l.r->term = 3;
    replicas_tell_role(l.r, false);
    for (; (m = queue_pop(l.io->to_rpc)) != NULL; others--, to_rpc_free(m))
        assert_int_equal(m->kind, TO_RPC_RELOAD);
    assert_int_equal(others, 0);
    io_replicas_tick(l.io, clock_mono_ns());
    m = queue_pop(l.io->to_rpc);
    assert_non_null(m);
    assert_int_equal(m->kind, TO_RPC_ROLE);
    assert_true(m->role->leads && m->role->term == 3);
    to_rpc_free(m);
    io_replicas_tick(l.io, clock_mono_ns()); // once is enough
    assert_null(queue_pop(l.io->to_rpc));
    close_lab(&l);
}

static const char feed_key[] = "default/deployment/llm vllm 0 - -";

static struct learned a_lesson(uint32_t lessons, double rho_ln) {
    struct learned x = {0};
    snprintf(x.measured, sizeof(x.measured), "%s", feed_key);
    struct work_learned *k = &x.signals.work;
    *k = (struct work_learned){.lessons = lessons,
                               .weight = lessons,
                               .u = lessons * 1000.,
                               .y = lessons * 25.,
                               .uu = lessons * 1e6,
                               .uy = lessons * 25e3};
    k->extremes[0] = (struct work_extremes){lessons, 500, 30, 1200, 0};
    decider_learned_none(&x.decider);
    x.decider.trimmed = true;
    x.decider.trim_ln = rho_ln;
    return x;
}

static double trim_of(const struct object *o) {
    struct decider_learned x;
    decider_learned_of(o->decider, clock_mono_ns(), &x);
    return x.trim_ln;
}

static uint32_t lessons_of(const struct object *o) {
    struct signal_work w;
    assert_non_null(o->feed);
    signal_work(o->feed->signals, clock_mono_ns(), &w);
    return w.lessons;
}

// The last leader's, whole, also where a decision is too old: lessons do not grow old. Then it is
// told on, and remembered over the end of the own term.
static void what_the_leader_has_learned_is_gone_on_with(void **state) {
    for (int inherited = 0; inherited < 2; inherited++) {
        struct lab l;
        struct learned x = a_lesson(40, -0.1), mine = a_lesson(7, 0.2);
        CLEANUP_BUF struct buf b;
        buf_init(&b, LIMIT_LEARNED_BYTES);
        open_lab(&l);
        struct object *o = watched(&l);
        decider_learned_take(o->decider, &mine.decider, clock_mono_ns()); // of an earlier term
        assert_int_equal(learned_pack(&b, &x), 0);
        hear_learned(&l, 4, 50, buf_str(&b));
        assert_int_equal(take_over(&l, o, inherited).decided, inherited);
        assert_true(trim_of(o) == -0.1);
        io_objects_lead(l.io, clock_mono_ns());
        assert_int_equal(lessons_of(o), 40);
        replicas_remember(l.r);
        io_objects_follow(l.io);
        l.r->leads = false;
        take_over(&l, o, true); // nobody led in between
        io_objects_lead(l.io, clock_mono_ns());
        assert_int_equal(lessons_of(o), 40);
        assert_true(trim_of(o) == -0.1);
        close_lab(&l);
    }
}

// Under the same trigger another workload may stand by now, or one that was begun anew.
static void what_was_learned_of_another_workload_is_not_taken_nor_twice(void **state) {
    for (int other = 0; other < 2; other++) {
        struct lab l;
        struct learned x = a_lesson(40, -0.1);
        if (other)
            snprintf(x.measured, sizeof(x.measured), "default/deployment/llm-8b vllm 0 - -");
        CLEANUP_BUF struct buf b;
        buf_init(&b, LIMIT_LEARNED_BYTES);
        open_lab(&l);
        struct object *o = watched(&l);
        assert_int_equal(learned_pack(&b, &x), 0);
        hear_learned(&l, 4, 50, buf_str(&b));
        take_over(&l, o, true);
        io_objects_lead(l.io, clock_mono_ns());
        assert_int_equal(lessons_of(o), other ? 0 : 40);
        lab_write("workloads: []\n");
        io_workloads_check(l.io, true);
        assert_null(o->feed);
        lab_write(workloads);
        io_workloads_check(l.io, true);
        assert_int_equal(lessons_of(o), 0);
        close_lab(&l);
    }
}

// A leader of a version that tells nothing, or of one that tells nonsense: the decision counts, the
// rest begins anew.
static void what_is_refused_costs_no_decision(void **state) {
    struct learned bad = a_lesson(40, -0.1), mine = a_lesson(7, 0.2);
    bad.signals.work.y = 0.0 / 0.0;
    CLEANUP_BUF struct buf b;
    buf_init(&b, LIMIT_LEARNED_BYTES);
    assert_int_equal(learned_pack(&b, &bad), 0);
    const struct str said[] = {{0}, buf_str(&b), STR("\xff\xff\xff")};
    for (size_t i = 0; i < COUNT_OF(said); i++) {
        struct lab l;
        open_lab(&l);
        struct object *o = watched(&l);
        decider_learned_take(o->decider, &mine.decider, clock_mono_ns());
        hear_learned(&l, 4, 50, said[i]);
        assert_int_equal(l.r->learned_refused, i > 0);
        struct decider_memory m = take_over(&l, o, true);
        assert_true(m.decided && m.desired == 4);
        assert_true(trim_of(o) == 0);
        io_objects_lead(l.io, clock_mono_ns());
        assert_int_equal(lessons_of(o), 0);
        close_lab(&l);
    }
}

// Between two wants of the window something may be learned; at rest nothing is told twice.
static void what_was_learned_since_is_told_and_nothing_twice(void **state) {
    struct lab l;
    open_lab(&l);
    l.r->leads = true;
    struct object *o = watched(&l);
    int64_t now_ns = clock_mono_ns();
    io_objects_lead(l.io, now_ns);
    const struct published p = {.value = 4};
    io_replicas_tell(l.io, o, &p, (struct str){0});
    size_t told = l.io->told.n;
    assert_int_equal(told, 1);
    io_replicas_tell_again(l.io, o, now_ns + 60 * NS_PER_S);
    assert_int_equal(l.io->told.n, told);
    struct learned x = a_lesson(3, 0);
    assert_true(signal_learned_take(o->feed->signals, &x.signals));
    io_replicas_tell_again(l.io, o, now_ns + 61 * NS_PER_S); // looked at a second ago
    assert_int_equal(l.io->told.n, told);
    io_replicas_tell_again(l.io, o, now_ns + 90 * NS_PER_S);
    assert_int_equal(l.io->told.n, told + 1);
    close_lab(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_leader_decided_is_gone_on_with),
        cmocka_unit_test(a_decision_of_an_earlier_term_is_not_the_last),
        cmocka_unit_test(what_the_leader_tells_no_more_of_is_not_gone_on_with),
        cmocka_unit_test(a_rule_that_the_leader_does_not_tell_of_is_no_zero),
        cmocka_unit_test(a_workload_that_is_missing_is_not_held_at_the_zero_of_an_earlier_term),
        cmocka_unit_test(what_was_never_decided_is_not_answered_with_zero),
        cmocka_unit_test(what_the_leader_has_learned_is_gone_on_with),
        cmocka_unit_test(what_was_learned_of_another_workload_is_not_taken_nor_twice),
        cmocka_unit_test(what_is_refused_costs_no_decision),
        cmocka_unit_test(what_was_learned_since_is_told_and_nothing_twice),
        cmocka_unit_test(who_leads_is_told_again_where_the_queue_was_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
