// SPDX-License-Identifier: Apache-2.0
/*
 * The values of one GPU or instance. One row a call of NVML: for what it is made and how it is
 * read. A call that fails leaves its values unknown; one that is refused (not supported, a function
 * that this driver lacks, no permission) is not made again for ten minutes, or until the GPU came
 * back or changed: what a GPU supports changes with its MIG and ECC modes, which need a reset, or
 * with the driver, which needs a restart.
 */
#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/nvml_internal.h"

static const int64_t refused_for_ns = 600 * NS_PER_S;

struct call {
    const char *name; // of the newest function, for messages
    unsigned kinds;   // enum nvml_kind
    int (*read)(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_reading *r);
};

static int read_memory_v1(struct nvml *n, struct nvml_dev *d, struct nvml_memory *ret) {
    return n->api.memory ? n->api.memory(d, ret) : NVML_FUNCTION_NOT_FOUND;
}

static int read_memory_v2(struct nvml *n, struct nvml_dev *d, struct nvml_memory_v2 *ret) {
    ret->version = NVML_VERSION_WORD(struct nvml_memory_v2, 2);
    return n->api.memory_v2 ? n->api.memory_v2(d, ret) : NVML_FUNCTION_NOT_FOUND;
}

// What only an older form of a call may answer.
static bool try_older(int code) {
    return code == NVML_FUNCTION_NOT_FOUND || code == NVML_ARGUMENT_VERSION_MISMATCH ||
           code == NVML_NOT_SUPPORTED || code == NVML_INVALID_ARGUMENT;
}

int nvml_memory_total(struct nvml *n, struct nvml_dev *d, uint64_t *ret_bytes) {
    struct nvml_memory_v2 v2 = {0};
    int code = read_memory_v2(n, d, &v2);
    if (code == NVML_SUCCESS) {
        *ret_bytes = v2.total;
        return code;
    }
    struct nvml_memory v1 = {0};
    int older = try_older(code) ? read_memory_v1(n, d, &v1) : code;
    if (older == NVML_SUCCESS)
        *ret_bytes = v1.total;
    return older == NVML_FUNCTION_NOT_FOUND ? code : older;
}

static int read_memory(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                       struct gpu_reading *r) {
    struct nvml_memory_v2 v2 = {0};
    int code = read_memory_v2(n, g->handle, &v2);
    if (code == NVML_SUCCESS) {
        gpu_reading_set(r, GPU_MEMORY_USED_BYTES, (double)v2.used);
        gpu_reading_set(r, GPU_MEMORY_FREE_BYTES, (double)v2.free);
        gpu_reading_set(r, GPU_MEMORY_RESERVED_BYTES, (double)v2.reserved);
        return code;
    }
    struct nvml_memory v1 = {0};
    int older = try_older(code) ? read_memory_v1(n, g->handle, &v1) : code;
    if (older == NVML_SUCCESS) { // with what is reserved in what is used
        gpu_reading_set(r, GPU_MEMORY_USED_BYTES, (double)v1.used);
        gpu_reading_set(r, GPU_MEMORY_FREE_BYTES, (double)v1.free);
    }
    return older == NVML_FUNCTION_NOT_FOUND ? code : older;
}

// Never of a GPU whose MIG is on, which may have been switched on since the last enumeration.
static int read_utilization(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                            struct gpu_reading *r) {
    uint32_t current = 0, pending = 0;
    struct nvml_utilization u = {0};
    if (!n->api.utilization)
        return NVML_FUNCTION_NOT_FOUND;
    int mig = n->api.mig_mode ? n->api.mig_mode(g->handle, &current, &pending) : NVML_NOT_SUPPORTED;
    if (mig && !nvml_code_is_refusal(mig))
        return mig;
    if (mig == NVML_SUCCESS && current != NVML_MIG_OFF)
        return NVML_NOT_SUPPORTED;
    int code = n->api.utilization(g->handle, &u);
    if (code == NVML_SUCCESS) {
        gpu_reading_set(r, GPU_UTILIZATION_PCT, u.gpu_pct);
        gpu_reading_set(r, GPU_MEMORY_COPY_PCT, u.memory_pct);
    }
    return code;
}

static int take_u32(int code, uint32_t v, double factor, enum gpu_value i, struct gpu_reading *r) {
    if (code == NVML_SUCCESS)
        gpu_reading_set(r, i, v * factor);
    return code;
}

static int read_encoder(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                        struct gpu_reading *r) {
    uint32_t v = 0, period = 0;
    int code = n->api.encoder ? n->api.encoder(g->handle, &v, &period) : NVML_FUNCTION_NOT_FOUND;
    return take_u32(code, v, 1, GPU_ENCODER_PCT, r);
}

static int read_decoder(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                        struct gpu_reading *r) {
    uint32_t v = 0, period = 0;
    int code = n->api.decoder ? n->api.decoder(g->handle, &v, &period) : NVML_FUNCTION_NOT_FOUND;
    return take_u32(code, v, 1, GPU_DECODER_PCT, r);
}

