// SPDX-License-Identifier: Apache-2.0
/* One line of Prometheus text: sample, HELP, TYPE, comment or blank. */
#include "base/limits.h"
#include "core/metrics/prom_line.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

_Static_assert((int)PROM_LABELS_MAX == (int)LIMIT_METRICS_LABELS, "one limit, two names");

enum { C_START = 1, C_NAME = 2, C_LABEL_START = 4, C_LABEL = 8 };
#define C_LETTER (C_START | C_NAME | C_LABEL_START | C_LABEL)

static const uint8_t char_class[256] = {
    ['a' ... 'z'] = C_LETTER,         ['A' ... 'Z'] = C_LETTER, ['_'] = C_LETTER,
    ['0' ... '9'] = C_NAME | C_LABEL, [':'] = C_START | C_NAME,
};

// Kept out of the functions that every line runs through (and their big locals with them).
#define COLD __attribute__((noinline))

static inline bool is(char c, int class) {
    return char_class[(uint8_t)c] & class;
}

static bool all_are(struct str s, int first, int rest) {
    if (s.n == 0 || !is(s.p[0], first))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is(s.p[i], rest))
            return false;
    return true;
}

bool prom_name_valid(struct str s) {
    return all_are(s, C_START, C_NAME);
}

bool prom_label_name_valid(struct str s) {
    return all_are(s, C_LABEL_START, C_LABEL);
}

// First byte from p on that is not of a metric name (`last` is ':') or a label name ('9').
static inline const char *skip_name(const char *p, const char *end, char last) {
#ifdef __SSE2__
    const __m128i last_digit = _mm_set1_epi8((char)(last - '0')); // ':' follows '9'
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i letter = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        __m128i ok = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                         _mm_cmpeq_epi8(_mm_min_epu8(digit, last_digit), digit)),
            _mm_cmpeq_epi8(v, _mm_set1_epi8('_')));
        unsigned bad = (unsigned)_mm_movemask_epi8(ok) ^ 0xffffu;
        if (bad)
            return p + __builtin_ctz(bad);
    }
#endif
    int class = last == ':' ? C_NAME : C_LABEL;
    while (is(*p, class))
        p++;
    return p;
}

// First '"', '\\' or newline from p on.
static inline const char *skip_plain_text(const char *p, const char *end) {
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                                 _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
                                    _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
        unsigned found = (unsigned)_mm_movemask_epi8(stop);
        if (found)
            return p + __builtin_ctz(found);
    }
#endif
    while (*p != '"' && *p != '\\' && *p != '\n')
        p++;
    return p;
}

// Whether the n bytes at p are those at `previous`, which stand before p.
static inline bool same_bytes(const char *p, const char *previous, size_t n, const char *end) {
#ifdef __SSE2__
    if ((size_t)(end - p) < n + 16)
        return false;
    for (size_t i = 0; i < n; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(previous + i));
        unsigned differ = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) ^ 0xffffu;
        if (n - i < 16)
            differ &= (1u << (n - i)) - 1;
        if (differ)
            return false;
    }
    return true;
#else
    return (size_t)(end - p) > n && memcmp(p, previous, n) == 0;
#endif
}

static inline const char *skip_blanks(const char *p) {
    while (prom_is_blank(*p))
        p++;
    return p;
}

static inline const char *line_end(const struct prom_line *ln, const char *p) {
    return memchr(p, '\n', (size_t)(ln->end - p));
}

static COLD const char *fail_nomem(struct prom_line *ln) {
    prom_fail(ln->pp, PROM_FAULT_NOMEM, ERR_NOMEM, "line %llu: no memory",
              (unsigned long long)ln->pp->lines + 1);
    return NULL;
}

static COLD const char *expect(struct prom_line *ln, const char *at, const char *what) {
    prom_fail_syntax(ln, at, what);
    return NULL;
}

