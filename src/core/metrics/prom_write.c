// SPDX-License-Identifier: Apache-2.0
/* Prometheus text format 0.0.4 and OpenMetrics 1.0.0, written. */
#include "core/metrics/prom_write.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/metrics/histogram.h"

static const char *const type_names[PROM_FORMAT_MAX][PROM_INFO + 1] = {
    {
        [PROM_UNTYPED] = "untyped",
        [PROM_COUNTER] = "counter",
        [PROM_GAUGE] = "gauge",
        [PROM_HISTOGRAM] = "histogram",
        [PROM_SUMMARY] = "summary",
        [PROM_INFO] = "gauge",
    },
    {
        [PROM_UNTYPED] = "unknown",
        [PROM_COUNTER] = "counter",
        [PROM_GAUGE] = "gauge",
        [PROM_HISTOGRAM] = "histogram",
        [PROM_SUMMARY] = "summary",
        [PROM_INFO] = "info",
    },
};

const char *prom_content_type(enum prom_format f) {
    static const char *const types[] = {
        [PROM_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [PROM_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    return types[f];
}

// Text with '\\' and newline escaped, '"' too when `quoted`; each byte that is not UTF-8 becomes
// U+FFFD, NUL too (which the format allows and its readers do not).
static int add_escaped(struct buf *b, struct str s, bool quoted) {
    int r = 0;
    while (s.n && r == 0) {
        size_t run = 0;
        while (run < s.n && s.p[run] != '\\' && s.p[run] != '\n' && s.p[run] != '\0' &&
               (s.p[run] != '"' || !quoted))
            run++;
        size_t valid = utf8_valid_prefix(s.p, run);
        r = buf_add(b, s.p, valid);
        s.p += valid;
        s.n -= valid;
        if (r < 0 || s.n == 0)
            break;
        char c = *s.p++;
        s.n--;
        if (valid < run || c == '\0') {
            r = buf_addc(b, "\xef\xbf\xbd");
        } else {
            const char two[2] = {'\\', c == '\n' ? 'n' : c};
            r = buf_add(b, two, 2);
        }
    }
    return r;
}

static int add_label(struct buf *b, struct str name, struct str value) {
    int r = buf_add_str(b, name);
    if (r == 0)
        r = buf_addc(b, "=\"");
    if (r == 0)
        r = add_escaped(b, value, true);
    if (r == 0)
        r = buf_add_byte(b, '"');
    return r;
}

static int add_labels(struct buf *b, const struct prom_label *labels, size_t n) {
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        assert(prom_label_name_valid(labels[i].name));
        if (i)
            r = buf_add_byte(b, ',');
        if (r == 0)
            r = add_label(b, labels[i].name, labels[i].value);
    }
    return r;
}

int prom_labels_encode(struct buf *out, const struct prom_label *labels, size_t n) {
    size_t start = out->len;
    int r = add_labels(out, labels, n);
    if (r < 0)
        buf_truncate(out, start);
    return r;
}

void prom_writer_init(struct prom_writer *w, struct buf *out, enum prom_format format) {
    *w = (struct prom_writer){.out = out, .format = format, .start = out->len};
}

int prom_writer_end(struct prom_writer *w) {
    if (w->rc == 0 && w->format == PROM_OPENMETRICS)
        w->rc = buf_addc(w->out, "# EOF\n");
    if (w->rc < 0)
        buf_truncate(w->out, w->start);
    return w->rc;
}

void prom_family_if(struct prom_writer *w, bool on, const char *name, enum prom_type type,
                    const char *help) {
    assert(prom_name_valid(str_from(name)));
    w->name = on ? name : NULL;
    w->type = type;
    w->help = help;
    w->head_written = false;
}

void prom_family(struct prom_writer *w, const char *name, enum prom_type type, const char *help) {
    prom_family_if(w, true, name, type, help);
}

// What a family is called and typed in its head.
struct head {
    struct str name;
    const char *type, *unit; // unit NULL: none
};

static bool cut_suffix(struct str *s, const char *suffix) {
    size_t n = strlen(suffix);
    if (s->n <= n || !str_ends(*s, suffix))
        return false;
    s->n -= n;
    return true;
}

static const char *unit_of(struct str name) {
    static const char *const units[] = {"seconds", "bytes",   "ratio", "watts",
                                        "joules",  "celsius", "hertz"};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct str rest = name;
        if (cut_suffix(&rest, units[i]) && rest.p[rest.n - 1] == '_')
            return units[i];
    }
    return NULL;
}

static struct head head_of(const struct prom_writer *w) {
    struct head h = {.name = str_from(w->name)};
    enum prom_type type = w->type;
    if (w->format == PROM_OPENMETRICS) {
        if (type == PROM_COUNTER && !cut_suffix(&h.name, "_total"))
            type = PROM_UNTYPED;
        if (type == PROM_INFO && !cut_suffix(&h.name, "_info"))
            type = PROM_GAUGE;
        h.unit = type == PROM_INFO ? NULL : unit_of(h.name);
    }
    h.type = type_names[w->format][type];
    return h;
}

static int add_head(struct prom_writer *w) {
    struct head h = head_of(w);
    int r = 0;
    if (w->help) {
        r = buf_addf(w->out, "# HELP " STR_FMT " ", STR_ARG(h.name));
        if (r == 0)
            r = add_escaped(w->out, str_from(w->help), w->format == PROM_OPENMETRICS);
        if (r == 0)
            r = buf_add_byte(w->out, '\n');
    }
    if (r == 0)
        r = buf_addf(w->out, "# TYPE " STR_FMT " %s\n", STR_ARG(h.name), h.type);
    if (r == 0 && h.unit)
        r = buf_addf(w->out, "# UNIT " STR_FMT " %s\n", STR_ARG(h.name), h.unit);
    return r;
}

// Writes the head where it is due, then `name` + `suffix`. False: write nothing more of the sample.
static bool begin_sample(struct prom_writer *w, const char *suffix) {
    if (w->rc < 0 || !w->name)
        return false;
    if (!w->head_written) {
        w->rc = add_head(w);
        w->head_written = true;
    }
    if (w->rc == 0)
        w->rc = buf_addc(w->out, w->name);
    if (w->rc == 0)
        w->rc = buf_addc(w->out, suffix);
    return w->rc == 0;
}

static void add_braced(struct prom_writer *w, const struct prom_label *labels, size_t n) {
    if (n == 0)
        return;
    w->rc = buf_add_byte(w->out, '{');
    if (w->rc == 0)
        w->rc = add_labels(w->out, labels, n);
    if (w->rc == 0)
        w->rc = buf_add_byte(w->out, '}');
}

static void end_double(struct prom_writer *w, double value) {
    if (w->rc == 0)
        w->rc = buf_add_byte(w->out, ' ');
    if (w->rc == 0)
        w->rc = buf_add_double(w->out, value);
    if (w->rc == 0)
        w->rc = buf_add_byte(w->out, '\n');
}

static void end_u64(struct prom_writer *w, uint64_t value) {
    if (w->rc == 0)
        w->rc = buf_add_byte(w->out, ' ');
    if (w->rc == 0)
        w->rc = buf_add_u64(w->out, value);
    if (w->rc == 0)
        w->rc = buf_add_byte(w->out, '\n');
}

void prom_sample(struct prom_writer *w, const struct prom_label *labels, size_t n, double value) {
    if (isnan(value) || !begin_sample(w, ""))
        return;
    add_braced(w, labels, n);
    end_double(w, value);
}

void prom_sample_u64(struct prom_writer *w, const struct prom_label *labels, size_t n,
                     uint64_t value) {
    if (!begin_sample(w, ""))
        return;
    add_braced(w, labels, n);
    end_u64(w, value);
}

void prom_sample_text(struct prom_writer *w, struct str labels_text, double value) {
    if (isnan(value) || !begin_sample(w, ""))
        return;
    if (labels_text.n) {
        w->rc = buf_add_byte(w->out, '{');
        if (w->rc == 0)
            w->rc = buf_add_str(w->out, labels_text);
        if (w->rc == 0)
            w->rc = buf_add_byte(w->out, '}');
    }
    end_double(w, value);
}

// A bucket's bound: in OpenMetrics a whole number has ".0", as its canonical numbers are written.
static int add_bound(struct prom_writer *w, double le) {
    size_t start = w->out->len;
    int r = buf_add_double(w->out, le);
    if (r < 0 || w->format != PROM_OPENMETRICS || isinf(le))
        return r;
    for (size_t i = start; i < w->out->len; i++)
        if (w->out->p[i] == '.' || w->out->p[i] == 'e')
            return 0;
    return buf_addc(w->out, ".0");
}

static void add_bucket(struct prom_writer *w, const struct prom_label *labels, size_t n, double le,
                       uint64_t cumulative) {
    if (!begin_sample(w, "_bucket"))
        return;
    w->rc = buf_add_byte(w->out, '{');
    if (w->rc == 0)
        w->rc = add_labels(w->out, labels, n);
    if (w->rc == 0)
        w->rc = buf_addc(w->out, n ? ",le=\"" : "le=\"");
    if (w->rc == 0)
        w->rc = add_bound(w, le);
    if (w->rc == 0)
        w->rc = buf_addc(w->out, "\"}");
    end_u64(w, cumulative);
}

void prom_sample_histogram(struct prom_writer *w, const struct prom_label *labels, size_t n,
                           const struct histogram *h) {
    uint64_t cumulative = 0;
    for (unsigned i = 0; i <= h->n; i++) {
        cumulative += h->counts[i];
        add_bucket(w, labels, n, i < h->n ? h->bounds[i] : INFINITY, cumulative);
    }
    if (begin_sample(w, "_sum")) {
        add_braced(w, labels, n);
        end_double(w, h->sum);
    }
    if (begin_sample(w, "_count")) {
        add_braced(w, labels, n);
        end_u64(w, h->count);
    }
}
