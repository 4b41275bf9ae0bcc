// SPDX-License-Identifier: Apache-2.0
/* GPUs find their pods; what nobody can know of a pod stays unknown. */
#include "unit.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/limits.h"
#include "core/signal/join.h"

#define S NS_PER_S

static const struct signal_owner A = {{"shop", 4}, {"llm-0", 5}}, B = {{"shop", 4}, {"llm-1", 5}};

struct fixture {
    struct signal_join *j;
    struct signal_gpu *g[3];
    struct signal_pod_gpus *a, *b;
};

static void setup(struct fixture *f) {
    assert_int_equal(signal_join_new(&f->j), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(signal_gpu_new(f->j, &f->g[i]), 0);
    assert_int_equal(signal_join_pod_get(f->j, A.namespace_, A.pod, &f->a), 0);
    assert_int_equal(signal_join_pod_get(f->j, B.namespace_, B.pod, &f->b), 0);
}

static void teardown(struct fixture *f) {
    signal_join_pod_release(f->j, f->a);
    signal_join_pod_release(f->j, f->b);
    for (int i = 0; i < 3; i++)
        signal_gpu_free(f->j, f->g[i]);
    signal_join_free(f->j);
}

static void show(struct signal_gpu *g, double util, int64_t at_s) {
    struct gpu_reading r = {0};
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, util);
    signal_gpu_set_reading(g, &r, at_s * S, false);
}

static struct signal_level level(const struct signal_pod_gpus *p, int64_t now_s) {
    struct signal_level l;
    signal_join_pod_level(p, SIGNAL_GPU_UTILIZATION, now_s * S, 30 * S, &l);
    return l;
}

static void a_pod_has_the_gpus_that_it_holds(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct signal_owner twice[] = {A, A}; // two containers
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, twice, 2), 0);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[1], true, &A, 1), 0);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[2], true, &B, 1), 0);
    show(f.g[0], 90, 10);
    show(f.g[1], 30, 12);
    show(f.g[2], 7, 12);
    struct signal_level l = level(f.a, 20);
    assert_int_equal(l.gpus, 2);
    assert_int_equal(l.known, 2);
    assert_true(l.sum == 120 && l.oldest_ns == 10 * S && l.newest_ns == 12 * S);
    l = level(f.b, 20);
    assert_true(l.gpus == 1 && l.sum == 7);

    // The GPU goes to another pod: the first one keeps the rest.
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[1], true, &B, 1), 0);
    assert_int_equal(level(f.a, 20).gpus, 1);
    assert_true(level(f.b, 20).sum == 37);
    // Nobody's.
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[1], true, NULL, 0), 0);
    assert_int_equal(level(f.b, 20).gpus, 1);
    // Gone.
    f.g[2] = signal_gpu_free(f.j, f.g[2]);
    assert_int_equal(level(f.b, 20).gpus, 0);
    teardown(&f);
}

static void what_is_lost_old_or_unheld_is_unknown_not_zero(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    signal_gpu_set_owners(f.j, f.g[1], true, &A, 1);
    assert_int_equal(level(f.a, 0).known, 0); // no reading yet
    show(f.g[0], 90, 10);
    show(f.g[1], 30, 10);
    assert_int_equal(level(f.a, 40).known, 2);
    assert_int_equal(level(f.a, 41).known, 0); // the node's stream ended: they age
    // Told again with a newer time; an older one is ignored.
    show(f.g[0], 80, 41);
    show(f.g[0], 1, 20);
    struct signal_level l = level(f.a, 41);
    assert_true(l.gpus == 2 && l.known == 1 && l.sum == 80);
    // Lost: its last reading is nobody's value.
    struct gpu_reading r = {0};
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, 80);
    signal_gpu_set_reading(f.g[0], &r, 42 * S, true);
    assert_int_equal(level(f.a, 42).known, 0);
    signal_gpu_set_reading(f.g[0], &r, 43 * S, false);
    assert_int_equal(level(f.a, 43).known, 1);
    // The kubelet does not answer: the pod keeps its GPU, the value is unknown.
    signal_gpu_set_owners(f.j, f.g[0], false, NULL, 0);
    l = level(f.a, 43);
    assert_true(l.gpus == 2 && l.known == 0);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    assert_int_equal(level(f.a, 43).known, 1);
    teardown(&f);
}

