// SPDX-License-Identifier: Apache-2.0
/*
 * The driver's clock, timers and readings around driver_brain.h; see driver.h. Phases, of the 15 s
 * that everything takes: pages and CPU are read in the middle between two syncs, KEDA polls a
 * quarter after one. A cluster's are anywhere; these are their means.
 */
#include "playground/driver.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "playground/driver_proc.h"
#include "playground/driver_scaler.h"
#include "playground/fetch_page.h"

#define SYNC_S 15.0 // --horizontal-pod-autoscaler-sync-period
#define READ_S                                                                                     \
    15.0 // metrics-server's --metric-resolution; Prometheus' scrape_interval as charts set it
#define POLL_S 30.0           // pollingInterval
#define SCRAPE_TIMEOUT_S 10.0 // Prometheus' scrape_timeout
#define SPEED_MAX 1000.0
#define GPU_METRIC "gpu_utilization"
#define QUEUE_METRIC "vllm:num_requests_waiting"
#define METRICS_PATH "/metrics"

enum {
    FETCHES_MAX = LIMIT_PLAYGROUND_PODS + 1,
    METRIC_NAME_MAX = 128,
    TROUBLE_MAX = ERR_MSG_MAX + DRIVER_NAME_LEN + 64
};

struct scrape {
    struct driver *owner;
    struct fetch_page *fetch; // NULL: free
    char target[DRIVER_NAME_LEN];
    int64_t at_ns; // Kubernetes' clock
    bool expected; // its failure is trouble
};

struct driver {
    struct driver_options options;
    char agent_addr[DRIVER_ADDR_LEN], queue_metric[METRIC_NAME_MAX];
    uv_loop_t *loop;
    int64_t start_ns;
    struct driver_brain brain;
    struct driver_view view;
    struct driver_usage_store usage;
    struct driver_series_store series;
    struct driver_scaler *scaler;
    struct scrape scrapes[FETCHES_MAX];
    struct net_timer *read, *sync, *poll;
    bool troubled, round_failed; // the last round of scrapes
    struct driver_pod pods[DRIVER_PODS_MAX];
};

// ---- Two clocks ------------------------------------------------------------------------------

static int64_t kube_ns(const struct driver *d, int64_t mono_ns) {
    return d->start_ns + (int64_t)((double)(mono_ns - d->start_ns) * d->options.speed);
}

static int64_t mono_ns(const struct driver *d, int64_t kube) {
    return d->start_ns + (int64_t)((double)(kube - d->start_ns) / d->options.speed);
}

static int64_t real_ns(const struct driver *d, double kube_s) {
    return (int64_t)(kube_s * (double)NS_PER_S / d->options.speed);
}

static struct driver_facts facts(struct driver *d) {
    struct driver_facts f = {.now_ns = kube_ns(d, clock_mono_ns()),
                             .replicas = d->options.replicas(d->options.ctx),
                             .pods = d->pods,
                             .n_pods = d->options.pods(d->options.ctx, d->pods, DRIVER_PODS_MAX)};
    for (size_t i = 0; i < f.n_pods; i++) {
        d->pods[i].started_ns = kube_ns(d, d->pods[i].started_ns);
        d->pods[i].ready_ns = kube_ns(d, d->pods[i].ready_ns);
    }
    return f;
}

// ---- What comes of it -------------------------------------------------------------------------

static void trouble(struct driver *d, const char *what) {
    if (d->troubled == (what != NULL))
        return;
    d->troubled = what != NULL;
    d->options.troubled(d->options.ctx, what);
}

static void took(struct driver *d, const struct driver_wish *w) {
    d->view = d->brain.view;
    for (size_t i = 0; i < d->view.n_signals; i++)
        if (d->view.signals[i].at_ns)
            d->view.signals[i].at_ns = mono_ns(d, d->view.signals[i].at_ns);
    if (w->any && w->replicas != d->options.replicas(d->options.ctx))
        d->options.decided(d->options.ctx, w->replicas, w->who, w->reason);
}

// ---- CPU -----------------------------------------------------------------------------------

