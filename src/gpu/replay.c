// SPDX-License-Identifier: Apache-2.0
/* See replay.h. The first call's time is the recording's start. */
#include "gpu/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "gpu/recording.h"

enum replay_end { END_HOLD, END_LOOP, END_STOP };

struct replay {
    struct recording *recording;
    enum replay_end end;
    double speed;
    int64_t start_ns;
    bool started;
    char path[4096];
};

static int parse_option(struct replay *p, struct str key, struct str value, struct err *e) {
    static const char *const ends[] = {"hold", "loop", "stop"};
    if (str_eqc(key, "speed")) {
        if (str_to_double(value, &p->speed) || !(p->speed > 0 && p->speed <= 1000))
            return err_set(e, ERR_INVALID, "speed=\"" STR_FMT "\" is not above 0 and up to 1000",
                           STR_ARG(value));
        return 0;
    }
    for (unsigned i = 0; i < COUNT_OF(ends); i++)
        if (str_eqc(value, ends[i])) {
            p->end = (enum replay_end)i;
            return 0;
        }
    return err_set(e, ERR_INVALID, "end=\"" STR_FMT "\" is not hold, loop or stop", STR_ARG(value));
}

// A path may hold commas: options are known words behind the last ones.
static int parse_args(struct replay *p, struct str args, struct err *e) {
    for (;;) {
        const char *comma = memrchr(args.p, ',', args.n);
        if (!comma)
            break;
        struct str value = {comma + 1, (size_t)(args.p + args.n - comma - 1)};
        struct str key = str_cut(&value, '=');
        if (!str_eqc(key, "end") && !str_eqc(key, "speed"))
            break;
        int r = parse_option(p, key, value, e);
        if (r)
            return r;
        args.n = (size_t)(comma - args.p);
    }
    if (args.n == 0)
        return err_set(e, ERR_INVALID, "there is no file; write replay:FILE");
    if (str_copy(p->path, sizeof p->path, args))
        return err_set(e, ERR_INVALID, "the path is too long");
    return 0;
}

static int read_file(const char *path, struct buf *b, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "cannot open %s", path);
    int r = 0;
    for (;;) {
        char *into = buf_reserve(b, 65536);
        if (!into) {
            r = err_set(e, ERR_LIMIT, "%s does not fit into %d bytes", path, LIMIT_REPLAY_BYTES);
            break;
        }
        ssize_t n = read(fd, into, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = err_errno(e, errno, "cannot read %s", path);
        if (n <= 0)
            break;
        buf_commit(b, (size_t)n);
    }
    close(fd);
    return r;
}

static int replay_open(struct str args, void **ret_state, struct err *e) {
    struct replay *p = mem_zalloc(sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory");
    p->speed = 1;
    struct buf text;
    buf_init(&text, LIMIT_REPLAY_BYTES + 65536);
    int r = parse_args(p, args, e);
    if (!r)
        r = read_file(p->path, &text, e);
    if (!r)
        r = recording_parse(&p->recording, buf_str(&text), p->path, e);
    buf_done(&text);
    if (r) {
        mem_free(p);
        return r;
    }
    *ret_state = p;
    return 0;
}

static void replay_close(void *state) {
    struct replay *p = state;
    recording_free(p->recording);
    mem_free(p);
}

static int position(struct replay *p, int64_t now_ns, int64_t *ret_t_ns, struct err *e) {
    if (!p->started) {
        p->started = true;
        p->start_ns = now_ns;
    }
    int64_t t_ns = (int64_t)((double)(now_ns - p->start_ns) * p->speed);
    if (p->end == END_LOOP)
        t_ns %= p->recording->length_ns;
    else if (p->end == END_STOP && t_ns >= p->recording->length_ns)
        return err_set(e, ERR_CLOSED, "the recording %s has ended", p->path);
    *ret_t_ns = t_ns;
    return 0;
}

static int replay_enumerate(void *state, int64_t now_ns, struct gpu_device *devices, size_t cap,
                            size_t *ret_n, struct err *e) {
    struct replay *p = state;
    int64_t t_ns = 0;
    size_t n = 0;
    int r = position(p, now_ns, &t_ns, e);
    if (r)
        return r;
    for (uint32_t i = 0; i < LIMIT_GPU_ENTITIES_PER_NODE; i++) {
        const struct recording_row *row = recording_at(p->recording, i, t_ns);
        if (!row || row->state == RECORDING_GONE)
            continue;
        if (n == cap)
            return err_set(e, ERR_LIMIT, "%s: more than %zu GPUs", p->path, cap);
        devices[n++] = (struct gpu_device){.slot = i, .info = p->recording->gpus[i].info};
    }
    *ret_n = n;
    return 0;
}

static int replay_sample(void *state, uint32_t slot, int64_t now_ns,
                         struct gpu_reading *ret_reading, enum gpu_sample_result *ret_result,
                         struct err *e) {
    struct replay *p = state;
    int64_t t_ns = 0;
    int r = position(p, now_ns, &t_ns, e);
    if (r)
        return r;
    const struct recording_row *row = slot < LIMIT_GPU_ENTITIES_PER_NODE
                                          ? recording_at(p->recording, slot, t_ns)
                                          : NULL;
    if (row && row->state == RECORDING_ERROR)
        return err_set(e, ERR_UNAVAILABLE, "GPU %u: the driver did not answer (recorded)", slot);
    if (!row || row->state != RECORDING_OK) {
        *ret_result = GPU_SAMPLE_LOST;
        return 0;
    }
    recording_read(p->recording, row, ret_reading);
    *ret_result = GPU_SAMPLE_OK;
    return 0;
}

static void replay_describe(void *state, char *dst, size_t cap) {
    static const char *const ends[] = {"holds", "starts again", "stops"};
    const struct replay *p = state;
    unsigned n = 0;
    for (uint32_t i = 0; i < LIMIT_GPU_ENTITIES_PER_NODE; i++)
        n += p->recording->gpus[i].rows.n > 0;
    snprintf(dst, cap, "%u recorded GPUs, %.0f s, %s at its end", n,
             (double)p->recording->length_ns / 1e9, ends[p->end]);
}

const struct gpu_source_ops gpu_replay = {
    .name = "replay",
    .help = "replay:FILE[,end=hold|loop|stop][,speed=X]  GPUs from a recording (CSV, see --record)",
    .open = replay_open,
    .enumerate = replay_enumerate,
    .sample = replay_sample,
    .close = replay_close,
    .describe = replay_describe,
};
