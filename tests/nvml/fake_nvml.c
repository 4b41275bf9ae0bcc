// SPDX-License-Identifier: Apache-2.0
/*
 * A library under NVML's name, soname and binary interface that plays a script (fake_script.h): the
 * tests load it in the place of NVIDIA's. Here: its life, handles, and values of GPUs.
 *
 * FAKE_NVML_RELEASE says which driver it is of; functions that came later are really absent:
 *     580  all
 *     525  no nvmlDeviceGetTemperatureV, no ...ClocksEventReasons
 *     450  nor GPM, nvmlDeviceGetMemoryInfo_v2, ...RunningProcesses_v2/_v3, nvmlEventSetWait_v2
 *     300  nor nvmlDeviceGetCount_v2
 * A call that breaks NVML's rules (a handle of before a restart, a wrong version word, samples
 * swapped or leaked) is told on standard error and counted (fake_nvml_misuses).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_internal.h"

unsigned long fake_calls, fake_misuses;
unsigned fake_samples_alive, fake_sets_alive;
static unsigned inits, generation;

unsigned long fake_nvml_calls(void);
unsigned long fake_nvml_misuses(void);
unsigned long fake_nvml_calls(void) {
    return fake_calls;
}
unsigned long fake_nvml_misuses(void) {
    return fake_misuses;
}

__attribute__((format(printf, 1, 2))) void fake_misuse(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("fake NVML: misuse: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    fake_misuses++;
}

static void sleep_ms(int64_t ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t))
        ;
}

int fake_enter(const char *call) {
    fake_calls++;
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
        fake_misuse("%s before nvmlInit or after nvmlShutdown", call);
        return UNINITIALIZED;
    }
    return OK;
}

// --- handles: a number that also says of which life of the library it is

void *fake_handle(unsigned gpu, unsigned mig) {
    return (void *)(uintptr_t)(0x10000000u + generation * 0x10000u + gpu * 0x100u + mig * 8u);
}

int fake_find(void *handle, const char *call, struct fake_device **ret, unsigned *gpu,
              unsigned *mig) {
    uintptr_t v = (uintptr_t)handle - 0x10000000u;
    unsigned g = (unsigned)(v >> 8 & 0xff), m = (unsigned)(v >> 3 & 0x1f);
    if ((uintptr_t)handle < 0x10000000u || v >> 16 != generation || g >= FAKE_GPUS ||
        m > FAKE_MIGS) {
        fake_misuse("%s: the handle is not valid", call);
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

int fake_get(void *handle, const char *call, enum fake_key key, const struct fake_value **ret) {
    struct fake_device *d = NULL;
    unsigned gpu, mig;
    int r = fake_enter(call);
    if (!r)
        r = fake_find(handle, call, &d, &gpu, &mig);
    if (r)
        return r;
    *ret = &d->values[key];
    if (!(*ret)->set)
        return NOT_SUPPORTED;
    return (*ret)->code;
}

int fake_get_unsigned(void *handle, const char *call, enum fake_key key, unsigned *ret) {
    const struct fake_value *v = NULL;
    int r = fake_get(handle, call, key, &v);
    if (!r)
        *ret = (unsigned)fake_unsigned(v->number);
    return r;
}

static int get_text(void *handle, const char *call, enum fake_key key, char *dst, unsigned cap) {
    const struct fake_value *v = NULL;
    int r = fake_get(handle, call, key, &v);
    if (r)
        return r;
    if (strlen(v->text) >= cap)
        return TOO_SMALL;
    memcpy(dst, v->text, strlen(v->text) + 1);
    return OK;
}

double fake_number(const struct fake_device *d, enum fake_key key) {
    return d->values[key].number;
}

// --- life

int nvmlInit_v2(void);
int nvmlInit_v2(void) {
    int r = fake_enter("nvmlInit_v2");
    if (r)
        return r;
    if (inits++ == 0)
        generation++;
    return OK;
}

int nvmlShutdown(void);
int nvmlShutdown(void) {
    fake_calls++;
    if (inits == 0)
        fake_misuse("nvmlShutdown without nvmlInit");
    else
        inits--;
    if (fake_samples_alive || fake_sets_alive)
        fake_misuse("%u GPM samples and %u event sets are not freed", fake_samples_alive,
                    fake_sets_alive);
    fake_samples_alive = fake_sets_alive = 0;
    return OK;
}

int nvmlSystemGetDriverVersion(char *, unsigned);
int nvmlSystemGetDriverVersion(char *dst, unsigned cap) {
    int r = fake_enter("nvmlSystemGetDriverVersion");
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
    int r = fake_enter("nvmlDeviceGetCount_v2");
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
    int r = fake_enter("nvmlDeviceGetHandleByIndex_v2"), gpu = r ? -1 : nth(index);
    if (r || gpu < 0)
        return r ? r : INVALID;
    r = fake_world.gpus[gpu].device.values[KEY_open].code;
    if (!r)
        *ret = fake_handle((unsigned)gpu, 0);
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
    struct fake_device *d = NULL;
    const struct fake_value *used;
    unsigned gpu, mig;
    int r = fake_get(handle, "nvmlDeviceGetMemoryInfo", KEY_used, &used);
    if (r || fake_find(handle, "", &d, &gpu, &mig))
        return r;
    double reserved = fake_number(d, KEY_reserved);
    *ret = (struct memory){fake_unsigned(fake_number(d, KEY_total)),
                           fake_unsigned(fake_number(d, KEY_free)),
                           fake_unsigned(used->number + reserved)};
    return OK;
}

#if FAKE_NVML_RELEASE >= 525
int nvmlDeviceGetMemoryInfo_v2(void *, struct memory_v2 *);
int nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory_v2 *ret) {
    struct fake_device *d = NULL;
    const struct fake_value *used;
    unsigned gpu, mig;
    int r = fake_get(handle, "nvmlDeviceGetMemoryInfo_v2", KEY_used, &used);
    if (r || fake_find(handle, "", &d, &gpu, &mig))
        return r;
    if (ret->version != 0x02000028) {
        fake_misuse("nvmlDeviceGetMemoryInfo_v2: version word %#x", ret->version);
        return BAD_VERSION;
    }
    if (d->values[KEY_v2].code)
        return d->values[KEY_v2].code;
    ret->total = fake_unsigned(fake_number(d, KEY_total));
    ret->reserved = fake_unsigned(fake_number(d, KEY_reserved));
    ret->free = fake_unsigned(fake_number(d, KEY_free));
    ret->used = (u64)fake_unsigned(used->number);
    return OK;
}
#endif

int nvmlDeviceGetUtilizationRates(void *, struct utilization *);
int nvmlDeviceGetUtilizationRates(void *handle, struct utilization *ret) {
    struct fake_device *d = NULL;
    const struct fake_value *util = NULL;
    unsigned gpu, mig;
    int r = fake_get(handle, "nvmlDeviceGetUtilizationRates", KEY_util, &util);
    if (fake_find(handle, "nvmlDeviceGetUtilizationRates", &d, &gpu, &mig) == OK &&
        (mig || fake_number(&fake_world.gpus[gpu].device, KEY_mig) > 0)) {
        fake_misuse("nvmlDeviceGetUtilizationRates where MIG is on");
        return NOT_SUPPORTED;
    }
    if (!r)
        *ret = (struct utilization){(unsigned)fake_unsigned(util->number),
                                    fake_unsigned(fake_number(d, KEY_copy))};
    return r;
}

int nvmlDeviceGetEncoderUtilization(void *, unsigned *, unsigned *);
int nvmlDeviceGetEncoderUtilization(void *d, unsigned *ret, unsigned *period) {
    *period = 167000;
    return fake_get_unsigned(d, "nvmlDeviceGetEncoderUtilization", KEY_enc, ret);
}

int nvmlDeviceGetDecoderUtilization(void *, unsigned *, unsigned *);
int nvmlDeviceGetDecoderUtilization(void *d, unsigned *ret, unsigned *period) {
    *period = 167000;
    return fake_get_unsigned(d, "nvmlDeviceGetDecoderUtilization", KEY_dec, ret);
}

int nvmlDeviceGetPowerUsage(void *, unsigned *);
int nvmlDeviceGetPowerUsage(void *d, unsigned *ret) {
    return fake_get_unsigned(d, "nvmlDeviceGetPowerUsage", KEY_power, ret);
}

int nvmlDeviceGetEnforcedPowerLimit(void *, unsigned *);
int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned *ret) {
    return fake_get_unsigned(d, "nvmlDeviceGetEnforcedPowerLimit", KEY_limit, ret);
}

static int get_u64(void *handle, const char *call, enum fake_key key, u64 *ret) {
    const struct fake_value *v = NULL;
    int r = fake_get(handle, call, key, &v);
    if (!r)
        *ret = (u64)fake_unsigned(v->number);
    return r;
}

int nvmlDeviceGetTotalEnergyConsumption(void *, u64 *);
int nvmlDeviceGetTotalEnergyConsumption(void *d, u64 *ret) {
    return get_u64(d, "nvmlDeviceGetTotalEnergyConsumption", KEY_energy, ret);
}

int nvmlDeviceGetTemperature(void *, int, unsigned *);
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *ret) {
    return sensor ? INVALID : fake_get_unsigned(d, "nvmlDeviceGetTemperature", KEY_temp, ret);
}

#if FAKE_NVML_RELEASE >= 580
int nvmlDeviceGetTemperatureV(void *, struct temperature *);
int nvmlDeviceGetTemperatureV(void *d, struct temperature *ret) {
    const struct fake_value *v;
    struct fake_device *device;
    unsigned gpu, mig;
    int r = fake_get(d, "nvmlDeviceGetTemperatureV", KEY_temp, &v);
    if (!r && ret->version != 0x0100000c) {
        fake_misuse("nvmlDeviceGetTemperatureV: version word %#x", ret->version);
        r = BAD_VERSION;
    }
    if (!r && fake_find(d, "", &device, &gpu, &mig) == OK)
        r = device->values[KEY_tempv].code;
    if (!r)
        ret->celsius = (int)fake_unsigned(v->number);
    return r;
}
#endif

int nvmlDeviceGetFieldValues(void *, int, struct field *);
int nvmlDeviceGetFieldValues(void *handle, int n, struct field *fields) {
    for (int i = 0; i < n; i++) {
        struct fake_device *d = NULL;
        unsigned celsius = 0, gpu, mig;
        int r = fake_get_unsigned(handle, "nvmlDeviceGetFieldValues", KEY_memtemp, &celsius);
        if (r && r != NOT_SUPPORTED)
            return r;
        fake_find(handle, "nvmlDeviceGetFieldValues", &d, &gpu, &mig);
        fields[i].code = fields[i].id == 82 ? r : NOT_SUPPORTED;
        fields[i].type = d->values[KEY_fieldtype].set ? fake_unsigned(fake_number(d, KEY_fieldtype))
                                                      : 1;
        memset(&fields[i].value, 0xee, sizeof fields[i].value);
        if (fields[i].type == 0)
            fields[i].value.d = celsius;
        else if (fields[i].type == 1 || fields[i].type == 5)
            fields[i].value.ui = celsius;
        else if (fields[i].type == 6)
            fields[i].value.us = (unsigned short)celsius;
        else
            fields[i].value.ull = celsius;
    }
    return OK;
}

int nvmlDeviceGetClockInfo(void *, int, unsigned *);
int nvmlDeviceGetClockInfo(void *d, int clock, unsigned *ret) {
    if (clock != 1 && clock != 2)
        return INVALID;
    return fake_get_unsigned(d, "nvmlDeviceGetClockInfo", clock == 1 ? KEY_smclock : KEY_memclock,
                             ret);
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
    return fake_get_unsigned(d, "nvmlDeviceGetPcieThroughput", counter == 0 ? KEY_tx : KEY_rx, ret);
}
