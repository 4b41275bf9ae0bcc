// SPDX-License-Identifier: Apache-2.0
/*
 * The course of an act: agent, scaler and first replicas up, the load, the rest of its answers, and
 * the end of everything in the order in which nothing is lost.
 */
#include "playground/act.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "playground/act_internal.h"

#define STEP_NS (50 * NS_PER_MS)
#define START_LIMIT_NS (30 * NS_PER_S)
#define END_LIMIT_NS (5 * NS_PER_S)
#define QUEUES_NS (1 * NS_PER_S)
enum { GATEWAY_GRACE_MS = 500 };

static double seconds(int64_t ns) {
    return (double)ns / (double)NS_PER_S;
}

void act_tell(struct act *a, const char *who, int replicas, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    a->callbacks.told(a->callbacks.ctx, who, replicas, text);
}

static void set_phase(struct act *a, enum act_phase phase) {
    a->phase = phase;
    a->phase_ns = clock_mono_ns();
}

static void end(struct act *a) {
    if (a->phase == ACT_ENDS)
        return;
    set_phase(a, ACT_ENDS);
    a->end_ns = a->phase_ns;
    if (a->load)
        child_terminate(a->load);
}

void act_fail(struct act *a, int code) {
    if (a->failure.code == 0)
        a->failure.code = code;
    end(a);
}

// GPU time since the load's start.
static void measure(const struct act *a, int64_t now_ns, double *ret_gpu_s, double *ret_idle_s) {
    int64_t held_ns, busy_ns;
    pool_gpu_time(a->pool, now_ns, &held_ns, &busy_ns);
    held_ns -= a->held0_ns;
    busy_ns -= a->busy0_ns;
    *ret_gpu_s = seconds(held_ns);
    *ret_idle_s = seconds(held_ns > busy_ns ? held_ns - busy_ns : 0);
}

// ---- What the driver sees and says ------------------------------------------------------------

static enum driver_pod_state driver_state(enum roster_state s) {
    switch (s) {
    case ROSTER_READY:
        return DRIVER_POD_READY;
    case ROSTER_TERMINATING:
        return DRIVER_POD_TERMINATING;
    case ROSTER_PENDING:
    case ROSTER_STARTING:
        break;
    }
    return DRIVER_POD_STARTING;
}

static size_t driver_pods(void *ctx, struct driver_pod *pods, size_t cap) {
    const struct act *a = ctx;
    size_t n = pool_roster(a->pool)->n;
    n = n < cap ? n : cap;
    for (size_t i = 0; i < n; i++) {
        struct pool_pod p = pool_at(a->pool, i);
        pods[i] = (struct driver_pod){.state = driver_state(p.pod->state),
                                      .pid = p.pid,
                                      .gpus = p.pod->gpu < 0 ? 0 : UINT64_C(1) << p.pod->gpu,
                                      .started_ns = p.pod->created_ns,
                                      .ready_ns = p.pod->ready_ns};
        (void)str_copy(pods[i].name, sizeof(pods[i].name), str_from(p.pod->name));
        (void)str_copy(pods[i].addr, sizeof(pods[i].addr), str_from(p.addr));
    }
    return n;
}

static int driver_replicas(void *ctx) {
    const struct act *a = ctx;
    return pool_roster(a->pool)->spec;
}

// Of what `gpuscale explain` prints, the sentence: "...Z   3 -> 4  4 replicas: demand ...".
static struct str sentence_of(struct str text) {
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        (void)str_cut(&line, 'Z');
        line = str_trim(line);
        for (size_t i = 0; i + 1 < line.n; i++) {
            if (line.p[i] == ' ' && line.p[i + 1] == ' ')
                return str_trim((struct str){line.p + i, line.n - i});
        }
    }
    return (struct str){NULL, 0};
}

static void explained(void *ctx, struct str text) {
    struct act *a = ctx;
    struct str sentence = sentence_of(text);
    if (sentence.n && a->phase == ACT_RUNS)
        act_tell(a, "gpuscale", -1, STR_FMT, STR_ARG(sentence));
}

// A place for one that is empty, or that one runs in; NULL: none.
static struct explain **find_explain(struct act *a, bool running) {
    for (size_t i = 0; i < COUNT_OF(a->explains); i++) {
        if ((a->explains[i] != NULL) == running)
            return &a->explains[i];
    }
    return NULL;
}

