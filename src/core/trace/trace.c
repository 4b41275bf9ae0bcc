// SPDX-License-Identifier: Apache-2.0
/* Lines of a trace, its header, its order in time. What a line means is in trace_line.c. */
#include "core/trace/trace.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "core/trace/trace_line.h"

const char *const trace_format_names[] = {"auto", "azure", "burstgpt", "mooncake", "csv", NULL};

void trace_init(struct trace *t, enum trace_format format, size_t max_rows) {
    *t = (struct trace){
        .format = format, .time_column = -1, .prompt_column = -1, .output_column = -1};
    vec_init(&t->rows, max_rows);
    buf_init(&t->line, LIMIT_TRACE_LINE_BYTES);
}

void trace_done(struct trace *t) {
    vec_done(&t->rows);
    buf_done(&t->line);
}

static int add_row(struct trace *t, struct trace_row row, struct err *e) {
    int r = vec_push(&t->rows, row);
    if (r == ERR_LIMIT)
        return err_set(e, r, "more than %zu requests", t->rows.max);
    return r < 0 ? err_set(e, r, "no memory for the trace") : 0;
}

static int take_line(struct trace *t, struct str line, struct err *e) {
    struct trace_row row;
    int r;
    t->line_number++;
    if (t->line_number == 1 && line.n >= 3 && memcmp(line.p, "\xef\xbb\xbf", 3) == 0)
        line = (struct str){line.p + 3, line.n - 3};
    line = str_trim(line);
    if (line.n == 0)
        return 0;
    bool headed = t->time_column >= 0;
    if (t->format == TRACE_AUTO && line.p[0] == '{')
        t->format = TRACE_MOONCAKE;
    if (t->format == TRACE_MOONCAKE) {
        r = trace_json_line(line, &row, e);
    } else if (!headed) {
        r = trace_header_line(t, line, e);
    } else {
        r = trace_csv_line(t, line, &row, e);
    }
    if (r < 0)
        return err_wrap(e, "line %llu", (unsigned long long)t->line_number);
    return t->format == TRACE_MOONCAKE || headed ? add_row(t, row, e) : 0;
}

int trace_feed(struct trace *t, const void *bytes, size_t n, struct err *e) {
    const char *p = bytes, *end;
    while (n > 0) {
        end = memchr(p, '\n', n);
        size_t take = end ? (size_t)(end - p) + 1 : n;
        if (t->line.len == 0 && end && take <= LIMIT_TRACE_LINE_BYTES) { // whole, where it lies
            int r = take_line(t, (struct str){p, take}, e);
            if (r < 0)
                return r;
        } else {
            int r = buf_add(&t->line, p, take);
            if (r == ERR_LIMIT)
                return err_set(e, r, "line %llu is longer than %d bytes",
                               (unsigned long long)t->line_number + 1, LIMIT_TRACE_LINE_BYTES);
            if (r < 0)
                return err_set(e, r, "no memory for the trace");
            if (end) {
                r = take_line(t, buf_str(&t->line), e);
                if (r < 0)
                    return r;
                buf_clear(&t->line);
            }
        }
        p += take;
        n -= take;
    }
    return 0;
}

static bool sorted(const struct trace *t) {
    for (size_t i = 1; i < t->rows.n; i++)
        if (t->rows.items[i].at_ns < t->rows.items[i - 1].at_ns)
            return false;
    return true;
}

static void merge(const struct trace_row *from, struct trace_row *to, size_t at, size_t middle,
                  size_t end) {
    size_t a = at, b = middle;
    for (size_t i = at; i < end; i++)
        to[i] = b == end || (a < middle && from[a].at_ns <= from[b].at_ns) ? from[a++] : from[b++];
}

// Stable: rows of one time keep the file's order.
static int sort_rows(struct trace *t, struct err *e) {
    size_t n = t->rows.n;
    struct trace_row *from = t->rows.items, *to = mem_array(n, sizeof(*to));
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for the trace");
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t at = 0; at < n; at += 2 * width) {
            size_t middle = at + width < n ? at + width : n;
            merge(from, to, at, middle, at + 2 * width < n ? at + 2 * width : n);
        }
        struct trace_row *swap = from;
        from = to;
        to = swap;
    }
    mem_free(to);
    t->rows.items = from;
    t->rows.cap = n;
    return 0;
}

int trace_finish(struct trace *t, struct err *e) {
    if (t->line.len > 0) {
        int r = take_line(t, buf_str(&t->line), e);
        if (r < 0)
            return r;
        buf_done(&t->line);
    }
    if (t->rows.n == 0)
        return err_set(e, ERR_PARSE, "there is no request in it");
    if (!sorted(t)) {
        int r = sort_rows(t, e);
        if (r < 0)
            return r;
    }
    int64_t first = t->rows.items[0].at_ns;
    for (size_t i = 0; i < t->rows.n; i++)
        t->rows.items[i].at_ns -= first;
    return 0;
}

int64_t trace_end_ns(const struct trace *t) {
    return t->rows.n ? t->rows.items[t->rows.n - 1].at_ns : 0;
}