static void a_shared_gpu_tells_nothing_about_one_pod(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct signal_owner both[] = {A, B};
    signal_gpu_set_owners(f.j, f.g[0], true, both, 2);
    show(f.g[0], 90, 10);
    struct signal_level a = level(f.a, 10), b = level(f.b, 10);
    assert_true(a.gpus == 1 && a.known == 0 && a.shared == 1 && a.sum == 0);
    assert_true(b.gpus == 1 && b.known == 0 && b.shared == 1);
    assert_int_equal(a.gaps, PART_NOT_TOLD);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1); // the other one is gone
    assert_int_equal(level(f.a, 10).known, 1);
    assert_int_equal(level(f.b, 10).gpus, 0);
    teardown(&f);
}

static const char UID_A[] = "3f8c1a52-7d1e-4b9a-9c55-0a1b2c3d4e5f";
static const char UID_B[] = "99999999-7d1e-4b9a-9c55-0a1b2c3d4e5f";

static struct gpu_share share(const char *uid, double pct, double bytes) {
    struct gpu_share s = {.has_utilization = pct >= 0, .has_memory = bytes >= 0, .processes = 1};
    s.utilization_pct = pct;
    s.memory_bytes = bytes;
    (void)str_copy(s.pod_uid, sizeof(s.pod_uid), str_from(uid));
    return s;
}

// A and B hold the first GPU, which shows `util` at 10 s and has 100 bytes, of which `used` are.
static void share_out(struct fixture *f, double util, double used) {
    struct signal_owner both[] = {A, B};
    struct gpu_reading r = {0};
    assert_int_equal(signal_gpu_set_owners(f->j, f->g[0], true, both, 2), 0);
    if (util >= 0)
        gpu_reading_set(&r, GPU_UTILIZATION_PCT, util);
    gpu_reading_set(&r, GPU_MEMORY_USED_BYTES, used);
    gpu_reading_set(&r, GPU_MEMORY_FREE_BYTES, 100 - used);
    gpu_reading_set(&r, GPU_SM_ACTIVE_RATIO, 0.5);
    signal_gpu_set_reading(f->g[0], &r, 10 * S, false);
    signal_join_pod_set_uid(f->a, str_from(UID_A));
    signal_join_pod_set_uid(f->b, str_from(UID_B));
}

static struct signal_level level_of(const struct signal_pod_gpus *p, enum signal s) {
    struct signal_level l;
    signal_join_pod_level(p, s, 10 * S, 30 * S, &l);
    return l;
}

static bool is(const struct signal_level *l, double lower, double upper) {
    return l->known == 1 && l->parts == 1 && l->shared == 0 && l->gaps == 0 &&
           fabs(l->sum - lower) < 1e-9 && fabs(l->sum + l->hidden - upper) < 1e-9;
}

