// SPDX-License-Identifier: Apache-2.0
/* The flags of `gpuscale engine`, and what they come to. */
#pragma once

#include "base/limits.h"
#include "conf/conf.h"
#include "core/queueing/cold_start.h"
#include "core/queueing/cpu_cost.h"
#include "core/queueing/station_profile.h"

struct engine_config {
    const char *listen;
    const char *profile; // a name; see engine_plan
    const char *model;   // NULL: the profile's
    const char *gpu;     // NULL: the first ones
    const char *load_socket, *cold_start, *cpu;
    int64_t load_time_ns, drain_timeout_ns, max_queue, seed;
    struct {
        int format, level;
    } log;
    CONF_LIST_OF(const char *) set;
};

extern const struct conf_spec engine_config_spec;

// What follows from the flags.
struct engine_plan {
    struct station_profile profile; // with what --set says
    struct station_config station;
    const char *model;
    const struct cpu_cost *cpu;
    uint32_t gpus[LIMIT_ENGINE_GPUS], n_gpus;
    int64_t load_ns; // until the model is loaded
    double cold_start_s[COLD_START_PARTS];
    const struct cold_start *cold; // NULL: load_ns was given, not drawn
};

// ERR_INVALID, ERR_NOTFOUND: flag, value and what is allowed.
int engine_plan_make(const struct engine_config *c, struct engine_plan *ret, struct err *e);
