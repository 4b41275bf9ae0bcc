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

enum { DEFAULT_TTL_MS = 3000, MAX_TTL_MS = 600000 };

struct told {
    struct sim_activity activity;
    int64_t until_ns; // 0: nothing told
};

struct sim_load {
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
    bool has_gpu, has_busy;
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
                   "\"; there are gpu, busy, sm, tensor, dram, memory_used_bytes and ttl_ms",
                   STR_ARG(key));
}

int sim_load_parse(struct str line, uint32_t n, uint32_t *ret_gpu, struct sim_activity *ret,
                   int64_t *ret_ttl_ns, struct err *e) {
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
    *ret_gpu = w.gpu;
    *ret = w.activity;
    *ret_ttl_ns = (int64_t)w.ttl_ms * NS_PER_MS;
    return 0;
}

// Applies all lines or, when one is wrong, none.
static int take_datagram(struct sim_load *l, struct str text, int64_t now_ns, struct err *e) {
    for (int pass = 0; pass < 2; pass++) {
        struct str rest = text;
        for (int number = 1; rest.n > 0; number++) {
            struct str line = str_trim(str_cut(&rest, '\n'));
            if (line.n == 0)
                continue;
            uint32_t gpu;
            struct told t;
            int64_t ttl_ns;
            if (sim_load_parse(line, l->n, &gpu, &t.activity, &ttl_ns, e))
                return err_wrap(e, "line %d", number);
            t.until_ns = now_ns + ttl_ns;
            for (uint32_t i = 0; pass == 1 && i < l->n; i++)
                if (gpu == UINT32_MAX || gpu == i)
                    l->told[i] = t;
        }
    }
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
    if (gpu >= l->n || l->told[gpu].until_ns <= now_ns)
        return false;
    *ret = l->told[gpu].activity;
    return true;
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
