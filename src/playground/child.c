// SPDX-License-Identifier: Apache-2.0
/* Spawned programs of the demo; see child.h. Freed when both the process and its log have ended. */
#include "playground/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

struct child {
    uv_process_t process;
    uv_pipe_t log;
    struct child_callbacks callbacks;
    struct buf line;
    int log_fd;
    int handles; // open uv handles
    char chunk[4096];
};

static void child_release(struct child *c) {
    if (--c->handles > 0)
        return;
    if (c->log_fd >= 0)
        close(c->log_fd);
    buf_done(&c->line);
    mem_free(c);
}

static void log_closed(uv_handle_t *h) {
    child_release(h->data);
}

static void process_closed(uv_handle_t *h) {
    child_release(h->data);
}

static void process_exited(uv_process_t *process, int64_t status, int signal) {
    struct child *c = process->data;
    c->callbacks.exited(c->callbacks.ctx, (int)status, signal);
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
    if (logfmt_field(line, "msg", msg, sizeof(msg)) && str_eqc(STR("listening"), msg) &&
        logfmt_field(line, "server", server, sizeof(server)) &&
        logfmt_field(line, "addr", addr, sizeof(addr)))
        c->callbacks.listening(c->callbacks.ctx, server, addr);
}

static void log_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret) {
    struct child *c = h->data;
    (void)suggested;
    *ret = uv_buf_init(c->chunk, sizeof(c->chunk));
}

static void log_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b) {
    struct child *c = stream->data;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, log_closed);
        return;
    }
    // The log is for people: a full disk loses it, not the demo.
    ssize_t written = write(c->log_fd, b->base, (size_t)n);
    (void)written;
    if (buf_add(&c->line, b->base, (size_t)n) < 0)
        buf_clear(&c->line);
    struct str rest = buf_str(&c->line);
    const char *newline;
    while (rest.n && (newline = memchr(rest.p, '\n', rest.n)))
        log_line(c, str_cut(&rest, '\n'));
    buf_consume(&c->line, c->line.len - rest.n);
}

// The parent's death sends SIGTERM, from setpriv on and through both exec calls. Who died before
// that is not the shell's parent any more.
#define GUARD "[ \"$PPID\" = \"$0\" ] || exit 1; exec \"$@\""

static int child_start(struct child *c, uv_loop_t *loop, const char *const *argv, struct err *e) {
    char parent[24];
    const char *all[CHILD_ARGS_MAX + 8] = {
        "/usr/bin/setpriv", "--pdeathsig", "TERM", "/bin/sh", "-c", GUARD, parent};
    size_t n = 7;
    (void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
    for (size_t i = 0; argv[i]; i++) {
        if (i == CHILD_ARGS_MAX)
            return err_set(e, ERR_LIMIT, "%s: more than %d arguments", argv[0], CHILD_ARGS_MAX);
        all[n++] = argv[i];
    }
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->log},
    };
    uv_process_options_t o = {.file = all[0],
                              .args = (char **)(uintptr_t)all,
                              .stdio = stdio,
                              .stdio_count = 3,
                              .exit_cb = process_exited};
    int r = uv_spawn(loop, &c->process, &o);
    if (r < 0)
        return err_set(e, ERR_IO, "cannot start %s: %s", argv[0], uv_strerror(r));
    return 0;
}

int child_spawn(struct child **ret, uv_loop_t *loop, const char *const *argv, const char *log_path,
                const struct child_callbacks *callbacks, struct err *e) {
    struct child *c = mem_zalloc(sizeof(*c));
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a program");
    c->callbacks = *callbacks;
    buf_init(&c->line, 64 << 10);
    c->log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (c->log_fd < 0) {
        int r = err_errno(e, errno, "cannot write %s", log_path);
        mem_free(c);
        return r;
    }
    uv_pipe_init(loop, &c->log, 0);
    c->log.data = c->process.data = c;
    c->handles = 2; // uv_spawn initializes the process handle even when it fails
    int r = child_start(c, loop, argv, e);
    if (r < 0) {
        uv_close((uv_handle_t *)&c->log, log_closed);
        uv_close((uv_handle_t *)&c->process, process_closed);
        return r;
    }
    uv_read_start((uv_stream_t *)&c->log, log_alloc, log_read);
    *ret = c;
    return 0;
}

void child_terminate(struct child *c) {
    uv_process_kill(&c->process, SIGTERM);
}

void child_kill(struct child *c) {
    uv_process_kill(&c->process, SIGKILL);
}
