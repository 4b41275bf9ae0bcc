// SPDX-License-Identifier: Apache-2.0
/*
 * The part of NVML's binary interface that is used, declared here: the library is loaded at run
 * time and no header of NVIDIA's is needed or copied. Names of functions, layouts, numbers and
 * units are NVML's (API reference guide, 13.3); nvml_api.c asserts the layouts.
 *
 * A function that the driver's library lacks is NULL here unless it is REQUIRED; where two names
 * stand, the newer one is taken when it is there. Both take the same arguments.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct nvml_dev;        // a GPU or MIG instance, as the library knows it
struct nvml_event_set;  //
struct nvml_gpm_sample; //

// What every function returns.
enum nvml_code {
    NVML_SUCCESS = 0,
    NVML_UNINITIALIZED = 1,
    NVML_INVALID_ARGUMENT = 2,
    NVML_NOT_SUPPORTED = 3,
    NVML_NO_PERMISSION = 4,
    NVML_NOT_FOUND = 6,
    NVML_INSUFFICIENT_SIZE = 7,
    NVML_INSUFFICIENT_POWER = 8,
    NVML_DRIVER_NOT_LOADED = 9,
    NVML_TIMEOUT = 10,
    NVML_IRQ_ISSUE = 11,
    NVML_LIBRARY_NOT_FOUND = 12,
    NVML_FUNCTION_NOT_FOUND = 13,
    NVML_GPU_IS_LOST = 15,
    NVML_RESET_REQUIRED = 16,
    NVML_OPERATING_SYSTEM = 17,
    NVML_LIB_RM_VERSION_MISMATCH = 18,
    NVML_IN_USE = 19,
    NVML_MEMORY = 20,
    NVML_NO_DATA = 21,
    NVML_INSUFFICIENT_RESOURCES = 23,
    NVML_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_DEPRECATED = 26,
    NVML_NOT_READY = 27,
    NVML_GPU_NOT_FOUND = 28,
    NVML_INVALID_STATE = 29,
    NVML_UNKNOWN = 999,
};

#define NVML_VERSION_WORD(type, version) ((uint32_t)sizeof(type) | (uint32_t)(version) << 24)

struct nvml_utilization {
    uint32_t gpu_pct, memory_pct;
};
struct nvml_memory {
    uint64_t total, free, used; // used holds what the driver reserved, too
};
struct nvml_memory_v2 {
    uint32_t version;
    uint64_t total, reserved, free, used;
};
struct nvml_temperature {
    uint32_t version, sensor;
    int32_t celsius;
};
struct nvml_pci {
    char bus_id_legacy[16];
    uint32_t domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};
struct nvml_field {
    uint32_t id, scope;
    int64_t timestamp, latency_us;
    uint32_t value_type; // 0 double, 1 u32, 2 unsigned long, 3 u64, 4 i64, 5 i32, 6 u16
    int32_t code;
    union {
        double d;
        uint32_t u32;
        uint64_t u64;
        int64_t i64;
        int32_t i32;
        uint16_t u16;
    } value;
};
struct nvml_attributes {
    uint32_t multiprocessors, copy_engines, decoders, encoders, jpeg, ofa;
    uint32_t gpu_slices, compute_slices;
    uint64_t memory_mib;
};
struct nvml_event {
    struct nvml_dev *device;
    uint64_t type, data; // data: the XID
    uint32_t gpu_instance, compute_instance;
};
struct nvml_process_sample { // of one process that was busy, averaged by the driver
    uint32_t pid;
    uint64_t time_us; // since 1970
    uint32_t sm_pct, memory_pct, encoder_pct, decoder_pct;
};
struct nvml_gpm_support {
    uint32_t version, supported;
};
struct nvml_gpm_metric {
    uint32_t id;
    int32_t code;
    double value;
    char *short_name, *long_name, *unit;
};
// The library's array has room for all metrics that its version knows, which grow from release to
// release while the version word stays; it touches the first `n` only. There is room for more than
// any release has had (333).
struct nvml_gpm_get {
    uint32_t version, n;
    struct nvml_gpm_sample *before, *after;
    struct nvml_gpm_metric metrics[512];
};

enum {
    NVML_MIG_OFF = 0,
    NVML_SENSOR_GPU = 0,
    NVML_CLOCK_SM = 1,
    NVML_CLOCK_MEMORY = 2,
    NVML_ECC_CORRECTED = 0,
    NVML_ECC_UNCORRECTED = 1,
    NVML_ECC_VOLATILE = 0,
    NVML_PCIE_TX = 0,
    NVML_PCIE_RX = 1,
    NVML_FIELD_MEMORY_TEMPERATURE = 82,
    NVML_EVENT_XID = 8,
    NVML_GPM_VERSION = 1,
};
#define NVML_VALUE_NOT_AVAILABLE UINT64_MAX
#define NVML_INSTANCE_NONE UINT32_MAX // an event concerns the whole GPU

enum { NVML_NAMES = 2 }; // of one function at most, newest first

// F(field, REQUIRED or OPTIONAL, (arguments), names...)
#define NVML_FUNCTIONS(F)                                                                          \
    F(init, REQUIRED, (void), "nvmlInit_v2")                                                       \
    F(shutdown, REQUIRED, (void), "nvmlShutdown")                                                  \
    F(driver_version, REQUIRED, (char *, uint32_t), "nvmlSystemGetDriverVersion")                  \
    F(count, REQUIRED, (uint32_t *), "nvmlDeviceGetCount_v2")                                      \
    F(by_index, REQUIRED, (uint32_t, struct nvml_dev **), "nvmlDeviceGetHandleByIndex_v2")         \
    F(uuid, REQUIRED, (struct nvml_dev *, char *, uint32_t), "nvmlDeviceGetUUID")                  \
    F(name, REQUIRED, (struct nvml_dev *, char *, uint32_t), "nvmlDeviceGetName")                  \
    F(pci, OPTIONAL, (struct nvml_dev *, struct nvml_pci *), "nvmlDeviceGetPciInfo_v3")            \
    F(memory_v2, OPTIONAL, (struct nvml_dev *, struct nvml_memory_v2 *),                           \
      "nvmlDeviceGetMemoryInfo_v2")                                                                \
    F(memory, OPTIONAL, (struct nvml_dev *, struct nvml_memory *), "nvmlDeviceGetMemoryInfo")      \
    F(utilization, OPTIONAL, (struct nvml_dev *, struct nvml_utilization *),                       \
      "nvmlDeviceGetUtilizationRates")                                                             \
    F(encoder, OPTIONAL, (struct nvml_dev *, uint32_t *, uint32_t *),                              \
      "nvmlDeviceGetEncoderUtilization")                                                           \
    F(decoder, OPTIONAL, (struct nvml_dev *, uint32_t *, uint32_t *),                              \
      "nvmlDeviceGetDecoderUtilization")                                                           \
    F(power, OPTIONAL, (struct nvml_dev *, uint32_t *), "nvmlDeviceGetPowerUsage")                 \
    F(power_limit, OPTIONAL, (struct nvml_dev *, uint32_t *), "nvmlDeviceGetEnforcedPowerLimit")   \
    F(energy, OPTIONAL, (struct nvml_dev *, uint64_t *), "nvmlDeviceGetTotalEnergyConsumption")    \
    F(temperature_v, OPTIONAL, (struct nvml_dev *, struct nvml_temperature *),                     \
      "nvmlDeviceGetTemperatureV")                                                                 \
    F(temperature, OPTIONAL, (struct nvml_dev *, uint32_t, uint32_t *),                            \
      "nvmlDeviceGetTemperature")                                                                  \
    F(fields, OPTIONAL, (struct nvml_dev *, int32_t, struct nvml_field *),                         \
      "nvmlDeviceGetFieldValues")                                                                  \
    F(clock, OPTIONAL, (struct nvml_dev *, uint32_t, uint32_t *), "nvmlDeviceGetClockInfo")        \
    F(clock_reasons, OPTIONAL, (struct nvml_dev *, uint64_t *),                                    \
      "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")       \
    F(ecc, OPTIONAL, (struct nvml_dev *, uint32_t, uint32_t, uint64_t *),                          \
      "nvmlDeviceGetTotalEccErrors")                                                               \
    F(pcie, OPTIONAL, (struct nvml_dev *, uint32_t, uint32_t *), "nvmlDeviceGetPcieThroughput")    \
    F(compute_processes, OPTIONAL, (struct nvml_dev *, uint32_t *, void *),                        \
      "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")        \
    F(compute_processes_v1, OPTIONAL, (struct nvml_dev *, uint32_t *, void *),                     \
      "nvmlDeviceGetComputeRunningProcesses")                                                      \
    F(graphics_processes, OPTIONAL, (struct nvml_dev *, uint32_t *, void *),                       \
      "nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2")      \
    F(graphics_processes_v1, OPTIONAL, (struct nvml_dev *, uint32_t *, void *),                    \
      "nvmlDeviceGetGraphicsRunningProcesses")                                                     \
    F(mps_processes, OPTIONAL, (struct nvml_dev *, uint32_t *, void *),                            \
      "nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v2")  \
    F(process_utilization, OPTIONAL,                                                               \
      (struct nvml_dev *, struct nvml_process_sample *, uint32_t *, uint64_t),                     \
      "nvmlDeviceGetProcessUtilization")                                                           \
    F(event_set_new, OPTIONAL, (struct nvml_event_set **), "nvmlEventSetCreate")                   \
    F(event_set_free, OPTIONAL, (struct nvml_event_set *), "nvmlEventSetFree")                     \
    F(event_register, OPTIONAL, (struct nvml_dev *, uint64_t, struct nvml_event_set *),            \
      "nvmlDeviceRegisterEvents")                                                                  \
    F(event_wait, OPTIONAL, (struct nvml_event_set *, struct nvml_event *, uint32_t),              \
      "nvmlEventSetWait_v2", "nvmlEventSetWait")                                                   \
    F(mig_mode, OPTIONAL, (struct nvml_dev *, uint32_t *, uint32_t *), "nvmlDeviceGetMigMode")     \
    F(mig_max, OPTIONAL, (struct nvml_dev *, uint32_t *), "nvmlDeviceGetMaxMigDeviceCount")        \
    F(mig_by_index, OPTIONAL, (struct nvml_dev *, uint32_t, struct nvml_dev **),                   \
      "nvmlDeviceGetMigDeviceHandleByIndex")                                                       \
    F(gpu_instance, OPTIONAL, (struct nvml_dev *, uint32_t *), "nvmlDeviceGetGpuInstanceId")       \
    F(compute_instance, OPTIONAL, (struct nvml_dev *, uint32_t *),                                 \
      "nvmlDeviceGetComputeInstanceId")                                                            \
    F(attributes, OPTIONAL, (struct nvml_dev *, struct nvml_attributes *),                         \
      "nvmlDeviceGetAttributes_v2")                                                                \
    F(gpm_support, OPTIONAL, (struct nvml_dev *, struct nvml_gpm_support *),                       \
      "nvmlGpmQueryDeviceSupport")                                                                 \
    F(gpm_alloc, OPTIONAL, (struct nvml_gpm_sample **), "nvmlGpmSampleAlloc")                      \
    F(gpm_free, OPTIONAL, (struct nvml_gpm_sample *), "nvmlGpmSampleFree")                         \
    F(gpm_sample, OPTIONAL, (struct nvml_dev *, struct nvml_gpm_sample *), "nvmlGpmSampleGet")     \
    F(gpm_mig_sample, OPTIONAL, (struct nvml_dev *, uint32_t, struct nvml_gpm_sample *),           \
      "nvmlGpmMigSampleGet")                                                                       \
    F(gpm_metrics, OPTIONAL, (struct nvml_gpm_get *), "nvmlGpmMetricsGet")

struct nvml_api {
    void *library;
    char path[256]; // which file it is, links followed: its name ends with the driver's version
#define NVML_FIELD(field, required, arguments, ...) int(*field) arguments;
    NVML_FUNCTIONS(NVML_FIELD)
#undef NVML_FIELD
};

// Loads the library and finds the functions; nothing of it is called. `library`: its path, or "".
// ERR_NOTFOUND: there is none (and what to do); ERR_UNSUPPORTED: a required function is missing.
int nvml_api_load(struct nvml_api *ret, const char *library, struct err *e);
void nvml_api_unload(struct nvml_api *a);

// "NVML_ERROR_UNKNOWN (999)". In a static buffer for numbers without a name.
const char *nvml_code_name(int code);
// ": what it means for the operator and what to do", or "".
const char *nvml_code_remedy(int code);
