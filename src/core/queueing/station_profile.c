// SPDX-License-Identifier: Apache-2.0
/* Profiles found by name, changed by KEY=VALUE, and what they make of a GPU. */
#include "core/queueing/station_profile.h"

#include <math.h>

#include "base/limits.h"
#include "base/mem.h"
#include "core/queueing/named.h"

enum { NAMES_MAX = 15 };

int station_profile_find(struct str name, const struct station_profile **ret, struct err *e) {
    const char *names[NAMES_MAX + 1] = {NULL};
    unsigned i;
    for (i = 0; i < station_profiles_n && i < NAMES_MAX; i++)
        names[i] = station_profiles[i]->name;
    int r = named_find("profile", name, names, &i, e);
    if (r == 0)
        *ret = station_profiles[i];
    return r;
}

void station_profile_config(const struct station_profile *p, struct station_config *ret) {
    *ret = (struct station_config){
        .kind = p->kind, .continuous = p->continuous, .batching = p->batching};
}

enum key_kind { KEY_MS, KEY_NS, KEY_COUNT, KEY_TOKENS, KEY_BOOL, KEY_CV, KEY_TIME };

struct key {
    const char *name;
    enum station_kind of;
    enum key_kind kind;
    size_t offset;
};

#define AT(member) offsetof(struct station_profile, member)
static const struct key keys[] = {
    {"base", STATION_CONTINUOUS, KEY_MS, AT(continuous.base_s)},
    {"sequence", STATION_CONTINUOUS, KEY_MS, AT(continuous.sequence_s)},
    {"context", STATION_CONTINUOUS, KEY_MS, AT(continuous.context_s)},
    {"prefill", STATION_CONTINUOUS, KEY_MS, AT(continuous.prefill_s)},
    {"roofline", STATION_CONTINUOUS, KEY_BOOL, AT(continuous.roofline)},
    {"kv-reserve", STATION_CONTINUOUS, KEY_BOOL, AT(continuous.kv_reserve)},
    {"max-sequences", STATION_CONTINUOUS, KEY_COUNT, AT(continuous.max_sequences)},
    {"token-budget", STATION_CONTINUOUS, KEY_COUNT, AT(continuous.token_budget)},
    {"kv-tokens", STATION_CONTINUOUS, KEY_TOKENS, AT(continuous.kv_tokens)},
    {"instances", STATION_BATCHES, KEY_COUNT, AT(batching.instances)},
    {"max-batch", STATION_BATCHES, KEY_COUNT, AT(batching.max_batch)},
    {"max-delay", STATION_BATCHES, KEY_NS, AT(batching.max_delay_ns)},
    {"cv", STATION_BATCHES, KEY_CV, AT(batching.cv)},
    {"time", STATION_BATCHES, KEY_TIME, AT(batching.points)},
};

static int number(struct str text, double max, double *ret) {
    return str_to_double(text, ret) == 0 && *ret >= 0 && *ret <= max ? 0 : ERR_INVALID;
}

static int whole(struct str text, uint64_t max, uint64_t *ret) {
    unsigned long long n;
    if (str_to_u64(text, &n) < 0 || n < 1 || n > max)
        return ERR_INVALID;
    *ret = n;
    return 0;
}

// "1:100,8:275", in ms. Whether sizes ascend is station_new()'s to say.
static int points(struct station_batching *b, struct str text) {
    struct station_batching made = *b;
    made.n_points = 0;
    while (text.n > 0) {
        struct str ms = str_cut(&text, ','), size = str_cut(&ms, ':');
        uint64_t n;
        double value;
        if (made.n_points == STATION_POINTS_MAX || whole(size, LIMIT_STATION_BATCH, &n) < 0 ||
            number(ms, LIMIT_STATION_STEP_S * 1e3, &value) < 0)
            return ERR_INVALID;
        made.points[made.n_points].size = (uint32_t)n;
        made.points[made.n_points++].s = value * 1e-3;
    }
    if (made.n_points == 0)
        return ERR_INVALID;
    *b = made;
    return 0;
}

static int take_bool(struct str text, bool *ret) {
    bool yes = str_eqc(text, "true");
    if (!yes && !str_eqc(text, "false"))
        return ERR_INVALID;
    *ret = yes;
    return 0;
}