static void pods_on_one_gpu_have_what_their_own_processes_use(void **state) {
    (void)state;
    static const struct {
        const char *what;
        double util, used;
        struct {
            const char *uid;
            double pct, bytes;
        } shares[4];
        double a[2], b[2], a_memory[2], b_memory[2]; // lower, upper
    } cases[] = {
        {"each its own",
         80,
         60,
         {{UID_A, 50, 40}, {UID_B, 30, 20}},
         {50, 50},
         {30, 30},
         {40, 40},
         {20, 20}},
        {"no process: 0, where all is explained",
         50,
         40,
         {{UID_A, 50, 40}},
         {50, 50},
         {0, 0},
         {40, 40},
         {0, 0}},
        {"no process at all", 0, 0, {{0}}, {0, 0}, {0, 0}, {0, 0}, {0, 0}},
        {"no process is seen and the GPU works: it may be either's",
         70,
         30,
         {{0}},
         {0, 70},
         {0, 70},
         {0, 30},
         {0, 30}},
        {"what no process explains may be either's",
         90,
         70,
         {{UID_A, 50, 40}, {UID_B, 30, 20}},
         {50, 60},
         {30, 40},
         {40, 50},
         {20, 30}},
        {"a process of no pod that can be told may be either's",
         90,
         60,
         {{UID_A, 50, 40}, {UID_B, 0, 0}, {"", 40, 20}},
         {50, 90},
         {0, 40},
         {40, 60},
         {0, 20}},
        {"a process of no pod that can be told and that does nothing is nobody's work",
         50,
         40,
         {{UID_A, 50, 40}, {"", 0, 0}},
         {50, 50},
         {0, 0},
         {40, 40},
         {0, 0}},
        {"nor is one of which nothing is told, where the GPU shows nothing",
         0,
         0,
         {{"", -1, 0}},
         {0, 0},
         {0, 0},
         {0, 0},
         {0, 0}},
        {"a pod that is no owner has its own",
         90,
         60,
         {{UID_A, 50, 40}, {"f", 40, 20}},
         {50, 50},
         {0, 0},
         {40, 40},
         {0, 0}},
        {"samples of more than the GPU shows are scaled to it",
         60,
         60,
         {{UID_A, 80, 80}, {UID_B, 40, 40}},
         {40, 40},
         {20, 20},
         {40, 40},
         {20, 20}},
        {"another's that is not known may be either's... and the other's is",
         80,
         60,
         {{UID_A, 50, 40}, {"f", -1, -1}},
         {50, 80},
         {0, 30},
         {40, 60},
         {0, 20}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture f;
        setup(&f);
        struct gpu_share shares[4];
        size_t n = 0;
        for (; n < 4 && cases[i].shares[n].uid; n++)
            shares[n] = share(cases[i].shares[n].uid, cases[i].shares[n].pct,
                              cases[i].shares[n].bytes);
        share_out(&f, cases[i].util, cases[i].used);
        assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, n), 0);
        struct signal_level a = level_of(f.a, SIGNAL_GPU_UTILIZATION),
                            b = level_of(f.b, SIGNAL_GPU_UTILIZATION),
                            am = level_of(f.a, SIGNAL_GPU_MEMORY),
                            bm = level_of(f.b, SIGNAL_GPU_MEMORY);
        if (!is(&a, cases[i].a[0], cases[i].a[1]) || !is(&b, cases[i].b[0], cases[i].b[1]) ||
            !is(&am, cases[i].a_memory[0], cases[i].a_memory[1]) ||
            !is(&bm, cases[i].b_memory[0], cases[i].b_memory[1]))
            fail_msg("%s: %g..%g %g..%g, memory %g..%g %g..%g", cases[i].what, a.sum,
                     a.sum + a.hidden, b.sum, b.sum + b.hidden, am.sum, am.sum + am.hidden, bm.sum,
                     bm.sum + bm.hidden);
        teardown(&f);
    }
}

