// SPDX-License-Identifier: Apache-2.0
/* The three policies on core/hpa and core/hpa/keda; see driver_brain.h. */
#include "playground/driver_brain.h"

#include <stdio.h>

#include "base/mem.h"
#include "core/hpa/hpa_text.h"

#define CPU_TARGET_PCT 70
// The recipe's numbers (docs/demo-policies.md).
#define GPU_THRESHOLD_MILLI 55000
#define QUEUE_THRESHOLD_MILLI 10000
#define CONTROLLER_MINOR 37
enum { FALLBACK_FAILURES = 3, FALLBACK_REPLICAS = 1, TEXT_MAX = 4096 };

const char *driver_policy_label(enum driver_policy policy) {
    static const char *const labels[] = {"CPU 70 %", "classic triggers", "gpuscale"};
    return labels[policy];
}

static const char *rule_of(enum driver_policy policy) {
    static const char *const rules[] = {
        "HPA: average CPU utilization, 70 % of the pods' requests",
        "HPA: the larger of avg(gpu_utilization) / 55 and sum(queue) / 10",
        "HPA: the replicas that gpuscale says, target 1",
    };
    return rules[policy];
}

// ---- Objects -------------------------------------------------------------------------------

static int check_options(const struct driver_brain_options *o, struct err *e) {
    int32_t least = o->policy == DRIVER_CPU ? 1 : 0;
    if (o->min_replicas < least)
        return err_set(e, ERR_INVALID, "min_replicas is %d: give %d or more", o->min_replicas,
                       least);
    if (o->max_replicas < 1 || o->max_replicas < o->min_replicas ||
        o->max_replicas > DRIVER_PODS_MAX)
        return err_set(e, ERR_INVALID, "max_replicas is %d: give min_replicas (%d) to %d",
                       o->max_replicas, o->min_replicas, DRIVER_PODS_MAX);
    if (o->policy == DRIVER_CPU && o->cpu_request_milli <= 0)
        return err_set(e, ERR_INVALID, "cpu_request_cores must be above 0.001");
    if (o->cooldown_ns < 0)
        return err_set(e, ERR_INVALID, "cooldown_ns must be 0 or more");
    return 0;
}

static void make_object(struct driver_brain *b, int64_t now_ns) {
    struct keda_object *o = &b->object;
    keda_object_init(o);
    o->min_replicas = b->options.min_replicas;
    o->max_replicas = b->options.max_replicas;
    o->created_ns = now_ns;
    if (b->options.cooldown_ns)
        o->cooldown_ns = b->options.cooldown_ns;
    o->triggers = b->triggers;
    if (b->options.policy == DRIVER_CLASSIC) {
        b->triggers[0] = (struct keda_trigger){.metric_name = "prometheus",
                                               .target_milli = GPU_THRESHOLD_MILLI};
        b->triggers[1] = (struct keda_trigger){.metric_name = "prometheus",
                                               .target_milli = QUEUE_THRESHOLD_MILLI};
        o->n_triggers = 2;
    } else {
        b->triggers[0] = (struct keda_trigger){.metric_name = b->scaler_metric};
        o->n_triggers = 1;
        o->fallback = (struct keda_fallback){.set = true,
                                             .failure_threshold = FALLBACK_FAILURES,
                                             .replicas = FALLBACK_REPLICAS,
                                             .behavior = KEDA_FALLBACK_CURRENT_IF_HIGHER};
    }
}

static void add_signal(struct driver_brain *b, const char *name, double target) {
    struct driver_signal *s = &b->view.signals[b->view.n_signals++];
    str_copy(s->name, sizeof(s->name), str_from(name));
    s->target = target;
    s->proposal = -1;
}

