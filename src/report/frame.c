// SPDX-License-Identifier: Apache-2.0
/* Frames as JSON; see the header. The members' order is fixed: equal frames are equal bytes. */
#include "report/frame.h"

enum { ROUND = 10000 }; // four decimals are more than anybody reads

const struct frame frame_unknown = {
    .t_s = NAN,
    .replicas = {-1, -1, -1, -1},
    .rps = {NAN, NAN},
    .queue = {-1, -1},
    .latency_ms = {NAN, NAN, NAN},
    .errors = -1,
    .served = -1,
    .money = {NAN, NAN, NAN, NAN},
};

static const char *const gpu_states[] = {
    [FRAME_GPU_UNKNOWN] = "unknown", [FRAME_GPU_FREE] = "free", [FRAME_GPU_STARTING] = "starting",
    [FRAME_GPU_IDLE] = "idle",       [FRAME_GPU_BUSY] = "busy",
};
static const char *const signal_states[] = {
    [FRAME_SIGNAL_UNKNOWN] = "unknown",
    [FRAME_SIGNAL_QUIET] = "quiet",
    [FRAME_SIGNAL_BREACHED] = "breached",
    [FRAME_SIGNAL_SIZES] = "sizes",
};

// "name": after a comma, unless it is the first of its object.
static void key(struct buf *b, const char *name) {
    if (b->len > 0 && b->p[b->len - 1] != '{')
        (void)buf_add_byte(b, ',');
    (void)buf_addf(b, "\"%s\":", name);
}

static void add_text(struct buf *b, const char *name, const char *text) {
    key(b, name);
    (void)buf_add_json(b, str_from(text ? text : ""));
}

static void add_number(struct buf *b, const char *name, double v) {
    key(b, name);
    if (!isfinite(v))
        (void)buf_addc(b, "null");
    else
        (void)buf_add_double(b, fabs(v) < 1e9 ? round(v * ROUND) / ROUND + 0.0 : v);
}

static void add_count(struct buf *b, const char *name, int64_t v) {
    key(b, name);
    if (v < 0)
        (void)buf_addc(b, "null");
    else
        (void)buf_add_i64(b, v);
}

static void add_bool(struct buf *b, const char *name, bool v) {
    key(b, name);
    (void)buf_addc(b, v ? "true" : "false");
}

// "name":{ or "name":[
static void open_(struct buf *b, const char *name, char bracket) {
    key(b, name);
    (void)buf_add_byte(b, bracket);
}

// { of the i-th item of a list
static void item(struct buf *b, size_t i) {
    (void)buf_addc(b, i > 0 ? ",{" : "{");
}

static void put(struct buf *b, char bracket) {
    (void)buf_add_byte(b, bracket);
}

int frame_hello_json(struct buf *b, const struct frame_hello *h) {
    put(b, '{');
    add_text(b, "run", h->run);
    add_text(b, "title", h->title);
    add_text(b, "kind", h->kind == FRAME_DEMO ? "demo" : "scaler");
    open_(b, "policies", '[');
    for (size_t i = 0; i < h->policy_n; i++) {
        item(b, i);
        add_text(b, "id", h->policies[i].id);
        add_text(b, "label", h->policies[i].label);
        add_text(b, "about", h->policies[i].about);
        put(b, '}');
    }
    put(b, ']');
    add_count(b, "gpus", h->gpus);
    add_number(b, "usdPerGpuHour", h->usd_per_gpu_hour);
    add_number(b, "speed", h->speed);
    add_number(b, "actSeconds", h->act_s);
    add_number(b, "startUnixS", h->start_unix_s);
    open_(b, "notes", '[');
    for (size_t i = 0; i < h->note_n; i++) {
        if (i > 0)
            put(b, ',');
        (void)buf_add_json(b, str_from(h->notes[i]));
    }
    put(b, ']');
    put(b, '}');
    return b->err;
}

static void add_gpus(struct buf *b, const struct frame *f) {
    open_(b, "gpus", '[');
    for (size_t i = 0; i < f->gpu_n; i++) {
        const struct frame_gpu *g = &f->gpus[i];
        item(b, i);
        add_count(b, "index", g->index);
        add_text(b, "pod", g->pod);
        add_text(b, "state", gpu_states[g->state]);
        add_number(b, "utilizationPct", g->utilization_pct);
        add_number(b, "smPct", g->sm_pct);
        add_number(b, "memoryPct", g->memory_pct);
        if (g->part != FRAME_PART_ALONE)
            add_text(b, "shared", g->part == FRAME_PART_OWN ? "own" : "whole");
        put(b, '}');
    }
    put(b, ']');
}

