// SPDX-License-Identifier: Apache-2.0
/*
 * What gpuscale knows about an inference server, as a row of data: where its metrics page is, which
 * metric says what in which spelling, how ranks and models of one pod add up, and what its GPU
 * activity means. The rows are in presets_*.c, listed in presets.c; adding an engine is adding a
 * row.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/signal/sample.h"

enum engine_filter_op {
    ENGINE_LABEL_IS,      // has this value; "" also: has no such label
    ENGINE_LABEL_NONE_OF, // has none of these values (separated by blanks)
};

// A condition on one label of a series; a NULL label ends a list of them.
struct engine_filter {
    const char *label;
    enum engine_filter_op op;
    const char *value;
};

// Series of one exact name that meet all filters.
struct engine_term {
    const char *name;                  // NULL ends a list of terms
    const struct engine_filter *where; // NULL: all series of the name
    // Labels, separated by blanks: series that differ in these alone are copies of one number, told
    // by several ranks; the largest of them is added. NULL: every series counts.
    const char *copies;
    double factor; // into our unit (1e-6 for microseconds; -1 subtracts); 0 means 1
    bool optional; // may be absent: then it adds nothing; the first term is never optional
};

enum engine_combine {
    ENGINE_SUM, // over the pod's ranks and models
    ENGINE_MAX, // the fullest rank
    ENGINE_MIN,
};

// One way to get a value: the terms, each combined over its series, added up; divided by `per`
// (added up over its series) where there is one. Without `add` it ends a list of ways.
struct engine_way {
    enum engine_combine combine;
    const struct engine_term *add;
    const struct engine_term *per;
};

// A value's ways in order of preference, spellings of newer versions first: the first way whose
// terms are on the page is taken. NULL: the engine does not tell it. The ways of a counter are
// spellings of one count, never two counts: a page that changes from one to the other must not look
// like a restart.
struct engine_value_spec {
    const struct engine_way *ways;
};

// A histogram's ways, in order of preference as above: each the name of the buckets
// ("..._seconds_bucket"), with a factor that makes seconds of its edges (1e-3 for milliseconds).
// Ranks and models are added up edge by edge, which needs the same edges in all of them.
struct engine_histogram_spec {
    const struct engine_term *ways; // ends with a term without a name; NULL: not told
};

// What ENGINE_REQUESTS_TOTAL counts. Arrivals of a counter of finished requests are its increase
// plus the change of (running + queue).
enum engine_requests { ENGINE_COUNTS_FINISHED, ENGINE_COUNTS_ARRIVED };

// GPU values that grow with the load of this engine up to its capacity, so that replicas can be
// sized by them. All others saturate: near 100 % from the first request on.
enum engine_linear {
    ENGINE_LINEAR_GPU_UTILIZATION = 1u << 0,
    ENGINE_LINEAR_SM_ACTIVITY = 1u << 1,
};

struct engine_preset {
    const char *name;   // what `engine` in the trigger metadata says
    const char *title;  // for people
    uint16_t port;      // default
    const char *path;   // NULL: the engine has no metrics page, and no values
    const char *enable; // how the engine is told to have the page, for messages; NULL: always there
    bool continuous_batching; // false: one request at a time
    uint32_t linear;          // enum engine_linear
    enum engine_requests requests;
    double kv_ceiling_ratio; // KV usage at which the engine preempts or queues; 0: it has none
    struct engine_value_spec values[ENGINE_VALUE_MAX];
    struct engine_histogram_spec histograms[ENGINE_HISTOGRAM_MAX];
};

extern const struct engine_preset *const engine_presets[];
extern const unsigned engine_presets_n;

// By name; ERR_NOTFOUND names the presets there are and the nearest.
int engine_preset_find(struct str name, const struct engine_preset **ret, struct err *e);

// "queue", "running", "kvCache", ...: for messages and JSON.
const char *engine_value_name(enum engine_value v);
const char *engine_histogram_name(enum engine_histogram h); // "timeToFirstToken", ...
bool engine_value_is_counter(enum engine_value v);
// Bit i: the row has ways to value i; ENGINE_HISTOGRAM_BIT(h): to histogram h.
uint32_t engine_preset_provides(const struct engine_preset *p);
// The newest spelling of a value's metric, NULL when the engine does not tell it.
const char *engine_preset_metric(const struct engine_preset *p, enum engine_value v);
// The names that would be read for a value, as a message says it: "vllm:kv_cache_usage_perc or
// vllm:gpu_cache_usage_perc"; nothing when the engine does not tell it. 0, ERR_LIMIT, ERR_NOMEM.
int engine_preset_names(const struct engine_preset *p, enum engine_value v, struct buf *out);
int engine_preset_histogram_names(const struct engine_preset *p, enum engine_histogram h,
                                  struct buf *out);
