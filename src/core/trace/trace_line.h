// SPDX-License-Identifier: Apache-2.0
/* What one line of a trace means (internal to core/trace). Lines come without white space around.
 */
#pragma once

#include "core/trace/trace.h"

// The columns of a CSV trace, by its first line; sets t->format where that was auto.
int trace_header_line(struct trace *t, struct str line, struct err *e);
// at_ns as the trace counts it: any origin.
int trace_csv_line(const struct trace *t, struct str line, struct trace_row *ret, struct err *e);
int trace_json_line(struct str line, struct trace_row *ret, struct err *e);
// "2023-11-16 18:15:46.6805900", a T between, a zone Z or +00:00 behind: since 1970.
bool trace_timestamp(struct str s, int64_t *ret_ns);
