// SPDX-License-Identifier: Apache-2.0
/*
 * A service station, in the sense of queueing theory: one model server with a bounded queue in
 * front of it. Pure: time is an argument (nanoseconds, never backwards), draws come from a seed, so
 * that the mock engine runs it in real time and the simulator in virtual time, with the same
 * answers. Memory is made once, for max_queue and what can run.
 *
 *     station_new(&s, &config, now, e);
 *     station_offer(s, now, &request, &ticket);           a request arrives
 *     while (station_step(s, now, &event)) ...            what has happened until now, in order
 *     wait until station_next_ns(s), or for the next arrival; step before you offer or abort
 *
 * What is offered or aborted while a moment's events are still being taken belongs to that moment.
 *
 * Two kinds:
 *
 * STATION_BATCHES: `instances` servers take up to max_batch requests each, as Triton's dynamic
 * batcher does: a free instance takes a full batch at once, a smaller one when its oldest has
 * waited max_delay. The whole batch starts and ends together; its time is a function of its size,
 * times a draw. With max_batch 1 it serves one request at a time (G/G/c/K).
 *
 * STATION_CONTINUOUS: continuous batching with chunked prefill, as vLLM's V1 scheduler does it. At
 * each iteration every decoding sequence takes one token of the token budget, a prompt that is
 * partly read goes on, and waiting requests are admitted in order of arrival while budget,
 * sequences and KV memory last. The iteration takes, with n sequences decoding, C tokens of context
 * among these and P tokens of prompt read,
 *
 *     base + sequence * n + context * C + prefill * P                            (sum), or
 *     max(base, prefill * (P + n)) + sequence * n + context * C                  (roofline)
 *
 * rounded once, when the coefficients are turned into whole picoseconds. Between joins and leaves
 * this is an arithmetic series: the station goes from one to the next, never token by token, and is
 * exactly where a walk through every iteration would be (tests/unit/core_queueing).
 *
 * KV memory grows with the tokens, as in vLLM and SGLang: when the next iteration does not fit, the
 * sequence admitted last is preempted, loses its memory, goes to the head of the queue and reads
 * prompt and answer again. That is what makes the kvCache signal mean what it means in production,
 * and what running out of it looks like (recomputation, then collapse). `kv_reserve` takes prompt
 * and answer at admission instead, as TensorRT-LLM's GUARANTEED_NO_EVICT does: nothing is
 * preempted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct station;

enum station_kind { STATION_BATCHES, STATION_CONTINUOUS };
enum station_draw { STATION_CONSTANT, STATION_EXPONENTIAL, STATION_LOGNORMAL };

enum { STATION_POINTS_MAX = 16 };

struct station_batching {
    uint32_t instances;   // batches served at the same time, 1..LIMIT_STATION_INSTANCES
    uint32_t max_batch;   // 1..LIMIT_STATION_BATCH
    int64_t max_delay_ns; // >= 0
    // Time of a batch by its size: ascending sizes from 1 on, straight lines between them and, at
    // the slope of the last two, beyond them. One point: the same for every size.
    struct {
        uint32_t size;
        double s;
    } points[STATION_POINTS_MAX];
    uint32_t n_points;
    enum station_draw draw; // of the factor, mean 1
    double cv;              // of STATION_LOGNORMAL: deviation / mean
};

struct station_continuous {
    double base_s, sequence_s, context_s, prefill_s; // see above; s, s per sequence, s per token
    bool roofline;
    uint32_t max_sequences; // 1..LIMIT_STATION_SEQUENCES
    uint32_t token_budget;  // of an iteration, >= max_sequences
    uint64_t kv_tokens;     // that the KV memory holds
    bool kv_reserve;
};

// Consecutive iterations in which `sequences` each gave a further token, the i-th after
// first_s + i * step_s (i from 0): iterations * sequences inter-token latencies.
struct station_itl {
    double first_s, step_s;
    uint32_t iterations, sequences;
};

struct station_config {
    enum station_kind kind;
    uint32_t max_queue; // requests that wait; 0..LIMIT_STATION_QUEUE, continuous: from 1
    uint64_t seed;
    struct station_batching batching;     // of its kind alone
    struct station_continuous continuous; // of its kind alone
    // Told of inter-token latencies, runs of them at a time: at the latest with the next
    // station_read(). May be NULL. It must not call the station.
    void (*itl)(void *ctx, const struct station_itl *run);
    void *itl_ctx;
};

struct station_request {
    void *user;             // the caller's, given back with its events
    uint32_t prompt_tokens; // continuous: >= 1, as output_tokens
    uint32_t output_tokens;
    int64_t
        service_ns; // batches of one: the time that this one takes, instead of the draw; 0: draw
};

enum station_event_kind {
    STATION_ADMITTED,    // out of the queue; again after a preemption
    STATION_FIRST_TOKEN, // continuous
    STATION_PREEMPTED,   // back into the queue, tokens given so far stay given
    STATION_FINISHED,    // the ticket is not valid any more
};

struct station_event {
    enum station_event_kind kind;
    uint64_t ticket;
    void *user;
    int64_t at_ns; // rounded up
    int64_t arrived_ns;
    int64_t admitted_ns;    // the first time
    int64_t first_token_ns; // from STATION_FIRST_TOKEN on; batches: the end
    uint32_t prompt_tokens, output_tokens;
    uint32_t preemptions; // so far
};

// Counters since station_new() and gauges. Iterations count when they end, busy time as it passes.
struct station_reading {
    int64_t now_ns;
    bool draining;
    uint32_t waiting, running; // requests; those being read in count as running, as in vLLM
    uint64_t kv_used_tokens;   // reserved ones included
    // Requests.
    uint64_t offered, rejected, finished, aborted, preempted;
    uint64_t prompt_tokens; // of prompts read to their end (preempted ones once)
    uint64_t output_tokens; // given
    // What the GPU did.
    double busy_s;              // time with work, summed over instances
    double union_busy_s;        // time in which any instance had work
    uint64_t iterations;        // or batches
    double prefill_tokens;      // read, preempted ones again
    double sequence_iterations; // decoding sequences (batches: requests) summed over iterations
    double context_tokens;      // of decoding sequences, summed over iterations
};

// ERR_INVALID with the member and what is allowed, ERR_NOMEM.
int station_new(struct station **ret, const struct station_config *c, int64_t now_ns,
                struct err *e);
struct station *station_free(struct station *s); // NULL-safe, returns NULL

// A request arrives. ERR_LIMIT: the queue is full (counted as rejected). ERR_INVALID: prompt and
// answer never fit the KV memory, or no tokens. ERR_CLOSED: draining. Tickets are never 0 and are
// not used again.
int station_offer(struct station *s, int64_t now_ns, const struct station_request *r,
                  uint64_t *ret_ticket);
// The client is gone. What waits leaves at once; what runs leaves when its iteration ends, a batch
// goes on without anybody to answer. No event of the ticket follows. False: no such ticket.
bool station_abort(struct station *s, int64_t now_ns, uint64_t ticket);
// From now on every offer is refused; what has been accepted is finished.
void station_drain(struct station *s);
bool station_empty(const struct station *s); // nothing waits or runs

// The next event not later than until_ns. False: there is none, and all until then has happened.
bool station_step(struct station *s, int64_t until_ns, struct station_event *ret);
// When station_step() has something to do again, if nobody comes or goes; INT64_MAX: never. Events
// do not have to come of it.
int64_t station_next_ns(const struct station *s);

// For streaming. Tokens given so far to a request (until the time of the last step); batches: none
// until the end. 0 for a ticket that is not valid.
uint32_t station_tokens(const struct station *s, uint64_t ticket);
// When the iteration that is under way ends, so that station_tokens() changes; INT64_MAX: none is.
int64_t station_next_token_ns(const struct station *s);

// Reads all counters as of the last step. station_reading.now_ns is its time.
void station_read(struct station *s, struct station_reading *ret);
