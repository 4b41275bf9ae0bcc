// SPDX-License-Identifier: Apache-2.0
/* A record told in names and JSON; the sentence is in sentence.c. */
#include "core/policy/record.h"

#include <math.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/signal/external.h"

const char *decision_reason_name(enum decision_reason r) {
    static const char *const names[] = {
        [REASON_FIRST] = "first",       [REASON_RAISE] = "raise",
        [REASON_SIZE] = "size",         [REASON_WINDOW] = "window",
        [REASON_GUARD] = "guard",       [REASON_GUARD_UNKNOWN] = "guardUnknown",
        [REASON_UNKNOWN] = "unknown",   [REASON_NO_POD_READY] = "noPodReady",
        [REASON_BURST] = "burstMemory", [REASON_ZERO] = "zero",
        [REASON_ACTIVE] = "active",
    };
    return names[r];
}

const char *active_reason_name(enum active_reason r) {
    static const char *const names[] = {
        [ACTIVE_DEMAND] = "demand",
        [ACTIVE_STARTING] = "starting",
        [ACTIVE_BUSY] = "busy",
        [ACTIVE_UNKNOWN] = "unknown",
        [INACTIVE_IDLE] = "idle",
        [INACTIVE_ZERO_IDLE] = "zeroIdle",
        [INACTIVE_ZERO_UNKNOWN] = "zeroUnknown",
    };
    return names[r];
}

const char *record_signal_name(const struct record *r, enum signal s) {
    return s >= SIGNAL_PROMETHEUS ? r->queries[s - SIGNAL_PROMETHEUS] : signals[s].name;
}

const char *capacity_source_name(enum capacity_source s) {
    static const char *const names[] = {
        [CAPACITY_NONE] = "none",       [CAPACITY_GIVEN] = "given",
        [CAPACITY_UNKNOWN] = "unknown", [CAPACITY_GUESSED] = "guessed",
        [CAPACITY_LEARNED] = "learned",
    };
    return names[s];
}

const char *trim_state_name(enum trim_state s) {
    static const char *const names[] = {
        [TRIM_UNKNOWN] = "unknown",
        [TRIM_SLOW_START] = "slowStart",
        [TRIM_SHORT] = "short",
        [TRIM_ON] = "on",
    };
    return names[s];
}

bool record_changed(const struct record *a, const struct record *b) {
    return a->desired != b->desired || a->publish != b->publish || a->state != b->state ||
           a->reason != b->reason || a->activity != b->activity || a->notices != b->notices;
}

static const struct {
    enum record_notice bit;
    const char *name;
} notices[] = {
    {NOTICE_GUARD_GATED, "guardGated"},
    {NOTICE_SATURATING, "saturating"},
    {NOTICE_HOT_POD, "hotPod"},
    {NOTICE_TOLERANCE, "hpaTolerance"},
    {NOTICE_ZERO_UNKNOWN, "zeroUnknown"},
    {NOTICE_SHARED_GPU, "sharedGpu"},
    {NOTICE_ASLEEP, "asleep"},
    {NOTICE_UNSCHEDULABLE, "unschedulable"},
    {NOTICE_RIVAL, "rival"},
    {NOTICE_SECOND_HPA, "secondHpa"},
    {NOTICE_PAUSED, "paused"},
    {NOTICE_UNSEEN, "unseen"},
    {NOTICE_UNASKED, "unasked"},
};

// Appends to JSON; the first failure sticks.
struct json {
    struct buf *b;
    int r;
    bool comma;
};

static void raw(struct json *j, const char *s) {
    if (j->r == 0)
        j->r = buf_addc(j->b, s);
}

static void open_(struct json *j, const char *bracket) {
    raw(j, bracket);
    j->comma = false;
}

static void close_(struct json *j, const char *bracket) {
    raw(j, bracket);
    j->comma = true;
}

static void separate(struct json *j) {
    if (j->comma)
        raw(j, ",");
    j->comma = true;
}

static void key(struct json *j, const char *name) {
    separate(j);
    raw(j, "\"");
    raw(j, name);
    raw(j, "\":");
}

static void text(struct json *j, const char *name, const char *value) {
    key(j, name);
    if (j->r == 0)
        j->r = buf_add_json(j->b, str_from(value));
}

static void truth(struct json *j, const char *name, bool value) {
    key(j, name);
    raw(j, value ? "true" : "false");
}

// Not finite is null: unknown.
static void number(struct json *j, const char *name, double value) {
    key(j, name);
    if (!isfinite(value))
        raw(j, "null");
    else if (j->r == 0)
        j->r = buf_add_double(j->b, value);
}

// A count whose negative values mean unknown.
static void count(struct json *j, const char *name, int64_t value) {
    number(j, name, value < 0 ? NAN : (double)value);
}

// Absent where there are none.
static void part_gaps_json(struct json *j, uint32_t gaps) {
    if (gaps == 0)
        return;
    key(j, "partGaps");
    open_(j, "[");
    for (uint32_t bit = 1; bit <= PART_GAP_LAST; bit <<= 1)
        if (gaps & bit) {
            separate(j);
            if (j->r == 0)
                j->r = buf_add_json(j->b, str_from(signal_part_gap_name(bit)));
        }
    close_(j, "]");
}

