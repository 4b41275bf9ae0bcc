// SPDX-License-Identifier: Apache-2.0
/* See sim_model.h: power from activity, temperature by a first-order lag, energy by integration. */
#include "gpu/sim_model.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

#define MIB (1024.0 * 1024.0)

static const double total_bytes = 81559 * MIB; // as NVML tells it of an "H100 80GB HBM3"
static const double reserved_bytes = 552 * MIB;
static const double idle_used_bytes = 4 * MIB;
static const double weights_share = 0.55; // of the memory: loaded with the first work
static const double cache_share = 0.33;   // follows the load

static const double idle_w = 70, limit_w = 700;
static const double ambient_c = 28, c_per_w = 0.062; // 700 W settle at 71 C
static const double heat_tau_s = 25;
static const double sm_idle_mhz = 345, sm_max_mhz = 1980, memory_mhz = 2619;

enum { REASON_GPU_IDLE = 1, REASON_SW_POWER_CAP = 4 };

void sim_model_info(uint64_t seed, uint32_t index, struct gpu_info *ret) {
    // The buses of an eight-GPU HGX board, then counted on.
    static const unsigned buses[] = {0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf};
    unsigned bus = buses[index % COUNT_OF(buses)], domain = index / COUNT_OF(buses);
    struct random r;
    random_init(&r, seed * UINT64_C(0x9e3779b97f4a7c15) + index);
    uint64_t a = random_u64(&r), b = random_u64(&r);
    *ret = (struct gpu_info){.index = index, .memory_total_bytes = (uint64_t)total_bytes};
    snprintf(ret->uuid, sizeof ret->uuid, "GPU-%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | (b >> 48 & 0x3fff)),
             (unsigned long long)(b & UINT64_C(0xffffffffffff)));
    snprintf(ret->model, sizeof ret->model, "NVIDIA H100 80GB HBM3");
    snprintf(ret->pci_bus_id, sizeof ret->pci_bus_id, "%08X:%02X:00.0", domain, bus);
    snprintf(ret->driver_version, sizeof ret->driver_version, "550.144.03");
}

// To whole numbers, for values >= 0. libm would be half a megabyte of memory for this.
static double whole(double v) {
    return (double)(int64_t)(v + 0.5);
}