// The scaler's own words, for the decision that was just taken.
static void explain(struct act *a) {
    char url[CHILD_ADDR_LEN + 8];
    struct err e = {0};
    struct explain **slot = find_explain(a, false);
    (void)snprintf(url, sizeof(url), "http://%s", a->scaler.http);
    if (a->options.policy != DRIVER_GPUSCALE || !a->scaler.up || !slot)
        return;
    if (explain_run(slot, a->loop, a->options.program, url, "default/llm", explained, a, &e) < 0)
        act_tell(a, "demo", -1, "%s", e.msg);
}

static void driver_decided(void *ctx, int replicas, const char *who, const char *reason) {
    struct act *a = ctx;
    if (a->phase != ACT_RUNS)
        return;
    if (!a->measured)
        a->result.scale_events++;
    act_tell(a, who, replicas, "%d -> %d: %s", pool_roster(a->pool)->spec, replicas, reason);
    explain(a);
    pool_scale(a->pool, replicas);
}

static void driver_troubled(void *ctx, const char *what) {
    struct act *a = ctx;
    if (a->phase == ACT_RUNS)
        act_tell(a, "demo", -1, "%s", what ? what : "everything is read again");
}

static int start_driver(struct act *a, struct err *e) {
    const struct plan *p = a->plan;
    struct driver_options o = {.policy = a->options.policy,
                               .speed = p->speed,
                               .min_replicas = p->min_replicas,
                               .max_replicas = p->max_replicas,
                               .cpu_request_cores = p->cpu_request_cores,
                               .agent_addr = a->agent.http,
                               .scaler_addr = a->scaler.grpc,
                               .namespace_ = "default",
                               .name = "llm",
                               .metadata = p->rule,
                               .pods = driver_pods,
                               .replicas = driver_replicas,
                               .decided = driver_decided,
                               .troubled = driver_troubled,
                               .ctx = a};
    return driver_new(&a->driver, a->loop, &o, e);
}

// ---- The course -------------------------------------------------------------------------------

static void begin(struct act *a) {
    set_phase(a, ACT_RUNS);
    int r = queues_new(&a->queues, a->loop, "vllm:num_requests_waiting", &a->failure);
    if (r == 0 && a->options.policy == DRIVER_GPUSCALE)
        r = rule_start(&a->rule, a->loop, a->scaler.http, &a->failure);
    if (r == 0)
        r = start_driver(a, &a->failure);
    if (r == 0)
        r = act_start_load(a, &a->failure);
    if (r < 0) {
        act_fail(a, r);
        return;
    }
    a->t0_ns = clock_mono_ns();
    pool_gpu_time(a->pool, a->t0_ns, &a->held0_ns, &a->busy0_ns);
    a->callbacks.began(a->callbacks.ctx);
}

void act_server_up(struct act *a, struct act_server *s) {
    int r = 0;
    if (a->phase == ACT_AGENT && s == &a->agent) {
        set_phase(a, ACT_SCALER);
        r = gpus_new(&a->gpus, a->loop, a->agent.grpc, &a->failure);
        if (r == 0)
            r = act_start_server(&a->scaler, &a->failure);
    } else if (a->phase == ACT_SCALER && s == &a->scaler) {
        set_phase(a, ACT_WARMS);
        pool_scale(a->pool, a->plan->min_replicas);
    } else if (a->phase >= ACT_WARMS && a->phase != ACT_ENDS) {
        act_tell(a, "demo", -1, "the %s is back", s->who);
        if (a->driver && s == &a->agent)
            driver_set_agent(a->driver, s->http);
        if (a->driver && s == &a->scaler)
            driver_set_scaler(a->driver, s->grpc);
    }
    if (r < 0)
        act_fail(a, r);
}

void act_load_over(struct act *a, int status, int signal) {
    if (a->phase == ACT_ENDS)
        return;
    if (status != 0 || signal != 0 || !a->has_progress || !a->progress.final) {
        act_fail(a, err_set(&a->failure, ERR_CLOSED,
                            "the load ended early (status %d, signal %d): see %s", status, signal,
                            a->files.load_log));
        return;
    }
    a->load_done = true; // step_running() ends the act
}

static void write_files(struct act *a) {
    struct err e = {0};
    a->files_due = false;
    if (files_write_workloads(&a->files, a->pool, &e) < 0 ||
        files_write_agent(&a->files, a->pool, &e) < 0)
        act_tell(a, "demo", -1, "%s", e.msg);
    if (a->scaler.up)
        child_signal(a->scaler.child, SIGHUP);
    if (a->agent.up)
        child_signal(a->agent.child, SIGHUP);
}

