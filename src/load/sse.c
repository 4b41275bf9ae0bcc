// SPDX-License-Identifier: Apache-2.0
/* Lines of an event stream: what a line is shows in its first bytes, the rest is only counted. */
#include "load/sse.h"

#include <string.h>

// A blank line ends an event; without data it is none.
static bool line_end(struct sse *s) {
    bool event = false;
    if (s->line_n == 0) {
        event = s->has_data && !s->is_done;
        s->done = s->done || s->is_done;
        s->events += event;
        s->has_data = s->is_done = false;
    } else if (s->line_n >= 5 && memcmp(s->start, "data:", 5) == 0) {
        size_t at = s->line_n > 5 && s->start[5] == ' ' ? 6 : 5;
        s->is_done = !s->has_data && s->line_n == at + 6 && memcmp(s->start + at, "[DONE]", 6) == 0;
        s->has_data = true;
    }
    s->line_n = 0;
    return event;
}

uint64_t sse_feed(struct sse *s, const char *p, size_t n) {
    uint64_t events = 0;
    for (size_t i = 0; i < n;) {
        char c = p[i];
        if (c == '\n' && s->after_cr) { // of CR LF: the line has ended
            s->after_cr = false;
            i++;
            continue;
        }
        s->after_cr = c == '\r';
        if (c == '\n' || c == '\r') {
            events += line_end(s);
            i++;
            continue;
        }
        size_t run = 1;
        while (i + run < n && p[i + run] != '\n' && p[i + run] != '\r')
            run++;
        size_t room = s->line_n < sizeof(s->start) ? sizeof(s->start) - s->line_n : 0;
        memcpy(s->start + (room ? s->line_n : 0), p + i, run < room ? run : room);
        s->line_n += run;
        i += run;
    }
    return events;
}
