// SPDX-License-Identifier: Apache-2.0
/* From the act's view to the page's frames; see feed.h. */
#include "playground/feed.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "playground/files.h"
#include "playground/page.h"
#include "report/html.h"

enum { EVENTS_MAX = 64, TEXT_LEN = 512 };

struct event {
    double t_s;
    int replicas;
    char who[16], text[TEXT_LEN];
};

struct feed {
    struct live *live;
    struct page *page; // NULL: not served
    char url[96];
    struct event events[EVENTS_MAX]; // since the last frame
    size_t n_events;
};

int feed_open(struct feed **ret, uv_loop_t *loop, const char *listen, struct err *e) {
    struct feed *f = mem_zalloc(sizeof(*f));
    if (f)
        f->live = live_new(LIMIT_LIVE_RUN_BYTES, LIVE_THIN);
    if (!f || !f->live) {
        mem_free(f);
        return err_set(e, ERR_NOMEM, "no memory for the page");
    }
    if (listen) {
        char addr[64];
        int r = page_open(&f->page, loop, listen, f->live, e);
        if (r < 0) {
            live_free(f->live);
            mem_free(f);
            return err_wrap(e, "the page (--page)");
        }
        net_addr_format(page_addr(f->page), addr, sizeof(addr));
        (void)snprintf(f->url, sizeof(f->url), "http://%s/", addr);
    }
    *ret = f;
    return 0;
}

const char *feed_url(const struct feed *f) {
    return f->page ? f->url : NULL;
}

static void page_gone(void *ctx) {
    struct feed *f = ctx;
    live_free(f->live);
    mem_free(f);
}

void feed_close(struct feed *f) {
    if (f->page)
        page_close(f->page, page_gone, f);
    else
        page_gone(f);
}

static int changed(struct feed *f, int r) {
    if (f->page)
        page_changed(f->page);
    return r;
}

int feed_hello(struct feed *f, const struct plan *plan, const enum driver_policy *policies,
               size_t n) {
    static const char *const about[] = {
        [DRIVER_CPU] = "the HPA on CPU utilization",
        [DRIVER_CLASSIC] = "KEDA on GPU utilization and on the queue, two triggers",
        [DRIVER_GPUSCALE] = "gpuscale's rule, on what the engines serve",
    };
    struct frame_policy all[DRIVER_GPUSCALE + 1];
    char run[32], note[PLAN_NOTES_MAX][PLAN_NOTE_LEN];
    const char *notes[PLAN_NOTES_MAX];
    (void)snprintf(run, sizeof(run), "%" PRId64, clock_real_ns());
    for (size_t i = 0; i < n; i++)
        all[i] = (struct frame_policy){.id = plan_policy_id(policies[i]),
                                       .label = driver_policy_label(policies[i]),
                                       .about = about[policies[i]]};
    size_t n_notes = plan_notes(plan, note);
    for (size_t i = 0; i < n_notes; i++)
        notes[i] = note[i];
    return changed(f, live_hello(f->live, &(struct frame_hello){
                                              .run = run,
                                              .title = "One load, three ways to scale it",
                                              .kind = FRAME_DEMO,
                                              .policies = all,
                                              .policy_n = n,
                                              .gpus = plan->gpus,
                                              .usd_per_gpu_hour = plan->usd_per_gpu_hour,
                                              .speed = plan->speed,
                                              .act_s = (double)plan->act_ns / (double)NS_PER_S,
                                              .start_unix_s = NAN,
                                              .notes = notes,
                                              .note_n = n_notes}));
}

void feed_event(struct feed *f, double t_s, const char *who, int replicas, const char *text) {
    if (f->n_events == EVENTS_MAX) // a second with more: the newest tell
        memmove(f->events, f->events + 1, (--f->n_events) * sizeof(f->events[0]));
    struct event *e = &f->events[f->n_events++];
    e->t_s = t_s;
    e->replicas = replicas;
    (void)snprintf(e->who, sizeof(e->who), "%s", who);
    (void)snprintf(e->text, sizeof(e->text), "%s", text);
}

static struct frame_gpu gpu_of(int i, const struct act_gpu *g) {
    struct frame_gpu out = {.index = i,
                            .pod = g->pod,
                            .state = FRAME_GPU_FREE,
                            .utilization_pct = NAN,
                            .sm_pct = NAN,
                            .memory_pct = NAN};
    double used, total;
    if (g->pod && g->state == ROSTER_STARTING)
        out.state = FRAME_GPU_STARTING;
    else if (g->pod)
        out.state = g->requests ? FRAME_GPU_BUSY : FRAME_GPU_IDLE;
    (void)gpu_reading_get(&g->reading, GPU_UTILIZATION_PCT, &out.utilization_pct);
    if (gpu_reading_get(&g->reading, GPU_SM_ACTIVE_RATIO, &out.sm_pct))
        out.sm_pct *= 100;
    if (gpu_reading_get(&g->reading, GPU_MEMORY_USED_BYTES, &used) &&
        gpu_reading_get(&g->reading, GPU_MEMORY_FREE_BYTES, &total) && used + total > 0)
        out.memory_pct = used / (used + total) * 100;
    return out;
}

