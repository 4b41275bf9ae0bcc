// SPDX-License-Identifier: Apache-2.0
/*
 * See worker.h. The thread keeps an account: what it was told to burn against what the kernel says
 * that it, and the loop's thread for the same requests, have used, so that errors of one piece do
 * not add up.
 */
#include "engine/worker.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/queue.h"
#include "net/loop.h"

// Time between two looks at the clock, which is a system call. Precision of one piece.
static const int64_t slice_ns = 20 * NS_PER_US;
// Of the loop's time so much is taken for work on requests: after an idle hour no more than that.
static const double credit_max_ns = 1e6;
enum { CALIBRATION_ROUNDS = 200000 };

struct engine_worker {
    pthread_t thread;
    struct queue *to, *from; // the thread
    struct net_watch *watch;
    void (*done)(struct engine_work *work);
    _Atomic bool stop;
};

static uint64_t spin(uint64_t rounds) {
    uint64_t x = 88172645463325252ULL;
    for (uint64_t i = 0; i < rounds; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

static _Atomic uint64_t sink; // so that the compiler does not leave the spinning out

static double rounds_per_ns(void) {
    int64_t before_ns = clock_thread_cpu_ns();
    atomic_store(&sink, spin(CALIBRATION_ROUNDS));
    int64_t took_ns = clock_thread_cpu_ns() - before_ns;
    return (double)CALIBRATION_ROUNDS / (double)(took_ns > 0 ? took_ns : 1);
}

static void burn(struct engine_worker *w, int64_t until_ns, double rate) {
    int64_t left_ns;
    while (!atomic_load(&w->stop) && (left_ns = until_ns - clock_thread_cpu_ns()) > 0)
        atomic_store(&sink,
                     spin((uint64_t)(rate * (double)(left_ns < slice_ns ? left_ns : slice_ns))));
}

static void wait_for_work(struct engine_worker *w) {
    struct pollfd p = {.fd = queue_wake_fd(w->to), .events = POLLIN};
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    queue_wake_clear(w->to);
}

struct account {
    double owed_ns;    // of this thread's time
    double credit_ns;  // what the other thread has done of it
    int64_t others_ns; // its time as of the last look
};

static void owe(struct account *a, double ns) {
    int64_t others_ns = clock_process_cpu_ns() - clock_thread_cpu_ns();
    a->credit_ns = fmin(credit_max_ns, a->credit_ns + (double)(others_ns - a->others_ns));
    a->others_ns = others_ns;
    double done_ns = fmin(ns, a->credit_ns);
    a->credit_ns -= done_ns;
    a->owed_ns += ns - done_ns;
}

static void *worker_main(void *arg) {
    struct engine_worker *w = arg;
    double rate = rounds_per_ns();
    struct account account = {.owed_ns = (double)clock_thread_cpu_ns(),
                              .others_ns = clock_process_cpu_ns() - clock_thread_cpu_ns()};
    (void)pthread_setname_np(pthread_self(), "python"); // what it stands for, in top
    while (!atomic_load(&w->stop)) {
        struct engine_work *work = queue_pop(w->to);
        if (!work) {
            wait_for_work(w);
            continue;
        }
        owe(&account, work->us * (double)NS_PER_US);
        burn(w, (int64_t)account.owed_ns, rate);
        bool there = queue_push(w->from, work);
        assert(there); // as many as fit were submitted
        (void)there;
    }
    return NULL;
}

static void on_done(void *ctx) {
    struct engine_worker *w = ctx;
    struct engine_work *work;
    queue_wake_clear(w->from);
    while ((work = queue_pop(w->from)) != NULL)
        w->done(work);
}

static int start_thread(struct engine_worker *w, struct err *e) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_errno(e, failed, "cannot start the worker thread") : 0;
}

int engine_worker_start(struct engine_worker **ret, uv_loop_t *loop,
                        void (*done)(struct engine_work *work), struct err *e) {
    struct engine_worker *w = mem_zalloc(sizeof(*w));
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for the worker");
    w->done = done;
    int r = queue_new(&w->to, LIMIT_ENGINE_CONNECTIONS, e);
    r = r < 0 ? r : queue_new(&w->from, LIMIT_ENGINE_CONNECTIONS, e);
    r = r < 0 ? r : net_watch_start(&w->watch, loop, queue_wake_fd(w->from), on_done, w, e);
    r = r < 0 ? r : start_thread(w, e);
    if (r == 0) {
        *ret = w;
        return 0;
    }
    net_watch_stop(&w->watch);
    queue_free(w->to);
    queue_free(w->from);
    mem_free(w);
    return r;
}

void engine_worker_submit(struct engine_worker *w, struct engine_work *work) {
    bool there = queue_push(w->to, work);
    assert(there);
    (void)there;
}

struct engine_worker *engine_worker_stop(struct engine_worker *w) {
    if (!w)
        return NULL;
    struct engine_work nothing = {0}; // wakes it
    atomic_store(&w->stop, true);
    (void)queue_push(w->to, &nothing); // full: it is awake
    pthread_join(w->thread, NULL);
    net_watch_stop(&w->watch);
    while (queue_pop(w->to) != NULL || queue_pop(w->from) != NULL)
        ;
    queue_free(w->to);
    queue_free(w->from);
    mem_free(w);
    return NULL;
}
