// SPDX-License-Identifier: Apache-2.0
/* The follower's connection as a state machine on one timer; see the header. */
#include "scaler/follow.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/vec.h"
#include "net/grpc_client.h"
#include "net/loop.h"

enum {
    CONNECT_MS = 2000,
    FIRST_MESSAGE_MS = 5000,
    SILENT_INTERVALS = 3,
    INTERVAL_MIN_MS = 100,
    INTERVAL_MAX_MS = 10000,
    SUSPECT_MS = 200,
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 2000,
    REGISTER_MS = 5000,
    REGISTER_BYTES = LIMIT_GRPC_REQUEST_BYTES / 2, // of a call, save a single large one
    REGISTER_MAX = 128,                            // objects in a call
    TLS_CHECK_MS = 10000,
};

enum phase { IDLE, WAITING, OPENING, LIVE };

struct follow {
    struct follow_options options;
    char *identity, *server_name;
    char leader[512], address[300], host[NET_HOST_MAX];
    struct net_addr to;
    struct net_tls *tls;
    struct net_timer *timer, *tls_timer;
    struct random random;
    enum phase phase;
    struct grpc_channel *channel;
    unsigned failed;
    bool suspect;
    uint64_t seq;
    int64_t heard_ns, interval_ms;
    struct VEC(struct object_key *) wanted; // to be registered, oldest first
    size_t asked;                           // of them, in the running call
    struct grpc_client_call *registering;
    struct follow_stats stats;
};

static void disconnect(struct follow *f) {
    f->channel = grpc_channel_free(f->channel);
    f->registering = NULL;
    f->asked = 0;
    f->suspect = false;
}

