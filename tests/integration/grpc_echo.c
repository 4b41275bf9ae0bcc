// SPDX-License-Identifier: Apache-2.0
/*
 * A gRPC server and client for tests, not installed.
 *
 *   grpc_echo server [--listen A] [--cert F --key F] [--ca F] [--age MS] [--grace MS]
 *   grpc_echo protobuf    (lines "TYPE HEX" in: unpacked, packed again, HEX out, or "error: ...")
 *   grpc_echo client --to A [--tls-name N --ca F [--cert F --key F]] [--method unary|stream]
 *             [--calls N] [--parallel N] [--count N] [--size N] [--delay MS] [--timeout MS]
 *             [--status N] [--text S]
 *
 * The server logs `msg=listening server=grpc addr=...`, answers the service of echo.proto, turns
 * not serving on SIGUSR1 and back on SIGUSR2, prints its counters and ends on SIGTERM. The client
 * prints one line a status: `status=NAME calls=N messages=N bytes=N last="..."`.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "echo.desc.h"
#include "echo.pb-c.h"
#include "externalscaler.pb-c.h"
#include "health.pb-c.h"
#include "node.pb-c.h"
#include "reflection.pb-c.h"
#include "reflection_v1alpha.pb-c.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "net/pb.h"

typedef Gpuscale__Test__EchoRequest echo_request;
typedef Gpuscale__Test__EchoResponse echo_response;

static uv_loop_t loop;

static void die(const struct err *e) {
    fprintf(stderr, "level=error msg=\"%s\"\n", e->msg);
    exit(1);
}

/* Server */

struct later { // an answer that is not given at once
    struct grpc_call *call;
    const echo_request *request;
    struct net_timer *timer;
    uint32_t seq;
};

static uint8_t *payload_of(size_t n) {
    uint8_t *p = mem_alloc(n + 1);
    if (!p)
        abort();
    memset(p, 'x', n);
    return p;
}

static void fill_response(echo_response *r, const echo_request *q, uint8_t *payload) {
    gpuscale__test__echo_response__init(r);
    r->text = q->text;
    r->has_payload = q->size > 0;
    r->payload = (ProtobufCBinaryData){q->size, payload};
}

static int send_one(struct later *l) {
    echo_response r;
    uint8_t *payload CLEANUP_FREE = payload_of(l->request->size);
    fill_response(&r, l->request, payload);
    r.has_seq = true;
    r.seq = ++l->seq;
    return grpc_call_send(l->call, &r.base);
}

static void reply(struct grpc_call *call, const echo_request *q) {
    echo_response r;
    if (q->status != 0) {
        grpc_call_finish(call, q->status, "%s", q->message ? q->message : "");
        return;
    }
    uint8_t *payload CLEANUP_FREE = payload_of(q->size);
    fill_response(&r, q, payload);
    char name[256];
    snprintf(name, sizeof(name), "%s", grpc_call_peer_name(call));
    if (!name[0])
        net_addr_format(grpc_call_peer(call), name, sizeof(name));
    r.peer = name;
    grpc_call_reply(call, &r.base);
}

static void later_free(struct later *l) {
    net_timer_stop(&l->timer);
    mem_free(l);
}

static void later_ended(struct grpc_call *call, void *ctx) {
    later_free(ctx);
}

static struct later *later_new(struct grpc_call *call, const echo_request *q, net_timer_fn fn) {
    struct later *l = mem_zalloc(sizeof(*l));
    if (!l)
        abort();
    l->call = call;
    l->request = q;
    grpc_call_on_end(call, later_ended, l);
    int64_t ns = q->delay_ms * NS_PER_MS;
    if (net_timer_start(&l->timer, &loop, ns, ns, fn, l, NULL) < 0)
        abort();
    return l;
}

static void reply_later(void *ctx) {
    struct later *l = ctx;
    struct grpc_call *call = l->call;
    const echo_request *q = l->request;
    later_free(l);
    reply(call, q);
}

static void unary(struct grpc_call *call, const ProtobufCMessage *m, void *ctx) {
    const echo_request *q = (const echo_request *)m;
    if (q->delay_ms > 0)
        later_new(call, q, reply_later);
    else
        reply(call, q);
}

