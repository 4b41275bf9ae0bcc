// SPDX-License-Identifier: Apache-2.0
/* Agents' streams over loopback, against gRPC servers that play agents: good, silent, lying, gone.
 */

#include "source/agents_world.h"

static void a_reading_comes_with_the_time_it_was_made(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    int64_t before = clock_mono_ns();
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_string_equal(w->gpus[0].uuid, "A");
    assert_float_equal(w->gpus[0].value, 40, 0);
    assert_true(w->gpus[0].at_ns >= before && w->gpus[0].at_ns <= clock_mono_ns());
    assert_int_equal(w->nodes[0].state, AGENTS_CONNECTED);
    assert_int_equal(agents_stats(w->agents).gpus, 1);
    fake_close(w, f);
}

static void an_agent_that_disappears_leaves_its_last_reading_and_is_found_again(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    int64_t at = w->gpus[0].at_ns;
    char listen[64];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", port_of(f));
    fake_close(w, f);
    TURN_UNTIL(&w->loop, none_connected, w);
    assert_int_equal(w->nodes[0].state, AGENTS_LOST_STREAM);
    assert_false(w->gpus[0].removed);
    assert_true(w->gpus[0].at_ns == at);
    assert_int_equal(agents_stats(w->agents).losses, 1);
    // Its next run has another GPU: the first one's is gone only now.
    f = fake_open(w, listen, "boot-2", "B", 50, NULL);
    TURN_UNTIL(&w->loop, one_connected, w);
    TURN_UNTIL(&w->loop, first_removed, w);
    assert_int_equal(agents_stats(w->agents).restarts, 1);
    assert_int_equal(agents_stats(w->agents).gpus, 1);
    fake_close(w, f);
}

static void an_agent_that_stays_away_is_forgotten_but_still_looked_for(void **state) {
    struct world *w = *state;
    struct agents_options o = {.forget_ns = 200 * NS_PER_MS};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    char listen[64];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", port_of(f));
    fake_close(w, f);
    TURN_UNTIL(&w->loop, first_removed, w);
    assert_int_equal(agents_stats(w->agents).gpus, 0);
    assert_int_equal(agents_stats(w->agents).addresses, 1);
    f = fake_open(w, listen, "boot-1", "A", 41, NULL);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_float_equal(w->gpus[0].value, 41, 0);
    assert_false(w->gpus[0].removed);
    fake_close(w, f);
}

static bool tried_often(void *ctx) {
    struct agents_node *n = ctx;
    return n->failed >= 5;
}
static void copy_node(void *ctx, const struct agents_node *n) {
    *(struct agents_node *)ctx = *n;
}
struct trying {
    struct world *w;
    struct agents_node node;
};
static bool has_tried_often(void *ctx) {
    struct trying *t = ctx;
    agents_each_node(t->w->agents, copy_node, &t->node);
    return tried_often(&t->node);
}
static void an_agent_that_is_not_there_is_told_once_and_tried_on(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    char target[64];
    const char *targets[] = {target};
    snprintf(target, sizeof(target), "127.0.0.1:%u", port_of(f));
    fake_close(w, f);
    set_targets(w, targets, 1);
    struct trying t = {.w = w};
    TURN_UNTIL(&w->loop, has_tried_often, &t);
    assert_int_equal(w->n_nodes, 1);
    assert_int_equal(w->nodes[0].told, 1);
    assert_int_equal(w->nodes[0].state, AGENTS_LOST_STREAM);
    assert_non_null(strstr(w->nodes[0].why, "refused"));
}

static void an_agent_that_stalls_is_asked_again(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    TURN_UNTIL(&w->loop, two_watches, f); // no heartbeat ever came
    assert_true(agents_stats(w->agents).heartbeats_missed >= 1);
    assert_non_null(strstr(w->nodes[0].why, "nothing was heard for"));
    fake_close(w, f);
}

static bool beaten(void *ctx) {
    return ((struct fake *)ctx)->seq > 40;
}
static void an_agent_that_beats_is_left_in_peace(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    struct err e = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    struct beat b = {.f = f};
    assert_int_equal(net_timer_start(&b.timer, &w->loop, 0, 20 * NS_PER_MS, beat, &b, &e), 0);
    set_target(w, f);
    TURN_UNTIL(&w->loop, beaten, f);
    assert_int_equal(f->watches, 1);
    assert_int_equal(agents_stats(w->agents).losses, 0);
    net_timer_stop(&b.timer);
    fake_close(w, f);
}

