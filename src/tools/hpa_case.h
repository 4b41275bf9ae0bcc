// SPDX-License-Identifier: Apache-2.0
/*
 * A case for `gpuscale hpa`: an HPA and what it sees, read from one value of the input (docs/hpa.md
 * has the format): a map with `hpa` and our own keys, strict; or what kubectl prints, an HPA or a
 * List of HPAs and Pods, PodMetrics and targets, one case for each HPA.
 */
#pragma once

#include "manifest/hpa.h"
#include "manifest/pod.h"

enum { HPA_CASE_NOTES = 8 };

// What the case says of one metric by name: `external`, `object`, `podMetricValues`.
struct hpa_named {
    const char *name;
    const char *error; // not NULL: the API's error instead
    struct hpa_named_value {
        const char *pod; // of podMetricValues
        int64_t milli;
    } * values;
    size_t n;
};
struct hpa_named_list {
    struct hpa_named *items;
    size_t n;
};

struct hpa_case {
    const char *file;
    unsigned line; // where it begins
    struct hpa_controller controller;
    int minor; // of the version
    struct manifest_hpa hpa;
    int64_t now_ns;
    int32_t spec_replicas, status_replicas;
    enum hpa_selector selector;
    const char *selector_text, *selector_detail;
    struct manifest_pod *pods;
    size_t n_pods;
    bool pods_assumed; // none were given: there are as many ready ones as scale.status says
    bool has_pod_metrics;
    const char *pod_metrics_error;
    struct manifest_pod_metrics *pod_metrics;
    size_t n_pod_metrics;
    struct hpa_named_list pod_values, objects, externals;
    struct hpa_state *state;           // history and conditions
    const char *notes[HPA_CASE_NOTES]; // sentences: what was assumed
    size_t n_notes;
};

// How a value is read.
struct hpa_case_source {
    const char *file;
    int64_t now_ns; // where the case has none
    struct arena *a;
    void *ctx;
    // A case, or (NULL) why there is none.
    void (*on_case)(void *ctx, struct hpa_case *c, const struct err *e);
};

void hpa_case_read(const struct hpa_case_source *s, const struct conf_node *root);

// A sentence about what was assumed; NULL: there was no memory for it.
void hpa_case_note(struct manifest_reader *r, struct hpa_case *c, const char *text);

// ---- hpa_list.c: what kubectl prints ---------------------------------------------------------

bool hpa_list_is(const struct conf_node *root); // an HPA, or a List
void hpa_list_read(const struct hpa_case_source *s, const struct conf_node *root);

// ---- shared by both ----------------------------------------------------------------------------

struct hpa_case *hpa_case_new(struct manifest_reader *r, const struct hpa_case_source *s,
                              const struct conf_node *at);
// The HPA's conditions into the state, pods that were not given.
void hpa_case_finish(struct manifest_reader *r, struct hpa_case *c, bool has_scale, bool has_pods);
