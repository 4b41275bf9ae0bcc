// SPDX-License-Identifier: Apache-2.0
/*
 * The server's side of a gRPC connection: any bytes after the HTTP/2 preface, in pieces (the first
 * byte says how large), with calls that are held, answered and fed from outside, and time that
 * passes. At the end nothing is left over.
 */
#include "fuzz_grpc.h"

static const struct grpc_method methods[] = {
    {.name = "U", .request = REF, .handle = handle_reply},
    {.name = "H", .request = REF, .handle = handle_hold},
    {.name = "W", .request = REF, .streams = true, .handle = handle_hold},
    {.name = "B", .request = REF, .streams = true, .client_streams = true, .handle = handle_echo},
};
static const struct grpc_service service = {.name = "s", .methods = methods, .n_methods = 4};
static const struct grpc_service *const services[] = {&service, NULL};

static void drain(struct grpc_conn *c) {
    const uint8_t *p;
    while (grpc_conn_send(c, &p) > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct grpc_host_options o = {.services = services,
                                  .max_connection_age_ms = 60000,
                                  .clock = virtual_clock,
                                  .output = on_output};
    struct grpc_host *host;
    struct grpc_conn *c;
    if (size == 0)
        return 0;
    now_ns = NS_PER_S;
    n_held = 0;
    require(grpc_host_new(&host, &o, NULL) == 0);
    require(grpc_conn_new(&c, host, NULL, NULL, "", NULL) == 0);
    grpc_conn_recv(c, (const uint8_t *)preface, sizeof(preface) - 1, NULL);
    size_t piece = (size_t)data[0] + 1;
    for (size_t at = 1; at < size && !grpc_conn_over(c); at += piece) {
        grpc_conn_recv(c, data + at, size - at < piece ? size - at : piece, NULL);
        drain(c);
        if (n_held > 0 && data[at] % 3 == 0) {
            grpc_call_send_packed(held[0], data, size < 100 ? size : 100);
        } else if (n_held > 0 && data[at] % 7 == 0) {
            struct grpc_call *done = held[0];
            forget(done);
            grpc_call_finish(done, data[at] % 17, "%s", "done");
        } else if (data[at] % 31 == 0) {
            grpc_conn_shutdown(c);
        }
        now_ns += data[at] * NS_PER_S / 4;
        deadline_run(grpc_host_deadlines(host), now_ns);
        drain(c);
    }
    require(grpc_host_stats(host).request_bytes <= LIMIT_GRPC_CONN_REQUEST_BYTES);
    fuzz_end(host, c);
    return 0;
}
