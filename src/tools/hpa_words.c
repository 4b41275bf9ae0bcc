// SPDX-License-Identifier: Apache-2.0
/* Words of an answer; see the header. */
#include "tools/hpa_words.h"

#include "core/hpa/hpa_text.h"

// Where a message lies in `made`, until that no longer grows.
struct placed {
    struct hpa_word_condition *of; // NULL: the step has not set it
    size_t at;
};

static void place(const struct hpa_answer *a, struct buf *made, enum hpa_condition_type type,
                  struct hpa_word_condition *ret, struct placed *p) {
    const struct hpa_condition *c = &a->result.conditions[type];
    *p = (struct placed){.of = ret, .at = made->len};
    hpa_text_condition(made, &a->c->controller, &a->c->hpa.spec, &a->in, &a->result, type);
    *ret = (struct hpa_word_condition){
        .type = str_from(hpa_condition_type_name(type)),
        .status = str_from(hpa_status_name(c->status)),
        .reason = str_from(hpa_reason_name(c->reason)),
        .message.n = made->len - p->at,
    };
}

static int known_type(const char *name) {
    for (int t = 0; t < HPA_CONDITIONS; t++)
        if (strcmp(name, hpa_condition_type_name((enum hpa_condition_type)t)) == 0)
            return t;
    return -1;
}

size_t hpa_words_conditions(const struct hpa_answer *a, struct buf *made,
                            struct hpa_word_condition *ret) {
    const struct hpa_condition *now = a->result.conditions;
    bool done[HPA_CONDITIONS] = {false};
    struct placed placed[HPA_CONDITIONS] = {0};
    size_t n = 0;
    for (size_t i = 0; i < a->c->hpa.n_conditions; i++) {
        const struct manifest_condition *old = &a->c->hpa.conditions[i];
        int t = known_type(old->type);
        if (t >= 0 && !done[t] && now[t].set)
            place(a, made, (enum hpa_condition_type)t, &ret[n++], &placed[t]);
        else if (t < 0 || done[t] || now[t].status != HPA_ABSENT)
            ret[n++] = (struct hpa_word_condition){str_from(old->type), str_from(old->status),
                                                   str_from(old->reason ? old->reason : ""),
                                                   str_from(old->message ? old->message : "")};
        if (t >= 0)
            done[t] = true;
    }
    for (int t = 0; t < HPA_CONDITIONS; t++)
        if (!done[t] && now[t].set && now[t].status != HPA_ABSENT)
            place(a, made, (enum hpa_condition_type)t, &ret[n++], &placed[t]);
    for (int t = 0; t < HPA_CONDITIONS; t++)
        if (placed[t].of)
            placed[t].of->message.p = made->p + placed[t].at;
    return n;
}

const char *hpa_words_limited_by(const struct hpa_answer *a) {
    const struct hpa_result *r = &a->result;
    const struct hpa_condition *limited = &r->conditions[HPA_SCALING_LIMITED];
    if (!r->computed || r->failed)
        return NULL;
    if (limited->set && limited->status == HPA_TRUE)
        return hpa_reason_name(limited->reason);
    if (r->stabilized == r->proposed)
        return NULL;
    bool up = a->c->hpa.spec.has_behavior && r->proposed >= a->c->spec_replicas;
    return hpa_reason_name(up ? HPA_SCALE_UP_STABILIZED : HPA_SCALE_DOWN_STABILIZED);
}

bool hpa_words_desired(const struct hpa_answer *a, int32_t *ret_replicas) {
    int32_t before = a->c->hpa.status_desired > 0 ? a->c->hpa.status_desired : 0;
    if (a->result.failed && before == 0 && a->c->spec_replicas > 0)
        return false;
    *ret_replicas = a->result.failed ? before : a->result.desired;
    return true;
}