// CPU: the pods' average, beside the target. The other two policies' value is of all replicas
// together and their target a share of one (AverageValue): breached is what wants more replicas
// than there are.
static enum frame_signal_state state_of(enum driver_policy policy, const struct driver_signal *s,
                                        int spec) {
    if (!s->known || (policy != DRIVER_CPU && s->proposal < 0))
        return FRAME_SIGNAL_UNKNOWN;
    bool breached = policy == DRIVER_CPU ? s->value > s->target : s->proposal > spec;
    return breached ? FRAME_SIGNAL_BREACHED : FRAME_SIGNAL_QUIET;
}

static size_t signals_of(const struct feed_second *second, struct frame_signal *ret) {
    const struct driver_view *v = second->view->driver;
    for (size_t i = 0; i < v->n_signals; i++) {
        const struct driver_signal *s = &v->signals[i];
        ret[i] = (struct frame_signal){
            .name = s->name,
            .value = s->known ? s->value : NAN,
            .upper = s->known ? s->value : NAN,
            .target = s->target,
            .age_s = s->known && s->at_ns ? (double)(second->now_ns - s->at_ns) / (double)NS_PER_S
                                          : NAN,
            .state = state_of(second->policy, s, second->view->spec)};
    }
    return v->n_signals;
}

int feed_frame(struct feed *f, const struct feed_second *s) {
    const struct act_view *v = s->view;
    struct frame_gpu gpus[LIMIT_PLAYGROUND_GPUS];
    struct frame_signal seen[DRIVER_SIGNALS_MAX], said[SIGNAL_MAX];
    struct frame_decision decisions[EVENTS_MAX];
    struct frame out = frame_unknown;
    out.policy = plan_policy_id(s->policy);
    out.t_s = v->t_s < 0 ? 0 : v->t_s;
    out.replicas.wanted = v->driver && v->driver->desired >= 0 ? v->driver->desired : v->spec;
    out.replicas.spec = v->spec;
    out.replicas.ready = v->ready;
    out.replicas.starting = v->starting + v->pending;
    out.rps.arriving = s->arriving;
    out.rps.served = s->served;
    out.queue.engines = v->waiting;
    out.queue.held = (int32_t)v->gateway.held;
    for (int i = 0; i < v->gpu_n; i++)
        gpus[i] = gpu_of(i, &v->gpus[i]);
    out.gpus = gpus;
    out.gpu_n = (size_t)v->gpu_n;
    if (v->load) {
        out.latency_ms.p50 = v->load->p50_ms;
        out.latency_ms.p95 = v->load->p95_ms;
        out.latency_ms.p99 = v->load->p99_ms;
        out.errors = v->load->errors;
        out.served = v->load->done;
    }
    out.money.gpu_s = v->gpu_s;
    out.money.idle_gpu_s = v->idle_gpu_s;
    out.money.burned_usd = v->gpu_s / 3600 * s->usd_per_gpu_hour;
    out.money.idle_usd = v->idle_gpu_s / 3600 * s->usd_per_gpu_hour;
    if (v->driver && !(v->rule && rule_fill(v->rule, s->now_ns, &out, said))) {
        out.rule.text = v->driver->rule;
        out.rule.signals = seen;
        out.rule.signal_n = signals_of(s, seen);
    }
    for (size_t i = 0; i < f->n_events; i++) {
        const struct event *e = &f->events[i];
        decisions[i] = (struct frame_decision){e->t_s, e->who, e->replicas, e->text};
    }
    out.decisions = decisions;
    out.decision_n = f->n_events;
    int r = live_frame(f->live, &out);
    f->n_events = 0;
    return changed(f, r);
}

int feed_end(struct feed *f, const struct table_row *rows, size_t n, const struct feed_file *files,
             size_t n_files) {
    struct frame_row out[DRIVER_GPUSCALE + 1];
    struct frame_file named[8];
    for (size_t i = 0; i < n; i++)
        out[i] = (struct frame_row){.policy = rows[i].id,
                                    .gpu_s = rows[i].gpu_s,
                                    .idle_gpu_s = rows[i].idle_gpu_s,
                                    .usd = rows[i].usd,
                                    .p50_ms = rows[i].p50_ms,
                                    .p95_ms = rows[i].p95_ms,
                                    .p99_ms = rows[i].p99_ms,
                                    .errors = rows[i].errors,
                                    .served = rows[i].served,
                                    .scale_events = rows[i].scale_events,
                                    .slo_pct = NAN,
                                    .whole = rows[i].whole};
    n_files = n_files < COUNT_OF(named) ? n_files : COUNT_OF(named);
    for (size_t i = 0; i < n_files; i++)
        named[i] = (struct frame_file){files[i].name, files[i].path};
    return changed(f, live_end(f->live, &(struct frame_end){out, n, named, n_files}));
}

int feed_write_report(const struct feed *f, const char *path, struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, LIMIT_PAGE_HTML_BYTES + 2 * (size_t)LIMIT_LIVE_RUN_BYTES);
    int r = html_report(&b, f->live);
    return r < 0 ? err_set(e, r, "the report does not fit") : files_write(path, buf_str(&b), e);
}