// The rest of a quoted string that has an escape at p; `from` is its first byte. The text is
// copied to scratch, which gets the room of the whole line at once so that no view moves.
static COLD const char *unescape(struct prom_line *ln, const char *from, const char *p,
                                 struct str *ret) {
    struct buf *b = &ln->pp->scratch;
    if (!ln->scratch_ready) {
        buf_clear(b);
        if (!buf_reserve(b, (size_t)(line_end(ln, p) - ln->start)))
            return fail_nomem(ln);
        ln->scratch_ready = true;
    }
    size_t at = b->len;
    while (*p != '"') {
        if (*p == '\n')
            return expect(ln, p, "'\"' at the end of the quoted text");
        if (p[1] != 'n' && p[1] != '"' && p[1] != '\\')
            return expect(ln, p + 1, "n, '\"' or '\\' after '\\'");
        (void)buf_add(b, from, (size_t)(p - from)); // room was reserved
        (void)buf_add_byte(b, p[1] == 'n' ? '\n' : p[1]);
        from = p + 2;
        p = skip_plain_text(from, ln->end);
    }
    (void)buf_add(b, from, (size_t)(p - from));
    *ret = (struct str){b->p + at, b->len - at};
    return p + 1;
}

// p is at the opening quote; returns past the closing one.
static inline const char *read_quoted(struct prom_line *ln, const char *p, struct str *ret) {
    const char *from = p + 1;
    p = skip_plain_text(from, ln->end);
    if (*p == '\\')
        return unescape(ln, from, p, ret);
    if (*p == '\n')
        return expect(ln, p, "'\"' at the end of the quoted text");
    *ret = (struct str){from, (size_t)(p - from)};
    return p + 1;
}

// A label name may stand once in a series. `seen` has a bit for each name so far, by a cheap hash:
// only when it is taken are the names compared.
static inline bool label_repeated(const struct prom_label *labels, const struct prom_label *l,
                                  uint64_t *seen) {
    const char *p = l->name.p;
    size_t n = l->name.n;
    uint64_t bit = UINT64_C(1) << ((n * 7 + (uint8_t)p[0] * 3u + (uint8_t)p[n - 1]) & 63);
    if (*seen & bit)
        for (; labels < l; labels++)
            if (str_eq(labels->name, l->name))
                return true;
    *seen |= bit;
    return false;
}

// The label at p when it is, byte for byte, the one that the line before had in this place (still
// in *l): past it, NULL when it is another one. What is the same needs no second check, and the
// next label's place is known without looking for this one's end.
static inline const char *repeat_label(struct prom_line *ln, const char *p, struct prom_label *l) {
    size_t value_at = l->name.n + 2;
    if (l->value.p != l->name.p + value_at) // blanks, quoted name or escapes
        return NULL;
    size_t n = value_at + l->value.n + 1;
    if (!same_bytes(p, l->name.p, n, ln->end))
        return NULL;
    l->name.p = p;
    l->value.p = p + value_at;
    return p + n;
}

static COLD const char *fail_labels(struct prom_line *ln) {
    prom_fail(ln->pp, PROM_FAULT_LIMIT, ERR_LIMIT,
              "line %llu: more than %d labels (LIMIT_METRICS_LABELS)",
              (unsigned long long)ln->pp->lines + 1, LIMIT_METRICS_LABELS);
    return NULL;
}

static const char *read_label_name(struct prom_line *ln, const char *p, struct prom_label *l) {
    const char *at = p;
    if (*p == '"')
        return read_quoted(ln, p, &l->name);
    if (!is(*p, C_LABEL_START))
        return expect(ln, p, "a label name or '}'");
    p = skip_name(p, ln->end, '9');
    l->name.p = at; // by member: a copy of the pair would wait for both stores
    l->name.n = (size_t)(p - at);
    return p;
}

// From '=' on; l->name is set and stood at `at`.
static inline const char *read_label_value(struct prom_line *ln, const char *p, const char *at,
                                           struct prom_label *l, uint64_t *seen) {
    if (*p != '=')
        return expect(ln, p, "'=' after the label name");
    p = skip_blanks(p + 1);
    if (*p != '"')
        return expect(ln, p, "'\"' before the label value");
    p = read_quoted(ln, p, &l->value);
    if (!p)
        return NULL;
    if (l->name.n == 0 || str_eq(l->name, STR("__name__")))
        return expect(ln, at, "a label name that is neither empty nor __name__");
    if (label_repeated(ln->pp->labels, l, seen))
        return expect(ln, at, "a label name that is not in the series already");
    return p;
}

