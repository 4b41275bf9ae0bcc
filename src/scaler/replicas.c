// SPDX-License-Identifier: Apache-2.0
/* The two parts and the ways between them; see the header. */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/replicas_internal.h"

enum { RESIGN_MS = 1500 };

static const struct net_tls_files no_tls;

bool io_leads(const struct io *io) {
    return io->replicas == NULL || io->replicas->leads;
}

bool io_may_decide(const struct io *io) {
    const struct replicas *r = io->replicas;
    return r == NULL || (r->leads && r->lease != NULL && lease_leads(r->lease, clock_mono_ns()));
}

bool io_replicas_inherited(const struct io *io) {
    return io->replicas != NULL && io->replicas->inherited;
}

int64_t io_replicas_led_ns(const struct io *io) {
    return io->replicas == NULL ? io->started_ns : io->replicas->led_ns;
}

bool io_replicas_settling(const struct io *io, int64_t rate_window_ns, int64_t now_ns) {
    const struct replicas *r = io->replicas;
    return r != NULL && r->inherited && now_ns - r->led_ns < rate_window_ns;
}

void replicas_tell_role(struct replicas *r, bool resigned) {
    struct to_rpc *m = mem_zalloc(sizeof(*m));
    r->role_untold = true;
    if (m == NULL || (m->role = mem_zalloc(sizeof(*m->role))) == NULL) {
        to_rpc_free(m);
        return;
    }
    m->kind = TO_RPC_ROLE;
    m->role->leads = r->leads;
    m->role->resigned = resigned;
    m->role->term = r->term;
    const struct election_record *rec = r->lease == NULL ? NULL : lease_record(r->lease);
    (void)str_copy(m->role->leader, sizeof(m->role->leader),
                   str_from(r->leads ? r->identity
                            : rec    ? rec->holder
                                     : ""));
    r->role_untold = !queue_push(r->io->to_rpc, m);
    if (r->role_untold) {
        r->io->count.messages_lost++;
        to_rpc_free(m);
    }
}

static void begin_leading(struct replicas *r) {
    struct io *io = r->io;
    int64_t now_ns = clock_mono_ns();
    const struct election_record *rec = lease_record(r->lease);
    (void)follow_to(r->follow, NULL, NULL, NULL);
    r->leads = true;
    r->led_ns = now_ns;
    r->term = (uint64_t)rec->transitions;
    r->terms_begun++;
    r->inherited = r->complete && now_ns - r->decided_ns <= LIMIT_DECISION_AGE_MS * NS_PER_MS;
    log_info("leading: sources are followed and decisions made here",
             LOG_STR("identity", r->identity), LOG_I64("term", (int64_t)r->term),
             LOG_BOOL("inherited", r->inherited), LOG_I64("objects", HASH_COUNT(io->objects)));
    replicas_tell_role(r, false);
    struct err e = {0};
    if (io_sources_lead(io, true, &e) < 0)
        log_error("not all sources are followed", LOG_ERR(&e));
    replicas_restore(r, now_ns);
    io_objects_lead(io, now_ns);
    io_flush(io, now_ns);
}

static void end_leading(struct replicas *r, const char *why) {
    struct io *io = r->io;
    struct err e = {0};
    replicas_remember(r);
    r->leads = false;
    r->terms_ended++;
    r->decided_ns = io->ticked_ns;
    r->complete = true; // our own are the last known
    r->syncing = false;
    log_warn("leading no more: decisions stand until another's are heard",
             LOG_STR("identity", r->identity), LOG_I64("term", (int64_t)r->term),
             LOG_STR("reason", why));
    io_objects_follow(io);
    (void)io_sources_lead(io, false, &e); // taking targets away needs nothing
    if (r->resigning == NULL)             // else followers are told when the Lease is given up
        replicas_tell_role(r, false);
}

static void follow_holder(struct replicas *r) {
    const struct election_record *rec = lease_record(r->lease);
    struct err e = {0};
    if (rec == NULL || rec->holder[0] == '\0' || lease_ours(r->lease))
        return; // whoever was heard last is heard on
    if (follow_to(r->follow, rec->holder, rec->address, &e) == 0) {
        r->unusable[0] = '\0';
        return;
    }
    if (strcmp(r->unusable, rec->address) == 0)
        return;
    (void)str_copy(r->unusable, sizeof(r->unusable), str_from(rec->address));
    log_error("the leader's address in the Lease cannot be used", LOG_STR("leader", rec->holder),
              LOG_STR("address", rec->address), LOG_ERR(&e));
}

static void stop_rpc(struct replicas *r) {
    if (r->resigned)
        return;
    r->resigned = true;
    net_timer_stop(&r->resigning);
    replicas_tell_role(r, lease_over(r->lease));
    io_end(r->io);
}

