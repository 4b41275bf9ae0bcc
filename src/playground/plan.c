// SPDX-License-Identifier: Apache-2.0
/* The demo's numbers; see plan.h. docs/demo.md says why they are so. */
#include "playground/plan.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"

// The load's course: (part of the act, part of the plateau's rate), linear between.
static const struct {
    double at, rate;
} shape[] = {{0.000, 0.1}, {0.025, 0.1}, {0.250, 1.0}, {0.600, 1.0},
             {0.600, 1.3}, {0.650, 1.3}, {0.650, 0.1}, {1.000, 0.1}};

double plan_rate_at(const struct plan *p, double t_s) {
    double x = t_s / ((double)p->act_ns / (double)NS_PER_S);
    for (size_t i = 1; i < COUNT_OF(shape); i++) {
        if (x >= shape[i].at || shape[i].at == shape[i - 1].at)
            continue;
        double part = (x - shape[i - 1].at) / (shape[i].at - shape[i - 1].at);
        return p->rate * (shape[i - 1].rate + part * (shape[i].rate - shape[i - 1].rate));
    }
    return 0;
}

int plan_shape(struct buf *out, const struct plan *p) {
    double act_ms = (double)p->act_ns / (double)NS_PER_MS;
    for (size_t i = 1; i < COUNT_OF(shape); i++) {
        double ms = (shape[i].at - shape[i - 1].at) * act_ms;
        double from = shape[i - 1].rate * p->rate, to = shape[i].rate * p->rate;
        if (ms <= 0)
            continue;
        if (out->len)
            (void)buf_add_byte(out, ',');
        if (from == to)
            (void)buf_addf(out, "%.4g@%.0fms", from, ms);
        else
            (void)buf_addf(out, "%.4g..%.4g@%.0fms", from, to, ms);
    }
    return out->err;
}

const char *plan_policy_id(enum driver_policy p) {
    static const char *const ids[] = {
        [DRIVER_CPU] = "cpu", [DRIVER_CLASSIC] = "classic", [DRIVER_GPUSCALE] = "gpuscale"};
    return ids[p];
}

static double in_range(const char *name, double given, double fallback, double least, double most,
                       struct err *e) {
    double v = given != 0 ? given : fallback;
    if (e->code == 0 && (v < least || v > most)) // the first mistake is told
        (void)err_set(e, ERR_INVALID, "--%s: %g is not between %g and %g", name, v, least, most);
    return v;
}

// A duration of Kubernetes' world, divided by speed; a trigger's key has its least.
static const char *hastened(struct plan *p, size_t i, double s, double least_s) {
    double hasty_s = s / p->speed < least_s ? least_s : s / p->speed;
    units_format_duration((int64_t)(hasty_s * 1e3) * NS_PER_MS, p->texts[i], sizeof(p->texts[i]));
    return p->texts[i];
}

static void add_rule(struct plan *p, size_t *n, const char *key, const char *value) {
    p->rule[*n][0] = key;
    p->rule[*n][1] = value;
    ++*n;
}

static void make_rule(struct plan *p) {
    size_t n = 0;
    add_rule(p, &n, "scalerAddress", "in-this-demo");
    if (p->classic) { // the pair of the recipe, and here it means both
        add_rule(p, &n, "engine", "custom");
        add_rule(p, &n, "queue", "10");
        add_rule(p, &n, "gpuUtilization", "55");
    } else {
        add_rule(p, &n, "engine", "vllm");
        (void)snprintf(p->texts[n], sizeof(p->texts[n]), "%g", p->capacity);
        add_rule(p, &n, "capacity", p->texts[n]);
        add_rule(p, &n, "kvCache", "0.85");
    }
    add_rule(p, &n, "demand", "gateway");
    add_rule(p, &n, "rateWindow", hastened(p, n, 60, 1));
    add_rule(p, &n, "downWindow", hastened(p, n, 300, 0));
    add_rule(p, &n, "maxAge", hastened(p, n, 30, 5));
}

