// SPDX-License-Identifier: Apache-2.0
/*
 * What the NVML source costs beside the driver: calls of a round and of an enumeration, and the
 * time of a round with the scripted library (tests/nvml), whose own share is measured with bare
 * calls.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "gpu/source.h"

// The best of several chunks: what a busy machine adds is not ours.
enum { CHUNKS = 40, ROUNDS = 500, BARE = 20000 };

static struct gpu_device devices[LIMIT_GPU_ENTITIES_PER_NODE];

#define VALUES                                                                                     \
    "used=1 free=1 reserved=1 total=3 compute=1,2 graphics=0 mps=0 gr=1 sm=1 occ=1 tensor=1 "      \
    "dram=1 "
#define BOARD                                                                                      \
    "power=1 limit=1 energy=1 temp=40 memtemp=50 smclock=1 memclock=1 reasons=0 eccc=0 eccu=0 "    \
    "events=1 gpm=1 gtx=1 grx=1 "

static void write_script(const char *path, int migs) {
    FILE *f = fopen(path, "we");
    for (int g = 0; f && g < 8; g++) {
        fprintf(f, "gpu %d uuid=GPU-%d name=H100 pci=0 mig=%d " BOARD "%s\n", g, g, migs > 0,
                migs ? "" : VALUES "util=1 copy=1 enc=0 dec=0");
        for (int i = 0; i < migs; i++)
            fprintf(f, "mig %d %d uuid=MIG-%d-%d name=X gi=%d ci=0 " VALUES "\n", g, i, g, i, i);
    }
    if (f)
        fclose(f);
}

static void fail(const char *what) {
    fprintf(stderr, "bench_nvml: %s\n", what);
    exit(1);
}

static int64_t sample_all(struct gpu_source *s, size_t n, int64_t now_ns) {
    struct err e = {0};
    int64_t start_ns = clock_mono_ns();
    for (size_t d = 0; d < n; d++) {
        struct gpu_reading r = {0};
        enum gpu_sample_result result;
        if (s->ops->sample(s->state, devices[d].slot, now_ns, &r, &result, &e))
            fail(e.msg);
    }
    return clock_mono_ns() - start_ns;
}

static void measure(const char *name, int migs, const char *library) {
    char path[] = "/tmp/bench-nvml-XXXXXX", spec[600];
    int fd = mkstemp(path);
    struct gpu_source s = {0};
    struct err e = {0};
    size_t n = 0;
    close(fd);
    write_script(path, migs);
    setenv("FAKE_NVML_SCRIPT", path, 1);
    void *l = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!l)
        fail(dlerror());
    unsigned long (*calls)(void);
    void (*set_clock)(int64_t);
    int (*bare)(void *, unsigned *);
    int (*by_index)(unsigned, void **);
    *(void **)&calls = dlsym(l, "fake_nvml_calls");
    *(void **)&set_clock = dlsym(l, "fake_nvml_clock");
    *(void **)&bare = dlsym(l, "nvmlDeviceGetPowerUsage");
    *(void **)&by_index = dlsym(l, "nvmlDeviceGetHandleByIndex_v2");
    set_clock(1000);
    snprintf(spec, sizeof spec, "nvml:library=%s", library);
    if (gpu_source_open(str_from(spec), &s, &e))
        fail(e.msg);
    unsigned long before = calls();
    if (s.ops->enumerate(s.state, NS_PER_S, devices, LIMIT_GPU_ENTITIES_PER_NODE, &n, &e))
        fail(e.msg);
    unsigned long enumeration = calls() - before;
    unsigned long round = 0;
    double best_us = 1e9, bare_ns = 1e9;
    int64_t t_s = 1;
    void *handle;
    unsigned v;
    by_index(0, &handle);
    for (int chunk = 0; chunk < CHUNKS; chunk++) {
        int64_t took_ns = 0;
        for (int i = 0; i < ROUNDS; i++) {
            set_clock(++t_s * 1000);
            before = calls();
            took_ns += sample_all(&s, n, t_s * NS_PER_S);
            round = calls() - before;
        }
        int64_t start_ns = clock_mono_ns();
        for (int i = 0; i < BARE; i++)
            bare(handle, &v);
        double one_bare_ns = (double)(clock_mono_ns() - start_ns) / BARE;
        double one_us = (double)took_ns / ROUNDS / 1000;
        best_us = one_us < best_us ? one_us : best_us;
        bare_ns = one_bare_ns < bare_ns ? one_bare_ns : bare_ns;
    }
    printf("%-28s %2zu entities: %lu calls an enumeration, %lu calls a round (%.1f an entity); "
           "round %.1f us with the scripted library, of which its bare calls are about %.1f us\n",
           name, n, enumeration, round, (double)round / (double)n, best_us,
           bare_ns * (double)round / 1000);
    gpu_source_close(&s);
    dlclose(l);
    unlink(path);
}

int main(void) {
    const char *build = getenv("GPUSCALE_BUILD");
    char library[512];
    snprintf(library, sizeof library, "%s/tests/nvml/580/libnvidia-ml.so.1",
             build ? build : "build");
    measure("8 H100", 0, library);
    measure("8 H100, each in 7 instances", 7, library);
    return 0;
}
