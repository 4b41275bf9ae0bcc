// SPDX-License-Identifier: Apache-2.0
/* Messages into the GPU table, without a network: what an agent may say, and what it may not. */
#include <float.h>
#include <math.h>

#include "base/clock.h"
#include "source/agent_gpus.h"
#include "source/node_message.h"
#include "unit.h"

#define NOW (100 * NS_PER_S)

// What was told, by UUID.
struct told {
    char uuid[GPU_UUID_MAX];
    unsigned calls, changed; // changed: of the last call
    struct gpu_reading reading;
    int64_t reading_at_ns;
    bool lost, owners_known, removed;
    size_t n_owners;
    bool shares_known;
    size_t n_shares;
    struct gpu_share shares[4];
    char node[64], owner[64], pod[64], model[64];
};

struct world {
    struct agent_gpus gpus;
    struct told told[32];
    size_t n;
    int orphans;
};

static struct told *told_of(struct world *w, const char *uuid) {
    for (size_t i = 0; i < w->n; i++) {
        if (!strcmp(w->told[i].uuid, uuid))
            return &w->told[i];
    }
    assert_true(w->n < 32);
    struct told *t = &w->told[w->n++];
    snprintf(t->uuid, sizeof(t->uuid), "%s", uuid);
    return t;
}

static void on_gpu(void *ctx, const struct agents_gpu *g, unsigned changed, void **user) {
    struct told *t = told_of(ctx, g->uuid);
    if (changed & AGENTS_NEW) {
        assert_null(g->user);
        *user = t;
        t->removed = false;
    }
    assert_ptr_equal(*user, t);
    t->calls++;
    t->changed = changed;
    t->reading = *g->reading;
    t->reading_at_ns = g->reading_at_ns;
    t->lost = g->lost;
    t->owners_known = g->owners_known;
    t->n_owners = g->n_owners;
    t->shares_known = g->shares_known;
    t->n_shares = g->n_shares;
    for (size_t i = 0; i < g->n_shares && i < COUNT_OF(t->shares); i++)
        t->shares[i] = g->shares[i];
    snprintf(t->node, sizeof(t->node), "%s", g->node);
    snprintf(t->model, sizeof(t->model), "%s", g->model);
    snprintf(t->pod, sizeof(t->pod), "%s", g->n_owners ? g->owners[g->n_owners - 1].pod : "");
}

static void on_removed(void *ctx, const char *node, const char *uuid, void *user) {
    struct told *t = told_of(ctx, uuid);
    assert_ptr_equal(user, t);
    assert_false(t->removed);
    t->removed = true;
}

static void on_orphaned(void *ctx, struct agent_gpu *g) {
    ((struct world *)ctx)->orphans++;
}

static const struct agents_ops ops = {.gpu = on_gpu, .gpu_removed = on_removed};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    agent_gpus_init(&w->gpus, &ops, w);
    w->gpus.orphaned = on_orphaned;
    w->gpus.orphaned_ctx = w;
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    assert_int_equal(w->gpus.n, 0);
    agent_gpus_done(&w->gpus);
    free(w);
    return 0;
}