// A quoted name without '=' is the metric's.
static bool take_metric_name(struct prom_line *ln, const char *at, struct str name) {
    if (ln->s.name.p)
        expect(ln, at, "'=' after the label name (the metric name stands already)");
    else if (name.n == 0)
        expect(ln, at, "a metric name that is not empty");
    else
        ln->s.name = name;
    return ln->pp->rc == 0;
}

// One label, or the metric's name in quotes, at p, into *l. Past it, *ret_label: it was a label.
static inline const char *read_label(struct prom_line *ln, const char *p, struct prom_label *l,
                                     uint64_t *seen, bool *ret_label) {
    const char *at = p;
    *ret_label = false;
    p = read_label_name(ln, p, l);
    if (!p)
        return NULL;
    p = skip_blanks(p);
    if (*at == '"' && (*p == ',' || *p == '}'))
        return take_metric_name(ln, at, l->name) ? p : NULL;
    *ret_label = true;
    return read_label_value(ln, p, at, l, seen);
}

// p is past '{'; returns past '}'.
static const char *read_labels(struct prom_line *ln, const char *p) {
    struct prom_label *l = ln->pp->labels;
    const struct prom_label *previous_end = l + ln->previous_labels;
    uint64_t seen = 0;
    ln->previous_labels = 0; // they are written over
    for (;;) {
        p = skip_blanks(p);
        if (*p == '}')
            break;
        if (l == ln->pp->labels + PROM_LABELS_MAX)
            return fail_labels(ln);
        bool label = true;
        const char *next = l < previous_end ? repeat_label(ln, p, l) : NULL;
        if (!next || label_repeated(ln->pp->labels, l, &seen))
            next = read_label(ln, p, l, &seen, &label);
        if (!next)
            return NULL;
        l += label;
        p = skip_blanks(next);
        if (*p == ',')
            p++;
        else if (*p != '}')
            return expect(ln, p, "',' or '}'");
    }
    ln->s.n_labels = (size_t)(l - ln->pp->labels);
    return p + 1;
}

static bool is_suffix_of_type(struct str suffix, enum prom_type type) {
    switch (type) {
    case PROM_HISTOGRAM:
        if (str_eq(suffix, STR("_bucket")))
            return true;
        __attribute__((fallthrough));
    case PROM_SUMMARY:
        return str_eq(suffix, STR("_sum")) || str_eq(suffix, STR("_count"));
    case PROM_COUNTER: // a TYPE line in OpenMetrics' manner
        return str_eq(suffix, STR("_total"));
    default:
        return false;
    }
}

// What follows from the sample's name alone, remembered for the run of lines with the same name.
static int decide_name(struct prom_parser *pp, struct str name) {
    buf_clear(&pp->last_name);
    int r = buf_add_str(&pp->last_name, name);
    if (r < 0)
        return r;
    struct str family = buf_str(&pp->family);
    pp->last_type = PROM_UNTYPED;
    if (family.n && name.n >= family.n && memcmp(name.p, family.p, family.n) == 0) {
        struct str suffix = {name.p + family.n, name.n - family.n};
        if (suffix.n == 0 || is_suffix_of_type(suffix, pp->family_type))
            pp->last_type = pp->family_type;
    }
    pp->last_selected = -1;
    if (pp->selected_lengths >> (name.n & 63) & 1)
        for (size_t i = 0; i < pp->n_selected && pp->last_selected < 0; i++)
            if (str_eq(pp->selected[i], name))
                pp->last_selected = (int)i;
    return 0;
}