static void stream_tick(void *ctx) {
    struct later *l = ctx;
    struct grpc_call *call = l->call;
    const echo_request *q = l->request;
    int status = GRPC_OK;
    if (send_one(l) < 0)
        status = GRPC_RESOURCE_EXHAUSTED;
    else if (q->count == 0 || l->seq < q->count)
        return;
    later_free(l);
    grpc_call_finish(call, q->status ? q->status : status, "%s", q->message ? q->message : "");
}

static void stream(struct grpc_call *call, const ProtobufCMessage *m, void *ctx) {
    const echo_request *q = (const echo_request *)m;
    struct later *l;
    if (q->delay_ms > 0) {
        l = later_new(call, q, stream_tick);
        send_one(l);
        return;
    }
    struct later now = {.call = call, .request = q};
    int err = 0;
    while (err == 0 && (q->fill || now.seq < q->count))
        err = send_one(&now);
    grpc_call_finish(call, err < 0 ? GRPC_RESOURCE_EXHAUSTED : q->status, "%s",
                     err < 0      ? "the client does not read"
                     : q->message ? q->message
                                  : "");
}

static struct grpc_server *server;
static uint32_t grace_ms = 5000;
static uint64_t observed[17];

static void observe(void *ctx, const char *method, int status, int64_t took_ns) {
    observed[status]++;
}

static void on_done(void *ctx) {
    uv_stop(&loop);
}

static void on_signal(uv_signal_t *handle, int signum) {
    struct grpc_server_stats s = grpc_server_stats(server);
    if (signum == SIGUSR1 || signum == SIGUSR2) {
        grpc_server_set_serving(server, "", signum == SIGUSR2);
        grpc_server_set_serving(server, "gpuscale.test.Echo", signum == SIGUSR2);
        fprintf(stderr,
                "level=info msg=stats connections=%u streams=%u calls=%llu protocol_errors=%llu "
                "handshake_failures=%llu ok=%llu cancelled=%llu\n",
                s.connections, s.streams, (unsigned long long)s.calls,
                (unsigned long long)s.protocol_errors, (unsigned long long)s.handshake_failures,
                (unsigned long long)observed[GRPC_OK],
                (unsigned long long)observed[GRPC_CANCELLED]);
        return;
    }
    uv_signal_stop(handle);
    grpc_server_close(server, grace_ms, on_done, NULL);
}

static const struct grpc_method methods[] = {
    {.name = "Unary", .request = &gpuscale__test__echo_request__descriptor, .handle = unary},
    {.name = "Stream",
     .request = &gpuscale__test__echo_request__descriptor,
     .streams = true,
     .handle = stream},
};
static const struct grpc_service echo = {
    .name = "gpuscale.test.Echo",
    .methods = methods,
    .n_methods = COUNT_OF(methods),
    .descriptor_set = echo_desc,
    .descriptor_set_len = sizeof(echo_desc),
};