static void merge_ok(struct agent_node *node, struct message *x, int64_t now) {
    struct err e = {0};
    int r = agent_node_merge(node, &x->m, now, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(r, 0);
}

// A node with GPUs "A" (id 1, 40 %, pod a) and "B" (id 2, 60 %, nobody known), both just read.
static void begin(struct agent_node *node, struct world *w) {
    agent_node_init(node, &w->gpus);
    struct message *x = message(true, 1);
    add_gpu(x, 1, "A", 40, "a");
    add_gpu(x, 2, "B", 60, NULL);
    add_age(x, 1, 100);
    add_age(x, 2, 200);
    merge_ok(node, x, NOW);
}

static double utilization(const struct told *t) {
    double v = -1;
    return gpu_reading_get(&t->reading, GPU_UTILIZATION_PCT, &v) ? v : -1;
}

static void a_full_state_tells_every_gpu_with_its_age(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    struct told *a = told_of(w, "A"), *b = told_of(w, "B");
    assert_int_equal(a->calls, 1);
    assert_true(a->changed & AGENTS_NEW && a->changed & AGENTS_READING && a->changed & AGENTS_AGE);
    assert_float_equal(utilization(a), 40, 0);
    assert_true(a->reading_at_ns == NOW - 100 * NS_PER_MS);
    assert_true(a->owners_known);
    assert_string_equal(a->pod, "a");
    assert_string_equal(a->node, "node-1");
    assert_string_equal(a->model, "H100");
    assert_true(b->reading_at_ns == NOW - 200 * NS_PER_MS);
    assert_false(b->owners_known);
    assert_int_equal(w->gpus.n, 2);
    agent_node_done(&node);
    assert_true(a->removed && b->removed);
}

static void a_change_tells_what_changed_and_an_age_only_the_age(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    struct message *x = message(false, 2);
    add_gpu(x, 1, NULL, 45, "a");
    add_age(x, 1, 10);
    add_age(x, 2, 20);
    merge_ok(&node, x, NOW + NS_PER_S);
    struct told *a = told_of(w, "A"), *b = told_of(w, "B");
    assert_int_equal(a->changed, AGENTS_READING | AGENTS_AGE);
    assert_float_equal(utilization(a), 45, 0);
    assert_int_equal(b->changed, AGENTS_AGE);
    assert_float_equal(utilization(b), 60, 0);
    assert_true(b->reading_at_ns == NOW + NS_PER_S - 20 * NS_PER_MS);
    // The pod is gone; nobody else has it.
    x = message(false, 3);
    Gpuscale__V1__Gpu *g = add_gpu(x, 1, NULL, 0, NULL);
    g->has_owners_known = g->owners_known = true;
    merge_ok(&node, x, NOW + 2 * NS_PER_S);
    assert_int_equal(a->changed, AGENTS_READING | AGENTS_OWNERS);
    assert_true(a->owners_known);
    assert_int_equal(a->n_owners, 0);
    agent_node_done(&node);
}

static void a_heartbeat_without_news_tells_nothing_new_about_values(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    struct told *a = told_of(w, "A");
    // The source hangs: each second the same reading is a second older, at the same instant.
    for (uint64_t seq = 2; seq < 40; seq++) {
        struct message *x = message(false, seq);
        x->m.has_driver_stalled_ms = true;
        x->m.driver_stalled_ms = 1000 * seq;
        add_age(x, 1, (uint32_t)(100 + 1000 * (seq - 1)));
        int64_t late = (int64_t)(seq % 7) * 5 *
                       NS_PER_MS; // the message's way is now longer, now shorter
        merge_ok(&node, x, NOW + (int64_t)(seq - 1) * NS_PER_S + late);
        assert_true(a->reading_at_ns == NOW - 100 * NS_PER_MS);
    }
    assert_int_equal(a->calls, 1);
    assert_true(node.driver_stalled_ms == 39000);
    agent_node_done(&node);
}

static void only_old_values_stay_old(void **state) {
    struct world *w = *state;
    struct agent_node node;
    agent_node_init(&node, &w->gpus);
    struct message *x = message(true, 1);
    add_gpu(x, 1, "A", 40, "a");
    add_age(x, 1, UINT32_MAX);
    merge_ok(&node, x, NOW);
    struct told *a = told_of(w, "A");
    assert_true(a->reading_at_ns == NOW - (int64_t)UINT32_MAX * NS_PER_MS);
    agent_node_done(&node);
}

static void a_reading_without_an_age_was_never_read(void **state) {
    struct world *w = *state;
    struct agent_node node;
    agent_node_init(&node, &w->gpus);
    struct message *x = message(true, 1);
    add_gpu(x, 1, "A", 40, "a");
    merge_ok(&node, x, NOW);
    assert_true(told_of(w, "A")->reading_at_ns == INT64_MIN);
    agent_node_done(&node);
}

static void values_that_cannot_be_are_unknown_never_zero(void **state) {
    static const struct {
        double value;
        bool known;
    } cases[] = {{0, true},         {100, true},         {NAN, false},
                 {INFINITY, false}, {-INFINITY, false},  {-1, false},
                 {101, false},      {4294967295, false}, {DBL_MAX, false}};
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct agent_node node;
        agent_node_init(&node, &w->gpus);
        uint64_t bad = w->gpus.bad_values;
        struct message *x = message(true, 1);
        add_gpu(x, 1, "A", cases[i].value, "a");
        add_age(x, 1, 0);
        merge_ok(&node, x, NOW);
        double v;
        assert_int_equal(gpu_reading_get(&told_of(w, "A")->reading, GPU_UTILIZATION_PCT, &v),
                         cases[i].known);
        assert_int_equal(w->gpus.bad_values - bad, !cases[i].known);
        agent_node_done(&node);
    }
}

