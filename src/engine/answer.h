// SPDX-License-Identifier: Apache-2.0
/*
 * The bodies that the engine answers with, as vLLM spells them. Appended to a buffer, whose `err`
 * keeps a failure. The text is a few words over and over, one a token.
 */
#pragma once

#include "base/buf.h"
#include "engine/request.h"

enum { ENGINE_ID_MAX = 128 };

struct engine_answer {
    const struct engine_request *request;
    const char *model;
    const char *id;    // of the request
    int64_t created_s; // since 1970
    double queue_s, service_s;
};

// {"error": {...}}
void engine_answer_error(struct buf *b, int status, struct str message);
// The whole answer of a request that was not streamed.
void engine_answer_whole(struct buf *b, const struct engine_answer *a);
// One event with tokens first .. first + n - 1; n 0: a chat's first, which names the role.
// `last`: it says why the answer ends.
void engine_answer_event(struct buf *b, const struct engine_answer *a, uint32_t first, uint32_t n,
                         bool last);
// What follows the last one: usage where it was asked for, and [DONE].
void engine_answer_done(struct buf *b, const struct engine_answer *a);
void engine_answer_models(struct buf *b, const char *model, int64_t created_s, uint64_t max_tokens);
