// SPDX-License-Identifier: Apache-2.0
/* The scripted NVML: processes, events, MIG and GPM. See fake_nvml.c. */
#include <stdlib.h>
#include <string.h>

#include "fake_internal.h"

// --- processes

static int list_processes(void *d, const char *call, enum fake_key key, unsigned *count, void *dst,
                          size_t entry) {
    const struct fake_value *v;
    int r = fake_get(d, call, key, &v);
    unsigned n = 0;
    if (r)
        return r;
    char text[96], *save = NULL;
    memcpy(text, v->text, sizeof text);
    bool none = strcmp(text, "0") == 0;
    for (char *w = none ? NULL : strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        const char *dash = strchr(w, '-');  // 100-400: a range
        const char *colon = strchr(w, ':'); // 100:4096: with its memory
        unsigned from = (unsigned)strtoul(w, NULL, 10);
        unsigned to = dash ? (unsigned)strtoul(dash + 1, NULL, 10) : from;
        for (unsigned pid = from; pid <= to; pid++, n++)
            if (n < *count) {
                u64 bytes = colon ? strtoull(colon + 1, NULL, 10) : (u64)-1; // not available
                memset((char *)dst + n * entry, 0xee, entry);
                memcpy((char *)dst + n * entry, &pid, sizeof pid);
                memcpy((char *)dst + n * entry + 8, &bytes, sizeof bytes);
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

// 100:60,200:25: what a process was busy. Two samples each, the older one idle.
int nvmlDeviceGetProcessUtilization(void *, struct process_sample *, unsigned *, u64);
int nvmlDeviceGetProcessUtilization(void *d, struct process_sample *dst, unsigned *count,
                                    u64 since_us) {
    const struct fake_value *v;
    int r = fake_get(d, "nvmlDeviceGetProcessUtilization", KEY_procutil, &v);
    u64 now_us = (u64)fake_script_now_ms() * 1000 + 1000000;
    if (r)
        return r;
    if (since_us > now_us)
        fake_misuse("nvmlDeviceGetProcessUtilization since %llu, it is %llu", since_us, now_us);
    char text[96], *save = NULL;
    memcpy(text, v->text, sizeof text);
    bool none = strcmp(text, "0") == 0;
    unsigned n = 0;
    for (char *w = none ? NULL : strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        const char *colon = strchr(w, ':');
        unsigned pid = (unsigned)strtoul(w, NULL, 10);
        unsigned busy = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
        for (unsigned k = 0; k < 2; k++, n++)
            if (n < *count)
                dst[n] = (struct process_sample){
                    .pid = pid, .time_us = now_us - k, .sm = k ? 0 : busy};
    }
    bool fits = n <= *count;
    *count = n;
    return n == 0 ? NOT_FOUND : fits ? OK : TOO_SMALL;
}

// --- events

struct event_set {
    unsigned registered; // GPUs, one bit each
};

int nvmlEventSetCreate(struct event_set **);
int nvmlEventSetCreate(struct event_set **ret) {
    int r = fake_enter("nvmlEventSetCreate");
    if (r)
        return r;
    *ret = calloc(1, sizeof **ret);
    fake_sets_alive++;
    return OK;
}

int nvmlEventSetFree(struct event_set *);
int nvmlEventSetFree(struct event_set *set) {
    fake_calls++;
    fake_sets_alive--;
    free(set);
    return OK;
}

int nvmlDeviceRegisterEvents(void *, u64, struct event_set *);
int nvmlDeviceRegisterEvents(void *handle, u64 types, struct event_set *set) {
    const struct fake_value *v;
    struct fake_device *d = NULL;
    unsigned gpu, mig;
    int r = fake_get(handle, "nvmlDeviceRegisterEvents", KEY_events, &v);
    if (r || fake_find(handle, "nvmlDeviceRegisterEvents", &d, &gpu, &mig))
        return r;
    if (mig || types != 8) {
        fake_misuse("nvmlDeviceRegisterEvents of a MIG device, or of %llu", types);
        return INVALID;
    }
    set->registered |= 1u << gpu;
    return OK;
}

// Nothing says that it is the very handle that was registered: half of the events have another one
// of the same GPU.
static void *event_handle(const struct fake_event *e) {
    return (char *)fake_handle(e->gpu, 0) + e->xid % 2;
}

static int wait_event(const char *call, struct event_set *set, unsigned timeout_ms,
                      struct fake_event *ret) {
    int r = fake_enter(call);
    if (r)
        return r;
    if (timeout_ms)
        fake_misuse("%s waits %u ms", call, timeout_ms);
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
        *ret = (struct event){event_handle(&e), 8, e.xid, e.gi, e.ci};
    return r;
}
#endif

int nvmlEventSetWait(struct event_set *, struct event_v1 *, unsigned);
int nvmlEventSetWait(struct event_set *set, struct event_v1 *ret, unsigned timeout_ms) {
    struct fake_event e;
    int r = wait_event("nvmlEventSetWait", set, timeout_ms, &e);
    if (!r)
        *ret = (struct event_v1){event_handle(&e), 8, e.xid};
    return r;
}

// --- MIG

int nvmlDeviceGetMigMode(void *, unsigned *, unsigned *);
int nvmlDeviceGetMigMode(void *d, unsigned *current, unsigned *pending) {
    int r = fake_get_unsigned(d, "nvmlDeviceGetMigMode", KEY_mig, current);
    *pending = *current;
    return r;
}

int nvmlDeviceGetMaxMigDeviceCount(void *, unsigned *);
int nvmlDeviceGetMaxMigDeviceCount(void *d, unsigned *ret) {
    const struct fake_value *mode;
    int r = fake_get(d, "nvmlDeviceGetMaxMigDeviceCount", KEY_mig, &mode);
    if (!r)
        *ret = FAKE_MIGS - 1;
    return r;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *, unsigned, void **);
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **ret) {
    struct fake_device *d = NULL;
    unsigned gpu, mig;
    int r = fake_enter("nvmlDeviceGetMigDeviceHandleByIndex");
    if (!r)
        r = fake_find(handle, "nvmlDeviceGetMigDeviceHandleByIndex", &d, &gpu, &mig);
    if (r)
        return r;
    // Both are seen for a place without a device.
    if (mig || index >= FAKE_MIGS || !fake_world.gpus[gpu].migs[index].there)
        return index % 2 ? INVALID : NOT_FOUND;
    r = fake_world.gpus[gpu].migs[index].values[KEY_open].code;
    if (!r)
        *ret = fake_handle(gpu, index + 1);
    return r;
}

int nvmlDeviceGetGpuInstanceId(void *, unsigned *);
int nvmlDeviceGetGpuInstanceId(void *d, unsigned *ret) {
    return fake_get_unsigned(d, "nvmlDeviceGetGpuInstanceId", KEY_gi, ret);
}

int nvmlDeviceGetComputeInstanceId(void *, unsigned *);
int nvmlDeviceGetComputeInstanceId(void *d, unsigned *ret) {
    return fake_get_unsigned(d, "nvmlDeviceGetComputeInstanceId", KEY_ci, ret);
}

int nvmlDeviceGetAttributes_v2(void *, struct attributes *);
int nvmlDeviceGetAttributes_v2(void *handle, struct attributes *ret) {
    const struct fake_value *slices;
    struct fake_device *d = NULL;
    unsigned gpu, mig;
    int r = fake_get(handle, "nvmlDeviceGetAttributes_v2", KEY_slices, &slices);
    if (r || fake_find(handle, "", &d, &gpu, &mig))
        return r;
    *ret = (struct attributes){.slices = (unsigned)fake_unsigned(slices->number),
                               .cslices = fake_unsigned(fake_number(d, KEY_cslices)),
                               .mib = fake_unsigned(fake_number(d, KEY_mib))};
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
        fake_misuse("nvmlGpmQueryDeviceSupport: version %u", ret->version);
    return fake_get_unsigned(d, "nvmlGpmQueryDeviceSupport", KEY_gpm, &ret->supported);
}

int nvmlGpmSampleAlloc(struct gpm_sample **);
int nvmlGpmSampleAlloc(struct gpm_sample **ret) {
    int r = fake_enter("nvmlGpmSampleAlloc");
    if (r)
        return r;
    *ret = calloc(1, sizeof **ret);
    fake_samples_alive++;
    return OK;
}

int nvmlGpmSampleFree(struct gpm_sample *);
int nvmlGpmSampleFree(struct gpm_sample *sample) {
    fake_calls++;
    fake_samples_alive--;
    free(sample);
    return OK;
}

static int take(struct gpm_sample *s, unsigned gpu, unsigned gi, const struct fake_device *from) {
    if (fake_number(&fake_world.gpus[gpu].device, KEY_gpm) < 1)
        return NOT_SUPPORTED;
    *s = (struct gpm_sample){true, gpu, gi, fake_script_now_ms(), from};
    return OK;
}

int nvmlGpmSampleGet(void *, struct gpm_sample *);
int nvmlGpmSampleGet(void *handle, struct gpm_sample *s) {
    struct fake_device *d = NULL;
    unsigned gpu, mig;
    int r = fake_enter("nvmlGpmSampleGet");
    if (!r)
        r = fake_find(handle, "nvmlGpmSampleGet", &d, &gpu, &mig);
    if (!r && mig)
        return INVALID;
    return r ? r : take(s, gpu, UINT32_MAX, d);
}

int nvmlGpmMigSampleGet(void *, unsigned, struct gpm_sample *);
int nvmlGpmMigSampleGet(void *handle, unsigned gi, struct gpm_sample *s) {
    struct fake_device *d = NULL;
    unsigned gpu, mig;
    int r = fake_enter("nvmlGpmMigSampleGet");
    if (!r)
        r = fake_find(handle, "nvmlGpmMigSampleGet", &d, &gpu, &mig);
    if (r)
        return r;
    if (mig)
        fake_misuse("nvmlGpmMigSampleGet of a MIG device: it wants the GPU");
    for (unsigned i = 0; i < FAKE_MIGS; i++) {
        const struct fake_device *m = &fake_world.gpus[gpu].migs[i];
        if (m->there && fake_unsigned(fake_number(m, KEY_gi)) == gi)
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
    int r = fake_enter("nvmlGpmMetricsGet");
    if (r)
        return r;
    if (get_->version != 1 || get_->n > GPM_METRICS || !get_->one || !get_->two) {
        fake_misuse("nvmlGpmMetricsGet: version %u, %u metrics", get_->version, get_->n);
        return INVALID;
    }
    volatile int last = get_->metrics[GPM_METRICS - 1].code; // the caller has room for all
    (void)last;
    const struct gpm_sample *one = get_->one, *two = get_->two;
    if (!one->taken || !two->taken || one->gpu != two->gpu || one->gi != two->gi ||
        two->at_ms - one->at_ms < 99) {
        fake_misuse("nvmlGpmMetricsGet: samples of GPU %u/%d and %u/%d, %lld ms apart", one->gpu,
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
