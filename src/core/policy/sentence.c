// SPDX-License-Identifier: Apache-2.0
/*
 * A record in words. Each clause has the numbers with which a person can do the sum again: the
 * total, the target, the replicas it needs, and why the outcome is what it is.
 */
#include "core/policy/record.h"

#include <inttypes.h>
#include <math.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "core/signal/external.h"

// Appends; the first failure sticks.
struct text {
    struct buf *b;
    const struct record *record; // whose names are said
    int r;
};

#define SAY(t, ...) ((t)->r = (t)->r ? (t)->r : buf_addf((t)->b, __VA_ARGS__))

static void say_number(struct text *t, double v) {
    if (fabs(v) >= 1000)
        SAY(t, "%.0f", v);
    else
        SAY(t, "%.4g", v);
}

static void say_amount(struct text *t, double v, const struct record_signal *s) {
    say_number(t, v);
    SAY(t, "%s", signals[s->signal].unit);
}

static void say_duration(struct text *t, int64_t ns) {
    int64_t s = (ns + NS_PER_S / 2) / NS_PER_S;
    if (s < 600)
        SAY(t, "%" PRId64 " s", s);
    else
        SAY(t, "%" PRId64 " min", (s + 30) / 60);
}

static const char *replicas(int32_t n) {
    return n == 1 ? "replica" : "replicas";
}

static bool nothing_known(const struct record_signal *s) {
    return s->known == 0 && s->lower == 0 && s->upper > 0;
}

// "requestRate 18.2/s", "requestRate 18.2..20.2/s", "queue 30 or more", "kvCache unknown"
static void say_total(struct text *t, const struct record_signal *s) {
    SAY(t, "%s ", record_signal_name(t->record, s->signal));
    if (nothing_known(s)) {
        SAY(t, "unknown");
        return;
    }
    if (s->upper == s->lower || isinf(s->upper)) {
        say_amount(t, s->lower, s);
        SAY(t, "%s", isinf(s->upper) ? " or more" : "");
    } else {
        say_number(t, s->lower);
        SAY(t, "..");
        say_amount(t, s->upper, s);
    }
    if (!(s->target > 0)) {
        SAY(t, " at a capacity not known yet");
        return;
    }
    SAY(t, " at ");
    say_amount(t, s->target, s);
    SAY(t, " each");
}

// "(1 of 4 pods unknown, 1 never told it)", "(2 of 4 pods by their own part of shared GPUs)"
static void say_missing(struct text *t, const struct record_signal *s) {
    if (s->parts)
        SAY(t, " (%u of %u %s by %s own part of shared GPUs)", s->parts, s->pods,
            s->pods == 1 ? "pod" : "pods", s->parts == 1 ? "its" : "their");
    if (s->signal == SIGNAL_DEMAND || s->known == s->pods)
        return;
    if (s->signal >= SIGNAL_PROMETHEUS) {
        SAY(t, " (%s)", external_state_words(s->query));
        return;
    }
    SAY(t, " (%u of %u %s unknown", s->pods - s->known, s->pods, s->pods == 1 ? "pod" : "pods");
    if (s->shared)
        SAY(t, ", %u on shared GPUs", s->shared);
    if (s->never)
        SAY(t, ", %u never told it", s->never);
    SAY(t, ")");
}

static void say_capacity(struct text *t, const struct record_signal *s) {
    if ((s->known == 0 && s->lower == 0) || !(s->target > 0))
        return;
    if (s->sizing == SIZE_STAFFED && s->want_up == s->want_down)
        SAY(t, " needs %d", s->want_up);
    else if (s->sizing == SIZE_STAFFED && s->want_down == INT32_MAX)
        SAY(t, " needs %d at least", s->want_up);
    else if (s->sizing == SIZE_STAFFED)
        SAY(t, " needs %d to %d", s->want_up, s->want_down);
    else if (s->need_lower == s->need_upper)
        SAY(t, " needs %.3g", s->need_lower);
    else if (isinf(s->need_upper))
        SAY(t, " needs %.3g at least", s->need_lower);
    else
        SAY(t, " needs %.3g to %.3g", s->need_lower, s->need_upper);
}

static void say_signal(struct text *t, const struct record_signal *s) {
    static const char *const guard[] = {" is quiet", " may be breached", " is breached"};
    static const char *const confirms[] = {" does not confirm", " may confirm", " confirms"};
    say_total(t, s);
    switch (s->role) {
    case ROLE_CAPACITY:
        say_capacity(t, s);
        break;
    case ROLE_GUARD:
        if (!nothing_known(s)) // "unknown" says it
            SAY(t, "%s", guard[s->breached]);
        if (s->breached == TRI_TRUE)
            SAY(t, " (needs %d)", s->want_up);
        break;
    default:
        SAY(t, "%s", s->gated ? confirms[s->breached] : " is shown, it does not size");
    }
    say_missing(t, s);
}

