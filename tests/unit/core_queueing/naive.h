// SPDX-License-Identifier: Apache-2.0
/*
 * The judge of continuous batching: the same rules, one iteration after the other and one token
 * after the other, over plain arrays that are searched. Nothing of src/core/queueing is used but
 * the types of its interface.
 */
#pragma once

#include "unit.h"

#include "core/queueing/station.h"

enum { NAIVE_MAX = 512 };

enum naive_state { NAIVE_GONE, NAIVE_WAITING, NAIVE_READING, NAIVE_DECODING };

struct naive_request {
    enum naive_state state;
    bool aborted;
    uint32_t prompt, output, given, read, preemptions;
    uint32_t reads; // tokens of the iteration that is under way
    int joined;     // order of decoding
    __int128 last_token_ps;
};

struct naive {
    const struct station_continuous *c;
    uint32_t max_queue;
    struct naive_request r[NAIVE_MAX]; // by number
    int waiting[NAIVE_MAX], running[NAIVE_MAX], n_waiting, n_running, joined;
    bool busy;
    __int128 at_ps, end_ps; // of the iteration under way
    int64_t now_ns;
    // What the station counts, too.
    uint64_t iterations, finished, aborted, preempted, rejected, prompt_tokens, output_tokens;
    double prefill_tokens, sequence_iterations, context_tokens, itl_sum_s;
    uint64_t itl_n;
    void (*tell)(struct naive *n, int number, enum station_event_kind kind, int64_t at_ns);
    void *ctx;
};

static inline int64_t naive_up_ns(__int128 ps) {
    return (int64_t)((ps + 999) / 1000);
}

static inline void naive_take(int *list, int *n, int number) {
    int at = 0;
    while (at < *n && list[at] != number)
        at++;
    assert_true(at < *n);
    memmove(&list[at], &list[at + 1], (size_t)(*n - at - 1) * sizeof(*list));
    (*n)--;
}

static inline void naive_leave(struct naive *n, int number) {
    naive_take(n->running, &n->n_running, number);
    n->r[number].state = NAIVE_GONE;
}

static inline uint64_t naive_held(const struct naive *n) {
    uint64_t held = 0;
    for (int i = 0; i < n->n_running; i++) {
        const struct naive_request *r = &n->r[n->running[i]];
        held += n->c->kv_reserve ? r->prompt + r->output : r->prompt + r->given;
    }
    return held;
}

static inline uint32_t naive_decoding(const struct naive *n, uint64_t *ret_context) {
    uint32_t decoding = 0;
    *ret_context = 0;
    for (int i = 0; i < n->n_running; i++)
        if (n->r[n->running[i]].state == NAIVE_DECODING) {
            *ret_context += n->r[n->running[i]].prompt + n->r[n->running[i]].given;
            decoding++;
        }
    return decoding;
}

static inline int64_t naive_ps(double s) {
    return llround(s * 1e12);
}

static inline void naive_itl(struct naive *n, __int128 ps) {
    n->itl_n++;
    n->itl_sum_s += (double)ps * 1e-12;
}

// The iteration that ended gave each its token or its part of the prompt.
static inline void naive_count(struct naive *n) {
    uint64_t context;
    uint32_t decoding = naive_decoding(n, &context);
    n->iterations++;
    n->sequence_iterations += decoding;
    n->context_tokens += (double)context;
    n->output_tokens += decoding;
    for (int i = 0; i < n->n_running; i++) {
        struct naive_request *r = &n->r[n->running[i]];
        n->prefill_tokens += r->reads;
        r->read += r->reads;
        if (r->state == NAIVE_DECODING) {
            r->given++;
            naive_itl(n, n->end_ps - n->at_ps);
        }
    }
}

static inline void naive_drop_aborted(struct naive *n) {
    for (int i = n->n_running - 1; i >= 0; i--) {
        const struct naive_request *r = &n->r[n->running[i]];
        if (r->aborted && (r->state == NAIVE_DECODING || r->read < r->prompt + r->given))
            naive_leave(n, n->running[i]);
    }
}

static inline void naive_finish(struct naive *n) {
    for (;;) {
        int best = -1;
        for (int i = 0; i < n->n_running; i++) {
            const struct naive_request *r = &n->r[n->running[i]];
            if (r->state == NAIVE_DECODING && r->given == r->output &&
                (best < 0 || r->joined < n->r[best].joined))
                best = n->running[i];
        }
        if (best < 0)
            return;
        naive_leave(n, best);
        if (!n->r[best].aborted) {
            n->finished++;
            n->tell(n, best, STATION_FINISHED, naive_up_ns(n->end_ps));
        }
    }
}

