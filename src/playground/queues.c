// SPDX-License-Identifier: Apache-2.0
/* Engines' queues for the page; see queues.h. */
#include "playground/queues.h"

#include "base/clock.h"
#include "base/mem.h"
#include "playground/driver_series.h"
#include "playground/fetch_page.h"

enum { TIMEOUT_MS = 2000 };

struct question {
    struct queues *queues;
    struct fetch_page *fetch; // NULL: free
    char pod[DRIVER_NAME_LEN];
};

struct queues {
    uv_loop_t *loop;
    const char *metric;
    struct driver_series_store store;
    struct question questions[LIMIT_PLAYGROUND_PODS];
};

int queues_new(struct queues **ret, uv_loop_t *loop, const char *metric, struct err *e) {
    struct queues *q = mem_zalloc(sizeof(*q));
    if (!q)
        return err_set(e, ERR_NOMEM, "no memory for the engines' queues");
    q->loop = loop;
    q->metric = metric;
    *ret = q;
    return 0;
}

struct queues *queues_free(struct queues *q) {
    if (!q)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(q->questions); i++)
        fetch_page_cancel(q->questions[i].fetch);
    mem_free(q);
    return NULL;
}

static void answered(void *ctx, const struct fetch_page_answer *a) {
    struct question *x = ctx;
    struct queues *q = x->queues;
    x->fetch = NULL;
    if (a->error || a->status != 200)
        driver_series_end(&q->store, x->pod);
    else
        (void)driver_series_scraped(&q->store, x->pod, q->metric, a->body, a->complete,
                                    clock_mono_ns(), NULL);
}

static void ask(struct queues *q, const struct pool_pod *p) {
    struct question *free_one = NULL;
    for (size_t i = 0; i < COUNT_OF(q->questions); i++) {
        struct question *x = &q->questions[i];
        if (x->fetch && str_eqc(str_from(x->pod), p->pod->name))
            return;
        if (!x->fetch && !free_one)
            free_one = x;
    }
    if (!free_one)
        return;
    free_one->queues = q;
    (void)str_copy(free_one->pod, sizeof(free_one->pod), str_from(p->pod->name));
    struct fetch_page_options o = {.addr = p->addr,
                                   .path = "/metrics",
                                   .timeout_ms = TIMEOUT_MS,
                                   .max_bytes = LIMIT_PLAYGROUND_PAGE_BYTES,
                                   .done = answered,
                                   .ctx = free_one};
    if (fetch_page_start(&free_one->fetch, q->loop, &o, NULL) < 0)
        free_one->fetch = NULL;
}

void queues_ask(struct queues *q, const struct pool *pool) {
    const char *names[LIMIT_PLAYGROUND_PODS];
    size_t n = 0;
    for (size_t i = 0; i < pool_roster(pool)->n; i++) {
        struct pool_pod p = pool_at(pool, i);
        if (p.pod->state != ROSTER_READY)
            continue;
        names[n++] = p.pod->name;
        ask(q, &p);
    }
    driver_series_keep(&q->store, names, n);
}

int32_t queues_waiting(const struct queues *q, const struct pool *pool, int64_t now_ns) {
    int ready = roster_count(pool_roster(pool), ROSTER_READY), known = 0;
    for (size_t i = 0; i < q->store.n; i++)
        known += q->store.series[i].gpu == DRIVER_SERIES_QUEUE;
    struct driver_query_answer a = driver_series_queue_sum(&q->store, now_ns);
    if (ready == 0)
        return 0; // nobody in whom it could wait
    return known < ready || a.empty ? -1 : (int32_t)a.value;
}
