// SPDX-License-Identifier: Apache-2.0
/*
 * core/hpa's KEDA part as lines, for tests that let KEDA itself judge it: one command a line (words
 * KEY=VALUE, a formula last and to the end of the line), one answer a line.
 *
 *     new
 *     trigger name=a cached=0 resource=0 type=0 target=1000
 *     object min=-1 max=-1 idle=-1 cooldown=300 ... [formula=TEXT]   ok min max NAME:TYPE:TARGET...
 *     poll now=12.5 last=- replicas=1 ready=1 hpa=0 s=BITS:VALUE,...  scale active ready last ...
 *     answer trigger=0 replicas=1 ready=1 s=...                       value N | error
 *     formula values=1,2,nil text=TEXT names=a,b (before text)        value N | nil | error CODE
 * TEXT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/hpa/keda.h"

struct lab {
    struct keda_object object;
    struct keda_state state;
    struct keda_trigger triggers[LIMIT_KEDA_TRIGGERS];
    char names[LIMIT_KEDA_TRIGGERS][32], metrics[LIMIT_KEDA_TRIGGERS][32];
    char target[64], activation[64];
    struct keda_formula *formula;
};

// The value of KEY in the line, "" when absent; `formula` and `text` run to the end.
static const char *word(const char *line, const char *key, char *dst, size_t cap) {
    char wanted[32];
    snprintf(wanted, sizeof(wanted), " %s=", key);
    const char *p = strstr(line, wanted);
    dst[0] = '\0';
    if (!p)
        return dst;
    p += strlen(wanted);
    size_t n = strcspn(p, strcmp(key, "formula") == 0 || strcmp(key, "text") == 0 ? "\n" : " \n");
    snprintf(dst, cap, "%.*s", (int)n, p);
    return dst;
}

static double number(const char *line, const char *key) {
    char text[64];
    return strtod(word(line, key, text, sizeof(text)), NULL);
}

static bool has(const char *line, const char *key) {
    char text[64];
    return word(line, key, text, sizeof(text))[0] != '\0';
}

static void lab_new(struct lab *l) {
    l->formula = keda_formula_free(l->formula);
    memset(l, 0, sizeof(*l));
    keda_object_init(&l->object);
    l->object.triggers = l->triggers;
}

static void trigger(struct lab *l, const char *line) {
    size_t i = l->object.n_triggers++;
    struct keda_trigger *t = &l->triggers[i];
    word(line, "name", l->names[i], sizeof(l->names[i]));
    word(line, "metric", l->metrics[i], sizeof(l->metrics[i]));
    *t = (struct keda_trigger){.name = l->names[i][0] ? l->names[i] : NULL,
                               .metric_name = l->metrics[i],
                               .cached = number(line, "cached") > 0,
                               .resource = number(line, "resource") > 0,
                               .type = number(line, "type") > 0 ? KEDA_VALUE : KEDA_AVERAGE_VALUE,
                               .target_milli = (int64_t)number(line, "target")};
    printf("ok\n");
}

static void annotate(struct lab *l, const char *line) {
    static const char *const keys[] = {"paused", "paused-replicas", "paused-scale-in",
                                       "paused-scale-out", "force-activation"};
    char key[64], value[64];
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (!has(line, keys[i]))
            continue;
        snprintf(key, sizeof(key), "autoscaling.keda.sh/%s", keys[i]);
        keda_annotation_set(&l->object.annotations, str_from(key),
                            str_from(word(line, keys[i], value, sizeof(value))), NULL);
    }
}

static int modify(struct lab *l, const char *line, struct err *e) {
    char text[4096];
    const char *names[LIMIT_KEDA_TRIGGERS];
    struct keda_modifiers *m = &l->object.modifiers;
    if (!has(line, "formula"))
        return 0;
    for (size_t i = 0; i < l->object.n_triggers; i++)
        names[i] = l->triggers[i].resource ? NULL : l->triggers[i].name;
    int r = keda_formula_parse(&l->formula, str_from(word(line, "formula", text, sizeof(text))),
                               names, l->object.n_triggers, e);
    m->formula = l->formula;
    m->target = str_from(word(line, "mtarget", l->target, sizeof(l->target)));
    m->activation_target = str_from(
        word(line, "mactivation", l->activation, sizeof(l->activation)));
    m->type = number(line, "mtype") > 0 ? KEDA_VALUE : KEDA_AVERAGE_VALUE;
    return r;
}

static void object(struct lab *l, const char *line) {
    struct keda_object *o = &l->object;
    struct keda_hpa h;
    struct err e = {0};
    o->min_replicas = (int32_t)number(line, "min");
    o->max_replicas = (int32_t)number(line, "max");
    o->idle_replicas = (int32_t)number(line, "idle");
    o->cooldown_ns = (int64_t)number(line, "cooldown") * NS_PER_S;
    o->initial_cooldown_ns = (int64_t)number(line, "initial") * NS_PER_S;
    o->created_ns = (int64_t)(number(line, "created") * NS_PER_S);
    o->fallback.set = has(line, "threshold");
    o->fallback.failure_threshold = (int32_t)number(line, "threshold");
    o->fallback.replicas = (int32_t)number(line, "replicas");
    o->fallback.behavior = (enum keda_fallback_behavior)number(line, "behavior");
    annotate(l, line);
    int r = modify(l, line, &e);
    r = r ? r : keda_object_check(o, &e);
    if (r < 0) {
        printf("error %d %s\n", r, e.msg);
        return;
    }
    keda_hpa(o, &h);
    printf("ok %d %d %d%d%d", h.min_replicas, h.max_replicas, h.exists, h.scale_down_disabled,
           h.scale_up_disabled);
    for (size_t i = 0; i < h.n_metrics; i++)
        printf(" %s:%d:%lld", h.metrics[i].name, h.metrics[i].type,
               (long long)h.metrics[i].target_milli);
    printf("\n");
}

// s=BITS:VALUE,...; bits: 1 no spec, 2 failed, 4 empty, 8 active.
static void samples_of(const char *line, struct keda_sample *ret) {
    char text[2048];
    struct str rest = str_from(word(line, "s", text, sizeof(text)));
    for (size_t i = 0; rest.n && i < LIMIT_KEDA_TRIGGERS; i++) {
        struct str value = str_cut(&rest, ',');
        struct str bits = str_cut(&value, ':');
        long long b = 0;
        str_to_i64(bits, &b);
        ret[i] = (struct keda_sample){
            .spec_failed = b & 1, .failed = b & 2, .empty = b & 4, .active = b & 8};
        str_to_double(value, &ret[i].value);
    }
}

static struct keda_target target_of(const char *line) {
    return (struct keda_target){.replicas = (int32_t)number(line, "replicas"),
                                .ready = (int32_t)number(line, "ready"),
                                .hpa_active = number(line, "hpa") > 0};
}

static void poll(struct lab *l, const char *line) {
    struct keda_sample samples[LIMIT_KEDA_TRIGGERS] = {0};
    struct keda_target t = target_of(line);
    struct keda_verdict v;
    char last[64];
    int64_t now_ns = (int64_t)(number(line, "now") * NS_PER_S);
    samples_of(line, samples);
    l->state.active_known = word(line, "last", last, sizeof(last))[0] != '-';
    l->state.last_active_ns = (int64_t)(strtod(last, NULL) * NS_PER_S);
    keda_poll(&l->object, &l->state, samples, &t, now_ns, &v);
    bool touched = l->state.active_known && l->state.last_active_ns == now_ns;
    printf("scale=%d ready=%s active=%s touched=%d fallback=%d failures=", v.scale_to,
           v.ready_reason, v.active_reason ? v.active_reason : "-", touched, v.fallback);
    for (size_t i = 0; i < l->object.n_triggers; i++)
        printf("%s%d", i ? "," : "", l->state.failures[i]);
    printf("\n");
}

static void answer(struct lab *l, const char *line) {
    struct keda_sample samples[LIMIT_KEDA_TRIGGERS] = {0};
    struct keda_target t = target_of(line);
    struct keda_answer a;
    samples_of(line, samples);
    keda_answer(&l->object, &l->state, samples, &t, (int)number(line, "trigger"), &a);
    if (a.refusal == KEDA_ANSWERED)
        printf("value %lld\n", (long long)a.milli);
    else
        printf("error\n");
}

static void formula(const char *line) {
    char text[4096], list[1024], values_text[1024];
    const char *names[LIMIT_KEDA_TRIGGERS];
    double values[LIMIT_KEDA_TRIGGERS] = {0}, x;
    uint32_t nil = 0;
    size_t n = 0;
    bool is_nil;
    struct keda_formula *f;
    struct err e = {0};
    struct str rest = str_from(word(line, "names", list, sizeof(list)));
    while (rest.n && n < LIMIT_KEDA_TRIGGERS) {
        struct str name = str_cut(&rest, ',');
        list[(size_t)(name.p - list) + name.n] = '\0';
        names[n++] = name.p;
    }
    rest = str_from(word(line, "values", values_text, sizeof(values_text)));
    for (size_t i = 0; rest.n && i < n; i++) {
        struct str v = str_cut(&rest, ',');
        if (str_eqc(v, "nil"))
            nil |= 1u << i;
        else
            str_to_double(v, &values[i]);
    }
    int r = keda_formula_parse(&f, str_from(word(line, "text", text, sizeof(text))), names, n, &e);
    if (r < 0) {
        printf("refused %d %s\n", r, e.msg);
        return;
    }
    r = keda_formula_eval(f, values, nil, &x, &is_nil, &e);
    keda_formula_free(f);
    if (r < 0)
        printf("error %s\n", e.msg);
    else if (is_nil)
        printf("nil\n");
    else
        printf("value %.17g\n", isnan(x) ? (double)__builtin_nan("") : x);
}

int main(void) {
    static struct lab l;
    static char line[16384];
    lab_new(&l);
    while (fgets(line, sizeof(line), stdin)) {
        if (strncmp(line, "new", 3) == 0) {
            lab_new(&l);
            printf("ok\n");
        } else if (strncmp(line, "trigger ", 8) == 0) {
            trigger(&l, line);
        } else if (strncmp(line, "object ", 7) == 0) {
            object(&l, line);
        } else if (strncmp(line, "poll ", 5) == 0) {
            poll(&l, line);
        } else if (strncmp(line, "answer ", 7) == 0) {
            answer(&l, line);
        } else if (strncmp(line, "formula ", 8) == 0) {
            formula(line);
        } else {
            printf("error no such command\n");
        }
        fflush(stdout);
    }
    keda_formula_free(l.formula);
    return 0;
}