static void signal_json(struct json *j, const struct record *r, const struct record_signal *s) {
    separate(j);
    open_(j, "{");
    text(j, "signal", record_signal_name(r, s->signal));
    text(j, "role", trigger_role_name(s->role));
    number(j, "target", s->target);
    number(j, "lower", s->lower);
    number(j, "upper", s->upper);
    number(j, "needLower", s->need_lower);
    number(j, "needUpper", s->need_upper);
    text(j, "breached", tri_name(s->breached));
    truth(j, "gated", s->gated);
    truth(j, "raiseOnly", s->raise_only);
    count(j, "wantUp", s->want_up);
    count(j, "wantDown", s->want_down == INT32_MAX ? -1 : s->want_down);
    count(j, "pods", s->pods);
    count(j, "known", s->known);
    count(j, "never", s->never);
    count(j, "shared", s->shared);
    count(j, "parts", s->parts);
    part_gaps_json(j, s->gaps);
    number(j, "max", s->max);
    if (s->signal >= SIGNAL_PROMETHEUS)
        text(j, "query", external_state_name(s->query));
    number(j, "ageSeconds", s->age_ns < 0 ? NAN : (double)s->age_ns / (double)NS_PER_S);
    close_(j, "}");
}

static void capacity_json(struct json *j, const struct record_capacity *c) {
    key(j, "capacity");
    open_(j, "{");
    text(j, "source", capacity_source_name(c->source));
    number(j, "perReplica", c->per_replica > 0 ? c->per_replica : NAN);
    number(j, "workPerRequest", c->work_per_request > 0 ? c->work_per_request : NAN);
    number(j, "donePerSecond", c->done_per_s < 0 ? NAN : c->done_per_s);
    number(j, "bareStepSeconds", c->bare_step_s > 0 ? c->bare_step_s : NAN);
    count(j, "lessons", c->lessons);
    number(j, "weight", c->weight);
    truth(j, "sloTight", c->slo_tight);
    number(j, "rho", c->rho);
    text(j, "trim", trim_state_name(c->trim));
    number(j, "ttftEdgeSeconds", c->edge_s[0] > 0 ? c->edge_s[0] : NAN);
    number(j, "itlEdgeSeconds", c->edge_s[1] > 0 ? c->edge_s[1] : NAN);
    number(j, "missed", c->misses < 0 ? NAN : c->misses);
    close_(j, "}");
}

static void lists_json(struct json *j, const struct record *r) {
    key(j, "missing");
    open_(j, "[");
    for (int s = 0; s < SIGNAL_MAX; s++)
        if (r->missing >> s & 1) {
            separate(j);
            if (j->r == 0)
                j->r = buf_add_json(j->b, str_from(record_signal_name(r, (enum signal)s)));
        }
    close_(j, "]");
    key(j, "notices");
    open_(j, "[");
    for (size_t i = 0; i < COUNT_OF(notices); i++)
        if (r->notices & notices[i].bit) {
            separate(j);
            if (j->r == 0)
                j->r = buf_add_json(j->b, str_from(notices[i].name));
        }
    close_(j, "]");
    key(j, "signals");
    open_(j, "[");
    for (uint32_t i = 0; i < r->signal_n; i++)
        signal_json(j, r, &r->signals[i]);
    close_(j, "]");
}

int record_json(struct buf *b, const struct record *r) {
    struct json j = {.b = b};
    char time[32];
    size_t before = b->len;
    clock_format_utc(r->real_ns, time, sizeof(time));
    open_(&j, "{");
    text(&j, "time", time);
    count(&j, "sequence", (int64_t)r->sequence);
    text(&j, "state", r->state == DECISION_OK ? "ok" : "unavailable");
    text(&j, "reason", decision_reason_name(r->reason));
    truth(&j, "active", r->active);
    text(&j, "activity", active_reason_name(r->activity));
    truth(&j, "observe", r->observe);
    text(&j, "when", tri_name(r->when));
    count(&j, "specReplicas", r->spec);
    count(&j, "statusReplicas", r->status);
    count(&j, "ready", r->ready);
    count(&j, "starting", r->starting);
    count(&j, "terminating", r->terminating);
    count(&j, "asleep", r->asleep);
    count(&j, "want", r->want);
    count(&j, "last", r->last);
    count(&j, "desired", r->desired);
    number(&j, "published", r->publish);
    number(&j, "heldSeconds", (double)r->held_ns / (double)NS_PER_S);
    number(&j, "unseenSeconds", (double)r->unseen_ns / (double)NS_PER_S);
    if (r->notices & NOTICE_HOT_POD)
        text(&j, "hotPod", r->hot_pod);
    if (r->notices & NOTICE_RIVAL)
        text(&j, "rival", r->scene.rival);
    if (r->scene.hpa[0] != '\0')
        text(&j, "hpa", r->scene.hpa);
    if (r->scene.unschedulable > 0)
        count(&j, "unschedulable", (int32_t)r->scene.unschedulable);
    capacity_json(&j, &r->capacity);
    lists_json(&j, r);
    key(&j, "sentence");
    if (j.r == 0) {
        CLEANUP_BUF struct buf sentence;
        buf_init(&sentence, 16384);
        j.r = record_sentence(&sentence, r);
        j.r = j.r ? j.r : buf_add_json(b, buf_str(&sentence));
    }
    raw(&j, "}");
    if (j.r)
        buf_truncate(b, before);
    return j.r;
}
