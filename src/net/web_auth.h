// SPDX-License-Identifier: Apache-2.0
/*
 * A web-config file at work: the TLS of a port, and the names and passwords (HTTP's Basic) of those
 * who may read it; read again when it or its certificates change. A new version that does not hold
 * keeps the old one in use. The loop's thread.
 */
#pragma once

#include "net/http_server.h"
#include "net/password_check.h"

struct web_auth;

// Reads the file and what it names. Errors: web_config.h's and tls.h's.
int web_auth_open(struct web_auth **ret, uv_loop_t *loop, const char *path, struct err *e);
// Who waits for a password's check is answered 503, and so is who asks later; the loop must turn
// until a running check has ended. NULL-safe; not from inside `done`.
void web_auth_stop(struct web_auth *w);
// After web_auth_stop(), when the loop has turned and no connection uses its TLS. NULL-safe.
struct web_auth *web_auth_free(struct web_auth *w);

struct net_tls *web_auth_tls(const struct web_auth *w); // NULL: plain. Gone with it
bool web_auth_mutual(const struct web_auth *w);         // a certificate is required
bool web_auth_has_users(const struct web_auth *w);
// When the file or a certificate changed: 1 taken, 0 unchanged, negative with the reason: the old
// version stays, and the next call tries again. A port does not become TLS
// or plain while it is open: that is an error of the new version.
int web_auth_reload(struct web_auth *w, struct err *e);

// "Authorization: Basic": whether there is one at all.
bool web_auth_is_basic(const struct http_request *r);
// Is it a user's? Without one, or where it makes no sense: PASSWORD_WRONG. As password_check().
void web_auth_check(struct web_auth *w, const struct http_request *r,
                    void (*done)(void *ctx, enum password_verdict verdict), void *ctx);
// For a port where nothing else counts: calls `handle`, now or later, when there are no users or it
// is one; else answers 401 with a challenge, or 503.
void web_auth_admit(struct web_auth *w, struct http_request *r,
                    void (*handle)(struct http_request *r, void *ctx), void *ctx);

#define WEB_AUTH_CHALLENGE "WWW-Authenticate: Basic realm=\"gpuscale\", charset=\"UTF-8\"\r\n"
// 503: too many passwords wait to be checked.
void web_auth_answer_busy(struct http_request *r);
