// SPDX-License-Identifier: Apache-2.0
/*
 * The bytes of requests: one and the same for all, or an OpenAI completion of its own length each.
 * A prompt of n tokens is n common words of three letters with a blank between: 4 bytes a token,
 * and one token a word for the usual tokenizers. Each begins elsewhere in a text drawn from the
 * seed, so that an engine's cache of prefixes helps no more than it would with real users.
 */
#pragma once

#include "load/options.h"
#include "load/target.h"

enum { REQUEST_WORDS = 8192 };

struct request_maker {
    const struct load_options *options;
    const struct load_target *target;
    bool chat;
    struct buf fixed; // the whole request; openai: empty
    struct buf body;  // the last one made
    struct random random;
    char words[REQUEST_WORDS * 4]; // "the and for "
};

// ERR_INVALID (method, path, ...), ERR_NOMEM.
int request_maker_init(struct request_maker *m, const struct load_options *o,
                       const struct load_target *t, struct err *e);
void request_maker_done(struct request_maker *m);
// The next request for an item of the schedule: into `out` (cleared first), or m->fixed where
// requests are all the same; *ret lives as long as either is left alone. ERR_LIMIT, ERR_NOMEM.
int request_make(struct request_maker *m, const struct schedule_item *item, struct buf *out,
                 struct str *ret, struct err *e);