static void parts_that_are_not_known_say_why(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct gpu_share shares[] = {share(UID_A, 50, 40), share(UID_B, 30, 20)};
    share_out(&f, 80, 60);
    assert_int_equal(level_of(f.a, SIGNAL_GPU_UTILIZATION).gaps, PART_NOT_TOLD);
    assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), 0);
    struct signal_level l = level_of(f.a, SIGNAL_SM_ACTIVITY); // NVML tells none of a process
    assert_true(l.known == 0 && l.shared == 1 && l.gaps == PART_NOT_SPLIT);
    signal_join_pod_set_uid(f.a, STR(""));
    l = level_of(f.a, SIGNAL_GPU_UTILIZATION);
    assert_true(l.known == 0 && l.shared == 1 && l.gaps == PART_NO_UID);
    l = level_of(f.b, SIGNAL_GPU_UTILIZATION); // the neighbour's is
    assert_true(is(&l, 30, 30));
    // A MIG instance: memory alone is told of its processes.
    signal_join_pod_set_uid(f.a, str_from(UID_A));
    shares[0].has_utilization = false;
    assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), 0);
    assert_int_equal(level_of(f.a, SIGNAL_GPU_UTILIZATION).gaps, PART_NOT_SPLIT);
    l = level_of(f.a, SIGNAL_GPU_MEMORY);
    assert_true(is(&l, 40, 40));
    // The agent starts anew without it, or MPS came: as before it was told.
    assert_int_equal(signal_gpu_set_shares(f.g[0], false, NULL, 0), 0);
    assert_int_equal(level_of(f.b, SIGNAL_GPU_UTILIZATION).gaps, PART_NOT_TOLD);
    teardown(&f);
}

// Where no process's pod can be told (a kubelet without cgroups per pod, a sandbox's virtual
// machine), a busy GPU is not "0 to 100, known" for each holder: nothing would ever be raised, and
// nobody told why.
static void processes_of_no_known_pod_may_be_a_pods_that_has_none(void **state) {
    (void)state;
    static const struct {
        const char *what;
        struct gpu_share stranger;
    } cases[] = {
        {"at work", {"", .has_utilization = true, .utilization_pct = 60}},
        {"perhaps at work", {"", .has_memory = true, .memory_bytes = 1}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture f;
        setup(&f);
        share_out(&f, 100, 60);
        struct gpu_share shares[2] = {cases[i].stranger, share(UID_B, 40, 20)};
        assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 1), 0);
        struct signal_level a = level_of(f.a, SIGNAL_GPU_UTILIZATION);
        struct signal_level b = level_of(f.b, SIGNAL_GPU_UTILIZATION);
        if (a.known != 0 || a.shared != 1 || a.gaps != PART_NOT_TOLD || b.gaps != PART_NOT_TOLD)
            fail_msg("%s: known", cases[i].what);
        // One whose own processes are seen has at least what those use.
        assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), 0);
        a = level_of(f.a, SIGNAL_GPU_UTILIZATION);
        b = level_of(f.b, SIGNAL_GPU_UTILIZATION);
        assert_int_equal(a.gaps, PART_NOT_TOLD);
        assert_true(is(&b, 40, 100));
        teardown(&f);
    }
}

static void a_part_is_as_old_as_the_reading_and_lost_with_it(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct gpu_share shares[] = {share(UID_A, 50, 40), share(UID_B, 30, 20)};
    share_out(&f, 80, 60);
    assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), 0);
    assert_int_equal(level(f.a, 40).known, 1);
    struct signal_level l = level(f.a, 41); // unknown for its age, not for being shared
    assert_true(l.gpus == 1 && l.known == 0 && l.shared == 0 && l.oldest_ns == INT64_MIN);
    share_out(&f, -1, 60); // the driver gives no utilization of the GPU
    l = level(f.a, 10);
    assert_true(l.known == 0 && l.shared == 0);
    struct gpu_reading r = {0};
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, 80);
    signal_gpu_set_reading(f.g[0], &r, 11 * S, true);
    assert_int_equal(level(f.a, 11).known, 0);
    // Alone on it, the pod has the whole again, whatever its processes are seen to use.
    signal_gpu_set_reading(f.g[0], &r, 12 * S, false);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, &A, 1), 0);
    l = level(f.a, 12);
    assert_true(l.known == 1 && l.parts == 0 && l.sum == 80 && l.hidden == 0);
    teardown(&f);
}