static void settle(struct replicas *r) {
    bool leads = lease_leads(r->lease, clock_mono_ns());
    if (leads && !r->leads)
        begin_leading(r);
    else if (!leads && r->leads)
        end_leading(r, r->resigning ? "the end" : "the Lease was not renewed in time, or lost");
    if (r->resigning != NULL && lease_over(r->lease))
        stop_rpc(r);
    else if (!r->leads && r->resigning == NULL && !r->resigned)
        follow_holder(r);
}

void io_replicas_check(struct io *io) {
    if (io->replicas != NULL && io->replicas->leads && !io_may_decide(io))
        settle(io->replicas);
}

static void on_lease_changed(void *ctx) {
    settle(ctx);
}

static void on_lease_trouble(void *ctx, const struct err *why) {
    if (why == NULL)
        log_info("the Lease is had again");
    else
        log_warn("the Lease cannot be had", LOG_ERR(why));
}

static void on_resign_late(void *ctx) {
    log_warn("the Lease was not given up in time: it ends by itself");
    stop_rpc(ctx);
}

bool io_replicas_resign(struct io *io) {
    struct replicas *r = io->replicas;
    struct err e = {0};
    if (r == NULL || r->resigning != NULL || r->resigned ||
        net_timer_start(&r->resigning, &io->loop, RESIGN_MS * NS_PER_MS, 0, on_resign_late, r, &e) <
            0)
        return false;
    lease_resign(r->lease);
    settle(r);
    return true;
}

static int name_us(struct replicas *r, struct err *e) {
    char host[256];
    uint32_t run;
    const char *name = r->io->config->replicas.identity;
    if (name == NULL) {
        if (gethostname(host, sizeof(host)) < 0)
            return err_errno(e, errno, "replicas.identity: the host has no name");
        host[sizeof(host) - 1] = '\0';
        name = host;
    }
    if (random_kernel(&run, sizeof(run)) < 0)
        return err_set(e, ERR_IO, "no random numbers from the kernel");
    // A restarted process must not take itself for the one before.
    int n = snprintf(r->identity, sizeof(r->identity), "%s_%08x", name, run);
    if (n < 0 || (size_t)n >= sizeof(r->identity))
        return err_set(e, ERR_LIMIT, "replicas.identity is too long");
    return 0;
}

static int start_lease(struct replicas *r, struct err *e) {
    const struct scaler_config *c = r->io->config;
    struct str name = str_from(c->replicas.lease), ns = str_cut(&name, '/');
    char *namespace_ = mem_strndup(ns.p, ns.n);
    if (namespace_ == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct lease_options o = {
        .kube = r->io->kube,
        .namespace_ = namespace_,
        .name = name.p,
        .identity = r->identity,
        .address = r->address,
        .seed = r->io->seed + 20,
        .changed = on_lease_changed,
        .trouble = on_lease_trouble,
        .ctx = r,
    };
    int rc = lease_new(&r->lease, &o, e);
    mem_free(namespace_);
    return rc;
}

static int start_follow(struct replicas *r, struct err *e) {
    const struct scaler_config *c = r->io->config;
    struct net_tls_files files = config_tls_on(&c->replicas.tls)
                                     ? config_tls_files(&c->replicas.tls)
                                     : no_tls;
    struct follow_options o = {
        .loop = &r->io->loop,
        .tls = config_tls_on(&c->replicas.tls) ? &files : NULL,
        .server_name = c->replicas.tls.server_name,
        .identity = r->identity,
        .seed = r->io->seed + 21,
        .ctx = r,
    };
    replicas_hear(&o);
    return follow_new(&r->follow, &o, e);
}

int io_replicas_start(struct io *io, struct err *e) {
    if (io->config->replicas.lease == NULL)
        return 0;
    struct replicas *r = io->replicas = mem_zalloc(sizeof(*r));
    if (r == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->io = io;
    vec_init(&io->told, LIMIT_SCALED_OBJECTS * 2);
    int rc = name_us(r, e);
    if (rc == 0)
        rc = config_replicas_address(io->config, r->address, sizeof(r->address), e);
    if (rc == 0)
        rc = start_follow(r, e);
    if (rc == 0)
        rc = start_lease(r, e);
    if (rc == 0)
        rc = io_sources_lead(io, false, e);
    if (rc < 0)
        return err_wrap(e, "replicas");
    log_info("one of several scalers", LOG_STR("identity", r->identity),
             LOG_STR("lease", io->config->replicas.lease), LOG_STR("address", r->address));
    return 0;
}

void io_replicas_stop(struct io *io) {
    struct replicas *r = io->replicas;
    if (r == NULL)
        return;
    r->leads = false;
    net_timer_stop(&r->resigning);
    r->lease = lease_free(r->lease);
    r->follow = follow_free(r->follow);
}

void io_replicas_done(struct io *io) {
    struct replicas *r = io->replicas;
    if (r == NULL)
        return;
    replicas_forget_all(r);
    for (size_t i = 0; i < io->told.n; i++)
        mem_free(io->told.items[i].packed);
    vec_done(&io->told);
    mem_free(r);
    io->replicas = NULL;
}