static void say_names(struct text *t, uint32_t set) {
    bool first = true;
    for (int s = 0; s < SIGNAL_MAX; s++)
        if (set >> s & 1) {
            SAY(t, "%s%s", first ? "" : ", ", record_signal_name(t->record, (enum signal)s));
            first = false;
        }
}

static uint32_t guards(const struct record *r, enum tri state) {
    uint32_t set = 0;
    for (uint32_t i = 0; i < r->signal_n; i++)
        if (r->signals[i].role == ROLE_GUARD && r->signals[i].breached == state)
            set |= 1u << r->signals[i].signal;
    return set;
}

static void say_window(struct text *t, const struct record *r) {
    char until[32];
    clock_format_utc(r->real_ns + r->held_ns, until, sizeof(until));
    SAY(t, "%d wanted now, held at %d by the ", r->want, r->desired);
    say_duration(t, r->down_window_ns);
    SAY(t, " window until %.8s at the latest", until + 11); // the time of day
}

static void say_size(struct text *t, const struct record *r) {
    if (r->spec < 0)
        SAY(t, "spec.replicas is not known");
    else if (r->desired > r->spec)
        SAY(t, "raised from %d", r->spec);
    else if (r->desired < r->spec)
        SAY(t, "lowered from %d", r->spec);
    else
        SAY(t, "as specified");
}

static const char *busy_because(enum active_reason a) {
    switch (a) {
    case ACTIVE_DEMAND:
        return "there is demand";
    case ACTIVE_STARTING:
        return "a pod is starting";
    case ACTIVE_BUSY:
        return "requests wait, run or arrive";
    default:
        return "not known to be idle";
    }
}

static void say_outcome(struct text *t, const struct record *r) {
    switch (r->reason) {
    case REASON_FIRST:
        SAY(t, "first decision, nothing is known yet: as specified");
        break;
    case REASON_RAISE:
    case REASON_SIZE:
        say_size(t, r);
        break;
    case REASON_WINDOW:
        say_window(t, r);
        break;
    case REASON_GUARD:
        SAY(t, "lowering is withheld while breached: ");
        say_names(t, guards(r, TRI_TRUE));
        break;
    case REASON_GUARD_UNKNOWN:
        SAY(t, "lowering is withheld while it is unknown whether breached: ");
        say_names(t, guards(r, TRI_UNKNOWN));
        break;
    case REASON_UNKNOWN:
        SAY(t, "not known well enough, the last decision stands");
        break;
    case REASON_NO_POD_READY:
        SAY(t, "no pod is ready, nothing to measure: the last decision stands");
        break;
    case REASON_BURST:
        SAY(t, "kept by burstMemory");
        break;
    case REASON_ZERO:
        SAY(t, r->activity == INACTIVE_ZERO_IDLE ? "at zero, and nothing is asked for"
                                                 : "at zero, and no demand is known");
        break;
    case REASON_ACTIVE:
        SAY(t, "sized at zero, but %s, so one replica", busy_because(r->activity));
        break;
    }
}

static const struct record_signal *row(const struct record *r, enum signal s) {
    for (uint32_t i = 0; i < r->signal_n; i++)
        if (r->signals[i].signal == s)
            return &r->signals[i];
    return NULL;
}

// "queue 80 at 10 each, gpuUtilization 80% at 55% each": the two sides of a gate.
static void say_gate(struct text *t, const struct record *r) {
    SAY(t, " A guard has been breached for 2 minutes, and `when` is %s:", tri_name(r->when));
    const char *separator = " ";
    for (uint32_t i = 0; i < r->signal_n; i++) {
        if (!r->signals[i].gated)
            continue;
        SAY(t, "%s", separator);
        say_total(t, &r->signals[i]);
        SAY(t, " needs %.3g", r->signals[i].need_lower);
        if (r->spec >= 0)
            SAY(t, " of %d", r->spec);
        separator = ", ";
    }
    SAY(t, "; what limits the service is not what `when` looks at.");
}

static void say_saturating(struct text *t, const struct record *r) {
    SAY(t, " Above its target for 2 minutes and not used to size, because it saturates from the "
           "first request on:");
    const char *separator = " ";
    for (uint32_t i = 0; i < r->signal_n; i++) {
        const struct record_signal *s = &r->signals[i];
        if (s->role != ROLE_SATURATING || s->gated || s->breached != TRI_TRUE)
            continue;
        SAY(t, "%s", separator);
        say_total(t, s);
        separator = ", ";
    }
    SAY(t, ".");
}

