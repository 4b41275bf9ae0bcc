// SPDX-License-Identifier: Apache-2.0
/* JSON of `gpuscale top`: pages of the scaler's status API in, one object a refresh out. */
#pragma once

#include "base/buf.h"
#include "tools/top_model.h"

enum top_list { TOP_LIST_GPUS, TOP_LIST_WORKLOADS, TOP_LIST_OBJECTS, TOP_LIST_MAX };
extern const char *const top_list_paths[TOP_LIST_MAX]; // "/api/v1/gpus", ...

// Adds a page of a list. *ret_next: the offset of the next page, 0: it was the last. Objects go to
// the workloads, which must be there. What is missing in it is unknown; ERR_PARSE: it is no such
// page, with the reason; ERR_NOMEM, ERR_LIMIT.
int top_json_take(struct top_snapshot *s, enum top_list list, struct str page, size_t *ret_next,
                  struct err *e);

// One line (docs/top.md has the keys). Unknown: null.
int top_json_write(struct buf *b, const struct top_snapshot *s, const char *server,
                   const char *time);