int plan_make(struct plan *ret, const struct plan_options *o, struct err *e) {
    struct err found = {0};
    struct plan p = {.classic = o->classic,
                     .profile = o->classic ? "classic" : "llama3-8b-h100",
                     .tokens = "1000:128:fixed",
                     .max_queue = 128,
                     .seed = o->seed ? o->seed : 1,
                     .min_replicas = 1};
    if (!o->classic)
        p.settings[0] = "max-sequences=32";
    p.speed = in_range("speed", o->speed, 30, 1, 50, &found);
    p.capacity = in_range("capacity", o->capacity, o->classic ? 4 : 16, 0.1, 1000, &found);
    p.rate = in_range("rate", o->rate, o->classic ? 14 : 60, 0.1, 1000, &found);
    p.cpu_request_cores = in_range("cpu-request", o->cpu_request_cores, 2, 0.01, 64, &found);
    p.usd_per_gpu_hour = in_range("price", o->usd_per_gpu_hour, 3, 0.01, 1000, &found);
    p.gpus = (int)in_range("gpus", o->gpus, 8, 1, LIMIT_PLAYGROUND_GPUS, &found);
    p.max_replicas = (int)in_range("max-replicas", o->max_replicas, p.gpus, 1,
                                   LIMIT_PLAYGROUND_REPLICAS, &found);
    p.act_ns = o->act_ns ? o->act_ns : 40 * NS_PER_S;
    p.cold_start_ns = o->cold_start_ns < 0 ? 2 * NS_PER_S : o->cold_start_ns;
    p.drain_ns = 10 * NS_PER_S;
    p.timeout_ns = 20 * NS_PER_S;
    if (p.act_ns < 5 * NS_PER_S || p.act_ns > 3600 * NS_PER_S)
        (void)err_set(&found, ERR_INVALID, "--duration: 5s to 1h is possible for an act");
    if (p.cold_start_ns > 300 * NS_PER_S)
        (void)err_set(&found, ERR_INVALID, "--cold-start: 0s to 5m is possible");
    if (found.code < 0)
        return err_set(e, found.code, "%s", found.msg);
    *ret = p;
    make_rule(ret); // texts are in *ret
    return 0;
}

// The trigger's keys in one line.
static void rule_text(const struct plan *p, char *dst, size_t cap) {
    size_t n = 0;
    dst[0] = '\0';
    for (size_t i = 1; p->rule[i][0] && n < cap; i++) {
        int more = snprintf(dst + n, cap - n, "%s%s: %s", i > 1 ? ", " : "", p->rule[i][0],
                            p->rule[i][1]);
        n += more > 0 ? (size_t)more : 0;
    }
}

size_t plan_notes(const struct plan *p, char ret[PLAN_NOTES_MAX][PLAN_NOTE_LEN]) {
    char rule[PLAN_NOTE_LEN];
    size_t n = 0;
    rule_text(p, rule, sizeof(rule));
    (void)snprintf(ret[n++], PLAN_NOTE_LEN,
                   "Simulated are the GPUs and the time that a model takes (profile %s). Real are "
                   "processes, requests, metrics pages, gRPC and the CPU time that the HPA reads.",
                   p->profile);
    (void)snprintf(ret[n++], PLAN_NOTE_LEN,
                   "Time constants of Kubernetes, KEDA, Prometheus and the rules are divided by "
                   "%g, for all policies alike; requests, engines and cold starts (%.3g s) run in "
                   "real time.",
                   p->speed, (double)p->cold_start_ns / (double)NS_PER_S);
    (void)snprintf(ret[n++], PLAN_NOTE_LEN,
                   "CPU: an HPA at 70 %% of the %g cores that a pod requests. Classic: KEDA's two "
                   "prometheus triggers, GPU utilization 55 and queue 10, as the recipe has them.",
                   p->cpu_request_cores);
    if (p->cpu_request_cores >= 1 && !p->classic)
        (void)snprintf(ret[n++], PLAN_NOTE_LEN,
                       "Of %g cores these engines use 3 %% at their limit, so that the HPA on CPU "
                       "does not move. A request measured for this very load makes it follow the "
                       "rate: --cpu-request 0.08 (docs/demo-policies.md).",
                       p->cpu_request_cores);
    (void)snprintf(ret[n++], PLAN_NOTE_LEN, "gpuscale: %.220s", rule);
    (void)snprintf(ret[n++], PLAN_NOTE_LEN,
                   "Each policy gets the same requests (seed %llu), %d to %d replicas of one GPU "
                   "each, and begins with %d.",
                   (unsigned long long)p->seed, p->min_replicas, p->max_replicas, p->min_replicas);
    return n;
}