static void check_start(struct act *a, int64_t now_ns) {
    if (a->phase == ACT_WARMS &&
        roster_count(pool_roster(a->pool), ROSTER_READY) >= a->plan->min_replicas) {
        begin(a);
        return;
    }
    if (now_ns - a->phase_ns <= START_LIMIT_NS)
        return;
    const char *what = a->phase == ACT_AGENT    ? "the agent does not listen"
                       : a->phase == ACT_SCALER ? "the scaler does not listen"
                                                : "the first replica does not become ready";
    act_fail(a, err_set(&a->failure, ERR_TIMEOUT, "%s: see %s", what, a->files.folder));
}

static void step_running(struct act *a, int64_t now_ns) {
    if (now_ns - a->asked_ns >= QUEUES_NS) {
        a->asked_ns = now_ns;
        queues_ask(a->queues, a->pool);
    }
    if (!a->measured && now_ns - a->t0_ns >= a->plan->act_ns) {
        a->measured = true;
        measure(a, now_ns, &a->result.gpu_s, &a->result.idle_gpu_s);
    }
    a->result.whole = a->measured && a->load_done;
    if (a->result.whole)
        end(a);
}

// ---- The end ----------------------------------------------------------------------------------

static void pool_over(void *ctx) {
    struct act *a = ctx;
    a->pool = NULL;
}

static void gateway_over(void *ctx) {
    struct act *a = ctx;
    a->gateway = NULL;
}

static void end_pool(struct act *a, int64_t now_ns) {
    a->driver = driver_free(a->driver);
    a->gpus = gpus_free(a->gpus);
    a->queues = queues_free(a->queues);
    a->rule = rule_stop(a->rule);
    if (!a->measured && a->t0_ns && a->pool)
        measure(a, now_ns, &a->result.gpu_s, &a->result.idle_gpu_s);
    a->result.load = a->progress;
    if (a->gateway)
        a->result.gateway = gateway_stats(a->gateway);
    if (a->pool)
        pool_end(a->pool, pool_over, a);
    a->end = END_POOL;
    a->end_ns = now_ns;
}

static void end_servers(struct act *a, int64_t now_ns) {
    if (a->gateway)
        gateway_close(a->gateway, GATEWAY_GRACE_MS, gateway_over, a);
    if (a->agent.child)
        child_terminate(a->agent.child);
    if (a->scaler.child)
        child_terminate(a->scaler.child);
    a->end = END_SERVERS;
    a->end_ns = now_ns;
}

static void act_over(struct act *a) {
    struct act_callbacks callbacks = a->callbacks;
    struct act_result result = a->result;
    struct err failure = a->failure;
    net_timer_stop(&a->step);
    mem_free(a);
    callbacks.ended(callbacks.ctx, &result, failure.code < 0 ? &failure : NULL);
}

static void kill_what_stays(struct act *a, bool overdue_pool) {
    struct child *all[] = {a->load, a->agent.child, a->scaler.child};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i] && (a->end == END_SERVERS || all[i] == a->load))
            child_kill(all[i]);
    }
    for (size_t i = 0; i < COUNT_OF(a->explains) && a->end == END_SERVERS; i++) {
        if (a->explains[i])
            explain_kill(a->explains[i]);
    }
    if (a->pool && (a->kill || overdue_pool))
        pool_kill(a->pool);
}

static void step_ending(struct act *a, int64_t now_ns) {
    int64_t since_ns = now_ns - a->end_ns;
    if (a->kill || since_ns > END_LIMIT_NS) // replicas may take their drain time
        kill_what_stays(a, a->end == END_POOL && since_ns > a->plan->drain_ns + END_LIMIT_NS);
    if (a->end == END_LOAD && !a->load)
        end_pool(a, now_ns);
    else if (a->end == END_POOL && !a->pool)
        end_servers(a, now_ns);
    else if (a->end == END_SERVERS && !a->gateway && !a->agent.child && !a->scaler.child &&
             !find_explain(a, true))
        act_over(a);
}

static void step_due(void *ctx) {
    struct act *a = ctx;
    int64_t now_ns = clock_mono_ns();
    if (a->phase == ACT_ENDS) {
        step_ending(a, now_ns);
        return;
    }
    act_restart_servers(a, now_ns);
    if (a->files_due)
        write_files(a);
    if (a->phase == ACT_RUNS)
        step_running(a, now_ns);
    else if (a->phase < ACT_RUNS)
        check_start(a, now_ns);
}

// ---- From outside -----------------------------------------------------------------------------

