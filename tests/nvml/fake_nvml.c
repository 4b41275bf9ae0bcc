// SPDX-License-Identifier: Apache-2.0
/*
 * A library under NVML's name, soname and binary interface that plays a script (fake_script.h): the
 * tests load it in the place of NVIDIA's. Its declarations are its own, checked against measured
 * sizes and offsets, and share nothing with src/gpu: both would have to be wrong in the same way.
 *
 * FAKE_NVML_RELEASE says which driver it is of; functions that came later are really absent:
 *     580  all
 *     525  no nvmlDeviceGetTemperatureV, no ...ClocksEventReasons
 *     450  nor GPM, nvmlDeviceGetMemoryInfo_v2, ...RunningProcesses_v2/_v3, nvmlEventSetWait_v2
 *     300  nor nvmlDeviceGetCount_v2
 * A call that breaks NVML's rules (a handle of before a restart, a wrong version word, samples
 * swapped or leaked) is told on standard error and counted (fake_nvml_misuses).
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_script.h"

typedef unsigned long long u64;

struct utilization {
    unsigned gpu, memory;
};
struct memory {
    u64 total, free, used;
};
struct memory_v2 {
    unsigned version;
    u64 total, reserved, free, used;
};
struct pci_info {
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem;
    char id[32];
};
struct process {
    unsigned pid;
    u64 bytes;
    unsigned gi, ci;
};
struct process_v1 {
    unsigned pid;
    u64 bytes;
};
struct temperature {
    unsigned version;
    int sensor;
    int celsius;
};
struct field {
    unsigned id, scope;
    long long timestamp, latency;
    int type, code;
    union {
        double d;
        unsigned ui;
        u64 ull;
    } value;
};
struct attributes {
    unsigned mp, copy, dec, enc, jpg, ofa, slices, cslices;
    u64 mib;
};
struct event {
    void *device;
    u64 type, data;
    unsigned gi, ci;
};
struct event_v1 {
    void *device;
    u64 type, data;
};
struct gpm_support {
    unsigned version, supported;
};
struct gpm_metric {
    unsigned id;
    int code;
    double value;
    const char *names[3];
};
enum { GPM_METRICS = 333 };
struct gpm_get {
    unsigned version, n;
    struct gpm_sample *one, *two;
    struct gpm_metric metrics[GPM_METRICS];
};

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#define AT(type, member, bytes) _Static_assert(offsetof(struct type, member) == (bytes), #member)
SIZE(utilization, 8);
SIZE(memory, 24);
SIZE(memory_v2, 40);
AT(memory_v2, total, 8);
AT(memory_v2, reserved, 16);
AT(memory_v2, free, 24);
AT(memory_v2, used, 32);
SIZE(pci_info, 68);
AT(pci_info, id, 36);
SIZE(process, 24);
AT(process, gi, 16);
SIZE(process_v1, 16);
SIZE(temperature, 12);
SIZE(field, 40);
AT(field, timestamp, 8);
AT(field, type, 24);
AT(field, code, 28);
AT(field, value, 32);
SIZE(attributes, 40);
AT(attributes, mib, 32);
SIZE(event, 32);
AT(event, gi, 24);
SIZE(event_v1, 24);
SIZE(gpm_support, 8);
SIZE(gpm_metric, 40);
AT(gpm_metric, code, 4);
AT(gpm_metric, value, 8);
AT(gpm_get, one, 8);
AT(gpm_get, metrics, 24);
SIZE(gpm_get, 13344);

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    TOO_SMALL = 7,
    TIMEOUT = 10,
    BAD_VERSION = 25
};

static unsigned long calls, misuses;
static unsigned inits, generation, samples_alive, sets_alive;

unsigned long fake_nvml_calls(void);
unsigned long fake_nvml_misuses(void);
unsigned long fake_nvml_calls(void) {
    return calls;
}
unsigned long fake_nvml_misuses(void) {
    return misuses;
}

__attribute__((format(printf, 1, 2))) static void misuse(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("fake NVML: misuse: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    misuses++;
}

static void sleep_ms(int64_t ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t))
        ;
}

// What every call begins with: 0, or what it returns at once.
static int enter(const char *call) {
    calls++;
    fake_script_play();
    for (unsigned i = 0; i < fake_world.n_hangs; i++)
        if (strcmp(fake_world.hangs[i].call, call) == 0) {
            int64_t ms = fake_world.hangs[i].ms;
            fake_world.hangs[i] = fake_world.hangs[--fake_world.n_hangs];
            sleep_ms(ms);
            break;
        }
    if (fake_world.every)
        return fake_world.every;
    if (inits == 0 && strncmp(call, "nvmlInit", 8) != 0) {
        misuse("%s before nvmlInit or after nvmlShutdown", call);
        return UNINITIALIZED;
    }
    return OK;
}

// --- handles: a number that also says of which life of the library it is

static void *handle_of(unsigned gpu, unsigned mig) {
    return (void *)(uintptr_t)(0x10000000u + generation * 0x10000u + gpu * 0x100u + mig * 8u);
}

static int find(void *handle, const char *call, struct fake_device **ret, unsigned *gpu,
                unsigned *mig) {
    uintptr_t v = (uintptr_t)handle - 0x10000000u;
    unsigned g = (unsigned)(v >> 8 & 0xff), m = (unsigned)(v >> 3 & 0x1f);
    if ((uintptr_t)handle < 0x10000000u || v >> 16 != generation || g >= FAKE_GPUS ||
        m > FAKE_MIGS) {
        misuse("%s: the handle is not valid", call);
        return INVALID;
    }
    struct fake_gpu *world = &fake_world.gpus[g];
    *gpu = g;
    *mig = m;
    *ret = m ? &world->migs[m - 1] : &world->device;
    if (world->device.values[KEY_all].code)
        return world->device.values[KEY_all].code;
    return (*ret)->there ? OK : NOT_FOUND;
}

static int get(void *handle, const char *call, enum fake_key key, const struct fake_value **ret) {
    struct fake_device *d;
    unsigned gpu, mig;
    int r = enter(call);
    if (!r)
        r = find(handle, call, &d, &gpu, &mig);
    if (r)
        return r;
    *ret = &d->values[key];
    if (!(*ret)->set)
        return NOT_SUPPORTED;
    return (*ret)->code;
}

static int get_unsigned(void *handle, const char *call, enum fake_key key, unsigned *ret) {
    const struct fake_value *v = NULL;
    int r = get(handle, call, key, &v);
    if (!r)
        *ret = (unsigned)v->number;
    return r;
}

static int get_text(void *handle, const char *call, enum fake_key key, char *dst, unsigned cap) {
    const struct fake_value *v = NULL;
    int r = get(handle, call, key, &v);
    if (r)
        return r;
    if (strlen(v->text) >= cap)
        return TOO_SMALL;
    memcpy(dst, v->text, strlen(v->text) + 1);
    return OK;
}

static double number(const struct fake_device *d, enum fake_key key) {
    return d->values[key].number;
}

// --- life

int nvmlInit_v2(void);
int nvmlInit_v2(void) {
    int r = enter("nvmlInit_v2");
    if (r)
        return r;
    if (inits++ == 0)
        generation++;
    return OK;
}

int nvmlShutdown(void);
int nvmlShutdown(void) {
    calls++;
    if (inits == 0)
        misuse("nvmlShutdown without nvmlInit");
    else
        inits--;
    if (samples_alive || sets_alive)
        misuse("%u GPM samples and %u event sets are not freed", samples_alive, sets_alive);
    samples_alive = sets_alive = 0;
    return OK;
}

int nvmlSystemGetDriverVersion(char *, unsigned);
int nvmlSystemGetDriverVersion(char *dst, unsigned cap) {
    int r = enter("nvmlSystemGetDriverVersion");
    if (!r)
        snprintf(dst, cap, "%s", fake_world.driver);
    return r;
}

static int nth(unsigned index) {
    for (unsigned i = 0; i < FAKE_GPUS; i++)
        if (fake_world.gpus[i].device.there && index-- == 0)
            return (int)i;
    return -1;
}

#if FAKE_NVML_RELEASE >= 450
int nvmlDeviceGetCount_v2(unsigned *);
int nvmlDeviceGetCount_v2(unsigned *ret) {
    int r = enter("nvmlDeviceGetCount_v2");
    if (r)
        return r;
    *ret = 0;
    for (unsigned i = 0; i < FAKE_GPUS; i++)
        *ret += fake_world.gpus[i].device.there;
    return OK;
}
#endif

int nvmlDeviceGetHandleByIndex_v2(unsigned, void **);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret) {
    int r = enter("nvmlDeviceGetHandleByIndex_v2"), gpu = r ? -1 : nth(index);
    if (r || gpu < 0)
        return r ? r : INVALID;
    r = fake_world.gpus[gpu].device.values[KEY_open].code;
    if (!r)
        *ret = handle_of((unsigned)gpu, 0);
    return r;
}

int nvmlDeviceGetUUID(void *, char *, unsigned);
int nvmlDeviceGetUUID(void *d, char *dst, unsigned cap) {
    return get_text(d, "nvmlDeviceGetUUID", KEY_uuid, dst, cap);
}

int nvmlDeviceGetName(void *, char *, unsigned);
int nvmlDeviceGetName(void *d, char *dst, unsigned cap) {
    return get_text(d, "nvmlDeviceGetName", KEY_name, dst, cap);
}

int nvmlDeviceGetPciInfo_v3(void *, struct pci_info *);
int nvmlDeviceGetPciInfo_v3(void *d, struct pci_info *ret) {
    memset(ret, 0, sizeof *ret);
    return get_text(d, "nvmlDeviceGetPciInfo_v3", KEY_pci, ret->id, sizeof ret->id);
}

// --- values

int nvmlDeviceGetMemoryInfo(void *, struct memory *);
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *ret) {
    struct fake_device *d;
    const struct fake_value *used;
    unsigned gpu, mig;
    int r = get(handle, "nvmlDeviceGetMemoryInfo", KEY_used, &used);
    if (r || find(handle, "", &d, &gpu, &mig))
        return r;
    double reserved = number(d, KEY_reserved);
    *ret = (struct memory){(u64)number(d, KEY_total), (u64)number(d, KEY_free),
                           (u64)(used->number + reserved)};
    return OK;
}

#if FAKE_NVML_RELEASE >= 525
int nvmlDeviceGetMemoryInfo_v2(void *, struct memory_v2 *);
int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory_v2 *ret) {
    struct fake_device *d;
    const struct fake_value *used;
    unsigned gpu, mig;
    int r = get(handle, "nvmlDeviceGetMemoryInfo_v2", KEY_used, &used);
    if (r || find(handle, "", &d, &gpu, &mig))
        return r;
    if (ret->version != 0x02000028) {
        misuse("nvmlDeviceGetMemoryInfo_v2: version word %#x", ret->version);
        return BAD_VERSION;
    }
    if (d->values[KEY_v2].code)
        return d->values[KEY_v2].code;
    ret->total = (u64)number(d, KEY_total);
    ret->reserved = (u64)number(d, KEY_reserved);
    ret->free = (u64)number(d, KEY_free);
    ret->used = (u64)used->number;
    return OK;
}
#endif

int nvmlDeviceGetUtilizationRates(void *, struct utilization *);
int nvmlDeviceGetUtilizationRates(void *handle, struct utilization *ret) {
    struct fake_device *d;
    const struct fake_value *util = NULL;
    unsigned gpu, mig;
    int r = get(handle, "nvmlDeviceGetUtilizationRates", KEY_util, &util);
    if (find(handle, "nvmlDeviceGetUtilizationRates", &d, &gpu, &mig) == OK &&
        (mig || number(&fake_world.gpus[gpu].device, KEY_mig) > 0)) {
        misuse("nvmlDeviceGetUtilizationRates where MIG is on");
        return NOT_SUPPORTED;
    }
    if (!r)
        *ret = (struct utilization){(unsigned)util->number, (unsigned)number(d, KEY_copy)};
    return r;
}

int nvmlDeviceGetEncoderUtilization(void *, unsigned *, unsigned *);
int nvmlDeviceGetEncoderUtilization(void *d, unsigned *ret, unsigned *period) {
    *period = 167000;
    return get_unsigned(d, "nvmlDeviceGetEncoderUtilization", KEY_enc, ret);
}

int nvmlDeviceGetDecoderUtilization(void *, unsigned *, unsigned *);
int nvmlDeviceGetDecoderUtilization(void *d, unsigned *ret, unsigned *period) {
    *period = 167000;
    return get_unsigned(d, "nvmlDeviceGetDecoderUtilization", KEY_dec, ret);
}

int nvmlDeviceGetPowerUsage(void *, unsigned *);
int nvmlDeviceGetPowerUsage(void *d, unsigned *ret) {
    return get_unsigned(d, "nvmlDeviceGetPowerUsage", KEY_power, ret);
}

int nvmlDeviceGetEnforcedPowerLimit(void *, unsigned *);
int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned *ret) {
    return get_unsigned(d, "nvmlDeviceGetEnforcedPowerLimit", KEY_limit, ret);
}

static int get_u64(void *handle, const char *call, enum fake_key key, u64 *ret) {
    const struct fake_value *v = NULL;
    int r = get(handle, call, key, &v);
    if (!r)
        *ret = (u64)v->number;
    return r;
}

int nvmlDeviceGetTotalEnergyConsumption(void *, u64 *);
int nvmlDeviceGetTotalEnergyConsumption(void *d, u64 *ret) {
    return get_u64(d, "nvmlDeviceGetTotalEnergyConsumption", KEY_energy, ret);
}

int nvmlDeviceGetTemperature(void *, int, unsigned *);
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *ret) {
    return sensor ? INVALID : get_unsigned(d, "nvmlDeviceGetTemperature", KEY_temp, ret);
}

#if FAKE_NVML_RELEASE >= 580
int nvmlDeviceGetTemperatureV(void *, struct temperature *);
int nvmlDeviceGetTemperatureV(void *d, struct temperature *ret) {
    const struct fake_value *v;
    struct fake_device *device;
    unsigned gpu, mig;
    int r = get(d, "nvmlDeviceGetTemperatureV", KEY_temp, &v);
    if (!r && ret->version != 0x0100000c) {
        misuse("nvmlDeviceGetTemperatureV: version word %#x", ret->version);
        r = BAD_VERSION;
    }
    if (!r && find(d, "", &device, &gpu, &mig) == OK)
        r = device->values[KEY_tempv].code;
    if (!r)
        ret->celsius = (int)v->number;
    return r;
}
#endif

int nvmlDeviceGetFieldValues(void *, int, struct field *);
int nvmlDeviceGetFieldValues(void *d, int n, struct field *fields) {
    for (int i = 0; i < n; i++) {
        unsigned celsius = 0;
        int r = get_unsigned(d, "nvmlDeviceGetFieldValues", KEY_memtemp, &celsius);
        if (r && r != NOT_SUPPORTED)
            return r;
        fields[i].code = fields[i].id == 82 ? r : NOT_SUPPORTED;
        fields[i].type = 1;
        fields[i].value.ui = celsius;
    }
    return OK;
}

int nvmlDeviceGetClockInfo(void *, int, unsigned *);
int nvmlDeviceGetClockInfo(void *d, int clock, unsigned *ret) {
    if (clock != 1 && clock != 2)
        return INVALID;
    return get_unsigned(d, "nvmlDeviceGetClockInfo", clock == 1 ? KEY_smclock : KEY_memclock, ret);
}

#if FAKE_NVML_RELEASE >= 580
int nvmlDeviceGetCurrentClocksEventReasons(void *, u64 *);
int nvmlDeviceGetCurrentClocksEventReasons(void *d, u64 *ret) {
    return get_u64(d, "nvmlDeviceGetCurrentClocksEventReasons", KEY_reasons, ret);
}
#endif

int nvmlDeviceGetCurrentClocksThrottleReasons(void *, u64 *);
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, u64 *ret) {
    return get_u64(d, "nvmlDeviceGetCurrentClocksThrottleReasons", KEY_reasons, ret);
}

int nvmlDeviceGetTotalEccErrors(void *, int, int, u64 *);
int nvmlDeviceGetTotalEccErrors(void *d, int type, int counter, u64 *ret) {
    if (counter != 0)
        return INVALID;
    return get_u64(d, "nvmlDeviceGetTotalEccErrors", type == 0 ? KEY_eccc : KEY_eccu, ret);
}

int nvmlDeviceGetPcieThroughput(void *, int, unsigned *);
int nvmlDeviceGetPcieThroughput(void *d, int counter, unsigned *ret) {
    sleep_ms(20);
    return get_unsigned(d, "nvmlDeviceGetPcieThroughput", counter == 0 ? KEY_tx : KEY_rx, ret);
}

// --- processes

static int list_processes(void *d, const char *call, enum fake_key key, unsigned *count, void *dst,
                          size_t entry) {
    const struct fake_value *v;
    int r = get(d, call, key, &v);
    unsigned n = 0;
    if (r)
        return r;
    char text[96], *save = NULL;
    memcpy(text, v->text, sizeof text);
    bool none = strcmp(text, "0") == 0;
    for (char *w = none ? NULL : strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        char *dash = strchr(w, '-'); // 100-400: a range
        unsigned from = (unsigned)strtoul(w, NULL, 10);
        unsigned to = dash ? (unsigned)strtoul(dash + 1, NULL, 10) : from;
        for (unsigned pid = from; pid <= to; pid++, n++)
            if (n < *count) {
                memset((char *)dst + n * entry, 0xee, entry);
                memcpy((char *)dst + n * entry, &pid, sizeof pid);
            }
    }
    bool fits = n <= *count;
    *count = n;
    return fits ? OK : TOO_SMALL;
}

int nvmlDeviceGetComputeRunningProcesses(void *, unsigned *, struct process_v1 *);
int nvmlDeviceGetComputeRunningProcesses(void *d, unsigned *n, struct process_v1 *dst) {
    return list_processes(d, __func__, KEY_compute, n, dst, sizeof *dst);
}
int nvmlDeviceGetGraphicsRunningProcesses(void *, unsigned *, struct process_v1 *);
int nvmlDeviceGetGraphicsRunningProcesses(void *d, unsigned *n, struct process_v1 *dst) {
    return list_processes(d, __func__, KEY_graphics, n, dst, sizeof *dst);
}
#if FAKE_NVML_RELEASE >= 525
int nvmlDeviceGetComputeRunningProcesses_v3(void *, unsigned *, struct process *);
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *n, struct process *dst) {
    return list_processes(d, __func__, KEY_compute, n, dst, sizeof *dst);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *, unsigned *, struct process *);
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *d, unsigned *n, struct process *dst) {
    return list_processes(d, __func__, KEY_graphics, n, dst, sizeof *dst);
}
int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *, unsigned *, struct process *);
int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *d, unsigned *n, struct process *dst) {
    return list_processes(d, __func__, KEY_mps, n, dst, sizeof *dst);
}
#endif

// --- events

struct event_set {
    unsigned registered; // GPUs, one bit each
};

int nvmlEventSetCreate(struct event_set **);
int nvmlEventSetCreate(struct event_set **ret) {
    int r = enter("nvmlEventSetCreate");
    if (r)
        return r;
    *ret = calloc(1, sizeof **ret);
    sets_alive++;
    return OK;
}

int nvmlEventSetFree(struct event_set *);
int nvmlEventSetFree(struct event_set *set) {
    calls++;
    sets_alive--;
    free(set);
    return OK;
}

int nvmlDeviceRegisterEvents(void *, u64, struct event_set *);
int nvmlDeviceRegisterEvents(void *handle, u64 types, struct event_set *set) {
    const struct fake_value *v;
    struct fake_device *d;
    unsigned gpu, mig;
    int r = get(handle, "nvmlDeviceRegisterEvents", KEY_events, &v);
    if (r || find(handle, "nvmlDeviceRegisterEvents", &d, &gpu, &mig))
        return r;
    if (mig || types != 8) {
        misuse("nvmlDeviceRegisterEvents of a MIG device, or of %llu", types);
        return INVALID;
    }
    set->registered |= 1u << gpu;
    return OK;
}

static int wait_event(const char *call, struct event_set *set, unsigned timeout_ms,
                      struct fake_event *ret) {
    int r = enter(call);
    if (r)
        return r;
    if (timeout_ms)
        misuse("%s waits %u ms", call, timeout_ms);
    for (unsigned i = 0; i < FAKE_GPUS; i++) // a set with a lost GPU in it
        if ((set->registered >> i & 1) && fake_world.gpus[i].device.values[KEY_all].code)
            return fake_world.gpus[i].device.values[KEY_all].code;
    for (unsigned i = 0; i < fake_world.n_events; i++)
        if (set->registered >> fake_world.events[i].gpu & 1) {
            *ret = fake_world.events[i];
            fake_world.n_events--;
            memmove(&fake_world.events[i], &fake_world.events[i + 1],
                    (fake_world.n_events - i) * sizeof *ret);
            return OK;
        }
    return TIMEOUT;
}

#if FAKE_NVML_RELEASE >= 525
int nvmlEventSetWait_v2(struct event_set *, struct event *, unsigned);
int nvmlEventSetWait_v2(struct event_set *set, struct event *ret, unsigned timeout_ms) {
    struct fake_event e;
    int r = wait_event("nvmlEventSetWait_v2", set, timeout_ms, &e);
    if (!r)
        *ret = (struct event){handle_of(e.gpu, 0), 8, e.xid, e.gi, e.ci};
    return r;
}
#endif

int nvmlEventSetWait(struct event_set *, struct event_v1 *, unsigned);
int nvmlEventSetWait(struct event_set *set, struct event_v1 *ret, unsigned timeout_ms) {
    struct fake_event e;
    int r = wait_event("nvmlEventSetWait", set, timeout_ms, &e);
    if (!r)
        *ret = (struct event_v1){handle_of(e.gpu, 0), 8, e.xid};
    return r;
}

// --- MIG

int nvmlDeviceGetMigMode(void *, unsigned *, unsigned *);
int nvmlDeviceGetMigMode(void *d, unsigned *current, unsigned *pending) {
    int r = get_unsigned(d, "nvmlDeviceGetMigMode", KEY_mig, current);
    *pending = *current;
    return r;
}

int nvmlDeviceGetMaxMigDeviceCount(void *, unsigned *);
int nvmlDeviceGetMaxMigDeviceCount(void *d, unsigned *ret) {
    const struct fake_value *mode;
    int r = get(d, "nvmlDeviceGetMaxMigDeviceCount", KEY_mig, &mode);
    if (!r)
        *ret = FAKE_MIGS - 1;
    return r;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *, unsigned, void **);
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **ret) {
    struct fake_device *d;
    unsigned gpu, mig;
    int r = enter("nvmlDeviceGetMigDeviceHandleByIndex");
    if (!r)
        r = find(handle, "nvmlDeviceGetMigDeviceHandleByIndex", &d, &gpu, &mig);
    if (r)
        return r;
    // Both are seen for a place without a device.
    if (mig || index >= FAKE_MIGS || !fake_world.gpus[gpu].migs[index].there)
        return index % 2 ? INVALID : NOT_FOUND;
    r = fake_world.gpus[gpu].migs[index].values[KEY_open].code;
    if (!r)
        *ret = handle_of(gpu, index + 1);
    return r;
}

int nvmlDeviceGetGpuInstanceId(void *, unsigned *);
int nvmlDeviceGetGpuInstanceId(void *d, unsigned *ret) {
    return get_unsigned(d, "nvmlDeviceGetGpuInstanceId", KEY_gi, ret);
}

int nvmlDeviceGetComputeInstanceId(void *, unsigned *);
int nvmlDeviceGetComputeInstanceId(void *d, unsigned *ret) {
    return get_unsigned(d, "nvmlDeviceGetComputeInstanceId", KEY_ci, ret);
}

int nvmlDeviceGetAttributes_v2(void *, struct attributes *);
int nvmlDeviceGetAttributes_v2(void *handle, struct attributes *ret) {
    const struct fake_value *slices;
    struct fake_device *d;
    unsigned gpu, mig;
    int r = get(handle, "nvmlDeviceGetAttributes_v2", KEY_slices, &slices);
    if (r || find(handle, "", &d, &gpu, &mig))
        return r;
    *ret = (struct attributes){.slices = (unsigned)slices->number,
                               .cslices = (unsigned)number(d, KEY_cslices),
                               .mib = (u64)number(d, KEY_mib)};
    return OK;
}

// --- GPM

#if FAKE_NVML_RELEASE >= 525
struct gpm_sample {
    bool taken;
    unsigned gpu, gi; // gi UINT32_MAX: the whole GPU
    int64_t at_ms;
    const struct fake_device *from;
};

int nvmlGpmQueryDeviceSupport(void *, struct gpm_support *);
int nvmlGpmQueryDeviceSupport(void *d, struct gpm_support *ret) {
    if (ret->version != 1)
        misuse("nvmlGpmQueryDeviceSupport: version %u", ret->version);
    return get_unsigned(d, "nvmlGpmQueryDeviceSupport", KEY_gpm, &ret->supported);
}

int nvmlGpmSampleAlloc(struct gpm_sample **);
int nvmlGpmSampleAlloc(struct gpm_sample **ret) {
    int r = enter("nvmlGpmSampleAlloc");
    if (r)
        return r;
    *ret = calloc(1, sizeof **ret);
    samples_alive++;
    return OK;
}

int nvmlGpmSampleFree(struct gpm_sample *);
int nvmlGpmSampleFree(struct gpm_sample *sample) {
    calls++;
    samples_alive--;
    free(sample);
    return OK;
}

static int take(struct gpm_sample *s, unsigned gpu, unsigned gi, const struct fake_device *from) {
    if (number(&fake_world.gpus[gpu].device, KEY_gpm) < 1)
        return NOT_SUPPORTED;
    *s = (struct gpm_sample){true, gpu, gi, fake_script_now_ms(), from};
    return OK;
}

int nvmlGpmSampleGet(void *, struct gpm_sample *);
int nvmlGpmSampleGet(void *handle, struct gpm_sample *s) {
    struct fake_device *d;
    unsigned gpu, mig;
    int r = enter("nvmlGpmSampleGet");
    if (!r)
        r = find(handle, "nvmlGpmSampleGet", &d, &gpu, &mig);
    if (!r && mig)
        return INVALID;
    return r ? r : take(s, gpu, UINT32_MAX, d);
}

int nvmlGpmMigSampleGet(void *, unsigned, struct gpm_sample *);
int nvmlGpmMigSampleGet(void *handle, unsigned gi, struct gpm_sample *s) {
    struct fake_device *d;
    unsigned gpu, mig;
    int r = enter("nvmlGpmMigSampleGet");
    if (!r)
        r = find(handle, "nvmlGpmMigSampleGet", &d, &gpu, &mig);
    if (r)
        return r;
    if (mig)
        misuse("nvmlGpmMigSampleGet of a MIG device: it wants the GPU");
    for (unsigned i = 0; i < FAKE_MIGS; i++) {
        const struct fake_device *m = &fake_world.gpus[gpu].migs[i];
        if (m->there && (unsigned)number(m, KEY_gi) == gi)
            return take(s, gpu, gi, m);
    }
    return NOT_FOUND;
}

int nvmlGpmMetricsGet(struct gpm_get *);
int nvmlGpmMetricsGet(struct gpm_get *get_) {
    static const struct {
        unsigned id;
        enum fake_key key;
    } known[] = {{1, KEY_gr},    {2, KEY_sm},   {3, KEY_occ}, {5, KEY_tensor},
                 {10, KEY_dram}, {20, KEY_gtx}, {21, KEY_grx}};
    int r = enter("nvmlGpmMetricsGet");
    if (r)
        return r;
    if (get_->version != 1 || get_->n > GPM_METRICS || !get_->one || !get_->two) {
        misuse("nvmlGpmMetricsGet: version %u, %u metrics", get_->version, get_->n);
        return INVALID;
    }
    volatile int last = get_->metrics[GPM_METRICS - 1].code; // the caller has room for all
    (void)last;
    const struct gpm_sample *one = get_->one, *two = get_->two;
    if (!one->taken || !two->taken || one->gpu != two->gpu || one->gi != two->gi ||
        two->at_ms - one->at_ms < 99) {
        misuse("nvmlGpmMetricsGet: samples of GPU %u/%d and %u/%d, %lld ms apart", one->gpu,
               (int)one->gi, two->gpu, (int)two->gi, (long long)(two->at_ms - one->at_ms));
        return INVALID;
    }
    for (unsigned i = 0; i < get_->n; i++) {
        struct gpm_metric *m = &get_->metrics[i];
        m->code = NOT_SUPPORTED;
        m->value = 0;
        for (unsigned k = 0; k < sizeof known / sizeof known[0]; k++) {
            const struct fake_value *v = &two->from->values[known[k].key];
            if (known[k].id == m->id && v->set) {
                m->code = v->code;
                m->value = v->number;
            }
        }
    }
    return OK;
}
#endif
