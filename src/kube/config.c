// SPDX-License-Identifier: Apache-2.0
/* Where the configuration comes from: the order of kubectl, and the pod's own files. */
#include "kube/config.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct kube_environment kube_environment_read(void) {
    return (struct kube_environment){.service_host = getenv("KUBERNETES_SERVICE_HOST"),
                                     .service_port = getenv("KUBERNETES_SERVICE_PORT"),
                                     .service_account = SERVICE_ACCOUNT,
                                     .kubeconfig = getenv("KUBECONFIG"),
                                     .home = getenv("HOME")};
}

static bool given(const char *s) {
    return s && *s;
}

static int read_file(const char *path, struct buf *b, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "%s: cannot be opened", path);
    int r = 0;
    for (ssize_t n = 1; n > 0 && r == 0;) {
        char *to = buf_reserve(b, 4096);
        if (!to) {
            r = err_set(e, b->err, "%s: larger than %zu bytes", path, b->max);
            break;
        }
        n = read(fd, to, 4096);
        if (n > 0)
            buf_commit(b, (size_t)n);
        else if (n < 0 && errno != EINTR)
            r = err_errno(e, errno, "%s: cannot be read", path);
        else if (n < 0)
            n = 1;
    }
    close(fd);
    return r;
}

static int read_kubeconfig(struct kube_config *ret, const char *path, const char *context,
                           struct err *e) {
    struct buf text;
    buf_init(&text, LIMIT_CONFIG_BYTES + 4096);
    int r = read_file(path, &text, e);
    if (r == 0)
        r = kube_config_parse(ret, buf_str(&text), path, context, e);
    if (text.p)
        explicit_bzero(text.p, text.len);
    buf_done(&text);
    return r;
}

// The namespace that our pod runs in; without the file "default".
static int read_namespace(struct kube_config *c, const char *folder, struct err *e) {
    CLEANUP_BUF struct buf text;
    char path[512];
    buf_init(&text, 8192);
    (void)snprintf(path, sizeof(path), "%s/namespace", folder);
    c->namespace_ = "default";
    if (access(path, F_OK) < 0)
        return 0;
    int r = read_file(path, &text, e);
    if (r < 0)
        return r;
    struct str name = str_trim(buf_str(&text));
    if (name.n == 0 || name.n > 253)
        return err_set(e, ERR_INVALID, "%s: holds no namespace", path);
    c->namespace_ = arena_strdup(&c->arena, name);
    return c->namespace_ ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static int read_cluster(struct kube_config *c, const struct kube_environment *env, struct err *e) {
    const char *folder = env->service_account ? env->service_account : SERVICE_ACCOUNT;
    const char *port = given(env->service_port) ? env->service_port : "443";
    bool v6 = strchr(env->service_host, ':') != NULL;
    *c = (struct kube_config){0};
    arena_init(&c->arena, 64 << 10);
    char *token = arena_printf(&c->arena, "%s/token", folder);
    c->source = arena_printf(&c->arena, "the service account in %s", folder);
    c->server = arena_printf(&c->arena, v6 ? "https://[%s]:%s" : "https://%s:%s", env->service_host,
                             port);
    c->ca.file = arena_printf(&c->arena, "%s/ca.crt", folder);
    c->ca.place = c->ca.file;
    c->token_file = token;
    c->place = c->source;
    int r = token && c->source && c->server && c->ca.file ? read_namespace(c, folder, e)
                                                          : err_set(e, ERR_NOMEM, "out of memory");
    if (r == 0 && access(token, F_OK) < 0)
        r = err_set(e, ERR_NOTFOUND,
                    "%s: is not there, though KUBERNETES_SERVICE_HOST says that this is a pod: set "
                    "automountServiceAccountToken: true, or give --kubeconfig",
                    token);
    if (r < 0)
        kube_config_done(c);
    return r;
}

int kube_config_load(struct kube_config *ret, const struct kube_environment *environment,
                     const char *path, const char *context, struct err *e) {
    char home[4096] = "";
    if (!given(path) && given(environment->kubeconfig)) {
        path = environment->kubeconfig;
        if (strchr(path, ':'))
            return err_set(e, ERR_UNSUPPORTED,
                           "KUBECONFIG names several files: make one of them with `kubectl config "
                           "view --flatten > FILE` and name that");
    }
    if (given(path))
        return read_kubeconfig(ret, path, context, e);
    if (given(environment->service_host))
        return read_cluster(ret, environment, e);
    if (given(environment->home))
        (void)snprintf(home, sizeof(home), "%s/.kube/config", environment->home);
    if (*home && access(home, F_OK) == 0)
        return read_kubeconfig(ret, home, context, e);
    return err_set(e, ERR_NOTFOUND,
                   "no Kubernetes cluster is known: not in a pod (KUBERNETES_SERVICE_HOST is not "
                   "set), KUBECONFIG is not set%s%s%s: give --kubeconfig FILE",
                   *home ? ", and " : "", home, *home ? " is not there" : "");
}

void kube_config_done(struct kube_config *c) {
    if (c->key.data.p)
        explicit_bzero((char *)(uintptr_t)c->key.data.p, c->key.data.n);
    if (c->token)
        explicit_bzero((char *)(uintptr_t)c->token, strlen(c->token));
    arena_done(&c->arena);
    *c = (struct kube_config){0};
}
