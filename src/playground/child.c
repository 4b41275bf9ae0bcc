// SPDX-License-Identifier: Apache-2.0
/* Spawned programs of the demo; see child.h. Freed when the process and its pipes have ended. */
#include "playground/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { LINE_MAX_BYTES = 64 << 10 };

struct child_pipe {
    uv_pipe_t pipe;
    struct child *child;
    struct buf line; // an unfinished one
    bool open;
};

struct child {
    uv_process_t process;
    struct child_pipe out, log;
    struct child_callbacks callbacks;
    int log_fd;
    int handles; // open uv handles
    int status, signal;
    bool gone; // its pid may be somebody else's
    char chunk[8192];
};

// The process has ended and everything it said was read.
static void child_release(struct child *c) {
    if (--c->handles > 0)
        return;
    if (c->callbacks.exited)
        c->callbacks.exited(c->callbacks.ctx, c->status, c->signal);
    if (c->log_fd >= 0)
        close(c->log_fd);
    buf_done(&c->out.line);
    buf_done(&c->log.line);
    mem_free(c);
}

static void pipe_closed(uv_handle_t *h) {
    struct child_pipe *p = h->data;
    child_release(p->child);
}

static void process_closed(uv_handle_t *h) {
    child_release(h->data);
}

static void process_exited(uv_process_t *process, int64_t status, int signal) {
    struct child *c = process->data;
    c->status = (int)status;
    c->signal = signal;
    c->gone = true;
    uv_close((uv_handle_t *)process, process_closed);
}

// The value of `key=` in a logfmt line, unquoted values only.
static bool logfmt_field(struct str line, const char *key, char *dst, size_t cap) {
    while (line.n) {
        struct str field = str_cut(&line, ' ');
        struct str name = str_cut(&field, '=');
        if (str_eqc(name, key))
            return str_copy(dst, cap, field) == 0;
    }
    return false;
}

static void log_line(struct child *c, struct str line) {
    char server[32], addr[CHILD_ADDR_LEN];
    char msg[32];
    if (!logfmt_field(line, "msg", msg, sizeof(msg)))
        return;
    if (str_eqc(STR("listening"), msg) && logfmt_field(line, "server", server, sizeof(server)) &&
        logfmt_field(line, "addr", addr, sizeof(addr)))
        c->callbacks.listening(c->callbacks.ctx, server, addr);
    if (str_eqc(STR("ready"), msg) && c->callbacks.ready)
        c->callbacks.ready(c->callbacks.ctx);
}

static void take_line(struct child_pipe *p, struct str line) {
    struct child *c = p->child;
    if (p == &c->log)
        log_line(c, line);
    else
        c->callbacks.line(c->callbacks.ctx, line);
}

static void pipe_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret) {
    struct child_pipe *p = h->data;
    (void)suggested;
    *ret = uv_buf_init(p->child->chunk, sizeof(p->child->chunk));
}

static void pipe_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b) {
    struct child_pipe *p = stream->data;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, pipe_closed);
        return;
    }
    if (p == &p->child->log) {
        // The log is for people: a full disk loses it, not the demo.
        ssize_t written = write(p->child->log_fd, b->base, (size_t)n);
        (void)written;
    }
    if (buf_add(&p->line, b->base, (size_t)n) < 0)
        buf_clear(&p->line);
    struct str rest = buf_str(&p->line);
    while (rest.n && memchr(rest.p, '\n', rest.n))
        take_line(p, str_cut(&rest, '\n'));
    buf_consume(&p->line, p->line.len - rest.n);
}

static void pipe_init(struct child *c, struct child_pipe *p, uv_loop_t *loop) {
    p->child = c;
    p->pipe.data = p;
    buf_init(&p->line, LINE_MAX_BYTES);
    uv_pipe_init(loop, &p->pipe, 0);
    p->pipe.data = p;
    p->open = true;
    c->handles++;
}

// The parent's death sends SIGTERM, from setpriv on and through both exec calls. Who died before
// that is not the shell's parent any more.
#define GUARD "[ \"$PPID\" = \"$0\" ] || exit 1; exec \"$@\""

static int check_args(const char *const *argv, struct err *e) {
    size_t n = 0;
    while (argv[n])
        n++;
    if (n > CHILD_ARGS_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %d arguments", argv[0], CHILD_ARGS_MAX);
    // The shell would say it, but only in the log.
    if (access(argv[0], X_OK) < 0)
        return err_errno(e, errno, "cannot start %s", argv[0]);
    return 0;
}

static int child_start(struct child *c, uv_loop_t *loop, const char *const *argv, struct err *e) {
    char parent[24];
    const char *all[CHILD_ARGS_MAX + 8] = {"setpriv", "--pdeathsig", "TERM", "/bin/sh",
                                           "-c",      GUARD,         parent};
    size_t n = 7;
    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    for (size_t i = 0; argv[i]; i++)
        all[n++] = argv[i];
    const int piped = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = c->out.open ? (uv_stdio_flags)piped : UV_IGNORE,
         .data.stream = (uv_stream_t *)&c->out.pipe},
        {.flags = (uv_stdio_flags)piped, .data.stream = (uv_stream_t *)&c->log.pipe},
    };
    uv_process_options_t o = {.file = all[0],
                              .args = (char **)(uintptr_t)all,
                              .stdio = stdio,
                              .stdio_count = 3,
                              .exit_cb = process_exited};
    int r = uv_spawn(loop, &c->process, &o);
    if (r == UV_ENOENT)
        return err_set(e, ERR_UNSUPPORTED,
                       "cannot start %s: %s is not in $PATH: install it (of util-linux)", argv[0],
                       all[0]);
    if (r < 0)
        return err_set(e, ERR_IO, "cannot start %s: %s", argv[0], uv_strerror(r));
    return 0;
}

int child_spawn(struct child **ret, uv_loop_t *loop, const char *const *argv, const char *log_path,
                const struct child_callbacks *callbacks, struct err *e) {
    int r = check_args(argv, e);
    if (r < 0)
        return r;
    struct child *c = mem_zalloc(sizeof(*c));
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a program");
    c->log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (c->log_fd < 0) {
        r = err_errno(e, errno, "cannot write %s", log_path);
        mem_free(c);
        return r;
    }
    pipe_init(c, &c->log, loop);
    if (callbacks->line)
        pipe_init(c, &c->out, loop);
    c->process.data = c;
    c->handles++; // uv_spawn initializes the process handle even when it fails
    r = child_start(c, loop, argv, e);
    if (r < 0) { // no callbacks: the caller learns it here
        uv_close((uv_handle_t *)&c->log.pipe, pipe_closed);
        if (c->out.open)
            uv_close((uv_handle_t *)&c->out.pipe, pipe_closed);
        uv_close((uv_handle_t *)&c->process, process_closed);
        return r;
    }
    c->callbacks = *callbacks;
    uv_read_start((uv_stream_t *)&c->log.pipe, pipe_alloc, pipe_read);
    if (c->out.open)
        uv_read_start((uv_stream_t *)&c->out.pipe, pipe_alloc, pipe_read);
    *ret = c;
    return 0;
}

int child_pid(const struct child *c) {
    return (int)uv_process_get_pid(&c->process);
}

void child_signal(struct child *c, int signum) {
    if (!c->gone)
        uv_process_kill(&c->process, signum);
}

void child_terminate(struct child *c) {
    child_signal(c, SIGTERM);
}

void child_kill(struct child *c) {
    child_signal(c, SIGKILL);
}
