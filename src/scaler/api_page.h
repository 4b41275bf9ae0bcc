// SPDX-License-Identifier: Apache-2.0
/* What the status API's lists share: parameters, the frame of a list, small JSON helpers. */
#pragma once

#include "base/buf.h"
#include "net/http_server.h"
#include "scaler/view.h"

enum {
    API_LIMIT = 100,
    API_LIMIT_MAX = 1000,
    API_BODY_MAX = 64 << 20,
    API_ITEM_MAX = 4 << 20, // a workload of 4096 pods is the largest
};

struct api_page {
    struct http_request *request;
    const struct view *view; // what may be shown
    struct buf out;
    size_t limit, offset; // of the list
    size_t seen, shown;
    int rc; // the first failure
};

// Reads limit and offset. False: answered with 400.
bool api_page_begin(struct api_page *p, struct http_request *r, const struct view *view,
                    size_t limit, size_t limit_max);
// One more item exists: true when it is to be written now (a comma is then written before it, and
// there is room for API_ITEM_MAX bytes: writing the item cannot fail).
bool api_page_item(struct api_page *p);
// Ends the list and answers.
void api_page_end(struct api_page *p);
// Drops everything and answers with an error as JSON.
void api_page_fail(struct api_page *p, int status, const char *message);
// "prod" of ?namespace=prod into dst ("" when not given). False: answered with 400.
bool api_param(struct http_request *r, const char *name, char *dst, size_t cap);

void api_text(struct buf *b, const char *key, const char *value); // ,"key":"value"
void api_number(struct buf *b, const char *key, double value);    // null when not finite
void api_int(struct buf *b, const char *key, int64_t value);
void api_bool(struct buf *b, const char *key, bool value);