static void read_cpu(struct driver *d) {
    struct driver_cpu_reading readings[DRIVER_PODS_MAX];
    struct driver_facts f = facts(d);
    size_t n = 0;
    for (size_t i = 0; i < f.n_pods; i++) {
        const struct driver_pod *p = &f.pods[i];
        struct driver_cpu_reading *r = &readings[n];
        int64_t cpu_ns;
        if (p->pid <= 0 || d->options.read_cpu(p->pid, &cpu_ns, NULL) < 0)
            continue; // it ended meanwhile
        *r = (struct driver_cpu_reading){.started_ns = p->started_ns,
                                         .at_ns = kube_ns(d, clock_mono_ns()),
                                         .cpu_ns = (int64_t)((double)cpu_ns * d->options.speed)};
        memcpy(r->pod, p->name, sizeof(r->pod));
        n++;
    }
    driver_usage_scraped(&d->usage, readings, n);
}

// ---- The classic triggers' pages -------------------------------------------------------------

static void scrape_failed(struct scrape *s, const char *why) {
    char what[TROUBLE_MAX];
    driver_series_end(&s->owner->series, s->target);
    snprintf(what, sizeof(what), "Prometheus cannot scrape %s: %s", s->target, why);
    if (s->expected) {
        s->owner->round_failed = true;
        trouble(s->owner, what);
    }
}

static bool round_is_over(const struct driver *d) {
    for (int i = 0; i < FETCHES_MAX; i++)
        if (d->scrapes[i].fetch)
            return false;
    return true;
}

static void scrape_done(void *ctx, const struct fetch_page_answer *a) {
    struct scrape *s = ctx;
    struct driver *d = s->owner;
    struct err e = {0};
    bool is_agent = strcmp(s->target, DRIVER_AGENT_TARGET) == 0;
    s->fetch = NULL;
    if (a->error) {
        scrape_failed(s, a->error->msg);
    } else if (a->status != 200) {
        err_set(&e, ERR_PROTO, "it answered with status %d", a->status);
        scrape_failed(s, e.msg);
    } else if (driver_series_scraped(&d->series, s->target, is_agent ? GPU_METRIC : d->queue_metric,
                                     a->body, a->complete, s->at_ns, &e) < 0) {
        scrape_failed(s, e.msg);
    }
    if (!d->round_failed && round_is_over(d))
        trouble(d, NULL);
}

static struct scrape *free_scrape(struct driver *d, const char *target) {
    struct scrape *found = NULL;
    for (int i = 0; i < FETCHES_MAX; i++) {
        struct scrape *s = &d->scrapes[i];
        if (!s->fetch)
            found = s;
        else if (strcmp(s->target, target) == 0)
            return NULL; // the last one still runs
    }
    return found;
}

static void scrape_start(struct driver *d, const char *target, const char *addr, bool expected) {
    struct scrape *s = free_scrape(d, target);
    if (!s)
        return;
    *s = (struct scrape){.owner = d, .at_ns = kube_ns(d, clock_mono_ns()), .expected = expected};
    str_copy(s->target, sizeof(s->target), str_from(target));
    struct fetch_page_options o = {
        .addr = addr,
        .path = METRICS_PATH,
        .timeout_ms = (uint32_t)(real_ns(d, SCRAPE_TIMEOUT_S) / NS_PER_MS) + 1,
        .max_bytes = LIMIT_PLAYGROUND_PAGE_BYTES,
        .done = scrape_done,
        .ctx = s};
    struct err e = {0};
    if (fetch_page_start(&s->fetch, d->loop, &o, &e) < 0) {
        s->fetch = NULL;
        scrape_failed(s, e.msg);
    }
}

static void scrape_all(struct driver *d) {
    struct driver_facts f = facts(d);
    const char *targets[FETCHES_MAX] = {DRIVER_AGENT_TARGET};
    size_t n = 1;
    for (size_t i = 0; i < f.n_pods; i++)
        if (f.pods[i].addr[0] && f.pods[i].state != DRIVER_POD_TERMINATING)
            targets[n++] = f.pods[i].name;
    driver_series_keep(&d->series, targets, n);
    d->round_failed = false;
    scrape_start(d, DRIVER_AGENT_TARGET, d->agent_addr, true);
    for (size_t i = 0; i < f.n_pods; i++)
        if (f.pods[i].addr[0] && f.pods[i].state != DRIVER_POD_TERMINATING)
            scrape_start(d, f.pods[i].name, f.pods[i].addr, f.pods[i].state == DRIVER_POD_READY);
}

