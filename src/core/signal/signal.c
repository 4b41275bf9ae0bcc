// SPDX-License-Identifier: Apache-2.0
/* The table of signals. */
#include "core/signal/signal.h"

#include <math.h>

#define PERCENT_HELP "percent of 1 to 100, as in 55 (a ratio of 0.55 is 55)"

// An activity or memory percentage of a GPU.
#define GPU_PERCENT(name_)                                                                         \
    {                                                                                              \
        .name = (name_), .unit = "%", .kind = SIGNAL_LEVEL, .source = SIGNAL_FROM_GPU,             \
        .ceiling = 100, .target_min = 1, .target_max = 100, .target_help = PERCENT_HELP            \
    }
#define LOAD(name_, unit_, source_, help_)                                                         \
    {                                                                                              \
        .name = (name_), .unit = (unit_), .kind = SIGNAL_LOAD, .source = (source_),                \
        .ceiling = INFINITY, .target_min = 1e-6, .target_max = 1e9, .target_help = (help_)         \
    }

const struct signal_info signals[SIGNAL_MAX] = {
    [SIGNAL_REQUEST_RATE] = LOAD("requestRate", "/s", SIGNAL_FROM_ENGINE,
                                 "requests a second that one replica serves, above 0"),
    [SIGNAL_TOKEN_RATE] = LOAD("tokenRate", "/s", SIGNAL_FROM_ENGINE,
                               "generated tokens a second that one replica serves, above 0"),
    [SIGNAL_WORK] = LOAD("work", " tok/s", SIGNAL_FROM_ENGINE,
                         "tokens a second that one replica does (a generated one counts 1, one of "
                         "a prompt 0.12), above 0; or \"capacity\": size by work, `capacity` is in "
                         "its units"),
    [SIGNAL_QUEUE] = LOAD("queue", "", SIGNAL_FROM_ENGINE, "waiting requests a replica, above 0"),
    [SIGNAL_RUNNING] = LOAD("running", "", SIGNAL_FROM_ENGINE,
                            "running requests of one replica at its capacity, above 0"),
    [SIGNAL_DEMAND] = LOAD("demand", "/s", SIGNAL_FROM_DEMAND,
                           "requests a second that one replica serves, above 0"),
    [SIGNAL_KV_CACHE] = {.name = "kvCache",
                         .unit = "",
                         .kind = SIGNAL_LEVEL,
                         .source = SIGNAL_FROM_ENGINE,
                         .ceiling = 1,
                         .target_min = 0.01,
                         .target_max = 1,
                         .target_help = "a ratio of 0.01 to 1, as in 0.85"},
    [SIGNAL_GPU_UTILIZATION] = GPU_PERCENT("gpuUtilization"),
    [SIGNAL_SM_ACTIVITY] = GPU_PERCENT("smActivity"),
    [SIGNAL_TENSOR_ACTIVITY] = GPU_PERCENT("tensorActivity"),
    [SIGNAL_GPU_MEMORY] = GPU_PERCENT("gpuMemory"),
    [SIGNAL_POWER] = {.name = "power",
                      .unit = " W",
                      .kind = SIGNAL_LEVEL,
                      .source = SIGNAL_FROM_GPU,
                      .ceiling = INFINITY,
                      .target_min = 1,
                      .target_max = 100000,
                      .target_help = "watts a GPU, 1 to 100000"},
    [SIGNAL_PROMETHEUS...
        SIGNAL_PROMETHEUS_LAST] = {.name = "prometheus",
                                   .unit = "",
                                   .kind = SIGNAL_LOAD,
                                   .source = SIGNAL_FROM_QUERY,
                                   .ceiling = INFINITY,
                                   .target_min = 1e-9,
                                   .target_max = 1e15,
                                   .target_help =
                                       "what one replica serves, in the query's unit, above 0"},
};

const char *const signal_names[SIGNAL_PROMETHEUS + 1] = {
    "requestRate",    "tokenRate",  "work",           "queue",     "running", "demand", "kvCache",
    "gpuUtilization", "smActivity", "tensorActivity", "gpuMemory", "power",   NULL,
};

int signal_by_name(struct str name) {
    for (int i = 0; i < SIGNAL_PROMETHEUS; i++)
        if (str_eqc(name, signals[i].name))
            return i;
    return -1;
}
