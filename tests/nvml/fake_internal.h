// SPDX-License-Identifier: Apache-2.0
/*
 * The scripted NVML inside: its own declarations of NVML's binary interface, checked against
 * measured sizes and offsets (they share nothing with src/gpu: both would have to be wrong in the
 * same way), and what the files that play it share.
 */
#pragma once

#include <stddef.h>

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
struct process_sample {
    unsigned pid;
    u64 time_us;
    unsigned sm, memory, encoder, decoder;
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
        unsigned short us;
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
SIZE(process_sample, 32);
AT(process_sample, time_us, 8);
AT(process_sample, sm, 16);
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

#pragma GCC visibility push(hidden)
extern unsigned long fake_calls, fake_misuses;
extern unsigned fake_samples_alive, fake_sets_alive; // of the library's objects that callers free
__attribute__((format(printf, 1, 2))) void fake_misuse(const char *format, ...);
void *fake_handle(unsigned gpu, unsigned mig); // mig: 0, or its index + 1
// What every call begins with: 0, or what it returns at once.
int fake_enter(const char *call);
int fake_find(void *handle, const char *call, struct fake_device **ret, unsigned *gpu,
              unsigned *mig);
// Both, and the value of a key: 0, or what the call returns.
int fake_get(void *handle, const char *call, enum fake_key key, const struct fake_value **ret);
int fake_get_unsigned(void *handle, const char *call, enum fake_key key, unsigned *ret);
double fake_number(const struct fake_device *d, enum fake_key key);
#pragma GCC visibility pop