static void pool_changed(void *ctx) {
    struct act *a = ctx;
    a->files_due = true;
}

static void pool_told(void *ctx, const char *text) {
    struct act *a = ctx;
    act_tell(a, "demo", -1, "%s", text);
}

static void pool_failed(void *ctx, const struct err *why) {
    struct act *a = ctx;
    if (a->failure.code == 0)
        a->failure = *why;
    act_fail(a, why->code);
}

static int open_pool(struct act *a, struct err *e) {
    const struct plan *p = a->plan;
    struct gateway_options g = {.listen = "127.0.0.1:0", .service = "llm"};
    int r = gateway_open(&a->gateway, a->loop, &g, e);
    if (r < 0)
        return r;
    struct pool_options o = {.program = a->options.program,
                             .prefix = "llm",
                             .profile = p->profile,
                             .settings = p->settings,
                             .folder = a->files.folder,
                             .load_socket = a->files.load_socket,
                             .gpus = p->gpus,
                             .warm = p->min_replicas,
                             .load_time_ns = p->cold_start_ns,
                             .drain_ns = p->drain_ns,
                             .max_queue = p->max_queue,
                             .seed = p->seed,
                             .gateway = a->gateway,
                             .changed = pool_changed,
                             .told = pool_told,
                             .failed = pool_failed,
                             .ctx = a};
    return pool_new(&a->pool, a->loop, &o, e);
}

int act_start(struct act **ret, uv_loop_t *loop, const struct act_options *options,
              const struct act_callbacks *callbacks, struct err *e) {
    struct act *a = mem_zalloc(sizeof(*a));
    if (!a)
        return err_set(e, ERR_NOMEM, "no memory for an act");
    a->loop = loop;
    a->options = *options;
    a->callbacks = *callbacks;
    a->plan = options->plan;
    a->agent = (struct act_server){.act = a, .who = "agent"};
    a->scaler = (struct act_server){.act = a, .who = "scaler"};
    int r = files_make_act(&a->files, options->folder, plan_policy_id(options->policy), e);
    if (r == 0)
        r = net_timer_start(&a->step, loop, STEP_NS, STEP_NS, step_due, a, e);
    if (r < 0) {
        net_timer_stop(&a->step);
        mem_free(a);
        return r;
    }
    // From here on whatever fails comes with `ended`, after what was started has ended.
    *ret = a;
    set_phase(a, ACT_AGENT);
    r = open_pool(a, &a->failure);
    if (r == 0)
        r = act_start_server(&a->agent, &a->failure);
    if (r < 0)
        act_fail(a, r);
    return 0;
}

void act_stop(struct act *a) {
    a->kill = a->phase == ACT_ENDS;
    end(a);
}

void act_view(const struct act *a, struct act_view *ret) {
    int64_t now_ns = clock_mono_ns();
    struct act_view v = {.t_s = a->t0_ns ? seconds(now_ns - a->t0_ns) : -1,
                         .over = a->phase == ACT_ENDS,
                         .waiting = -1,
                         .load = a->has_progress ? &a->progress : NULL,
                         .driver = a->driver ? driver_view(a->driver) : NULL,
                         .rule = a->rule,
                         .gpu_n = a->plan->gpus};
    if (a->gateway)
        v.gateway = gateway_stats(a->gateway);
    if (a->pool) {
        const struct roster *r = pool_roster(a->pool);
        v.spec = r->spec;
        v.ready = roster_count(r, ROSTER_READY);
        v.starting = roster_count(r, ROSTER_STARTING);
        v.pending = roster_count(r, ROSTER_PENDING);
        v.terminating = roster_count(r, ROSTER_TERMINATING);
        for (size_t i = 0; i < r->n; i++) {
            struct pool_pod p = pool_at(a->pool, i);
            if (p.pod->gpu >= 0)
                v.gpus[p.pod->gpu] = (struct act_gpu){
                    .pod = p.pod->name, .state = p.pod->state, .requests = p.requests};
        }
        if (a->queues)
            v.waiting = queues_waiting(a->queues, a->pool, now_ns);
        if (a->t0_ns && !a->measured)
            measure(a, now_ns, &v.gpu_s, &v.idle_gpu_s);
    }
    if (a->measured) {
        v.gpu_s = a->result.gpu_s;
        v.idle_gpu_s = a->result.idle_gpu_s;
    }
    for (int i = 0; i < v.gpu_n && a->gpus; i++)
        v.gpus[i].reading = gpus_reading(a->gpus, i);
    *ret = v;
}
