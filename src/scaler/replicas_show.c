// SPDX-License-Identifier: Apache-2.0
/* Who leads, for people and Prometheus. */
#include <math.h>

#include "base/clock.h"
#include "core/metrics/prom_write.h"
#include "scaler/api_page.h"
#include "scaler/replicas_internal.h"

static void counter(struct prom_writer *w, const char *name, const char *help, uint64_t value) {
    prom_family(w, name, PROM_COUNTER, help);
    prom_sample_u64(w, NULL, 0, value);
}

static void gauge(struct prom_writer *w, const char *name, const char *help, double value) {
    prom_family(w, name, PROM_GAUGE, help);
    prom_sample(w, NULL, 0, value); // NAN: absent
}

static double lag_s(const struct replicas *r) {
    return r->leads || r->decided_ns == 0 ? NAN
                                          : (double)(clock_mono_ns() - r->decided_ns) / NS_PER_S;
}

void io_replicas_families(const struct io *io, struct prom_writer *w) {
    const struct replicas *r = io->replicas;
    gauge(w, "gpuscale_leader", "1: this scaler decides; 0: another one does, or nobody.",
          io_leads(io));
    if (r == NULL)
        return;
    struct follow_stats f = follow_stats(r->follow);
    struct lease_stats l = lease_stats(r->lease);
    prom_family(w, "gpuscale_leader_transitions_total", PROM_COUNTER,
                "Times that this scaler began to lead, and that it ended.");
    struct prom_label to = {STR("to"), STR("leader")};
    prom_sample_u64(w, &to, 1, r->terms_begun);
    to.value = STR("follower");
    prom_sample_u64(w, &to, 1, r->terms_ended);
    gauge(w, "gpuscale_followers", "Scalers that follow this one.",
          r->leads ? (double)io->rpc_stats.followers : NAN);
    gauge(w, "gpuscale_follower_lag_seconds",
          "Age of the newest decisions heard of the leader; absent while this scaler leads.",
          lag_s(r));
    gauge(w, "gpuscale_follower_connected", "1: the leader is heard; absent while this one leads.",
          r->leads ? NAN : follow_state(r->follow) == FOLLOW_LIVE);
    counter(w, "gpuscale_follower_losses_total", "Times that the leader was heard no more.",
            f.losses);
    counter(w, "gpuscale_follower_silences_total", "Of those, for three heartbeats of silence.",
            f.silences);
    counter(w, "gpuscale_follower_messages_bad_total", "Messages of the leader that were refused.",
            f.bad_messages);
    counter(w, "gpuscale_follower_learned_refused_total",
            "What the leader said that it has learned of an object, and nobody can have.",
            r->learned_refused);
    counter(w, "gpuscale_followers_slow_total", "Followers ended because they did not read.",
            io->rpc_stats.followers_slow);
    counter(w, "gpuscale_lease_failures_total", "Reads and writes of the Lease that failed.",
            l.failures);
}

void io_replicas_show(const struct io *io, struct buf *b) {
    const struct replicas *r = io->replicas;
    (void)buf_addf(b, "{\"role\":\"%s\"", io_leads(io) ? "leader" : "follower");
    if (r != NULL) {
        const struct election_record *rec = lease_record(r->lease);
        api_text(b, "identity", r->identity);
        api_text(b, "lease", io->config->replicas.lease);
        api_text(b, "holder", rec ? rec->holder : "");
        api_text(b, "address", rec ? rec->address : "");
        api_int(b, "term", (int64_t)r->term);
        if (r->leads) {
            api_int(b, "followers", (int64_t)io->rpc_stats.followers);
        } else {
            api_bool(b, "connected", follow_state(r->follow) == FOLLOW_LIVE);
            api_number(b, "lagSeconds", lag_s(r));
            api_int(b, "objects", (int64_t)HASH_CNT(hh_leader, r->by_leader));
        }
    }
    (void)buf_addc(b, "}");
}

void io_replicas_tell_reader(const struct io *io, struct buf *out) {
    const struct replicas *r = io->replicas;
    if (io_leads(io))
        return;
    const struct election_record *rec = lease_record(r->lease);
    if (rec == NULL || rec->holder[0] == '\0' || lease_ours(r->lease))
        (void)buf_addc(out, "No scaler leads now: the last decisions stand.\n");
    else
        (void)buf_addf(out,
                       "The scaler %s (gRPC at %s) leads and decides; this one answers with its "
                       "decisions. Why they fell as they did is known there.\n",
                       rec->holder, rec->address);
}

void io_replicas_show_object(const struct io *io, const struct object *o, struct buf *b) {
    const struct replicas *r = io->replicas;
    if (io_leads(io))
        return;
    const struct election_record *rec = lease_record(r->lease);
    const struct known *k = replicas_known(r, o);
    (void)buf_addc(b, ",\"leader\":{\"identity\":");
    (void)buf_add_json(b, str_from(rec ? rec->holder : ""));
    api_text(b, "address", rec ? rec->address : "");
    (void)buf_addc(b, "},\"told\":");
    if (k == NULL || k->told_ns == 0 || k->leader_id == 0) { // or what this one told when it led
        (void)buf_addc(b, "null");
        return;
    }
    (void)buf_addf(b, "{\"sequence\":%llu", (unsigned long long)k->memory.sequence);
    if (k->memory.decided)
        api_int(b, "desired", k->memory.desired);
    api_bool(b, "active", k->answer.active);
    if (k->answer.status != 0)
        api_text(b, "error", k->answer.message ? k->answer.message : "");
    else
        api_number(b, "value", k->answer.value);
    (void)buf_addc(b, "}");
}

// What a follower knows of an object.
void io_replicas_tell_object(const struct io *io, const struct object *o, struct buf *out) {
    const struct known *k = replicas_known(io->replicas, o);
    if (k == NULL || k->told_ns == 0) {
        (void)buf_addc(out, "  nothing was heard of it yet\n");
        return;
    }
    if (k->answer.status != 0)
        (void)buf_addf(out, "  no value: %s\n", k->answer.message ? k->answer.message : "");
    else
        (void)buf_addf(out, "  decision %llu: %d replicas, %s\n",
                       (unsigned long long)k->memory.sequence, k->memory.desired,
                       k->answer.active ? "active" : "not active");
}
