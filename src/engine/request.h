// SPDX-License-Identifier: Apache-2.0
/*
 * What a request's body asks for. Pure: bytes in, numbers out; no text of the client's is kept.
 *
 * OpenAI's JSON, read strictly: what is known must have its type and a sensible value, what is not
 * known (temperature, stop, tools, ...) is ignored, as vLLM ignores it. Tokens of a prompt are
 * counted, not made: four bytes of UTF-8 are one, as they about are with Llama's tokenizer on
 * English; a list of token numbers is as long as it is. A chat message costs four more (its role
 * and its marks). The answer is always max_tokens long (vLLM's ignore_eos).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum engine_request_kind { ENGINE_PREDICT, ENGINE_COMPLETION, ENGINE_CHAT };

enum { ENGINE_DEFAULT_MAX_TOKENS = 128 };

struct engine_request {
    enum engine_request_kind kind;
    uint32_t prompt_tokens, output_tokens; // each >= 1
    bool stream, include_usage;
};

struct engine_request_rules {
    const char *model;   // that is served
    uint64_t max_tokens; // that prompt and answer may have together; 0: any
};

// 0; ERR_PARSE (not JSON: line and column), ERR_INVALID (the key and what is allowed), ERR_NOTFOUND
// (another model), ERR_LIMIT (more tokens than max_tokens), ERR_NOMEM.
int engine_request_parse(enum engine_request_kind kind, struct str body,
                         const struct engine_request_rules *rules, struct engine_request *ret,
                         struct err *e);
