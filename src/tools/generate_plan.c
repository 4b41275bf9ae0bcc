// SPDX-License-Identifier: Apache-2.0
/* Choosing the rule, the bounds and the rest; see the header. */
#include "tools/generate_plan.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { PRESETS_MAX = 32, NAME_MAX_BYTES = 63, HPA_PREFIX = 9 };

int plan_fail(struct generate_plan *p, int code, const char *fmt, ...) {
    if (p->r < 0)
        return p->r;
    va_list ap;
    va_start(ap, fmt);
    (void)err_vset(p->e, code, fmt, ap);
    va_end(ap);
    return p->r = code;
}

// NULL: no memory, which is noted.
__attribute__((format(printf, 2, 0))) static const char *keep_text(struct generate_plan *p,
                                                                   const char *fmt, va_list ap) {
    char text[2048];
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    const char *kept = arena_strdup(p->a, str_from(text));
    if (!kept)
        (void)plan_fail(p, ERR_NOMEM, "out of memory");
    return kept;
}

const char *plan_text(struct generate_plan *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *kept = keep_text(p, fmt, ap);
    va_end(ap);
    return kept ? kept : "";
}

void plan_remark(struct generate_plan *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *kept = keep_text(p, fmt, ap);
    va_end(ap);
    if (kept && p->n_remarks < PLAN_REMARKS)
        p->remarks[p->n_remarks++] = kept;
}

const char *plan_get(const struct generate_plan *p, const char *key) {
    for (size_t i = 0; i < p->n_settings; i++)
        if (strcmp(p->settings[i].key, key) == 0)
            return p->settings[i].value;
    return NULL;
}

void plan_set(struct generate_plan *p, const char *key, const char *value, const char *why) {
    if (plan_get(p, key))
        return;
    if (p->n_settings == PLAN_SETTINGS) {
        (void)plan_fail(p, ERR_LIMIT, "more than %d keys of metadata", PLAN_SETTINGS);
        return;
    }
    p->settings[p->n_settings++] = (struct generate_setting){
        .key = key, .value = value, .why = why};
}

bool plan_gpus_are_own(const struct generate_plan *p) {
    if (!p->workload)
        return true; // not known: the triggers that were there are believed
    const char *resource = p->workload->gpu_resource;
    return p->workload->gpu_claims || (resource && str_starts(str_from(resource), "nvidia.com/") &&
                                       !str_ends(str_from(resource), ".shared"));
}

bool plan_engine_tells(const struct generate_plan *p, enum engine_value v) {
    return engine_preset_provides(p->engine.preset) >> v & 1;
}

// ---- Flags --------------------------------------------------------------------------------------

static void take_flags(struct generate_plan *p) {
    for (unsigned i = 0; generate_key(i); i++) {
        const char *value = generate_flag(p->flags, generate_key(i));
        if (value)
            plan_set(p, generate_key(i), value, NULL);
    }
    for (size_t i = 0; i < p->flags->set.n; i++) {
        struct str value = str_from(p->flags->set.items[i]);
        struct str key = str_cut(&value, '=');
        if (!memchr(p->flags->set.items[i], '=', strlen(p->flags->set.items[i])) || key.n == 0) {
            (void)plan_fail(p, ERR_INVALID, "flag --set: found '%s', expected KEY=VALUE",
                            p->flags->set.items[i]);
            return;
        }
        const char *kept = arena_strdup(p->a, key);
        if (kept)
            plan_set(p, kept, value.p, NULL);
    }
}

static int64_t number_of(struct generate_plan *p, const char *flag, const char *text) {
    long long v = 0;
    if (str_to_i64(str_from(text), &v) < 0 || v < 0 || v > 100000)
        (void)plan_fail(p, ERR_INVALID,
                        "flag --%s: found '%s', expected a number of replicas, 0 to 100000", flag,
                        text);
    return v;
}

