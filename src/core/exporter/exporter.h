// SPDX-License-Identifier: Apache-2.0
/*
 * What gpuscale knows about the GPU exporters of others, as data: which metric is which GPU value,
 * in which unit, and which label names the GPU, its MIG instance and the pod that holds it, in
 * every spelling. Adding an exporter is adding a row. docs/exporters.md says it in words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/signal/reading.h"

// Beside enum gpu_value, what a metric may say.
enum exporter_extra {
    EXPORTER_MEMORY_TOTAL = GPU_VALUE_MAX, // bytes
    EXPORTER_INFO,                         // its labels count, not its value
    EXPORTER_COLLECTED_AT,                 // of the page: when the exporter last read its driver
};

struct exporter_metric {
    const char *name; // NULL ends the list
    int what;         // enum gpu_value or exporter_extra
    double factor;    // theirs = ours * factor
};

enum exporter_field {
    EXPORTER_UUID,
    EXPORTER_INDEX,
    EXPORTER_MODEL,
    EXPORTER_PCI_BUS_ID,
    EXPORTER_DRIVER,
    EXPORTER_NODE,
    EXPORTER_GPU_INSTANCE, // of a MIG instance, with its parent's UUID
    EXPORTER_MIG_PROFILE,
    EXPORTER_MIG_UUID,
    EXPORTER_REPLICA, // of a time-sliced GPU
    // Who holds it, in the three spellings of enum exporter_spelling.
    EXPORTER_NAMESPACE,
    EXPORTER_POD = EXPORTER_NAMESPACE + 3,
    EXPORTER_CONTAINER = EXPORTER_POD + 3,
    EXPORTER_FIELDS = EXPORTER_CONTAINER + 3,
};

// The best spelling that names a pod anywhere on a page is the page's: a worse one beside it is of
// whoever scraped or scrapes the exporter, not of who holds the GPU.
enum exporter_spelling {
    EXPORTER_EXPORTED, // "exported_pod": by way of a Prometheus that kept "pod" for the exporter's
    EXPORTER_OLD,      // "pod_name": dcgm-exporter --use-old-namespace
    EXPORTER_PLAIN,    // "pod"
    EXPORTER_SPELLINGS,
};

struct exporter_label {
    const char *name; // NULL ends the list
    int field;        // where two name the same field, the first in the list counts
};

struct exporter_kind {
    const char *name;
    const char *uuid_prefix; // set before UUIDs that lack it, NULL: none
    bool names_pods;
    bool dcgm_names; // the names of gpu_values come first, and the same in lower case
    const struct exporter_metric *metrics;
    const struct exporter_label *labels;
};

// In order: a GPU that two of them tell on one page is the first one's.
extern const struct exporter_kind exporter_kinds[];
extern const unsigned exporter_kinds_n;
