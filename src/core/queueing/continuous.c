// SPDX-License-Identifier: Apache-2.0
/*
 * Continuous batching by runs of iterations. See station.h for the model.
 *
 * Within a run nobody joins and nobody leaves: n sequences decode, and at most one prompt is read,
 * by the same number of tokens each time (a prompt that leaves budget over lets the next one in,
 * which is a run of one). So only the context grows, by n an iteration. Who comes cuts the run
 * after the iteration that is under way; a cut changes nothing else, as what follows is computed
 * anew.
 */
#include "core/queueing/station_internal.h"

#include <math.h>

#include "base/limits.h"
#include "base/mem.h"

enum { RUN_MAX = 4096 }; // iterations: keeps sums of picoseconds in 64 bits

static int64_t to_ps(double s) {
    return llround(s * (double)PS_PER_S);
}

static int check_time(const char *name, double s, struct err *e) {
    if (s >= 0 && s <= LIMIT_STATION_STEP_S)
        return 0;
    return err_set(e, ERR_INVALID, "%s %g s: 0 to %d", name, s, LIMIT_STATION_STEP_S);
}

int continuous_check(const struct station_config *config, struct err *e) {
    const struct station_continuous *c = &config->continuous;
    int r = check_time("base", c->base_s, e);
    r = r < 0 ? r : check_time("sequence", c->sequence_s, e);
    r = r < 0 ? r : check_time("context", c->context_s, e);
    r = r < 0 ? r : check_time("prefill", c->prefill_s, e);
    if (r < 0)
        return r;
    if (c->base_s < 1e-6)
        return err_set(e, ERR_INVALID, "base %g s: an iteration takes a microsecond at least",
                       c->base_s);
    if (c->max_sequences < 1 || c->max_sequences > LIMIT_STATION_SEQUENCES)
        return err_set(e, ERR_INVALID, "max_sequences %u: 1 to %d", c->max_sequences,
                       LIMIT_STATION_SEQUENCES);
    if (c->token_budget < c->max_sequences || c->token_budget > LIMIT_STATION_TOKENS)
        return err_set(e, ERR_INVALID,
                       "token_budget %u: from max_sequences (%u), which take a token each, to %d",
                       c->token_budget, c->max_sequences, LIMIT_STATION_TOKENS);
    if (c->kv_tokens < 2 || c->kv_tokens > LIMIT_STATION_TOKENS)
        return err_set(e, ERR_INVALID, "kv_tokens %llu: 2 to %d", (unsigned long long)c->kv_tokens,
                       LIMIT_STATION_TOKENS);
    double longest_s = c->base_s + c->sequence_s * c->max_sequences +
                       c->context_s * (double)c->kv_tokens + c->prefill_s * c->token_budget;
    if (longest_s > LIMIT_STATION_STEP_S)
        return err_set(e, ERR_INVALID,
                       "an iteration could take %g s (base, all sequences, the full KV memory, a "
                       "whole token budget): %d at most",
                       longest_s, LIMIT_STATION_STEP_S);
    return 0;
}

int continuous_init(struct station *s) {
    const struct station_continuous *config = &s->config.continuous;
    struct continuous *c = &s->continuous;
    c->base_ps = to_ps(config->base_s);
    c->sequence_ps = to_ps(config->sequence_s);
    c->context_ps = to_ps(config->context_s);
    c->prefill_ps = to_ps(config->prefill_s);
    c->partial = c->first = c->only_token = SLOT_NONE;
    return slot_heap_init(&c->ends, config->max_sequences, s->n_slots);
}

void continuous_done(struct station *s) {
    slot_heap_done(&s->continuous.ends);
}

// ---- time within a run ----

// Iterations of the run that have ended by now.
static uint32_t ended(const struct station *s) {
    const struct continuous *c = &s->continuous;
    if (c->phase != PHASE_RUN)
        return 0;
    int64_t all_ps = series_sum_ps(&c->run, c->length);
    int64_t passed_ps = instant_until_ps(c->at, s->now_ns, all_ps);
    return passed_ps <= 0 ? 0 : (uint32_t)series_ended(&c->run, passed_ps, c->length);
}

static int64_t end_ns(const struct continuous *c, uint32_t iterations) {
    return instant_up_ns(instant_add(c->at, series_sum_ps(&c->run, iterations)));
}