static void another_pod_of_the_same_name_has_another_part(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct gpu_share shares[] = {share(UID_A, 50, 40), share(UID_B, 30, 20)};
    share_out(&f, 80, 60);
    assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), 0);
    // A StatefulSet's: the old one's processes are not the new one's.
    signal_join_pod_set_uid(f.a, STR("77777777-7d1e-4b9a-9c55-0a1b2c3d4e5f"));
    struct signal_level l = level_of(f.a, SIGNAL_GPU_UTILIZATION);
    assert_true(is(&l, 0, 0));
    shares[0] = share("77777777-7d1e-4b9a-9c55-0a1b2c3d4e5f", 20, 10);
    assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), 0);
    l = level_of(f.a, SIGNAL_GPU_UTILIZATION);
    assert_true(is(&l, 20, 50));
    signal_join_pod_set_uid(f.a, STR("a text that is longer than a UID can be"));
    assert_int_equal(level_of(f.a, SIGNAL_GPU_UTILIZATION).gaps, PART_NO_UID);
    assert_ptr_equal(signal_join_pod_find(f.j, A.namespace_, A.pod), f.a);
    assert_null(signal_join_pod_find(f.j, A.namespace_, STR("llm-9")));
    teardown(&f);
}

static void parts_never_sum_up_to_more_than_the_gpu_shows(void **state) {
    (void)state;
    struct random rnd;
    random_init(&rnd, unit_seed());
    for (int round = 0; round < 2000; round++) {
        struct fixture f;
        setup(&f);
        double util = floor(101 * random_unit(&rnd)), used = floor(101 * random_unit(&rnd));
        share_out(&f, util, used);
        static const char *const uids[] = {UID_A, UID_B, "", "f"};
        struct gpu_share shares[4];
        size_t n = 0;
        for (size_t i = 0; i < COUNT_OF(uids); i++) {
            bool none = random_unit(&rnd) < 0.2, pct = random_unit(&rnd) < 0.9;
            if (!none)
                shares[n++] = share(uids[i], pct ? 120 * random_unit(&rnd) : -1,
                                    80 * random_unit(&rnd));
        }
        assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, n), 0);
        for (int k = 0; k < 2; k++) {
            enum signal s = k ? SIGNAL_GPU_MEMORY : SIGNAL_GPU_UTILIZATION;
            struct signal_level a = level_of(f.a, s), b = level_of(f.b, s);
            double whole = k ? used : util, most = whole + 1e-9;
            assert_true(a.sum >= 0 && b.sum >= 0 && a.sum + b.sum <= most);
            assert_true(a.hidden >= 0 && a.sum + a.hidden <= most);
            assert_true(b.hidden >= 0 && b.sum + b.hidden <= most);
        }
        teardown(&f);
    }
}

static void shares_without_memory_for_them_are_unknown(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    struct gpu_share shares[] = {share(UID_A, 50, 40), share(UID_B, 30, 20)};
    share_out(&f, 80, 60);
    mem_fail_from(1);
    assert_int_equal(signal_gpu_set_shares(f.g[0], true, shares, 2), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(level_of(f.a, SIGNAL_GPU_UTILIZATION).gaps, PART_NOT_TOLD);
    teardown(&f);
}

static void too_many_owners_change_nothing_but_what_is_known(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    show(f.g[0], 90, 10);
    static char names[LIMIT_OWNERS_PER_GPU + 1][16];
    struct signal_owner many[LIMIT_OWNERS_PER_GPU + 1];
    for (int i = 0; i <= LIMIT_OWNERS_PER_GPU; i++) {
        snprintf(names[i], sizeof(names[i]), "pod-%d", i);
        many[i] = (struct signal_owner){STR("shop"), str_from(names[i])};
    }
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, many, COUNT_OF(many)), ERR_LIMIT);
    assert_true(level(f.a, 10).gpus == 1 && level(f.a, 10).known == 0);
    assert_int_equal(signal_gpu_set_owners(f.j, f.g[0], true, many, COUNT_OF(many) - 1), 0);
    assert_int_equal(level(f.a, 10).gpus, 0);
    teardown(&f);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    struct fixture f;
    setup(&f);
    signal_gpu_set_owners(f.j, f.g[0], true, &A, 1);
    show(f.g[0], 90, 10);
    struct signal_owner others[] = {B, {{"shop", 4}, {"llm-2", 5}}, {{"shop", 4}, {"llm-3", 5}}};
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        assert_true(n < 100);
        mem_fail_from(n);
        r = signal_gpu_set_owners(f.j, f.g[0], true, others, 3);
        mem_fail_never();
        struct signal_level l = level(f.a, 10);
        assert_true(r == 0 ? l.gpus == 0 : l.gpus == 1 && l.known == 0);
    }
    assert_int_equal(r, 0);
    assert_int_equal(level(f.b, 10).shared, 1);
    struct signal_join *j = NULL;
    struct signal_gpu *g = NULL;
    mem_fail_from(1);
    assert_int_equal(signal_join_new(&j), ERR_NOMEM);
    assert_int_equal(signal_gpu_new(f.j, &g), ERR_NOMEM);
    mem_fail_never();
    teardown(&f);
}

