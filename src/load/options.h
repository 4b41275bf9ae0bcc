// SPDX-License-Identifier: Apache-2.0
/* What `gpuscale load` is told: the flags as they are bound, and what they mean together. */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"
#include "load/schedule.h"
#include "net/http1_answer.h"

enum load_progress {
    LOAD_PROGRESS_AUTO, // a line that is redrawn where stderr is a terminal, else nothing
    LOAD_PROGRESS_LINE,
    LOAD_PROGRESS_JSON,
    LOAD_PROGRESS_NONE,
};

struct load_flags { // as written
    const char *target, *rate, *method, *body, *body_file, *openai, *model, *replay;
    const char *ca, *cert, *key, *json, *html;
    CONF_LIST_OF(const char *) headers;
    enum load_arrivals arrivals;
    enum load_progress progress;
    int64_t duration_ns, timeout_ns, interval_ns, seed, connections;
    double speed;
    bool stream, insecure;
};

extern const struct conf_spec load_spec; // of struct load_flags

// The same, read: what a run needs. Strings are the flags'.
struct load_options {
    const struct load_flags *flags;
    struct shape shape;
    struct trace trace; // rows.n > 0: replayed instead of the shape
    struct load_lengths lengths;
    struct http1_header headers[LIMIT_HTTP_HEADERS];
    size_t n_headers;
    bool openai;     // bodies are made, with lengths of their own
    struct buf body; // of every request; openai false
    bool has_body;
};

// ERR_INVALID, ERR_LIMIT, ERR_PARSE, ERR_IO with the flag and the remedy.
int load_options_read(struct load_options *ret, const struct load_flags *flags, struct err *e);
void load_options_done(struct load_options *o);