static void take_version(struct generate_plan *p) {
    struct str minor = str_from(p->flags->kubernetes);
    struct str major = str_cut(&minor, '.');
    long long v = 0;
    if (!str_eqc(major, "1") || str_to_i64(minor, &v) < 0 || v < 0) {
        (void)plan_fail(p, ERR_INVALID, "flag --kubernetes: found '%s', expected as in 1.35",
                        p->flags->kubernetes);
        return;
    }
    p->tolerance = v >= 35;
}

// ---- The rule -----------------------------------------------------------------------------------

static bool sizes(const struct generate_plan *p) {
    static const char *const keys[] = {"capacity", "work", "requestRate", "tokenRate", "running"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (plan_get(p, keys[i]))
            return true;
    for (size_t i = 0; i < p->n_settings; i++)
        if (str_starts(str_from(p->settings[i].key), "prometheus."))
            return true;
    uint32_t linear = p->engine.preset->linear;
    return (linear & ENGINE_LINEAR_GPU_UTILIZATION && plan_get(p, "gpuUtilization")) ||
           (linear & ENGINE_LINEAR_SM_ACTIVITY && plan_get(p, "smActivity"));
}

static bool learns(const struct generate_plan *p) {
    return p->engine.preset->continuous_batching && plan_engine_tells(p, ENGINE_ITL_SUM_S) &&
           plan_engine_tells(p, ENGINE_ITL_COUNT) && plan_engine_tells(p, ENGINE_REQUESTS_TOTAL) &&
           plan_engine_tells(p, ENGINE_GENERATION_TOKENS_TOTAL);
}

static void size_by_slots(struct generate_plan *p) {
    long long slots = 0;
    if (!p->engine.parallel || str_to_i64(str_from(p->engine.parallel), &slots) < 0 || slots < 1) {
        (void)plan_fail(p, ERR_INVALID,
                        "llama.cpp counts no requests, and how many slots it has (--parallel) is "
                        "not among its arguments: --running N says how many requests a replica is "
                        "to serve at once, or --capacity N with --demand");
        return;
    }
    long long run = slots * 3 / 4 > 0 ? slots * 3 / 4 : 1;
    plan_set(p, "running", plan_text(p, "%lld", run),
             plan_text(p, "of %lld slots (--parallel): a little room is left", slots));
}

static void size_by_gpu(struct generate_plan *p) {
    plan_set(p, "gpuUtilization", "55",
             "percent to run at: this engine does one request (or batch) at a time, so GPU "
             "activity grows with the load; it sizes up and down");
    if (!plan_engine_tells(p, ENGINE_QUEUE))
        return;
    plan_set(p, "queue", "10", "waiting requests a replica: a guard, it raises, never lowers");
    plan_set(p, "when", "all",
             "raises only while queue and GPU are both above; down by the GPU alone");
}

static void size(struct generate_plan *p) {
    const struct engine_preset *preset = p->engine.preset;
    if (sizes(p))
        return;
    if (learns(p)) {
        plan_set(p, "capacity", "learn",
                 "what one replica can do is learned from its tokens and inter-token latency; a "
                 "number (requests a second within the SLO) takes its place where it was measured");
        return;
    }
    if (strcmp(preset->name, "llamacpp") == 0) {
        size_by_slots(p);
        return;
    }
    if (preset->linear & ENGINE_LINEAR_GPU_UTILIZATION && plan_gpus_are_own(p)) {
        size_by_gpu(p);
        return;
    }
    if (preset->linear & ENGINE_LINEAR_GPU_UTILIZATION)
        (void)plan_fail(p, ERR_INVALID,
                        "the GPU activity of this workload's pods cannot be known (%s), and engine "
                        "%s has nothing else to learn from: --capacity N says how many requests a "
                        "second one replica serves within its SLO",
                        p->workload && p->workload->gpu_resource ? p->workload->gpu_resource
                                                                 : "they hold no GPU",
                        preset->name);
    else
        (void)plan_fail(p, ERR_INVALID,
                        "engine %s tells no inter-token latency, so what a replica can do is not "
                        "learned: --capacity N says how many requests a second one replica serves "
                        "within its SLO (gpuscale load measures it)%s",
                        preset->name,
                        plan_engine_tells(p, ENGINE_REQUESTS_TOTAL) || plan_get(p, "demand")
                            ? ""
                            : ", and --demand NAME where requests are counted");
}

// An engine that batches continuously gets guards where nobody named one.
static void guard(struct generate_plan *p) {
    if (!p->engine.preset->continuous_batching || plan_get(p, "queue") || plan_get(p, "kvCache") ||
        strcmp(p->engine.preset->name, "dynamo") == 0)
        return;
    if (plan_engine_tells(p, ENGINE_KV_CACHE_RATIO))
        plan_set(p, "kvCache", "0.9",
                 "a guard: raises when the KV caches are this full, never lowers");
    if (plan_engine_tells(p, ENGINE_QUEUE) && !learns(p))
        plan_set(p, "queue", "5", "waiting requests a replica: a guard, it raises, never lowers");
}

static void choose_slo(struct generate_plan *p) {
    const char *capacity = plan_get(p, "capacity");
    if (!capacity || strcmp(capacity, "learn") != 0)
        return;
    plan_set(p, "itl", "100ms", "the SLO between two tokens: what the capacity is learned for");
    plan_set(
        p, "ttft", "2.5s",
        "the SLO to the first token (an edge of the engine's histogram): misses trim the size");
}

// GPU activity that can neither size nor confirm anything is left out, and said.
static void drop_useless(struct generate_plan *p) {
    static const char *const keys[] = {"gpuUtilization", "smActivity", "tensorActivity"};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (plan_get(p, keys[i]) && !plan_gpus_are_own(p))
            plan_remark(p,
                        "%s: the GPUs of these pods (%s) are not their own, or not NVIDIA's: their "
                        "activity will be unknown.",
                        keys[i], p->workload->gpu_resource ? p->workload->gpu_resource : "none");
}

// ---- The binding --------------------------------------------------------------------------------

// Is it what the scaler will take? Its own code says so.
static void check_metadata(struct generate_plan *p) {
    struct trigger_preset presets[PRESETS_MAX];
    size_t n = 0;
    for (unsigned i = 0; i < engine_presets_n && n < PRESETS_MAX; i++) {
        const struct engine_preset *e = engine_presets[i];
        uint32_t linear = 0;
        linear |= e->linear & ENGINE_LINEAR_GPU_UTILIZATION ? 1u << SIGNAL_GPU_UTILIZATION : 0;
        linear |= e->linear & ENGINE_LINEAR_SM_ACTIVITY ? 1u << SIGNAL_SM_ACTIVITY : 0;
        presets[n++] = (struct trigger_preset){.name = e->name,
                                               .continuous_batching = e->continuous_batching,
                                               .linear = linear,
                                               .provides = engine_preset_provides(e)};
    }
    struct trigger_kv kv[PLAN_SETTINGS];
    for (size_t i = 0; i < p->n_settings; i++)
        kv[i] = (struct trigger_kv){str_from(p->settings[i].key), str_from(p->settings[i].value)};
    struct trigger *t = NULL;
    int r = trigger_bind(&t, kv, p->n_settings, presets, n, p->e);
    if (r < 0)
        p->r = err_wrap(p->e, "the scaler would refuse this rule");
    (void)trigger_free(t);
}

// ---- Names and bounds ---------------------------------------------------------------------------

// "rollout/llm", "KIND.VERSION.GROUP/NAME".
static void take_target(struct generate_plan *p, const char *text) {
    static const struct {
        const char *word, *kind, *api;
    } known[] = {{"deployment", "Deployment", "apps/v1"},
                 {"statefulset", "StatefulSet", "apps/v1"},
                 {"leaderworkerset", "LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1"},
                 {"rollout", "Rollout", "argoproj.io/v1alpha1"}};
    struct str name = str_from(text);
    struct str kind = str_cut(&name, '/');
    p->target_name = name.p;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq_nocase(kind, str_from(known[i].word))) {
            p->target_kind = known[i].kind;
            p->target_api = known[i].api;
        }
    struct str group = kind;
    struct str word = str_cut(&group, '.'), version = str_cut(&group, '.');
    if (!p->target_kind && group.n > 0 && version.n > 0) {
        p->target_kind = arena_strdup(p->a, word);
        p->target_api = plan_text(p, STR_FMT "/" STR_FMT, STR_ARG(group), STR_ARG(version));
    }
    if (!p->target_kind || name.n == 0)
        (void)plan_fail(p, ERR_INVALID,
                        "flag --target: found '%s', expected deployment/NAME, statefulset/NAME, "
                        "leaderworkerset/NAME, rollout/NAME or, of other kinds, "
                        "KIND.VERSION.GROUP/NAME",
                        text);
}

