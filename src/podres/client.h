// SPDX-License-Identifier: Apache-2.0
/*
 * Asks the kubelet on its unix socket which container holds which device (v1 PodResourcesLister,
 * List). Each question has its own connection: whoever listens on the path then is who is asked, so
 * a kubelet that restarted, or replaced its socket, needs no special case, and between two
 * questions nothing is held. Never blocks; on a loop, by its thread.
 */
#pragma once

#include <uv.h>

#include "podres/answer.h"

struct podres_client;

struct podres_client_options {
    const char *socket;  // path; copied
    uint32_t timeout_ms; // of a question, its connection included
    // The answer to a question, or why there is none; never from inside podres_client_ask(). What
    // is in the answer lives until the callback returns.
    void (*answered)(void *ctx, const struct podres_answer *answer);
    // The message names the place and, where there is one, the remedy. ERR_NOTFOUND: there is no
    // such socket. ERR_AUTH: it may not be opened. ERR_UNSUPPORTED: the kubelet has no such API.
    // ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_PROTO, ERR_LIMIT, ERR_NOMEM.
    void (*failed)(void *ctx, const struct err *why);
    void *ctx;
};

// ERR_INVALID: a path that cannot be a socket's; ERR_NOMEM.
int podres_client_new(struct podres_client **ret, uv_loop_t *loop,
                      const struct podres_client_options *options, struct err *e);
// Nothing is told any more. Allowed from inside callbacks. NULL-safe, returns NULL.
struct podres_client *podres_client_free(struct podres_client *c);
// One question at a time: while one runs this does nothing.
void podres_client_ask(struct podres_client *c);
bool podres_client_is_asking(const struct podres_client *c);