static void lose(struct follow *f, const struct err *why) {
    f->stats.losses += f->phase == LIVE;
    disconnect(f);
    f->phase = WAITING;
    int64_t wait_ms = BACKOFF_MIN_MS;
    for (unsigned i = 0; i < f->failed && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    f->failed++;
    wait_ms = wait_ms / 2 + (int64_t)((double)wait_ms / 2 * random_unit(&f->random));
    net_timer_again(f->timer, wait_ms * NS_PER_MS);
    f->options.lost(f->options.ctx, why);
}

static void drop_wanted(struct follow *f, size_t n) {
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        object_key_free(f->wanted.items[i]);
    memmove(f->wanted.items, f->wanted.items + n, (f->wanted.n - n) * sizeof(*f->wanted.items));
    f->wanted.n -= n;
}

static void register_next(struct follow *f);

static void on_register_answer(void *ctx, const ProtobufCMessage *message) {
    struct follow *f = ctx;
    const Gpuscale__V1__EnrollResponse *m = (const void *)message;
    f->stats.refused += m->refused;
}

static void on_registered(void *ctx, int status, const char *message) {
    struct follow *f = ctx;
    f->registering = NULL;
    size_t n = f->asked;
    f->asked = 0;
    if (status == GRPC_UNAVAILABLE || status == GRPC_DEADLINE_EXCEEDED)
        return; // again when the leader is there
    drop_wanted(f, n);
    if (status == GRPC_OK)
        f->stats.registered += n;
    else
        f->stats.refused += n;
    register_next(f);
}

static int64_t interval_ns(const struct follow *f) {
    int64_t ms = f->interval_ms;
    if (ms < INTERVAL_MIN_MS)
        ms = INTERVAL_MIN_MS;
    if (ms > INTERVAL_MAX_MS)
        ms = INTERVAL_MAX_MS;
    return ms * NS_PER_MS;
}

// One call at a time.
static void register_next(struct follow *f) {
    if (f->phase != LIVE || f->registering != NULL || f->wanted.n == 0)
        return;
    size_t n = f->wanted.n < REGISTER_MAX ? f->wanted.n : REGISTER_MAX, bytes = 0;
    struct decision_reference *refs = mem_array(n, sizeof(*refs));
    Gpuscale__V1__Reference **list = mem_array(n, sizeof(*list));
    Gpuscale__V1__EnrollRequest request = GPUSCALE__V1__ENROLL_REQUEST__INIT;
    for (size_t i = 0; refs != NULL && list != NULL && i < n; i++) {
        decision_fill_reference(&refs[i], &f->wanted.items[i]->ref);
        bytes += protobuf_c_message_get_packed_size(&refs[i].m.base);
        if (i > 0 && bytes > REGISTER_BYTES)
            break;
        list[request.n_objects++] = &refs[i].m;
    }
    request.objects = list;
    struct grpc_client_call_options call = {
        .method = "/gpuscale.v1.Decisions/Enroll",
        .request = &request.base,
        .response = &gpuscale__v1__enroll_response__descriptor,
        .timeout_ms = REGISTER_MS,
        .message = on_register_answer,
        .finished = on_registered,
        .ctx = f,
    };
    if (request.n_objects > 0 &&
        grpc_client_call_start(&f->registering, f->channel, &call, NULL) == 0)
        f->asked = request.n_objects;
    mem_free(refs);
    mem_free(list);
}

void follow_register(struct follow *f, const struct object_ref *r) {
    struct object_hash h;
    object_ref_hash(r, &h);
    struct object_key *k = object_key_new(r, &h);
    if (k == NULL)
        return; // its call ends with "ask again"
    if (vec_push(&f->wanted, k) < 0) {
        object_key_free(k);
        return;
    }
    register_next(f);
}

static int check_message(struct follow *f, const Gpuscale__V1__DecisionsUpdate *m, struct err *e) {
    f->stats.messages++;
    if (!m->has_seq || m->seq != f->seq + 1)
        return err_set(e, ERR_PARSE, "message %llu of the leader's is missing",
                       (unsigned long long)f->seq + 1);
    if (f->seq == 0 && !m->full)
        return err_set(e, ERR_PARSE, "the leader's stream does not begin at its beginning");
    if (!m->leader || !m->has_term || m->now_ms > INT64_MAX / NS_PER_MS / 2 ||
        m->decided_ms > m->now_ms)
        return err_set(e, ERR_PARSE, "a message without leader or time");
    if (strcmp(m->leader, f->leader) != 0)
        return err_set(e, ERR_INVALID, "%s answers as %s, the Lease says %s", f->address, m->leader,
                       f->leader);
    return 0;
}

static int take_message(struct follow *f, const Gpuscale__V1__DecisionsUpdate *m, struct err *e) {
    int rc = check_message(f, m, e);
    if (rc < 0)
        return rc;
    int64_t now_ns = clock_mono_ns();
    bool first = f->phase == OPENING;
    int64_t ahead_ns = now_ns - (int64_t)m->now_ms * NS_PER_MS;
    struct follow_update u = {
        .leader = m->leader,
        .term = m->term,
        .decided_ns = now_ns - (int64_t)(m->now_ms - m->decided_ms) * NS_PER_MS,
        .full = m->full,
        .complete = m->complete,
        .resigned = m->resigned,
    };
    f->seq = m->seq;
    f->heard_ns = now_ns;
    f->interval_ms = m->interval_ms;
    f->suspect = false;
    if (first) {
        f->phase = LIVE;
        f->failed = 0;
        f->stats.connects++;
        net_timer_again(f->timer, SILENT_INTERVALS * interval_ns(f));
        drop_wanted(f, f->wanted.n); // `connected` names all again
        f->options.connected(f->options.ctx);
    }
    f->options.began(f->options.ctx, &u);
    for (size_t i = 0; i < m->n_decisions; i++) {
        struct decision d;
        rc = decision_unpack(&d, m->decisions[i], ahead_ns, now_ns, e);
        if (rc < 0)
            return rc;
        f->options.decision(f->options.ctx, &d);
    }
    for (size_t i = 0; i < m->n_removed; i++)
        f->options.removed(f->options.ctx, m->removed[i]);
    f->options.ended(f->options.ctx, &u);
    return 0;
}

static void on_message(void *ctx, const ProtobufCMessage *message) {
    struct follow *f = ctx;
    struct err e = {0};
    if (take_message(f, (const void *)message, &e) < 0) {
        f->stats.bad_messages++;
        lose(f, &e);
        return;
    }
    register_next(f);
}

static void on_finished(void *ctx, int status, const char *message) {
    struct err e;
    err_set(&e, ERR_CLOSED, "the leader ended the stream with %s%s%s", grpc_status_name(status),
            *message ? ": " : "", message);
    lose(ctx, &e);
}

static void on_closed(void *ctx, const struct err *why) {
    lose(ctx, why);
}

static int connect_leader(struct follow *f, struct err *e) {
    f->seq = 0;
    struct grpc_channel_options co = {
        .to = f->to,
        .tls = f->tls,
        .server_name = f->server_name ? f->server_name : f->host,
        .connect_ms = CONNECT_MS,
        .closed = on_closed,
        .ctx = f,
    };
    int rc = grpc_channel_open(&f->channel, f->options.loop, &co, e);
    if (rc < 0)
        return rc;
    Gpuscale__V1__FollowRequest request = GPUSCALE__V1__FOLLOW_REQUEST__INIT;
    request.follower = f->identity;
    struct grpc_client_call_options call = {
        .method = "/gpuscale.v1.Decisions/Follow",
        .request = &request.base,
        .response = &gpuscale__v1__decisions_update__descriptor,
        .message = on_message,
        .finished = on_finished,
        .ctx = f,
    };
    struct grpc_client_call *started;
    return grpc_client_call_start(&started, f->channel, &call, e);
}

static void begin(struct follow *f) {
    struct err e = {0};
    f->phase = OPENING;
    net_timer_again(f->timer, FIRST_MESSAGE_MS * NS_PER_MS);
    if (connect_leader(f, &e) < 0)
        lose(f, &e);
}

static void on_silence(struct follow *f) {
    int64_t silent_ns = clock_mono_ns() - f->heard_ns;
    int64_t limit_ns = SILENT_INTERVALS * interval_ns(f);
    struct err e;
    if (silent_ns < limit_ns) {
        f->suspect = false;
        net_timer_again(f->timer, limit_ns - silent_ns);
    } else if (!f->suspect) {
        // If it was us who stood still, messages wait in the socket: they are read first.
        f->suspect = true;
        net_timer_again(f->timer, SUSPECT_MS * NS_PER_MS);
    } else {
        f->stats.silences++;
        err_set(&e, ERR_TIMEOUT, "nothing was heard of it for %d ms", (int)(silent_ns / NS_PER_MS));
        lose(f, &e);
    }
}

static void on_timer(void *ctx) {
    struct follow *f = ctx;
    struct err e;
    switch (f->phase) {
    case IDLE:
        break;
    case WAITING:
        begin(f);
        break;
    case OPENING:
        err_set(&e, ERR_TIMEOUT, "it did not tell its decisions in %d ms", FIRST_MESSAGE_MS);
        lose(f, &e);
        break;
    case LIVE:
        on_silence(f);
        break;
    }
}

static void on_tls(void *ctx) {
    struct follow *f = ctx;
    struct err e = {0};
    int rc = net_tls_reload_if_changed(f->tls, &e); // for the next connection
    if (rc != 0)
        f->options.tls_event(f->options.ctx, rc < 0 ? &e : NULL);
}

int follow_to(struct follow *f, const char *identity, const char *address, struct err *e) {
    if (identity == NULL) {
        disconnect(f);
        f->phase = IDLE;
        f->leader[0] = f->address[0] = '\0';
        return 0;
    }
    if (f->phase != IDLE && strcmp(f->leader, identity) == 0 && strcmp(f->address, address) == 0)
        return 0;
    disconnect(f);
    f->phase = IDLE;
    struct net_addr to;
    uint16_t port;
    int rc = net_addr_parse(str_from(address), &to, e);
    if (rc == 0 && str_starts(str_from(address), "unix:"))
        rc = str_copy(f->host, sizeof(f->host), STR("localhost"));
    else if (rc == 0)
        rc = net_addr_split(str_from(address), f->host, &port, e);
    if (rc == 0 && (str_copy(f->leader, sizeof(f->leader), str_from(identity)) < 0 ||
                    str_copy(f->address, sizeof(f->address), str_from(address)) < 0))
        rc = err_set(e, ERR_LIMIT, "the leader's name or address is too long");
    if (rc < 0) {
        f->leader[0] = f->address[0] = '\0';
        return rc;
    }
    f->to = to;
    f->failed = 0;
    f->phase = WAITING;
    net_timer_again(f->timer, 0);
    return 0;
}

int follow_new(struct follow **ret, const struct follow_options *options, struct err *e) {
    struct follow *f = mem_zalloc(sizeof(*f));
    if (f == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    f->options = *options;
    f->heard_ns = INT64_MIN;
    vec_init(&f->wanted, LIMIT_SCALED_OBJECTS);
    random_init(&f->random, options->seed);
    f->identity = mem_strdup(options->identity);
    f->server_name = options->server_name ? mem_strdup(options->server_name) : NULL;
    int rc = 0;
    if (f->identity == NULL || (options->server_name != NULL && f->server_name == NULL))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0 && options->tls != NULL)
        rc = net_tls_new(&f->tls, NET_TLS_CLIENT, NET_TLS_ALPN_H2, options->tls, e);
    if (rc == 0)
        rc = net_timer_start(&f->timer, options->loop, INT64_MAX / 4, 0, on_timer, f, e);
    if (rc == 0 && f->tls != NULL)
        rc = net_timer_start(&f->tls_timer, options->loop, TLS_CHECK_MS * NS_PER_MS,
                             TLS_CHECK_MS * NS_PER_MS, on_tls, f, e);
    if (rc < 0)
        f = follow_free(f);
    *ret = f;
    return rc;
}

struct follow *follow_free(struct follow *f) {
    if (f != NULL) {
        disconnect(f);
        net_timer_stop(&f->timer);
        net_timer_stop(&f->tls_timer);
        net_tls_free(f->tls);
        drop_wanted(f, f->wanted.n);
        vec_done(&f->wanted);
        mem_free(f->identity);
        mem_free(f->server_name);
        mem_free(f);
    }
    return NULL;
}

enum follow_state follow_state(const struct follow *f) {
    return f->phase == IDLE ? FOLLOW_NOBODY : f->phase == LIVE ? FOLLOW_LIVE : FOLLOW_CONNECTING;
}

struct follow_stats follow_stats(const struct follow *f) {
    return f->stats;
}
