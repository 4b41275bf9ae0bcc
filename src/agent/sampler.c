// SPDX-License-Identifier: Apache-2.0
/* See sampler.h. Rounds begin at whole intervals; one that takes longer delays the next. */
#include "agent/sampler.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/recorder.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

enum { QUEUE_ROUNDS = 64 };
static const int64_t enumerate_every_ns = 10 * NS_PER_S;

struct agent_sampler {
    // Set before the thread starts, then read by both.
    struct queue *rounds;
    int stop_fd, ended_fd; // eventfds: the thread shall end; it is about to
    char *source_spec, *record_path;
    int64_t interval_ns, enumerate_ns;
    pthread_t thread;
    // Of the sampler thread.
    struct gpu_source source;
    struct gpu_device *devices; // LIMIT_GPU_ENTITIES_PER_NODE
    uint32_t n_devices;
    int64_t enumerated_ns;
    bool enumerate_now;
    uint64_t lost[LIMIT_GPU_ENTITIES_PER_NODE / 64]; // slots that were lost in the last round
    struct agent_recorder recorder;
    struct agent_shares *shares; // NULL: not read
};

static void raise_flag(int fd) {
    uint64_t one = 1;
    // An eventfd that cannot take one more is readable already.
    (void)!write(fd, &one, sizeof one);
}

// Waits until `until_ns`; true: the thread shall end.
static bool rest(struct agent_sampler *s, int64_t until_ns) {
    for (;;) {
        int64_t left_ns = until_ns - clock_mono_ns();
        if (left_ns < 0)
            left_ns = 0;
        struct timespec ts = {.tv_sec = left_ns / NS_PER_S, .tv_nsec = left_ns % NS_PER_S};
        struct pollfd p = {.fd = s->stop_fd, .events = POLLIN};
        int n = ppoll(&p, 1, &ts, NULL);
        if (n > 0)
            return true;
        if (n == 0)
            return false;
    }
}

// A full queue means that the I/O thread stands still: this round is lost, the next one tells all
// that it would have.
static void give(struct agent_sampler *s, struct agent_round *r) {
    if (!queue_push(s->rounds, r)) {
        s->enumerate_now = s->enumerate_now || r->enumerated;
        agent_round_free(r);
    }
}

// The last word must not be lost: waits for room.
static void give_last(struct agent_sampler *s, struct agent_round *r) {
    while (!queue_push(s->rounds, r))
        if (rest(s, clock_mono_ns() + 100 * NS_PER_MS)) {
            agent_round_free(r);
            return;
        }
}

static void fail_for_good(struct agent_sampler *s, const struct err *why) {
    struct agent_round *r = agent_round_new(AGENT_ROUND_FAILED, 0);
    while (!r && !rest(s, clock_mono_ns() + 100 * NS_PER_MS))
        r = agent_round_new(AGENT_ROUND_FAILED, 0);
    if (r) {
        r->failure = *why;
        give_last(s, r);
    }
}

static int enumerate(struct agent_sampler *s, int64_t now_ns, bool *ret_done, struct err *e) {
    *ret_done = false;
    if (!s->enumerate_now && now_ns - s->enumerated_ns < s->enumerate_ns)
        return 0;
    size_t n;
    int r = s->source.ops->enumerate(s->source.state, now_ns, s->devices,
                                     LIMIT_GPU_ENTITIES_PER_NODE, &n, e);
    if (r)
        return r;
    s->n_devices = (uint32_t)n;
    s->enumerated_ns = now_ns;
    s->enumerate_now = false;
    *ret_done = true;
    return 0;
}

// A GPU that falls off the bus may have taken others with it, or come back as another one: look at
// once, but only once.
static void note_lost(struct agent_sampler *s, uint32_t slot, bool lost) {
    uint64_t *word = &s->lost[slot / 64], bit = UINT64_C(1) << (slot % 64);
    if (lost && !(*word & bit))
        s->enumerate_now = true;
    *word = lost ? *word | bit : *word & ~bit;
}

static void read_shares(struct agent_sampler *s, struct agent_round *round,
                        struct agent_sample *sample) {
    if (!s->shares || sample->state != AGENT_SAMPLE_OK)
        return;
    sample->shares_at = (uint32_t)round->shares.n;
    sample->shares_known = agent_shares_read(s->shares, &s->source, sample->slot, clock_mono_ns(),
                                             &round->shares);
    sample->n_shares = (uint32_t)round->shares.n - sample->shares_at;
}

// ERR_CLOSED: the source failed for good.
static int sample_all(struct agent_sampler *s, struct agent_round *round) {
    for (uint32_t i = 0; i < s->n_devices; i++) {
        struct agent_sample *sample = &round->samples[i];
        enum gpu_sample_result result = GPU_SAMPLE_OK;
        struct err e = {0};
        sample->slot = s->devices[i].slot;
        int r = s->source.ops->sample(s->source.state, sample->slot, clock_mono_ns(),
                                      &sample->reading, &result, &e);
        sample->at_ns = clock_mono_ns();
        sample->state = r                           ? AGENT_SAMPLE_FAILED
                        : result == GPU_SAMPLE_LOST ? AGENT_SAMPLE_LOST
                                                    : AGENT_SAMPLE_OK;
        read_shares(s, round, sample);
        note_lost(s, sample->slot, sample->state == AGENT_SAMPLE_LOST);
        if (r) {
            round->failed_calls++;
            if (!round->failure.code || r == ERR_CLOSED)
                round->failure = e;
        }
        if (r == ERR_CLOSED)
            return ERR_CLOSED;
    }
    round->n_samples = s->n_devices;
    return 0;
}