static void one_gpus_value_of_each_signal(void **state) {
    (void)state;
    struct gpu_reading r = {0};
    double v = -1;
    for (int s = 0; s < SIGNAL_MAX; s++)
        assert_false(signal_of_reading(&r, (enum signal)s, &v));
    gpu_reading_set(&r, GPU_GR_ENGINE_ACTIVE_RATIO, 0.4); // a MIG instance: no utilization
    assert_true(signal_of_reading(&r, SIGNAL_GPU_UTILIZATION, &v) && fabs(v - 40) < 1e-9);
    gpu_reading_set(&r, GPU_UTILIZATION_PCT, 55);
    assert_true(signal_of_reading(&r, SIGNAL_GPU_UTILIZATION, &v) && v == 55);
    gpu_reading_set(&r, GPU_SM_ACTIVE_RATIO, 0.25);
    assert_true(signal_of_reading(&r, SIGNAL_SM_ACTIVITY, &v) && v == 25);
    gpu_reading_set(&r, GPU_TENSOR_ACTIVE_RATIO, 0.125);
    assert_true(signal_of_reading(&r, SIGNAL_TENSOR_ACTIVITY, &v) && v == 12.5);
    gpu_reading_set(&r, GPU_MEMORY_USED_BYTES, 60e9);
    assert_false(signal_of_reading(&r, SIGNAL_GPU_MEMORY, &v)); // of what?
    gpu_reading_set(&r, GPU_MEMORY_FREE_BYTES, 20e9);
    assert_true(signal_of_reading(&r, SIGNAL_GPU_MEMORY, &v) && v == 75);
    gpu_reading_set(&r, GPU_MEMORY_RESERVED_BYTES, 40e9);
    assert_true(signal_of_reading(&r, SIGNAL_GPU_MEMORY, &v) && v == 50);
    gpu_reading_set(&r, GPU_POWER_W, 310);
    assert_true(signal_of_reading(&r, SIGNAL_POWER, &v) && v == 310);
    assert_false(signal_of_reading(&r, SIGNAL_QUEUE, &v));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_has_the_gpus_that_it_holds),
        cmocka_unit_test(what_is_lost_old_or_unheld_is_unknown_not_zero),
        cmocka_unit_test(a_shared_gpu_tells_nothing_about_one_pod),
        cmocka_unit_test(pods_on_one_gpu_have_what_their_own_processes_use),
        cmocka_unit_test(parts_that_are_not_known_say_why),
        cmocka_unit_test(processes_of_no_known_pod_may_be_a_pods_that_has_none),
        cmocka_unit_test(a_part_is_as_old_as_the_reading_and_lost_with_it),
        cmocka_unit_test(another_pod_of_the_same_name_has_another_part),
        cmocka_unit_test(parts_never_sum_up_to_more_than_the_gpu_shows),
        cmocka_unit_test(shares_without_memory_for_them_are_unknown),
        cmocka_unit_test(too_many_owners_change_nothing_but_what_is_known),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(one_gpus_value_of_each_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
