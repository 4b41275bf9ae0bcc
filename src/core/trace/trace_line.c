// SPDX-License-Identifier: Apache-2.0
/* Lines of traces: CSV headers and rows, JSON objects, timestamps. */
#include "core/trace/trace_line.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

#define NS_PER_SECOND 1000000000LL

// A trace is at most so long: 1000 years, so that nanoseconds fit.
#define SECONDS_MAX 9e9

static int expected(struct err *e, const char *what, struct str found) {
    char shown[48];
    size_t n = 0;
    for (size_t i = 0; i < found.n && n < sizeof(shown) - 1; i++)
        shown[n++] = found.p[i] >= 0x20 && found.p[i] < 0x7f ? found.p[i] : '?';
    shown[n] = '\0';
    return err_set(e, ERR_PARSE, "found \"%s\", expected %s", shown, what);
}

// The next field of a CSV line, its quotes cut off; false when a quote has no end.
static bool next_field(struct str *line, struct str *ret) {
    struct str field = str_trim(*line);
    if (field.n == 0 || field.p[0] != '"') {
        *ret = str_trim(str_cut(line, ','));
        return true;
    }
    size_t i = 1;
    while (i < field.n && (field.p[i] != '"' || (i + 1 < field.n && field.p[i + 1] == '"')))
        i += field.p[i] == '"' ? 2 : 1;
    if (i >= field.n)
        return false;
    *ret = (struct str){field.p + 1, i - 1};
    struct str rest = {field.p + i + 1, field.n - i - 1};
    struct str between = str_trim(str_cut(&rest, ','));
    *line = rest;
    return between.n == 0;
}

struct columns {
    enum trace_format format;
    const char *time, *prompt, *output;
};

static const struct columns known[] = {
    {TRACE_AZURE, "TIMESTAMP", "ContextTokens", "GeneratedTokens"},
    {TRACE_BURSTGPT, "Timestamp", "Request tokens", "Response tokens"},
    {TRACE_CSV, "t_s", "prompt_tokens", "output_tokens"},
};

static int column_of(struct str line, const char *name) {
    struct str field;
    for (int i = 0; line.n > 0 && i < TRACE_COLUMNS_MAX; i++) {
        if (!next_field(&line, &field))
            return -1;
        if (str_eqc(field, name))
            return i;
    }
    return -1;
}

int trace_header_line(struct trace *t, struct str line, struct err *e) {
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const struct columns *c = &known[i];
        if (t->format != TRACE_AUTO && t->format != c->format)
            continue;
        t->time_column = column_of(line, c->time);
        t->prompt_column = column_of(line, c->prompt);
        t->output_column = column_of(line, c->output);
        bool whole = t->prompt_column >= 0 && t->output_column >= 0;
        if (t->time_column >= 0 && (whole || c->format == TRACE_CSV)) {
            t->format = c->format;
            return 0;
        }
        t->time_column = -1;
    }
    const char *const headers[] = {
        [TRACE_AUTO] = "a header: t_s,prompt_tokens,output_tokens, or Azure's, or BurstGPT's; or "
                       "Mooncake's JSON lines",
        [TRACE_AZURE] = "the header TIMESTAMP,ContextTokens,GeneratedTokens",
        [TRACE_BURSTGPT] = "a header with Timestamp, Request tokens, Response tokens",
        [TRACE_CSV] = "a header with t_s, and perhaps prompt_tokens and output_tokens",
    };
    return expected(e, headers[t->format], line);
}

static bool digits(struct str *s, unsigned n, int64_t *ret) {
    *ret = 0;
    if (s->n < n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        *ret = *ret * 10 + (s->p[i] - '0');
    }
    *s = (struct str){s->p + n, s->n - n};
    return true;
}

static bool skip(struct str *s, const char *any_of) {
    if (s->n == 0 || !strchr(any_of, s->p[0]))
        return false;
    *s = (struct str){s->p + 1, s->n - 1};
    return true;
}

