// SPDX-License-Identifier: Apache-2.0
/*
 * The least that keeps a schedule: sleeps until each moment with epoll_pwait2 on an empty set, and
 * tells how late it woke. What gpuscale load's send-time error is measured against.
 *     sleeper RATE SECONDS   -> "p50_us p99_us max_us cpu_s"
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "core/metrics/hdr.h"

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    double rate = strtod(argv[1], NULL), seconds = strtod(argv[2], NULL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct hdr late;
    if (!(rate > 0) || epoll < 0 || hdr_init(&late, 60 * NS_PER_S) < 0)
        return 1;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    int64_t start = clock_mono_ns();
    for (long i = 0; (double)i < rate * seconds; i++) {
        int64_t due = start + (int64_t)((double)i / rate * NS_PER_S), now;
        while ((now = clock_mono_ns()) < due) {
            struct epoll_event event;
            struct timespec t = {(due - now) / NS_PER_S, (due - now) % NS_PER_S};
            if (epoll_pwait2(epoll, &event, 1, &t, NULL) < 0)
                return 1;
        }
        hdr_add(&late, (uint64_t)(now - due));
    }
    printf("%.1f %.1f %.1f %.4f\n", (double)hdr_quantile(&late, 500000) / NS_PER_US,
           (double)hdr_quantile(&late, 990000) / NS_PER_US, (double)late.max / NS_PER_US,
           (double)clock_process_cpu_ns() / NS_PER_S);
    hdr_done(&late);
    return 0;
}
