// SPDX-License-Identifier: Apache-2.0
/*
 * What the demo shows in a terminal: one screen, drawn again in place, or, where the output is no
 * terminal, plain lines. Pure: text into a buffer.
 */
#pragma once

#include "base/buf.h"
#include "playground/act.h"
#include "playground/table.h"

enum { SCREEN_EVENTS = 6, SCREEN_EVENT_LEN = 256, SCREEN_HISTORY = 256 };

struct screen_event {
    double t_s; // of its act
    char who[16];
    char text[SCREEN_EVENT_LEN];
};

struct screen {
    bool color;
    int columns, rows;                         // of the terminal; rows 0: as many as it takes
    int drawn;                                 // lines of the last drawing
    int since_heading;                         // plain rows
    struct screen_event events[SCREEN_EVENTS]; // the newest last
    size_t n_events;
    double arriving[SCREEN_HISTORY], replicas[SCREEN_HISTORY]; // of the act, a second each
    size_t n_history;
};

struct screen_frame {
    const char *label; // of the policy
    int act, acts;     // from 1
    double act_s, speed, usd_per_gpu_hour;
    double arriving, served; // requests a second, of the last one; NAN: not known yet
    const struct act_view *view;
    const struct table_row *finished; // acts before this one
    size_t n_finished;
    const char *page; // URL; NULL: none
};

void screen_begin_act(struct screen *s);
void screen_add_event(struct screen *s, double t_s, const char *who, const char *text);
void screen_add_second(struct screen *s, double arriving, double replicas); // NAN: not known
// Over the last drawing, in place.
int screen_draw(struct screen *s, struct buf *out, const struct screen_frame *f);
// One line, with a heading now and then.
int screen_row(struct screen *s, struct buf *out, const struct screen_frame *f);
// An event as a plain line, wrapped.
int screen_event_line(struct buf *out, double t_s, const char *who, const char *text, int columns);
