// SPDX-License-Identifier: Apache-2.0
/*
 * The only file that reads a clock. Programs read it and pass the value on; core never does.
 */
#pragma once

#include <stdint.h>

#define NS_PER_US 1000LL
#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

int64_t clock_mono_ns(void); // CLOCK_MONOTONIC; never steps
int64_t clock_real_ns(void); // CLOCK_REALTIME, since 1970; for people only, it may step
int64_t clock_thread_cpu_ns(void);
int64_t clock_process_cpu_ns(void);
// Of another process of this user, without its children: 0, or an errno.
int clock_process_cpu_of_ns(int pid, int64_t *ret_ns);
// "2026-11-23T23:46:46.123Z" into dst[cap] (cap >= 32).
void clock_format_utc(int64_t real_ns, char *dst, unsigned cap);
