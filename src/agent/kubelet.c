// SPDX-License-Identifier: Apache-2.0
/* See kubelet.h. One timer runs to whichever comes first: the next question, or the last answer's
 * end. */
#include "agent/kubelet.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "podres/client.h"

enum { QUESTION_MS = 5000 };
static const int64_t soon_ns = NS_PER_S;      // between two questions at least
static const double memory_moved = 512 << 20; // bytes: less is an allocation more or less

// What a GPU looked like when the readings moved last.
struct mark {
    uint32_t id;
    bool has_processes, has_memory;
    double processes, memory;
};

struct agent_kubelet {
    struct agent_kubelet_options options;
    struct podres_client *client;
    struct net_timer *timer;
    int64_t next_ns;         // the next question
    int64_t gap_ns;          // between two questions, when readings move
    bool moved, asked_moved; // readings did since the last question; before it
    unsigned failed;         // in a row
    bool known;              // an answer is believed
    int told;                // code of the failure that the log told; 0: none
    struct agent_kubelet_stats stats;
    uint32_t n_marks;
    struct mark marks[LIMIT_GPU_ENTITIES_PER_NODE];
};

static void schedule(struct agent_kubelet *k, int64_t now_ns) {
    int64_t at_ns = k->next_ns;
    if (k->known && k->stats.answered_ns + k->options.max_age_ns < at_ns)
        at_ns = k->stats.answered_ns + k->options.max_age_ns;
    net_timer_again(k->timer, at_ns > now_ns ? at_ns - now_ns : 0);
}

static void on_answered(void *ctx, const struct podres_answer *answer);
static void on_failed(void *ctx, const struct err *why);

static void forget(struct agent_kubelet *k, int64_t now_ns) {
    struct agent_owners nobody_knows;
    agent_owners_init(&nobody_knows);
    k->known = false;
    log_warn("who holds the GPUs is unknown now: the kubelet has not said it for too long",
             LOG_DUR("silent", now_ns - k->stats.answered_ns));
    k->options.believed(k->options.ctx, &nobody_knows);
}

static void on_timer(void *ctx) {
    struct agent_kubelet *k = ctx;
    int64_t now_ns = clock_mono_ns();
    if (k->known && now_ns - k->stats.answered_ns >= k->options.max_age_ns)
        forget(k, now_ns);
    if (now_ns >= k->next_ns) {
        k->stats.asked_ns = now_ns;
        k->asked_moved = k->moved;
        k->moved = false;
        k->next_ns = now_ns + k->options.interval_ns;
        podres_client_ask(k->client);
    }
    schedule(k, now_ns);
}

static void tell_failure(struct agent_kubelet *k, const struct err *why) {
    if (k->told == why->code)
        return;
    k->told = why->code;
    log_warn("the kubelet does not say who holds the GPUs", LOG_ERR(why),
             LOG_BOOL("known_from_before", k->known));
}

static void on_failed(void *ctx, const struct err *why) {
    struct agent_kubelet *k = ctx;
    int64_t now_ns = clock_mono_ns();
    k->stats.up = false;
    if (why->code == ERR_NOTFOUND && k->options.may_be_absent && !k->stats.present) {
        log_debug("no kubelet is asked who holds the GPUs", LOG_ERR(why));
    } else {
        int64_t wait_ns = soon_ns << (k->failed < 10 ? k->failed : 10);
        if (wait_ns < k->options.interval_ns)
            k->next_ns = now_ns + wait_ns;
        k->failed++;
        k->stats.present = true;
        k->stats.failures++;
        tell_failure(k, why);
    }
    schedule(k, now_ns);
}

