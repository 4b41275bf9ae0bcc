// SPDX-License-Identifier: Apache-2.0
/* See signals.h. Everything runs on the loop's thread. */
#include "net/signals.h"

#include <assert.h>
#include <signal.h>

static void came(uv_signal_t *watcher, int number) {
    struct net_signals *s = watcher->data;
    s->fn(s->ctx, number);
}

int net_signals_start(struct net_signals *s, uv_loop_t *loop, const int *numbers, unsigned n,
                      net_signal_fn fn, void *ctx, struct err *e) {
    assert(n <= NET_SIGNALS_MAX);
    *s = (struct net_signals){.fn = fn, .ctx = ctx};
    (void)signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < n; i++) {
        int r = uv_signal_init(loop, &s->watchers[i]);
        if (r == 0) {
            s->n++;
            s->watchers[i].data = s;
            r = uv_signal_start(&s->watchers[i], came, numbers[i]);
        }
        if (r < 0)
            return err_set(e, ERR_IO, "signals: %s", uv_strerror(r));
    }
    return 0;
}

void net_signals_stop(struct net_signals *s) {
    for (unsigned i = 0; i < s->n; i++) {
        int number = s->watchers[i].signum; // 0: it could not be started
        sigset_t one, before;
        (void)sigemptyset(&one);
        if (number != 0)
            (void)sigaddset(&one, number);
        // Held back while the default action stands; what came meanwhile is dropped with SIG_IGN.
        (void)pthread_sigmask(SIG_BLOCK, &one, &before);
        uv_close((uv_handle_t *)&s->watchers[i], NULL);
        if (number != 0)
            (void)signal(number, SIG_IGN);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    s->n = 0;
}
