// SPDX-License-Identifier: Apache-2.0
/*
 * The rows. Sources: dcgm-exporter's etc CSV files, its template and its transformation constants;
 * nvidia_gpu_exporter's docs/METRICS.md and captured pages; AMD's device-metrics-exporter; the
 * metrics of GKE's device plugins.
 */
#include "core/exporter/exporter.h"

#define MIB (1.0 / (1024.0 * 1024.0))

#define HOLDER                                                                                     \
    {"exported_namespace", EXPORTER_NAMESPACE + EXPORTER_EXPORTED},                                \
        {"exported_pod", EXPORTER_POD + EXPORTER_EXPORTED},                                        \
        {"exported_container", EXPORTER_CONTAINER + EXPORTER_EXPORTED},                            \
        {"pod_namespace", EXPORTER_NAMESPACE + EXPORTER_OLD},                                      \
        {"pod_name", EXPORTER_POD + EXPORTER_OLD},                                                 \
        {"container_name", EXPORTER_CONTAINER + EXPORTER_OLD},                                     \
        {"namespace", EXPORTER_NAMESPACE + EXPORTER_PLAIN},                                        \
        {"pod", EXPORTER_POD + EXPORTER_PLAIN}, {                                                  \
        "container", EXPORTER_CONTAINER + EXPORTER_PLAIN                                           \
    }

