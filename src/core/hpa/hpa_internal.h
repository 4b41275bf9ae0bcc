// SPDX-License-Identifier: Apache-2.0
/*
 * Between the files of the HPA's arithmetic; private to them. Also Go's integer arithmetic, where
 * it is defined and C's is not: sums wrap around, and on amd64 a float that does not fit becomes
 * the smallest integer (NaN too).
 */
#pragma once

#include "core/hpa/hpa.h"

static inline int64_t go_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t go_mul(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static inline int64_t go_div(int64_t a, int64_t b) { // b != 0
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}
static inline int32_t go_add32(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
static inline int32_t go_sub32(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a - (uint32_t)b);
}
static inline int32_t go_int32(double v) {
    return v > -2147483649.0 && v < 2147483648.0 ? (int32_t)v : INT32_MIN;
}
static inline int64_t go_int64(double v) {
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

// One sync on its way.
struct hpa_sync {
    const struct hpa_controller *c;
    const struct hpa_spec *spec;
    const struct hpa_input *in;
    struct hpa_state *s;
    struct hpa_result *ret;
    double tolerance_down, tolerance_up;
};

void hpa_set_condition(struct hpa_sync *y, enum hpa_condition_type type, bool status,
                       enum hpa_reason reason);
// The proposal of metric i, into y->ret->metrics[i].
void hpa_compute_metric(const struct hpa_sync *y, size_t i);
// From what the metrics want to what is allowed now; remembers the recommendation and sets
// AbleToScale and ScalingLimited.
int32_t hpa_normalize(struct hpa_sync *y, int32_t wanted);
int32_t hpa_normalize_by_behavior(struct hpa_sync *y, int32_t wanted);
void hpa_recommend(struct hpa_state *s, size_t slot, int32_t replicas, int64_t at_ns);
void hpa_store_event(struct hpa_sync *y, int32_t desired);