static double clamp(double v, double lo, double hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

static struct sim_activity complete(const struct sim_activity *a) {
    struct sim_activity c = *a;
    c.busy = clamp(c.busy, 0, 1);
    c.sm = c.sm < 0 ? 0.84 * c.busy : clamp(c.sm, 0, 1);
    c.tensor = c.tensor < 0 ? 0.42 * c.busy : clamp(c.tensor, 0, 1);
    c.dram = c.dram < 0 ? 0.66 * c.busy : clamp(c.dram, 0, 1);
    if (c.memory_used_bytes < 0)
        c.memory_used_bytes = c.busy > 0 ? total_bytes * (weights_share + cache_share * c.busy)
                                         : idle_used_bytes;
    c.memory_used_bytes = clamp(c.memory_used_bytes, 0, total_bytes - reserved_bytes);
    return c;
}

static double power_w(const struct sim_activity *c) {
    double work = 0.30 * c->sm + 0.45 * c->tensor + 0.35 * c->dram;
    double active = c->busy > 0 ? 45 : 0; // clocks are up as soon as anything runs
    return clamp(idle_w + active + 1.15 * (limit_w - idle_w) * work, idle_w, limit_w);
}

static void advance(struct sim_gpu *g, double watts, int64_t now_ns) {
    double settled_c = ambient_c + c_per_w * watts;
    if (!g->started) {
        *g = (struct sim_gpu){.temperature_c = settled_c, .last_ns = now_ns, .started = true};
        return;
    }
    if (now_ns <= g->last_ns)
        return;
    double dt_s = (double)(now_ns - g->last_ns) / (double)NS_PER_S;
    g->last_ns = now_ns;
    g->energy_j += watts * dt_s;
    double x = dt_s / heat_tau_s; // implicit Euler: settles for any step
    g->temperature_c += (settled_c - g->temperature_c) * x / (1 + x);
}

static void read_memory(double used, struct gpu_reading *r) {
    used = (double)(int64_t)(used / MIB) * MIB;
    gpu_reading_set(r, GPU_MEMORY_USED_BYTES, used);
    gpu_reading_set(r, GPU_MEMORY_RESERVED_BYTES, reserved_bytes);
    gpu_reading_set(r, GPU_MEMORY_FREE_BYTES, total_bytes - reserved_bytes - used);
}

static double ppm(double ratio) {
    return whole(ratio * 1e6) / 1e6;
}

static void read_activity(const struct sim_activity *c, struct gpu_reading *r) {
    gpu_reading_set(r, GPU_UTILIZATION_PCT, whole(100 * c->busy));
    gpu_reading_set(r, GPU_MEMORY_COPY_PCT, whole(100 * c->dram));
    gpu_reading_set(r, GPU_ENCODER_PCT, 0);
    gpu_reading_set(r, GPU_DECODER_PCT, 0);
    gpu_reading_set(r, GPU_GR_ENGINE_ACTIVE_RATIO, ppm(c->busy));
    gpu_reading_set(r, GPU_SM_ACTIVE_RATIO, ppm(c->sm));
    gpu_reading_set(r, GPU_SM_OCCUPANCY_RATIO, ppm(0.28 * c->sm));
    gpu_reading_set(r, GPU_TENSOR_ACTIVE_RATIO, ppm(c->tensor));
    gpu_reading_set(r, GPU_DRAM_ACTIVE_RATIO, ppm(c->dram));
    gpu_reading_set(r, GPU_PCIE_TX_BYTES_PER_S, whole(9e3 + 4.2e6 * c->busy));
    gpu_reading_set(r, GPU_PCIE_RX_BYTES_PER_S, whole(12e3 + 14e6 * c->busy));
    gpu_reading_set(r, GPU_PROCESSES, c->busy > 0 || c->memory_used_bytes > idle_used_bytes);
}

void sim_model_step(struct sim_gpu *g, const struct sim_activity *a, int64_t now_ns,
                    struct gpu_reading *ret) {
    struct sim_activity c = complete(a);
    double watts = power_w(&c);
    advance(g, watts, now_ns);
    ret->valid = 0;
    read_activity(&c, ret);
    read_memory(c.memory_used_bytes, ret);
    gpu_reading_set(ret, GPU_POWER_W, whole(watts * 1000) / 1000);
    gpu_reading_set(ret, GPU_POWER_LIMIT_W, limit_w);
    gpu_reading_set(ret, GPU_ENERGY_J, whole(g->energy_j * 1000) / 1000);
    gpu_reading_set(ret, GPU_TEMPERATURE_C, whole(g->temperature_c));
    gpu_reading_set(ret, GPU_MEMORY_TEMPERATURE_C, whole(g->temperature_c + 9));
    bool capped = watts >= limit_w;
    gpu_reading_set(ret, GPU_SM_CLOCK_MHZ, c.busy <= 0 ? sm_idle_mhz : capped ? 1755 : sm_max_mhz);
    gpu_reading_set(ret, GPU_MEMORY_CLOCK_MHZ, memory_mhz);
    gpu_reading_set(ret, GPU_CLOCK_EVENT_REASONS,
                    c.busy <= 0 ? REASON_GPU_IDLE
                    : capped    ? REASON_SW_POWER_CAP
                                : 0);
    gpu_reading_set(ret, GPU_ECC_CORRECTED, 0);
    gpu_reading_set(ret, GPU_ECC_UNCORRECTED, 0);
    gpu_reading_set(ret, GPU_XID_LAST, 0);
}
