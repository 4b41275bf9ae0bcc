// SPDX-License-Identifier: Apache-2.0
/* `gpuscale top --json`: one object a refresh. */
#include <math.h>

#include "tools/top_json.h"

static void key(struct buf *b, const char *name) {
    if (b->len > 0 && b->p[b->len - 1] != '{')
        (void)buf_add_byte(b, ',');
    (void)buf_addf(b, "\"%s\":", name);
}

static void text(struct buf *b, const char *name, const char *v) {
    key(b, name);
    if (v == NULL || v[0] == '\0')
        (void)buf_addc(b, "null");
    else
        (void)buf_add_json(b, str_from(v));
}

static void number(struct buf *b, const char *name, double v) {
    key(b, name);
    if (isfinite(v))
        (void)buf_add_double(b, v);
    else
        (void)buf_addc(b, "null");
}

static void count(struct buf *b, const char *name, long v) {
    number(b, name, v < 0 ? NAN : (double)v);
}

static void flag(struct buf *b, const char *name, bool v) {
    key(b, name);
    (void)buf_addc(b, v ? "true" : "false");
}

static void add_gpu(struct buf *b, const struct top_gpu *g) {
    (void)buf_add_byte(b, '{');
    text(b, "uuid", g->uuid);
    text(b, "node", g->node);
    count(b, "index", g->index);
    text(b, "model", g->model);
    text(b, "mig_profile", g->mig);
    text(b, "state", g->state == TOP_UNKNOWN ? "unknown" : top_state_name(g->state));
    key(b, "pods");
    if (!g->owners_known) {
        (void)buf_addc(b, "null");
    } else {
        (void)buf_add_byte(b, '[');
        for (size_t i = 0; i < g->owners_n; i++) {
            (void)buf_addc(b, i > 0 ? ",{" : "{");
            text(b, "namespace", g->owners[i].namespace_);
            text(b, "pod", g->owners[i].pod);
            if (g->owners[i].part_known) // else the whole GPU's value is all that is known
                number(b, "utilization_max_pct", g->owners[i].part_pct);
            (void)buf_add_byte(b, '}');
        }
        (void)buf_add_byte(b, ']');
    }
    count(b, "holders", g->owners_known ? (long)g->pods : -1);
    number(b, "utilization_pct", g->util_pct);
    number(b, "sm_activity_pct", g->sm_pct);
    number(b, "memory_used_bytes", g->memory_used_bytes);
    number(b, "memory_total_bytes", g->memory_total_bytes);
    number(b, "power_w", g->power_w);
    number(b, "reading_age_s", g->age_s);
    number(b, "idle_seen_s", g->idle_s);
    number(b, "usd_per_hour", g->usd_per_hour);
    (void)buf_add_byte(b, '}');
}

static void total(struct buf *b, const char *name, const char *partial, const struct top_total *t) {
    number(b, name, t->value);
    flag(b, partial, t->partial);
}

static void add_workload(struct buf *b, const struct top_workload *w) {
    (void)buf_add_byte(b, '{');
    text(b, "namespace", w->namespace_);
    text(b, "target", w->target);
    count(b, "spec_replicas", w->spec);
    count(b, "ready_replicas", w->ready);
    count(b, "starting_replicas", w->starting);
    count(b, "desired_replicas", w->unavailable ? -1 : w->desired);
    flag(b, "unavailable", w->unavailable);
    text(b, "reason", w->reason);
    text(b, "error", w->error);
    total(b, "requests_per_s", "requests_partial", &w->rate);
    total(b, "running", "running_partial", &w->running);
    total(b, "queue", "queue_partial", &w->queue);
    number(b, "kv_cache_max_pct", w->kv_pct);
    count(b, "gpus", w->gpus);
    count(b, "idle_gpus", w->idle_gpus);
    number(b, "usd_per_hour", w->usd_per_hour);
    number(b, "idle_usd_per_hour", w->idle_usd_per_hour);
    (void)buf_add_byte(b, '}');
}

static void add_sum(struct buf *b, const struct top_snapshot *s) {
    struct top_sum t = top_sum(s);
    key(b, "sum");
    (void)buf_add_byte(b, '{');
    count(b, "gpus", (long)t.gpus);
    count(b, "held", (long)t.held);
    count(b, "holder_unknown", (long)t.holder_unknown);
    count(b, "busy", (long)t.busy);
    count(b, "idle", (long)t.idle);
    count(b, "free", (long)t.free);
    count(b, "unknown", (long)t.dark);
    number(b, "usd_per_hour", t.gpus > 0 && t.unpriced == t.gpus ? NAN : t.usd_per_hour);
    count(b, "unpriced", (long)t.unpriced);
    bool no_idle_price = t.idle_unpriced > 0 && t.idle_unpriced == t.idle + t.free;
    number(b, "idle_usd_per_hour", no_idle_price ? NAN : t.idle_usd_per_hour);
    count(b, "idle_unpriced", (long)t.idle_unpriced);
    (void)buf_add_byte(b, '}');
}

int top_json_write(struct buf *b, const struct top_snapshot *s, const char *server,
                   const char *time) {
    (void)buf_add_byte(b, '{');
    text(b, "time", time);
    text(b, "server", server);
    add_sum(b, s);
    key(b, "gpus");
    (void)buf_add_byte(b, '[');
    for (size_t i = 0; i < s->gpus.n; i++) {
        (void)buf_addc(b, i > 0 ? "," : "");
        add_gpu(b, &s->gpus.items[i]);
    }
    (void)buf_addc(b, "]");
    key(b, "workloads");
    (void)buf_add_byte(b, '[');
    for (size_t i = 0; i < s->workloads.n; i++) {
        (void)buf_addc(b, i > 0 ? "," : "");
        add_workload(b, &s->workloads.items[i]);
    }
    (void)buf_addc(b, "]}\n");
    return b->err;
}
