// SPDX-License-Identifier: Apache-2.0
/* An answer as one line of JSON (docs/hpa.md says what each field means). */
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "core/hpa/hpa_text.h"
#include "tools/hpa_words.h"

// Empties the scratch buffer; its failure is the answer's.
static void fresh(struct buf *b, struct buf *scratch) {
    if (scratch->err < 0 && b->err == 0)
        b->err = scratch->err;
    buf_clear(scratch);
}

static void add_text(struct buf *b, const char *key, struct str value) {
    (void)buf_addf(b, "\"%s\":", key);
    (void)buf_add_json(b, value);
}

static void add_quantity(struct buf *b, const char *key, int64_t milli, bool binary) {
    (void)buf_addf(b, "\"%s\":\"", key);
    (void)quantity_add_milli(b, milli, binary);
    (void)buf_add_byte(b, '"');
}

static bool is_memory(const struct hpa_metric *m) {
    return (m->type == HPA_RESOURCE || m->type == HPA_CONTAINER_RESOURCE) &&
           strcmp(m->name, "memory") == 0;
}

// As in status.currentMetrics.
static void add_current(struct buf *b, const struct hpa_metric *m,
                        const struct hpa_metric_result *r) {
    (void)buf_addc(b, "{");
    if (r->current_type == HPA_UTILIZATION)
        (void)buf_addf(b, "\"averageUtilization\":%d,", r->utilization_pct);
    add_quantity(b, r->current_type == HPA_VALUE ? "value" : "averageValue", r->current_milli,
                 is_memory(m));
    (void)buf_addc(b, "}");
}

static void add_target(struct buf *b, const struct hpa_metric *m) {
    const struct hpa_target *t = &m->target;
    add_text(b, "type", str_from(hpa_target_type_name(t->type)));
    if (t->has_utilization)
        (void)buf_addf(b, ",\"averageUtilization\":%d", t->utilization_pct);
    if (t->has_value) {
        (void)buf_add_byte(b, ',');
        add_quantity(b, "value", t->value_milli, is_memory(m));
    }
    if (t->has_average) {
        (void)buf_add_byte(b, ',');
        add_quantity(b, "averageValue", t->average_milli, is_memory(m));
    }
}

static void add_metric(struct buf *b, const struct hpa_answer *a, size_t i, struct buf *scratch) {
    const struct hpa_metric *m = &a->c->hpa.spec.metrics[i];
    const struct manifest_metric_name *n = &a->c->hpa.names[i];
    const struct hpa_metric_result *r = a->result.computed ? &a->result.metrics[i] : NULL;
    bool good = r && r->error == HPA_METRIC_OK, bad = r && !good;
    (void)buf_addc(b, i > 0 ? ",{" : "{");
    add_text(b, "name", str_from(m->name));
    (void)buf_addc(b, ",");
    add_text(b, "type", str_from(hpa_metric_type_name(m->type)));
    const char *more[] = {m->container, n->object, n->selector};
    static const char *const keys[] = {"container", "object", "selector"};
    for (size_t k = 0; k < COUNT_OF(more); k++) {
        if (!more[k])
            continue;
        (void)buf_addc(b, ",");
        add_text(b, keys[k], str_from(more[k]));
    }
    if (good)
        (void)buf_addf(b, ",\"proposal\":%d,\"current\":", r->proposal);
    else
        (void)buf_addc(b, ",\"proposal\":null,\"current\":null");
    if (good)
        add_current(b, m, r);
    (void)buf_addc(b, ",\"target\":{");
    add_target(b, m);
    (void)buf_addc(b, "},\"error\":");
    fresh(b, scratch);
    if (bad)
        hpa_text_metric_error(scratch, &a->c->controller, &a->c->hpa.spec, &a->in, &a->result, i);
    if (bad)
        (void)buf_add_json(b, buf_str(scratch));
    else
        (void)buf_addc(b, "null");
    (void)buf_addc(b, "}");
}

