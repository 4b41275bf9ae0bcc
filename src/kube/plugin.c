// SPDX-License-Identifier: Apache-2.0
/*
 * The plugin's process: two pipes and a deadline. It is done when it has exited and both pipes have
 * ended, or when the deadline has killed it; the object goes when libuv has let go of its handles.
 */
#include "kube/plugin.h"

#include <signal.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kube/resource.h"

extern char **environ;

enum { WORDS_MAX = 200, HANDLES = 4 };

struct kube_plugin {
    const struct kube_exec_config *config;
    void (*done)(void *ctx, struct str output, const struct err *e); // NULL: told, or nobody asks
    void *ctx;
    uv_process_t process;
    uv_pipe_t out, words; // stdout, stderr
    uv_timer_t timer;
    unsigned open_handles, open_pipes;
    bool exited, killed;
    int64_t status;
    int signal;
    struct buf output;
    char said[WORDS_MAX];
    size_t said_n;
    char chunk[4096];
};

static void on_closed(uv_handle_t *h) {
    struct kube_plugin *p = h->data;
    if (--p->open_handles > 0)
        return;
    if (p->output.p)
        explicit_bzero(p->output.p, p->output.len);
    buf_done(&p->output);
    explicit_bzero(p->chunk, sizeof(p->chunk));
    mem_free(p);
}

static void close_handle(uv_handle_t *h) {
    if (h->data && !uv_is_closing(h))
        uv_close(h, on_closed);
}

// The process only once it has exited, or nobody would collect it (on_exit_() closes it then).
static void close_all(struct kube_plugin *p) {
    if (p->exited)
        close_handle((uv_handle_t *)&p->process);
    close_handle((uv_handle_t *)&p->out);
    close_handle((uv_handle_t *)&p->words);
    close_handle((uv_handle_t *)&p->timer);
}

static void tell(struct kube_plugin *p) {
    struct err e = {0};
    char said[WORDS_MAX];
    p->said[p->said_n < WORDS_MAX ? p->said_n : WORDS_MAX - 1] = '\0';
    kube_clean(said, sizeof(said), p->said);
    const char *words = *said ? said : "it said nothing";
    const char *name = p->config->command;
    if (p->killed)
        (void)err_set(&e, ERR_TIMEOUT, "%.200s: not done in %d s: %s", name,
                      LIMIT_KUBE_EXEC_MS / 1000, words);
    else if (p->output.err == ERR_LIMIT)
        (void)err_set(&e, ERR_LIMIT, "%.200s: printed more than %d bytes (LIMIT_KUBE_EXEC_BYTES)",
                      name, LIMIT_KUBE_EXEC_BYTES);
    else if (p->output.err)
        (void)err_set(&e, ERR_NOMEM, "out of memory");
    else if (p->signal)
        (void)err_set(&e, ERR_AUTH, "%.200s: ended by signal %d: %s", name, p->signal, words);
    else if (p->status)
        (void)err_set(&e, ERR_AUTH, "%.200s: exit status %d: %s", name, (int)p->status, words);
    void (*done)(void *, struct str, const struct err *) = p->done;
    p->done = NULL;
    if (done)
        done(p->ctx,
             e.code ? (struct str){0} : (struct str){p->output.p ? p->output.p : "", p->output.len},
             &e);
    close_all(p);
}

static void tell_when_over(struct kube_plugin *p) {
    if (p->exited && p->open_pipes == 0 && p->done)
        tell(p);
}

static void on_exit_(uv_process_t *process, int64_t status, int signal) {
    struct kube_plugin *p = process->data;
    p->exited = true;
    p->status = status;
    p->signal = signal;
    if (p->done)
        tell_when_over(p);
    else
        close_all(p);
}