static void name_things(struct generate_plan *p) {
    const struct generate_flags *f = p->flags;
    const struct manifest_scalable *w = p->workload;
    const struct manifest_scaled *s = p->from;
    if (f->target) {
        take_target(p, f->target);
    } else if (s) {
        p->target_api = s->target_api;
        p->target_kind = s->target_kind;
        p->target_name = s->target_name;
    } else {
        p->target_api = w->api_version;
        p->target_kind = w->kind;
        p->target_name = w->name;
    }
    const char *told = s && s->namespace_ ? s->namespace_ : w ? w->namespace_ : NULL;
    if (told)
        p->namespace_ = told;
    else if (f->namespace_)
        p->namespace_ = f->namespace_;
    p->name = f->name ? f->name : s ? s->name : p->target_name;
    char *text = arena_printf(p->a, "%s/%s", p->target_kind, p->target_name);
    for (char *c = text; c && *c != '/'; c++)
        *c = (char)tolower((unsigned char)*c);
    p->workload_text = text ? text : "";
    if (p->r == 0 && strlen(p->name) > NAME_MAX_BYTES)
        (void)plan_fail(p, ERR_INVALID,
                        "the name %s is longer than %d bytes, which KEDA refuses: --name says a "
                        "shorter one",
                        p->name, NAME_MAX_BYTES);
}

