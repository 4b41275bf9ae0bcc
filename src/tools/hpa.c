// SPDX-License-Identifier: Apache-2.0
/* Reads files, feeds them to the cutter, and prints an answer for each case; see the header. */
#include "tools/hpa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "tools/hpa_feed.h"
#include "tools/hpa_run.h"

struct verb {
    bool json;
    struct buf out;
    struct arena *a; // of the value at hand
    unsigned long answers, invalid;
    int r;
    struct err *e;
};

static void invalid(struct verb *v, const struct err *e) {
    v->invalid++;
    if (v->json)
        hpa_json_write_error(&v->out, e);
    (void)fprintf(stderr, "gpuscale hpa: %s\n", e->msg);
}

static void answer(struct verb *v, struct hpa_case *c) {
    struct err e = {0};
    struct hpa_answer *a = arena_zalloc(v->a, sizeof(*a));
    int r = a ? hpa_run(c, v->a, a, &e) : err_set(&e, ERR_NOMEM, "%s: out of memory", c->file);
    if (r < 0) {
        invalid(v, &e);
        return;
    }
    if (v->json) {
        hpa_json_write(&v->out, a);
    } else {
        if (v->answers > 0)
            (void)buf_add_byte(&v->out, '\n');
        hpa_tell(&v->out, a);
    }
    v->answers++;
}

static void on_case(void *ctx, struct hpa_case *c, const struct err *e) {
    struct verb *v = ctx;
    if (c)
        answer(v, c);
    else
        invalid(v, e);
}

static void write_out(struct verb *v) {
    if (v->r == 0 && v->out.err < 0)
        v->r = err_set(v->e, v->out.err, "an answer is too large (LIMIT_ANSWER_BYTES)");
    if (v->r == 0 && v->out.len > 0 &&
        (fwrite(v->out.p, 1, v->out.len, stdout) != v->out.len || fflush(stdout) != 0))
        v->r = err_errno(v->e, errno, "standard output");
    buf_clear(&v->out);
}

struct file {
    struct verb *v;
    struct hpa_feed feed;
};

static void on_value(void *ctx, const struct conf_node *root, struct arena *a,
                     const struct err *e) {
    struct file *f = ctx;
    if (!root) {
        invalid(f->v, e);
        return;
    }
    f->v->a = a;
    const struct hpa_case_source s = {
        .file = f->feed.file, .now_ns = clock_real_ns(), .a = a, .ctx = f->v, .on_case = on_case};
    hpa_case_read(&s, root);
    if (f->v->out.len > LIMIT_CASE_BYTES)
        write_out(f->v);
}

static int read_fd(struct verb *v, int fd, const char *name, enum hpa_feed_format format) {
    static char chunk[64 << 10];
    struct file f = {.v = v,
                     .feed = {.file = name, .format = format, .ctx = &f, .on_value = on_value}};
    hpa_feed_init(&f.feed);
    unsigned long before = v->answers + v->invalid;
    while (v->r == 0 && !f.feed.stopped) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            v->r = err_errno(v->e, errno, "%s", name);
        if (n <= 0)
            break;
        hpa_feed_bytes(&f.feed, (struct str){chunk, (size_t)n});
        write_out(v);
    }
    hpa_feed_end(&f.feed);
    hpa_feed_done(&f.feed);
    if (v->r == 0 && v->answers + v->invalid == before) {
        struct err e = {0};
        (void)err_set(&e, ERR_PARSE, "%s: there is no case in it", name);
        invalid(v, &e);
    }
    write_out(v);
    return v->r;
}

static enum hpa_feed_format format_of(const char *name) {
    static const struct {
        const char *end;
        enum hpa_feed_format format;
    } ends[] = {{".json", HPA_FEED_JSON},
                {".jsonl", HPA_FEED_JSON},
                {".ndjson", HPA_FEED_JSON},
                {".yaml", HPA_FEED_YAML},
                {".yml", HPA_FEED_YAML}};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (str_ends(str_from(name), ends[i].end))
            return ends[i].format;
    return HPA_FEED_SNIFF;
}

static int read_file(struct verb *v, const char *path) {
    if (strcmp(path, "-") == 0)
        return read_fd(v, STDIN_FILENO, "stdin", HPA_FEED_SNIFF);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return v->r = err_errno(v->e, errno, "%s", path);
    int r = read_fd(v, fd, path, format_of(path));
    (void)close(fd);
    return r;
}

int hpa_main(const struct hpa_options *o, unsigned long *ret_invalid, struct err *e) {
    struct verb v = {.json = o->json, .e = e};
    buf_init(&v.out, (size_t)LIMIT_ANSWER_BYTES + LIMIT_CASE_BYTES);
    if (o->n == 0)
        (void)read_file(&v, "-");
    for (int i = 0; i < o->n && v.r == 0; i++)
        (void)read_file(&v, o->files[i]);
    buf_done(&v.out);
    *ret_invalid = v.invalid;
    return v.r;
}