static void a_count_of_values_that_differs_from_the_bits_makes_all_unknown(void **state) {
    struct world *w = *state;
    struct agent_node node;
    agent_node_init(&node, &w->gpus);
    struct message *x = message(true, 1);
    add_gpu(x, 1, "A", 40, "a")->valid = 7;
    add_gpu(x, 2, "B", 40, "a")->valid = 0;
    Gpuscale__V1__Gpu *g = add_gpu(x, 3, "C", 40, "a");
    g->n_values = 0;
    merge_ok(&node, x, NOW);
    assert_true(told_of(w, "A")->reading.valid == 0);
    assert_true(told_of(w, "B")->reading.valid == 0);
    assert_true(told_of(w, "C")->reading.valid == 0);
    assert_int_equal(w->gpus.bad_values, 3);
    agent_node_done(&node);
}

static void values_of_a_newer_agent_are_skipped(void **state) {
    struct world *w = *state;
    struct agent_node node;
    agent_node_init(&node, &w->gpus);
    struct message *x = message(true, 1);
    Gpuscale__V1__Gpu *g = add_gpu(x, 1, "A", 40, "a");
    g->valid |= UINT64_C(1) << 63 | UINT64_C(1) << GPU_VALUE_MAX;
    g->n_values = 3;
    x->values[0][1] = x->values[0][2] = 1e300;
    merge_ok(&node, x, NOW);
    assert_float_equal(utilization(told_of(w, "A")), 40, 0);
    assert_true(told_of(w, "A")->reading.valid == 1);
    assert_int_equal(w->gpus.bad_values, 0);
    agent_node_done(&node);
}

static bool share_is(const struct gpu_share *s, const char *uid, uint32_t processes, double pct,
                     double bytes) {
    return strcmp(s->pod_uid, uid) == 0 && s->processes == processes &&
           s->has_utilization == (pct >= 0) && (pct < 0 || s->utilization_pct == pct) &&
           s->has_memory == (bytes >= 0) && (bytes < 0 || s->memory_bytes == bytes);
}

static void containers_shares_are_summed_by_pod(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    struct told *a = told_of(w, "A");
    assert_true(!a->shares_known && a->n_shares == 0);
    struct message *x = message(false, 2);
    add_gpu(x, 1, NULL, 40, "a");
    add_share(x, "uid-1", 20, 100);
    add_share(x, "", 1, 1);
    add_share(x, "uid-1", 5, 50);
    add_share(x, "uid-2", -1, 10); // of one of its containers it is not known
    add_share(x, "uid-3", 5, -1);
    add_share(x, "uid-2", 90, 10);
    add_age(x, 1, 0);
    merge_ok(&node, x, NOW + 1);
    assert_true(a->changed & AGENTS_SHARES && !(a->changed & AGENTS_READING));
    assert_true(a->shares_known && a->n_shares == 4);
    assert_true(share_is(&a->shares[0], "uid-1", 2, 25, 150));
    assert_true(share_is(&a->shares[1], "", 1, 1, 1));
    assert_true(share_is(&a->shares[2], "uid-2", 2, -1, 20));
    assert_true(share_is(&a->shares[3], "uid-3", 1, 5, -1));
    // The same again is no news; what cannot be is unknown.
    x->m.seq = 3;
    unsigned calls = a->calls;
    merge_ok(&node, x, NOW + 2);
    assert_int_equal(a->calls, calls);
    x = message(false, 4);
    add_gpu(x, 1, NULL, 40, "a");
    add_share(x, "uid-1", 20, 100)->utilization_pct = NAN;
    add_share(x, "uid-2", 20, 100)->utilization_pct = -1;
    merge_ok(&node, x, NOW + 3);
    assert_true(share_is(&a->shares[0], "uid-1", 1, -1, 100));
    assert_true(share_is(&a->shares[1], "uid-2", 1, -1, 100));
    assert_int_equal(w->gpus.bad_values, 2);
    // Known that nobody's process is on it, and then not known any more (MPS came).
    x = message(false, 5);
    add_gpu(x, 1, NULL, 40, "a")->has_shares_known = true;
    x->gpu[0].shares_known = true;
    merge_ok(&node, x, NOW + 4);
    assert_true(a->shares_known && a->n_shares == 0);
    x = message(false, 6);
    add_gpu(x, 1, NULL, 40, "a");
    merge_ok(&node, x, NOW + 5);
    assert_true(!a->shares_known && a->changed & AGENTS_SHARES);
    // Another run of the agent, without it.
    x = message(false, 7);
    add_gpu(x, 1, NULL, 40, "a");
    add_share(x, "uid-1", 20, 100);
    merge_ok(&node, x, NOW + 6);
    assert_true(a->shares_known);
    agent_node_disconnect(&node);
    x = message(true, 1);
    x->m.boot_id = (char *)(uintptr_t) "boot-b";
    add_gpu(x, 1, "A", 40, "a");
    merge_ok(&node, x, NOW + 7);
    assert_true(!a->shares_known && a->n_shares == 0);
    agent_node_done(&node);
}