// The HPA that KEDA makes of the ScaledObject.
static int make_keda_hpa(struct driver_brain *b, struct err *e) {
    struct keda_hpa h;
    int r = keda_object_check(&b->object, e);
    if (r < 0)
        return r;
    keda_hpa(&b->object, &h);
    b->spec.min_replicas = h.min_replicas;
    b->spec.max_replicas = h.max_replicas;
    for (size_t i = 0; i < h.n_metrics; i++) {
        str_copy(b->metric_names[i], sizeof(b->metric_names[i]), str_from(h.metrics[i].name));
        b->metrics[i] = (struct hpa_metric){.type = HPA_EXTERNAL,
                                            .name = b->metric_names[i],
                                            .target = {.type = HPA_AVERAGE_VALUE,
                                                       .has_average = true,
                                                       .average_milli = h.metrics[i].target_milli}};
        add_signal(b, b->metric_names[i], (double)h.metrics[i].target_milli / 1000);
    }
    b->spec.n_metrics = h.n_metrics;
    return 0;
}

static void make_cpu_hpa(struct driver_brain *b) {
    b->spec.min_replicas = b->options.min_replicas;
    b->spec.max_replicas = b->options.max_replicas;
    b->metrics[0] = (struct hpa_metric){.type = HPA_RESOURCE,
                                        .name = "cpu",
                                        .target = {.type = HPA_UTILIZATION,
                                                   .has_utilization = true,
                                                   .utilization_pct = CPU_TARGET_PCT}};
    b->spec.n_metrics = 1;
    add_signal(b, "cpu", CPU_TARGET_PCT);
}

static int finish_hpa(struct driver_brain *b, struct err *e) {
    if (b->options.policy == DRIVER_GPUSCALE) { // as `advanced` of its ScaledObject says
        b->spec.has_behavior = true;
        hpa_rules_init_up(&b->spec.up);
        hpa_rules_init_down(&b->spec.down);
        b->spec.up.tolerance = b->spec.down.tolerance = 0;
        b->spec.down.stabilization_ns = 0;
    }
    int r = hpa_spec_check(&b->spec, e);
    b->exists = r == 0;
    return r;
}

int driver_brain_init(struct driver_brain *b, const struct driver_brain_options *options,
                      int64_t now_ns, struct err *e) {
    int r = check_options(options, e);
    if (r < 0)
        return r;
    *b = (struct driver_brain){
        .options = *options,
        .view = {.rule = rule_of(options->policy), .desired = -1, .active = true}};
    hpa_controller_init(&b->controller, CONTROLLER_MINOR);
    b->spec.namespace_ = "default";
    b->spec.metrics = b->metrics;
    if (options->policy == DRIVER_CPU) {
        make_cpu_hpa(b);
        return finish_hpa(b, e);
    }
    b->view.active = false;
    make_object(b, now_ns);
    if (options->policy == DRIVER_GPUSCALE)
        return 0; // its metric's name and target are the scaler's
    r = make_keda_hpa(b, e);
    return r < 0 ? r : finish_hpa(b, e);
}

int driver_brain_metric_spec(struct driver_brain *b, const char *name, double target,
                             struct err *e) {
    if (b->exists)
        return 0;
    int r = str_copy(b->scaler_metric, sizeof(b->scaler_metric), str_from(name));
    if (r < 0)
        return err_set(e, r, "the metric's name is too long");
    b->triggers[0].target_milli = keda_quantity_milli(target);
    r = make_keda_hpa(b, e);
    return r < 0 ? r : finish_hpa(b, e);
}

