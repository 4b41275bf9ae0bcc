// SPDX-License-Identifier: Apache-2.0
/*
 * The driver on a real loop with real sockets, its clock fifty times as fast: that readings
 * reach the policies, wishes come out, and what fails is told. What the policies decide is tested
 * in test_driver_brain.c.
 */
#include "fake_scaler.h"

#include "net/http_server.h"
#include "playground/driver.h"

#define SPEED 50.0 // a sync takes 0.3 s

static const char *const metadata[][2] = {{"engine", "vllm"}, {NULL, NULL}};

struct page_server {
    struct http_server *server;
    const char *page;
    char addr[64];
    int asked, closed;
};

struct world {
    uv_loop_t loop;
    struct driver *driver;
    struct driver_pod pods[DRIVER_PODS_MAX];
    size_t n_pods;
    int replicas;
    int decided;
    char who[8], reason[DRIVER_REASON_LEN];
    int troubles, recoveries;
    char trouble[ERR_MSG_MAX];
    struct page_server agent, engine;
    struct fake_scaler fake;
};

static double cores; // that every process uses
static int64_t born_ns;

static int read_cpu(int pid, int64_t *ret_cpu_ns, struct err *e) {
    if (pid == 666)
        return err_set(e, ERR_IO, "gone");
    *ret_cpu_ns = (int64_t)((double)(clock_mono_ns() - born_ns) * cores);
    return 0;
}

static size_t on_pods(void *ctx, struct driver_pod *pods, size_t cap) {
    struct world *w = ctx;
    size_t n = w->n_pods < cap ? w->n_pods : cap;
    memcpy(pods, w->pods, n * sizeof(*pods));
    return n;
}

static int on_replicas(void *ctx) {
    return ((struct world *)ctx)->replicas;
}

static void on_decided(void *ctx, int replicas, const char *who, const char *reason) {
    struct world *w = ctx;
    assert_int_not_equal(replicas, w->replicas);
    w->replicas = replicas;
    w->decided++;
    snprintf(w->who, sizeof(w->who), "%s", who);
    snprintf(w->reason, sizeof(w->reason), "%s", reason);
}

static void on_troubled(void *ctx, const char *what) {
    struct world *w = ctx;
    if (!what) {
        w->recoveries++;
        return;
    }
    w->troubles++;
    snprintf(w->trouble, sizeof(w->trouble), "%s", what);
}

static void serve(struct http_request *r, void *ctx) {
    struct page_server *s = ctx;
    s->asked++;
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "text/plain",
                                                 .body = str_from(s->page)});
}

static void page_open(struct page_server *s, uv_loop_t *loop, const char *page) {
    static const struct http_route routes[] = {{"GET", "/metrics", serve}, {NULL, NULL, NULL}};
    struct http_server_options o = {.listen = "127.0.0.1:0", .routes = routes, .ctx = s};
    s->page = page;
    assert_int_equal(http_server_open(&s->server, loop, &o, NULL), 0);
    net_addr_format(http_server_addr(s->server), s->addr, sizeof(s->addr));
}

static void on_page_closed(void *ctx) {
    ((struct page_server *)ctx)->closed++;
}

static void page_close(struct page_server *s, uv_loop_t *loop) {
    int before = s->closed;
    if (!s->server)
        return;
    http_server_close(s->server, 50, on_page_closed, s);
    s->server = NULL;
    RUN_UNTIL(loop, s->closed == before + 1);
}

static void add_pod(struct world *w, int pid, const char *addr, enum driver_pod_state state) {
    struct driver_pod *p = &w->pods[w->n_pods];
    *p = (struct driver_pod){.state = state,
                             .pid = pid,
                             .gpus = UINT64_C(1) << w->n_pods,
                             .started_ns = clock_mono_ns() - 3600 * NS_PER_S,
                             .ready_ns = clock_mono_ns() - 3500 * NS_PER_S};
    snprintf(p->name, sizeof(p->name), "pod-%zu", w->n_pods);
    snprintf(p->addr, sizeof(p->addr), "%s", addr);
    w->n_pods++;
}

static void world_init(struct world *w) {
    *w = (struct world){.replicas = 1, .fake = {.target = 1, .value = 3, .active = true}};
    uv_loop_init(&w->loop);
    cores = 0;
    born_ns = clock_mono_ns();
}

static struct driver_options options(struct world *w, enum driver_policy policy) {
    return (struct driver_options){.policy = policy,
                                   .speed = SPEED,
                                   .min_replicas = 1,
                                   .max_replicas = 8,
                                   .cpu_request_cores = 1,
                                   .agent_addr = w->agent.addr,
                                   .scaler_addr = w->fake.addr,
                                   .namespace_ = "default",
                                   .name = "llm",
                                   .metadata = metadata,
                                   .pods = on_pods,
                                   .replicas = on_replicas,
                                   .decided = on_decided,
                                   .troubled = on_troubled,
                                   .read_cpu = read_cpu,
                                   .ctx = w};
}