static void read_due(void *ctx) {
    struct driver *d = ctx;
    if (d->options.policy == DRIVER_CPU)
        read_cpu(d);
    else
        scrape_all(d);
}

// ---- gpuscale's answers --------------------------------------------------------------------

static struct driver_trigger_reading reading_of(struct driver *d,
                                                const struct driver_scaler_answer *a) {
    struct err e = {0};
    if (a->metric_name[0])
        driver_brain_metric_spec(&d->brain, a->metric_name, a->target, &e);
    char what[TROUBLE_MAX];
    const char *why = a->error ? a->error : e.code ? e.msg : NULL;
    snprintf(what, sizeof(what), "KEDA cannot ask the scaler: %s", why ? why : "");
    trouble(d, why ? what : NULL);
    return (struct driver_trigger_reading){
        .sample = a->sample, .at_ns = kube_ns(d, clock_mono_ns()), .error = a->error};
}

static void sync_answered(void *ctx, const struct driver_scaler_answer *a) {
    struct driver *d = ctx;
    struct driver_trigger_reading reading = reading_of(d, a);
    struct driver_facts f = facts(d);
    struct driver_wish w;
    driver_brain_sync(&d->brain, &f, NULL, &reading, &w);
    took(d, &w);
}

static void poll_answered(void *ctx, const struct driver_scaler_answer *a) {
    struct driver *d = ctx;
    struct driver_trigger_reading reading = reading_of(d, a);
    struct driver_facts f = facts(d);
    struct driver_wish w;
    driver_brain_poll(&d->brain, &f, &reading, &w);
    took(d, &w);
}

static void on_pushed(void *ctx) {
    struct driver *d = ctx;
    struct driver_facts f = facts(d);
    struct driver_wish w;
    driver_brain_push(&d->brain, &f, &w);
    took(d, &w);
}

// ---- Syncs and polls -----------------------------------------------------------------------

static void sync_due(void *ctx) {
    struct driver *d = ctx;
    struct driver_facts f = facts(d);
    struct driver_trigger_reading readings[DRIVER_TRIGGERS_MAX];
    struct driver_wish w;
    if (d->options.policy == DRIVER_GPUSCALE && driver_brain_sync_asks(&d->brain, f.replicas)) {
        driver_scaler_ask(d->scaler, DRIVER_ASKER_HPA, sync_answered, d);
        return; // an answer that is still awaited makes this sync late
    }
    if (d->options.policy == DRIVER_CLASSIC)
        driver_brain_query(&d->brain, &d->series, &f, readings);
    driver_brain_sync(&d->brain, &f, &d->usage,
                      d->options.policy == DRIVER_CLASSIC ? readings : NULL, &w);
    took(d, &w);
}

static void poll_due(void *ctx) {
    struct driver *d = ctx;
    struct driver_facts f = facts(d);
    struct driver_trigger_reading readings[DRIVER_TRIGGERS_MAX];
    struct driver_wish w;
    if (d->options.policy == DRIVER_GPUSCALE && driver_brain_poll_asks(&d->brain)) {
        driver_scaler_ask(d->scaler, DRIVER_ASKER_KEDA, poll_answered, d);
        return;
    }
    if (d->options.policy == DRIVER_CLASSIC)
        driver_brain_query(&d->brain, &d->series, &f, readings);
    driver_brain_poll(&d->brain, &f, readings, &w);
    took(d, &w);
}

// ---- Life ------------------------------------------------------------------------------------