static int take(struct station_profile *p, const struct key *k, struct str text) {
    char *at = (char *)p + k->offset;
    double value = 0;
    uint64_t n = 0;
    int r = 0;
    switch (k->kind) {
    case KEY_MS:
        r = number(text, LIMIT_STATION_STEP_S * 1e3, &value);
        *(double *)at = r < 0 ? *(double *)at : value * 1e-3;
        break;
    case KEY_NS:
        r = number(text, LIMIT_STATION_STEP_S * 1e3, &value);
        *(int64_t *)at = r < 0 ? *(int64_t *)at : (int64_t)(value * 1e6);
        break;
    case KEY_COUNT:
        r = whole(text, LIMIT_STATION_TOKENS, &n);
        *(uint32_t *)at = r < 0 ? *(uint32_t *)at : (uint32_t)n;
        break;
    case KEY_TOKENS:
        r = whole(text, LIMIT_STATION_TOKENS, &n);
        *(uint64_t *)at = r < 0 ? *(uint64_t *)at : n;
        break;
    case KEY_BOOL:
        r = take_bool(text, (bool *)at);
        break;
    case KEY_CV:
        r = number(text, 100, &value);
        if (r == 0) {
            p->batching.cv = value;
            p->batching.draw = value > 0 ? STATION_LOGNORMAL : STATION_CONSTANT;
        }
        break;
    case KEY_TIME:
        r = points(&p->batching, text);
        break;
    }
    return r;
}

static const char *allowed(enum key_kind kind) {
    switch (kind) {
    case KEY_MS:
    case KEY_NS:
        return "a number of milliseconds";
    case KEY_COUNT:
    case KEY_TOKENS:
        return "a whole number from 1 on";
    case KEY_BOOL:
        return "true or false";
    case KEY_CV:
        return "a number from 0 to 100 (deviation / mean)";
    case KEY_TIME:
        break;
    }
    return "SIZE:MS[,SIZE:MS...]";
}

int station_profile_set(struct station_profile *p, struct str text, struct err *e) {
    struct str value = text, name = str_cut(&value, '=');
    const char *names[COUNT_OF(keys) + 1] = {NULL};
    const struct key *of[COUNT_OF(keys)];
    unsigned n = 0, i;
    for (i = 0; i < COUNT_OF(keys); i++) {
        if (keys[i].of == p->kind) {
            of[n] = &keys[i];
            names[n++] = keys[i].name;
        }
    }
    if (named_find("such coefficient", name, names, &i, e) < 0) {
        if (e)
            e->code = ERR_INVALID;
        return ERR_INVALID;
    }
    if (take(p, of[i], value) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "%s: found '" STR_FMT "', expected %s", names[i], STR_ARG(value),
                   allowed(of[i]->kind));
}

static double ratio(double part, double whole_) {
    return whole_ > 0 ? fmin(1, fmax(0, part / whole_)) : 0;
}

void station_activity(const struct station_profile *p, const struct station_reading *before,
                      const struct station_reading *after, struct station_activity *ret) {
    *ret = (struct station_activity){0};
    double dt_s = (double)(after->now_ns - before->now_ns) * 1e-9;
    if (dt_s <= 0)
        return;
    double busy = ratio(after->union_busy_s - before->union_busy_s, dt_s);
    ret->busy_ratio = busy;
    ret->sm_ratio = busy * p->busy_sm;
    if (p->kind == STATION_BATCHES) {
        ret->tensor_ratio = busy * p->busy_tensor;
        ret->dram_ratio = busy * p->busy_dram;
        return;
    }
    double tokens = after->prefill_tokens - before->prefill_tokens + after->sequence_iterations -
                    before->sequence_iterations;
    double read = (double)(after->iterations - before->iterations) * p->weights_bytes +
                  (after->context_tokens - before->context_tokens) * p->kv_bytes_per_token;
    double gpu_s = dt_s * p->gpus;
    ret->tensor_ratio = fmin(busy, ratio(tokens * p->flops_per_token, gpu_s * p->gpu->dense_flops));
    ret->dram_ratio = fmin(busy, ratio(read, gpu_s * p->gpu->memory_bytes_per_s));
}
