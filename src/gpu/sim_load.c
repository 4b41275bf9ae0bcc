// SPDX-License-Identifier: Apache-2.0
/* See sim_load.h. The socket is read by the thread that samples, without blocking. */
#include "gpu/sim_load.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

enum { DEFAULT_TTL_MS = 3000, MAX_TTL_MS = 600000, PID_MAX = 1 << 22 };

struct told {
    struct sim_activity activity;
    int64_t until_ns; // 0: nothing told
};

struct told_process {
    uint32_t gpu, pid;
    double busy, memory_bytes; // below 0: not told
    int64_t until_ns;          // 0: a free place
};

struct sim_load {
    struct told_process processes[LIMIT_SIM_LOAD_PROCESSES];
    struct told_process next[LIMIT_SIM_LOAD_PROCESSES]; // as a datagram would leave them
    int fd;
    uint32_t n;
    uint64_t refused;
    struct sockaddr_un addr;
    struct told told[];
};

static int parse_ratio(struct str key, struct str value, double *ret, struct err *e) {
    if (str_to_double(value, ret) || !(*ret >= 0 && *ret <= 1))
        return err_set(e, ERR_PARSE, STR_FMT "=\"" STR_FMT "\" is not a number from 0 to 1",
                       STR_ARG(key), STR_ARG(value));
    return 0;
}

static int parse_gpu(struct str value, uint32_t n, uint32_t *ret, struct err *e) {
    unsigned long long i;
    if (str_eqc(value, "*")) {
        *ret = UINT32_MAX;
        return 0;
    }
    if (str_to_u64(value, &i) || i >= n)
        return err_set(e, ERR_PARSE, "gpu=\"" STR_FMT "\" is neither * nor an index below %u",
                       STR_ARG(value), n);
    *ret = (uint32_t)i;
    return 0;
}

struct words {
    uint32_t gpu;
    bool has_gpu, has_busy, has_units;
    unsigned long long pid;
    struct sim_activity activity;
    unsigned long long ttl_ms;
};

static int parse_word(struct words *w, struct str word, uint32_t n, struct err *e) {
    struct str value = word, key = str_cut(&value, '=');
    if (key.n == word.n)
        return err_set(e, ERR_PARSE, "\"" STR_FMT "\" is not key=value", STR_ARG(word));
    if (str_eqc(key, "gpu")) {
        w->has_gpu = true;
        return parse_gpu(value, n, &w->gpu, e);
    }
    if (str_eqc(key, "busy")) {
        w->has_busy = true;
        return parse_ratio(key, value, &w->activity.busy, e);
    }
    if (str_eqc(key, "pid")) {
        if (str_to_u64(value, &w->pid) || w->pid < 1 || w->pid > PID_MAX)
            return err_set(e, ERR_PARSE, "pid=\"" STR_FMT "\" is not from 1 to %d", STR_ARG(value),
                           PID_MAX);
        return 0;
    }
    w->has_units |= str_eqc(key, "sm") || str_eqc(key, "tensor") || str_eqc(key, "dram");
    if (str_eqc(key, "sm"))
        return parse_ratio(key, value, &w->activity.sm, e);
    if (str_eqc(key, "tensor"))
        return parse_ratio(key, value, &w->activity.tensor, e);
    if (str_eqc(key, "dram"))
        return parse_ratio(key, value, &w->activity.dram, e);
    if (str_eqc(key, "memory_used_bytes")) {
        double v;
        if (str_to_double(value, &v) || !(v >= 0 && v <= 1e15))
            return err_set(e, ERR_PARSE, "memory_used_bytes=\"" STR_FMT "\" is not a size",
                           STR_ARG(value));
        w->activity.memory_used_bytes = v;
        return 0;
    }
    if (str_eqc(key, "ttl_ms")) {
        if (str_to_u64(value, &w->ttl_ms) || w->ttl_ms < 1 || w->ttl_ms > MAX_TTL_MS)
            return err_set(e, ERR_PARSE, "ttl_ms=\"" STR_FMT "\" is not from 1 to %d",
                           STR_ARG(value), MAX_TTL_MS);
        return 0;
    }
    return err_set(e, ERR_PARSE,
                   "unknown word \"" STR_FMT
                   "\"; there are gpu, pid, busy, sm, tensor, dram, memory_used_bytes and ttl_ms",
                   STR_ARG(key));
}