// "work is 6.2 requests/s of 351 tokens; ...": only where work sizes.
static void say_work(struct text *t, const struct record *r) {
    const struct record_capacity *c = &r->capacity;
    if (c->source == CAPACITY_NONE)
        return;
    if (c->work_per_request > 0) {
        SAY(t, " A request is ");
        say_number(t, c->work_per_request);
        SAY(t, " tokens of work (one of a prompt counts 0.12).");
    } else {
        SAY(t, " The work of a request is not known until 20 have finished.");
    }
    if (c->source == CAPACITY_UNKNOWN) {
        SAY(t, " The capacity is not learned yet: it takes a minute of traffic that shows its "
               "inter-token latency.");
        return;
    }
    if (c->source == CAPACITY_GIVEN)
        return;
    SAY(t, " Capacity %s from %u %s (an idle step takes %.3g ms)",
        c->source == CAPACITY_LEARNED ? "learned" : "guessed, so nothing is lowered yet,",
        c->lessons, c->lessons == 1 ? "lesson" : "lessons", c->bare_step_s * 1e3);
    if (c->slo_tight)
        SAY(t, ", for a step 1.25 times as long: `itl` asks for less than that, which no batch "
               "keeps");
    SAY(t, ".");
}

// "Trimmed by rho 1.04: 0.4% missed ttft 2.5 s or itl 0.1 s."
static void say_trim(struct text *t, const struct record *r) {
    const struct record_capacity *c = &r->capacity;
    if (c->trim < TRIM_SHORT || c->misses < 0)
        return;
    SAY(t, " Trimmed to rho %.3g: of the last requests %.2g%% missed", c->rho, c->misses * 100);
    if (c->edge_s[0] > 0)
        SAY(t, " ttft %.3g s", c->edge_s[0]);
    if (c->edge_s[1] > 0)
        SAY(t, "%s itl %.3g s", c->edge_s[0] > 0 ? " or" : "", c->edge_s[1]);
    if (c->edge_s[0] > 0 || c->edge_s[1] > 0)
        SAY(t, " (the engine's edges at or above the SLO)");
    SAY(t, ".");
}

static void say_blind(struct text *t, const struct record *r) {
    const struct record_scene *s = &r->scene;
    if (r->notices & NOTICE_UNSEEN) {
        SAY(t, " Pods and workloads are not followed");
        if (s->unseen_ns < INT64_MAX) {
            SAY(t, " for ");
            say_duration(t, s->unseen_ns);
        }
        SAY(t, " (/readyz says why): nothing is lowered by what is not seen.");
    }
    if (r->notices & NOTICE_UNASKED) {
        SAY(t, " KEDA has not asked for this for ");
        say_duration(t, s->unasked_ns);
        SAY(t,
            ", so nothing scales by it: does its scalerAddress %s lead here, is KEDA's certificate "
            "accepted (\"client refused\" in the scaler's log), and what does the ScaledObject's "
            "condition Ready say?",
            s->address);
    }
}

static void say_scene(struct text *t, const struct record *r) {
    const struct record_scene *s = &r->scene;
    if (r->notices & NOTICE_UNSCHEDULABLE) {
        SAY(t, " %u %s found no place for ", s->unschedulable,
            s->unschedulable == 1 ? "pod has" : "pods have");
        say_duration(t, s->unschedulable_ns);
        SAY(t, "%s%s.", s->unschedulable_why[0] ? ": " : "", s->unschedulable_why);
    }
    if (r->notices & NOTICE_RIVAL)
        SAY(t,
            " ScaledObject %s scales the same workload: two HPAs undo each other's work, keep one "
            "of the two.",
            s->rival);
    if (r->notices & NOTICE_SECOND_HPA)
        SAY(t, " HPA %s scales the same workload (it wants %d): delete it, or use mode: observe.",
            s->hpa, s->hpa_desired);
    if (r->notices & NOTICE_PAUSED)
        SAY(t, " The ScaledObject is paused: KEDA does not scale by this.");
    say_blind(t, r);
}