// The first n iterations of the run are history: counts them and makes the rest the run.
static void pass(struct station *s, uint32_t n) {
    struct continuous *c = &s->continuous;
    uint64_t decoding = c->ends.n;
    struct station_itl itl = {(double)c->run.first_ps / (double)PS_PER_S,
                              (double)c->run.step_ps / (double)PS_PER_S, n, c->ends.n};
    if (decoding > 0 && s->config.itl != NULL)
        s->config.itl(s->config.itl_ctx, &itl);
    s->total.iterations += n;
    s->total.output_tokens += n * decoding;
    s->total.sequence_iterations += (double)n * (double)decoding;
    s->total.context_tokens += (double)n * (double)c->context +
                               (double)decoding * (double)n * ((double)n - 1) / 2;
    s->total.prefill_tokens += (double)n * c->prefill;
    if (c->partial != SLOT_NONE)
        s->slots[c->partial].read += n * c->chunk;
    c->iteration += n;
    c->context += n * decoding;
    c->at = instant_add(c->at, series_sum_ps(&c->run, n));
    c->run.first_ps += c->run.step_ps * n;
    c->length -= n;
}

// The run ends with the iteration that is under way.
static void cut(struct station *s) {
    struct continuous *c = &s->continuous;
    if (c->phase != PHASE_RUN)
        return;
    uint32_t length = ended(s) + 1;
    if (length < c->length)
        c->length = length;
}

void continuous_queue_changed(struct station *s) {
    // Where a prompt takes all that is left of the budget, nobody is let in before its end.
    if (s->running.n < s->config.continuous.max_sequences && s->continuous.partial == SLOT_NONE)
        cut(s);
}

// ---- who leaves ----

static uint32_t given(const struct station *s, const struct slot *slot, uint32_t iterations) {
    return slot->state == SLOT_DECODING
               ? (uint32_t)(s->continuous.iteration + iterations - slot->base_iteration)
               : slot->given;
}

// Takes a slot out of what runs, with the tokens of the iterations that have passed.
static void leave(struct station *s, uint32_t i) {
    struct continuous *c = &s->continuous;
    struct slot *slot = &s->slots[i];
    slot->given = given(s, slot, 0);
    if (slot->state == SLOT_DECODING) {
        slot_heap_remove(&c->ends, i);
        c->context -= slot->prompt + slot->given;
    } else {
        c->reading_tokens -= slot->prompt + slot->given;
    }
    if (c->partial == i)
        c->partial = SLOT_NONE;
    c->reserved -= slot->prompt + slot->output;
    slot_remove(s, &s->running, i);
}

static void drop(struct station *s, uint32_t i) {
    leave(s, i);
    slot_release(s, i);
    s->continuous.aborts--;
}

void continuous_abort(struct station *s) {
    s->continuous.aborts++;
    cut(s);
}

// Those whose prompt has ended with this very iteration are left to first_one().
static void drop_aborted(struct station *s) {
    const struct continuous *c = &s->continuous;
    for (uint32_t i = s->running.head, next; c->aborts > 0 && i != SLOT_NONE; i = next) {
        const struct slot *slot = &s->slots[i];
        next = slot->next;
        if (slot->aborted && (slot->state == SLOT_DECODING || c->partial == i))
            drop(s, i);
    }
}

static bool finish(struct station *s, uint32_t i, struct station_event *ret) {
    station_tell(s, i, STATION_FINISHED, instant_up_ns(s->continuous.at), ret);
    s->total.finished++;
    slot_release(s, i);
    return true;
}

static bool finish_one(struct station *s, struct station_event *ret) {
    const struct continuous *c = &s->continuous;
    while (c->ends.n > 0 && c->ends.entries[0].key == c->iteration) {
        uint32_t i = c->ends.entries[0].id;
        if (s->slots[i].aborted) {
            drop(s, i);
            continue;
        }
        leave(s, i);
        return finish(s, i, ret);
    }
    return false;
}

// ---- whose prompt has been read ----

static void tell_gap(const struct station *s, const struct slot *slot) {
    double gap_s = (double)(instant_up_ns(s->continuous.at) - slot->last_token_ns) / 1e9;
    struct station_itl itl = {gap_s, 0, 1, 1};
    if (s->config.itl != NULL)
        s->config.itl(s->config.itl_ctx, &itl);
}

// The iteration that ended gave slot i a token, its first or the first after a preemption. Returns
// whether it was the first.
static bool take_token(struct station *s, uint32_t i) {
    struct continuous *c = &s->continuous;
    struct slot *slot = &s->slots[i];
    bool first = slot->given == 0;
    s->total.output_tokens++;
    if (first) {
        slot->first_token_ns = instant_up_ns(c->at);
        s->total.prompt_tokens += slot->prompt;
    } else {
        tell_gap(s, slot);
    }
    if (slot->given + 1 == slot->output) {
        leave(s, i);
        slot->given++;
        return first;
    }
    c->reading_tokens -= slot->prompt + slot->given;
    slot->given++;
    slot->state = SLOT_DECODING;
    slot->base_iteration = c->iteration - slot->given;
    c->context += slot->prompt + slot->given;
    slot_heap_add(&c->ends, slot->base_iteration + slot->output, s->order++, i);
    return first;
}

