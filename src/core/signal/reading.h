// SPDX-License-Identifier: Apache-2.0
/*
 * One reading of one GPU: values with a validity bit each. A value whose bit is not set is unknown,
 * which is not zero (DESIGN section 4, contract 1). The order of the enum is the wire order of
 * proto/node.proto and of replay files: append only.
 *
 * One table (gpu_values) names each value, its unit, its dcgm-exporter metric and the factor from
 * ours to theirs; the agent's page, `top`, the replay format and the status API are all made from
 * it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum gpu_value {
    GPU_UTILIZATION_PCT, // time in which a kernel was resident: busy, not load
    GPU_MEMORY_USED_BYTES,
    GPU_MEMORY_FREE_BYTES,
    GPU_MEMORY_RESERVED_BYTES,
    GPU_MEMORY_COPY_PCT, // memory bandwidth activity
    GPU_ENCODER_PCT,
    GPU_DECODER_PCT,
    GPU_POWER_W,
    GPU_POWER_LIMIT_W,
    GPU_ENERGY_J, // counter, since the driver was loaded
    GPU_TEMPERATURE_C,
    GPU_MEMORY_TEMPERATURE_C,
    GPU_SM_CLOCK_MHZ,
    GPU_MEMORY_CLOCK_MHZ,
    GPU_CLOCK_EVENT_REASONS, // NVML bit mask
    GPU_ECC_CORRECTED,       // counter, volatile
    GPU_ECC_UNCORRECTED,     // counter, volatile
    GPU_XID_LAST,            // code of the last XID event; 0: none since start
    GPU_PCIE_TX_BYTES_PER_S,
    GPU_PCIE_RX_BYTES_PER_S,
    GPU_GR_ENGINE_ACTIVE_RATIO, // 0..1, the profiling counters (GPM, DCGM PROF)
    GPU_SM_ACTIVE_RATIO,
    GPU_SM_OCCUPANCY_RATIO,
    GPU_TENSOR_ACTIVE_RATIO,
    GPU_DRAM_ACTIVE_RATIO,
    GPU_PROCESSES,
    GPU_VALUE_MAX,
};

struct gpu_reading {
    uint64_t valid;          // bit i: v[i] is known
    double v[GPU_VALUE_MAX]; // undefined where the bit is not set
};

static inline void gpu_reading_set(struct gpu_reading *r, enum gpu_value i, double v) {
    r->v[i] = v;
    r->valid |= UINT64_C(1) << i;
}
static inline bool gpu_reading_get(const struct gpu_reading *r, enum gpu_value i, double *ret) {
    if (!(r->valid >> i & 1))
        return false;
    *ret = r->v[i];
    return true;
}

struct gpu_value_info {
    const char *name;   // "utilization_pct": replay files, JSON
    const char *dcgm;   // dcgm-exporter's metric, NULL: it has none
    double dcgm_factor; // theirs = ours * factor
    const char *own;    // gpuscale's metric, "gpuscale_gpu_utilization_ratio"
    double own_factor;
    bool counter;
    const char *help; // one line, with the unit of the dcgm metric
    double min, max;  // a reading outside is a driver's sentinel: unknown
};
extern const struct gpu_value_info gpu_values[GPU_VALUE_MAX];
// Index by gpu_value_info.name; -1: none.
int gpu_value_by_name(const char *name);

enum { GPU_UUID_MAX = 96, GPU_MODEL_MAX = 96, GPU_PCI_MAX = 32, GPU_DRIVER_MAX = 80 };

struct gpu_info {
    char uuid[GPU_UUID_MAX]; // "GPU-...", "MIG-..."
    char model[GPU_MODEL_MAX];
    char pci_bus_id[GPU_PCI_MAX]; // "00000000:8D:00.0"
    char driver_version[GPU_DRIVER_MAX];
    uint32_t index;
    uint64_t memory_total_bytes; // 0: unknown
    // MIG instances:
    char parent_uuid[GPU_UUID_MAX]; // "": a whole GPU
    uint32_t gpu_instance_id;
    char mig_profile[32];
};

// Kubernetes names: DNS-1123, at most 253 characters.
enum { KUBE_NAME_MAX = 254 };
struct gpu_owner {
    char namespace_[KUBE_NAME_MAX];
    char pod[KUBE_NAME_MAX];
    char container[KUBE_NAME_MAX];
    char replica[16]; // of a time-sliced GPU, ""
};

// What the processes of one pod use of a GPU.
enum { POD_UID_MAX = 37 };
struct gpu_share {
    char pod_uid[POD_UID_MAX]; // "": processes of no pod, or of one that nobody can tell
    bool has_memory, has_utilization;
    uint32_t processes;
    double memory_bytes;
    double utilization_pct; // time in which its kernels ran, summed over its processes
};
