// SPDX-License-Identifier: Apache-2.0
/*
 * The bounded log of one run's events, ready to be sent as server-sent events (what a page that
 * connects late is played first) and to be put into a report. Pure: who sends them reads with a
 * cursor, so a slow reader costs nothing and misses what the log has dropped meanwhile.
 */
#pragma once

#include "report/frame.h"

enum live_keep {
    LIVE_THIN, // full: every second frame without a decision goes, over the whole run
    LIVE_LAST, // full: the oldest go
};

struct live;

struct live_cursor { // all zero: at the beginning
    uint64_t seq, hello;
};

// NULL without memory. max_bytes: of events; a single one has at most LIMIT_LIVE_EVENT_BYTES.
struct live *live_new(size_t max_bytes, enum live_keep keep);
struct live *live_free(struct live *l);

// Each 0, ERR_LIMIT or ERR_NOMEM; on failure the log is as before. A new hello stands for the old
// one: with the same `run` its frames stay and the policies are those of the new one, with another
// the log begins anew.
int live_hello(struct live *l, const struct frame_hello *h);
int live_frame(struct live *l, const struct frame *f);
int live_end(struct live *l, const struct frame_end *e);

// The event after the cursor (at the beginning: the hello) as the bytes of a server-sent event,
// valid until the log changes. False: there is none yet.
bool live_next(const struct live *l, struct live_cursor *c, struct str *ret_event);
bool live_ended(const struct live *l);
size_t live_frames(const struct live *l); // kept

// {"hello":...,"frames":[...],"end":...|null}. 0, ERR_LIMIT, ERR_NOMEM of the buffer; ERR_NOTFOUND:
// no hello yet.
int live_json(struct buf *b, const struct live *l);