static bool first_one(struct station *s, struct station_event *ret) {
    struct continuous *c = &s->continuous;
    if (c->only_token != SLOT_NONE) {
        uint32_t i = c->only_token;
        c->only_token = SLOT_NONE;
        if (!s->slots[i].aborted)
            return finish(s, i, ret);
        c->aborts--;
        slot_release(s, i);
    }
    while (c->first != SLOT_NONE) {
        uint32_t i = c->first;
        c->first = s->slots[i].link;
        if (s->slots[i].aborted) {
            drop(s, i);
            continue;
        }
        bool first = take_token(s, i);
        if (s->slots[i].state != SLOT_DECODING && !first)
            return finish(s, i, ret);
        if (s->slots[i].state != SLOT_DECODING)
            c->only_token = i;
        if (first)
            return station_tell(s, i, STATION_FIRST_TOKEN, instant_up_ns(c->at), ret);
    }
    return false;
}

// ---- the next iteration ----

static bool preempt_one(struct station *s, struct station_event *ret) {
    struct continuous *c = &s->continuous;
    if (s->config.continuous.kv_reserve)
        return false;
    while (c->context + c->reading_tokens > s->config.continuous.kv_tokens) {
        uint32_t i = s->running.tail;
        struct slot *slot = &s->slots[i];
        if (slot->aborted) {
            drop(s, i);
            continue;
        }
        if (slot->state == SLOT_DECODING)
            slot->last_token_ns = instant_up_ns(c->at);
        leave(s, i);
        slot->state = SLOT_WAITING;
        slot->read = 0;
        slot->preemptions++;
        slot_prepend(s, &s->waiting, i);
        s->total.preempted++;
        c->preempted = true;
        return station_tell(s, i, STATION_PREEMPTED, instant_up_ns(c->at), ret);
    }
    return false;
}

// Gives slot i what is left of the budget, or as much as its prompt needs.
static void read_prompt(struct station *s, uint32_t i) {
    struct continuous *c = &s->continuous;
    struct slot *slot = &s->slots[i];
    uint32_t rest = slot->prompt + slot->given - slot->read;
    if (rest > c->budget) {
        c->chunk = c->budget;
        c->partial = i;
    } else {
        c->partial = SLOT_NONE;
        *(c->first != SLOT_NONE ? &s->slots[c->first_tail].link : &c->first) = i;
        c->first_tail = i;
        slot->link = SLOT_NONE;
    }
    uint32_t tokens = rest < c->budget ? rest : c->budget;
    c->prefill += tokens;
    c->budget -= tokens;
}

static void begin(struct station *s) {
    struct continuous *c = &s->continuous;
    c->budget = s->config.continuous.token_budget - c->ends.n;
    c->prefill = c->chunk = 0;
    if (c->partial != SLOT_NONE)
        read_prompt(s, c->partial);
}

static bool fits(const struct station *s, const struct slot *slot) {
    const struct continuous *c = &s->continuous;
    uint64_t need = s->config.continuous.kv_reserve
                        ? c->reserved + slot->prompt + slot->output
                        : c->context + c->reading_tokens + slot->prompt + slot->given;
    return need <= s->config.continuous.kv_tokens;
}

static bool admit_one(struct station *s, struct station_event *ret) {
    struct continuous *c = &s->continuous;
    if (c->budget == 0 || c->preempted || s->waiting.n == 0 ||
        s->running.n == s->config.continuous.max_sequences || !fits(s, &s->slots[s->waiting.head]))
        return false;
    uint32_t i = s->waiting.head;
    struct slot *slot = &s->slots[i];
    slot_remove(s, &s->waiting, i);
    slot_append(s, &s->running, i);
    slot->state = SLOT_READING;
    if (slot->preemptions == 0)
        slot->admitted_ns = instant_up_ns(c->at);
    c->reading_tokens += slot->prompt + slot->given;
    c->reserved += slot->prompt + slot->output;
    read_prompt(s, i);
    return station_tell(s, i, STATION_ADMITTED, instant_up_ns(c->at), ret);
}

static uint32_t least(uint32_t a, uint64_t b) {
    return b < a ? (uint32_t)b : a;
}