static void run_server(const char *listen, struct net_tls *tls, uint32_t age_ms) {
    const struct grpc_service *const services[] = {&echo, NULL};
    struct grpc_server_options o = {
        .listen = listen,
        .tls = tls,
        .max_connections = 12000,
        .services = services,
        .max_connection_age_ms = age_ms,
        .observe = observe,
    };
    struct err e = {0};
    char text[256];
    uv_signal_t signals[4];
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    if (grpc_server_open(&server, &loop, &o, &e) < 0)
        die(&e);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        uv_signal_init(&loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    net_addr_format(grpc_server_addr(server), text, sizeof(text));
    fprintf(stderr, "level=info msg=listening server=grpc addr=%s\n", text);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
}

/* Client */

static struct {
    struct grpc_channel *channel;
    const char *method;
    echo_request request;
    unsigned calls, parallel, started, ended;
    uint32_t timeout_ms;
    uint64_t statuses[17], messages, bytes;
    char last[1100];
    bool closed;
} client = {.method = "/gpuscale.test.Echo/Unary", .calls = 1, .parallel = 1};

static void start_calls(void);

static void on_message(void *ctx, const ProtobufCMessage *m) {
    client.messages++;
    client.bytes += ((const echo_response *)m)->payload.len;
}

static void on_finished(void *ctx, int status, const char *message) {
    client.statuses[status]++;
    client.ended++;
    snprintf(client.last, sizeof(client.last), "%s", message);
    if (client.ended == client.calls)
        grpc_channel_free(client.channel);
    else if (!client.closed)
        start_calls();
}

static void start_calls(void) {
    struct grpc_client_call_options o = {
        .method = client.method,
        .request = &client.request.base,
        .response = &gpuscale__test__echo_response__descriptor,
        .timeout_ms = client.timeout_ms,
        .message = on_message,
        .finished = on_finished,
    };
    while (client.started < client.calls && client.started - client.ended < client.parallel) {
        struct grpc_client_call *call;
        struct err e = {0};
        if (grpc_client_call_start(&call, client.channel, &o, &e) < 0) {
            fprintf(stderr, "level=error msg=\"%s\"\n", e.msg);
            return;
        }
        client.started++;
    }
}

static void on_channel_closed(void *ctx, const struct err *why) {
    fprintf(stderr, "level=info msg=closed code=%d why=\"%s\"\n", why->code, why->msg);
    client.closed = true;
    grpc_channel_free(client.channel);
}

static void run_client(const char *to, struct net_tls *tls, const char *name) {
    struct grpc_channel_options o = {
        .tls = tls,
        .server_name = name,
        .connect_ms = 5000,
        .closed = on_channel_closed,
    };
    struct err e = {0};
    if (net_addr_parse(str_from(to), &o.to, &e) < 0 ||
        grpc_channel_open(&client.channel, &loop, &o, &e) < 0)
        die(&e);
    start_calls();
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i <= GRPC_UNAUTHENTICATED; i++)
        if (client.statuses[i] > 0)
            printf("status=%s calls=%llu messages=%llu bytes=%llu last=\"%s\"\n",
                   grpc_status_name(i), (unsigned long long)client.statuses[i],
                   (unsigned long long)client.messages, (unsigned long long)client.bytes,
                   client.last);
}

/* Protobuf */

static const ProtobufCMessageDescriptor *const types[] = {
    &externalscaler__scaled_object_ref__descriptor,
    &externalscaler__get_metrics_request__descriptor,
    &externalscaler__get_metrics_response__descriptor,
    &externalscaler__get_metric_spec_response__descriptor,
    &externalscaler__is_active_response__descriptor,
    &gpuscale__v1__watch_request__descriptor,
    &gpuscale__v1__node_state__descriptor,
    &grpc__health__v1__health_check_request__descriptor,
    &grpc__health__v1__health_check_response__descriptor,
    &grpc__reflection__v1__server_reflection_request__descriptor,
    &grpc__reflection__v1__server_reflection_response__descriptor,
    &grpc__reflection__v1alpha__server_reflection_request__descriptor,
    &grpc__reflection__v1alpha__server_reflection_response__descriptor,
    &gpuscale__test__echo_request__descriptor,
    &gpuscale__test__echo_response__descriptor,
};

static int hex_digit(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void repack(const char *type, char *hex) {
    struct arena arena CLEANUP_ARENA;
    struct err e = {0};
    ProtobufCMessage *m;
    size_t n = strlen(hex) / 2, i = 0;
    uint8_t *bytes = (uint8_t *)hex; // in place
    for (size_t k = 0; k < n; k++)
        bytes[k] = (uint8_t)(hex_digit(hex[2 * k]) << 4 | hex_digit(hex[2 * k + 1]));
    while (i < COUNT_OF(types) && strcmp(types[i]->name, type) != 0)
        i++;
    arena_init(&arena, SIZE_MAX / 2);
    if (i == COUNT_OF(types)) {
        printf("error: no type %s\n", type);
    } else if (pb_unpack(&m, types[i], bytes, n, &arena, &e) < 0) {
        printf("error: %s: %s\n", err_code_name(e.code), e.msg);
    } else {
        uint8_t *out = payload_of(protobuf_c_message_get_packed_size(m));
        n = protobuf_c_message_pack(m, out);
        for (size_t k = 0; k < n; k++)
            printf("%02x", out[k]);
        printf("\n");
        mem_free(out);
    }
}

static int run_protobuf(void) {
    char *line = NULL, *hex;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        line[n - 1] = '\0';
        hex = strchr(line, ' ');
        *hex++ = '\0';
        repack(line, hex);
    }
    free(line);
    return 0;
}