static void a_full_state_forgets_what_it_does_not_have(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    agent_node_disconnect(&node);
    assert_int_equal(w->gpus.n, 2); // with their times
    struct message *x = message(true, 1);
    add_gpu(x, 1, "B", 61, NULL); // ids are of one run: B has A's now
    add_gpu(x, 2, "C", 62, NULL);
    x->m.boot_id = (char *)(uintptr_t) "boot-b";
    merge_ok(&node, x, NOW);
    assert_true(node.restarted);
    assert_true(told_of(w, "A")->removed);
    assert_false(told_of(w, "B")->removed);
    assert_float_equal(utilization(told_of(w, "B")), 61, 0);
    assert_float_equal(utilization(told_of(w, "C")), 62, 0);
    assert_int_equal(w->gpus.n, 2);
    agent_node_done(&node);
}

static void removed_ids_are_removed_and_may_be_given_anew(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    struct message *x = message(false, 2);
    x->removed[x->m.n_removed++] = 1;
    x->removed[x->m.n_removed++] = 77; // unknown: nothing to remove
    merge_ok(&node, x, NOW);
    assert_true(told_of(w, "A")->removed);
    x = message(false, 3);
    add_gpu(x, 1, "D", 5, NULL);
    merge_ok(&node, x, NOW);
    assert_float_equal(utilization(told_of(w, "D")), 5, 0);
    // An id that is given to another GPU without a word about the first.
    x = message(false, 4);
    add_gpu(x, 1, "E", 6, NULL);
    merge_ok(&node, x, NOW);
    assert_true(told_of(w, "D")->removed);
    assert_int_equal(w->gpus.n, 2);
    agent_node_done(&node);
}

static void a_lost_gpu_keeps_its_last_reading_and_time(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    struct message *x = message(false, 2);
    Gpuscale__V1__Gpu *g = add_gpu(x, 1, NULL, 40, "a");
    g->has_lost = g->lost = true;
    merge_ok(&node, x, NOW + NS_PER_S);
    struct told *a = told_of(w, "A");
    assert_true(a->lost);
    assert_int_equal(a->changed, AGENTS_LOST);
    assert_true(a->reading_at_ns == NOW - 100 * NS_PER_MS);
    agent_node_done(&node);
}

static void sequence_holes_and_wrong_beginnings_are_refused(void **state) {
    struct world *w = *state;
    struct agent_node node;
    struct err e = {0};
    begin(&node, w);
    assert_int_equal(agent_node_merge(&node, &message(false, 3)->m, NOW, &e), ERR_AGAIN);
    assert_non_null(strstr(e.msg, "3 came after 1"));
    assert_int_equal(agent_node_merge(&node, &message(false, 1)->m, NOW, &e), ERR_AGAIN);
    struct message *x = message(false, 2);
    x->m.boot_id = (char *)(uintptr_t) "boot-b";
    assert_int_equal(agent_node_merge(&node, &x->m, NOW, &e), ERR_PROTO);
    agent_node_disconnect(&node);
    assert_int_equal(agent_node_merge(&node, &message(false, 1)->m, NOW, &e), ERR_PROTO);
    assert_int_equal(agent_node_merge(&node, &message(true, 2)->m, NOW, &e), ERR_PROTO);
    assert_int_equal(w->gpus.n, 2);
    agent_node_done(&node);
}

