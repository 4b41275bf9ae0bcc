// SPDX-License-Identifier: Apache-2.0
/*
 * What the scripted NVML says: GPUs, MIG devices, their values and accidents, from a text file that
 * the environment variable FAKE_NVML_SCRIPT names. A file that is replaced while it plays is played
 * from its beginning. A line is one statement, words are separated by blanks, # begins a comment:
 *
 *     at TIME                  what follows happens so long after the file was read: 500ms, 2s, 1m
 *     driver TEXT              the driver's version
 *     gpu N KEY=VALUE...       GPU N has these values (and exists)
 *     mig N I KEY=VALUE...     so has the MIG device with index I of GPU N
 *     gone N [I]               GPU N is not listed any more; with I: its MIG device is destroyed
 *     xid N CODE [GI [CI]]     an XID event of GPU N, of a GPU instance, of a compute instance
 *     every CODE               from now on every call returns CODE; 0: as usual again
 *     hang TIME CALL           the next call of the function CALL takes so long
 *
 * VALUE is a number, a text (blanks as _), !CODE (the call returns CODE) or - (not there: a call
 * returns NVML_ERROR_NOT_SUPPORTED, 3, for what is not there). Keys, in NVML's units:
 *
 *     uuid name pci            texts
 *     mig                      1: MIG mode is on
 *     util copy enc dec        percent
 *     total used free reserved bytes; v2=!CODE: nvmlDeviceGetMemoryInfo_v2 alone returns CODE
 *     power limit energy       mW, mW, mJ
 *     temp memtemp             C; tempv=!CODE: nvmlDeviceGetTemperatureV alone
 *     fieldtype                in which nvmlValueType_t memtemp is told; else 1, unsigned int
 *     smclock memclock reasons MHz, MHz, bits
 *     eccc eccu                errors corrected and not
 *     tx rx                    KB/s
 *     compute graphics mps     PIDs, 10,11,12; 0: none; 10:4096: with its memory in bytes
 *     procutil                 what processes were busy, 10:60,12:25; 0: none was
 *     gpm                      1: supported; gr sm occ tensor dram (percent, or nan), gtx grx
 * (MiB/s) events                   1: XID events can be registered gi ci slices cslices mib of a
 * MIG device: its instances, slices, memory in MiB open                     !CODE: asking for the
 * handle returns CODE all                      !CODE: every call for the GPU returns CODE, those
 * for its MIG devices too
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

// clang-format off
#define FAKE_KEYS(K) \
    K(uuid) \
    K(name) \
    K(pci) \
    K(mig) \
    K(util) \
    K(copy) \
    K(enc) \
    K(dec) \
    K(total) \
    K(used) \
    K(free) \
    K(reserved) \
    K(v2) \
    K(power) \
    K(limit) \
    K(energy) \
    K(temp) \
    K(tempv) \
    K(memtemp) \
    K(fieldtype) \
    K(smclock) \
    K(memclock) \
    K(reasons) \
    K(eccc) \
    K(eccu) \
    K(tx) \
    K(rx) \
    K(compute) \
    K(graphics) \
    K(mps) \
    K(procutil) \
    K(gpm) \
    K(gr) \
    K(sm) \
    K(occ) \
    K(tensor) \
    K(dram) \
    K(gtx) \
    K(grx) \
    K(events) \
    K(gi) \
    K(ci) \
    K(slices) \
    K(cslices) \
    K(mib) \
    K(open) \
    K(all)
// clang-format on

enum fake_key {
#define KEY(name) KEY_##name,
    FAKE_KEYS(KEY)
#undef KEY
        FAKE_KEY_MAX
};

enum { FAKE_GPUS = 16, FAKE_MIGS = 8 };

struct fake_value {
    bool set;
    int code; // != 0: what the call returns
    double number;
    char text[96];
};

struct fake_device {
    bool there;
    struct fake_value values[FAKE_KEY_MAX];
};

struct fake_gpu {
    struct fake_device device, migs[FAKE_MIGS];
};

struct fake_event {
    unsigned gpu, xid, gi, ci;
};

struct fake_hang {
    char call[64];
    int64_t ms;
};

struct fake_world {
    char driver[80];
    struct fake_gpu gpus[FAKE_GPUS];
    int every;
    struct fake_event events[512]; // that nobody took yet
    unsigned n_events;
    struct fake_hang hangs[16];
    unsigned n_hangs;
};

extern struct fake_world fake_world;

// Reads the script anew if it is another file than before, and plays what is due. Ends the program
// on a mistake in it: the test is wrong.
void fake_script_play(void);
int64_t fake_script_now_ms(void);
uint64_t fake_unsigned(double v); // 0 for what is below, or no number

// --- for tests in the same process (dlsym)
void fake_nvml_clock(int64_t ms); // the time is this, no longer real
