// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC: unary calls per CPU-second of the server (64 callers on one connection, a GetMetrics
 * request with eight metadata keys, an answer from memory), memory of an idle connection on either
 * side, and what a client that listens to many node streams can take; all plain and with TLS. The
 * server is a child process, so that its CPU and memory are its own.
 *
 *   bench_grpc [SECONDS [CONNECTIONS]]
 */
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_client.h"
#include "net/grpc_server.h"
#include "node.pb-c.h"

static int seconds = 3, connections = 2000;
static uv_loop_t loop;

static void die(const char *what, const struct err *e) {
    fprintf(stderr, "%s: %s\n", what, e ? e->msg : "failed");
    exit(1);
}

/* A certificate for localhost, in a folder of its own */

static char folder[64], cert_file[96], key_file[96];

static void remove_certificate(void) {
    unlink(cert_file);
    unlink(key_file);
    rmdir(folder);
}

static void make_certificate(void) {
    snprintf(folder, sizeof(folder), "/tmp/bench_grpc.XXXXXX");
    if (!mkdtemp(folder))
        die("mkdtemp", NULL);
    snprintf(cert_file, sizeof(cert_file), "%s/crt.pem", folder);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(x, san, -1);
    X509_sign(x, key, EVP_sha256());
    FILE *c = fopen(cert_file, "w"), *k = fopen(key_file, "w");
    if (!c || !k || !PEM_write_X509(c, x) ||
        !PEM_write_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL))
        die("certificate", NULL);
    fclose(c);
    fclose(k);
    X509_EXTENSION_free(san);
    X509_free(x);
    EVP_PKEY_free(key);
}

static struct net_tls *tls_of(enum net_tls_role role) {
    struct net_tls_files files = {.ca = role == NET_TLS_CLIENT ? cert_file : NULL};
    struct net_tls *tls;
    struct err e = {0};
    if (role == NET_TLS_SERVER) {
        files.cert = cert_file;
        files.key = key_file;
    }
    if (net_tls_new(&tls, role, NET_TLS_ALPN_H2, &files, &e) < 0)
        die("tls", &e);
    return tls;
}

/* The server, in a child */

static struct grpc_call *watchers[20000];
static size_t n_watchers;

static void get_metrics(struct grpc_call *call, const ProtobufCMessage *m, void *ctx) {
    const Externalscaler__GetMetricsRequest *q = (const Externalscaler__GetMetricsRequest *)m;
    Externalscaler__MetricValue value = EXTERNALSCALER__METRIC_VALUE__INIT, *values = &value;
    Externalscaler__GetMetricsResponse answer = EXTERNALSCALER__GET_METRICS_RESPONSE__INIT;
    if (!q->scaledobjectref || !q->scaledobjectref->name) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "no name");
        return;
    }
    value.metricname = q->metricname;
    value.has_metricvalue = value.has_metricvaluefloat = true;
    value.metricvalue = 7;
    value.metricvaluefloat = 6.5;
    answer.n_metricvalues = 1;
    answer.metricvalues = &values;
    grpc_call_reply(call, &answer.base);
}

static void watch_ended(struct grpc_call *call, void *ctx) {
    struct grpc_call **at = ctx;
    *at = NULL;
}

static void watch(struct grpc_call *call, const ProtobufCMessage *m, void *ctx) {
    if (n_watchers == COUNT_OF(watchers)) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "full");
        return;
    }
    grpc_call_on_end(call, watch_ended, &watchers[n_watchers]);
    watchers[n_watchers++] = call;
}

enum { GPUS = 8, VALUES = 10 };

// Eight GPUs with ten values each and their ages, as an agent sends every second.
static void send_all(void *ctx) {
    Gpuscale__V1__NodeState s = GPUSCALE__V1__NODE_STATE__INIT;
    Gpuscale__V1__Gpu gpu[GPUS], *gpus[GPUS];
    double values[VALUES];
    uint32_t ids[GPUS], ages[GPUS];
    static uint8_t packed[4096];
    static uint64_t seq;
    for (int v = 0; v < VALUES; v++)
        values[v] = v * 11.5;
    for (uint32_t i = 0; i < GPUS; i++) {
        gpuscale__v1__gpu__init(&gpu[i]);
        gpu[i].has_id = gpu[i].has_valid = true;
        gpu[i].id = ids[i] = i;
        gpu[i].valid = 0x3ff;
        gpu[i].n_values = VALUES;
        gpu[i].values = values;
        gpus[i] = &gpu[i];
        ages[i] = 12;
    }
    s.has_seq = true;
    s.seq = ++seq;
    s.n_gpus = s.n_age_id = s.n_age_ms = GPUS;
    s.gpus = gpus;
    s.age_id = ids;
    s.age_ms = ages;
    size_t n = protobuf_c_message_pack(&s.base, packed);
    for (size_t i = 0; i < n_watchers; i++)
        if (watchers[i])
            grpc_call_send_packed(watchers[i], packed, n);
}