// Messages that no agent sends. Each is built from a good full one.
static void no_boot_id(struct message *x) {
    x->m.boot_id = NULL;
}
static void empty_boot_id(struct message *x) {
    x->m.boot_id = (char *)(uintptr_t) "";
}
static void long_boot_id(struct message *x) {
    static char text[200];
    memset(text, 'b', sizeof(text) - 1);
    x->m.boot_id = text;
}
static void control_in_node(struct message *x) {
    x->m.node = (char *)(uintptr_t) "node\n1";
}
static void long_version(struct message *x) {
    long_boot_id(x);
    x->m.agent_version = x->m.boot_id;
    x->m.boot_id = (char *)(uintptr_t) "boot-a";
}
static void no_id(struct message *x) {
    x->gpu[0].has_id = false;
}
static void same_id(struct message *x) {
    x->gpu[1].id = x->gpu[0].id;
}
static void same_uuid(struct message *x) {
    x->info[1].uuid = x->info[0].uuid;
}
static void no_uuid(struct message *x) {
    x->info[0].uuid = NULL;
}
static void empty_uuid(struct message *x) {
    x->info[0].uuid = (char *)(uintptr_t) "";
}
static void long_model(struct message *x) {
    long_boot_id(x);
    x->info[0].model = x->m.boot_id;
    x->m.boot_id = (char *)(uintptr_t) "boot-a";
}
static void no_info(struct message *x) {
    x->gpu[0].info = NULL;
}
static void owner_without_pod(struct message *x) {
    x->owner[0].pod = NULL;
}
static void owner_without_namespace(struct message *x) {
    x->owner[0].namespace_ = (char *)(uintptr_t) "";
}
static void too_many_owners(struct message *x) {
    static Gpuscale__V1__Owner *many[LIMIT_OWNERS_PER_GPU + 1];
    for (int i = 0; i <= LIMIT_OWNERS_PER_GPU; i++)
        many[i] = &x->owner[0];
    x->gpu[0].owners = many;
    x->gpu[0].n_owners = LIMIT_OWNERS_PER_GPU + 1;
}
static void too_many_gpus(struct message *x) {
    while (x->m.n_gpus <= LIMIT_GPU_ENTITIES_PER_NODE) {
        size_t i = x->m.n_gpus;
        snprintf(x->text[i], sizeof(x->text[i]), "G%zu", i);
        add_gpu(x, (uint32_t)(100 + i), x->text[i], 1, NULL);
    }
}
static void too_many_ages(struct message *x) {
    x->m.n_age_id = x->m.n_age_ms = LIMIT_GPU_ENTITIES_PER_NODE + 1;
}
static void ages_without_ids(struct message *x) {
    x->m.n_age_id--;
}
// A device that a pod of the message claims.
static Gpuscale__V1__DeviceHolder *add_claim(struct message *x) {
    static Gpuscale__V1__Devices devices;
    static Gpuscale__V1__DeviceHolder holder, *holders[LIMIT_CLAIMED_DEVICES + 1];
    gpuscale__v1__devices__init(&devices);
    gpuscale__v1__device_holder__init(&holder);
    holder.driver = holder.pool = holder.device = (char *)(uintptr_t) "name";
    holder.owner = &x->owner[0];
    for (int i = 0; i <= LIMIT_CLAIMED_DEVICES; i++)
        holders[i] = &holder;
    devices.holders = holders;
    devices.n_holders = 1;
    x->m.devices = &devices;
    return &holder;
}
static void claim_without_driver(struct message *x) {
    add_claim(x)->driver = NULL;
}
static void claim_without_pool(struct message *x) {
    add_claim(x)->pool = (char *)(uintptr_t) "";
}
static void claim_of_a_strange_device(struct message *x) {
    add_claim(x)->device = (char *)(uintptr_t) "gpu\n0";
}
static void claim_of_nobody(struct message *x) {
    add_claim(x)->owner = NULL;
}
static void too_many_claims(struct message *x) {
    add_claim(x);
    x->m.devices->n_holders = LIMIT_CLAIMED_DEVICES + 1;
}

