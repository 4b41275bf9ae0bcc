// SPDX-License-Identifier: Apache-2.0
/* What Go prints for a label selector, and a metric's proposal in a sentence for people. */
#include <inttypes.h>

#include "core/hpa/hpa_text.h"

void hpa_text_selector(struct buf *b, const struct hpa_label *labels, size_t n_labels,
                       const struct hpa_requirement *requirements, size_t n_requirements) {
    buf_addc(b, "&LabelSelector{MatchLabels:map[string]string{");
    for (size_t i = 0; i < n_labels; i++)
        buf_addf(b, STR_FMT ": " STR_FMT ",", STR_ARG(labels[i].key), STR_ARG(labels[i].value));
    buf_addc(b, "},MatchExpressions:[]LabelSelectorRequirement{");
    for (size_t i = 0; i < n_requirements; i++) {
        const struct hpa_requirement *r = &requirements[i];
        buf_addf(b, "LabelSelectorRequirement{Key:" STR_FMT ",Operator:" STR_FMT ",Values:[",
                 STR_ARG(r->key), STR_ARG(r->operator_));
        for (size_t k = 0; k < r->n_values; k++)
            buf_addf(b, "%s" STR_FMT, k ? " " : "", STR_ARG(r->values[k]));
        buf_addc(b, "],},");
    }
    buf_addc(b, "},}");
}

// 1500 -> "1.5"
static void add_milli(struct buf *b, int64_t milli) {
    uint64_t n = milli < 0 ? 0 - (uint64_t)milli : (uint64_t)milli;
    unsigned part = (unsigned)(n % 1000);
    buf_addf(b, "%s%" PRIu64, milli < 0 ? "-" : "", n / 1000);
    if (part == 0)
        return;
    char digits[5];
    snprintf(digits, sizeof(digits), ".%03u", part);
    for (size_t end = 3; digits[end] == '0'; end--)
        digits[end] = '\0';
    buf_addc(b, digits);
}

static void add_current(struct buf *b, const struct hpa_metric *spec,
                        const struct hpa_metric_result *m) {
    const struct hpa_target *t = &spec->target;
    if (m->current_type == HPA_UTILIZATION) {
        buf_addf(b, "%d %% of %d %%", m->utilization_pct, t->utilization_pct);
        return;
    }
    add_milli(b, m->current_milli);
    buf_addc(b, " of ");
    add_milli(b, m->current_type == HPA_VALUE ? t->value_milli : t->average_milli);
}

static const char *const made_up_kinds[] = {"missing", "unready"};

static void add_filled(struct buf *b, const struct hpa_metric_result *m) {
    uint32_t n[] = {m->missing, m->ratio > 1.0 ? m->unready : 0};
    const char *sep = ", with";
    for (int i = 0; i < 2; i++) {
        if (n[i] == 0)
            continue;
        buf_addf(b, "%s %u %s pod%s", sep, n[i], made_up_kinds[i], n[i] == 1 ? "" : "s");
        sep = " and";
    }
    buf_addf(b, " counted cautiously %.4g", m->filled_ratio);
}

void hpa_text_path(struct buf *b, const struct hpa_controller *c, const struct hpa_spec *spec,
                   const struct hpa_input *in, const struct hpa_result *r, size_t i) {
    const struct hpa_metric_result *m = &r->metrics[i];
    if (m->error != HPA_METRIC_OK) {
        hpa_text_metric_error(b, c, spec, in, r, i);
        return;
    }
    add_current(b, &spec->metrics[i], m);
    buf_addf(b, ", ratio %.4g", m->ratio);
    if (m->path >= HPA_PATH_FILLED && m->path <= HPA_PATH_FILLED_AGAINST)
        add_filled(b, m);
    switch (m->path) {
    case HPA_PATH_NONE:
        return;
    case HPA_PATH_WITHIN:
    case HPA_PATH_FILLED_WITHIN:
        buf_addf(b, ": within the tolerance, stays %d", m->proposal);
        return;
    case HPA_PATH_READY:
        buf_addf(b, ": ceil(%.4g x %u ready pod%s) = %d", m->ratio, m->ready,
                 m->ready == 1 ? "" : "s", m->proposal);
        return;
    case HPA_PATH_FILLED:
        buf_addf(b, ": ceil(%.4g x %u pods) = %d", m->filled_ratio, m->counted, m->proposal);
        return;
    case HPA_PATH_FILLED_TURNED:
        buf_addf(b, ": the direction is not certain, stays %d", m->proposal);
        return;
    case HPA_PATH_FILLED_AGAINST:
        buf_addf(b, ": ceil(%.4g x %u pods) would go the other way, stays %d", m->filled_ratio,
                 m->counted, m->proposal);
        return;
    case HPA_PATH_FROM_ZERO:
        buf_addf(b, ": from zero, ceil(%.4g) = %d", m->ratio, m->proposal);
        return;
    case HPA_PATH_SUM:
        buf_addf(b, ": the sum over the target, rounded up = %d", m->proposal);
        return;
    }
}
