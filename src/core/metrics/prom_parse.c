// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes to lines: blocks of whole lines are checked for NUL and UTF-8 at once and read in place;
 * only a line that the caller's bytes cut is copied. And how faults are told.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "core/metrics/prom_line.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK_BYTES = 32 << 10 }; // stays in the first-level cache between check and read

void prom_parser_init(struct prom_parser *p, prom_sample_fn fn, void *ctx) {
    *p = (struct prom_parser){.fn = fn, .ctx = ctx};
    buf_init(&p->carry, LIMIT_METRICS_LINE_BYTES);
    buf_init(&p->scratch, LIMIT_METRICS_LINE_BYTES + 1);
    buf_init(&p->family, LIMIT_METRICS_LINE_BYTES);
    buf_init(&p->last_name, LIMIT_METRICS_LINE_BYTES);
}

void prom_parser_done(struct prom_parser *p) {
    buf_done(&p->carry);
    buf_done(&p->scratch);
    buf_done(&p->family);
    buf_done(&p->last_name);
}

void prom_parser_reset(struct prom_parser *p) {
    buf_clear(&p->carry);
    buf_clear(&p->family);
    buf_clear(&p->last_name);
    p->lines = p->bytes = p->samples = 0;
    p->rc = 0;
    p->fault = PROM_FAULT_NONE;
    p->error = (struct err){0};
}

void prom_parser_select(struct prom_parser *p, const struct str *names, size_t n) {
    p->selected = names;
    p->n_selected = n;
    p->selected_lengths = 0;
    for (size_t i = 0; i < n; i++)
        p->selected_lengths |= UINT64_C(1) << (names[i].n & 63);
    buf_clear(&p->last_name);
}

const char *prom_fault_name(enum prom_fault f) {
    static const char *const names[] = {
        [PROM_FAULT_NONE] = "none",           [PROM_FAULT_SYNTAX] = "syntax",
        [PROM_FAULT_TRUNCATED] = "truncated", [PROM_FAULT_NOT_TEXT] = "not_text",
        [PROM_FAULT_UTF8] = "utf8",           [PROM_FAULT_LIMIT] = "limit",
        [PROM_FAULT_CALLBACK] = "callback",   [PROM_FAULT_NOMEM] = "nomem",
    };
    return names[f];
}

void prom_fail(struct prom_parser *pp, enum prom_fault fault, int code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(&pp->error, code, fmt, ap);
    va_end(ap);
    pp->rc = code;
    pp->fault = fault;
}

static int failed(const struct prom_parser *p, struct err *e) {
    if (e)
        *e = p->error;
    return p->rc;
}

// What a page is whose first line begins with the byte at p and goes wrong at `at`; NULL: nothing
// known.
static const char *foreign_page(const char *p, const char *at) {
    switch (*p) {
    case '<':
        return "HTML or XML, not metrics: wrong port or path, or a proxy's error page";
    case '{': // {"name",label="value"} is a series
        if (*at != ':' && !(*at == '\n' && at == p + 1))
            return NULL;
        __attribute__((fallthrough));
    case '[':
        return "JSON, not metrics: wrong path (trtllm-serve has its metrics at "
               "/prometheus/metrics)";
    case '"':
        return "a JSON string: the server quoted its metrics page (llama.cpp b7010 to b7100 did): "
               "update the server";
    default:
        return NULL;
    }
}

void prom_fail_syntax(struct prom_line *ln, const char *at, const char *expected) {
    const char *p = ln->start;
    while (prom_is_blank(*p))
        p++;
    const char *foreign = foreign_page(p, at);
    if (foreign && ln->pp->fn && ln->pp->samples == 0) {
        prom_fail(ln->pp, PROM_FAULT_NOT_TEXT, ERR_PARSE, "line %llu: this is %s",
                  (unsigned long long)ln->pp->lines + 1, foreign);
        return;
    }
    char got[32];
    if (*at == '\n')
        snprintf(got, sizeof(got), "the end of the line");
    else if (*at == '\r')
        snprintf(got, sizeof(got), "a carriage return");
    else if (*at > ' ' && *at < 0x7f)
        snprintf(got, sizeof(got), "'%c'", *at);
    else
        snprintf(got, sizeof(got), "byte 0x%02x", (unsigned)(unsigned char)*at);
    size_t column = (size_t)(at - ln->start) + 1;
    if (!ln->pp->fn)
        prom_fail(ln->pp, PROM_FAULT_SYNTAX, ERR_PARSE, "column %zu: expected %s, got %s", column,
                  expected, got);
    else
        prom_fail(ln->pp, PROM_FAULT_SYNTAX, ERR_PARSE,
                  "line %llu, column %zu: expected %s, got %s",
                  (unsigned long long)ln->pp->lines + 1, column, expected, got);
}

static void fail_line_limit(struct prom_parser *p) {
    prom_fail(p, PROM_FAULT_LIMIT, ERR_LIMIT,
              "line %llu is longer than %d bytes (LIMIT_METRICS_LINE_BYTES)",
              (unsigned long long)p->lines + 1, LIMIT_METRICS_LINE_BYTES);
}