int sim_load_parse(struct str line, uint32_t n, struct sim_load_line *ret, struct err *e) {
    struct words w = {.activity = {.sm = -1, .tensor = -1, .dram = -1, .memory_used_bytes = -1},
                      .ttl_ms = DEFAULT_TTL_MS};
    while (line.n > 0) {
        struct str word = str_cut(&line, ' ');
        int r = word.n > 0 ? parse_word(&w, word, n, e) : 0;
        if (r)
            return r;
    }
    if (!w.has_gpu || !w.has_busy)
        return err_set(e, ERR_PARSE, "a line needs gpu= and busy=");
    if (w.pid && w.has_units)
        return err_set(e, ERR_PARSE, "a process (pid=) has busy= and memory_used_bytes= alone");
    *ret = (struct sim_load_line){w.gpu, (uint32_t)w.pid, w.activity,
                                  (int64_t)w.ttl_ms * NS_PER_MS};
    return 0;
}

static bool is_live(const struct told_process *p, int64_t now_ns) {
    return p->until_ns > now_ns;
}

// False: there is no room for one more.
static bool take_process(struct told_process *processes, uint32_t gpu,
                         const struct sim_load_line *line, int64_t now_ns) {
    struct told_process *at = NULL;
    for (size_t i = 0; i < LIMIT_SIM_LOAD_PROCESSES; i++) {
        struct told_process *p = &processes[i];
        bool live = is_live(p, now_ns);
        if (live && p->gpu == gpu && p->pid == line->pid) {
            at = p;
            break;
        }
        if (!live && !at)
            at = p;
    }
    if (at)
        *at = (struct told_process){gpu, line->pid, line->activity.busy,
                                    line->activity.memory_used_bytes, now_ns + line->ttl_ns};
    return at != NULL;
}

// Of a line about the GPU itself into the load, about a process into `next`. False: no room.
static bool take_line(struct sim_load *l, const struct sim_load_line *line, int64_t now_ns) {
    for (uint32_t i = 0; i < l->n; i++) {
        if (line->gpu != UINT32_MAX && line->gpu != i)
            continue;
        if (!line->pid)
            l->told[i] = (struct told){line->activity, now_ns + line->ttl_ns};
        else if (!take_process(l->next, i, line, now_ns))
            return false;
    }
    return true;
}

// Applies all lines or, when one is wrong, none: the processes first, to see whether they fit.
static int take_datagram(struct sim_load *l, struct str text, int64_t now_ns, struct err *e) {
    memcpy(l->next, l->processes, sizeof l->next);
    for (int pass = 0; pass < 2; pass++) {
        struct str rest = text;
        for (int number = 1; rest.n > 0; number++) {
            struct str one = str_trim(str_cut(&rest, '\n'));
            struct sim_load_line line;
            if (one.n == 0)
                continue;
            if (sim_load_parse(one, l->n, &line, e))
                return err_wrap(e, "line %d", number);
            if ((pass == 0) == (line.pid != 0) && !take_line(l, &line, now_ns))
                return err_set(e, ERR_LIMIT, "more than %d processes", LIMIT_SIM_LOAD_PROCESSES);
        }
    }
    memcpy(l->processes, l->next, sizeof l->processes);
    return 0;
}

static void refuse(struct sim_load *l, const struct sockaddr_un *from, socklen_t len,
                   const char *why) {
    l->refused++;
    if (len <= offsetof(struct sockaddr_un, sun_path))
        return; // the sender has no address
    char answer[ERR_MSG_MAX + 16];
    int n = snprintf(answer, sizeof answer, "error: %s\n", why);
    // A sender that does not read its answer is no matter of ours.
    (void)!sendto(l->fd, answer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)from, len);
}

