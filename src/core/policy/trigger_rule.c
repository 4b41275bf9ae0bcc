// SPDX-License-Identifier: Apache-2.0
/*
 * What the keys mean together: the role of each named signal under this engine, what sizes, what
 * `when` gates. A rule without a capacity signal is refused: measured, a queue alone collapses to
 * one replica whenever it is empty, and GPU activity under continuous batching never scales down.
 */
#include "core/policy/trigger_bind.h"

#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "core/signal/sample.h"

#define BIT(s) (1u << (s))

const char *trigger_role_name(enum trigger_role r) {
    static const char *const names[] = {"capacity", "guard", "saturating"};
    return names[r];
}

// GPU activity: what the classic pair combines with the queue.
static const uint32_t ACTIVITY = BIT(SIGNAL_GPU_UTILIZATION) | BIT(SIGNAL_SM_ACTIVITY) |
                                 BIT(SIGNAL_TENSOR_ACTIVITY);

static enum trigger_role role_of(const struct trigger_preset *p, enum signal s) {
    if (s == SIGNAL_QUEUE || s == SIGNAL_KV_CACHE)
        return ROLE_GUARD;
    if (signals[s].source == SIGNAL_FROM_GPU)
        return p->linear >> s & 1 ? ROLE_CAPACITY : ROLE_SATURATING;
    return ROLE_CAPACITY;
}

static void add(struct trigger *t, enum signal s, enum trigger_role role,
                enum trigger_sizing sizing, double target) {
    t->rule[t->rule_n++] = (struct trigger_signal){
        .signal = s, .role = role, .sizing = sizing, .target = target};
}

// Does the engine's page have what the signal is made of?
static bool provided(const struct trigger_bind *b, enum signal s) {
    uint32_t p = b->preset->provides;
    switch (s) {
    case SIGNAL_REQUEST_RATE:
        return p >> ENGINE_REQUESTS_TOTAL & 1;
    case SIGNAL_TOKEN_RATE:
        return p >> ENGINE_GENERATION_TOKENS_TOTAL & 1;
    case SIGNAL_WORK:
        return (p >> ENGINE_GENERATION_TOKENS_TOTAL & 1) && (p >> ENGINE_REQUESTS_TOTAL & 1);
    case SIGNAL_QUEUE:
        return (p >> ENGINE_QUEUE & 1) || b->t->demand;
    case SIGNAL_RUNNING:
        return p >> ENGINE_RUNNING & 1;
    case SIGNAL_KV_CACHE:
        return p >> ENGINE_KV_CACHE_RATIO & 1;
    default:
        return true;
    }
}

static bool can_learn(const struct trigger_bind *b) {
    uint32_t p = b->preset->provides;
    return provided(b, SIGNAL_WORK) && (p >> ENGINE_ITL_SUM_S & 1) && (p >> ENGINE_ITL_COUNT & 1) &&
           b->preset->continuous_batching;
}

// Work is sized by `capacity` where `work` says that it is in its units, or where it is learned.
static int add_work(struct trigger_bind *b) {
    struct trigger *t = b->t;
    if (b->work_units && t->capacity == 0 && !b->learn)
        return err_set(b->e, ERR_INVALID,
                       "work: \"capacity\" says that capacity is in tokens a second, and there is "
                       "none: give capacity, a number or learn");
    if (b->learn && !can_learn(b))
        return err_set(b->e, ERR_INVALID,
                       "capacity: \"learn\" needs counters of tokens, finished requests and "
                       "inter-token latency of an engine that batches continuously, which engine "
                       "\"%s\" does not tell: give the requests a second that one replica serves "
                       "within its SLO, as in \"2.0\"",
                       t->engine);
    if (b->work_units && !provided(b, SIGNAL_WORK))
        return err_set(b->e, ERR_INVALID,
                       "work: engine \"%s\" does not tell the tokens that it generates and the "
                       "requests that it finishes: give capacity in requests a second, without "
                       "work",
                       t->engine);
    t->learns = b->learn;
    add(t, SIGNAL_WORK, ROLE_CAPACITY, SIZE_STAFFED, t->capacity);
    return 0;
}

// Where nothing sizes, continuous batching has a measure of its own.
static void add_default(struct trigger_bind *b) {
    for (uint32_t i = 0; i < b->t->rule_n; i++)
        if (b->t->rule[i].role == ROLE_CAPACITY)
            return;
    if (!can_learn(b))
        return;
    b->t->learns = true;
    add(b->t, SIGNAL_WORK, ROLE_CAPACITY, SIZE_STAFFED, 0);
}

