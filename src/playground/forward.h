// SPDX-License-Identifier: Apache-2.0
/*
 * What a reverse proxy changes of a request and of an answer on their way (RFC 9110 section 7.6):
 * fields of one hop stay on it, the framing is made anew. Pure.
 */
#pragma once

#include "base/buf.h"
#include "net/http1.h"
#include "net/http1_answer.h"

// The head of the request `h` (DONE) as it goes to a replica at `host`; the body follows as it is
// in http1_body(). HEAD is asked as GET. ERR_LIMIT, ERR_NOMEM.
int forward_request_head(struct buf *out, const struct http1 *h, const char *host);
// The answer's fields that go on, "Name: value\r\n"..., without Date and the framing.
int forward_answer_fields(struct buf *out, const struct http1_answer *a);