void sim_load_poll(struct sim_load *l, int64_t now_ns) {
    char text[LIMIT_SIM_LOAD_BYTES];
    for (int i = 0; i < LIMIT_SIM_LOAD_DATAGRAMS; i++) {
        struct sockaddr_un from;
        struct iovec iov = {text, sizeof text};
        struct msghdr m = {
            .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return; // nothing (more) is there
        struct err e = {0};
        if (m.msg_flags & MSG_TRUNC)
            refuse(l, &from, m.msg_namelen, "the datagram is too long");
        else if (take_datagram(l, (struct str){text, (size_t)n}, now_ns, &e))
            refuse(l, &from, m.msg_namelen, e.msg);
    }
}

bool sim_load_get(const struct sim_load *l, uint32_t gpu, int64_t now_ns,
                  struct sim_activity *ret) {
    if (gpu >= l->n)
        return false;
    if (l->told[gpu].until_ns > now_ns) {
        *ret = l->told[gpu].activity;
        return true;
    }
    struct sim_activity all = {.sm = -1, .tensor = -1, .dram = -1, .memory_used_bytes = -1};
    bool any = false;
    for (size_t i = 0; i < LIMIT_SIM_LOAD_PROCESSES; i++) {
        const struct told_process *p = &l->processes[i];
        if (!is_live(p, now_ns) || p->gpu != gpu)
            continue;
        any = true;
        all.busy += p->busy; // more than 1 together: the model bounds it
        if (p->memory_bytes >= 0)
            all.memory_used_bytes = p->memory_bytes +
                                    (all.memory_used_bytes > 0 ? all.memory_used_bytes : 0);
    }
    if (any)
        *ret = all;
    return any;
}

size_t sim_load_processes(const struct sim_load *l, uint32_t gpu, int64_t now_ns,
                          struct gpu_process *list, size_t cap) {
    size_t n = 0;
    for (size_t i = 0; i < LIMIT_SIM_LOAD_PROCESSES && n < cap; i++) {
        const struct told_process *p = &l->processes[i];
        if (!is_live(p, now_ns) || p->gpu != gpu)
            continue;
        if (list)
            list[n] = (struct gpu_process){
                .pid = p->pid,
                .has_utilization = true,
                .utilization_pct = 100 * p->busy,
                .has_memory = p->memory_bytes >= 0,
                .memory_bytes = p->memory_bytes >= 0 ? (uint64_t)p->memory_bytes : 0,
            };
        n++;
    }
    return n;
}

uint64_t sim_load_refused(const struct sim_load *l) {
    return l->refused;
}

// A socket that a killed run left behind may be replaced; one that is in use, or a file, may not.
static int remove_stale(const struct sockaddr_un *addr, struct err *e) {
    struct stat st;
    if (lstat(addr->sun_path, &st))
        return errno == ENOENT ? 0 : err_errno(e, errno, "load socket %s", addr->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_EXISTS, "load socket %s: a file that is no socket is there",
                       addr->sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, errno, "load socket %s", addr->sun_path);
    bool used = connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0;
    close(fd);
    if (used)
        return err_set(e, ERR_EXISTS, "load socket %s: another program listens there",
                       addr->sun_path);
    return unlink(addr->sun_path) ? err_errno(e, errno, "load socket %s", addr->sun_path) : 0;
}

int sim_load_open(struct sim_load **ret, const char *path, uint32_t n, struct err *e) {
    struct sim_load *l = mem_zalloc(sizeof *l + n * sizeof l->told[0]);
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for the load of %u GPUs", n);
    l->n = n;
    l->addr.sun_family = AF_UNIX;
    int r = str_copy(l->addr.sun_path, sizeof l->addr.sun_path, str_from(path));
    if (r) {
        err_set(e, r, "load socket %s: the path is longer than %zu bytes", path,
                sizeof l->addr.sun_path - 1);
        goto fail;
    }
    r = remove_stale(&l->addr, e);
    if (r)
        goto fail;
    l->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&l->addr, sizeof l->addr)) {
        r = err_errno(e, errno, "load socket %s", path);
        if (l->fd >= 0)
            close(l->fd);
        goto fail;
    }
    *ret = l;
    return 0;
fail:
    mem_free(l);
    return r;
}

struct sim_load *sim_load_close(struct sim_load *l) {
    if (l) {
        unlink(l->addr.sun_path);
        close(l->fd);
        mem_free(l);
    }
    return NULL;
}