// Days from 1970-01-01 of a date of the Gregorian calendar (Hinnant, days_from_civil).
static int64_t days_of(int64_t y, int64_t m, int64_t d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool trace_timestamp(struct str s, int64_t *ret_ns) {
    int64_t year, month, day, hour, minute, second, ns = 0, zone_h = 0, zone_m = 0;
    if (!digits(&s, 4, &year) || !skip(&s, "-") || !digits(&s, 2, &month) || !skip(&s, "-") ||
        !digits(&s, 2, &day) || !skip(&s, " T") || !digits(&s, 2, &hour) || !skip(&s, ":") ||
        !digits(&s, 2, &minute) || !skip(&s, ":") || !digits(&s, 2, &second))
        return false;
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    if (skip(&s, ".")) {
        int64_t unit = NS_PER_SECOND, digit;
        if (s.n == 0)
            return false;
        while (digits(&s, 1, &digit))
            ns += digit * (unit /= 10);
    }
    int sign = s.n > 0 && s.p[0] == '-' ? -1 : 1;
    if (s.n > 0 && !str_eqc(s, "Z") &&
        (!skip(&s, "+-") || !digits(&s, 2, &zone_h) || !skip(&s, ":") || !digits(&s, 2, &zone_m) ||
         s.n > 0))
        return false;
    int64_t at = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ret_ns = (at - sign * (zone_h * 3600 + zone_m * 60)) * NS_PER_SECOND + ns;
    return true;
}

static bool seconds_of(struct str s, double per_second, int64_t *ret_ns) {
    double v;
    if (str_to_double(s, &v) < 0 || !(v >= 0 && v / per_second <= SECONDS_MAX))
        return false;
    // Whole units first: a double of nanoseconds would lose digits of a long trace.
    int64_t whole = (int64_t)v;
    double unit = (double)NS_PER_SECOND / per_second;
    *ret_ns = whole * (int64_t)unit + (int64_t)((v - (double)whole) * unit + 0.5);
    return true;
}

static bool tokens_of(struct str s, uint32_t *ret) {
    unsigned long long v;
    double d;
    if (str_to_u64(s, &v) < 0) { // spreadsheets write 374.0
        if (str_to_double(s, &d) < 0 || !(d >= 0 && d <= LIMIT_TRACE_TOKENS))
            return false;
        v = (unsigned long long)d;
    }
    if (v > LIMIT_TRACE_TOKENS)
        return false;
    *ret = (uint32_t)v;
    return true;
}

int trace_csv_line(const struct trace *t, struct str line, struct trace_row *ret, struct err *e) {
    struct trace_row row = {0};
    struct str field, rest = line;
    int seen = 0;
    for (int i = 0; rest.n > 0 && i < TRACE_COLUMNS_MAX; i++) {
        if (!next_field(&rest, &field))
            return expected(e, "a field whose quote has an end", line);
        if (i == t->time_column) {
            if (t->format == TRACE_AZURE ? !trace_timestamp(field, &row.at_ns)
                                         : !seconds_of(field, 1, &row.at_ns))
                return expected(e,
                                t->format == TRACE_AZURE ? "a time such as 2023-11-16 18:15:46.68"
                                                         : "seconds, 0 or more",
                                field);
        } else if (i == t->prompt_column || i == t->output_column) {
            if (!tokens_of(field, i == t->prompt_column ? &row.prompt_tokens : &row.output_tokens))
                return expected(e, "a number of tokens", field);
        } else {
            continue;
        }
        seen++;
    }
    if (seen < 1 + (t->prompt_column >= 0) + (t->output_column >= 0))
        return expected(e, "as many columns as the header has", line);
    *ret = row;
    return 0;
}

// Cuts a JSON string behind its opening quote; escapes stay as they are.
static bool json_string(struct str *s, struct str *ret) {
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] == '\\') {
            i++;
        } else if (s->p[i] == '"') {
            *ret = (struct str){s->p, i};
            *s = (struct str){s->p + i + 1, s->n - i - 1};
            return true;
        }
    }
    return false;
}

// Cuts a value up to the comma or brace behind it: nested ones are skipped, not checked.
static bool json_value(struct str *s, struct str *ret) {
    const char *start = s->p;
    struct str inner;
    unsigned depth = 0;
    while (s->n > 0 && (depth > 0 || (s->p[0] != ',' && s->p[0] != '}'))) {
        char c = s->p[0];
        *s = (struct str){s->p + 1, s->n - 1};
        if (c == '"' && !json_string(s, &inner))
            return false;
        if (c == '[' || c == '{')
            depth++;
        else if (c == ']' || c == '}')
            depth -= depth > 0;
    }
    *ret = str_trim((struct str){start, (size_t)(s->p - start)});
    return depth == 0 && ret->n > 0;
}

int trace_json_line(struct str line, struct trace_row *ret, struct err *e) {
    struct trace_row row = {0};
    struct str s = line, key, value;
    int seen = 0;
    bool more = skip(&s, "{");
    while (more) {
        s = str_trim(s);
        if (!skip(&s, "\"") || !json_string(&s, &key))
            return expected(e, "a JSON object", line);
        s = str_trim(s);
        if (!skip(&s, ":") || !json_value(&s, &value))
            return expected(e, "a JSON object", line);
        if (str_eqc(key, "timestamp")) {
            if (!seconds_of(value, 1000, &row.at_ns))
                return expected(e, "milliseconds as timestamp", value);
            seen |= 1;
        } else if (str_eqc(key, "input_length") || str_eqc(key, "output_length")) {
            bool input = key.p[0] == 'i';
            if (!tokens_of(value, input ? &row.prompt_tokens : &row.output_tokens))
                return expected(e, "a number of tokens", value);
            seen |= input ? 2 : 4;
        }
        more = skip(&s, ",");
    }
    if (!skip(&s, "}") || s.n > 0)
        return expected(e, "a JSON object", line);
    if (seen != 7)
        return expected(e, "timestamp, input_length and output_length", line);
    *ret = row;
    return 0;
}
