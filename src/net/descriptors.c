// SPDX-License-Identifier: Apache-2.0
/* See descriptors.h. */
#include "net/descriptors.h"

#include <sys/resource.h>

uint64_t net_descriptors_raise(uint64_t wanted) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 0;
    rlim_t before = r.rlim_cur;
    if (before >= wanted)
        return before;
    r.rlim_cur = r.rlim_max < wanted ? r.rlim_max : wanted;
    return setrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_cur : before;
}