// A full disk ends the recording, not the agent.
static void record(struct agent_sampler *s, struct agent_round *round) {
    struct err e = {0};
    if (agent_recorder_round(&s->recorder, round, s->devices, s->n_devices, &e)) {
        agent_recorder_close(&s->recorder);
        memcpy(round->text, e.msg, sizeof round->text);
    }
}

// One round: 0, ERR_NOMEM (it is left out) or ERR_CLOSED (the end, told).
static int round_run(struct agent_sampler *s) {
    int64_t now_ns = clock_mono_ns();
    struct err e = {0};
    bool enumerated;
    int r = enumerate(s, now_ns, &enumerated, &e);
    if (r == ERR_CLOSED) {
        fail_for_good(s, &e);
        return r;
    }
    struct agent_round *round = agent_round_new(AGENT_ROUND_SAMPLED, s->n_devices);
    if (!round) {
        s->enumerate_now = s->enumerate_now || enumerated;
        return ERR_NOMEM;
    }
    round->begun_ns = now_ns;
    if (r) {
        round->failed_calls++;
        round->failure = e;
    }
    round->enumerated = enumerated;
    if (enumerated && s->n_devices > 0) {
        memcpy(round->devices, s->devices, s->n_devices * sizeof *s->devices);
        round->n_devices = s->n_devices;
    }
    r = sample_all(s, round);
    round->ended_ns = clock_mono_ns();
    if (r) {
        e = round->failure;
        agent_round_free(round);
        fail_for_good(s, &e);
        return r;
    }
    record(s, round);
    give(s, round);
    return 0;
}

static int open_source(struct agent_sampler *s) {
    struct err e = {0};
    int r = gpu_source_open(str_from(s->source_spec), &s->source, &e);
    if (!r)
        r = agent_recorder_open(&s->recorder, s->record_path, &e);
    struct agent_round *opened = r ? NULL : agent_round_new(AGENT_ROUND_OPENED, 0);
    if (!r && !opened)
        r = err_set(&e, ERR_NOMEM, "no memory for the GPU source");
    if (r) {
        fail_for_good(s, &e);
        return r;
    }
    s->source.ops->describe(s->source.state, opened->text, sizeof opened->text);
    give(s, opened);
    return 0;
}

static void *sampler_main(void *arg) {
    struct agent_sampler *s = arg;
    pthread_setname_np(pthread_self(), "sampler");
    if (open_source(s) == 0) {
        s->enumerate_now = true;
        int64_t due_ns = clock_mono_ns();
        while (round_run(s) != ERR_CLOSED) {
            int64_t now_ns = clock_mono_ns();
            due_ns += s->interval_ns;
            if (due_ns < now_ns)
                due_ns = now_ns; // late: no round is made up for
            if (rest(s, due_ns))
                break;
        }
    }
    gpu_source_close(&s->source);
    agent_recorder_close(&s->recorder);
    raise_flag(s->ended_fd);
    return NULL;
}

static void sampler_free(struct agent_sampler *s) {
    if (s->rounds) {
        for (void *r; (r = queue_pop(s->rounds));)
            agent_round_free(r);
        queue_free(s->rounds);
    }
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    if (s->ended_fd >= 0)
        close(s->ended_fd);
    mem_free(s->devices);
    mem_free(s->source_spec);
    mem_free(s->record_path);
    agent_shares_free(s->shares);
    mem_free(s);
}

// Signals are for the I/O thread.
static int start_thread(struct agent_sampler *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    // A driver's library runs on it, whose needs nobody states; what is not touched costs nothing.
    pthread_attr_setstacksize(&attr, 4 << 20);
    int r = pthread_create(&s->thread, &attr, sampler_main, s);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int agent_sampler_start(struct agent_sampler **ret, const struct agent_sampler_options *options,
                        struct err *e) {
    struct agent_sampler *s = mem_zalloc(sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for the sampler");
    s->recorder.fd = -1;
    s->interval_ns = options->interval_ns;
    s->enumerate_ns = options->enumerate_ns > 0 ? options->enumerate_ns : enumerate_every_ns;
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->source_spec = mem_strdup(options->source);
    s->record_path = options->record ? mem_strdup(options->record) : NULL;
    s->devices = mem_array(LIMIT_GPU_ENTITIES_PER_NODE, sizeof *s->devices);
    int r = s->stop_fd < 0 || s->ended_fd < 0 ? err_errno(e, errno, "eventfd")
                                              : queue_new(&s->rounds, QUEUE_ROUNDS, e);
    if (!r && (!s->source_spec || !s->devices || (options->record && !s->record_path)))
        r = err_set(e, ERR_NOMEM, "no memory for the sampler");
    if (!r && options->shares_proc)
        r = agent_shares_new(&s->shares, options->shares_proc, e);
    if (!r) {
        int errnum = start_thread(s);
        if (errnum)
            r = err_errno(e, errnum, "cannot start the sampler thread");
    }
    if (r) {
        sampler_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int agent_sampler_wake_fd(const struct agent_sampler *s) {
    return queue_wake_fd(s->rounds);
}

void agent_sampler_wake_clear(struct agent_sampler *s) {
    queue_wake_clear(s->rounds);
}

struct agent_round *agent_sampler_take(struct agent_sampler *s) {
    return queue_pop(s->rounds);
}

bool agent_sampler_stop(struct agent_sampler *s, int64_t wait_ns) {
    int64_t until_ns = clock_mono_ns() + wait_ns;
    struct pollfd p = {.fd = s->ended_fd, .events = POLLIN};
    int n;
    raise_flag(s->stop_fd);
    do {
        int64_t left_ns = until_ns - clock_mono_ns();
        n = poll(&p, 1, left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        pthread_detach(s->thread);
        return false;
    }
    pthread_join(s->thread, NULL);
    sampler_free(s);
    return true;
}
