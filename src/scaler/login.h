// SPDX-License-Identifier: Apache-2.0
/*
 * How a browser shows a token: a form, and the cookie that it becomes. The cookie is the token, so
 * that any replica of the scaler takes it; HttpOnly and SameSite=Strict, and bound to TLS where the
 * port has it. No script, no session on this side.
 */
#pragma once

#include "base/buf.h"
#include "net/http_server.h"

enum { LOGIN_TOKEN_MAX = 4000 }; // browsers keep 4096 bytes of a cookie

// Answers with the form. `why`: a sentence of ours above it; NULL: none. `challenge`: a header line
// of a 401; NULL: none.
void login_answer_form(struct http_request *r, int status, const char *why, const char *challenge);
// Does the client prefer HTML?
bool login_wants_html(const struct http_request *r);
// The token of a posted form into dst. 0; ERR_INVALID: none, or not one that a cookie can hold;
// ERR_LIMIT: too long for one.
int login_form_token(const struct http_request *r, char dst[LOGIN_TOKEN_MAX + 1]);
// The cookie's value; {NULL, 0}: it has none.
struct str login_cookie(const struct http_request *r, bool tls);
// 303 to the page, with the cookie ("" takes it back) set.
void login_answer_cookie(struct http_request *r, const char *token, bool tls);
