// SPDX-License-Identifier: Apache-2.0
/* Bodies of requests to the mock engine (the first byte is the route): what is taken fits, has
 * tokens, and no more than bytes; what is not says why in one line and leaves the outcome alone. */
#include "engine/request.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct engine_request_rules rules = {.model = "m", .max_tokens = 1000};
    if (size == 0)
        return 0;
    struct engine_request q = {.prompt_tokens = 7};
    struct err e = {0};
    enum engine_request_kind kind = (enum engine_request_kind)(data[0] % 3);
    struct str body = {(const char *)data + 1, size - 1};
    int r = engine_request_parse(kind, body, &rules, &q, &e);
    if (r < 0) {
        require(q.prompt_tokens == 7 && e.code == r);
        require_message(&e);
        return 0;
    }
    require(q.kind == kind && q.prompt_tokens >= 1 && q.output_tokens >= 1);
    require(q.prompt_tokens + q.output_tokens <= rules.max_tokens);
    require(q.prompt_tokens <= size + 1); // a message with nothing in it has four, and more bytes
    return 0;
}