// For how many iterations nothing changes but the context.
static uint32_t run_length(const struct station *s) {
    const struct continuous *c = &s->continuous;
    uint32_t n = RUN_MAX;
    if (c->first != SLOT_NONE || c->aborts > 0 || (c->preempted && s->waiting.n > 0))
        return 1;
    if (c->ends.n > 0)
        n = least(n, c->ends.entries[0].key - c->iteration);
    if (c->ends.n > 0 && !s->config.continuous.kv_reserve)
        n = least(n, 1 + (s->config.continuous.kv_tokens - c->context - c->reading_tokens) /
                             c->ends.n);
    if (c->partial != SLOT_NONE) {
        const struct slot *slot = &s->slots[c->partial];
        n = least(n, (slot->prompt + slot->given - slot->read - 1) / c->chunk);
    }
    return n;
}

static void start(struct station *s) {
    struct continuous *c = &s->continuous;
    if (s->running.n == 0) {
        s->total.busy_s += (double)(instant_up_ns(c->at) - c->busy_from_ns) / 1e9;
        c->phase = PHASE_IDLE;
        return;
    }
    int64_t n = c->ends.n;
    int64_t flat_ps = c->base_ps + c->prefill_ps * c->prefill;
    if (s->config.continuous.roofline) {
        flat_ps = c->prefill_ps * (c->prefill + n);
        flat_ps = flat_ps > c->base_ps ? flat_ps : c->base_ps;
    }
    c->run.first_ps = flat_ps + c->sequence_ps * n + c->context_ps * (int64_t)c->context;
    c->run.step_ps = c->context_ps * n;
    c->length = run_length(s);
    c->preempted = false;
    c->phase = PHASE_RUN;
}

// The first event of the boundary at c->at, from the phase on that it has come to.
static bool boundary(struct station *s, struct station_event *ret) {
    struct continuous *c = &s->continuous;
    switch (c->phase) {
    case PHASE_FINISH:
        if (finish_one(s, ret))
            return true;
        c->phase = PHASE_FIRST;
        __attribute__((fallthrough));
    case PHASE_FIRST:
        if (first_one(s, ret))
            return true;
        c->phase = PHASE_PREEMPT;
        __attribute__((fallthrough));
    case PHASE_PREEMPT:
        if (preempt_one(s, ret))
            return true;
        begin(s);
        c->phase = PHASE_ADMIT;
        __attribute__((fallthrough));
    case PHASE_ADMIT:
        if (admit_one(s, ret))
            return true;
        start(s);
        return false;
    default:
        return false;
    }
}

bool continuous_step(struct station *s, int64_t until_ns, struct station_event *ret) {
    struct continuous *c = &s->continuous;
    for (;;) {
        if (c->phase == PHASE_IDLE) {
            if (s->waiting.n == 0 || until_ns < s->now_ns)
                break;
            c->at = (struct instant){s->now_ns, 0};
            c->busy_from_ns = s->now_ns;
            c->phase = PHASE_PREEMPT;
        } else if (c->phase == PHASE_RUN) {
            int64_t at_ns = end_ns(c, c->length);
            if (at_ns > until_ns)
                break;
            s->now_ns = at_ns > s->now_ns ? at_ns : s->now_ns;
            pass(s, c->length);
            drop_aborted(s);
            c->phase = PHASE_FINISH;
        }
        if (boundary(s, ret))
            return true;
    }
    s->now_ns = until_ns > s->now_ns ? until_ns : s->now_ns;
    return false;
}

int64_t continuous_next_ns(const struct station *s) {
    const struct continuous *c = &s->continuous;
    if (c->phase == PHASE_RUN)
        return end_ns(c, c->length);
    return c->phase == PHASE_IDLE && s->waiting.n == 0 ? INT64_MAX : s->now_ns;
}

int64_t continuous_next_token_ns(const struct station *s) {
    const struct continuous *c = &s->continuous;
    if (c->phase != PHASE_RUN)
        return continuous_next_ns(s);
    uint32_t n = ended(s) + 1;
    return end_ns(c, n < c->length ? n : c->length);
}

uint32_t continuous_tokens(const struct station *s, uint32_t i) {
    const struct slot *slot = &s->slots[i];
    uint32_t n = given(s, slot, ended(s));
    return n < slot->output ? n : slot->output;
}

void continuous_read(struct station *s, struct station_reading *ret) {
    struct continuous *c = &s->continuous;
    uint32_t n = ended(s);
    if (n > 0 && n < c->length) // the run's end is for station_step()
        pass(s, n);
    *ret = s->total;
    if (c->phase != PHASE_IDLE)
        ret->busy_s += (double)(s->now_ns - c->busy_from_ns) / 1e9;
    ret->union_busy_s = ret->busy_s;
    ret->kv_used_tokens = s->config.continuous.kv_reserve ? c->reserved
                                                          : c->context + c->reading_tokens;
}
