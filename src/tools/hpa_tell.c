// SPDX-License-Identifier: Apache-2.0
/* An answer as a person reads it: the number first, then how it came about, then the conditions. */
#include "base/limits.h"
#include "base/mem.h"
#include "core/hpa/hpa_text.h"
#include "tools/hpa_words.h"

enum { NAME_MAX = 40 };

static const char *plural(int64_t n) {
    return n == 1 ? "" : "s";
}

static void add_headline(struct buf *b, const struct hpa_answer *a) {
    const struct manifest_hpa *h = &a->c->hpa;
    const struct hpa_result *r = &a->result;
    int32_t now = a->c->spec_replicas;
    (void)buf_addf(b, "%s/%s", h->namespace_, h->name);
    if (h->target_kind && h->target_name)
        (void)buf_addf(b, " scales %s/%s", h->target_kind, h->target_name);
    (void)buf_addf(b, " between %d and %d: ", h->spec.min_replicas, h->spec.max_replicas);
    if (r->failed)
        (void)buf_addf(b, "NO DECISION, it stays at %d replica%s\n", now, plural(now));
    else if (r->rescale)
        (void)buf_addf(b, "%d -> %d replicas\n", now, r->desired);
    else
        (void)buf_addf(b, "stays at %d replica%s\n", now, plural(now));
}

// What kept the answer from what the metrics propose, step by step.
static void add_limits(struct buf *b, const struct hpa_answer *a) {
    const struct hpa_result *r = &a->result;
    const struct hpa_condition *limited = &r->conditions[HPA_SCALING_LIMITED];
    if (r->stabilized != r->proposed)
        (void)buf_addf(b,
                       "  held: the metrics propose %d; recent recommendations (stabilization"
                       " window) make it %d\n",
                       r->proposed, r->stabilized);
    if (limited->set && limited->status == HPA_TRUE) {
        (void)buf_addf(b, "  limited: %d would follow, %d is allowed, because ", r->stabilized,
                       r->desired);
        hpa_text_condition(b, &a->c->controller, &a->c->hpa.spec, &a->in, r, HPA_SCALING_LIMITED);
        (void)buf_addf(b, " (%s)\n", hpa_reason_name(limited->reason));
    }
}

// A sentence on why it is this number, and not what the metrics propose.
static void add_why(struct buf *b, const struct hpa_answer *a) {
    const struct hpa_result *r = &a->result;
    const struct hpa_spec *spec = &a->c->hpa.spec;
    CLEANUP_BUF struct buf s;
    buf_init(&s, LIMIT_ANSWER_BYTES);
    hpa_text_rescale(&s, spec, r);
    if (s.len > 0)
        (void)buf_addf(b, "  why: " STR_FMT "\n", STR_ARG(buf_str(&s)));
    if (!r->computed) {
        if (!r->rescale)
            (void)buf_addc(b, "  why: the target is at zero, and the HPA did not scale it there:"
                              " scaling is disabled until somebody gives it a replica\n");
        return;
    }
    buf_clear(&s);
    if (r->failed || r->partial)
        hpa_text_failure(&s, &a->c->controller, spec, &a->in, r);
    if (r->failed)
        (void)buf_addf(b, "  why: " STR_FMT "\n", STR_ARG(buf_str(&s)));
    else if (r->partial)
        (void)buf_addf(b,
                       "  %u of %zu metrics failed: the others decide, as they ask for no fewer"
                       " replicas than there are\n",
                       r->n_failed, r->n_metrics);
    if (r->failed)
        return;
    add_limits(b, a);
}

static void metric_label(struct buf *b, const struct hpa_answer *a, size_t i) {
    const struct hpa_metric *m = &a->c->hpa.spec.metrics[i];
    (void)buf_addf(b, "%s %s", hpa_metric_type_name(m->type), m->name);
    if (m->type == HPA_CONTAINER_RESOURCE && m->container)
        (void)buf_addf(b, " of %s", m->container);
    if (a->c->hpa.names[i].object)
        (void)buf_addf(b, " of %s", a->c->hpa.names[i].object);
}

