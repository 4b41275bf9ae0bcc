// SPDX-License-Identifier: Apache-2.0
/* See sim_scenario.h. Noise is a hash of (seed, GPU, time slot), so that nothing is remembered. */
#include "gpu/sim_scenario.h"

#include "base/clock.h"
#include "base/random.h"
#include "core/signal/reading.h"

static const char *const names[SIM_KINDS + 1] = {
    [SIM_IDLE] = "idle",   [SIM_STEADY] = "steady",     [SIM_RAMP] = "ramp",
    [SIM_BURST] = "burst", [SIM_SAWTOOTH] = "sawtooth", [SIM_FLAKY] = "flaky",
    [SIM_LOST] = "lost",   [SIM_HANG] = "hang",         [SIM_KINDS] = NULL,
};

struct sim_scenario sim_scenario_default(enum sim_kind kind, uint32_t n) {
    struct sim_scenario s = {
        .kind = kind,
        .seed = 1,
        .level = kind == SIM_RAMP || kind == SIM_SAWTOOTH || kind == SIM_BURST ? 0.95 : 0.6,
        .period_ns = 60 * NS_PER_S,
        .after_ns = 10 * NS_PER_S,
        .for_ns = 20 * NS_PER_S,
        .gpu = n > 0 ? n - 1 : 0,
    };
    return s;
}

const char *sim_scenario_name(enum sim_kind kind) {
    return names[kind];
}

int sim_scenario_by_name(struct str name, enum sim_kind *ret, struct err *e) {
    for (int k = 0; k < SIM_KINDS; k++)
        if (str_eqc(name, names[k])) {
            *ret = (enum sim_kind)k;
            return 0;
        }
    const char *near = str_nearest(name, names);
    return err_set(e, ERR_INVALID,
                   "unknown scenario \"" STR_FMT "\"%s%s%s; there are idle, steady, ramp, burst, "
                   "sawtooth, flaky, lost and hang",
                   STR_ARG(name), near ? " (did you mean \"" : "", near ? near : "",
                   near ? "\"?)" : "");
}

// 0 <= x < 1, the same for the same arguments.
static double noise(const struct sim_scenario *s, uint32_t gpu, uint64_t what, int64_t slot) {
    struct random r;
    uint64_t key = s->seed;
    key = key * UINT64_C(0x9e3779b97f4a7c15) + gpu + 1;
    key = key * UINT64_C(0x9e3779b97f4a7c15) + what;
    key = key * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)slot;
    random_init(&r, key);
    return random_unit(&r);
}

enum { NOISE_LEVEL = 1, NOISE_BURST, NOISE_CALL, NOISE_VALUE }; // + value number

// Noise of +-`width` that moves smoothly from second to second.
static double wobble(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns, double width) {
    int64_t slot = t_ns / NS_PER_S;
    double part = (double)(t_ns % NS_PER_S) / (double)NS_PER_S;
    double a = noise(s, gpu, NOISE_LEVEL, slot), b = noise(s, gpu, NOISE_LEVEL, slot + 1);
    return width * (2 * (a + (b - a) * part) - 1);
}

static double burst(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    int64_t length = s->period_ns / 4;
    int64_t room = s->period_ns - length;
    int64_t start = (int64_t)(noise(s, gpu, NOISE_BURST, t_ns / s->period_ns) * (double)room);
    int64_t at = t_ns % s->period_ns;
    return at >= start && at < start + length ? s->level : s->level / 10;
}

static double plain_busy(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    switch (s->kind) {
    case SIM_IDLE:
        return 0;
    case SIM_RAMP:
        return t_ns >= s->period_ns ? s->level : s->level * (double)t_ns / (double)s->period_ns;
    case SIM_SAWTOOTH:
        return s->level * (double)(t_ns % s->period_ns) / (double)s->period_ns;
    case SIM_BURST:
        return burst(s, gpu, t_ns);
    case SIM_STEADY:
    case SIM_FLAKY:
    case SIM_LOST:
    case SIM_HANG:
    case SIM_KINDS:
        break;
    }
    return s->level;
}

double sim_scenario_busy(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    if (t_ns < 0)
        t_ns = 0;
    double busy = plain_busy(s, gpu, t_ns);
    if (busy <= 0)
        return 0;
    busy += wobble(s, gpu, t_ns, 0.02);
    return busy < 0 ? 0 : busy > 1 ? 1 : busy;
}

// Values of a flaky GPU come and go in stretches of 5 s, one in five is away.
uint64_t sim_scenario_unknown(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    if (s->kind != SIM_FLAKY)
        return 0;
    uint64_t mask = 0;
    for (unsigned i = 0; i < GPU_VALUE_MAX; i++)
        if (noise(s, gpu, NOISE_VALUE + i, t_ns / (5 * NS_PER_S)) < 0.2)
            mask |= UINT64_C(1) << i;
    return mask;
}

bool sim_scenario_call_fails(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    return s->kind == SIM_FLAKY && noise(s, gpu, NOISE_CALL, t_ns / NS_PER_S) < 0.1;
}

bool sim_scenario_lost(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    return s->kind == SIM_LOST && gpu == s->gpu && t_ns >= s->after_ns &&
           (s->for_ns == 0 || t_ns < s->after_ns + s->for_ns);
}

int64_t sim_scenario_hang_ns(const struct sim_scenario *s, uint32_t gpu, int64_t t_ns) {
    if (s->kind != SIM_HANG || gpu != s->gpu || t_ns < s->after_ns)
        return 0;
    int64_t at = (t_ns - s->after_ns) % s->period_ns;
    return at < s->for_ns ? s->for_ns - at : 0;
}