// Beside the names of gpu_values: newer names of the same fields, then those of the 1.x releases,
// which etc/1.x-compatibility-metrics.csv still gives.
static const struct exporter_metric dcgm_metrics[] = {
    {"DCGM_FI_DEV_FB_TOTAL", EXPORTER_MEMORY_TOTAL, MIB},
    {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS", GPU_CLOCK_EVENT_REASONS, 1},
    {"DCGM_FI_DEV_ENFORCED_POWER_LIMIT", GPU_POWER_LIMIT_W, 1},
    {"dcgm_gpu_utilization", GPU_UTILIZATION_PCT, 1},
    {"dcgm_mem_copy_utilization", GPU_MEMORY_COPY_PCT, 1},
    {"dcgm_enc_utilization", GPU_ENCODER_PCT, 1},
    {"dcgm_dec_utilization", GPU_DECODER_PCT, 1},
    {"dcgm_fb_used", GPU_MEMORY_USED_BYTES, MIB},
    {"dcgm_fb_free", GPU_MEMORY_FREE_BYTES, MIB},
    {"dcgm_power_usage", GPU_POWER_W, 1},
    {"dcgm_total_energy_consumption", GPU_ENERGY_J, 1000},
    {"dcgm_gpu_temp", GPU_TEMPERATURE_C, 1},
    {"dcgm_memory_temp", GPU_MEMORY_TEMPERATURE_C, 1},
    {"dcgm_sm_clock", GPU_SM_CLOCK_MHZ, 1},
    {"dcgm_memory_clock", GPU_MEMORY_CLOCK_MHZ, 1},
    {"dcgm_xid_errors", GPU_XID_LAST, 1},
    {"dcgm_ecc_sbe_volatile_total", GPU_ECC_CORRECTED, 1},
    {"dcgm_ecc_dbe_volatile_total", GPU_ECC_UNCORRECTED, 1},
    {0}};

static const struct exporter_label dcgm_labels[] = {
    {"UUID", EXPORTER_UUID},
    {"uuid", EXPORTER_UUID}, // with the old names of the pod's labels
    {"gpu", EXPORTER_INDEX},
    {"pci_bus_id", EXPORTER_PCI_BUS_ID},
    {"modelName", EXPORTER_MODEL},
    {"GPU_I_ID", EXPORTER_GPU_INSTANCE},
    {"GPU_I_PROFILE", EXPORTER_MIG_PROFILE},
    {"dra_mig_profile", EXPORTER_MIG_PROFILE},
    {"dra_mig_device_uuid", EXPORTER_MIG_UUID},
    {"hostname", EXPORTER_NODE}, // since May 2026
    {"Hostname", EXPORTER_NODE},
    {"DCGM_FI_DRIVER_VERSION", EXPORTER_DRIVER},
    {"vgpu", EXPORTER_REPLICA},
    HOLDER,
    {0}};

#define SMI "nvidia_smi_"

static const struct exporter_metric smi_metrics[] = {
    {SMI "gpu_info", EXPORTER_INFO, 1},
    {SMI "mig_info", EXPORTER_INFO, 1},
    {SMI "last_collect_success_timestamp_seconds", EXPORTER_COLLECTED_AT, 1},
    {SMI "utilization_gpu_ratio", GPU_UTILIZATION_PCT, 0.01},
    {SMI "utilization_memory_ratio", GPU_MEMORY_COPY_PCT, 0.01},
    {SMI "utilization_encoder_ratio", GPU_ENCODER_PCT, 0.01},
    {SMI "utilization_decoder_ratio", GPU_DECODER_PCT, 0.01},
    {SMI "memory_total_bytes", EXPORTER_MEMORY_TOTAL, 1},
    {SMI "memory_used_bytes", GPU_MEMORY_USED_BYTES, 1},
    {SMI "memory_free_bytes", GPU_MEMORY_FREE_BYTES, 1},
    {SMI "memory_reserved_bytes", GPU_MEMORY_RESERVED_BYTES, 1},
    {SMI "power_draw_watts", GPU_POWER_W, 1},
    {SMI "power_draw_average_watts", GPU_POWER_W, 1},
    {SMI "power_draw_instant_watts", GPU_POWER_W, 1},
    {SMI "enforced_power_limit_watts", GPU_POWER_LIMIT_W, 1},
    {SMI "power_limit_watts", GPU_POWER_LIMIT_W, 1},
    {SMI "energy_joules_total", GPU_ENERGY_J, 1},
    {SMI "temperature_gpu", GPU_TEMPERATURE_C, 1},
    {SMI "temperature_memory", GPU_MEMORY_TEMPERATURE_C, 1},
    {SMI "clocks_current_sm_clock_hz", GPU_SM_CLOCK_MHZ, 1e6},
    {SMI "clocks_current_memory_clock_hz", GPU_MEMORY_CLOCK_MHZ, 1e6},
    {SMI "clocks_event_reasons_active", GPU_CLOCK_EVENT_REASONS, 1},
    {SMI "clocks_throttle_reasons_active", GPU_CLOCK_EVENT_REASONS, 1},
    {SMI "ecc_errors_corrected_volatile_total", GPU_ECC_CORRECTED, 1},
    {SMI "ecc_errors_uncorrected_volatile_total", GPU_ECC_UNCORRECTED, 1},
    {SMI "pcie_throughput_tx_bytes_per_second", GPU_PCIE_TX_BYTES_PER_S, 1},
    {SMI "pcie_throughput_rx_bytes_per_second", GPU_PCIE_RX_BYTES_PER_S, 1},
    {SMI "compute_apps", GPU_PROCESSES, 1},
    {SMI "mig_memory_total_bytes", EXPORTER_MEMORY_TOTAL, 1},
    {SMI "mig_memory_used_bytes", GPU_MEMORY_USED_BYTES, 1},
    {SMI "mig_memory_free_bytes", GPU_MEMORY_FREE_BYTES, 1},
    {SMI "mig_memory_reserved_bytes", GPU_MEMORY_RESERVED_BYTES, 1},
    {SMI "mig_graphics_activity_ratio", GPU_GR_ENGINE_ACTIVE_RATIO, 1},
    {SMI "mig_sm_activity_ratio", GPU_SM_ACTIVE_RATIO, 1},
    {SMI "mig_sm_occupancy_ratio", GPU_SM_OCCUPANCY_RATIO, 1},
    {SMI "mig_tensor_activity_ratio", GPU_TENSOR_ACTIVE_RATIO, 1},
    {SMI "mig_pcie_throughput_tx_bytes_per_second", GPU_PCIE_TX_BYTES_PER_S, 1},
    {SMI "mig_pcie_throughput_rx_bytes_per_second", GPU_PCIE_RX_BYTES_PER_S, 1},
    {0}};

static const struct exporter_label smi_labels[] = {{"uuid", EXPORTER_UUID},
                                                   {"index", EXPORTER_INDEX},
                                                   {"name", EXPORTER_MODEL},
                                                   {"pci_bus_id", EXPORTER_PCI_BUS_ID},
                                                   {"driver_version", EXPORTER_DRIVER},
                                                   {"gpu_instance_id", EXPORTER_GPU_INSTANCE},
                                                   {"profile", EXPORTER_MIG_PROFILE},
                                                   {"mig_uuid", EXPORTER_MIG_UUID},
                                                   {0}};

// "MB" are MiB there: an MI300X shows 196592 of 192 GiB. With AMD's optional prefix, too.
#define AMD(name, what, factor)                                                                    \
    {name, what, factor}, {                                                                        \
        "amd_" name, what, factor                                                                  \
    }

static const struct exporter_metric amd_metrics[] = {
    AMD("gpu_gfx_activity", GPU_UTILIZATION_PCT, 1),
    AMD("gpu_umc_activity", GPU_MEMORY_COPY_PCT, 1),
    AMD("gpu_total_vram", EXPORTER_MEMORY_TOTAL, MIB),
    AMD("gpu_used_vram", GPU_MEMORY_USED_BYTES, MIB),
    AMD("gpu_free_vram", GPU_MEMORY_FREE_BYTES, MIB),
    AMD("gpu_power_usage", GPU_POWER_W, 1),
    AMD("gpu_energy_consumed", GPU_ENERGY_J, 1e6),
    AMD("gpu_junction_temperature", GPU_TEMPERATURE_C, 1),
    AMD("gpu_memory_temperature", GPU_MEMORY_TEMPERATURE_C, 1),
    {0}};

static const struct exporter_label amd_labels[] = {{"gpu_uuid", EXPORTER_UUID},
                                                   {"gpu_id", EXPORTER_INDEX},
                                                   {"card_series", EXPORTER_MODEL},
                                                   {"card_model", EXPORTER_MODEL},
                                                   {"driver_version", EXPORTER_DRIVER},
                                                   {"hostname", EXPORTER_NODE},
                                                   HOLDER,
                                                   {0}};

// Of GPUs and TPUs alike. The same GPU has a series with its pod and a "_gpu_node" one without.
static const struct exporter_metric gke_metrics[] = {
    {"duty_cycle", GPU_UTILIZATION_PCT, 1},
    {"duty_cycle_gpu_node", GPU_UTILIZATION_PCT, 1},
    {"memory_total", EXPORTER_MEMORY_TOTAL, 1},
    {"memory_total_gpu_node", EXPORTER_MEMORY_TOTAL, 1},
    {"memory_used", GPU_MEMORY_USED_BYTES, 1},
    {"memory_used_gpu_node", GPU_MEMORY_USED_BYTES, 1},
    {"tensorcore_utilization", GPU_TENSOR_ACTIVE_RATIO, 100},
    {0}};

static const struct exporter_label gke_labels[] = {
    {"accelerator_id", EXPORTER_UUID}, {"model", EXPORTER_MODEL}, HOLDER, {0}};

const struct exporter_kind exporter_kinds[] = {
    {.name = "dcgm-exporter",
     .names_pods = true,
     .dcgm_names = true,
     .metrics = dcgm_metrics,
     .labels = dcgm_labels},
    {.name = "nvidia_gpu_exporter",
     .uuid_prefix = "GPU-",
     .metrics = smi_metrics,
     .labels = smi_labels},
    {.name = "amd-device-metrics-exporter",
     .names_pods = true,
     .metrics = amd_metrics,
     .labels = amd_labels},
    {.name = "gke-device-plugin", .names_pods = true, .metrics = gke_metrics, .labels = gke_labels},
};
const unsigned exporter_kinds_n = sizeof(exporter_kinds) / sizeof(exporter_kinds[0]);
