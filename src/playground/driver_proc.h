// SPDX-License-Identifier: Apache-2.0
/*
 * CPU time of a process and of the children that it waited for, from /proc/PID/stat
 * (proc_pid_stat(5): utime + stime + cutime + cstime, in clock ticks). A container's cgroup would
 * count the same.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

// The file's text to nanoseconds, at `ticks_per_s`. ERR_PARSE: not such a text.
int driver_proc_parse(struct str stat, long ticks_per_s, int64_t *ret_cpu_ns, struct err *e);
// ERR_IO: no such process, or no /proc.
int driver_proc_read(int pid, int64_t *ret_cpu_ns, struct err *e);