static void messages_that_no_agent_sends_are_refused(void **state) {
    static void (*const spoil[])(struct message *) = {
        no_boot_id,
        empty_boot_id,
        long_boot_id,
        control_in_node,
        long_version,
        no_id,
        same_id,
        same_uuid,
        no_uuid,
        empty_uuid,
        long_model,
        owner_without_pod,
        owner_without_namespace,
        too_many_owners,
        too_many_gpus,
        no_info,
        too_many_ages,
        ages_without_ids,
        claim_without_driver,
        claim_without_pool,
        claim_of_a_strange_device,
        claim_of_nobody,
        too_many_claims,
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(spoil) / sizeof(spoil[0]); i++) {
        struct agent_node node;
        struct err e = {0};
        agent_node_init(&node, &w->gpus);
        struct message *x = message(true, 1);
        add_gpu(x, 1, "A", 40, "a");
        add_gpu(x, 2, "B", 40, "a");
        add_age(x, 1, 0);
        add_age(x, 2, 0);
        spoil[i](x);
        int r = agent_node_merge(&node, &x->m, NOW, &e);
        assert_true(r == ERR_PROTO || r == ERR_LIMIT);
        assert_int_not_equal(strlen(e.msg), 0);
        agent_node_done(&node);
    }
}

static void claimed_devices_do_no_harm(void **state) {
    struct world *w = *state;
    struct agent_node node;
    struct err e = {0};
    agent_node_init(&node, &w->gpus);
    struct message *x = message(true, 1);
    add_gpu(x, 1, "A", 40, "a");
    add_claim(x);
    assert_int_equal(agent_node_merge(&node, &x->m, NOW, &e), 0);
    agent_node_done(&node);
}

static void many_nodes_gpus_are_one_table_and_a_uuid_counts_once(void **state) {
    struct world *w = *state;
    struct agent_node old, fresh;
    begin(&old, w);
    // The agent's next run is heard on another port before the first stream is known to be dead.
    agent_node_init(&fresh, &w->gpus);
    struct message *x = message(true, 1);
    x->m.boot_id = (char *)(uintptr_t) "boot-b";
    x->m.node = (char *)(uintptr_t) "node-1b";
    add_gpu(x, 5, "A", 90, "a");
    add_age(x, 5, 0);
    merge_ok(&fresh, x, NOW + NS_PER_S);
    struct told *a = told_of(w, "A");
    assert_float_equal(utilization(a), 90, 0);
    assert_string_equal(a->node, "node-1b");
    assert_int_equal(w->gpus.n, 2);
    assert_int_equal(w->gpus.duplicates, 1);
    // What the old stream still says about it is dropped; its other GPU goes on.
    unsigned calls = a->calls;
    x = message(false, 2);
    add_gpu(x, 1, NULL, 10, "a");
    add_gpu(x, 2, NULL, 11, NULL);
    add_age(x, 1, 0);
    merge_ok(&old, x, NOW + NS_PER_S);
    assert_int_equal(a->calls, calls);
    assert_float_equal(utilization(told_of(w, "B")), 11, 0);
    // The old one ends: the GPU that the new one has stays, untold.
    agent_node_done(&old);
    assert_false(a->removed);
    assert_true(told_of(w, "B")->removed);
    assert_int_equal(w->orphans, 0);
    agent_node_done(&fresh);
    assert_true(a->removed);
}

static void a_gpu_whose_owner_goes_is_an_orphan_until_somebody_tells_it_in_full(void **state) {
    struct world *w = *state;
    struct agent_node old, fresh;
    begin(&old, w);
    agent_node_init(&fresh, &w->gpus);
    struct message *x = message(true, 1);
    x->m.boot_id = (char *)(uintptr_t) "boot-b";
    add_gpu(x, 5, "A", 90, "a");
    add_age(x, 5, 0);
    merge_ok(&fresh, x, NOW);
    agent_node_done(&fresh);
    struct told *a = told_of(w, "A");
    assert_int_equal(w->orphans, 1);
    assert_false(a->removed);
    agent_node_disconnect(&old);
    x = message(true, 1);
    add_gpu(x, 1, "A", 20, "b");
    add_age(x, 1, 0);
    merge_ok(&old, x, NOW + NS_PER_S);
    assert_float_equal(utilization(a), 20, 0);
    assert_string_equal(a->pod, "b");
    assert_true(told_of(w, "B")->removed);
    agent_node_done(&old);
}

static void a_lost_stream_keeps_the_readings_and_forgetting_removes_them(void **state) {
    struct world *w = *state;
    struct agent_node node;
    begin(&node, w);
    agent_node_disconnect(&node);
    struct told *a = told_of(w, "A");
    assert_false(a->removed);
    assert_true(a->reading_at_ns == NOW - 100 * NS_PER_MS);
    agent_node_forget(&node);
    assert_true(a->removed);
    agent_node_done(&node);
}

