// SPDX-License-Identifier: Apache-2.0
/*
 * One line of a message at a time (internal to net/http1*). Lines come without CR LF and without
 * other control bytes than HTAB; a failure is left in the request by http1_fail(). What requests
 * and answers share reads or judges a value and leaves the verdict to its caller.
 */
#pragma once

#include "net/http1.h"

enum { HTTP1_METHOD_MAX = 32 };

void http1_fail(struct http1 *h, int status, const char *why);
void http1_request_line(struct http1 *h, struct str line);
void http1_field_line(struct http1 *h, struct str line);
bool http1_field_ok(struct str line); // syntax alone
bool http1_chunk_line(struct str line, uint64_t *ret_size);
void http1_decode_path(struct http1 *h); // in place
// Percent-decodes n bytes of src to dst (may be the same place); '+' too when `form`. Returns the
// length, or -1 at a bad escape or a NUL. `cap` bounds dst: -2 when it does not fit.
long http1_decode(const char *src, size_t n, char *dst, size_t cap, bool form);

// Shared by requests and answers.
bool http1_cut_field(struct str line, struct str *ret_name, struct str *ret_value); // Name: value
// Content-Length: digits alone; UINT64_MAX where they say more than fits.
bool http1_length(struct str value, uint64_t *ret_length);
// One Connection field. `keep_alive` starts as the version's habit; "close" in any field wins.
void http1_connection(struct str value, bool *keep_alive, bool *closes);
bool http1_is_token(struct str s); // not empty
bool http1_is_target(struct str s);
bool http1_is_host(struct str s);
