// SPDX-License-Identifier: Apache-2.0
/*
 * CPU time of a process and of the children that it waited for. A container's cgroup would count
 * the same, and as finely: the process's own part is its CPU clock's, in nanoseconds; a clock tick
 * of /proc would be a large part of a small request over the demo's short windows. Its children's
 * is cutime + cstime of /proc/PID/stat (proc_pid_stat(5)), in clock ticks.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

// The children's part out of the file's text, at `ticks_per_s`. ERR_PARSE: not such a text.
int driver_proc_parse(struct str stat, long ticks_per_s, int64_t *ret_children_ns, struct err *e);
// ERR_IO: no such process, or no /proc.
int driver_proc_read(int pid, int64_t *ret_cpu_ns, struct err *e);