// The value, an optional timestamp, an optional exemplar, the end of the line.
static const char *read_value(struct prom_line *ln, const char *p) {
    struct prom_sample *s = &ln->s;
    const char *at = skip_blanks(p);
    p = prom_number_scan(at, &s->value);
    if (!p)
        return expect(ln, at, "a number");
    if (!prom_is_blank(*p) && *p != '\n')
        return expect(ln, p, "a blank or the end of the line after the number");
    s->has_timestamp = false;
    s->timestamp_ms = 0;
    if (*p == '\n')
        return p;
    p = skip_blanks(p);
    if ((uint8_t)(*p - '0') <= 9) {
        int64_t t = 0;
        for (at = p; (uint8_t)(*p - '0') <= 9; p++)
            if (__builtin_mul_overflow(t, 10, &t) || __builtin_add_overflow(t, *p - '0', &t))
                return expect(ln, at, "a timestamp in milliseconds since 1970 that fits 64 bits");
        s->has_timestamp = true;
        s->timestamp_ms = t;
        if (*p != '\n' && !prom_is_blank(*p))
            return expect(ln, at, "a timestamp in whole milliseconds since 1970");
        p = skip_blanks(p);
    }
    return p;
}

// OpenMetrics: "# {labels} value [seconds]" behind the value. Checked, then forgotten. `p` is
// behind the '#'.
static COLD const char *read_exemplar(struct prom_line *ln, const char *p) {
    struct prom_sample keep = ln->s;
    struct prom_label labels[PROM_LABELS_MAX];
    double ignored;
    memcpy(labels, ln->pp->labels, keep.n_labels * sizeof(labels[0]));
    p = skip_blanks(p);
    if (*p != '{')
        return expect(ln, p, "'{' of an exemplar");
    ln->s.n_labels = 0;
    p = read_labels(ln, p + 1);
    if (!p)
        return NULL;
    const char *at = skip_blanks(p);
    p = prom_number_scan(at, &ignored);
    if (!p)
        return expect(ln, at, "the exemplar's value");
    if (prom_is_blank(*p) && *skip_blanks(p) != '\n') {
        at = skip_blanks(p);
        p = prom_number_scan(at, &ignored);
        if (!p)
            return expect(ln, at, "the exemplar's timestamp");
    }
    ln->s = keep;
    memcpy(ln->pp->labels, labels, keep.n_labels * sizeof(labels[0]));
    return skip_blanks(p);
}

// The metric name at p into ln->s.name.
static inline const char *read_name(struct prom_line *ln, const char *p) {
    struct str *name = &ln->s.name;
    const char *at = p;
    if (ln->has_previous && same_bytes(p, name->p, name->n, ln->end) && !is(p[name->n], C_NAME)) {
        name->p = p;
        return p + name->n;
    }
    if (!is(*p, C_START))
        return expect(ln, p, "a metric name");
    p = skip_name(p, ln->end, ':');
    name->p = at;
    name->n = (size_t)(p - at);
    ln->has_previous = false;
    return p;
}

const char *prom_series_read(struct prom_line *ln, const char *p) {
    const char *at = p;
    ln->s.n_labels = 0;
    ln->plain_name = *p != '{';
    if (!ln->plain_name) {
        ln->s.name = (struct str){NULL, 0};
        ln->has_previous = false;
    } else {
        p = read_name(ln, p);
        if (!p)
            return NULL;
        p = skip_blanks(p);
    }
    if (*p == '{') {
        p = read_labels(ln, p + 1);
        if (p && !ln->s.name.p)
            return expect(ln, at, "a metric name before or in the braces");
    } else if (*p != '\n' && !prom_is_blank(p[-1])) {
        return expect(ln, p, "'{' or a blank after the metric name");
    }
    return p;
}

static COLD void fail_callback(struct prom_parser *pp, int code) {
    struct err said = pp->error;
    prom_fail(pp, PROM_FAULT_CALLBACK, code, "line %llu: %s", (unsigned long long)pp->lines + 1,
              said.msg[0] ? said.msg : "refused by its reader");
}

