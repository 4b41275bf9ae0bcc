// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of the server's side share: a host with a small service, one connection, a client
 * that is written frame by frame, memory for a wire, and virtual time.
 */
#pragma once

#include "h2_peer.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_conn.h"

typedef Externalscaler__ScaledObjectRef ref_t;

static int64_t now_ns;
static struct grpc_host *host;
static struct grpc_conn *conn;
static struct h2_peer peer;
static unsigned outputs, ended, observed;
static int observed_status;
static char observed_method[64];
static int64_t observed_ns;
static struct grpc_call *held; // of Later and Stream
static char said[64];          // the name in the last request
static size_t reply_bytes;

static inline int64_t virtual_clock(void) {
    return now_ns;
}
static inline void on_output(void *shell) {
    outputs++;
}
static inline void on_end(struct grpc_call *c, void *ctx) {
    ended++;
    if (held == c)
        held = NULL;
}
static inline void on_observe(void *ctx, const char *method, int status, int64_t took_ns) {
    observed++;
    observed_status = status;
    observed_ns = took_ns;
    snprintf(observed_method, sizeof(observed_method), "%s", method);
}

static inline void note(const ProtobufCMessage *m) {
    const ref_t *r = (const ref_t *)m;
    snprintf(said, sizeof(said), "%.60s", r->name ? r->name : "");
}
static inline void handle_now(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    note(m);
    char *bytes = mem_zalloc(reply_bytes + 1);
    grpc_call_reply_packed(c, bytes, reply_bytes);
    mem_free(bytes);
}
static inline void handle_fail(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    grpc_call_finish(c, GRPC_NOT_FOUND, "50 %% ü");
}
static inline void handle_hold(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    note(m);
    held = c;
    grpc_call_on_end(c, on_end, NULL);
}
static inline void handle_bidi(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    if (m)
        grpc_call_send(c, m);
    else
        grpc_call_finish(c, GRPC_OK, NULL);
}

#define REF &externalscaler__scaled_object_ref__descriptor
static const struct grpc_method methods[] = {
    {.name = "Now", .request = REF, .handle = handle_now},
    {.name = "Fail", .request = REF, .handle = handle_fail},
    {.name = "Later", .request = REF, .handle = handle_hold},
    {.name = "Stream", .request = REF, .streams = true, .handle = handle_hold},
    {.name = "Bidi",
     .request = REF,
     .streams = true,
     .client_streams = true,
     .handle = handle_bidi},
};
static const struct grpc_service service = {
    .name = "t.S", .methods = methods, .n_methods = COUNT_OF(methods)};
static const struct grpc_service *const services[] = {&service, NULL};

/* Harness */

static inline void open_host(uint32_t age_ms) {
    struct grpc_host_options o = {.services = services,
                                  .max_connection_age_ms = age_ms,
                                  .seed = 1,
                                  .observe = on_observe,
                                  .clock = virtual_clock,
                                  .output = on_output};
    assert_int_equal(grpc_host_new(&host, &o, NULL), 0);
}

static inline int setup_with_age(uint32_t age_ms) {
    now_ns = 1000 * NS_PER_S;
    outputs = ended = observed = 0;
    held = NULL;
    said[0] = '\0';
    reply_bytes = 3;
    open_host(age_ms);
    assert_int_equal(grpc_conn_new(&conn, host, &conn, NULL, "", NULL), 0);
    peer_init(&peer);
    return 0;
}
static inline int setup(void **state) {
    return setup_with_age(0);
}
static inline int teardown(void **state) {
    grpc_conn_free(conn);
    assert_int_equal(grpc_host_stats(host).streams, 0);
    assert_int_equal(grpc_host_stats(host).request_bytes, 0);
    grpc_host_free(host);
    peer_done(&peer);
    return 0;
}

static inline void collect(void) {
    const uint8_t *p;
    for (size_t n; (n = grpc_conn_send(conn, &p)) > 0;)
        peer_take(&peer, p, n);
}
// Sends what was written, `piece` bytes at a time, and collects the answer.
static inline int exchange_in(size_t piece) {
    int err = 0;
    while (peer.out.len > 0 && err == 0) {
        size_t n = peer.out.len < piece ? peer.out.len : piece;
        uint8_t *copy = mem_alloc(n); // AddressSanitizer sees what keeps a pointer into it
        memcpy(copy, peer.out.p, n);
        buf_consume(&peer.out, n);
        err = grpc_conn_recv(conn, copy, n, NULL);
        memset(copy, 0xee, n); // nor does anything see what follows
        mem_free(copy);
        collect();
    }
    buf_clear(&peer.out);
    return err;
}
static inline int exchange(void) {
    return exchange_in(SIZE_MAX);
}
static inline void pass(int64_t ns) {
    now_ns += ns;
    deadline_run(grpc_host_deadlines(host), now_ns);
    collect();
}
static inline void hello(void) {
    buf_addc(&peer.out, PREFACE);
    peer_frame(&peer, SETTINGS, 0, 0, "", 0);
}
static inline void greet(void) {
    hello();
    assert_int_equal(exchange(), 0);
    peer_clear(&peer);
}
static inline void headers_with(uint32_t stream, int flags, const char *path, const char *name,
                                const char *value) {
    const char *const fields[] = {
        ":method", "POST",       ":scheme", "http",         ":path",
        path,      ":authority", "x",       "content-type", "application/grpc",
        "te",      "trailers",   name,      value,          NULL};
    peer_headers(&peer, stream, flags, fields);
}
static inline void headers(uint32_t stream, int flags, const char *path) {
    headers_with(stream, flags, path, NULL, NULL);
}
// A whole call with the request {name: "ab"}.
static inline void call(uint32_t stream, const char *path) {
    headers(stream, 0, path);
    peer_message(&peer, stream, END_STREAM,
                 "\x0a\x02"
                 "ab",
                 4);
}
static inline void assert_status(uint32_t stream, int status) {
    char text[16];
    snprintf(text, sizeof(text), "%d", status);
    assert_string_equal(peer_header(&peer, stream, "grpc-status"), text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