enum {
    OPT_LISTEN = 256,
    OPT_CERT,
    OPT_KEY,
    OPT_CA,
    OPT_AGE,
    OPT_GRACE,
    OPT_TO,
    OPT_NAME,
    OPT_METHOD,
    OPT_CALLS,
    OPT_PARALLEL,
    OPT_COUNT,
    OPT_SIZE,
    OPT_DELAY,
    OPT_TIMEOUT,
    OPT_STATUS,
    OPT_TEXT
};

static const struct option options[] = {
    {"listen", 1, NULL, OPT_LISTEN},
    {"cert", 1, NULL, OPT_CERT},
    {"key", 1, NULL, OPT_KEY},
    {"ca", 1, NULL, OPT_CA},
    {"age", 1, NULL, OPT_AGE},
    {"grace", 1, NULL, OPT_GRACE},
    {"to", 1, NULL, OPT_TO},
    {"tls-name", 1, NULL, OPT_NAME},
    {"method", 1, NULL, OPT_METHOD},
    {"calls", 1, NULL, OPT_CALLS},
    {"parallel", 1, NULL, OPT_PARALLEL},
    {"count", 1, NULL, OPT_COUNT},
    {"size", 1, NULL, OPT_SIZE},
    {"delay", 1, NULL, OPT_DELAY},
    {"timeout", 1, NULL, OPT_TIMEOUT},
    {"status", 1, NULL, OPT_STATUS},
    {"text", 1, NULL, OPT_TEXT},
    {0},
};

int main(int argc, char **argv) {
    struct net_tls_files files = {0};
    const char *listen = "127.0.0.1:0", *to = NULL, *name = NULL;
    char method[64];
    uint32_t age_ms = 0;
    struct net_tls *tls = NULL;
    struct err e = {0};
    bool serve = argc > 1 && strcmp(argv[1], "server") == 0;
    if (argc > 1 && strcmp(argv[1], "protobuf") == 0)
        return run_protobuf();
    gpuscale__test__echo_request__init(&client.request);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned n = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case OPT_LISTEN:
            listen = optarg;
            break;
        case OPT_CERT:
            files.cert = optarg;
            break;
        case OPT_KEY:
            files.key = optarg;
            break;
        case OPT_CA:
            files.ca = optarg;
            break;
        case OPT_AGE:
            age_ms = n;
            break;
        case OPT_GRACE:
            grace_ms = n;
            break;
        case OPT_TO:
            to = optarg;
            break;
        case OPT_NAME:
            name = optarg;
            break;
        case OPT_METHOD:
            snprintf(method, sizeof(method), "/gpuscale.test.Echo/%s", optarg);
            client.method = method;
            break;
        case OPT_CALLS:
            client.calls = n;
            break;
        case OPT_PARALLEL:
            client.parallel = n;
            break;
        case OPT_COUNT:
            client.request.has_count = true;
            client.request.count = n;
            break;
        case OPT_SIZE:
            client.request.has_size = true;
            client.request.size = n;
            break;
        case OPT_DELAY:
            client.request.has_delay_ms = true;
            client.request.delay_ms = n;
            break;
        case OPT_TIMEOUT:
            client.timeout_ms = n;
            break;
        case OPT_STATUS:
            client.request.has_status = true;
            client.request.status = (int)n;
            break;
        case OPT_TEXT:
            client.request.text = optarg;
            break;
        default:
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    if ((serve ? files.cert : name) &&
        net_tls_new(&tls, serve ? NET_TLS_SERVER : NET_TLS_CLIENT, NET_TLS_ALPN_H2, &files, &e) < 0)
        die(&e);
    if (serve)
        run_server(listen, tls, age_ms);
    else
        run_client(to ? to : "", tls, name);
    net_loop_drain_close(&loop);
    net_tls_free(tls);
    return 0;
}