static void a_hole_in_the_sequence_asks_for_the_full_state(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    f->value = 70;
    struct message *x = message(false, 3);
    x->m.boot_id = (char *)(uintptr_t) "boot-1";
    say(f, x);
    TURN_UNTIL(&w->loop, two_watches, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_int_equal(agents_stats(w->agents).sequence_holes, 1);
    assert_float_equal(w->gpus[0].value, 70, 0);
    fake_close(w, f);
}

static void a_hostile_message_ends_the_stream_and_changes_nothing(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    int calls = w->gpus[0].calls;
    f->silent = true;
    struct message *x = message(false, 2);
    x->m.boot_id = (char *)(uintptr_t) "boot-1";
    add_gpu(x, 1, NULL, 99, "pod");
    add_gpu(x, 1, NULL, 98, "pod");
    say(f, x);
    TURN_UNTIL(&w->loop, none_connected, w);
    assert_int_equal(agents_stats(w->agents).bad_messages, 1);
    assert_int_equal(w->gpus[0].calls, calls);
    assert_non_null(strstr(w->nodes[0].why, "a GPU id comes twice"));
    fake_close(w, f);
}

static void an_agent_that_floods_is_cut_off(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    f->silent = true;
    for (int i = 0; i < LIMIT_AGENT_MESSAGES_BURST + 100; i++) {
        struct message *x = message(false, ++f->seq);
        x->m.boot_id = (char *)(uintptr_t) "boot-1";
        say(f, x);
    }
    TURN_UNTIL(&w->loop, none_connected, w);
    assert_non_null(strstr(w->nodes[0].why, "messages a second"));
    assert_int_equal(agents_stats(w->agents).bad_messages, 1);
    fake_close(w, f);
}

static bool many_watches(void *ctx) {
    return ((struct fake *)ctx)->watches >= 4;
}
static void a_first_message_that_is_not_full_is_refused_with_back_off(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, many_watches, f);
    assert_true(agents_stats(w->agents).bad_messages >= 3);
    assert_int_equal(agents_stats(w->agents).connects, 0);
    assert_int_equal(w->n_gpus, 0);
    assert_int_equal(w->nodes[0].told, 1);
    fake_close(w, f);
}

static bool resolved_two(void *ctx) {
    return agents_stats(((struct world *)ctx)->agents).addresses == 2;
}
static bool node_gone(void *ctx) {
    struct world *w = ctx;
    for (int i = 0; i < w->n_nodes; i++) {
        if (w->nodes[i].state == AGENTS_GONE)
            return true;
    }
    return false;
}
static void a_name_gives_a_stream_an_address_and_follows_its_changes(void **state) {
    struct world *w = *state;
    struct agents_options o = {.forget_ns = 300 * NS_PER_MS};
    struct err e = {0};
    world_open(w, &o);
    struct fake *a = NULL, *b = NULL;
    char listen[64], target[64];
    const char *targets[] = {target};
    for (int i = 0; !b && i < 50; i++) { // one port on two addresses: somebody may have the other
        if (a)
            fake_close(w, a);
        a = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
        snprintf(listen, sizeof(listen), "127.0.0.2:%u", port_of(a));
        b = fake_try(w, listen, "boot-2", "B", 50, NULL);
    }
    assert_non_null(b);
    snprintf(target, sizeof(target), "agents.test:%u", port_of(a));
    struct beat ba = {.f = a}, bb = {.f = b};
    assert_int_equal(net_timer_start(&ba.timer, &w->loop, 0, 20 * NS_PER_MS, beat, &ba, &e), 0);
    assert_int_equal(net_timer_start(&bb.timer, &w->loop, 0, 20 * NS_PER_MS, beat, &bb, &e), 0);
    answer_add(w, "127.0.0.2");
    set_targets(w, targets, 1);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_string_equal(w->gpus[0].uuid, "B");
    answer_add(w, "127.0.0.1"); // a node more; and one answer names an address twice
    answer_add(w, "127.0.0.1");
    TURN_UNTIL(&w->loop, two_connected, w);
    assert_int_equal(agents_stats(w->agents).addresses, 2);
    // DNS fails: what was found stays, and it is told once.
    w->answer_fails = true;
    int lookups = w->lookups;
    while (w->lookups < lookups + 2)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(agents_stats(w->agents).connected, 2);
    assert_int_equal(w->resolve_failed, 1);
    // A node less: its stream ends at once, its readings stay until they are forgotten.
    w->answer_fails = false;
    w->n_answer = 0;
    answer_add(w, "127.0.0.1");
    TURN_UNTIL(&w->loop, node_gone, w);
    assert_int_equal(w->n_resolve, 2);
    TURN_UNTIL(&w->loop, one_connected, w);
    TURN_UNTIL(&w->loop, first_removed, w);
    assert_int_equal(agents_stats(w->agents).addresses, 1);
    assert_int_equal(agents_stats(w->agents).gpus, 1);
    net_timer_stop(&ba.timer);
    net_timer_stop(&bb.timer);
    fake_close(w, a);
    fake_close(w, b);
}

