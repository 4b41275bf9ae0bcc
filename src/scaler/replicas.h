// SPDX-License-Identifier: Apache-2.0
/*
 * Several scalers (docs/replicas.md), on the io thread: who leads is the Lease's matter (lease.h).
 * The leader has sources, decides, and tells the others through the rpc thread (tell.h). A follower
 * has none: it answers KEDA with the leader's decisions (follow.h), and keeps of every object what
 * it needs to go on with it. Where no `replicas` are configured there is one scaler, and it leads.
 */
#pragma once

#include "base/buf.h"
#include "scaler/io.h"

// A follower tells the leader so often whom KEDA asks it about: well below LIMIT_OBJECT_IDLE_MS.
enum { REPLICAS_ENROLL_S = 60 };

struct prom_writer;

int io_replicas_start(struct io *io, struct err *e);
void io_replicas_stop(struct io *io); // before io->kube goes; the loop must turn once more
void io_replicas_done(struct io *io);

// Has this scaler the leader's part? Holds until the loop turns; io_replicas_check() ends it.
bool io_leads(const struct io *io);
// May a decision be made at this moment?
bool io_may_decide(const struct io *io);
// Before a turn of decisions: ends the leader's part when its time is over.
void io_replicas_check(struct io *io);
// A graceful end begins: no more decisions; the Lease is given up, then the rpc thread is told to
// stop. False: there is nothing to give up.
bool io_replicas_resign(struct io *io);
// Has a leader's decisions all been heard? Adds what is missing, a line.
bool io_replicas_ready(const struct io *io, struct buf *missing);
// When this scaler began to lead: what came before was seen by another. The start's time alone.
int64_t io_replicas_led_ns(const struct io *io);
// Went the decisions on from another scaler's?
bool io_replicas_inherited(const struct io *io);
// The sources were not followed for so long yet: nothing is lowered.
bool io_replicas_settling(const struct io *io, int64_t rate_window_ns, int64_t now_ns);

// An object is new here: its decider goes on where another scaler's was; a follower answers with
// what it was told, or asks the leader.
void io_replicas_meet(struct io *io, struct object *o);
void io_replicas_forget(struct io *io, struct object *o);
// A feed was found for the object: what was learned of its workload elsewhere is gone on with.
void io_replicas_teach(struct io *io, struct object *o, int64_t now_ns);
// The leader: this is what KEDA is told of the object now; and again when its window has moved, or
// something was learned.
void io_replicas_tell(struct io *io, struct object *o, const struct published *p,
                      struct str message);
void io_replicas_tell_again(struct io *io, struct object *o, int64_t now_ns);

// io_flush(): when the decisions in it were made, what goes with it, and back when it did not go.
int64_t io_replicas_decided_ns(const struct io *io, int64_t now_ns);
void io_replicas_pass(struct io *io, struct to_rpc *m);
void io_replicas_take_back(struct io *io, struct to_rpc *m);

void io_replicas_tick(struct io *io, int64_t now_ns); // once a tick, either part

// replicas_show.c
void io_replicas_show(const struct io *io, struct buf *out); // JSON
void io_replicas_families(const struct io *io, struct prom_writer *w);
// For who asks a follower why: where to ask, and what is known here of an object.
void io_replicas_tell_reader(const struct io *io, struct buf *out);
void io_replicas_show_object(const struct io *io, const struct object *o, struct buf *b); // members
void io_replicas_tell_object(const struct io *io, const struct object *o, struct buf *out);