static int read_power(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                      struct gpu_reading *r) {
    uint32_t mw = 0;
    int code = n->api.power ? n->api.power(g->handle, &mw) : NVML_FUNCTION_NOT_FOUND;
    return take_u32(code, mw, 0.001, GPU_POWER_W, r);
}

static int read_power_limit(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                            struct gpu_reading *r) {
    uint32_t mw = 0;
    int code = n->api.power_limit ? n->api.power_limit(g->handle, &mw) : NVML_FUNCTION_NOT_FOUND;
    return take_u32(code, mw, 0.001, GPU_POWER_LIMIT_W, r);
}

static int read_energy(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                       struct gpu_reading *r) {
    uint64_t mj = 0;
    int code = n->api.energy ? n->api.energy(g->handle, &mj) : NVML_FUNCTION_NOT_FOUND;
    if (code == NVML_SUCCESS)
        gpu_reading_set(r, GPU_ENERGY_J, (double)mj * 0.001);
    return code;
}

static int read_temperature(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                            struct gpu_reading *r) {
    struct nvml_temperature t = {.version = NVML_VERSION_WORD(struct nvml_temperature, 1),
                                 .sensor = NVML_SENSOR_GPU};
    int code = n->api.temperature_v ? n->api.temperature_v(g->handle, &t) : NVML_FUNCTION_NOT_FOUND;
    if (code == NVML_SUCCESS) {
        gpu_reading_set(r, GPU_TEMPERATURE_C, t.celsius);
        return code;
    }
    if (!try_older(code) || !n->api.temperature)
        return code;
    uint32_t celsius = 0;
    code = n->api.temperature(g->handle, NVML_SENSOR_GPU, &celsius);
    return take_u32(code, celsius, 1, GPU_TEMPERATURE_C, r);
}

static bool field_number(const struct nvml_field *f, double *ret) {
    switch (f->value_type) {
    case 0:
        *ret = f->value.d;
        return isfinite(f->value.d);
    case 1:
        *ret = f->value.u32;
        return true;
    case 2:
    case 3:
        *ret = (double)f->value.u64;
        return true;
    case 4:
        *ret = (double)f->value.i64;
        return true;
    case 5:
        *ret = f->value.i32;
        return true;
    case 6:
        *ret = f->value.u16;
        return true;
    default:
        return false;
    }
}

static int read_memory_temperature(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                                   struct gpu_reading *r) {
    struct nvml_field f = {.id = NVML_FIELD_MEMORY_TEMPERATURE};
    double celsius;
    if (!n->api.fields)
        return NVML_FUNCTION_NOT_FOUND;
    int code = n->api.fields(g->handle, 1, &f);
    if (code == NVML_SUCCESS)
        code = f.code;
    if (code == NVML_SUCCESS && !field_number(&f, &celsius))
        code = NVML_NOT_SUPPORTED;
    // 0 is what GPUs without the sensor say; memory that is read is warmer.
    if (code == NVML_SUCCESS && celsius > 0)
        gpu_reading_set(r, GPU_MEMORY_TEMPERATURE_C, celsius);
    return code;
}

static int read_clock(struct nvml *n, struct nvml_entity *g, uint32_t clock, enum gpu_value i,
                      struct gpu_reading *r) {
    uint32_t mhz = 0;
    int code = n->api.clock ? n->api.clock(g->handle, clock, &mhz) : NVML_FUNCTION_NOT_FOUND;
    return take_u32(code, mhz, 1, i, r);
}

static int read_sm_clock(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                         struct gpu_reading *r) {
    return read_clock(n, g, NVML_CLOCK_SM, GPU_SM_CLOCK_MHZ, r);
}

static int read_memory_clock(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                             struct gpu_reading *r) {
    return read_clock(n, g, NVML_CLOCK_MEMORY, GPU_MEMORY_CLOCK_MHZ, r);
}

static int read_clock_reasons(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                              struct gpu_reading *r) {
    uint64_t bits = 0;
    int code = n->api.clock_reasons ? n->api.clock_reasons(g->handle, &bits)
                                    : NVML_FUNCTION_NOT_FOUND;
    if (code == NVML_SUCCESS)
        gpu_reading_set(r, GPU_CLOCK_EVENT_REASONS, (double)bits);
    return code;
}

static int read_ecc(struct nvml *n, struct nvml_entity *g, uint32_t type, enum gpu_value i,
                    struct gpu_reading *r) {
    uint64_t errors = 0;
    int code = n->api.ecc ? n->api.ecc(g->handle, type, NVML_ECC_VOLATILE, &errors)
                          : NVML_FUNCTION_NOT_FOUND;
    if (code == NVML_SUCCESS)
        gpu_reading_set(r, i, (double)errors);
    return code;
}

static int read_ecc_corrected(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                              struct gpu_reading *r) {
    return read_ecc(n, g, NVML_ECC_CORRECTED, GPU_ECC_CORRECTED, r);
}