static bool stood_back(void *ctx) {
    struct world *w = ctx;
    for (int i = 0; i < w->n_nodes; i++) {
        if (w->nodes[i].state == AGENTS_DUPLICATE)
            return agents_stats(w->agents).connected == 1;
    }
    return false;
}
static bool three_watches(void *ctx) {
    return ((struct fake *)ctx)->watches >= 3;
}
static void one_agent_behind_two_addresses_is_heard_once(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "0.0.0.0:0", "boot-1", "A", 40, NULL);
    char target[64];
    const char *targets[] = {target};
    snprintf(target, sizeof(target), "agents.test:%u", port_of(f));
    answer_add(w, "127.0.0.1");
    answer_add(w, "127.0.0.2");
    // The heartbeat goes to the stream that was opened first: it is the one that stays.
    set_targets(w, targets, 1);
    TURN_UNTIL(&w->loop, stood_back, w);
    assert_true(resolved_two(w));
    assert_int_equal(agents_stats(w->agents).gpus, 1);
    assert_int_equal(w->gpus[0].calls, 1);
    // The heard stream falls silent: both addresses are tried again, one is heard again.
    TURN_UNTIL(&w->loop, three_watches, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_int_equal(agents_stats(w->agents).gpus, 1);
    fake_close(w, f);
}

static void the_next_run_of_an_agent_on_another_port_takes_its_gpus_over(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    struct err e = {0};
    world_open(w, &o);
    struct fake *a = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    struct fake *b = fake_open(w, "127.0.0.1:0", "boot-2", "A", 90, NULL);
    struct beat ba = {.f = a}, bb = {.f = b};
    assert_int_equal(net_timer_start(&ba.timer, &w->loop, 0, 20 * NS_PER_MS, beat, &ba, &e), 0);
    assert_int_equal(net_timer_start(&bb.timer, &w->loop, 0, 20 * NS_PER_MS, beat, &bb, &e), 0);
    char ta[64], tb[64];
    const char *targets[] = {ta, tb};
    snprintf(ta, sizeof(ta), "127.0.0.1:%u", port_of(a));
    snprintf(tb, sizeof(tb), "127.0.0.1:%u", port_of(b));
    set_targets(w, targets, 1);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_float_equal(w->gpus[0].value, 40, 0);
    set_targets(w, targets, 2);
    TURN_UNTIL(&w->loop, two_connected, w);
    assert_float_equal(w->gpus[0].value, 90, 0);
    assert_int_equal(agents_stats(w->agents).gpus, 1);
    assert_true(agents_stats(w->agents).duplicates >= 1);
    // The new one is taken away: the old one, which still lives, is asked for its full state.
    set_targets(w, targets, 1);
    int watches = a->watches;
    assert_false(w->gpus[0].removed);
    while (a->watches == watches)
        uv_run(&w->loop, UV_RUN_ONCE);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_float_equal(w->gpus[0].value, 40, 0);
    net_timer_stop(&ba.timer);
    net_timer_stop(&bb.timer);
    fake_close(w, a);
    fake_close(w, b);
}

static void a_target_that_is_taken_away_takes_its_gpus_with_it(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    set_targets(w, NULL, 0);
    assert_true(w->gpus[0].removed);
    assert_int_equal(w->nodes[0].state, AGENTS_GONE);
    assert_int_equal(agents_stats(w->agents).addresses, 0);
    assert_int_equal(agents_stats(w->agents).gpus, 0);
    fake_close(w, f);
}

