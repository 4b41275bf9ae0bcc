// SPDX-License-Identifier: Apache-2.0
/* See sim.h: the scenario (or who tells the load) says how busy, the model says what is read. */
#include "gpu/sim.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"
#include "gpu/sim_load.h"
#include "gpu/sim_model.h"
#include "gpu/sim_scenario.h"

struct sim {
    struct sim_scenario scenario;
    struct sim_load *load; // NULL: nobody tells any
    int64_t start_ns;      // of the first sample
    bool started;
    uint32_t n;
    struct sim_gpu gpus[];
};

struct sim_options {
    struct sim_scenario scenario;
    uint32_t n;
    char load[128];
};

enum sim_key { KEY_LEVEL, KEY_PERIOD, KEY_AFTER, KEY_FOR, KEY_GPU, KEY_SEED, KEY_LOAD, KEYS };
static const char *const keys[KEYS + 1] = {"level", "period", "after", "for",
                                           "gpu",   "seed",   "load",  NULL};

static int parse_duration(struct str key, struct str value, int64_t min_ns, int64_t *ret,
                          struct err *e) {
    int64_t ns;
    if (units_parse_duration_ns(value, &ns) || ns < min_ns || ns > 86400 * NS_PER_S)
        return err_set(e, ERR_INVALID,
                       STR_FMT "=\"" STR_FMT "\" is not a duration %s24h, such as 90s or 2m",
                       STR_ARG(key), STR_ARG(value), min_ns ? "above 0 and up to " : "up to ");
    *ret = ns;
    return 0;
}

static int parse_number(struct str key, struct str value, uint64_t max, uint64_t *ret,
                        struct err *e) {
    unsigned long long v;
    if (str_to_u64(value, &v) || v > max)
        return err_set(e, ERR_INVALID, STR_FMT "=\"" STR_FMT "\" is not a number from 0 to %llu",
                       STR_ARG(key), STR_ARG(value), (unsigned long long)max);
    *ret = v;
    return 0;
}

static int parse_key(struct sim_options *o, struct str word, struct err *e) {
    struct str value = word, key = str_cut(&value, '=');
    uint64_t number = 0;
    int k = 0, r = 0;
    while (k < KEYS && !str_eqc(key, keys[k]))
        k++;
    switch ((enum sim_key)k) {
    case KEY_LEVEL:
        if (str_to_double(value, &o->scenario.level) ||
            !(o->scenario.level >= 0 && o->scenario.level <= 1))
            return err_set(e, ERR_INVALID, "level=\"" STR_FMT "\" is not a number from 0 to 1",
                           STR_ARG(value));
        return 0;
    case KEY_PERIOD:
        return parse_duration(key, value, NS_PER_MS, &o->scenario.period_ns, e);
    case KEY_AFTER:
        return parse_duration(key, value, 0, &o->scenario.after_ns, e);
    case KEY_FOR:
        return parse_duration(key, value, 0, &o->scenario.for_ns, e);
    case KEY_GPU:
        r = parse_number(key, value, o->n - 1, &number, e);
        if (!r)
            o->scenario.gpu = (uint32_t)number;
        return r;
    case KEY_SEED:
        return parse_number(key, value, UINT64_MAX, &o->scenario.seed, e);
    case KEY_LOAD:
        if (value.n == 0 || str_copy(o->load, sizeof o->load, value))
            return err_set(e, ERR_INVALID, "load=\"" STR_FMT "\" is not a path for a unix socket",
                           STR_ARG(value));
        return 0;
    case KEYS:
        break;
    }
    const char *near = str_nearest(key, keys);
    return err_set(e, ERR_INVALID,
                   "unknown key \"" STR_FMT "\"%s%s%s; there are level, period, after, for, gpu, "
                   "seed and load",
                   STR_ARG(key), near ? " (did you mean \"" : "", near ? near : "",
                   near ? "\"?)" : "");
}

static int parse_options(struct str args, struct sim_options *ret, struct err *e) {
    struct sim_options o = {0};
    unsigned long long n;
    struct str rest = args, word = str_cut(&rest, ',');
    if (str_to_u64(word, &n) || n < 1 || n > LIMIT_GPU_ENTITIES_PER_NODE)
        return err_set(e, ERR_INVALID,
                       "\"" STR_FMT "\" is not a number of GPUs from 1 to %d; write sim:8 or "
                       "sim:8,ramp",
                       STR_ARG(word), LIMIT_GPU_ENTITIES_PER_NODE);
    o.n = (uint32_t)n;
    o.scenario = sim_scenario_default(SIM_IDLE, o.n);
    for (bool first = true; rest.n > 0; first = false) {
        word = str_cut(&rest, ',');
        int r;
        if (memchr(word.p, '=', word.n)) {
            r = parse_key(&o, word, e);
        } else if (first) {
            enum sim_kind kind = SIM_IDLE;
            r = sim_scenario_by_name(word, &kind, e);
            o.scenario = sim_scenario_default(kind, o.n);
        } else {
            r = err_set(e, ERR_INVALID, "\"" STR_FMT "\" is not key=value", STR_ARG(word));
        }
        if (r)
            return r;
    }
    *ret = o;
    return 0;
}

