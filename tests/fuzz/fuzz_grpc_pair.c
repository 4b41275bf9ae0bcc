// SPDX-License-Identifier: Apache-2.0
/*
 * Our client's connection wired to our server's: the bytes choose when calls begin, what the server
 * answers, who gives up, how time passes and how many bytes travel at once. Every call ends exactly
 * once or was cancelled; messages arrive whole and in order; where nothing but the server ended a
 * call, its status and text are what the server said.
 */
#include "fuzz_grpc.h"
#include "net/grpc_link.h"

enum { CALLS = 24, ROUNDS_MAX = 100000 };

struct one {
    struct grpc_client_call *client; // NULL: over
    struct grpc_call *server;        // NULL: not there, or over
    unsigned sent, got;
    int status; // that the server said; -1: nothing
    size_t text_n;
    bool over, cancelled, cut; // cut: by the server's side of the connection, or a deadline
};

static struct one all[CALLS];
static unsigned n_calls;
static bool disturbed; // by time or a shutdown: statuses may be the connection's own
static struct grpc_host *host;
static struct grpc_conn *conn;
static struct grpc_link *client;

/* The server's side; a request's name tells which call it is */

static void on_end(struct grpc_call *c, void *ctx) {
    struct one *o = ctx;
    o->server = NULL;
    o->cut = true;
}
static void handle(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    const Externalscaler__ScaledObjectRef *r = (const void *)m;
    require(r->name && r->name[0] >= 'a' && r->name[0] < 'a' + CALLS);
    struct one *o = &all[r->name[0] - 'a'];
    require(!o->server && o->status < 0 && !o->cut);
    o->server = c;
    grpc_call_on_end(c, on_end, o);
}

static const struct grpc_method methods[] = {
    {.name = "U", .request = REF, .handle = handle},
    {.name = "W", .request = REF, .streams = true, .handle = handle},
};
static const struct grpc_service service = {.name = "s", .methods = methods, .n_methods = 2};
static const struct grpc_service *const services[] = {&service, NULL};

// The k-th message of a call is a text whose length and letters follow from k and the call.
static size_t text_of(const struct one *o, unsigned k, char text[4097]) {
    unsigned which = (unsigned)(o - all);
    size_t n = (which * 37 + k * 411) % 4096 + 1;
    memset(text, 'a' + (int)((which + k) % 26), n);
    text[n] = '\0';
    return n;
}

static void server_send(struct one *o, bool unary) {
    char text[4097];
    Externalscaler__ScaledObjectRef m = EXTERNALSCALER__SCALED_OBJECT_REF__INIT;
    text_of(o, o->sent, text);
    m.name = text;
    struct grpc_call *c = o->server;
    if (unary) {
        o->sent++;
        o->status = GRPC_OK;
        o->server = NULL;
        grpc_call_reply(c, &m.base);
    } else if (grpc_call_send(c, &m.base) == 0) {
        o->sent++;
    }
}

static void server_finish(struct one *o, int status, bool text) {
    struct grpc_call *c = o->server;
    o->status = status;
    o->text_n = text && status ? 300 : 0;
    o->server = NULL;
    if (text)
        grpc_call_finish(c, status, "%0300d %% \xc3\xbc", status);
    else
        grpc_call_finish(c, status, NULL);
}

/* The client's side */

static void on_message(void *ctx, const ProtobufCMessage *m) {
    const Externalscaler__ScaledObjectRef *r = (const void *)m;
    struct one *o = ctx;
    char text[4097];
    text_of(o, o->got++, text);
    require(!o->over && !o->cancelled && o->got <= o->sent && strcmp(r->name, text) == 0);
}

static void on_finished(void *ctx, int status, const char *message) {
    struct one *o = ctx;
    require(!o->over && !o->cancelled && message && utf8_valid(message, strlen(message)));
    o->over = true;
    o->client = NULL;
    if (disturbed || o->cut)
        return;
    bool unary = (o - all) % 2 == 0;
    require(status == o->status && o->got == o->sent);
    require(!unary || status != GRPC_OK || o->got == 1);
    require(o->text_n == 0 || strlen(message) > o->text_n);
}

