// SPDX-License-Identifier: Apache-2.0
/* Writes the demo's files; see files.h. */
#include "playground/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static int path_join(char dst[FILES_PATH_MAX], const char *folder, const char *name,
                     struct err *e) {
    int n = snprintf(dst, FILES_PATH_MAX, "%s/%s", folder, name);
    if (n < 0 || n >= FILES_PATH_MAX)
        return err_set(e, ERR_LIMIT, "the path %s/%s is too long: set TMPDIR to a shorter one",
                       folder, name);
    return 0;
}

int files_make(struct files *ret, struct err *e) {
    const char *tmp = getenv("TMPDIR");
    struct files f = {0};
    int r = path_join(f.folder, tmp && tmp[0] ? tmp : "/tmp", "gpuscale-demo.XXXXXX", e);
    if (r == 0 && !mkdtemp(f.folder))
        r = err_errno(e, errno, "cannot make a folder like %s", f.folder);
    if (r == 0)
        r = path_join(f.agent_config, f.folder, "agent.yaml", e);
    if (r == 0)
        r = path_join(f.agent_log, f.folder, "agent.log", e);
    if (r == 0)
        r = path_join(f.scaler_config, f.folder, "scaler.yaml", e);
    if (r == 0)
        r = path_join(f.scaler_log, f.folder, "scaler.log", e);
    if (r == 0)
        r = path_join(f.workloads, f.folder, "workloads.yaml", e);
    if (r == 0)
        r = path_join(f.load_socket, f.folder, "gpu.sock", e);
    if (r == 0)
        *ret = f;
    return r;
}

static int write_whole(const char *path, struct str text, struct err *e) {
    char fresh[FILES_PATH_MAX + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(e, errno, "cannot write %s", fresh);
    ssize_t n = write(fd, text.p, text.n);
    int saved = errno;
    close(fd);
    if (n != (ssize_t)text.n)
        return err_errno(e, n < 0 ? saved : ENOSPC, "cannot write %s", fresh);
    if (rename(fresh, path) < 0)
        return err_errno(e, errno, "cannot replace %s", path);
    return 0;
}

int files_write_agent(const struct files *f, struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    int bad = buf_addc(&b, "pods:\n");
    for (int i = 0; i < SERVICE_PODS_MAX; i++)
        bad |= buf_addf(
            &b, "- {gpu: \"%d\", namespace: default, pod: demo-llm-%d, container: vllm}\n", i, i);
    return bad ? err_set(e, ERR_LIMIT, "%s is too large", f->agent_config)
               : write_whole(f->agent_config, buf_str(&b), e);
}

int files_write_scaler(const struct files *f, const char *agent_addr, const struct pages *pages,
                       struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    int bad = buf_addf(&b,
                       "grpc: {listen: \"127.0.0.1:0\"}\n"
                       "http: {listen: \"127.0.0.1:0\"}\n"
                       "health: {listen: \"127.0.0.1:0\"}\n"
                       "agents: {targets: [\"%s\"]}\n"
                       "workloads: \"%s\"\n"
                       "demand:\n"
                       "  gateway:\n"
                       "    url: \"http://%s/metrics\"\n"
                       "    requestsTotal: 'gateway_requests_total{service=\"demo-llm\"}'\n"
                       "    waiting: 'gateway_requests_held{service=\"demo-llm\"}'\n",
                       agent_addr, f->workloads, pages_gateway_addr(pages));
    return bad ? err_set(e, ERR_LIMIT, "%s is too large", f->scaler_config)
               : write_whole(f->scaler_config, buf_str(&b), e);
}

int files_write_workloads(const struct files *f, const struct service *service,
                          const struct pages *pages, struct err *e) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64 << 10);
    int bad = buf_addf(&b,
                       "workloads:\n"
                       "- namespace: default\n"
                       "  target: deployment/demo-llm\n"
                       "  scaledObjects: [demo-llm]\n"
                       "  replicas: %d\n"
                       "  pods:%s\n",
                       service_replicas(service), service_replicas(service) ? "" : " []");
    int64_t real_ns = clock_real_ns();
    for (int i = 0; i < SERVICE_PODS_MAX; i++) {
        const struct service_pod *p = &service->pods[i];
        if (p->state == SERVICE_POD_NONE)
            continue;
        char since[40];
        clock_format_utc(real_ns - (service->now_ns - p->since_ns), since, sizeof(since));
        bad |= buf_addf(
            &b, "  - {name: demo-llm-%d, state: %s, address: \"%s\", startedAt: \"%s\"}\n", i,
            p->state == SERVICE_POD_READY ? "ready" : "starting", pages_pod_addr(pages, i), since);
    }
    return bad ? err_set(e, ERR_LIMIT, "%s is too large", f->workloads)
               : write_whole(f->workloads, buf_str(&b), e);
}
