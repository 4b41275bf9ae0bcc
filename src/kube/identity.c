// SPDX-License-Identifier: Apache-2.0
/*
 * Trust and identity. What stands in the kubeconfig itself, or came from a plugin, goes through a
 * file in memory: everything below takes files, and checks them alike.
 */
#include "kube/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kube/credential.h"
#include "kube/plugin.h"

#define LOOK_EVERY_NS NS_PER_S           // at files
#define EXPIRY_MARGIN_NS (10 * NS_PER_S) // a request takes its time, clocks differ

struct memory_file {
    int fd; // -1: none
    char path[40];
};
enum { FILE_CA, FILE_CERT, FILE_KEY, FILES };

struct kube_identity {
    uv_loop_t *loop;
    const struct kube_config *config;
    void (*changed)(void *ctx, const struct err *e);
    void *ctx;
    struct memory_file memory[FILES];
    struct fetch_tls *tls;
    struct fetch_auth *auth;
    struct kube_plugin *plugin; // runs
    bool has_credential;        // of a plugin
    int64_t expires_ns;
    int64_t looked_ns;
    struct err trouble;
};

static int memory_file_open(struct memory_file *f, struct str bytes, struct err *e) {
    f->fd = memfd_create("kube", MFD_CLOEXEC);
    if (f->fd < 0)
        return err_errno(e, errno, "no file in memory");
    if (write(f->fd, bytes.p, bytes.n) != (ssize_t)bytes.n)
        return err_errno(e, errno, "a file in memory");
    (void)snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
    return 0;
}

static void memory_files_close(struct memory_file files[FILES]) {
    for (int i = 0; i < FILES; i++) {
        if (files[i].fd >= 0)
            close(files[i].fd);
        files[i].fd = -1;
    }
}

// Trust and certificate out of three PEMs.
static int make_tls(struct kube_identity *id, const struct kube_pem *pems[FILES], struct err *e) {
    struct memory_file memory[FILES] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
    const char *paths[FILES];
    struct fetch_tls *tls = NULL;
    int r = 0;
    for (int i = 0; i < FILES && r == 0; i++) {
        paths[i] = pems[i]->file;
        if (pems[i]->data.p) {
            r = memory_file_open(&memory[i], pems[i]->data, e);
            paths[i] = memory[i].path;
        }
    }
    struct err why = {0};
    const struct net_tls_files files = {
        .ca = paths[FILE_CA], .cert = paths[FILE_CERT], .key = paths[FILE_KEY]};
    if (r == 0 && (r = fetch_tls_new(&tls, &files, id->config->server_name, &why)) < 0) {
        for (int i = 0; i < FILES; i++)
            if (paths[i] && strstr(why.msg, paths[i]))
                err_wrap(&why, "%s", pems[i]->place);
        if (e)
            *e = why;
    }
    if (r < 0) {
        memory_files_close(memory);
        return r;
    }
    fetch_tls_free(id->tls);
    memory_files_close(id->memory);
    memcpy(id->memory, memory, sizeof(memory));
    id->tls = tls;
    return 0;
}

static int make_auth(struct kube_identity *id, struct err *e) {
    const struct kube_config *c = id->config;
    int r = 0;
    if (c->token_file)
        r = fetch_auth_new(&id->auth, &(struct fetch_auth_files){.bearer_file = c->token_file}, e);
    else if (c->token)
        r = fetch_auth_new_token(&id->auth, str_from(c->token), "'token'", e);
    return r < 0 && e ? err_wrap(e, "%s", c->place) : r;
}

static bool is_https(const struct kube_identity *id) {
    return str_starts(str_from(id->config->server), "https:");
}

int kube_identity_new(struct kube_identity **ret, uv_loop_t *loop, const struct kube_config *config,
                      void (*changed)(void *ctx, const struct err *e), void *ctx, struct err *e) {
    struct kube_identity *id = mem_zalloc(sizeof(*id));
    if (!id)
        return err_set(e, ERR_NOMEM, "out of memory");
    *id = (struct kube_identity){
        .loop = loop, .config = config, .changed = changed, .ctx = ctx, .looked_ns = INT64_MIN};
    for (int i = 0; i < FILES; i++)
        id->memory[i].fd = -1;
    const struct kube_pem *pems[FILES] = {&config->ca, &config->cert, &config->key};
    int r = is_https(id) ? make_tls(id, pems, e) : 0;
    r = r ? r : make_auth(id, e);
    if (r < 0)
        kube_identity_free(id);
    else
        *ret = id;
    return r;
}