// "GPUs shared by several pods tell nothing about one of them: WHY"
static void say_shared(struct text *t, const struct record *r) {
    static const char *const words[] = {
        ("what each pod's processes use is not told (podProcesses off, MPS, processes of no known "
         "pod, an exporter's GPU)"),
        "which processes are the pod's is not known without its UID",
        "the driver does not tell this value of a process"};
    uint32_t gaps = 0;
    const char *separator = ": ";
    for (uint32_t i = 0; i < r->signal_n; i++)
        gaps |= r->signals[i].gaps;
    SAY(t, "GPUs shared by several pods tell nothing about one of them");
    for (uint32_t i = 0; i < COUNT_OF(words); i++)
        if (gaps >> i & 1) {
            SAY(t, "%s%s", separator, words[i]);
            separator = "; ";
        }
}

static void say_notices(struct text *t, const struct record *r) {
    if (r->notices & NOTICE_GUARD_GATED)
        say_gate(t, r);
    if (r->notices & NOTICE_SATURATING)
        say_saturating(t, r);
    if (r->notices & NOTICE_HOT_POD) {
        const struct record_signal *s = row(r, r->hot_signal);
        SAY(t, " Pod %s alone has %s ", r->hot_pod, signals[r->hot_signal].name);
        say_amount(t, s->max, s);
        SAY(t, " while the rest is quiet: routing, not replicas.");
    }
    if (r->notices & NOTICE_TOLERANCE)
        SAY(t,
            " From %d to %d is within the HPA's default tolerance of 10%%: it acts only with "
            "behavior tolerance 0.",
            r->status, r->desired);
    if (r->notices & NOTICE_ZERO_UNKNOWN)
        SAY(t, "%s nothing here can wake the service.",
            r->reason == REASON_ZERO ? " So" : " No demand is known:");
    if (r->notices & NOTICE_ASLEEP)
        SAY(t, " %u of %u ready %s: counted as replicas, serving nothing until woken.", r->asleep,
            r->ready, r->asleep == 1 ? "pods sleeps" : "pods sleep");
    if (r->notices & NOTICE_SHARED_GPU) {
        SAY(t, " ");
        say_shared(t, r);
        SAY(t, ".");
    }
    say_scene(t, r);
}

static void say_activity(struct text *t, const struct record *r) {
    if (r->activity == INACTIVE_IDLE)
        SAY(t, " Inactive: nothing queued, running or arriving above `activation`.");
    else if (r->activity == INACTIVE_ZERO_IDLE)
        SAY(t, " Inactive: no demand above `activation`.");
    else if (r->activity == ACTIVE_DEMAND)
        SAY(t, " Active: demand above `activation`.");
}

static void say_unavailable(struct text *t, const struct record *r) {
    if (r->spec < 0) {
        SAY(t, "no decision yet: spec.replicas of the target is not known");
        return;
    }
    SAY(t, "nothing known for ");
    say_duration(t, r->unseen_ns);
    SAY(t, " to size by: ");
    const char *separator = "";
    for (uint32_t i = 0; i < r->signal_n; i++) {
        const struct record_signal *s = &r->signals[i];
        if (!(r->missing >> s->signal & 1))
            continue;
        SAY(t, "%s%s", separator, record_signal_name(r, s->signal));
        if (s->signal == SIGNAL_DEMAND)
            SAY(t, " (the demand source tells nothing)");
        say_missing(t, s);
        separator = ", ";
    }
    SAY(t, "; the last decision was %d", r->desired);
    if (r->notices & NOTICE_SHARED_GPU) {
        SAY(t, "; ");
        say_shared(t, r);
    }
}

int record_scene_sentence(struct buf *b, const struct record *r) {
    struct text t = {.b = b, .record = r};
    size_t before = b->len;
    say_scene(&t, r);
    if (t.r)
        buf_truncate(b, before);
    return t.r;
}

int record_sentence(struct buf *b, const struct record *r) {
    struct text t = {.b = b, .record = r};
    size_t before = b->len;
    if (r->state == DECISION_UNAVAILABLE) {
        say_unavailable(&t, r);
    } else {
        SAY(&t, "%d %s: ", r->desired, replicas(r->desired));
        for (uint32_t i = 0; i < r->signal_n; i++) {
            say_signal(&t, &r->signals[i]);
            SAY(&t, "; ");
        }
        say_outcome(&t, r);
        SAY(&t, ".");
        if (r->observe)
            SAY(&t, " Observing only: the autoscaler is told the %s %.0f.",
                r->spec < 0 ? "last known" : "present", ceil(r->publish));
        if (r->observe && r->scene.hpa[0] != '\0')
            SAY(&t, " HPA %s wants %d.", r->scene.hpa, r->scene.hpa_desired);
        say_activity(&t, r);
        say_work(&t, r);
        say_trim(&t, r);
        say_notices(&t, r);
    }
    if (t.r)
        buf_truncate(b, before);
    return t.r;
}
