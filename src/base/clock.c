// SPDX-License-Identifier: Apache-2.0
/* The only file that reads a clock. */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t read_ns(clockid_t id) {
    struct timespec t = {0};
    clock_gettime(id, &t); // cannot fail for these clocks
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_mono_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_real_ns(void) {
    return read_ns(CLOCK_REALTIME);
}

int64_t clock_thread_cpu_ns(void) {
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_process_cpu_ns(void) {
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int clock_process_cpu_of_ns(int pid, int64_t *ret_ns) {
    clockid_t id;
    struct timespec t;
    int failed = clock_getcpuclockid(pid, &id);
    if (failed == 0 && clock_gettime(id, &t) < 0)
        failed = errno;
    if (failed == 0)
        *ret_ns = (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
    return failed;
}

void clock_format_utc(int64_t real_ns, char *dst, unsigned cap) {
    time_t s = (time_t)(real_ns / NS_PER_S);
    int64_t rest = real_ns % NS_PER_S;
    if (rest < 0) {
        rest += NS_PER_S;
        s--;
    }
    struct tm t;
    gmtime_r(&s, &t); // 64 bits of nanoseconds stay between the years 1677 and 2262
    snprintf(dst, cap, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900, t.tm_mon + 1,
             t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)(rest / NS_PER_MS));
}
