// SPDX-License-Identifier: Apache-2.0
/* The state machine; see the header. */
#include "scaler/election.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static const double JITTER = 1.2; // client-go's JitterFactor

const struct election_rules election_rules_default = {
    .lease_ns = 15 * NS_PER_S, .deadline_ns = 10 * NS_PER_S, .retry_ns = 2 * NS_PER_S};

static void copy_cut(char *dst, size_t cap, const char *src) {
    struct str s = str_from(src);
    if (s.n >= cap)
        s.n = cap - 1;
    (void)str_copy(dst, cap, s);
}

void election_init(struct election *e, const struct election_rules *rules, const char *identity,
                   const char *address, uint64_t seed, int64_t now_ns) {
    assert(rules->deadline_ns < rules->lease_ns && rules->retry_ns < rules->deadline_ns);
    *e = (struct election){.rules = *rules,
                           .stands = true,
                           .observed_ns = INT64_MIN,
                           .led_until_ns = INT64_MIN,
                           .due_ns = now_ns};
    copy_cut(e->identity, sizeof(e->identity), identity);
    copy_cut(e->address, sizeof(e->address), address);
    random_init(&e->random, seed);
}

static bool ours(const struct election *e) {
    return e->exists && strcmp(e->record.holder, e->identity) == 0;
}

bool election_leads(const struct election *e, int64_t now_ns) {
    return !e->resigning && now_ns < e->led_until_ns;
}

static void lose(struct election *e) {
    e->losses += e->led_until_ns != INT64_MIN;
    e->led_until_ns = INT64_MIN;
}

// Somebody's, who may still believe in it.
static bool held(const struct election *e, int64_t now_ns) {
    const char *holder = e->record.holder; // also of one that is deleted now
    if (e->observed_ns == INT64_MIN || holder[0] == '\0' || strcmp(holder, e->identity) == 0)
        return false;
    int64_t duration_ns = e->record.duration_s > 0 ? e->record.duration_s * NS_PER_S
                                                   : e->rules.lease_ns;
    return now_ns - e->observed_ns < duration_ns;
}

static void later(struct election *e, int64_t now_ns) {
    int64_t wait_ns = e->rules.retry_ns;
    if (!election_leads(e, now_ns) && !e->resigning)
        wait_ns += (int64_t)(random_unit(&e->random) * JITTER * (double)e->rules.retry_ns);
    e->due_ns = now_ns + wait_ns;
}

static void make_write(struct election *e, int64_t real_ns, struct election_record *w) {
    *w = (struct election_record){
        .duration_s = (e->rules.lease_ns + NS_PER_S - 1) / NS_PER_S,
        .acquired_ns = real_ns,
        .renewed_ns = real_ns,
    };
    if (e->exists) {
        copy_cut(w->version, sizeof(w->version), e->record.version);
        w->transitions = e->record.transitions + !ours(e);
        if (ours(e))
            w->acquired_ns = e->record.acquired_ns;
    } else if (e->observed_ns != INT64_MIN) {
        w->transitions = e->record.transitions + 1; // it was deleted: terms go on
    }
    if (e->resigning) {
        w->duration_s = 1;
        w->acquired_ns = real_ns;
        return;
    }
    copy_cut(w->holder, sizeof(w->holder), e->identity);
    copy_cut(w->address, sizeof(w->address), e->address);
}

// The record is known: is it to be written at this moment, or only waited on?
static enum election_act decide(struct election *e, int64_t now_ns) {
    if (e->resigning && !ours(e)) {
        e->over = true;
        e->due_ns = INT64_MAX;
        return ELECTION_WAIT;
    }
    bool takes = !e->resigning && !election_leads(e, now_ns);
    if (takes && (!e->stands || held(e, now_ns))) {
        e->fresh = false;
        if (e->hurried)
            e->due_ns = now_ns; // what was read may be older than the word
        else
            later(e, now_ns);
        e->hurried = false;
        return ELECTION_WAIT;
    }
    return ELECTION_WRITE;
}

enum election_act election_next(struct election *e, int64_t now_ns, int64_t real_ns,
                                struct election_record *ret_write) {
    if (e->running != ELECTION_WAIT || e->over || now_ns < e->due_ns)
        return ELECTION_WAIT;
    if (e->led_until_ns != INT64_MIN && now_ns >= e->led_until_ns)
        lose(e);
    enum election_act act = e->fresh ? decide(e, now_ns) : ELECTION_READ;
    if (act == ELECTION_WRITE) {
        make_write(e, real_ns, ret_write);
        e->sent_ns = now_ns;
        e->record = *ret_write; // what it is if it succeeds; else it is read again
        e->fresh = false;
    }
    e->running = act;
    return act;
}

int64_t election_due_ns(const struct election *e) {
    return e->running != ELECTION_WAIT || e->over ? INT64_MAX : e->due_ns;
}

void election_read(struct election *e, int64_t now_ns, const struct election_record *r) {
    assert(e->running == ELECTION_READ);
    e->running = ELECTION_WAIT;
    e->fresh = true;
    e->due_ns = now_ns;
    if (r == NULL) {
        e->exists = false;
        lose(e);
        return;
    }
    bool same = e->exists && e->observed_ns != INT64_MIN &&
                strcmp(e->record.version, r->version) == 0;
    e->exists = true;
    e->record = *r;
    if (!same)
        e->observed_ns = now_ns;
    if (!ours(e))
        lose(e);
}

void election_wrote(struct election *e, int64_t now_ns, const char *version) {
    assert(e->running == ELECTION_WRITE);
    e->running = ELECTION_WAIT;
    e->exists = true;
    copy_cut(e->record.version, sizeof(e->record.version), version);
    e->observed_ns = now_ns;
    bool gave_up = e->record.holder[0] == '\0';
    if (gave_up || e->resigning) {
        e->over = gave_up;
        e->fresh = true;
        e->due_ns = gave_up ? INT64_MAX : now_ns;
        return;
    }
    int64_t until_ns = e->sent_ns + e->rules.deadline_ns;
    if (now_ns >= until_ns) { // the answer came too late to be worth anything
        lose(e);
        e->fresh = false;
        e->due_ns = now_ns;
        return;
    }
    e->takes += e->led_until_ns == INT64_MIN;
    e->led_until_ns = until_ns;
    e->fresh = true;
    e->due_ns = now_ns + e->rules.retry_ns;
}

void election_failed(struct election *e, int64_t now_ns, bool conflict) {
    assert(e->running != ELECTION_WAIT);
    if (e->running ==
        ELECTION_WRITE) // what is there now is not known: our write may have been done
        copy_cut(e->record.version, sizeof(e->record.version), "?");
    e->running = ELECTION_WAIT;
    e->fresh = false;
    if (conflict)
        e->due_ns = now_ns;
    else
        later(e, now_ns);
}

void election_hurry(struct election *e, int64_t now_ns) {
    if (e->over || e->resigning || election_leads(e, now_ns))
        return;
    if (e->running != ELECTION_WAIT)
        e->hurried = true;
    else
        e->due_ns = now_ns;
}

void election_resign(struct election *e, int64_t now_ns) {
    if (e->resigning)
        return;
    lose(e);
    e->resigning = true;
    e->due_ns = now_ns;
}

bool election_over(const struct election *e) {
    return e->over;
}
