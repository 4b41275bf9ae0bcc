// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to an API server: one kube_client a server and loop. A request names the RBAC verb and
 * the place; the client adds who we are, repeats what may be repeated (a new credential after 401,
 * the server's own time after 429 and 503, a back-off after other 5xx and lost connections), and
 * says what an answer means.
 *
 *     struct kube_request q = {.verb = "patch", .at = {"apps", "v1", "deployments", "ml", "llm",
 *         "scale"}, .content = STR("{\"spec\":{\"replicas\":3}}"),
 *         .content_type = KUBE_MERGE_PATCH, .attempts = 3, .done = on_scaled};
 *     kube_client_ask(&call, client, &q, &e);
 */
#pragma once

#include <uv.h>

#include "kube/answer.h"
#include "kube/config.h"

#define KUBE_MERGE_PATCH "application/merge-patch+json"

struct kube_client;
struct kube_call; // a running request

struct kube_client_options {
    uv_loop_t *loop;
    const struct kube_config *config; // borrowed
    uint64_t seed;                    // of jitter
    // 0: kube/backoff.h's.
    int64_t backoff_min_ns, backoff_max_ns;
};

// Reads the configuration's files. ERR_IO, ERR_AUTH, ... with place.
int kube_client_new(struct kube_client **ret, const struct kube_client_options *options,
                    struct err *e);
// Cancels what runs, without `done`. NULL-safe; allowed inside `done`. The loop must turn.
struct kube_client *kube_client_free(struct kube_client *client);
uv_loop_t *kube_client_loop(const struct kube_client *client);
// Files of the configuration that changed and cannot be read: why (the old ones are in use). Code
// 0: nothing. To be told with what fails, and before anything does.
const struct err *kube_client_trouble(const struct kube_client *client);

struct kube_answer {
    enum kube_fault fault;
    struct err err;         // a sentence with verb, place and remedy; code 0 when ok
    int status;             // HTTP's of the last attempt; 0: none
    int64_t retry_after_ms; // -1: none
    struct str body;        // gathered; good inside `done`
    unsigned attempts;      // made
};

struct kube_request {
    const char *verb; // "get", "list", "watch", "create", "update", "patch", "delete"
    struct kube_resource at;
    const char *query; // "limit=250"; NULL: none
    struct str content;
    const char *content_type; // NULL: application/json
    uint32_t timeout_ms;      // of an attempt; 0: 30 s, of a watch: none
    unsigned attempts;        // at most; 0: 1
    // May be sent again although the first may have been done. Reads always may.
    bool repeatable;
    // A success's bytes as they come, and only the last attempt's: nothing is repeated once one has
    // been given. NULL: gathered, up to LIMIT_KUBE_ANSWER_BYTES. False ends it. Must not call
    // kube_client_*.
    bool (*body)(void *ctx, const char *p, size_t n);
    // Once, from the loop, never from inside kube_client_ask(). The call is gone after it.
    void (*done)(void *ctx, const struct kube_answer *answer);
    void *ctx;
};

// The strings may go when it returns. ERR_INVALID (a name that is none), ERR_LIMIT, ERR_NOMEM.
int kube_client_ask(struct kube_call **ret, struct kube_client *client,
                    const struct kube_request *request, struct err *e);
int kube_call_status(const struct kube_call *call); // HTTP's, so far; 0: none came
void kube_call_cancel(struct kube_call *call);      // without `done`