void driver_brain_query(const struct driver_brain *b, const struct driver_series_store *series,
                        const struct driver_facts *f, struct driver_trigger_reading *ret) {
    uint64_t gpus = 0;
    (void)b;
    for (size_t i = 0; i < f->n_pods; i++)
        gpus |= f->pods[i].gpus;
    const struct driver_query_answer answers[] = {
        driver_series_gpu_average(series, gpus, f->now_ns),
        driver_series_queue_sum(series, f->now_ns),
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        ret[i] = (struct driver_trigger_reading){
            .sample = {.value = answers[i].value, .active = keda_activates(answers[i].value, 0)},
            .at_ns = answers[i].empty ? f->now_ns : answers[i].at_ns};
}

// ---- What the HPA sees -----------------------------------------------------------------------

struct sight {
    struct hpa_input in;
    struct hpa_pod pods[DRIVER_PODS_MAX];
    struct hpa_pod_value values[DRIVER_PODS_MAX];
    int64_t requests[DRIVER_PODS_MAX];
    struct hpa_reading readings[DRIVER_TRIGGERS_MAX];
    int64_t series[DRIVER_TRIGGERS_MAX];
    char errors[DRIVER_TRIGGERS_MAX][ERR_MSG_MAX];
};

static struct hpa_pod hpa_pod_of(const struct driver_pod *p) {
    bool ready = p->state == DRIVER_POD_READY;
    bool pending = p->state == DRIVER_POD_STARTING && p->pid == 0;
    return (struct hpa_pod){.phase = pending ? HPA_PENDING : HPA_RUNNING,
                            .deleted = p->state == DRIVER_POD_TERMINATING,
                            .ready = ready ? HPA_TRUE : HPA_FALSE,
                            .ready_since_ns = ready ? p->ready_ns : p->started_ns,
                            .started_ns = p->started_ns};
}

static void see_pods(struct sight *s, const struct driver_facts *f) {
    s->in.now_ns = f->now_ns;
    s->in.spec_replicas = f->replicas;
    s->in.selector_text = "app=demo-llm";
    s->in.pods = s->pods;
    s->in.readings = s->readings;
    for (size_t i = 0; i < f->n_pods && i < DRIVER_PODS_MAX; i++) {
        s->pods[s->in.n_pods++] = hpa_pod_of(&f->pods[i]);
        s->in.status_replicas += f->pods[i].state != DRIVER_POD_TERMINATING;
    }
}

static void see_cpu(struct sight *s, const struct driver_brain *b, const struct driver_facts *f,
                    const struct driver_usage_store *usage) {
    bool any = false;
    for (size_t i = 0; i < s->in.n_pods; i++) {
        struct driver_usage u;
        s->requests[i] = b->options.cpu_request_milli;
        if (driver_usage_of(usage, f->pods[i].name, &u)) {
            s->values[i] = (struct hpa_pod_value){
                .known = true, .milli = u.milli, .at_ns = u.at_ns, .window_ns = u.window_ns};
            any = true;
        }
    }
    s->readings[0] = (struct hpa_reading){.error = any ? NULL : HPA_NO_RESOURCE_METRICS,
                                          .values = s->values,
                                          .n_values = s->in.n_pods,
                                          .requests_milli = s->requests};
}

static struct keda_target keda_target_of(const struct driver_brain *b,
                                         const struct driver_facts *f) {
    struct keda_target t = {.replicas = f->replicas,
                            .hpa_active = b->hpa.conditions[HPA_SCALING_ACTIVE].status == HPA_TRUE};
    for (size_t i = 0; i < f->n_pods; i++)
        t.ready += f->pods[i].state == DRIVER_POD_READY;
    return t;
}

static void samples_of(const struct driver_brain *b, const struct driver_trigger_reading *readings,
                       struct keda_sample samples[DRIVER_TRIGGERS_MAX]) {
    for (size_t i = 0; i < b->object.n_triggers; i++)
        samples[i] = readings[i].sample;
}

static const char *refusal_text(const struct keda_answer *a, const char *why) {
    if (a->refusal == KEDA_NO_VALUE)
        return "no matching metrics found";
    return why ? why : "a trigger failed";
}

static void see_external(struct sight *s, struct driver_brain *b, const struct driver_facts *f,
                         const struct driver_trigger_reading *readings) {
    struct keda_sample samples[DRIVER_TRIGGERS_MAX];
    struct keda_target target = keda_target_of(b, f);
    samples_of(b, readings, samples);
    for (size_t i = 0; i < b->spec.n_metrics; i++) {
        struct keda_answer a;
        keda_answer(&b->object, &b->keda, samples, &target, (int)i, &a);
        s->series[i] = a.milli;
        s->readings[i] = (struct hpa_reading){.series_milli = &s->series[i], .n_series = 1};
        if (a.refusal == KEDA_ANSWERED)
            continue;
        snprintf(s->errors[i], sizeof(s->errors[i]), "%s", refusal_text(&a, readings[i].error));
        s->readings[i].error = s->errors[i];
    }
}

// ---- Sentences -----------------------------------------------------------------------------

static void take_text(char dst[DRIVER_REASON_LEN], const struct buf *b) {
    snprintf(dst, DRIVER_REASON_LEN, STR_FMT, STR_ARG(buf_str(b)));
}

// Kubernetes' own sentence repeats the metric four times before it comes to the reason.
static void say_failure(struct buf *text, const struct driver_brain *b, const struct sight *s,
                        const struct hpa_result *r) {
    const char *why = s->readings[r->failed_metric].error;
    buf_addf(text, "no decision: %s: ", b->metrics[r->failed_metric].name);
    if (why)
        buf_addc(text, why);
    else
        hpa_text_metric_error(text, &b->controller, &b->spec, &s->in, r, (size_t)r->failed_metric);
}

static void say_limits(struct driver_brain *b, const struct sight *s, const struct hpa_result *r) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, TEXT_MAX);
    const struct hpa_condition *able = &r->conditions[HPA_ABLE_TO_SCALE];
    const struct hpa_condition *limited = &r->conditions[HPA_SCALING_LIMITED];
    if (r->failed && r->failed_metric >= 0)
        say_failure(&text, b, s, r);
    else if (limited->set && limited->status == HPA_TRUE)
        hpa_text_condition(&text, &b->controller, &b->spec, &s->in, r, HPA_SCALING_LIMITED);
    else if (r->computed && r->stabilized != r->proposed && able->set)
        hpa_text_condition(&text, &b->controller, &b->spec, &s->in, r, HPA_ABLE_TO_SCALE);
    take_text(b->view.limited_by, &text);
}