static void every_failed_allocation_leaves_a_table_that_a_full_state_mends(void **state) {
    struct world *w = *state;
    for (long fail_at = 1;; fail_at++) {
        struct agent_node node;
        struct err e = {0};
        agent_node_init(&node, &w->gpus);
        struct message *x = message(true, 1);
        add_gpu(x, 1, "A", 40, "a");
        add_share(x, "uid-1", 20, 100);
        add_gpu(x, 2, "B", 60, "b");
        add_age(x, 1, 0);
        mem_fail_from(fail_at);
        int r = agent_node_merge(&node, &x->m, NOW, &e);
        mem_fail_never();
        if (r < 0) {
            assert_int_equal(r, ERR_NOMEM);
            agent_node_disconnect(&node);
            merge_ok(&node, x, NOW);
        }
        assert_float_equal(utilization(told_of(w, "B")), 60, 0);
        assert_int_equal(w->gpus.n, 2);
        agent_node_done(&node);
        if (r == 0)
            break;
        assert_true(fail_at < 100);
    }
}

// Random messages of three agents over six GPUs: the table never holds one twice, and every GPU
// that was told and not removed is in it.
static void random_messages_keep_the_table_sound(void **state) {
    static const char *const uuids[] = {"A", "B", "C", "D", "E", "F"};
    static const char *const boots[] = {"boot-1", "boot-2", "boot-3"};
    struct world *w = *state;
    struct random r;
    random_init(&r, unit_seed());
    struct agent_node nodes[3];
    for (int i = 0; i < 3; i++)
        agent_node_init(&nodes[i], &w->gpus);
    for (int step = 0; step < 20000; step++) {
        uint64_t who = random_below(&r, 3);
        struct agent_node *node = &nodes[who];
        if (random_below(&r, 10) == 0)
            agent_node_disconnect(node);
        struct message *x = message(node->seq == 0, node->seq + 1);
        x->m.boot_id = (char *)(uintptr_t)boots[who];
        for (int i = 0; i < 6; i++) {
            uint32_t id = (uint32_t)random_below(&r, 6);
            bool used = false;
            for (size_t k = 0; k < x->m.n_gpus; k++)
                used |= x->gpu[k].id == id || !strcmp(x->info[k].uuid, uuids[i]);
            if (!used && random_below(&r, 2))
                add_gpu(x, id, uuids[i], (double)random_below(&r, 150),
                        random_below(&r, 2) ? "a" : NULL);
            if (random_below(&r, 3) == 0)
                add_age(x, id, (uint32_t)random_below(&r, 5000));
            if (random_below(&r, 20) == 0)
                x->removed[x->m.n_removed++] = id;
        }
        struct err e = {0};
        int rc = agent_node_merge(node, &x->m, NOW + step, &e);
        assert_int_equal(rc, 0);
        size_t alive = 0;
        for (size_t i = 0; i < w->n; i++)
            alive += !w->told[i].removed;
        assert_int_equal(alive, w->gpus.n);
        if (random_below(&r, 50) == 0)
            agent_node_forget(node), agent_node_disconnect(node);
    }
    for (int i = 0; i < 3; i++)
        agent_node_done(&nodes[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(a_full_state_tells_every_gpu_with_its_age),
        T(a_change_tells_what_changed_and_an_age_only_the_age),
        T(a_heartbeat_without_news_tells_nothing_new_about_values),
        T(only_old_values_stay_old),
        T(a_reading_without_an_age_was_never_read),
        T(values_that_cannot_be_are_unknown_never_zero),
        T(a_count_of_values_that_differs_from_the_bits_makes_all_unknown),
        T(values_of_a_newer_agent_are_skipped),
        T(containers_shares_are_summed_by_pod),
        T(a_full_state_forgets_what_it_does_not_have),
        T(removed_ids_are_removed_and_may_be_given_anew),
        T(a_lost_gpu_keeps_its_last_reading_and_time),
        T(sequence_holes_and_wrong_beginnings_are_refused),
        T(messages_that_no_agent_sends_are_refused),
        T(claimed_devices_do_no_harm),
        T(many_nodes_gpus_are_one_table_and_a_uuid_counts_once),
        T(a_gpu_whose_owner_goes_is_an_orphan_until_somebody_tells_it_in_full),
        T(a_lost_stream_keeps_the_readings_and_forgetting_removes_them),
        T(every_failed_allocation_leaves_a_table_that_a_full_state_mends),
        T(random_messages_keep_the_table_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