// Arrivals are sized by `capacity` (staffed) or a named requestRate: at the demand source where one
// is named, and at the engines.
static int add_arrivals(struct trigger_bind *b) {
    struct trigger *t = b->t;
    bool named = b->named >> SIGNAL_REQUEST_RATE & 1;
    bool at_engine = provided(b, SIGNAL_REQUEST_RATE);
    if ((t->capacity > 0 || b->learn) && named)
        return err_set(b->e, ERR_INVALID,
                       "capacity and requestRate both say how many requests a second one replica "
                       "serves: give one of them (capacity adds a margin for noise, requestRate "
                       "is taken as it is)");
    if ((t->capacity > 0 || b->learn) && b->named >> SIGNAL_WORK & 1)
        return err_set(b->e, ERR_INVALID,
                       "capacity and work both say what one replica serves: give capacity (a "
                       "margin for noise is added; work: \"capacity\" makes its unit tokens a "
                       "second) or work (taken as it is)");
    if (b->work_units || b->learn)
        return add_work(b);
    if (t->capacity == 0 && !named)
        return 0;
    if (!at_engine && !t->demand)
        return err_set(b->e, ERR_INVALID,
                       "%s counts requests, but engine \"%s\" tells no request counter: name a "
                       "demand source with `demand`, or size by another signal",
                       named ? "requestRate" : "capacity", t->engine);
    enum trigger_sizing sizing = named ? SIZE_TARGET : SIZE_STAFFED;
    double target = named ? b->targets[SIGNAL_REQUEST_RATE] : t->capacity;
    if (t->demand)
        add(t, SIGNAL_DEMAND, ROLE_CAPACITY, sizing, target);
    if (at_engine) {
        add(t, SIGNAL_REQUEST_RATE, ROLE_CAPACITY, sizing, target);
        t->rule[t->rule_n - 1].raise_only = t->demand != NULL;
    }
    return 0;
}

// Says what the engine does tell.
static int refuse_untold(struct trigger_bind *b, enum signal s) {
    char told[200] = "";
    size_t at = 0;
    for (int i = 0; i < SIGNAL_MAX; i++) {
        if (signals[i].source != SIGNAL_FROM_ENGINE || !provided(b, (enum signal)i))
            continue;
        int n = snprintf(told + at, sizeof(told) - at, "%s%s", at ? ", " : "", signals[i].name);
        at += n > 0 && (size_t)n < sizeof(told) - at ? (size_t)n : 0;
    }
    if (!b->preset->provides)
        return err_set(b->e, ERR_INVALID,
                       "%s: engine \"%s\" has no metrics page, nothing is read of it: leave %s out "
                       "and size by a demand source (demand and capacity)",
                       signals[s].name, b->t->engine, signals[s].name);
    return err_set(
        b->e, ERR_INVALID,
        "%s: engine \"%s\" does not tell it (it tells: %s): leave it out or name another "
        "engine",
        signals[s].name, b->t->engine, told);
}

static int add_named(struct trigger_bind *b) {
    for (int s = 0; s < SIGNAL_MAX; s++) {
        if (!(b->named & BIT(s)) || s == SIGNAL_REQUEST_RATE)
            continue;
        if (!provided(b, (enum signal)s))
            return refuse_untold(b, (enum signal)s);
        enum trigger_role role = role_of(b->preset, (enum signal)s);
        add(b->t, (enum signal)s, role, role == ROLE_CAPACITY ? SIZE_TARGET : SIZE_NONE,
            b->targets[s]);
    }
    return 0;
}

static int require_capacity(struct trigger_bind *b) {
    const struct trigger *t = b->t;
    for (uint32_t i = 0; i < t->rule_n; i++)
        if (t->rule[i].role == ROLE_CAPACITY)
            return 0;
    if (t->rule_n == 0)
        return err_set(b->e, ERR_INVALID,
                       "nothing to scale by: give capacity, the requests a second that one replica "
                       "serves within its SLO, as in \"2.0\"");
    if (b->preset->continuous_batching && b->named & ~(BIT(SIGNAL_QUEUE) | BIT(SIGNAL_KV_CACHE)))
        return err_set(b->e, ERR_INVALID,
                       "no capacity signal: under continuous batching (engine \"%s\") GPU activity "
                       "is near 100%% from the first request on, so it can confirm but never size; "
                       "give capacity, the requests a second that one replica serves",
                       t->engine);
    const char *or_gpu = b->preset->linear ? ", or gpuUtilization, the percent to run at" : "";
    return err_set(
        b->e, ERR_INVALID,
        "no capacity signal: %s tells trouble, not size (when it is quiet the rule would "
        "say zero replicas); give capacity, the requests a second that one replica "
        "serves%s",
        signals[t->rule[0].signal].name, or_gpu);
}