static void add_conditions(struct buf *b, const struct hpa_answer *a, struct buf *scratch) {
    struct hpa_word_condition *all = mem_array(a->c->hpa.n_conditions + HPA_CONDITIONS,
                                               sizeof(*all));
    if (!all) {
        b->err = ERR_NOMEM;
        return;
    }
    fresh(b, scratch);
    size_t n = hpa_words_conditions(a, scratch, all);
    for (size_t i = 0; i < n; i++) {
        (void)buf_addc(b, i > 0 ? ",{" : "{");
        add_text(b, "type", all[i].type);
        (void)buf_addc(b, ",");
        add_text(b, "status", all[i].status);
        (void)buf_addc(b, ",");
        add_text(b, "reason", all[i].reason);
        (void)buf_addc(b, ",");
        add_text(b, "message", all[i].message);
        (void)buf_addc(b, "}");
    }
    mem_free(all);
}

static void add_ago(struct buf *b, const struct hpa_answer *a, int64_t at_ns) {
    int64_t ago = a->c->now_ns - at_ns;
    (void)buf_addf(b, "\"secondsAgo\":%lld.%09lld}", ago / NS_PER_S, ago % NS_PER_S);
}

static void add_events(struct buf *b, const struct hpa_answer *a, const char *key,
                       const struct hpa_scale_event *events, size_t n) {
    (void)buf_addf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        (void)buf_addf(b, "%s{\"change\":%d,", i > 0 ? "," : "", events[i].change);
        add_ago(b, a, events[i].at_ns);
    }
    (void)buf_addc(b, "]");
}

// As a later case takes it.
static void add_history(struct buf *b, const struct hpa_answer *a) {
    const struct hpa_state *s = a->c->state;
    (void)buf_addc(b, "\"recommendations\":[");
    for (size_t i = 0; i < s->n_recommendations; i++) {
        (void)buf_addf(b, "%s{\"replicas\":%d,", i > 0 ? "," : "", s->recommendations[i].replicas);
        add_ago(b, a, s->recommendations[i].at_ns);
    }
    (void)buf_addc(b, "]");
    add_events(b, a, "scaleUps", s->ups, s->n_ups);
    add_events(b, a, "scaleDowns", s->downs, s->n_downs);
}

void hpa_json_write(struct buf *out, const struct hpa_answer *a) {
    const struct hpa_result *r = &a->result;
    const struct hpa_case *c = a->c;
    CLEANUP_BUF struct buf scratch;
    buf_init(&scratch, LIMIT_ANSWER_BYTES);
    int32_t desired = 0;
    if (hpa_words_desired(a, &desired))
        (void)buf_addf(out, "{\"desiredReplicas\":%d,\"metrics\":[", desired);
    else
        (void)buf_addc(out, "{\"desiredReplicas\":null,\"metrics\":[");
    for (size_t i = 0; i < c->hpa.spec.n_metrics; i++)
        add_metric(out, a, i, &scratch);
    const char *limited = hpa_words_limited_by(a);
    (void)buf_addf(out, "],\"limitedBy\":%s%s%s,\"conditions\":[", limited ? "\"" : "",
                   limited ? limited : "null", limited ? "\"" : "");
    add_conditions(out, a, &scratch);
    (void)buf_addc(out, "],");
    fresh(out, &scratch);
    (void)buf_addf(&scratch, "%s/%s", c->hpa.namespace_, c->hpa.name);
    add_text(out, "hpa", buf_str(&scratch));
    (void)buf_addf(out, ",\"currentReplicas\":%d,\"rescale\":%s,", c->spec_replicas,
                   r->rescale ? "true" : "false");
    fresh(out, &scratch);
    hpa_text_rescale(&scratch, &c->hpa.spec, r);
    add_text(out, "reason", buf_str(&scratch));
    fresh(out, &scratch);
    if (r->failed || r->partial)
        hpa_text_failure(&scratch, &c->controller, &c->hpa.spec, &a->in, r);
    (void)buf_addc(out, ",\"error\":");
    if (scratch.len > 0)
        (void)buf_add_json(out, buf_str(&scratch));
    else
        (void)buf_addc(out, "null");
    (void)buf_addc(out, ",\"history\":{");
    add_history(out, a);
    (void)buf_addc(out, "},\"assumed\":[");
    for (size_t i = 0; i < c->n_notes; i++) {
        (void)buf_addc(out, i > 0 ? "," : "");
        (void)buf_add_json(out, str_from(c->notes[i]));
    }
    (void)buf_addc(out, "]}\n");
    fresh(out, &scratch);
}

void hpa_json_write_error(struct buf *out, const struct err *e) {
    (void)buf_addc(out, "{\"invalid\":");
    (void)buf_add_json(out, str_from(e->msg));
    (void)buf_addc(out, "}\n");
}