static void begin(struct world *w, enum driver_policy policy) {
    struct driver_options o = options(w, policy);
    assert_int_equal(driver_new(&w->driver, &w->loop, &o, NULL), 0);
}

static void world_done(struct world *w) {
    w->driver = driver_free(w->driver);
    page_close(&w->agent, &w->loop);
    page_close(&w->engine, &w->loop);
    fake_close(&w->fake, &w->loop);
    net_loop_drain_close(&w->loop);
}

// Cores are cores however fast the clock runs.
static void cpu_time_becomes_utilization(void **state) {
    struct world w;
    world_init(&w);
    cores = 1.2;
    add_pod(&w, 1, "", DRIVER_POD_READY);
    add_pod(&w, 666, "", DRIVER_POD_TERMINATING);
    begin(&w, DRIVER_CPU);
    assert_string_equal(driver_view(w.driver)->signals[0].name, "cpu");
    assert_false(driver_view(w.driver)->signals[0].known);
    RUN_UNTIL(&w.loop, w.decided);
    assert_int_equal(w.replicas, 2);
    assert_string_equal(w.who, "HPA");
    const struct driver_signal *s = &driver_view(w.driver)->signals[0];
    assert_true(s->known);
    assert_in_range((int)s->value, 100, 139);
    assert_in_range(clock_mono_ns() - s->at_ns, 0, 10 * NS_PER_S);
    assert_int_equal(w.troubles, 0);
    world_done(&w);
}

static void pages_become_the_classic_triggers(void **state) {
    struct world w;
    world_init(&w);
    page_open(&w.agent, &w.loop, "gpu_utilization{gpu=\"0\"} 100\ngpu_utilization{gpu=\"5\"} 0\n");
    page_open(&w.engine, &w.loop, "vllm:num_requests_waiting{model_name=\"m\"} 25\n");
    add_pod(&w, 1, w.engine.addr, DRIVER_POD_READY);
    add_pod(&w, 2, "", DRIVER_POD_STARTING);
    begin(&w, DRIVER_CLASSIC);
    RUN_UNTIL(&w.loop, w.replicas == 3);
    assert_string_equal(w.who, "HPA");
    assert_non_null(strstr(w.reason, "s1-prometheus"));
    const struct driver_view *v = driver_view(w.driver);
    assert_float_equal(v->signals[1].value, 25, 0);
    assert_in_range(clock_mono_ns() - v->signals[1].at_ns, 0, 10 * NS_PER_S);
    assert_int_equal(w.troubles, 0);
    world_done(&w);
}

static void an_agent_that_is_away_is_told_once(void **state) {
    struct world w;
    world_init(&w);
    page_open(&w.agent, &w.loop, "gpu_utilization{gpu=\"0\"} 50\n");
    page_open(&w.engine, &w.loop, "vllm:num_requests_waiting 0\n");
    add_pod(&w, 1, w.engine.addr, DRIVER_POD_READY);
    begin(&w, DRIVER_CLASSIC);
    RUN_UNTIL(&w.loop, driver_view(w.driver)->signals[0].value == 50);
    page_close(&w.agent, &w.loop);
    RUN_UNTIL(&w.loop, w.troubles == 1);
    assert_non_null(strstr(w.trouble, "agent"));
    RUN_UNTIL(&w.loop, driver_view(w.driver)->signals[0].value == 0); // the recipe's trap
    assert_true(driver_view(w.driver)->signals[0].known);
    page_open(&w.agent, &w.loop, "gpu_utilization{gpu=\"0\"} 60\n");
    driver_set_agent(w.driver, w.agent.addr);
    RUN_UNTIL(&w.loop, w.recoveries == 1);
    RUN_UNTIL(&w.loop, driver_view(w.driver)->signals[0].value == 60);
    assert_int_equal(w.troubles, 1);
    world_done(&w);
}

static void a_starting_engine_that_does_not_answer_is_no_trouble(void **state) {
    struct world w;
    world_init(&w);
    page_open(&w.agent, &w.loop, "gpu_utilization{gpu=\"0\"} 50\n");
    add_pod(&w, 1, "127.0.0.1:1", DRIVER_POD_STARTING);
    begin(&w, DRIVER_CLASSIC);
    RUN_UNTIL(&w.loop, w.agent.asked >= 3);
    assert_int_equal(w.troubles, 0);
    w.pods[0].state = DRIVER_POD_READY;
    RUN_UNTIL(&w.loop, w.troubles == 1);
    assert_non_null(strstr(w.trouble, "pod-0"));
    world_done(&w);
}