static int check(const struct driver_options *o, struct err *e) {
    if (!(o->speed > 0 && o->speed <= SPEED_MAX))
        return err_set(e, ERR_INVALID, "speed is %g: give above 0 to %g", o->speed, SPEED_MAX);
    if (!o->pods || !o->replicas || !o->decided || !o->troubled)
        return err_set(e, ERR_INVALID, "pods, replicas, decided and troubled must be set");
    if (o->policy == DRIVER_CLASSIC && !o->agent_addr)
        return err_set(e, ERR_INVALID, "agent_addr is missing");
    if (o->policy == DRIVER_GPUSCALE &&
        !(o->scaler_addr && o->namespace_ && o->name && o->metadata))
        return err_set(e, ERR_INVALID, "scaler_addr, namespace_, name or metadata is missing");
    return 0;
}

static int start_timers(struct driver *d, struct err *e) {
    int r = net_timer_start(&d->sync, d->loop, real_ns(d, SYNC_S), real_ns(d, SYNC_S), sync_due, d,
                            e);
    if (r == 0 && d->options.policy != DRIVER_GPUSCALE)
        r = net_timer_start(&d->read, d->loop, real_ns(d, READ_S / 2), real_ns(d, READ_S), read_due,
                            d, e);
    if (r == 0 && d->options.policy != DRIVER_CPU)
        r = net_timer_start(&d->poll, d->loop, real_ns(d, SYNC_S / 4), real_ns(d, POLL_S), poll_due,
                            d, e);
    return r;
}

static int start_scaler(struct driver *d, struct err *e) {
    const struct driver_options *o = &d->options;
    if (o->policy != DRIVER_GPUSCALE)
        return 0;
    struct driver_scaler_options s = {.addr = o->scaler_addr,
                                      .namespace_ = o->namespace_,
                                      .name = o->name,
                                      .metadata = o->metadata,
                                      .speed = o->speed,
                                      .pushed = on_pushed,
                                      .ctx = d};
    return driver_scaler_new(&d->scaler, d->loop, &s, e);
}

int driver_new(struct driver **ret, uv_loop_t *loop, const struct driver_options *options,
               struct err *e) {
    int r = check(options, e);
    if (r < 0)
        return r;
    struct driver *d = mem_zalloc(sizeof(*d));
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory for the driver");
    d->options = *options;
    d->loop = loop;
    d->start_ns = clock_mono_ns();
    if (!options->read_cpu)
        d->options.read_cpu = driver_proc_read;
    struct driver_brain_options o = {
        .policy = options->policy,
        .min_replicas = options->min_replicas,
        .max_replicas = options->max_replicas,
        .cpu_request_milli = llround(options->cpu_request_cores * 1000),
        .cooldown_ns = options->cooldown_ns};
    const char *queue = options->queue_metric ? options->queue_metric : QUEUE_METRIC;
    if (str_copy(d->queue_metric, sizeof(d->queue_metric), str_from(queue)) < 0)
        r = err_set(e, ERR_INVALID, "queue_metric is longer than %d bytes", METRIC_NAME_MAX - 1);
    if (r == 0)
        r = driver_brain_init(&d->brain, &o, d->start_ns, e);
    d->view = d->brain.view;
    if (options->agent_addr)
        driver_set_agent(d, options->agent_addr);
    if (r == 0)
        r = start_timers(d, e);
    if (r == 0)
        r = start_scaler(d, e);
    if (r < 0) {
        driver_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

struct driver *driver_free(struct driver *d) {
    if (!d)
        return NULL;
    for (int i = 0; i < FETCHES_MAX; i++)
        d->scrapes[i].fetch = fetch_page_cancel(d->scrapes[i].fetch);
    net_timer_stop(&d->read);
    net_timer_stop(&d->sync);
    net_timer_stop(&d->poll);
    driver_scaler_free(d->scaler);
    mem_free(d);
    return NULL;
}

void driver_set_agent(struct driver *d, const char *addr) {
    str_copy(d->agent_addr, sizeof(d->agent_addr), str_from(addr));
}

void driver_set_scaler(struct driver *d, const char *addr) {
    if (d->scaler)
        driver_scaler_set_addr(d->scaler, addr);
}

const struct driver_view *driver_view(const struct driver *d) {
    return &d->view;
}