static void add_metrics(struct buf *b, const struct hpa_answer *a) {
    const struct hpa_result *r = &a->result;
    CLEANUP_BUF struct buf s;
    buf_init(&s, LIMIT_ANSWER_BYTES);
    int width = 0;
    for (size_t i = 0; i < a->c->hpa.spec.n_metrics; i++) {
        buf_clear(&s);
        metric_label(&s, a, i);
        if ((int)s.len > width)
            width = s.len > NAME_MAX ? NAME_MAX : (int)s.len;
    }
    (void)buf_addc(b, "  metrics\n");
    for (size_t i = 0; i < a->c->hpa.spec.n_metrics; i++) {
        buf_clear(&s);
        metric_label(&s, a, i);
        (void)buf_addf(b, "    %-*.*s  ", width, (int)s.len, s.p);
        if (!r->computed)
            (void)buf_addc(b, "not looked at");
        else if (r->metrics[i].error != HPA_METRIC_OK)
            (void)buf_addc(b, "FAILED: ");
        if (r->computed)
            hpa_text_path(b, &a->c->controller, &a->c->hpa.spec, &a->in, r, i);
        (void)buf_addc(b, "\n");
    }
}

static void add_pods(struct buf *b, const struct hpa_answer *a) {
    size_t ready = 0, unready = 0, pending = 0, gone = 0;
    for (size_t i = 0; i < a->in.n_pods; i++) {
        const struct hpa_pod *p = &a->in.pods[i];
        if (p->deleted || p->phase == HPA_FAILED || p->phase == HPA_SUCCEEDED)
            gone++;
        else if (p->phase == HPA_PENDING)
            pending++;
        else if (p->ready == HPA_TRUE)
            ready++;
        else
            unready++;
    }
    (void)buf_addf(b, "  pods\n    %zu ready", ready);
    const struct {
        size_t n;
        const char *what;
    } more[] = {{unready, "not ready"}, {pending, "pending"}, {gone, "ended or being deleted"}};
    for (size_t i = 0; i < COUNT_OF(more); i++)
        if (more[i].n > 0)
            (void)buf_addf(b, ", %zu %s", more[i].n, more[i].what);
    (void)buf_addf(b, "; the scale's status says %d\n", a->c->status_replicas);
}

static void add_conditions(struct buf *b, const struct hpa_answer *a) {
    CLEANUP_BUF struct buf s;
    buf_init(&s, LIMIT_ANSWER_BYTES);
    struct hpa_word_condition *all = mem_array(a->c->hpa.n_conditions + HPA_CONDITIONS,
                                               sizeof(*all));
    if (!all) {
        b->err = ERR_NOMEM;
        return;
    }
    size_t n = hpa_words_conditions(a, &s, all), type = 0, reason = 0;
    for (size_t i = 0; i < n; i++) {
        type = all[i].type.n > type ? all[i].type.n : type;
        reason = all[i].reason.n > reason ? all[i].reason.n : reason;
    }
    (void)buf_addc(b, "  conditions\n");
    for (size_t i = 0; i < n; i++)
        (void)buf_addf(b, "    %-*.*s  %-7.*s  %-*.*s  " STR_FMT "\n", (int)type,
                       STR_ARG(all[i].type), STR_ARG(all[i].status), (int)reason,
                       STR_ARG(all[i].reason), STR_ARG(all[i].message));
    mem_free(all);
}

void hpa_tell(struct buf *out, const struct hpa_answer *a) {
    add_headline(out, a);
    add_why(out, a);
    add_metrics(out, a);
    add_pods(out, a);
    add_conditions(out, a);
    if (a->c->n_notes > 0)
        (void)buf_addc(out, "  assumed\n");
    for (size_t i = 0; i < a->c->n_notes; i++)
        (void)buf_addf(out, "    %s\n", a->c->notes[i]);
}
