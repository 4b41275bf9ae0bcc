// SPDX-License-Identifier: Apache-2.0
/*
 * core/hpa's formulas as lines, for the test that lets KEDA itself judge them: one command a line
 * (words KEY=VALUE, the text last and to the end of the line), one answer a line.
 *
 *     formula names=a,b values=1,nil text=TEXT     value N | nil | error WHY | refused CODE WHY
 *     object KEY=VALUE...                          ok | refused CODE WHY; what follows is about it
 *     poll now=S replicas=N ready=N hpa=0|1 samples=KIND:VALUE:ACTIVE,...
 *     push now=S replicas=N trigger=I              what KEDA's loop did, and the state after it
 *     answer ... samples=... trigger=I             value=MILLI | refused=WHY
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/hpa/keda.h"

enum { WORD_MAX = 1024 };

// The value of KEY in the line, "" when absent; `text` runs to the end.
static const char *word(const char *line, const char *key, char *dst, size_t cap) {
    char wanted[32];
    snprintf(wanted, sizeof(wanted), " %s=", key);
    const char *p = strstr(line, wanted);
    dst[0] = '\0';
    if (!p)
        return dst;
    p += strlen(wanted);
    size_t n = strcspn(p, strcmp(key, "text") == 0 ? "\n" : " \n");
    snprintf(dst, cap, "%.*s", (int)n, p);
    return dst;
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

// The ScaledObject in hand.
static struct {
    struct keda_object o;
    struct keda_state s;
    struct keda_trigger triggers[LIMIT_KEDA_TRIGGERS];
    char names[LIMIT_KEDA_TRIGGERS][8];
    char target[64], activation[64];
    struct keda_formula *formula;
} now;

static double number(const char *line, const char *key, double otherwise) {
    char text[WORD_MAX];
    double x;
    return str_to_double(str_from(word(line, key, text, sizeof(text))), &x) == 0 ? x : otherwise;
}

static int64_t seconds(const char *line, const char *key, int64_t otherwise_ns) {
    return (int64_t)(number(line, key, (double)otherwise_ns / NS_PER_S) * NS_PER_S);
}

// KIND:TYPE:TARGET_MILLI:CACHED,...
static void read_triggers(const char *line) {
    char text[WORD_MAX];
    struct str rest = str_from(word(line, "triggers", text, sizeof(text)));
    while (rest.n && now.o.n_triggers < LIMIT_KEDA_TRIGGERS) {
        struct str item = str_cut(&rest, ',');
        size_t i = now.o.n_triggers++;
        struct keda_trigger *t = &now.triggers[i];
        long long target = 0;
        snprintf(now.names[i], sizeof(now.names[i]), "t%zu", i);
        t->name = now.names[i];
        t->resource = str_eqc(str_cut(&item, ':'), "cpu");
        t->metric_name = t->resource ? "cpu" : "m";
        t->type = str_eqc(str_cut(&item, ':'), "Value") ? KEDA_VALUE : KEDA_AVERAGE_VALUE;
        str_to_i64(str_cut(&item, ':'), &target);
        t->target_milli = target;
        t->cached = str_eqc(item, "1");
    }
    now.o.triggers = now.triggers;
}

static void read_fallback(const char *line) {
    static const char *const behaviors[] = {"static", "currentReplicas", "currentReplicasIfHigher",
                                            "currentReplicasIfLower", "scalingModifiers"};
    char text[WORD_MAX];
    struct keda_fallback *f = &now.o.fallback;
    word(line, "behavior", text, sizeof(text));
    for (size_t i = 0; i < sizeof(behaviors) / sizeof(behaviors[0]); i++)
        if (strcmp(text, behaviors[i]) == 0)
            *f = (struct keda_fallback){.set = true,
                                        .failure_threshold = (int32_t)number(line, "threshold", 0),
                                        .replicas = (int32_t)number(line, "fallback", 0),
                                        .behavior = (enum keda_fallback_behavior)i};
}

static int read_formula(const char *line, struct err *e) {
    const char *names[LIMIT_KEDA_TRIGGERS];
    char text[WORD_MAX];
    struct keda_modifiers *m = &now.o.modifiers;
    if (!word(line, "text", text, sizeof(text))[0])
        return 0;
    for (size_t i = 0; i < now.o.n_triggers; i++)
        names[i] = now.names[i];
    int r = keda_formula_parse(&now.formula, str_from(text), names, now.o.n_triggers, e);
    m->formula = now.formula;
    m->target = str_from(word(line, "target", now.target, sizeof(now.target)));
    m->activation_target = str_from(
        word(line, "activation", now.activation, sizeof(now.activation)));
    m->type = strcmp(word(line, "type", text, sizeof(text)), "Value") == 0 ? KEDA_VALUE
                                                                           : KEDA_AVERAGE_VALUE;
    return r;
}

// KEY:VALUE,...
static int read_annotations(const char *line, struct err *e) {
    char text[WORD_MAX];
    struct str rest = str_from(word(line, "annotations", text, sizeof(text)));
    int r = 0;
    while (rest.n && r == 0) {
        struct str value = str_cut(&rest, ','), key = str_cut(&value, ':');
        r = keda_annotation_set(&now.o.annotations, key, value, e);
    }
    return r;
}

static void object(const char *line) {
    struct err e = {0};
    keda_formula_free(now.formula);
    memset(&now, 0, sizeof(now));
    keda_object_init(&now.o);
    now.o.min_replicas = (int32_t)number(line, "min", KEDA_UNSET);
    now.o.max_replicas = (int32_t)number(line, "max", KEDA_UNSET);
    now.o.idle_replicas = (int32_t)number(line, "idle", KEDA_UNSET);
    now.o.cooldown_ns = seconds(line, "cooldown", now.o.cooldown_ns);
    now.o.initial_cooldown_ns = seconds(line, "initial", 0);
    read_triggers(line);
    read_fallback(line);
    int r = read_formula(line, &e);
    if (r == 0)
        r = read_annotations(line, &e);
    if (r == 0)
        r = keda_object_check(&now.o, &e);
    if (r < 0)
        printf("refused %d %s\n", r, e.msg);
    else
        printf("ok\n");
}

static void read_samples(const char *line, struct keda_sample *samples) {
    char text[WORD_MAX];
    struct str rest = str_from(word(line, "samples", text, sizeof(text)));
    for (size_t i = 0; rest.n && i < now.o.n_triggers; i++) {
        struct str item = str_cut(&rest, ','), kind = str_cut(&item, ':');
        samples[i].spec_failed = str_eqc(kind, "spec");
        samples[i].failed = str_eqc(kind, "failed");
        samples[i].empty = str_eqc(kind, "empty");
        str_to_double(str_cut(&item, ':'), &samples[i].value);
        samples[i].active = str_eqc(item, "1");
    }
}

static struct keda_target read_target(const char *line) {
    return (struct keda_target){.replicas = (int32_t)number(line, "replicas", 0),
                                .ready = (int32_t)number(line, "ready", 0),
                                .hpa_active = number(line, "hpa", 0) > 0};
}

static void print_state(int64_t at_ns) {
    printf(" failures=");
    for (size_t i = 0; i < now.o.n_triggers; i++)
        printf("%s%d", i ? "," : "", now.s.failures[i]);
    if (now.s.active_known)
        printf(" ago=%" PRId64 "\n", (int64_t)((at_ns - now.s.last_active_ns) / NS_PER_S));
    else
        printf(" ago=never\n");
}

static void print_verdict(const struct keda_verdict *v, int64_t at_ns) {
    static const char *const ready[] = {"True", "False", "Unknown"};
    printf("scale=%d ready=%s/%s active=%s triggers=%u", v->scale_to, ready[v->ready],
           v->ready_reason, v->active_reason ? v->active_reason : "none", v->active_triggers);
    print_state(at_ns);
}

static void loop(const char *line) {
    struct keda_sample samples[LIMIT_KEDA_TRIGGERS] = {0};
    struct keda_target target = read_target(line);
    int64_t at_ns = seconds(line, "now", 0);
    int trigger = (int)number(line, "trigger", 0);
    struct keda_verdict v;
    struct keda_answer a;
    read_samples(line, samples);
    if (strncmp(line, "poll ", 5) == 0) {
        keda_poll(&now.o, &now.s, samples, &target, at_ns, &v);
        print_verdict(&v, at_ns);
    } else if (strncmp(line, "push ", 5) == 0) {
        keda_push(&now.o, &now.s, trigger, target.replicas, at_ns, &v);
        print_verdict(&v, at_ns);
    } else {
        static const char *const refusals[] = {"", "error", "none", "formula"};
        keda_answer(&now.o, &now.s, samples, &target, trigger, &a);
        if (a.refusal == KEDA_ANSWERED)
            printf("value=%" PRId64, a.milli);
        else
            printf("refused=%s", refusals[a.refusal]);
        print_state(at_ns);
    }
}

int main(void) {
    static char line[16384];
    while (fgets(line, sizeof(line), stdin)) {
        if (strncmp(line, "formula ", 8) == 0)
            formula(line);
        else if (strncmp(line, "object ", 7) == 0)
            object(line);
        else if (strncmp(line, "poll ", 5) == 0 || strncmp(line, "push ", 5) == 0 ||
                 strncmp(line, "answer ", 7) == 0)
            loop(line);
        else
            printf("error no such command\n");
        fflush(stdout);
    }
    return 0;
}
