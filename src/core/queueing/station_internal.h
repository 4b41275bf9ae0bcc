// SPDX-License-Identifier: Apache-2.0
/*
 * What the two kinds of station share: a pool of slots (one a request), lists of slots by index,
 * the counters. batching.c and continuous.c each own their struct below.
 */
#pragma once

#include "base/random.h"
#include "core/queueing/series.h"
#include "core/queueing/slot_heap.h"
#include "core/queueing/station.h"

#define SLOT_NONE UINT32_MAX

enum slot_state {
    SLOT_FREE,
    SLOT_WAITING,
    SLOT_READING,  // continuous: its prompt is being read
    SLOT_DECODING, // continuous
    SLOT_SERVED,   // in a batch
};

struct slot {
    void *user;
    uint32_t turn; // upper half of the ticket; changes when the slot is freed
    enum slot_state state;
    bool aborted;        // its client is gone, it leaves when it can
    uint32_t prev, next; // in the list that its state says
    uint32_t link;       // continuous: the next whose prompt ends in this iteration
    uint32_t prompt, output, preemptions;
    uint32_t given; // tokens; SLOT_DECODING: iterations - base_iteration
    uint32_t read;  // tokens of prompt (and answer, after a preemption) read
    uint64_t base_iteration;
    int64_t service_ns;
    int64_t arrived_ns, admitted_ns, first_token_ns;
    int64_t last_token_ns; // before a preemption
};

struct slot_list {
    uint32_t head, tail, n;
};

struct batches {
    struct slot_list *instances; // what each serves
    struct slot_heap ends;       // of busy instances, by time
    uint32_t *idle, n_idle;      // a stack
    uint32_t ending;             // the instance whose batch ends now, or SLOT_NONE
    uint32_t next;               // of a batch that starts now: whose start is to be told
    double *time_ns;             // of a batch of n + 1, without the draw
    double sigma;                // of the lognormal draw
    int64_t counted_ns;          // busy times are counted until then
};

// What comes next; a boundary between iterations goes through the last four.
enum phase { PHASE_IDLE, PHASE_RUN, PHASE_FINISH, PHASE_FIRST, PHASE_PREEMPT, PHASE_ADMIT };

struct continuous {
    int64_t base_ps, sequence_ps, context_ps, prefill_ps;
    enum phase phase;
    struct instant at;          // start of the run; at a boundary, its time
    int64_t busy_from_ns;       // not PHASE_IDLE: since when
    uint64_t iteration;         // ended until `at`
    struct slot_heap ends;      // the decoding ones, by the iteration with which they end
    uint64_t context;           // tokens of the decoding ones in the next iteration
    uint64_t reading_tokens;    // KV memory of those that are being read
    uint64_t reserved;          // tokens of prompts and whole answers of all that run
    uint32_t partial;           // the one whose prompt does not end in this iteration
    uint32_t first, first_tail; // those whose prompt does, by `link`
    uint32_t only_token;        // PHASE_FIRST: has its first token, its end is still to be told
    uint32_t aborts;            // running ones that are to leave
    bool preempted;             // at this boundary, which then admits nobody
    uint32_t budget;            // PHASE_ADMIT: what is left of the iteration's tokens
    uint32_t prefill, chunk;    // tokens of prompt in each iteration of the run; of `partial`
    struct series run;
    uint32_t length; // of the run, in iterations
};

struct station {
    struct station_config config;
    struct random random;
    int64_t now_ns;
    struct slot *slots;
    uint32_t n_slots, free; // the free ones, by `next`
    struct slot_list waiting, running;
    struct station_reading total; // counters
    bool draining;
    uint32_t order; // of admission, to break ties
    struct batches batches;
    struct continuous continuous;
};

void slot_append(struct station *s, struct slot_list *l, uint32_t i);
void slot_prepend(struct station *s, struct slot_list *l, uint32_t i);
void slot_remove(struct station *s, struct slot_list *l, uint32_t i);
void slot_release(struct station *s, uint32_t i);
// Fills the event of a slot as it is now. Returns true, as station_step() does.
bool station_tell(const struct station *s, uint32_t i, enum station_event_kind kind, int64_t at_ns,
                  struct station_event *ret);

int batches_check(const struct station_config *c, struct err *e);
int batches_init(struct station *s);
void batches_done(struct station *s);
bool batches_has_room(const struct station *s); // in what is idle, for one more than waits
bool batches_step(struct station *s, int64_t until_ns, struct station_event *ret);
int64_t batches_next_ns(const struct station *s);
void batches_read(struct station *s, struct station_reading *ret);

int continuous_check(const struct station_config *c, struct err *e);
int continuous_init(struct station *s);
void continuous_done(struct station *s);
// Somebody has come to an empty queue, or its head has left: the next iteration may differ.
void continuous_queue_changed(struct station *s);
void continuous_abort(struct station *s); // a running one is aborted from now on
bool continuous_step(struct station *s, int64_t until_ns, struct station_event *ret);
int64_t continuous_next_ns(const struct station *s);
int64_t continuous_next_token_ns(const struct station *s);
uint32_t continuous_tokens(const struct station *s, uint32_t i);
void continuous_read(struct station *s, struct station_reading *ret);