static void targets_that_cannot_be_are_refused_and_the_old_list_stays(void **state) {
    static const char *const bad[] = {"",       "host", ":9443",  "127.0.0.1:0",
                                      "host:x", "[::1", "h:70000"};
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    set_target(w, f);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *targets[] = {"127.0.0.1:1", bad[i]};
        struct err e = {0};
        assert_true(agents_set_targets(w->agents, targets, 2, &e) < 0);
        print_message("# %s\n", e.msg);
        assert_int_not_equal(strlen(e.msg), 0);
        assert_int_equal(agents_stats(w->agents).targets, 1);
        assert_int_equal(agents_stats(w->agents).addresses, 1);
    }
    TURN_UNTIL(&w->loop, one_connected, w);
    fake_close(w, f);
}

static void freeing_while_everything_runs_leaves_nothing(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, NULL);
    char target[64];
    const char *targets[] = {target, "agents.test:1", "127.0.0.1:1"};
    snprintf(target, sizeof(target), "127.0.0.1:%u", port_of(f));
    set_targets(w, targets, 3);
    TURN_UNTIL(&w->loop, one_watch, f);
    int nodes = w->n_nodes;
    w->agents = agents_free(w->agents);
    assert_int_equal(w->n_nodes, nodes); // told nothing more
    fake_close(w, f);
}

static void every_failed_allocation_is_survived(void **state) {
    struct world *w = *state;
    struct agents_options o = {0};
    world_open(w, &o);
    const char *targets[] = {"127.0.0.1:1", "agents.test:1"};
    for (long i = 1;; i++) {
        struct err e = {0};
        mem_fail_from(i);
        int r = agents_set_targets(w->agents, targets, 2, &e);
        mem_fail_never();
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_int_equal(agents_stats(w->agents).targets, 0);
        assert_true(i < 100);
    }
}

// Mutual TLS between the two sides, from files made here.
struct tls_files {
    char dir[256], ca[300], cert[300], key[300], other[300];
};
static void tls_files_make(struct tls_files *f) {
    pki_dir(f->dir, sizeof(f->dir));
    snprintf(f->ca, sizeof(f->ca), "%s/ca.pem", f->dir);
    snprintf(f->other, sizeof(f->other), "%s/other.pem", f->dir);
    snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", f->dir);
    snprintf(f->key, sizeof(f->key), "%s/key.pem", f->dir);
    struct pki_cert ca = pki_make("authority", NULL, NULL, 30);
    struct pki_cert other = pki_make("stranger", NULL, NULL, 30);
    struct pki_cert leaf = pki_make("agent", &ca, "DNS:agent.test", 30);
    pki_write(f->ca, ca.x, NULL);
    pki_write(f->other, other.x, NULL);
    pki_write(f->cert, leaf.x, NULL);
    pki_write(f->key, NULL, leaf.key);
    pki_free(&ca);
    pki_free(&other);
    pki_free(&leaf);
}
static void tls_files_remove(const struct tls_files *f) {
    pki_dir_remove(f->dir,
                   (const char *const[]){"ca.pem", "other.pem", "cert.pem", "key.pem", NULL});
}
static bool told_lost(void *ctx) {
    struct world *w = ctx;
    return w->n_nodes > 0 && w->nodes[0].state == AGENTS_LOST_STREAM;
}

static void streams_run_over_mutual_tls(void **state) {
    struct world *w = *state;
    struct tls_files files;
    struct err e = {0};
    tls_files_make(&files);
    struct net_tls_files mine = {files.cert, files.key, files.ca};
    struct net_tls *server_tls;
    assert_int_equal(net_tls_new(&server_tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &mine, &e), 0);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, server_tls);
    struct agents_options o = {.tls = &mine, .server_name = "agent.test"};
    world_open(w, &o);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    assert_float_equal(w->gpus[0].value, 40, 0);
    fake_close(w, f);
    net_tls_free(server_tls);
    tls_files_remove(&files);
}