static const struct grpc_method scaler_methods[] = {
    {.name = "GetMetrics",
     .request = &externalscaler__get_metrics_request__descriptor,
     .handle = get_metrics},
};
static const struct grpc_method node_methods[] = {
    {.name = "Watch",
     .request = &gpuscale__v1__watch_request__descriptor,
     .streams = true,
     .handle = watch},
};
static const struct grpc_service scaler = {
    .name = "externalscaler.ExternalScaler", .methods = scaler_methods, .n_methods = 1};
static const struct grpc_service node = {
    .name = "gpuscale.v1.Node", .methods = node_methods, .n_methods = 1};

static void serve(bool tls, int port_fd, int64_t stream_every_ns) {
    const struct grpc_service *const services[] = {&scaler, &node, NULL};
    struct grpc_server_options o = {
        .listen = "127.0.0.1:0", .max_connections = 20000, .services = services};
    struct grpc_server *server;
    struct net_timer *timer;
    struct err e = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    uv_loop_init(&loop);
    if (tls)
        o.tls = tls_of(NET_TLS_SERVER);
    if (grpc_server_open(&server, &loop, &o, &e) < 0)
        die("server", &e);
    if (stream_every_ns > 0 &&
        net_timer_start(&timer, &loop, stream_every_ns, stream_every_ns, send_all, NULL, &e) < 0)
        die("timer", &e);
    struct net_addr addr = *grpc_server_addr(server);
    if (write(port_fd, &addr, sizeof(addr)) != sizeof(addr))
        die("pipe", NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static pid_t start_server(bool tls, int64_t stream_every_ns, struct net_addr *ret) {
    int fds[2];
    if (pipe(fds) < 0)
        die("pipe", NULL);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        serve(tls, fds[1], stream_every_ns);
        _exit(0);
    }
    close(fds[1]);
    if (read(fds[0], ret, sizeof(*ret)) != sizeof(*ret))
        die("server", NULL);
    close(fds[0]);
    return pid;
}

static void stop_server(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static double cpu_s(pid_t pid) { // of the process's one busy thread
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%llu", &ns) != 1)
        die(path, NULL);
    fclose(f);
    return (double)ns / 1e9;
}

static double rss_kb(pid_t pid) {
    char path[64];
    long total, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%ld %ld", &total, &resident) != 2)
        die(path, NULL);
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* The client */

static struct grpc_channel **channels;
static unsigned n_ready, n_closed;
static uint64_t n_calls, n_messages;
static bool stopping;
static Externalscaler__GetMetricsRequest request;
static const char *keys[] = {"workload", "engine",        "capacity",  "queue",
                             "kvCache",  "scalerAddress", "enableTLS", "downWindow"};
static const char *values[] = {"deployment/llm-70b",         "vllm", "3.5", "10", "90",
                               "gpuscale.gpuscale.svc:9443", "true", "300s"};

static void on_ready(void *ctx) {
    n_ready++;
}

static void on_closed(void *ctx, const struct err *why) {
    n_closed++;
    if (!stopping)
        fprintf(stderr, "channel: %s\n", why->msg);
}

static struct grpc_channel *open_channel(const struct net_addr *to, struct net_tls *tls) {
    struct grpc_channel_options o = {.to = *to,
                                     .tls = tls,
                                     .server_name = "localhost",
                                     .connect_ms = 60000,
                                     .ready = on_ready,
                                     .closed = on_closed};
    struct grpc_channel *ch;
    struct err e = {0};
    if (grpc_channel_open(&ch, &loop, &o, &e) < 0)
        die("channel", &e);
    return ch;
}

static void on_message(void *ctx, const ProtobufCMessage *m) {
    n_messages++;
}

static void call_again(void *ctx, int status, const char *message) {
    if (stopping)
        return;
    if (status != GRPC_OK)
        fprintf(stderr, "call: %s %s\n", grpc_status_name(status), message);
    struct grpc_client_call_options o = {
        .method = "/externalscaler.ExternalScaler/GetMetrics",
        .request = &request.base,
        .response = &externalscaler__get_metrics_response__descriptor,
        .message = on_message,
        .finished = call_again,
        .ctx = ctx,
    };
    struct grpc_client_call *call;
    struct err e = {0};
    n_calls++;
    if (grpc_client_call_start(&call, ctx, &o, &e) < 0)
        die("call", &e);
}

static void watch_over(void *ctx, int status, const char *message) {
}

static void start_watch(struct grpc_channel *ch) {
    Gpuscale__V1__WatchRequest q = GPUSCALE__V1__WATCH_REQUEST__INIT;
    struct grpc_client_call_options o = {
        .method = "/gpuscale.v1.Node/Watch",
        .request = &q.base,
        .response = &gpuscale__v1__node_state__descriptor,
        .message = on_message,
        .finished = watch_over,
    };
    struct grpc_client_call *call;
    struct err e = {0};
    if (grpc_client_call_start(&call, ch, &o, &e) < 0)
        die("watch", &e);
}

static void stop_loop(void *ctx) {
    uv_stop(&loop);
}

static void run_for(int64_t ns) {
    struct net_timer *timer;
    if (net_timer_start(&timer, &loop, ns, 0, stop_loop, NULL, NULL) < 0)
        die("timer", NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    net_timer_stop(&timer);
}

static void fill_request(void) {
    static Externalscaler__ScaledObjectRef ref;
    static Externalscaler__ScaledObjectRef__MetadataEntry entries[COUNT_OF(keys)];
    static Externalscaler__ScaledObjectRef__MetadataEntry *list[COUNT_OF(keys)];
    static char name[] = "llm-70b-scaler", namespace[] = "inference", metric[] = "desired-replicas";
    externalscaler__get_metrics_request__init(&request);
    externalscaler__scaled_object_ref__init(&ref);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        externalscaler__scaled_object_ref__metadata_entry__init(&entries[i]);
        entries[i].key = mem_strdup(keys[i]);
        entries[i].value = mem_strdup(values[i]);
        list[i] = &entries[i];
    }
    ref.name = name;
    ref.namespace_ = namespace;
    ref.n_scalermetadata = COUNT_OF(keys);
    ref.scalermetadata = list;
    request.scaledobjectref = &ref;
    request.metricname = metric;
}

static void bench_unary(bool tls) {
    struct net_addr addr;
    pid_t pid = start_server(tls, 0, &addr);
    struct net_tls *context = tls ? tls_of(NET_TLS_CLIENT) : NULL;
    struct grpc_channel *ch = open_channel(&addr, context);
    stopping = false;
    n_calls = 0;
    for (int i = 0; i < 64; i++)
        call_again(ch, GRPC_OK, NULL);
    run_for(NS_PER_S / 2);
    double cpu = cpu_s(pid);
    uint64_t calls = n_calls;
    int64_t start = clock_mono_ns();
    run_for(seconds * NS_PER_S);
    double wall = (double)(clock_mono_ns() - start) / 1e9;
    cpu = cpu_s(pid) - cpu;
    calls = n_calls - calls;
    printf("unary %-5s  %8.0f calls per CPU-second of the server (%8.0f/s by the clock, %.0f %% "
           "of a core)\n",
           tls ? "TLS" : "plain", (double)calls / cpu, (double)calls / wall, 100 * cpu / wall);
    stopping = true;
    grpc_channel_free(ch);
    run_for(NS_PER_S / 20);
    stop_server(pid);
    net_tls_free(context);
}

static void bench_many(bool tls) {
    struct net_addr addr;
    pid_t pid = start_server(tls, NS_PER_S, &addr);
    struct net_tls *context = tls ? tls_of(NET_TLS_CLIENT) : NULL;
    double server_kb = rss_kb(pid), client_kb = rss_kb(getpid());
    stopping = false;
    n_ready = n_closed = 0;
    for (int i = 0; i < connections; i++) {
        channels[i] = open_channel(&addr, context);
        if (i % 100 == 99)
            run_for(NS_PER_S / 50);
    }
    while (n_ready + n_closed < (unsigned)connections)
        run_for(NS_PER_S / 20);
    run_for(NS_PER_S / 2);
    printf("idle  %-5s  %6.1f KB a connection in the server, %6.1f KB in the client (%u open)\n",
           tls ? "TLS" : "plain", (rss_kb(pid) - server_kb) / connections,
           (rss_kb(getpid()) - client_kb) / connections, n_ready);
    for (int i = 0; i < connections; i++)
        start_watch(channels[i]);
    run_for(3 * NS_PER_S / 2);
    uint64_t messages = n_messages;
    double cpu = cpu_s(getpid()), server_cpu = cpu_s(pid);
    run_for(seconds * NS_PER_S);
    messages = n_messages - messages;
    cpu = cpu_s(getpid()) - cpu;
    server_cpu = cpu_s(pid) - server_cpu;
    printf(
        "watch %-5s  %8.0f messages of 8 GPUs per CPU-second of the client, %8.0f of the server; "
        "%6.1f and %6.1f KB a stream in all\n",
        tls ? "TLS" : "plain", (double)messages / cpu, (double)messages / server_cpu,
        (rss_kb(getpid()) - client_kb) / connections, (rss_kb(pid) - server_kb) / connections);
    stopping = true;
    for (int i = 0; i < connections; i++)
        grpc_channel_free(channels[i]);
    run_for(NS_PER_S / 5);
    stop_server(pid);
    net_tls_free(context);
}

int main(int argc, char **argv) {
    struct rlimit files;
    if (argc > 1)
        seconds = (int)strtol(argv[1], NULL, 10);
    if (argc > 2)
        connections = (int)strtol(argv[2], NULL, 10);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    make_certificate();
    fill_request();
    channels = mem_array((size_t)connections, sizeof(struct grpc_channel *));
    if (!channels)
        die("memory", NULL);
    for (int tls = 0; tls <= 1; tls++) {
        pid_t pid = fork(); // each in a fresh process: memory that was freed would hide in RSS
        if (pid == 0) {
            uv_loop_init(&loop);
            bench_unary(tls);
            bench_many(tls);
            fflush(stdout);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        if (status != 0) {
            remove_certificate();
            return 1;
        }
    }
    remove_certificate();
    return 0;
}