static int sim_open(struct str args, void **ret_state, struct err *e) {
    struct sim_options o;
    int r = parse_options(args, &o, e);
    if (r)
        return r;
    struct sim *s = mem_zalloc(sizeof *s + o.n * sizeof s->gpus[0]);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for %u GPUs", o.n);
    s->scenario = o.scenario;
    s->n = o.n;
    if (o.load[0]) {
        r = sim_load_open(&s->load, o.load, o.n, e);
        if (r) {
            mem_free(s);
            return r;
        }
    }
    *ret_state = s;
    return 0;
}

static void sim_close(void *state) {
    struct sim *s = state;
    sim_load_close(s->load);
    mem_free(s);
}

static int sim_enumerate(void *state, int64_t now_ns, struct gpu_device *devices, size_t cap,
                         size_t *ret_n, struct err *e) {
    struct sim *s = state;
    if (s->n > cap)
        return err_set(e, ERR_LIMIT, "%u GPUs, at most %zu are kept", s->n, cap);
    for (uint32_t i = 0; i < s->n; i++) {
        devices[i].slot = i;
        sim_model_info(s->scenario.seed, i, &devices[i].info);
    }
    *ret_n = s->n;
    return 0;
}

static void hang(int64_t ns) {
    struct timespec rest = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    while (nanosleep(&rest, &rest) && errno == EINTR)
        ;
}

static int sim_sample(void *state, uint32_t slot, int64_t now_ns, struct gpu_reading *ret_reading,
                      enum gpu_sample_result *ret_result, struct err *e) {
    struct sim *s = state;
    if (slot >= s->n)
        return err_set(e, ERR_NOTFOUND, "there is no GPU %u", slot);
    if (!s->started) {
        s->started = true;
        s->start_ns = now_ns;
    }
    int64_t t_ns = now_ns - s->start_ns;
    int64_t hang_ns = sim_scenario_hang_ns(&s->scenario, slot, t_ns);
    if (hang_ns > 0)
        hang(hang_ns);
    if (sim_scenario_call_fails(&s->scenario, slot, t_ns))
        return err_set(e, ERR_UNAVAILABLE, "GPU %u: the driver did not answer (simulated)", slot);
    if (sim_scenario_lost(&s->scenario, slot, t_ns)) {
        *ret_result = GPU_SAMPLE_LOST;
        return 0;
    }
    struct sim_activity a = {.sm = -1, .tensor = -1, .dram = -1, .memory_used_bytes = -1};
    if (s->load)
        sim_load_poll(s->load, now_ns);
    if (!s->load || !sim_load_get(s->load, slot, now_ns, &a))
        a.busy = sim_scenario_busy(&s->scenario, slot, t_ns);
    sim_model_step(&s->gpus[slot], &a, now_ns, ret_reading);
    size_t n = s->load ? sim_load_processes(s->load, slot, now_ns, NULL, SIZE_MAX) : 0;
    if (n > 0)
        gpu_reading_set(ret_reading, GPU_PROCESSES, (double)n);
    ret_reading->valid &= ~sim_scenario_unknown(&s->scenario, slot, t_ns);
    *ret_result = GPU_SAMPLE_OK;
    return 0;
}

// Those that whoever plays the load tells. While he tells none nobody knows: the scenarios have a
// load and no processes.
static int sim_processes(void *state, uint32_t slot, int64_t now_ns, struct gpu_process *list,
                         size_t cap, size_t *ret_n, struct err *e) {
    struct sim *s = state;
    size_t n = s->load ? sim_load_processes(s->load, slot, now_ns, list, cap) : 0;
    if (n == 0)
        return err_set(e, ERR_UNSUPPORTED, "no processes are played on GPU %u", slot);
    *ret_n = n;
    return 0;
}

static void sim_describe(void *state, char *dst, size_t cap) {
    const struct sim *s = state;
    snprintf(dst, cap, "%u simulated GPU%s, scenario %s, seed %llu%s", s->n, s->n == 1 ? "" : "s",
             sim_scenario_name(s->scenario.kind), (unsigned long long)s->scenario.seed,
             s->load ? ", load from a socket" : "");
}

const struct gpu_source_ops gpu_sim = {
    .name = "sim",
    .help = "sim:N[,SCENARIO][,KEY=VALUE]...  N simulated GPUs; scenarios idle steady ramp burst\n"
            "    sawtooth flaky lost hang; keys level period after for gpu seed load",
    .open = sim_open,
    .enumerate = sim_enumerate,
    .sample = sim_sample,
    .processes = sim_processes,
    .close = sim_close,
    .describe = sim_describe,
};