static void call(unsigned how) {
    static const char *const names[] = {"/s/U", "/s/W"};
    char name[2] = {(char)('a' + n_calls), '\0'};
    Externalscaler__ScaledObjectRef m = EXTERNALSCALER__SCALED_OBJECT_REF__INIT;
    struct one *o = &all[n_calls];
    m.name = name;
    struct grpc_client_call_options c = {.method = names[n_calls % 2],
                                         .request = &m.base,
                                         .response = REF,
                                         .timeout_ms = how & 0x80 ? (how & 0x70) * 20 : 0,
                                         .message = on_message,
                                         .finished = on_finished,
                                         .ctx = o};
    *o = (struct one){.status = -1};
    if (grpc_link_start(&o->client, client, &c, NULL) < 0)
        o->over = true;
    n_calls++;
}

/* The wire */

static bool to_server(size_t max) {
    const uint8_t *p;
    size_t n = grpc_link_send(client, &p);
    for (size_t at = 0; at < n; at += max) {
        size_t piece = n - at < max ? n - at : max;
        if (grpc_conn_recv(conn, p + at, piece, NULL) < 0)
            require(grpc_conn_over(conn));
    }
    return n > 0;
}
static bool to_client(size_t max) {
    const uint8_t *p;
    size_t n = grpc_conn_send(conn, &p);
    for (size_t at = 0; at < n && !grpc_link_over(client); at += max)
        grpc_link_recv(client, p + at, n - at < max ? n - at : max, NULL);
    return n > 0;
}
static void exchange(size_t max) {
    unsigned rounds = 0;
    for (bool more = true; more; require(rounds++ < ROUNDS_MAX)) {
        more = to_server(max);
        more = to_client(max) || more;
    }
}

static void step(unsigned op, unsigned how) {
    struct one *o = n_calls > 0 ? &all[how % n_calls] : NULL;
    size_t max = how % 200 + 1;
    if (op % 8 < 2) {
        if (n_calls < CALLS)
            call(how);
    } else if (op % 8 == 2) {
        if (o && o->server)
            server_send(o, how % n_calls % 2 == 0);
    } else if (op % 8 == 3) {
        if (o && o->server && (how % n_calls % 2 == 1 || op >> 3))
            server_finish(o, how % n_calls % 2 == 1 ? (int)(op >> 3) % 17 : (int)(op >> 3) % 16 + 1,
                          op & 0x80);
    } else if (op % 8 == 4) {
        if (o && !o->over && !o->cancelled) {
            o->cancelled = true;
            grpc_client_call_cancel(o->client);
            o->client = NULL;
        }
    } else if (op % 8 == 5) {
        to_server(max);
    } else if (op % 8 == 6) {
        to_client(max);
    } else if (op == 7) {
        disturbed = true;
        grpc_conn_shutdown(conn);
    } else {
        disturbed = true;
        now_ns += how * NS_PER_MS * 20;
        deadline_run(grpc_host_deadlines(host), now_ns);
        deadline_run(grpc_link_deadlines(client), now_ns);
    }
}

static void settle(void) {
    struct err why;
    exchange(1000);
    for (unsigned i = 0; i < n_calls; i++)
        if (all[i].server)
            server_finish(&all[i], i % 16 + 1, true);
    exchange(70000);
    for (unsigned i = 0; i < n_calls; i++)
        require(all[i].over || all[i].cancelled || disturbed);
    disturbed = true;
    err_set(&why, ERR_CLOSED, "the end");
    grpc_link_lost(client, &why);
    for (unsigned i = 0; i < n_calls; i++)
        require(all[i].over || all[i].cancelled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grpc_host_options h = {
        .services = services, .clock = virtual_clock, .output = on_output};
    struct grpc_link_options l = {.authority = "x", .clock = virtual_clock, .output = on_output};
    now_ns = NS_PER_S;
    n_calls = 0;
    disturbed = false;
    require(grpc_host_new(&host, &h, NULL) == 0);
    require(grpc_conn_new(&conn, host, NULL, NULL, "", NULL) == 0);
    require(grpc_link_new(&client, &l, NULL) == 0);
    for (size_t at = 0; at + 1 < size && at < 4096; at += 2)
        step(data[at], data[at + 1]);
    settle();
    grpc_link_free(client);
    fuzz_end(host, conn);
    return 0;
}