static void an_agent_of_another_authority_or_name_is_not_heard(void **state) {
    struct world *w = *state;
    struct tls_files files;
    struct err e = {0};
    tls_files_make(&files);
    struct net_tls_files server = {files.cert, files.key, NULL};
    struct net_tls *server_tls;
    assert_int_equal(net_tls_new(&server_tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &server, &e), 0);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, server_tls);
    for (int i = 0; i < 2; i++) {
        struct net_tls_files mine = {NULL, NULL, i == 0 ? files.other : files.ca};
        struct agents_options o = {.tls = &mine,
                                   .server_name = i == 0 ? "agent.test" : "else.test"};
        w->n_nodes = 0;
        memset(w->nodes, 0, sizeof(w->nodes));
        world_open(w, &o);
        set_target(w, f);
        TURN_UNTIL(&w->loop, told_lost, w);
        assert_int_equal(f->watches, 0);
        w->agents = agents_free(w->agents);
    }
    fake_close(w, f);
    net_tls_free(server_tls);
    tls_files_remove(&files);
}

static bool tls_reloaded(void *ctx) {
    struct world *w = ctx;
    return w->n_tls > w->tls_failed;
}
static bool tls_failed(void *ctx) {
    return ((struct world *)ctx)->tls_failed > 0;
}
static void replaced_certificates_are_taken_up_and_streams_made_anew(void **state) {
    struct world *w = *state;
    struct tls_files files;
    struct err e = {0};
    tls_files_make(&files);
    struct net_tls_files server = {files.cert, files.key, NULL}, mine = {NULL, NULL, files.ca};
    struct net_tls *server_tls;
    assert_int_equal(net_tls_new(&server_tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &server, &e), 0);
    struct fake *f = fake_open(w, "127.0.0.1:0", "boot-1", "A", 40, server_tls);
    struct beat b = {.f = f};
    assert_int_equal(net_timer_start(&b.timer, &w->loop, 0, 20 * NS_PER_MS, beat, &b, &e), 0);
    struct agents_options o = {.tls = &mine,
                               .server_name = "agent.test",
                               .tls_check_ns = 50 * NS_PER_MS,
                               .tls_renew_ns = 1};
    world_open(w, &o);
    set_target(w, f);
    TURN_UNTIL(&w->loop, one_connected, w);
    // Nonsense first: told, and the stream goes on. Then a CA that did not sign the agent.
    FILE *half = fopen(files.ca, "w");
    assert_true(fputs("-----BEGIN CERTIFICATE-----\n", half) > 0);
    assert_int_equal(fclose(half), 0);
    TURN_UNTIL(&w->loop, tls_failed, w);
    assert_int_equal(agents_stats(w->agents).connected, 1);
    assert_int_equal(rename(files.other, files.ca), 0);
    TURN_UNTIL(&w->loop, tls_reloaded, w);
    TURN_UNTIL(&w->loop, told_lost, w);
    assert_non_null(strstr(w->nodes[0].why, "certificate"));
    net_timer_stop(&b.timer);
    fake_close(w, f);
    net_tls_free(server_tls);
    tls_files_remove(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(a_reading_comes_with_the_time_it_was_made),
        T(an_agent_that_disappears_leaves_its_last_reading_and_is_found_again),
        T(an_agent_that_stays_away_is_forgotten_but_still_looked_for),
        T(an_agent_that_is_not_there_is_told_once_and_tried_on),
        T(an_agent_that_stalls_is_asked_again),
        T(an_agent_that_beats_is_left_in_peace),
        T(a_hole_in_the_sequence_asks_for_the_full_state),
        T(a_hostile_message_ends_the_stream_and_changes_nothing),
        T(an_agent_that_floods_is_cut_off),
        T(a_first_message_that_is_not_full_is_refused_with_back_off),
        T(a_name_gives_a_stream_an_address_and_follows_its_changes),
        T(one_agent_behind_two_addresses_is_heard_once),
        T(the_next_run_of_an_agent_on_another_port_takes_its_gpus_over),
        T(a_target_that_is_taken_away_takes_its_gpus_with_it),
        T(targets_that_cannot_be_are_refused_and_the_old_list_stays),
        T(freeing_while_everything_runs_leaves_nothing),
        T(every_failed_allocation_is_survived),
        T(streams_run_over_mutual_tls),
        T(an_agent_of_another_authority_or_name_is_not_heard),
        T(replaced_certificates_are_taken_up_and_streams_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