static void add_latency(struct buf *b, const struct frame *f) {
    if (!isfinite(f->latency_ms.p50) && !isfinite(f->latency_ms.p95) &&
        !isfinite(f->latency_ms.p99)) {
        key(b, "latencyMs");
        (void)buf_addc(b, "null");
        return;
    }
    open_(b, "latencyMs", '{');
    add_number(b, "p50", f->latency_ms.p50);
    add_number(b, "p95", f->latency_ms.p95);
    add_number(b, "p99", f->latency_ms.p99);
    put(b, '}');
}

static void add_rule(struct buf *b, const struct frame *f) {
    open_(b, "rule", '{');
    add_text(b, "text", f->rule.text);
    open_(b, "signals", '[');
    for (size_t i = 0; i < f->rule.signal_n; i++) {
        const struct frame_signal *s = &f->rule.signals[i];
        item(b, i);
        add_text(b, "name", s->name);
        add_bool(b, "known", isfinite(s->value));
        add_number(b, "value", s->value);
        add_number(b, "upper", s->upper);
        add_number(b, "target", s->target);
        add_text(b, "unit", s->unit);
        add_number(b, "ageS", s->age_s);
        add_text(b, "state", signal_states[s->state]);
        put(b, '}');
    }
    put(b, ']');
    put(b, '}');
}

static void add_decisions(struct buf *b, const struct frame *f) {
    open_(b, "decisions", '[');
    for (size_t i = 0; i < f->decision_n; i++) {
        const struct frame_decision *d = &f->decisions[i];
        item(b, i);
        add_number(b, "tS", d->t_s);
        add_text(b, "who", d->who);
        add_count(b, "replicas", d->replicas);
        add_text(b, "text", d->text);
        put(b, '}');
    }
    put(b, ']');
}

int frame_json(struct buf *b, const struct frame *f) {
    put(b, '{');
    add_text(b, "policy", f->policy);
    add_number(b, "tS", f->t_s);
    open_(b, "replicas", '{');
    add_count(b, "wanted", f->replicas.wanted);
    add_count(b, "spec", f->replicas.spec);
    add_count(b, "ready", f->replicas.ready);
    add_count(b, "starting", f->replicas.starting);
    put(b, '}');
    open_(b, "rps", '{');
    add_number(b, "arriving", f->rps.arriving);
    add_number(b, "served", f->rps.served);
    put(b, '}');
    open_(b, "queue", '{');
    add_count(b, "engines", f->queue.engines);
    add_count(b, "held", f->queue.held);
    put(b, '}');
    add_gpus(b, f);
    add_latency(b, f);
    add_count(b, "errors", f->errors);
    add_count(b, "served", f->served);
    open_(b, "money", '{');
    add_number(b, "gpuSeconds", f->money.gpu_s);
    add_number(b, "idleGpuSeconds", f->money.idle_gpu_s);
    add_number(b, "burnedUsd", f->money.burned_usd);
    add_number(b, "idleUsd", f->money.idle_usd);
    put(b, '}');
    add_rule(b, f);
    add_decisions(b, f);
    put(b, '}');
    return b->err;
}

int frame_end_json(struct buf *b, const struct frame_end *e) {
    put(b, '{');
    open_(b, "table", '[');
    for (size_t i = 0; i < e->row_n; i++) {
        const struct frame_row *r = &e->rows[i];
        item(b, i);
        add_text(b, "policy", r->policy);
        add_number(b, "gpuSeconds", r->gpu_s);
        add_number(b, "idleGpuSeconds", r->idle_gpu_s);
        add_number(b, "usd", r->usd);
        add_number(b, "p50Ms", r->p50_ms);
        add_number(b, "p95Ms", r->p95_ms);
        add_number(b, "p99Ms", r->p99_ms);
        add_count(b, "errors", r->errors);
        add_count(b, "served", r->served);
        add_count(b, "scaleEvents", r->scale_events);
        add_number(b, "withinSloPct", e->slo != NULL ? r->slo_pct : NAN);
        add_bool(b, "whole", r->whole);
        put(b, '}');
    }
    put(b, ']');
    add_text(b, "slo", e->slo);
    open_(b, "files", '{');
    for (size_t i = 0; i < e->file_n; i++)
        add_text(b, e->files[i].name, e->files[i].path);
    put(b, '}');
    put(b, '}');
    return b->err;
}