static void bound_below(struct generate_plan *p) {
    const struct manifest_scaled *s = p->from;
    bool zero_possible = p->demand || p->n_kept > 0;
    if (p->flags->min) {
        p->min = number_of(p, "min", p->flags->min);
        if (p->r == 0 && p->min == 0 && !zero_possible)
            (void)plan_fail(p, ERR_INVALID,
                            "--min 0 needs something that knows of requests while no pod exists: "
                            "--demand NAME, a demand source of the scaler's configuration (a "
                            "gateway), or a query of Prometheus (--set prometheus.NAME=SERVER)");
        return;
    }
    if (s) {
        p->min = s->min;
        if (p->min > 0 || zero_possible)
            return;
        p->min = 1;
        p->min_why = "0 before. Nothing here knows of requests while no pod exists, so at zero "
                     "nothing could start it again: --demand NAME makes 0 possible";
        return;
    }
    p->min = zero_possible ? 0 : 1;
    p->min_why = zero_possible
                     ? "to zero and back: the demand source knows of requests while no pod exists"
                     : "nothing here knows of requests while no pod exists, so one replica stays: "
                       "--demand NAME (a gateway of the scaler's configuration) makes 0 possible";
}

static void bound_above(struct generate_plan *p) {
    enum { USUAL_MAX = 10 };
    if (p->flags->max) {
        p->max = number_of(p, "max", p->flags->max);
    } else if (p->from && (p->from->max_told || !p->workload)) {
        p->max = p->from->max;
        return;
    } else {
        p->max = p->replicas * 2 > USUAL_MAX ? p->replicas * 2 : USUAL_MAX;
        int64_t gpus = p->workload ? p->workload->gpus : 0;
        p->max_why =
            gpus > 0 ? plan_text(p,
                                 "chosen here, nobody said one (--max): %lld GPUs at most; KEDA's "
                                 "own default is 100 replicas",
                                 (long long)(p->max * gpus))
                     : "chosen here, nobody said one (--max); KEDA's own default is 100";
    }
    if (p->r == 0 && (p->max < p->min || p->max < 1))
        (void)plan_fail(p, ERR_INVALID, "--max %lld is below %s %lld", (long long)p->max,
                        p->max < 1 ? "" : "the fewest replicas,", (long long)p->min);
}