static void the_scalers_number_becomes_replicas(void **state) {
    struct world w;
    world_init(&w);
    fake_open(&w.fake, &w.loop, "127.0.0.1:0");
    add_pod(&w, 1, "", DRIVER_POD_READY);
    begin(&w, DRIVER_GPUSCALE);
    RUN_UNTIL(&w.loop, w.replicas == 3);
    assert_string_equal(w.who, "HPA");
    assert_string_equal(driver_view(w.driver)->signals[0].name, "s0-desired-replicas");
    assert_float_equal(driver_view(w.driver)->signals[0].value, 3, 0);
    w.fake.value = 2;
    RUN_UNTIL(&w.loop, w.replicas == 2);
    assert_int_equal(w.troubles, 0);
    world_done(&w);
}

static void a_push_wakes_a_service_at_zero(void **state) {
    struct world w;
    world_init(&w);
    w.replicas = 0;
    w.fake.active = false;
    fake_open(&w.fake, &w.loop, "127.0.0.1:0");
    struct driver_options o = options(&w, DRIVER_GPUSCALE);
    o.min_replicas = 0;
    assert_int_equal(driver_new(&w.driver, &w.loop, &o, NULL), 0);
    RUN_UNTIL(&w.loop, w.fake.stream && w.fake.actives >= 2);
    assert_int_equal(w.replicas, 0);
    fake_push(&w.fake, true);
    RUN_UNTIL(&w.loop, w.replicas == 1);
    assert_string_equal(w.who, "KEDA");
    world_done(&w);
}

static void a_scaler_that_is_away_holds_the_replicas(void **state) {
    struct world w;
    world_init(&w);
    w.replicas = 3;
    fake_open(&w.fake, &w.loop, "127.0.0.1:0");
    for (int i = 0; i < 3; i++)
        add_pod(&w, 1, "", DRIVER_POD_READY);
    begin(&w, DRIVER_GPUSCALE);
    RUN_UNTIL(&w.loop, driver_view(w.driver)->desired == 3);
    fake_close(&w.fake, &w.loop);
    RUN_UNTIL(&w.loop, w.troubles == 1);
    assert_non_null(strstr(w.trouble, "scaler"));
    RUN_UNTIL(&w.loop, !driver_view(w.driver)->signals[0].known);
    fake_open(&w.fake, &w.loop, "127.0.0.1:0"); // elsewhere
    driver_set_scaler(w.driver, w.fake.addr);
    RUN_UNTIL(&w.loop, w.recoveries == 1);
    assert_int_equal(w.decided, 0);
    w.fake.value = 4;
    RUN_UNTIL(&w.loop, w.replicas == 4);
    world_done(&w);
}

static void missing_options_are_named(void **state) {
    struct world w;
    struct driver_options good, o;
    world_init(&w);
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        struct err e = {0};                                                                        \
        o = good;                                                                                  \
        change;                                                                                    \
        assert_int_equal(driver_new(&w.driver, &w.loop, &o, &e), ERR_INVALID);                     \
        assert_non_null(strstr(e.msg, word));                                                      \
    } while (0)
    good = options(&w, DRIVER_GPUSCALE);
    REFUSED(o.speed = 0, "speed");
    REFUSED(o.pods = NULL, "pods");
    REFUSED(o.scaler_addr = NULL, "scaler_addr");
    REFUSED(o.max_replicas = 0, "max_replicas");
    good = options(&w, DRIVER_CLASSIC);
    REFUSED(o.agent_addr = NULL, "agent_addr");
    good = options(&w, DRIVER_CPU);
    REFUSED(o.cpu_request_cores = 0, "cpu_request_cores");
    world_done(&w);
}

static void every_failed_allocation_is_an_error(void **state) {
    for (int policy = DRIVER_CPU; policy <= DRIVER_GPUSCALE; policy++) {
        int r = ERR_NOMEM;
        for (long n = 1; n < 100 && r != 0; n++) {
            struct world w;
            world_init(&w);
            fake_open(&w.fake, &w.loop, "127.0.0.1:0");
            struct driver_options o = options(&w, (enum driver_policy)policy);
            mem_fail_from(n);
            r = driver_new(&w.driver, &w.loop, &o, NULL);
            mem_fail_never();
            assert_true(r == 0 || r == ERR_NOMEM);
            world_done(&w);
        }
        assert_int_equal(r, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_time_becomes_utilization),
        cmocka_unit_test(pages_become_the_classic_triggers),
        cmocka_unit_test(an_agent_that_is_away_is_told_once),
        cmocka_unit_test(a_starting_engine_that_does_not_answer_is_no_trouble),
        cmocka_unit_test(the_scalers_number_becomes_replicas),
        cmocka_unit_test(a_push_wakes_a_service_at_zero),
        cmocka_unit_test(a_scaler_that_is_away_holds_the_replicas),
        cmocka_unit_test(missing_options_are_named),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
