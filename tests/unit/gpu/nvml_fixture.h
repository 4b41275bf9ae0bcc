// SPDX-License-Identifier: Apache-2.0
/* The NVML source on the scripted library (tests/nvml), in virtual time. */
#pragma once

#include "unit.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "gpu/source.h"

struct fake {
    void *library; // keeps the script's state while sources come and go
    void (*clock)(int64_t ms);
    unsigned long (*calls)(void), (*misuses)(void);
    char script[256], library_path[512];
    int64_t ms;
    struct gpu_source source;
    struct gpu_device devices[LIMIT_GPU_ENTITIES_PER_NODE];
    size_t n;
};

#define GPU(n) "gpu " #n " uuid=GPU-" #n " name=NVIDIA_H100 pci=00000000:0" #n ":00.0 mig=0 "
#define GPU_VALUES                                                                                 \
    "util=50 copy=10 total=80000000000 used=1000 free=79999999000 reserved=0 power=1000"

static inline void fake_library_path(char *dst, size_t cap, const char *release) {
    const char *root = getenv("GPUSCALE_FAKE_NVML");
    if (!root)
        fail_msg("GPUSCALE_FAKE_NVML is not set: run the tests with meson");
    snprintf(dst, cap, "%s/%s/libnvidia-ml.so.1", root, release);
}

// Plays another script from now on.
static inline void fake_script(struct fake *f, const char *text) {
    if (f->script[0])
        unlink(f->script);
    const char *folder = getenv("TMPDIR");
    snprintf(f->script, sizeof f->script, "%s/fake-nvml-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(f->script);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    setenv("FAKE_NVML_SCRIPT", f->script, 1);
}

static inline void fake_load(struct fake *f, const char *release, const char *script) {
    *f = (struct fake){.ms = 1000000};
    fake_library_path(f->library_path, sizeof f->library_path, release);
    fake_script(f, script);
    f->library = dlopen(f->library_path, RTLD_NOW | RTLD_LOCAL);
    if (!f->library)
        fail_msg("%s", dlerror());
    *(void **)&f->clock = dlsym(f->library, "fake_nvml_clock");
    *(void **)&f->calls = dlsym(f->library, "fake_nvml_calls");
    *(void **)&f->misuses = dlsym(f->library, "fake_nvml_misuses");
    f->clock(f->ms);
}

static inline int fake_open_source(struct fake *f, const char *words, struct err *e) {
    char spec[600];
    snprintf(spec, sizeof spec, "nvml:library=%s%s", f->library_path, words);
    return gpu_source_open(str_from(spec), &f->source, e);
}

static inline void fake_enumerate(struct fake *f) {
    struct err e = {0};
    if (f->source.ops->enumerate(f->source.state, f->ms * NS_PER_MS, f->devices,
                                 LIMIT_GPU_ENTITIES_PER_NODE, &f->n, &e))
        fail_msg("%s", e.msg);
}

static inline void fake_open(struct fake *f, const char *release, const char *script,
                             const char *words) {
    struct err e = {0};
    fake_load(f, release, script);
    if (fake_open_source(f, words, &e))
        fail_msg("%s", e.msg);
    fake_enumerate(f);
}

static inline void fake_close(struct fake *f) {
    gpu_source_close(&f->source);
    assert_int_equal(f->misuses(), 0);
    dlclose(f->library);
    unlink(f->script);
}

static inline void fake_pass(struct fake *f, int64_t ms) {
    f->ms += ms;
    f->clock(f->ms);
}

static inline int fake_try(struct fake *f, uint32_t slot, struct gpu_reading *r,
                           enum gpu_sample_result *result, struct err *e) {
    *r = (struct gpu_reading){0};
    return f->source.ops->sample(f->source.state, slot, f->ms * NS_PER_MS, r, result, e);
}

// A reading that must come; false: the GPU is lost.
static inline bool fake_sample(struct fake *f, uint32_t slot, struct gpu_reading *r) {
    enum gpu_sample_result result = GPU_SAMPLE_OK;
    struct err e = {0};
    if (fake_try(f, slot, r, &result, &e))
        fail_msg("slot %u: %s", slot, e.msg);
    return result == GPU_SAMPLE_OK;
}

// All devices, one second later; the reading of one of them.
static inline bool fake_round(struct fake *f, uint32_t slot, struct gpu_reading *r) {
    bool there = false;
    struct gpu_reading other;
    *r = (struct gpu_reading){0};
    fake_pass(f, 1000);
    for (size_t i = 0; i < f->n; i++) {
        bool ok = fake_sample(f, f->devices[i].slot, &other);
        if (f->devices[i].slot == slot) {
            *r = other;
            there = ok;
        }
    }
    return there;
}

#define KNOWN(r, i, wanted)                                                                        \
    do {                                                                                           \
        double v_ = -1;                                                                            \
        if (!gpu_reading_get(&(r), (i), &v_) || v_ < (wanted)-1e-6 || v_ > (wanted) + 1e-6)        \
            fail_msg("%s:%d: %s is %g, wanted %g", __FILE__, __LINE__, #i, v_, (double)(wanted));  \
    } while (0)
#define UNKNOWN(r, i)                                                                              \
    do {                                                                                           \
        double v_;                                                                                 \
        if (gpu_reading_get(&(r), (i), &v_))                                                       \
            fail_msg("%s:%d: %s is %g, wanted unknown", __FILE__, __LINE__, #i, v_);               \
    } while (0)

static inline const struct gpu_device *fake_device(const struct fake *f, const char *uuid) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->devices[i].info.uuid, uuid) == 0)
            return &f->devices[i];
    return NULL;
}

static inline uint32_t fake_slot(const struct fake *f, const char *uuid) {
    const struct gpu_device *d = fake_device(f, uuid);
    if (!d)
        fail_msg("%s is not listed", uuid);
    return d ? d->slot : 0;
}
