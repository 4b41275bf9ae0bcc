// SPDX-License-Identifier: Apache-2.0
/*
 * Inside of web/fetch: the pool's and the request's parts, shared by pool.c (libcurl on the loop),
 * fetch.c (one request) and outcome.c (what an ended request means). Not for other folders.
 */
#pragma once

#include <curl/curl.h>

#include "base/limits.h"
#include "web/fetch.h"

enum { FETCH_IDLE_HANDLES = 64, FETCH_NOTE_MAX = 160 };

struct fetch_pool {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    unsigned open_handles; // uv handles whose close has not come back
    bool *gone; // set while messages are drained: fetch_pool_free() inside `done` tells by it
    struct fetch *running;
    CURL *idle[FETCH_IDLE_HANDLES]; // easy handles to use again
    unsigned n_idle;
    struct fetch_pool_stats stats;
};

struct fetch {
    struct fetch *prev, *next; // of pool->running
    struct fetch_pool *pool;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct fetch_options o; // its strings are not kept
    int64_t started_ns;
    uint64_t head_bytes, body_bytes, other_bytes; // other: of a body that is not handed on
    bool https, judged;
    bool headed, chunked, encoded; // the answer's head: ended, and what it says
    int64_t retry_after_ms;        // -1: the head says none
    enum fetch_failure failure;    // set by a callback that ended the request
    struct err err;
    char curl_error[CURL_ERROR_SIZE];
    char note[FETCH_NOTE_MAX]; // the beginning of an error answer's body
    size_t note_len;
    char shown[]; // the URL as messages show it
};

// A handle with nothing set; NULL: out of memory. Given back after curl_multi_remove_handle().
CURL *pool_handle_take(struct fetch_pool *pool);
void pool_handle_give(struct fetch_pool *pool, CURL *easy);

// Sets the trust and identity of one request, and the server's name: tls's own, or `server_name`
// (tls, server_name: may be NULL). 0 or ERR_NOMEM.
int fetch_tls_apply(const struct fetch_tls *tls, const char *server_name, const char *url,
                    CURL *easy, struct curl_slist **connect_to);

// Sets the token, or user and password, of one request. 0, ERR_AUTH, ERR_NOMEM.
int fetch_auth_apply(const struct fetch_auth *auth, CURL *easy, struct err *e);

// The request has ended in libcurl with `code`: tells `done`, then frees it.
void fetch_finish(struct fetch *f, CURLcode code);
// Unlinks and frees without telling.
void fetch_discard(struct fetch *f);

// Fails the request from inside a callback.
void outcome_fail(struct fetch *f, enum fetch_failure failure, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// Looks at status and content type once the head is there; false: no bytes of it are handed on.
bool outcome_judge_head(struct fetch *f);
// As told, 100 to 999; 0: none, or a number that is no status (libcurl takes any behind "HTTP/2").
int outcome_status(const struct fetch *f);
// Fills failure and err from what libcurl says at the end.
void outcome_judge_end(struct fetch *f, CURLcode code);