static void believe(struct agent_kubelet *k, const struct podres_answer *answer,
                    struct agent_owners *owners) {
    int64_t now_ns = clock_mono_ns();
    if (k->stats.answers == 0 || k->told)
        log_info("the kubelet says who holds the GPUs", LOG_I64("pods", answer->pods),
                 LOG_I64("gpus_held", answer->holders.n), LOG_I64("claimed", answer->claimed.n),
                 LOG_DUR("took", now_ns - k->stats.asked_ns));
    k->told = 0;
    k->failed = 0;
    k->known = true;
    k->stats.present = k->stats.up = true;
    k->stats.answers++;
    k->stats.answered_ns = now_ns;
    k->stats.took_ns = now_ns - k->stats.asked_ns;
    k->stats.pods = answer->pods;
    k->stats.holders = answer->holders.n;
    k->stats.claimed = answer->claimed.n;
    schedule(k, now_ns);
    bool news = k->options.believed(k->options.ctx, owners);
    if (news || !k->asked_moved)
        k->gap_ns = soon_ns;
    else if (k->gap_ns < k->options.interval_ns)
        k->gap_ns *= 2;
}

static void on_answered(void *ctx, const struct podres_answer *answer) {
    struct agent_kubelet *k = ctx;
    struct agent_owners owners;
    struct err e = {0};
    int r = 0;
    if (answer->pods == 0)
        r = err_set(&e, ERR_UNAVAILABLE,
                    "it lists no pod at all, not even those of DaemonSets: it has not read its "
                    "pods yet");
    else
        r = agent_owners_from(&owners, answer, &e);
    if (r)
        on_failed(k, &e);
    else
        believe(k, answer, &owners);
}

static bool moved(const struct mark *before, const struct mark *now) {
    double memory = now->memory - before->memory;
    return before->id != now->id || before->has_processes != now->has_processes ||
           (now->has_processes && before->processes != now->processes) ||
           (before->has_memory && now->has_memory &&
            (memory > memory_moved || memory < -memory_moved));
}

void agent_kubelet_look(struct agent_kubelet *k, const struct agent_state *s, int64_t now_ns) {
    bool any = k->n_marks != s->n_gpus;
    for (uint32_t i = 0; i < s->n_gpus; i++) {
        const struct agent_gpu *g = &s->gpus[i];
        struct mark now = {.id = g->id};
        now.has_processes = g->has_reading &&
                            gpu_reading_get(&g->reading, GPU_PROCESSES, &now.processes);
        now.has_memory = g->has_reading &&
                         gpu_reading_get(&g->reading, GPU_MEMORY_USED_BYTES, &now.memory);
        if (!any && !moved(&k->marks[i], &now))
            continue;
        any = true;
        k->marks[i] = now;
    }
    k->n_marks = s->n_gpus;
    k->moved |= any;
    if (!any || !k->stats.up || k->next_ns <= k->stats.asked_ns + k->gap_ns)
        return; // where the kubelet fails, its own times hold
    k->next_ns = k->stats.asked_ns + k->gap_ns;
    schedule(k, now_ns);
}

int agent_kubelet_start(struct agent_kubelet **ret, uv_loop_t *loop,
                        const struct agent_kubelet_options *options, struct err *e) {
    struct agent_kubelet *k = mem_zalloc(sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "no memory to ask the kubelet");
    k->options = *options;
    k->options.socket = NULL; // the caller's
    k->stats.present = !options->may_be_absent;
    k->stats.answered_ns = INT64_MIN;
    k->gap_ns = soon_ns;
    struct podres_client_options o = {
        .socket = options->socket,
        .timeout_ms = QUESTION_MS,
        .answered = on_answered,
        .failed = on_failed,
        .ctx = k,
    };
    int r = podres_client_new(&k->client, loop, &o, e);
    if (!r)
        r = net_timer_start(&k->timer, loop, 0, 0, on_timer, k, e);
    if (r) {
        agent_kubelet_stop(k);
        return r;
    }
    *ret = k;
    return 0;
}

struct agent_kubelet *agent_kubelet_stop(struct agent_kubelet *k) {
    if (k) {
        podres_client_free(k->client);
        net_timer_stop(&k->timer);
        mem_free(k);
    }
    return NULL;
}

struct agent_kubelet_stats agent_kubelet_stats(const struct agent_kubelet *k) {
    return k ? k->stats : (struct agent_kubelet_stats){.answered_ns = INT64_MIN};
}