static inline void naive_first(struct naive *n) {
    int done[NAIVE_MAX], n_done = 0;
    for (int i = 0; i < n->n_running; i++) {
        const struct naive_request *r = &n->r[n->running[i]];
        if (r->state == NAIVE_READING && r->read == r->prompt + r->given)
            done[n_done++] = n->running[i];
    }
    for (int i = 0; i < n_done; i++) {
        struct naive_request *r = &n->r[done[i]];
        if (r->aborted) {
            naive_leave(n, done[i]);
            continue;
        }
        bool first = r->given++ == 0;
        n->output_tokens++;
        r->state = NAIVE_DECODING;
        r->joined = n->joined++;
        if (first)
            n->prompt_tokens += r->prompt;
        else
            naive_itl(n, (__int128)naive_up_ns(n->end_ps) * 1000 - r->last_token_ps);
        if (r->given == r->output)
            naive_leave(n, done[i]);
        if (first)
            n->tell(n, done[i], STATION_FIRST_TOKEN, naive_up_ns(n->end_ps));
        if (r->given == r->output && !r->aborted) {
            n->finished++;
            n->tell(n, done[i], STATION_FINISHED, naive_up_ns(n->end_ps));
        }
    }
}

static inline bool naive_preempt(struct naive *n, __int128 at_ps) {
    bool any = false;
    while (naive_held(n) > n->c->kv_tokens) {
        int number = n->running[n->n_running - 1];
        struct naive_request *r = &n->r[number];
        if (r->state == NAIVE_DECODING)
            r->last_token_ps = (__int128)naive_up_ns(at_ps) * 1000;
        naive_leave(n, number);
        if (r->aborted)
            continue;
        r->state = NAIVE_WAITING;
        r->read = 0;
        r->preemptions++;
        memmove(&n->waiting[1], n->waiting, (size_t)n->n_waiting++ * sizeof(int));
        n->waiting[0] = number;
        n->preempted++;
        any = true;
        n->tell(n, number, STATION_PREEMPTED, naive_up_ns(at_ps));
    }
    return any;
}

static inline uint32_t naive_read(struct naive_request *r, uint32_t budget) {
    uint32_t rest = r->prompt + r->given - r->read;
    r->reads = rest < budget ? rest : budget;
    return budget - r->reads;
}

// The boundary at at_ps: who goes has gone; who comes, and how long the next iteration takes.
static inline void naive_begin(struct naive *n, __int128 at_ps) {
    bool preempted = naive_preempt(n, at_ps);
    uint64_t context;
    uint32_t decoding = naive_decoding(n, &context), prefill = 0;
    uint32_t budget = n->c->token_budget - decoding;
    for (int i = 0; i < n->n_running; i++) {
        struct naive_request *r = &n->r[n->running[i]];
        r->reads = 0;
        if (r->state == NAIVE_READING)
            budget = naive_read(r, budget);
    }
    while (!preempted && budget > 0 && n->n_waiting > 0 &&
           n->n_running < (int)n->c->max_sequences) {
        int number = n->waiting[0];
        struct naive_request *r = &n->r[number];
        uint64_t need = n->c->kv_reserve ? r->prompt + r->output : r->prompt + r->given;
        if (naive_held(n) + need > n->c->kv_tokens)
            break;
        naive_take(n->waiting, &n->n_waiting, number);
        n->running[n->n_running++] = number;
        r->state = NAIVE_READING;
        budget = naive_read(r, budget);
        n->tell(n, number, STATION_ADMITTED, naive_up_ns(at_ps));
    }
    for (int i = 0; i < n->n_running; i++)
        prefill += n->r[n->running[i]].reads;
    n->busy = n->n_running > 0;
    int64_t flat = naive_ps(n->c->base_s) + naive_ps(n->c->prefill_s) * prefill;
    if (n->c->roofline) {
        flat = naive_ps(n->c->prefill_s) * (prefill + decoding);
        flat = flat > naive_ps(n->c->base_s) ? flat : naive_ps(n->c->base_s);
    }
    n->at_ps = at_ps;
    n->end_ps = at_ps + flat + naive_ps(n->c->sequence_s) * decoding +
                (__int128)naive_ps(n->c->context_s) * (int64_t)context;
}

static inline void naive_advance(struct naive *n, int64_t until_ns) {
    while (n->busy || n->n_waiting > 0) {
        if (!n->busy) {
            naive_begin(n, (__int128)n->now_ns * 1000);
            continue;
        }
        if (naive_up_ns(n->end_ps) > until_ns)
            break;
        if (naive_up_ns(n->end_ps) > n->now_ns)
            n->now_ns = naive_up_ns(n->end_ps);
        naive_count(n);
        naive_drop_aborted(n);
        naive_finish(n);
        naive_first(n);
        naive_begin(n, n->end_ps);
    }
    if (until_ns > n->now_ns)
        n->now_ns = until_ns;
}

static inline bool naive_offer(struct naive *n, int number, uint32_t prompt, uint32_t output) {
    if (n->n_waiting >= (int)n->max_queue) {
        n->rejected++;
        return false;
    }
    n->r[number] = (struct naive_request){
        .state = NAIVE_WAITING, .prompt = prompt, .output = output};
    n->waiting[n->n_waiting++] = number;
    return true;
}

static inline void naive_abort(struct naive *n, int number) {
    n->aborted++;
    n->r[number].aborted = true;
    if (n->r[number].state == NAIVE_WAITING) {
        naive_take(n->waiting, &n->n_waiting, number);
        n->r[number].state = NAIVE_GONE;
    }
}
