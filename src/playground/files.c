// SPDX-License-Identifier: Apache-2.0
/* Writes the demo's files; see files.h. */
#include "playground/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

#define LONGEST_SOCKET "/gpuscale/gpu.sock" // of the act with the longest name

int files_join(char dst[FILES_PATH_MAX], const char *folder, const char *name, struct err *e) {
    int n = snprintf(dst, FILES_PATH_MAX, "%s/%s", folder, name);
    if (n < 0 || n >= FILES_PATH_MAX)
        return err_set(e, ERR_LIMIT, "the path %s/%s is too long", folder, name);
    return 0;
}

// The path stands in the agent's source, whose options end with a comma, and, quoted, in YAML.
static int check_folder(const char *folder, const char *from, struct err *e) {
    size_t n = strlen(folder), special = strcspn(folder, ",\"\\");
    bool plain = utf8_valid(folder, n);
    for (size_t i = 0; i < n; i++)
        plain = plain && (unsigned char)folder[i] >= ' ' && folder[i] != 0x7f;
    if (!plain)
        return err_set(e, ERR_INVALID,
                       "%s: the path is not UTF-8 or holds a control character: choose another",
                       from);
    if (folder[special])
        return err_set(e, ERR_INVALID,
                       "%s: the path %s holds '%c', which the demo's files cannot name: choose "
                       "another",
                       from, folder, folder[special]);
    if (n + sizeof(LONGEST_SOCKET) > sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(e, ERR_LIMIT,
                       "%s: the path %s is too long: the demo makes unix sockets in it, and their "
                       "paths have %zu bytes at most: choose a shorter one",
                       from, folder, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    return 0;
}

int files_make(char ret_folder[FILES_PATH_MAX], const char *out, struct err *e) {
    const char *tmp = getenv("TMPDIR");
    int r;
    if (out) {
        r = check_folder(out, "flag --out", e);
        if (r < 0)
            return r;
        (void)str_copy(ret_folder, FILES_PATH_MAX, str_from(out)); // a socket's path is shorter
        if (mkdir(out, 0755) < 0 && errno != EEXIST)
            return err_errno(e, errno, "cannot make the folder %s", out);
        return 0;
    }
    r = files_join(ret_folder, tmp && tmp[0] ? tmp : "/tmp", "gpuscale-demo.XXXXXX", e);
    if (r == 0)
        r = check_folder(ret_folder, "TMPDIR", e);
    if (r == 0 && !mkdtemp(ret_folder))
        r = err_errno(e, errno, "cannot make a folder like %s", ret_folder);
    return r;
}

int files_make_act(struct act_files *ret, const char *folder, const char *act, struct err *e) {
    struct act_files f;
    int r = files_join(f.folder, folder, act, e);
    if (r == 0 && mkdir(f.folder, 0755) < 0 && errno != EEXIST)
        r = err_errno(e, errno, "cannot make the folder %s", f.folder);
    const struct {
        char *path;
        const char *name;
    } all[] = {{f.agent_config, "agent.yaml"},   {f.agent_log, "agent.log"},
               {f.scaler_config, "scaler.yaml"}, {f.scaler_log, "scaler.log"},
               {f.workloads, "workloads.yaml"},  {f.load_log, "load.log"},
               {f.load_json, "load.json"},       {f.load_socket, "gpu.sock"}};
    for (size_t i = 0; r == 0 && i < COUNT_OF(all); i++)
        r = files_join(all[i].path, f.folder, all[i].name, e);
    if (r == 0 && strlen(f.load_socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        r = err_set(e, ERR_LIMIT, "%s is too long for a unix socket: choose a shorter folder",
                    f.load_socket);
    if (r == 0)
        *ret = f;
    return r;
}

int files_write(const char *path, struct str text, struct err *e) {
    char fresh[FILES_PATH_MAX + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(e, errno, "cannot write %s", fresh);
    size_t done = 0;
    ssize_t n = 0;
    while (done < text.n && (n = write(fd, text.p + done, text.n - done)) > 0)
        done += (size_t)n;
    int saved = errno;
    close(fd);
    if (done < text.n)
        return err_errno(e, n < 0 ? saved : ENOSPC, "cannot write %s", fresh);
    if (rename(fresh, path) < 0)
        return err_errno(e, errno, "cannot replace %s", path);
    return 0;
}

static int write_buf(const char *path, const struct buf *b, struct err *e) {
    return b->err < 0 ? err_set(e, b->err, "%s is too large", path)
                      : files_write(path, buf_str(b), e);
}

int files_write_agent(const struct act_files *f, const struct pool *pool, struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    const struct roster *r = pool_roster(pool);
    size_t holders = 0;
    for (size_t i = 0; i < r->n; i++)
        holders += r->pods[i].gpu >= 0;
    (void)buf_addc(&b, holders ? "pods:\n" : "pods: []\n");
    for (size_t i = 0; i < r->n; i++) {
        if (r->pods[i].gpu >= 0)
            (void)buf_addf(&b, "- {gpu: %d, namespace: default, pod: %s, container: engine}\n",
                           r->pods[i].gpu, r->pods[i].name);
    }
    return write_buf(f->agent_config, &b, e);
}

static int64_t hastened_ms(double s, double hasten, int64_t least_ms) {
    int64_t ms = (int64_t)(s * 1000 / hasten);
    return ms < least_ms ? least_ms : ms;
}

int files_write_scaler(const struct act_files *f, const struct files_ports *ports, double hasten,
                       struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    (void)buf_addf(&b,
                   "grpc: {listen: \"%s\"}\n"
                   "http: {listen: \"%s\"}\n"
                   "health: {listen: \"127.0.0.1:0\"}\n"
                   "agents: {targets: [\"%s\"]}\n"
                   "engines: {interval: %lldms}\n"
                   "tick: %lldms\n"
                   "workloads: \"%s\"\n"
                   "demand:\n"
                   "  gateway:\n"
                   "    url: \"http://%s/metrics\"\n"
                   "    interval: %lldms\n"
                   "    requestsTotal: 'gateway_requests_total{service=\"llm\"}'\n"
                   "    waiting: 'gateway_requests_held{service=\"llm\"}'\n"
                   "    inflight: 'gateway_requests_active{service=\"llm\"}'\n",
                   ports->grpc, ports->http, ports->agent, (long long)hastened_ms(5, hasten, 500),
                   (long long)hastened_ms(1, hasten, 100), f->workloads, ports->gateway,
                   (long long)hastened_ms(1, hasten, 100));
    return write_buf(f->scaler_config, &b, e);
}

static const char *state_name(enum roster_state s) {
    switch (s) {
    case ROSTER_READY:
        return "ready";
    case ROSTER_TERMINATING:
        return "terminating";
    case ROSTER_PENDING:
    case ROSTER_STARTING:
        break;
    }
    return "starting";
}

int files_write_workloads(const struct act_files *f, const struct pool *pool, struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    const struct roster *r = pool_roster(pool);
    (void)buf_addf(&b,
                   "workloads:\n"
                   "- namespace: default\n"
                   "  target: deployment/llm\n"
                   "  scaledObjects: [llm]\n"
                   "  replicas: %d\n"
                   "  pods:%s\n",
                   r->spec, r->n ? "" : " []");
    int64_t real_ns = clock_real_ns(), now_ns = clock_mono_ns();
    for (size_t i = 0; i < r->n; i++) {
        struct pool_pod p = pool_at(pool, i);
        char since[40];
        clock_format_utc(real_ns - (now_ns - p.pod->created_ns), since, sizeof(since));
        (void)buf_addf(&b, "  - {name: %s, state: %s, startedAt: \"%s\"", p.pod->name,
                       state_name(p.pod->state), since);
        if (p.addr[0])
            (void)buf_addf(&b, ", address: \"%s\"", p.addr);
        (void)buf_addc(&b, "}\n");
    }
    return write_buf(f->workloads, &b, e);
}