static void fail_byte(struct prom_parser *p, const char *start, const char *at) {
    unsigned long long line = (unsigned long long)p->lines + 1;
    if (line == 1)
        prom_fail(p, PROM_FAULT_NOT_TEXT, ERR_PARSE,
                  "line 1, column %zu: binary (byte 0x%02x), not a text page: compressed, or "
                  "another protocol",
                  (size_t)(at - start) + 1, (unsigned)(unsigned char)*at);
    else if (*at == '\0')
        prom_fail(p, PROM_FAULT_SYNTAX, ERR_PARSE, "line %llu, column %zu: expected text, got NUL",
                  line, (size_t)(at - start) + 1);
    else
        prom_fail(p, PROM_FAULT_UTF8, ERR_PARSE,
                  "line %llu, column %zu: expected UTF-8, got byte 0x%02x", line,
                  (size_t)(at - start) + 1, (unsigned)(unsigned char)*at);
}

// First byte of p[0..n) that is NUL or begins no UTF-8 character; p + n when all is well.
static const char *find_bad_byte(const char *p, size_t n) {
    const char *end = p + n;
#ifdef __SSE2__
    for (; end - p >= 64; p += 64) {
        const __m128i *v = (const __m128i *)(const void *)p;
        __m128i a = _mm_loadu_si128(v), b = _mm_loadu_si128(v + 1);
        __m128i c = _mm_loadu_si128(v + 2), d = _mm_loadu_si128(v + 3);
        // A byte minus 1 gains its top bit only when it was 0.
        __m128i one = _mm_set1_epi8(1);
        __m128i high = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));
        __m128i nul = _mm_or_si128(_mm_or_si128(_mm_sub_epi8(a, one), _mm_sub_epi8(b, one)),
                                   _mm_or_si128(_mm_sub_epi8(c, one), _mm_sub_epi8(d, one)));
        if (_mm_movemask_epi8(_mm_or_si128(high, nul)))
            break;
    }
#endif
    size_t rest = (size_t)(end - p);
    const char *nul = memchr(p, 0, rest);
    size_t text = nul ? (size_t)(nul - p) : rest;
    return p + utf8_valid_prefix(p, text);
}

// Reads whole lines: p[n - 1] is a newline.
static int read_lines(struct prom_parser *pp, const char *p, size_t n) {
    const char *bad = find_bad_byte(p, n);
    const char *end = p + n;
    if (bad < end) {
        const char *last = memrchr(p, '\n', (size_t)(bad - p));
        end = last ? last + 1 : p;
    }
    struct prom_line ln = {.pp = pp, .start = p, .end = end};
    while (ln.start < end) {
        const char *next = prom_line_read(&ln);
        if (!next)
            return pp->rc;
        ln.start = next;
    }
    if (bad < p + n)
        fail_byte(pp, end, bad);
    return pp->rc;
}

static int carry_add(struct prom_parser *pp, const char *p, size_t n) {
    int r = buf_add(&pp->carry, p, n);
    if (r == ERR_LIMIT)
        fail_line_limit(pp);
    else if (r < 0)
        prom_fail(pp, PROM_FAULT_NOMEM, ERR_NOMEM, "line %llu: no memory",
                  (unsigned long long)pp->lines + 1);
    return r;
}

// Completes the carried line with the bytes up to the first newline. Returns the bytes used.
static size_t feed_carry(struct prom_parser *pp, const char *p, size_t n) {
    const char *nl = memchr(p, '\n', n);
    size_t used = nl ? (size_t)(nl + 1 - p) : n;
    if (carry_add(pp, p, used) == 0 && nl && read_lines(pp, pp->carry.p, pp->carry.len) == 0)
        buf_clear(&pp->carry);
    return used;
}

int prom_parser_feed(struct prom_parser *pp, const char *p, size_t n, struct err *e) {
    if (pp->rc)
        return failed(pp, e);
    pp->bytes += n;
    if (pp->bytes > LIMIT_METRICS_PAGE_BYTES)
        prom_fail(pp, PROM_FAULT_LIMIT, ERR_LIMIT,
                  "the page is longer than %d bytes (LIMIT_METRICS_PAGE_BYTES)",
                  LIMIT_METRICS_PAGE_BYTES);
    const char *end = p + n;
    if (!pp->rc && n && pp->carry.len)
        p += feed_carry(pp, p, n);
    while (!pp->rc && p < end) {
        size_t rest = (size_t)(end - p);
        const char *nl = memrchr(p, '\n', rest < BLOCK_BYTES ? rest : BLOCK_BYTES);
        if (!nl)
            nl = memchr(p, '\n', rest);
        if (!nl) {
            carry_add(pp, p, rest);
            break;
        }
        if (nl - p >= LIMIT_METRICS_LINE_BYTES && !memchr(p, '\n', LIMIT_METRICS_LINE_BYTES))
            fail_line_limit(pp);
        else
            read_lines(pp, p, (size_t)(nl + 1 - p));
        p = nl + 1;
    }
    return pp->rc ? failed(pp, e) : 0;
}

int prom_parser_finish(struct prom_parser *pp, bool complete, struct err *e) {
    if (!pp->rc && pp->carry.len && !complete)
        prom_fail(pp, PROM_FAULT_TRUNCATED, ERR_PARSE,
                  "line %llu: the page ends inside a line (no newline): it was cut",
                  (unsigned long long)pp->lines + 1);
    if (!pp->rc && pp->carry.len && carry_add(pp, "\n", 1) == 0 &&
        read_lines(pp, pp->carry.p, pp->carry.len) == 0)
        buf_clear(&pp->carry);
    return pp->rc ? failed(pp, e) : 0;
}