static int set_when_text(struct trigger_bind *b, enum expr_op op, uint32_t set) {
    CLEANUP_BUF struct buf text;
    buf_init(&text, LIMIT_METADATA_VALUE_BYTES);
    int r = 0;
    if (b->when.p && !set) {
        for (size_t i = 0; r == 0 && i < b->when.n; i++) {
            char c = b->when.p[i];
            r = buf_add_byte(&text, isspace((unsigned char)c) ? ' ' : c);
        }
    }
    for (int s = 0; r == 0 && s < SIGNAL_MAX; s++) {
        if (!(set & BIT(s)))
            continue;
        if (text.len)
            r = buf_addc(&text, op == EXPR_AND ? " and " : " or ");
        r = r ? r : buf_addc(&text, trigger_signal_name(b->t, (enum signal)s));
    }
    if (r == 0)
        b->t->when_text = mem_strndup(text.p, text.len);
    return r || !b->t->when_text ? err_set(b->e, ERR_NOMEM, "no memory") : 0;
}

static int make_set(struct trigger_bind *b, enum expr_op op, uint32_t set) {
    int r = expr_of_set(&b->t->when, op, set, b->e);
    return r ? r : set_when_text(b, op, set);
}

static int make_expression(struct trigger_bind *b) {
    struct trigger *t = b->t;
    char shown[TRIGGER_SHOWN_MAX];
    const char *queries[LIMIT_TRIGGER_QUERIES + 1] = {NULL};
    for (uint32_t i = 0; i < t->query_n; i++)
        queries[i] = t->queries[i].name;
    int r = expr_parse_named(&t->when, b->when, queries, b->e);
    if (r) {
        err_wrap(b->e, "when: \"%s\"", trigger_shown(b->when, shown));
        return r;
    }
    for (int s = 0; s < SIGNAL_MAX; s++)
        if ((t->when.signals & BIT(s)) && !trigger_rule_of(t, (enum signal)s))
            return err_set(b->e, ERR_INVALID,
                           "when: \"%s\" names %s, which the rule does not have: give it a target "
                           "(%s: %s)",
                           trigger_shown(b->when, shown), signals[s].name, signals[s].name,
                           signals[s].target_help);
    return set_when_text(b, EXPR_SIGNAL, 0);
}

static int make_when(struct trigger_bind *b) {
    bool all = b->when.p && str_eq_nocase(b->when, STR("all"));
    bool any = b->when.p && str_eq_nocase(b->when, STR("any"));
    if ((all || any) && !b->named)
        return err_set(b->e, ERR_INVALID,
                       "when: \"%s\" speaks of the signals that have a target, and none has one: "
                       "leave it out or name some, as in queue: \"10\"",
                       all ? "all" : "any");
    if (all || any)
        return make_set(b, all ? EXPR_AND : EXPR_OR, b->named);
    if (b->when.p)
        return make_expression(b);
    if (b->named & BIT(SIGNAL_QUEUE) && b->named & ACTIVITY)
        return make_set(b, EXPR_AND, b->named & (ACTIVITY | BIT(SIGNAL_QUEUE)));
    return 0;
}

int trigger_make_rule(struct trigger_bind *b) {
    int r = add_arrivals(b);
    r = r ? r : add_named(b);
    if (r == 0)
        add_default(b);
    r = r ? r : require_capacity(b);
    r = r ? r : make_when(b);
    for (uint32_t i = 0; r == 0 && i < b->t->rule_n; i++)
        b->t->rule[i].gated = b->t->when.signals >> b->t->rule[i].signal & 1;
    if (r == 0)
        b->t->continuous_batching = b->preset->continuous_batching;
    return r;
}

static bool drop(struct trigger *t, enum signal s) {
    for (uint32_t i = 0; i < t->rule_n; i++) {
        if (t->rule[i].signal != s)
            continue;
        t->rule_n--;
        memmove(&t->rule[i], &t->rule[i + 1], (t->rule_n - i) * sizeof(t->rule[0]));
        return true;
    }
    return false;
}

int trigger_fit_demand(struct trigger *t, uint32_t demand, uint32_t engine, struct err *e) {
    if (trigger_rule_of(t, SIGNAL_QUEUE) && !(engine >> ENGINE_QUEUE & 1) &&
        !(demand >> DEMAND_WAITING & 1))
        return err_set(e, ERR_INVALID,
                       "queue: neither engine \"%s\" nor demand source \"%s\" tells how many "
                       "requests wait: leave it out",
                       t->engine, t->demand);
    if (demand >> DEMAND_REQUESTS_TOTAL & 1 || !drop(t, SIGNAL_DEMAND))
        return 0;
    bool sized = false;
    for (uint32_t i = 0; i < t->rule_n; i++) {
        if (t->rule[i].signal == SIGNAL_REQUEST_RATE)
            t->rule[i].raise_only = false;
        sized |= t->rule[i].role == ROLE_CAPACITY && !t->rule[i].raise_only;
    }
    if (!sized)
        return err_set(
            e, ERR_INVALID,
            "capacity and requestRate count requests, but neither demand source \"%s\" nor "
            "engine \"%s\" tells a counter of them: size by another signal",
            t->demand, t->engine);
    return 0;
}