static int read_ecc_uncorrected(struct nvml *n, struct nvml_entity *g, int64_t now_ns,
                                struct gpu_reading *r) {
    return read_ecc(n, g, NVML_ECC_UNCORRECTED, GPU_ECC_UNCORRECTED, r);
}

// 20 ms a direction: only when asked for, and where GPM does not tell it for nothing.
static int read_pcie(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_reading *r) {
    static const enum gpu_value values[] = {
        [NVML_PCIE_TX] = GPU_PCIE_TX_BYTES_PER_S, [NVML_PCIE_RX] = GPU_PCIE_RX_BYTES_PER_S};
    double v;
    if (!n->pcie || !n->api.pcie)
        return NVML_FUNCTION_NOT_FOUND;
    for (uint32_t i = 0; i < COUNT_OF(values); i++) {
        uint32_t kb_per_s = 0;
        if (gpu_reading_get(r, values[i], &v))
            continue;
        int code = n->api.pcie(g->handle, i, &kb_per_s);
        if (take_u32(code, kb_per_s, 1000, values[i], r))
            return code;
    }
    return NVML_SUCCESS;
}

enum { EVERY_GPU = NVML_WHOLE | NVML_BOARD, WITH_MEMORY = NVML_WHOLE | NVML_INSTANCE };

static const struct call calls[] = {
    {"nvmlDeviceGetMemoryInfo_v2", WITH_MEMORY, read_memory},
    {"nvmlDeviceGetUtilizationRates", NVML_WHOLE, read_utilization},
    {"nvmlDeviceGetPowerUsage", EVERY_GPU, read_power},
    {"nvmlDeviceGetEnforcedPowerLimit", EVERY_GPU, read_power_limit},
    {"nvmlDeviceGetTotalEnergyConsumption", EVERY_GPU, read_energy},
    {"nvmlDeviceGetTemperatureV", EVERY_GPU, read_temperature},
    {"nvmlDeviceGetFieldValues", EVERY_GPU, read_memory_temperature},
    {"nvmlDeviceGetClockInfo", EVERY_GPU, read_sm_clock},
    {"nvmlDeviceGetClockInfo", EVERY_GPU, read_memory_clock},
    {"nvmlDeviceGetCurrentClocksEventReasons", EVERY_GPU, read_clock_reasons},
    {"nvmlDeviceGetTotalEccErrors", EVERY_GPU, read_ecc_corrected},
    {"nvmlDeviceGetTotalEccErrors", EVERY_GPU, read_ecc_uncorrected},
    {"nvmlDeviceGetEncoderUtilization", NVML_WHOLE, read_encoder},
    {"nvmlDeviceGetDecoderUtilization", NVML_WHOLE, read_decoder},
    {"nvmlDeviceGetComputeRunningProcesses_v3", WITH_MEMORY, nvml_read_processes},
    {"nvmlGpmMetricsGet", WITH_MEMORY, nvml_gpm_read},
    {"nvmlDeviceGetPcieThroughput", EVERY_GPU, read_pcie}, // after GPM, which may have it
};
_Static_assert(COUNT_OF(calls) <= NVML_CALLS_MAX, "refused_ns has room for each call");

// An instance that was destroyed leaves a handle behind that is not valid any more: the first call,
// for its memory, which every instance supports, tells.
static bool is_loss(const struct nvml_entity *g, unsigned call, int code) {
    return nvml_code_is_loss(code) || (g->kind == NVML_INSTANCE && call == 0 &&
                                       (code == NVML_NOT_FOUND || code == NVML_INVALID_ARGUMENT));
}

int nvml_read(struct nvml *n, struct nvml_entity *g, int64_t now_ns, struct gpu_reading *ret,
              bool *ret_lost, struct err *e) {
    unsigned answered = 0;
    int failed = 0;
    const char *failed_call = NULL;
    for (unsigned i = 0; i < COUNT_OF(calls); i++) {
        if (!(calls[i].kinds & (unsigned)g->kind) ||
            (g->refused_ns[i] && now_ns - g->refused_ns[i] < refused_for_ns))
            continue;
        int code = calls[i].read(n, g, now_ns, ret);
        g->refused_ns[i] = nvml_code_is_refusal(code) ? now_ns : 0;
        nvml_note(n, calls[i].name, code);
        if (is_loss(g, i, code)) {
            *ret_lost = true;
            return 0;
        }
        answered += code == NVML_SUCCESS;
        if (code && !g->refused_ns[i] && !failed) {
            failed = code;
            failed_call = calls[i].name;
        }
    }
    *ret_lost = false;
    if (answered == 0 && failed)
        return err_set(e, ERR_UNAVAILABLE, "GPU %u (%s): %s: %s", g->info.index, g->info.uuid,
                       failed_call, nvml_code_name(failed));
    if (g->xid_heard)
        gpu_reading_set(ret, GPU_XID_LAST, g->xid);
    return 0;
}
