// SPDX-License-Identifier: Apache-2.0
/*
 * Kubernetes Events on the ScaledObject (kubernetes.events): when the decision changes, when it
 * cannot be made or met, when something else scales the same workload. Of each object and reason
 * there is one Event, patched when it happens again, written at most each EVENTS_SPACING_S with the
 * newest words; all objects together write EVENTS_PER_S. What cannot be written is counted and
 * said once, and holds nothing up. io thread.
 */
#pragma once

#include "base/err.h"
#include "core/policy/record.h"

struct io;
struct object;
struct prom_writer;

enum { EVENTS_SPACING_S = 15, EVENTS_REMIND_S = 300, EVENTS_PER_S = 20 };

// After a decision; `was` is the one before, NULL: it is the first.
void io_events_decided(struct io *io, struct object *o, const struct record *now,
                       const struct record *was);
void io_events_no_workload(struct io *io, struct object *o); // o->fault says why
// An engine answers its page with an error.
void io_events_page_refused(struct io *io, struct object *o, const char *pod,
                            const struct err *why);
void io_events_turn(struct io *io, int64_t now_ns); // once a tick: writes what is due
void io_events_forget(struct object *o);            // it goes
void io_events_families(const struct io *io, struct prom_writer *w);
