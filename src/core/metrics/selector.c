// SPDX-License-Identifier: Apache-2.0
/* Series selectors: read with the page's own grammar, matched as sets. */
#include "core/metrics/selector.h"

#include <stdint.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/metrics/prom_line.h"

enum { SELECTOR_BYTES_MAX = 4096 };

static size_t copied_bytes(const struct prom_line *ln) {
    size_t n = ln->s.name.n;
    for (size_t i = 0; i < ln->s.n_labels; i++)
        n += ln->pp->labels[i].name.n + ln->pp->labels[i].value.n;
    return n;
}

static struct str copy_view(char **at, struct str s) {
    struct str copy = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

static struct selector *copy_selector(const struct prom_line *ln) {
    size_t n = ln->s.n_labels;
    size_t head = sizeof(struct selector) + n * sizeof(struct prom_label);
    struct selector *s = mem_alloc(head + copied_bytes(ln));
    if (!s)
        return NULL;
    char *at = (char *)s + head;
    *s = (struct selector){.labels = (struct prom_label *)(s + 1), .n_labels = n};
    s->name = copy_view(&at, ln->s.name);
    for (size_t i = 0; i < n; i++) {
        s->labels[i].name = copy_view(&at, ln->pp->labels[i].name);
        s->labels[i].value = copy_view(&at, ln->pp->labels[i].value);
    }
    return s;
}

// The series at `line` (which ends in a newline), or the failure in ln->pp->error.
static int read_line(struct prom_line *ln, struct selector **ret, struct err *e) {
    const char *p = prom_series_read(ln, ln->start);
    while (p && prom_is_blank(*p))
        p++;
    if (p && *p != '\n')
        prom_fail_syntax(ln, p, "the end of the selector");
    if (ln->pp->rc < 0) {
        if (e)
            *e = ln->pp->error;
        return ln->pp->rc;
    }
    struct selector *s = copy_selector(ln);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory");
    *ret = s;
    return 0;
}

static bool has_other_matcher(struct str text) {
    return memmem(text.p, text.n, "=~", 2) || memmem(text.p, text.n, "!=", 2) ||
           memmem(text.p, text.n, "!~", 2);
}

int selector_parse(struct selector **ret, struct str text, struct err *e) {
    struct str whole = str_trim(text);
    if (whole.n == 0)
        return err_set(e, ERR_PARSE, "selector is empty: expected name or name{label=\"value\"}");
    if (whole.n > SELECTOR_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "selector is longer than %d bytes", SELECTOR_BYTES_MAX);
    if (memchr(whole.p, 0, whole.n) || memchr(whole.p, '\n', whole.n) ||
        !utf8_valid(whole.p, whole.n))
        return err_set(e, ERR_PARSE, "selector: expected one line of UTF-8 text");
    struct prom_parser *pp = mem_alloc(sizeof(*pp));
    char *line = mem_alloc(whole.n + 1);
    int r = ERR_NOMEM;
    if (pp && line) {
        memcpy(line, whole.p, whole.n);
        line[whole.n] = '\n';
        prom_parser_init(pp, NULL, NULL);
        struct prom_line ln = {.pp = pp, .start = line, .end = line + whole.n + 1};
        r = read_line(&ln, ret, e);
        prom_parser_done(pp);
        if (r == ERR_PARSE && has_other_matcher(whole))
            err_wrap(e, "only label=\"value\" can be matched, not !=, =~ or !~");
        if (r < 0)
            err_wrap(e, "selector \"" STR_FMT "\"", (int)(whole.n < 200 ? whole.n : 200), whole.p);
    } else {
        err_set(e, ERR_NOMEM, "no memory");
    }
    mem_free(line);
    mem_free(pp);
    return r;
}

struct selector *selector_free(struct selector *s) {
    mem_free(s);
    return NULL;
}

static struct str label_of(const struct prom_sample *sample, struct str name) {
    for (size_t i = 0; i < sample->n_labels; i++)
        if (str_eq(sample->labels[i].name, name))
            return sample->labels[i].value;
    return (struct str){NULL, 0};
}

bool selector_matches(const struct selector *s, const struct prom_sample *sample) {
    if (!str_eq(s->name, sample->name))
        return false;
    for (size_t i = 0; i < s->n_labels; i++)
        if (!str_eq(s->labels[i].value, label_of(sample, s->labels[i].name)))
            return false;
    return true;
}