static void give_chunk(uv_handle_t *h, size_t suggested, uv_buf_t *b) {
    struct kube_plugin *p = h->data;
    *b = uv_buf_init(p->chunk, sizeof(p->chunk));
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct kube_plugin *p = s->data;
    if (n < 0) {
        uv_read_stop(s);
        p->open_pipes--;
        tell_when_over(p);
    } else if ((uv_pipe_t *)s == &p->out) {
        (void)buf_add(&p->output, b->base, (size_t)n); // its first failure stays
    } else {
        for (ssize_t i = 0; i < n && p->said_n < WORDS_MAX - 1; i++)
            p->said[p->said_n++] = b->base[i];
    }
}

static void on_deadline(uv_timer_t *t) {
    struct kube_plugin *p = t->data;
    p->killed = true;
    if (!p->exited)
        uv_process_kill(&p->process, SIGKILL);
    if (p->done)
        tell(p); // a child of the plugin may hold the pipes open
}

// Ours, with the plugin's own variables before them: the first of a name counts.
static char **make_env(const struct kube_exec_config *c, const char *info, struct arena *a) {
    size_t n = 0, ours = 0;
    while (environ[ours])
        ours++;
    char **env = arena_array(a, ours + c->n_env + 2, sizeof(*env));
    if (!env)
        return NULL;
    env[n++] = arena_printf(a, "KUBERNETES_EXEC_INFO=%s", info);
    for (size_t i = 0; i < c->n_env; i++)
        env[n++] = arena_printf(a, "%s=%s", c->env[i].name, c->env[i].value);
    for (size_t i = 0; i < n; i++)
        if (!env[i])
            return NULL;
    size_t set = n;
    for (size_t i = 0; i < ours; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool over = false;
        for (size_t j = 0; j < set; j++)
            over |= strncmp(env[j], environ[i], name) == 0;
        if (!over)
            env[n++] = environ[i];
    }
    return env;
}

static int spawn(struct kube_plugin *p, uv_loop_t *loop, const char *info) {
    struct arena a;
    arena_init(&a, 4 << 20);
    char **env = make_env(p->config, info, &a);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->words}};
    uv_process_options_t o = {.file = p->config->command,
                              .args = (char **)(uintptr_t)p->config->args,
                              .env = env,
                              .exit_cb = on_exit_,
                              .stdio = stdio,
                              .stdio_count = 3};
    int r = UV_ENOMEM;
    if (env) {
        p->process.data = p;
        p->open_handles++;
        r = uv_spawn(loop, &p->process, &o);
        p->exited = r < 0; // there is none
    }
    arena_done(&a);
    return r;
}

int kube_plugin_start(struct kube_plugin **ret, uv_loop_t *loop,
                      const struct kube_exec_config *config, const char *info,
                      void (*done)(void *ctx, struct str output, const struct err *e), void *ctx,
                      struct err *e) {
    struct kube_plugin *p = mem_zalloc(sizeof(*p));
    if (!p)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->config = config;
    p->ctx = ctx;
    buf_init(&p->output, LIMIT_KUBE_EXEC_BYTES);
    uv_pipe_init(loop, &p->out, 0);
    uv_pipe_init(loop, &p->words, 0);
    uv_timer_init(loop, &p->timer);
    p->out.data = p->words.data = p->timer.data = p;
    p->open_handles = HANDLES - 1;
    int r = spawn(p, loop, info);
    if (r < 0) {
        close_all(p);
        const char *hint = config->install_hint;
        return r == UV_ENOENT ? err_set(e, ERR_NOTFOUND, "%.200s: there is no such program%s%.200s",
                                        config->command, *hint ? ": " : "", hint)
                              : err_errno(e, -r, "%.200s: does not start", config->command);
    }
    p->done = done;
    p->open_pipes = 2;
    uv_read_start((uv_stream_t *)&p->out, give_chunk, on_bytes);
    uv_read_start((uv_stream_t *)&p->words, give_chunk, on_bytes);
    uv_timer_start(&p->timer, on_deadline, LIMIT_KUBE_EXEC_MS, 0);
    *ret = p;
    return 0;
}

struct kube_plugin *kube_plugin_free(struct kube_plugin *p) {
    if (p && p->done) {
        p->done = NULL;
        if (!p->exited)
            uv_process_kill(&p->process, SIGKILL);
        close_all(p);
    }
    return NULL;
}