struct kube_identity *kube_identity_free(struct kube_identity *id) {
    if (id) {
        kube_plugin_free(id->plugin);
        fetch_tls_free(id->tls);
        fetch_auth_free(id->auth);
        memory_files_close(id->memory);
        mem_free(id);
    }
    return NULL;
}

static void look_at_files(struct kube_identity *id, int64_t mono_ns) {
    if (!id->tls || (id->looked_ns != INT64_MIN && mono_ns - id->looked_ns < LOOK_EVERY_NS))
        return;
    struct err e = {0};
    id->looked_ns = mono_ns;
    if (fetch_tls_reload_if_changed(id->tls, &e) < 0)
        id->trouble = e;
    else
        id->trouble = (struct err){0};
}

static int take_credential(struct kube_identity *id, const struct kube_credential *c,
                           struct err *e) {
    struct kube_pem cert = {.data = c->cert, .place = "the plugin's certificate"};
    struct kube_pem key = {.data = c->key, .place = "the plugin's key"};
    const struct kube_pem *pems[FILES] = {&id->config->ca, &cert, &key};
    struct fetch_auth *auth = NULL;
    int r = 0;
    if (c->token)
        r = fetch_auth_new_token(&auth, str_from(c->token), "the plugin's token", e);
    if (r == 0 && c->cert.p && is_https(id))
        r = make_tls(id, pems, e);
    if (r < 0) {
        fetch_auth_free(auth);
        return r;
    }
    fetch_auth_free(id->auth);
    id->auth = auth;
    id->expires_ns = c->expires_ns;
    id->has_credential = true;
    return 0;
}

static void on_plugin(void *ctx, struct str output, const struct err *failed) {
    struct kube_identity *id = ctx;
    const struct kube_exec_config *x = id->config->exec;
    struct kube_credential c;
    struct err e = *failed;
    id->plugin = NULL;
    if (output.p) {
        if (kube_credential_parse(&c, output, x->api_version, &e) == 0) {
            (void)take_credential(id, &c, &e);
            kube_credential_done(&c);
        }
        if (e.code)
            err_wrap(&e, "%.200s", x->command);
    }
    if (e.code)
        err_wrap(&e, "credential plugin");
    id->changed(id->ctx, &e);
}

static int read_ca(const struct kube_identity *id, struct buf *b) {
    const char *path = id->config->ca.data.p ? NULL : id->config->ca.file;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (id->config->ca.data.p)
        return buf_add_str(b, id->config->ca.data);
    for (ssize_t n = 1; fd >= 0 && n > 0;) {
        char *to = buf_reserve(b, 4096);
        n = to ? read(fd, to, 4096) : 0;
        if (n > 0)
            buf_commit(b, (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    return b->err;
}

static int run_plugin(struct kube_identity *id, struct err *e) {
    CLEANUP_BUF struct buf info, ca;
    buf_init(&info, LIMIT_TLS_FILE_BYTES * 2);
    buf_init(&ca, LIMIT_TLS_FILE_BYTES);
    int r = id->config->exec->provide_cluster_info ? read_ca(id, &ca) : 0;
    r = r ? r : kube_credential_info(&info, id->config, buf_str(&ca));
    r = r ? r : buf_add_byte(&info, '\0');
    if (r < 0)
        return err_set(e, r, "the plugin's input does not fit");
    r = kube_plugin_start(&id->plugin, id->loop, id->config->exec, info.p, on_plugin, id, e);
    return r < 0 && e ? err_wrap(e, "credential plugin") : r;
}

int kube_identity_ask(struct kube_identity *id, int64_t mono_ns, int64_t real_ns, struct err *e) {
    look_at_files(id, mono_ns);
    if (!id->config->exec)
        return 0;
    if (id->plugin)
        return ERR_AGAIN;
    if (id->has_credential &&
        (id->expires_ns == INT64_MAX || real_ns < id->expires_ns - EXPIRY_MARGIN_NS))
        return 0;
    int r = run_plugin(id, e);
    return r < 0 ? r : ERR_AGAIN;
}

bool kube_identity_refused(struct kube_identity *id) {
    id->has_credential = false;
    return id->config->exec || id->config->token_file;
}

struct fetch_tls *kube_identity_tls(const struct kube_identity *id) {
    return id->tls;
}

const struct fetch_auth *kube_identity_auth(const struct kube_identity *id) {
    return id->auth;
}

const struct err *kube_identity_trouble(const struct kube_identity *id) {
    return &id->trouble;
}