static void bound(struct generate_plan *p) {
    p->demand = plan_get(p, "demand") != NULL;
    for (size_t i = 0; i < p->n_settings; i++)
        p->demand = p->demand || str_starts(str_from(p->settings[i].key), "prometheus.");
    p->replicas = p->workload && p->workload->replicas > 0 ? p->workload->replicas : 1;
    bound_below(p);
    bound_above(p);
    if (p->replicas > p->max)
        p->replicas = p->max;
}

// ---- All of it ----------------------------------------------------------------------------------

static void find_engine(struct generate_plan *p) {
    const char *said = plan_get(p, "engine");
    if (p->workload) {
        p->r = engine_guess_make(p->workload, said, p->a, &p->engine, p->e);
        if (p->r == ERR_NOTFOUND)
            p->r = ERR_INVALID;
    } else if (said) {
        p->engine.why = "--engine says it";
        if (engine_preset_find(str_from(said), &p->engine.preset, p->e) < 0)
            p->r = ERR_INVALID;
        else
            p->engine.port = p->engine.preset->path ? p->engine.preset->port : 0;
    }
}

static void engine_is_needed(struct generate_plan *p) {
    if (p->r < 0 || p->engine.preset)
        return;
    const struct manifest_scalable *w = p->workload;
    if (!w)
        (void)plan_fail(p, ERR_NOTFOUND,
                        "which engine %s runs is not said by its triggers: give the workload's "
                        "file, too, or --engine NAME (vllm, sglang, triton, ...; custom: a server "
                        "of your own that does one request at a time)",
                        p->workload_text);
    else if (w->gpus == 0 && !w->gpu_claims)
        (void)plan_fail(p, ERR_UNSUPPORTED,
                        "it requests no GPU, and %s: an HPA on CPU is right for it. --engine NAME "
                        "says that it is an inference engine after all",
                        p->engine.why);
    else
        (void)plan_fail(p, ERR_NOTFOUND,
                        "its engine is not recognised: %s. --engine NAME says it (vllm, sglang, "
                        "triton, tgi, ...; custom: a server of your own that does one request at a "
                        "time on its GPU and tells inference_queue_length and "
                        "inference_requests_total)",
                        p->engine.why);
}

static void tell_gpus(struct generate_plan *p) {
    const struct manifest_scalable *w = p->workload;
    if (!w)
        return;
    if (w->gpus == 0 && !w->gpu_claims)
        plan_remark(p, "It requests no GPU: it is sized by what the engine serves; GPU signals "
                       "would be unknown.");
    else if (w->gpu_claims)
        plan_remark(p, "Its GPUs are ResourceClaims (DRA): of a device that one claim holds, the "
                       "activity is the pod's; of a claim that pods share it is unknown.");
    else if (!plan_gpus_are_own(p))
        plan_remark(p,
                    "%s: shared between pods, or not NVIDIA's: the activity of these GPUs is "
                    "unknown for each pod, so the engine alone is asked.",
                    w->gpu_resource);
    for (size_t i = 0; i < p->engine.n_notes; i++)
        plan_remark(p, "Check: %s.", p->engine.notes[i]);
}

static void set_page(struct generate_plan *p) {
    plan_set(p, "engine", p->engine.preset->name, NULL);
    if (p->engine.preset->path && p->engine.port > 0)
        plan_set(p, "metricsPort", plan_text(p, "%u", p->engine.port), NULL);
}

int generate_plan_make(struct generate_plan *p) {
    take_version(p);
    if (p->r == 0)
        take_flags(p);
    if (p->r == 0)
        name_things(p);
    if (p->r == 0)
        find_engine(p);
    if (p->r == 0 && p->from)
        plan_translate(p);
    engine_is_needed(p);
    if (p->r < 0)
        return p->r;
    set_page(p);
    size(p);
    guard(p);
    choose_slo(p);
    tell_gpus(p);
    drop_useless(p);
    bound(p);
    if (p->r == 0)
        check_metadata(p);
    return p->r;
}