static void say_rescale(const struct driver_brain *b, const struct sight *s,
                        const struct hpa_result *r, struct driver_wish *w) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, TEXT_MAX);
    bool above = r->reason == HPA_RESCALE_METRIC_ABOVE;
    if (!above)
        hpa_text_rescale(&text, &b->spec, r);
    if (r->metric >= 0) {
        buf_addf(&text, "%s%s%s: ", text.len ? "; " : "", b->metrics[r->metric].name,
                 above ? " above target" : "");
        hpa_text_path(&text, &b->controller, &b->spec, &s->in, r, (size_t)r->metric);
    }
    if (text.len == 0)
        hpa_text_condition(&text, &b->controller, &b->spec, &s->in, r, HPA_SCALING_LIMITED);
    take_text(w->reason, &text);
}

// ---- The HPA's sync ----------------------------------------------------------------------------

static void show_cpu(struct driver_brain *b, const struct sight *s, const struct hpa_result *r) {
    struct driver_signal *signal = &b->view.signals[0];
    signal->known = r->metrics[0].error == HPA_METRIC_OK;
    signal->value = r->metrics[0].utilization_pct;
    for (size_t i = 0; i < s->in.n_pods; i++)
        if (s->values[i].known)
            signal->at_ns = s->values[i].at_ns;
}

static void show_readings(struct driver_brain *b, const struct driver_trigger_reading *readings) {
    for (size_t i = 0; i < b->view.n_signals; i++) {
        const struct keda_sample *sample = &readings[i].sample;
        struct driver_signal *signal = &b->view.signals[i];
        signal->known = !sample->failed && !sample->spec_failed && !sample->empty;
        signal->value = sample->value;
        signal->at_ns = readings[i].at_ns;
    }
}

