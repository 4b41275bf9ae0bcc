// SPDX-License-Identifier: Apache-2.0
/* Reads CPU clocks and /proc/PID/stat; see driver_proc.h. */
#include "playground/driver_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

// After the command's name, which may hold anything: state is field 3, cutime 16, cstime 17.
enum { FIELD_AFTER_NAME = 3, FIELD_CUTIME = 16, FIELD_CSTIME = 17, STAT_BYTES = 4096 };

int driver_proc_parse(struct str stat, long ticks_per_s, int64_t *ret_children_ns, struct err *e) {
    const char *name_end = stat.n ? memrchr(stat.p, ')', stat.n) : NULL;
    if (!name_end)
        return err_set(e, ERR_PARSE, "no process status: no ')' in it");
    struct str rest = {name_end + 1, stat.n - (size_t)(name_end + 1 - stat.p)};
    rest = str_trim(rest);
    int64_t ticks = 0;
    for (int field = FIELD_AFTER_NAME; field <= FIELD_CSTIME; field++) {
        struct str word = str_cut(&rest, ' ');
        long long x = 0;
        if (field >= FIELD_CUTIME &&
            (str_to_i64(word, &x) < 0 || x < 0 || x > INT64_MAX / NS_PER_S))
            return err_set(e, ERR_PARSE, "field %d of the process status is \"" STR_FMT "\"", field,
                           STR_ARG(word));
        if (__builtin_add_overflow(ticks, x, &ticks))
            return err_set(e, ERR_PARSE, "the process status has absurd times");
    }
    *ret_children_ns = (int64_t)((double)ticks * (double)NS_PER_S / (double)ticks_per_s);
    return 0;
}

int driver_proc_read(int pid, int64_t *ret_cpu_ns, struct err *e) {
    char path[64], text[STAT_BYTES];
    int64_t own_ns;
    int failed = clock_process_cpu_of_ns(pid, &own_ns);
    if (failed != 0)
        return err_errno(e, failed, "cannot read the CPU time of process %d", pid);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "cannot open %s", path);
    ssize_t n = read(fd, text, sizeof(text));
    int saved = errno;
    close(fd);
    if (n < 0)
        return err_errno(e, saved, "cannot read %s", path);
    int64_t children_ns;
    int r = driver_proc_parse((struct str){text, (size_t)n}, sysconf(_SC_CLK_TCK), &children_ns, e);
    if (r == 0)
        *ret_cpu_ns = own_ns + children_ns;
    return r;
}
