// SPDX-License-Identifier: Apache-2.0
/*
 * Traces of requests: when each came, how long its prompt and its answer were. Bytes in, in any
 * split; rows out. Formats (trace_format_names):
 *     azure      TIMESTAMP,ContextTokens,GeneratedTokens        Azure/AzurePublicDataset, LLM 2023
 *     burstgpt   Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
 *     mooncake   a JSON object a line: timestamp (ms), input_length, output_length
 *     csv        t_s[,prompt_tokens][,output_tokens], in any order, other columns skipped
 * Without a format the first line tells it. Fields of CSV may stand in double quotes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

enum trace_format {
    TRACE_AUTO,
    TRACE_AZURE,
    TRACE_BURSTGPT,
    TRACE_MOONCAKE,
    TRACE_CSV,
    TRACE_FORMAT_COUNT,
};

extern const char *const trace_format_names[]; // "auto", "azure", ..., NULL

struct trace_row {
    int64_t at_ns;                         // since the first row
    uint32_t prompt_tokens, output_tokens; // 0: the trace does not tell
};

enum { TRACE_COLUMNS_MAX = 64 };

struct trace {
    enum trace_format format;
    struct VEC(struct trace_row) rows; // ascending in time after trace_finish()

    // Private.
    struct buf line;
    uint64_t line_number;
    // Which column is meant; -1: there is none.
    int time_column, prompt_column, output_column;
};

// At most `max_rows` rows.
void trace_init(struct trace *t, enum trace_format format, size_t max_rows);
void trace_done(struct trace *t);
// ERR_PARSE with the line, what stands there and what is expected; ERR_LIMIT (rows, or a line over
// LIMIT_TRACE_LINE_BYTES), ERR_NOMEM.
int trace_feed(struct trace *t, const void *p, size_t n, struct err *e);
// The end of the input: a last line without its end counts. Sorts by time (rows of one time keep
// their order) and counts from the first. ERR_PARSE when there is no row.
int trace_finish(struct trace *t, struct err *e);
int64_t trace_end_ns(const struct trace *t); // of the last row
