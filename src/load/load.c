// SPDX-License-Identifier: Apache-2.0
/* Where lines, tables and files go. */
#include "load/load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "load/result.h"
#include "load/run.h"

struct output {
    enum load_progress how;
    bool redraw; // on a terminal
    struct buf text;
};

// All of it, or as much as whoever reads takes.
static void put(int fd, const struct buf *b) {
    for (size_t at = 0; at < b->len;) {
        ssize_t n = write(fd, b->p + at, b->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

// A reader that does not read must not stop the schedule: lines that would wait are left out.
static bool would_wait(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 0;
}

// As much of the line as one row of the terminal holds: a longer one could not be redrawn.
static void cut_to_terminal(struct buf *line) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 &&
        line->len > size.ws_col - 1u)
        buf_truncate(line, size.ws_col - 1u);
}

static void on_tick(void *ctx, const struct load_state *s, bool final) {
    struct output *o = ctx;
    buf_clear(&o->text);
    if (!final && would_wait(o->how == LOAD_PROGRESS_JSON ? STDOUT_FILENO : STDERR_FILENO))
        return;
    if (o->how == LOAD_PROGRESS_JSON) {
        load_write_progress(&o->text, s, final);
        put(STDOUT_FILENO, &o->text);
    } else if (o->how == LOAD_PROGRESS_LINE && final) {
        if (o->redraw)
            (void)buf_addc(&o->text, "\r\x1b[K");
        put(STDERR_FILENO, &o->text);
    } else if (o->how == LOAD_PROGRESS_LINE) {
        load_write_line(&o->text, s);
        if (o->redraw)
            cut_to_terminal(&o->text);
        struct buf line;
        buf_init(&line, LIMIT_LOAD_RESULT_BYTES);
        (void)buf_addf(&line, o->redraw ? "\r" STR_FMT "\x1b[K" : STR_FMT "\n",
                       STR_ARG(buf_str(&o->text)));
        put(STDERR_FILENO, &line);
        buf_done(&line);
    }
}

static int write_file(const char *flag, const char *path, const struct buf *b, struct err *e) {
    if (b->err)
        return err_set(e, b->err, "--%s %s: no room for the result", flag, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_errno(e, errno, "--%s %s", flag, path);
    int errnum = 0;
    for (size_t at = 0; at < b->len && errnum == 0;) {
        ssize_t n = write(fd, b->p + at, b->len - at);
        if (n < 0 && errno != EINTR)
            errnum = errno;
        else if (n > 0)
            at += (size_t)n;
    }
    if (close(fd) < 0 && errnum == 0)
        errnum = errno;
    return errnum ? err_errno(e, errnum, "--%s %s", flag, path) : 0;
}

// A file that cannot be written is told before the load runs, not after it.
static int check_writable(const char *flag, const char *path, struct err *e) {
    if (!path)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_errno(e, errno, "--%s %s", flag, path);
    close(fd);
    return 0;
}

static int write_results(const struct load_flags *f, const struct load_state *s, bool table,
                         struct err *e) {
    CLEANUP_BUF struct buf b;
    int r = 0;
    buf_init(&b, LIMIT_LOAD_RESULT_BYTES);
    if (table) {
        load_write_table(&b, s);
        put(STDOUT_FILENO, &b);
    }
    if (f->json) {
        buf_clear(&b);
        load_write_json(&b, s);
        r = write_file("json", f->json, &b, e);
    }
    if (f->html && r == 0) {
        buf_clear(&b);
        b.err = load_write_html(&b, s);
        r = write_file("html", f->html, &b, e);
    }
    return r;
}

static int run(const struct load_flags *f, const struct load_options *o, struct load_target *t,
               struct err *e) {
    struct output out = {.how = f->progress, .redraw = isatty(STDERR_FILENO)};
    struct load_run_hooks hooks = {.tick = on_tick, .ctx = &out};
    struct load_state state;
    if (out.how == LOAD_PROGRESS_AUTO)
        out.how = out.redraw ? LOAD_PROGRESS_LINE : LOAD_PROGRESS_NONE;
    buf_init(&out.text, LIMIT_LOAD_RESULT_BYTES);
    int r = load_run(&state, o, t, &hooks, e);
    buf_done(&out.text);
    if (r < 0)
        return r;
    r = write_results(f, &state, out.how != LOAD_PROGRESS_JSON, e);
    load_state_done(&state);
    return r;
}

int load_main(const struct load_flags *flags, struct err *e) {
    struct load_target target;
    struct load_options options;
    int r = load_target_parse(&target, flags->target, e);
    r = r < 0 ? r : check_writable("json", flags->json, e);
    r = r < 0 ? r : check_writable("html", flags->html, e);
    r = r < 0 ? r : load_options_read(&options, flags, e);
    if (r < 0)
        return r;
    if (options.openai && !target.has_path)
        (void)str_copy(target.path, sizeof(target.path), STR("/v1/completions"));
    r = run(flags, &options, &target, e);
    load_options_done(&options);
    return r;
}
