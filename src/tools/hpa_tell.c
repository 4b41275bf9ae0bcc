// SPDX-License-Identifier: Apache-2.0
/*
 * An answer as a person reads it: the number first, then how it came about, then the conditions.
 * Texts come from the case: each line is made safe for a terminal before it goes out.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "core/hpa/hpa_text.h"
#include "tools/hpa_words.h"

enum { NAME_MAX = 40 };

struct teller {
    const struct hpa_answer *a;
    struct buf *out;
    struct buf line; // at hand
};

// Empties the line; its failure is the answer's.
static void drop_line(struct teller *t) {
    if (t->line.err < 0 && t->out->err == 0)
        t->out->err = t->line.err;
    buf_clear(&t->line);
}

static void end_line(struct teller *t) {
    unsigned char before = 0;
    for (size_t i = 0; i < t->line.len; i++) {
        unsigned char c = (unsigned char)t->line.p[i];
        if (c < 0x20 || c == 0x7f)
            t->line.p[i] = c == '\n' || c == '\r' || c == '\t' ? ' ' : '?';
        if (before == 0xc2 && c >= 0x80 && c < 0xa0) // U+0080 to U+009F, controls too
            t->line.p[i - 1] = t->line.p[i] = '?';
        before = c;
    }
    (void)buf_add_byte(&t->line, '\n');
    (void)buf_add_str(t->out, buf_str(&t->line));
    drop_line(t);
}

static const char *plural(int64_t n) {
    return n == 1 ? "" : "s";
}

static void tell_headline(struct teller *t) {
    const struct manifest_hpa *h = &t->a->c->hpa;
    const struct hpa_result *r = &t->a->result;
    int32_t now = t->a->c->spec_replicas;
    struct buf *b = &t->line;
    (void)buf_addf(b, "%s/%s", h->namespace_, h->name);
    if (h->target_kind && h->target_name)
        (void)buf_addf(b, " scales %s/%s", h->target_kind, h->target_name);
    (void)buf_addf(b, " between %d and %d: ", h->spec.min_replicas, h->spec.max_replicas);
    if (r->failed)
        (void)buf_addf(b, "NO DECISION, it stays at %d replica%s", now, plural(now));
    else if (r->rescale)
        (void)buf_addf(b, "%d -> %d replicas", now, r->desired);
    else
        (void)buf_addf(b, "stays at %d replica%s", now, plural(now));
    end_line(t);
}

// What kept the answer from what the metrics propose, step by step.
static void tell_limits(struct teller *t) {
    const struct hpa_result *r = &t->a->result;
    const struct hpa_condition *limited = &r->conditions[HPA_SCALING_LIMITED];
    struct buf *b = &t->line;
    if (r->stabilized != r->proposed) {
        (void)buf_addf(b,
                       "  held: the metrics propose %d; recent recommendations (stabilization"
                       " window) make it %d",
                       r->proposed, r->stabilized);
        end_line(t);
    }
    if (limited->set && limited->status == HPA_TRUE) {
        (void)buf_addf(b, "  limited: %d would follow, %d is allowed, because ", r->stabilized,
                       r->desired);
        hpa_text_condition(b, &t->a->c->controller, &t->a->c->hpa.spec, &t->a->in, r,
                           HPA_SCALING_LIMITED);
        (void)buf_addf(b, " (%s)", hpa_reason_name(limited->reason));
        end_line(t);
    }
}

static void tell_why(struct teller *t) {
    const struct hpa_result *r = &t->a->result;
    const struct hpa_spec *spec = &t->a->c->hpa.spec;
    struct buf *b = &t->line;
    (void)buf_addc(b, "  why: ");
    size_t begin = b->len;
    hpa_text_rescale(b, spec, r);
    if (!r->computed && !r->rescale)
        (void)buf_addc(b, "the target is at zero, and the HPA did not scale it there: scaling is"
                          " disabled until somebody gives it a replica");
    if (r->failed)
        hpa_text_failure(b, &t->a->c->controller, spec, &t->a->in, r);
    if (b->len > begin)
        end_line(t);
    drop_line(t);
    if (!r->computed || r->failed)
        return;
    if (r->partial) {
        (void)buf_addf(b,
                       "  %u of %zu metrics failed: the others decide, as they ask for no fewer"
                       " replicas than there are",
                       r->n_failed, r->n_metrics);
        end_line(t);
    }
    tell_limits(t);
}

static void add_label(struct buf *b, const struct hpa_answer *a, size_t i) {
    const struct hpa_metric *m = &a->c->hpa.spec.metrics[i];
    (void)buf_addf(b, "%s %s", hpa_metric_type_name(m->type), m->name);
    if (m->type == HPA_CONTAINER_RESOURCE && m->container)
        (void)buf_addf(b, " of %s", m->container);
    if (a->c->hpa.names[i].object)
        (void)buf_addf(b, " of %s", a->c->hpa.names[i].object);
}

static void tell_metrics(struct teller *t) {
    const struct hpa_answer *a = t->a;
    const struct hpa_result *r = &a->result;
    struct buf *b = &t->line;
    size_t width = 0;
    for (size_t i = 0; i < a->c->hpa.spec.n_metrics; i++) {
        add_label(b, a, i);
        width = b->len > width ? b->len : width;
        drop_line(t);
    }
    (void)buf_addc(b, "  metrics");
    end_line(t);
    width = width > NAME_MAX ? NAME_MAX : width;
    for (size_t i = 0; i < a->c->hpa.spec.n_metrics; i++) {
        (void)buf_addc(b, "    ");
        add_label(b, a, i);
        while (b->len < 4 + width + 2 && buf_add_byte(b, ' ') == 0) {
        }
        if (!r->computed)
            (void)buf_addc(b, "not looked at");
        else if (r->metrics[i].error != HPA_METRIC_OK)
            (void)buf_addc(b, "FAILED: ");
        if (r->computed)
            hpa_text_path(b, &a->c->controller, &a->c->hpa.spec, &a->in, r, i);
        end_line(t);
    }
}

static void tell_pods(struct teller *t) {
    size_t ready = 0, unready = 0, pending = 0, gone = 0;
    for (size_t i = 0; i < t->a->in.n_pods; i++) {
        const struct hpa_pod *p = &t->a->in.pods[i];
        if (p->deleted || p->phase == HPA_FAILED || p->phase == HPA_SUCCEEDED)
            gone++;
        else if (p->phase == HPA_PENDING)
            pending++;
        else if (p->ready == HPA_TRUE)
            ready++;
        else
            unready++;
    }
    (void)buf_addc(&t->line, "  pods");
    end_line(t);
    (void)buf_addf(&t->line, "    %zu ready", ready);
    const struct {
        size_t n;
        const char *what;
    } more[] = {{unready, "not ready"}, {pending, "pending"}, {gone, "ended or being deleted"}};
    for (size_t i = 0; i < COUNT_OF(more); i++)
        if (more[i].n > 0)
            (void)buf_addf(&t->line, ", %zu %s", more[i].n, more[i].what);
    (void)buf_addf(&t->line, "; the scale's status says %d", t->a->c->status_replicas);
    end_line(t);
}

static void tell_conditions(struct teller *t) {
    CLEANUP_BUF struct buf s;
    buf_init(&s, LIMIT_ANSWER_BYTES);
    struct hpa_word_condition *all = mem_array(t->a->c->hpa.n_conditions + HPA_CONDITIONS,
                                               sizeof(*all));
    if (!all) {
        t->out->err = ERR_NOMEM;
        return;
    }
    size_t n = hpa_words_conditions(t->a, &s, all), type = 0, reason = 0;
    for (size_t i = 0; i < n; i++) {
        type = all[i].type.n > type ? all[i].type.n : type;
        reason = all[i].reason.n > reason ? all[i].reason.n : reason;
    }
    (void)buf_addc(&t->line, "  conditions");
    end_line(t);
    for (size_t i = 0; i < n; i++) {
        (void)buf_addf(&t->line, "    %-*.*s  %-7.*s  %-*.*s  " STR_FMT, (int)type,
                       STR_ARG(all[i].type), STR_ARG(all[i].status), (int)reason,
                       STR_ARG(all[i].reason), STR_ARG(all[i].message));
        end_line(t);
    }
    mem_free(all);
    if (s.err < 0)
        t->out->err = s.err;
}

void hpa_tell(struct buf *out, const struct hpa_answer *a) {
    struct teller t = {.a = a, .out = out};
    buf_init(&t.line, LIMIT_ANSWER_BYTES);
    tell_headline(&t);
    tell_why(&t);
    tell_metrics(&t);
    tell_pods(&t);
    tell_conditions(&t);
    if (a->c->n_notes > 0) {
        (void)buf_addc(&t.line, "  assumed");
        end_line(&t);
    }
    for (size_t i = 0; i < a->c->n_notes; i++) {
        (void)buf_addf(&t.line, "    %s", a->c->notes[i]);
        end_line(&t);
    }
    buf_done(&t.line);
}
