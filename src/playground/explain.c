// SPDX-License-Identifier: Apache-2.0
/* A short-lived child whose output is collected; see explain.h. */
#include "playground/explain.h"

#include <signal.h>

#include "base/buf.h"
#include "base/mem.h"

struct explain {
    uv_process_t process;
    uv_pipe_t out;
    struct buf text;
    struct explain **slot; // NULL: it could not be started, nobody is told
    void (*done)(void *ctx, struct str text);
    void *ctx;
    int handles;
    bool gone; // its pid may be somebody else's
    char chunk[2048];
};

static void handle_closed(uv_handle_t *h) {
    struct explain *x = h->data;
    if (--x->handles > 0)
        return;
    if (x->slot) {
        *x->slot = NULL;
        x->done(x->ctx, buf_str(&x->text));
    }
    buf_done(&x->text);
    mem_free(x);
}

static void process_exited(uv_process_t *p, int64_t status, int signal) {
    struct explain *x = p->data;
    (void)status;
    (void)signal;
    x->gone = true;
    uv_close((uv_handle_t *)p, handle_closed);
}

static void out_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret) {
    struct explain *x = h->data;
    (void)suggested;
    *ret = uv_buf_init(x->chunk, sizeof(x->chunk));
}

static void out_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct explain *x = s->data;
    // What does not fit is cut: a reason is some hundred bytes.
    if (n < 0 || buf_add(&x->text, b->base, (size_t)n) < 0)
        uv_close((uv_handle_t *)s, handle_closed);
}

int explain_run(struct explain **slot, uv_loop_t *loop, const char *gpuscale, const char *server,
                const char *object, void (*done)(void *ctx, struct str text), void *ctx,
                struct err *e) {
    struct explain *x = mem_zalloc(sizeof(*x));
    if (!x)
        return err_set(e, ERR_NOMEM, "no memory to explain");
    x->done = done;
    x->ctx = ctx;
    buf_init(&x->text, 16 << 10);
    uv_pipe_init(loop, &x->out, 0);
    x->out.data = x->process.data = x;
    x->handles = 2;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&x->out},
        {.flags = UV_IGNORE},
    };
    const char *argv[] = {gpuscale, "explain", "--server", server, "--last", "1", object, NULL};
    uv_process_options_t o = {.file = gpuscale,
                              .args = (char **)(uintptr_t)argv,
                              .stdio = stdio,
                              .stdio_count = 3,
                              .exit_cb = process_exited};
    int r = uv_spawn(loop, &x->process, &o);
    if (r < 0) {
        uv_close((uv_handle_t *)&x->out, handle_closed);
        uv_close((uv_handle_t *)&x->process, handle_closed);
        return err_set(e, ERR_IO, "cannot run %s explain: %s", gpuscale, uv_strerror(r));
    }
    uv_read_start((uv_stream_t *)&x->out, out_alloc, out_read);
    x->slot = slot;
    *slot = x;
    return 0;
}

void explain_kill(struct explain *x) {
    if (!x->gone)
        uv_process_kill(&x->process, SIGKILL);
}