static void show_result(struct driver_brain *b, const struct sight *s, const struct hpa_result *r) {
    for (size_t i = 0; i < b->view.n_signals; i++)
        b->view.signals[i].proposal = r->computed && r->metrics[i].error == HPA_METRIC_OK
                                          ? r->metrics[i].proposal
                                          : -1;
    if (!r->failed)
        b->view.desired = r->desired;
    say_limits(b, s, r);
}

bool driver_brain_sync_asks(const struct driver_brain *b, int32_t replicas) {
    return b->exists && replicas > 0 && replicas >= b->spec.min_replicas &&
           replicas <= b->spec.max_replicas;
}

void driver_brain_sync(struct driver_brain *b, const struct driver_facts *f,
                       const struct driver_usage_store *usage,
                       const struct driver_trigger_reading *readings, struct driver_wish *ret) {
    struct sight s = {0};
    struct hpa_result r;
    *ret = (struct driver_wish){0};
    if (!b->exists) {
        snprintf(b->view.limited_by, sizeof(b->view.limited_by),
                 "no HPA yet: the scaler has given no metric spec");
        return;
    }
    see_pods(&s, f);
    if (b->options.policy == DRIVER_CPU) {
        see_cpu(&s, b, f, usage);
    } else {
        if (readings)
            show_readings(b, readings);
        if (driver_brain_sync_asks(b, f->replicas))
            see_external(&s, b, f, readings);
    }
    hpa_step(&b->controller, &b->spec, &s.in, &b->hpa, &r);
    if (b->options.policy == DRIVER_CPU && r.computed)
        show_cpu(b, &s, &r);
    show_result(b, &s, &r);
    if (!r.rescale || r.desired == f->replicas)
        return;
    ret->any = true;
    ret->replicas = r.desired;
    ret->who = "HPA";
    say_rescale(b, &s, &r, ret);
}

// ---- KEDA's loop -----------------------------------------------------------------------------

static void wish_of(struct driver_brain *b, const struct driver_facts *f,
                    const struct keda_verdict *v, struct driver_wish *ret) {
    static const char *const words[] = {
        [KEDA_ACTIVATES] = "a trigger is active",
        [KEDA_DEACTIVATES] = "no trigger has been active for the cooldown period",
        [KEDA_RAISES_TO_MIN] = "below minReplicaCount",
    };
    b->view.active = v->active;
    *ret = (struct driver_wish){0};
    if (v->scale_to == KEDA_UNSET || v->scale_to == f->replicas)
        return;
    ret->any = true;
    ret->replicas = v->scale_to;
    ret->who = "KEDA";
    bool named = (size_t)v->step < COUNT_OF(words) && words[v->step];
    snprintf(ret->reason, sizeof(ret->reason), "%s%s",
             named ? words[v->step] : keda_step_name(v->step),
             v->fallback ? " (fallback: the scaler fails)" : "");
}

bool driver_brain_poll_asks(const struct driver_brain *b) {
    bool observes = b->hpa.conditions[HPA_SCALING_ACTIVE].status == HPA_TRUE &&
                    keda_uses_hpa_observations(&b->object);
    for (size_t i = 0; i < b->object.n_triggers; i++)
        observes &= b->keda.records[i].stored;
    return !observes;
}

void driver_brain_poll(struct driver_brain *b, const struct driver_facts *f,
                       const struct driver_trigger_reading *readings, struct driver_wish *ret) {
    struct keda_sample samples[DRIVER_TRIGGERS_MAX] = {0};
    struct keda_target target = keda_target_of(b, f);
    struct keda_verdict v;
    if (driver_brain_poll_asks(b)) {
        samples_of(b, readings, samples);
        show_readings(b, readings);
    }
    keda_poll(&b->object, &b->keda, samples, &target, f->now_ns, &v);
    wish_of(b, f, &v, ret);
}

void driver_brain_push(struct driver_brain *b, const struct driver_facts *f,
                       struct driver_wish *ret) {
    struct keda_verdict v;
    keda_push(&b->object, &b->keda, 0, f->replicas, f->now_ns, &v);
    wish_of(b, f, &v, ret);
}