static const char *emit(struct prom_line *ln, const char *next) {
    struct prom_parser *pp = ln->pp;
    struct prom_sample *s = &ln->s;
    // The line before had the same name: what was decided holds, unless a TYPE line came between.
    bool decided = ln->has_previous && pp->last_name.len;
    if (!decided && !str_eq(s->name, buf_str(&pp->last_name)) && decide_name(pp, s->name) < 0)
        return fail_nomem(ln);
    ln->has_previous = ln->plain_name;
    ln->previous_labels = s->n_labels;
    if (++pp->samples > LIMIT_METRICS_SERIES) {
        prom_fail(pp, PROM_FAULT_LIMIT, ERR_LIMIT, "more than %d samples (LIMIT_METRICS_SERIES)",
                  LIMIT_METRICS_SERIES);
        return NULL;
    }
    if (pp->n_selected && pp->last_selected < 0)
        return next;
    s->labels = pp->labels;
    s->type = pp->last_type;
    s->selected = pp->last_selected;
    s->line = pp->lines + 1;
    int r = pp->fn(pp->ctx, s, &pp->error);
    if (r != 0) {
        fail_callback(pp, r);
        return NULL;
    }
    return next;
}

static const char *read_sample(struct prom_line *ln, const char *p) {
    p = prom_series_read(ln, p);
    if (p)
        p = read_value(ln, p);
    if (p && *p == '#' && prom_is_blank(p[-1]))
        p = read_exemplar(ln, p + 1);
    if (!p)
        return NULL;
    if (*p != '\n')
        return expect(ln, p, "the end of the line");
    return emit(ln, p + 1);
}

static int type_by_name(struct str s) {
    static const char *const names[] = {"untyped", "counter", "gauge", "histogram", "summary"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
        if (str_eqc(s, names[i]))
            return i;
    return -1;
}

// The metric name of a HELP or TYPE line, which may be quoted.
static const char *read_family_name(struct prom_line *ln, const char *p, struct str *ret) {
    const char *at = p;
    if (*p == '"')
        return read_quoted(ln, p, ret);
    if (!is(*p, C_START))
        return expect(ln, p, "a metric name");
    p = skip_name(p, ln->end, ':');
    *ret = (struct str){at, (size_t)(p - at)};
    return p;
}

static const char *read_type(struct prom_line *ln, const char *p) {
    struct prom_parser *pp = ln->pp;
    struct str name;
    p = read_family_name(ln, p, &name);
    if (!p)
        return NULL;
    const char *eol = line_end(ln, p);
    if (!prom_is_blank(*p))
        return expect(ln, p, "a blank after the metric name");
    int type = type_by_name((struct str){p + 1, (size_t)(eol - p - 1)});
    if (type < 0)
        return expect(ln, p + 1, "counter, gauge, histogram, summary or untyped");
    buf_clear(&pp->family);
    buf_clear(&pp->last_name); // its type is to be decided anew
    if (buf_add_str(&pp->family, name) < 0)
        return fail_nomem(ln);
    pp->family_type = (enum prom_type)type;
    return eol + 1;
}

static const char *read_help(struct prom_line *ln, const char *p) {
    struct str name;
    p = read_family_name(ln, p, &name);
    if (!p)
        return NULL;
    if (*p != '\n' && !prom_is_blank(*p))
        return expect(ln, p, "a blank after the metric name");
    return line_end(ln, p) + 1;
}

// "# HELP" and "# TYPE" have meaning; "# EOF", "# UNIT" and all else is a remark.
static const char *read_comment(struct prom_line *ln, const char *p) {
    const char *word = skip_blanks(p + 1);
    if (word > p + 1 && ln->end - word > 4 && prom_is_blank(word[4])) {
        if (memcmp(word, "TYPE", 4) == 0)
            return read_type(ln, skip_blanks(word + 4));
        if (memcmp(word, "HELP", 4) == 0)
            return read_help(ln, skip_blanks(word + 4));
    }
    return line_end(ln, word) + 1;
}

const char *prom_line_read(struct prom_line *ln) {
    const char *p = skip_blanks(ln->start);
    ln->scratch_ready = false;
    if (*p == '#')
        p = read_comment(ln, p);
    else if (*p == '\n')
        p++;
    else
        p = read_sample(ln, p);
    if (p)
        ln->pp->lines++;
    return p;
}
