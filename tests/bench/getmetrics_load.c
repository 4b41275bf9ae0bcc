// SPDX-License-Identifier: Apache-2.0
/*
 * Load of GetMetrics on a running scaler, as KEDA makes it: one connection, many callers, the
 * metadata of each ScaledObject in another order on each call. Prints calls a second of the
 * server's CPU time (from /proc), by its rpc thread and by the whole process, and the client's
 * latencies.
 *
 *   getmetrics_load HOST:PORT PID OBJECTS SECONDS CALLERS [CA]
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "externalscaler.pb-c.h"
#include "net/grpc_client.h"

enum { PAIRS = 8, SAMPLES_MAX = 1 << 21, CALLERS_MAX = 1024 };

typedef Externalscaler__ScaledObjectRef__MetadataEntry pair;

static struct {
    uv_loop_t loop;
    struct grpc_channel *channel;
    struct random random;
    int objects, callers, next;
    bool known; // every object was asked once
    int64_t end_ns;
    uint64_t done, failed;
    int running;
    float *us;
    size_t n_us;
} bench;

struct caller {
    int64_t start_ns;
};
static struct caller callers[CALLERS_MAX];

static void die(const char *what, const struct err *e) {
    fprintf(stderr, "%s: %s\n", what, e ? e->msg : "failed");
    exit(1);
}

static void start(struct caller *c);

static void finished(void *ctx, int status, const char *message) {
    struct caller *c = ctx;
    int64_t now_ns = clock_mono_ns();
    bench.running--;
    bench.done++;
    bench.failed += status != GRPC_OK;
    if (status != GRPC_OK && bench.failed == 1)
        fprintf(stderr, "first failure: %s %s\n", grpc_status_name(status), message);
    if (bench.known && bench.n_us < SAMPLES_MAX)
        bench.us[bench.n_us++] = (float)(now_ns - c->start_ns) / 1000;
    if (bench.known ? now_ns < bench.end_ns : bench.next < bench.objects)
        start(c);
}

static void start(struct caller *c) {
    static char texts[PAIRS][2][32] = {{"scalerAddress", "gpuscale.gpuscale.svc:9443"},
                                       {"enableTLS", "true"},
                                       {"engine", "vllm"},
                                       {"capacity", "2.5"},
                                       {"queue", "10"},
                                       {"kvCache", "0.85"},
                                       {"activation", "1"},
                                       {"rateWindow", "60s"}};
    pair pairs[PAIRS], *list[PAIRS];
    size_t turn = random_below(&bench.random, PAIRS);
    for (size_t i = 0; i < PAIRS; i++) {
        externalscaler__scaled_object_ref__metadata_entry__init(&pairs[i]);
        pairs[i].key = texts[i][0];
        pairs[i].value = texts[i][1];
        list[(i + turn) % PAIRS] = &pairs[i];
    }
    char name[32], ns[] = "default", metric[] = "desired-replicas";
    int i = bench.known ? (int)random_below(&bench.random, (uint64_t)bench.objects) : bench.next++;
    (void)snprintf(name, sizeof(name), "llm-%d", i);
    Externalscaler__ScaledObjectRef ref = EXTERNALSCALER__SCALED_OBJECT_REF__INIT;
    ref.name = name;
    ref.namespace_ = ns;
    ref.n_scalermetadata = PAIRS;
    ref.scalermetadata = list;
    Externalscaler__GetMetricsRequest m = EXTERNALSCALER__GET_METRICS_REQUEST__INIT;
    m.scaledobjectref = &ref;
    m.metricname = metric;
    struct grpc_client_call_options o = {
        .method = "/externalscaler.ExternalScaler/GetMetrics",
        .request = &m.base,
        .response = &externalscaler__get_metrics_response__descriptor,
        .finished = finished,
        .ctx = c,
    };
    struct grpc_client_call *call;
    struct err e = {0};
    c->start_ns = clock_mono_ns();
    if (grpc_client_call_start(&call, bench.channel, &o, &e) < 0)
        die("call", &e);
    bench.running++;
}

static void closed(void *ctx, const struct err *why) {
    die("connection", why);
}

// CPU seconds of the server's threads with this name, or of all.
static double cpu_s(const char *pid, const char *thread) {
    char path[300];
    (void)snprintf(path, sizeof(path), "/proc/%s/task", pid);
    DIR *d = opendir(path);
    if (d == NULL)
        die("no such process", NULL);
    double sum = 0;
    for (struct dirent *t; (t = readdir(d)) != NULL;) {
        char comm[64] = "";
        unsigned long long ns = 0;
        (void)snprintf(path, sizeof(path), "/proc/%s/task/%.20s/comm", pid, t->d_name);
        FILE *f = fopen(path, "r");
        if (f == NULL)
            continue;
        if (fscanf(f, "%63s", comm) != 1)
            comm[0] = '\0';
        (void)fclose(f);
        (void)snprintf(path, sizeof(path), "/proc/%s/task/%.20s/schedstat", pid, t->d_name);
        f = fopen(path, "r");
        if (f == NULL)
            continue;
        if (fscanf(f, "%llu", &ns) == 1 && (thread == NULL || strcmp(comm, thread) == 0))
            sum += (double)ns / NS_PER_S;
        (void)fclose(f);
    }
    (void)closedir(d);
    return sum;
}

static void round_of_calls(void) {
    for (int i = 0; i < bench.callers && (bench.known || bench.next < bench.objects); i++)
        start(&callers[i]);
    while (bench.running > 0)
        uv_run(&bench.loop, UV_RUN_ONCE);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    return bench.n_us ? bench.us[(size_t)(q * (double)(bench.n_us - 1))] : 0;
}

static void measure(const char *pid, double seconds) {
    int64_t start_ns = clock_mono_ns();
    double rpc = cpu_s(pid, "rpc"), all = cpu_s(pid, NULL);
    bench.done = bench.failed = 0;
    bench.end_ns = start_ns + (int64_t)(seconds * NS_PER_S);
    round_of_calls();
    double wall = (double)(clock_mono_ns() - start_ns) / NS_PER_S;
    rpc = cpu_s(pid, "rpc") - rpc;
    all = cpu_s(pid, NULL) - all;
    qsort(bench.us, bench.n_us, sizeof(*bench.us), by_value);
    printf("%d objects, %d callers: %.0f/s; per CPU-second of the process %.0f", bench.objects,
           bench.callers, (double)bench.done / wall, (double)bench.done / all);
    if (rpc > 0) // a server of ours
        printf(", of its rpc thread %.0f", (double)bench.done / rpc);
    printf("; p50 %.0f us, p99 %.0f us; %llu failed\n", quantile(0.5), quantile(0.99),
           (unsigned long long)bench.failed);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "getmetrics_load HOST:PORT PID OBJECTS SECONDS CALLERS [CA]\n");
        return 2;
    }
    long long objects, seconds = 0, n = 0;
    if (str_to_i64(str_from(argv[3]), &objects) < 0 || objects < 1 ||
        str_to_i64(str_from(argv[4]), &seconds) < 0 || str_to_i64(str_from(argv[5]), &n) < 0 ||
        n < 1 || n > CALLERS_MAX)
        die("arguments", NULL);
    bench.objects = (int)objects;
    bench.callers = (int)n;
    bench.us = mem_array(SAMPLES_MAX, sizeof(*bench.us));
    random_init(&bench.random, 1);
    struct err e = {0};
    struct grpc_channel_options o = {.connect_ms = 5000, .closed = closed};
    struct net_tls_files files = {.ca = argc > 6 ? argv[6] : NULL};
    uv_loop_init(&bench.loop);
    if (argc > 6 && net_tls_new(&o.tls, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &files, &e) < 0)
        die("tls", &e);
    o.server_name = argc > 6 ? "localhost" : NULL;
    if (net_addr_parse(str_from(argv[1]), &o.to, &e) < 0 ||
        grpc_channel_open(&bench.channel, &bench.loop, &o, &e) < 0)
        die("connect", &e);
    round_of_calls(); // every object once: bound, registered, decided
    if (bench.failed > 0)
        die("first calls", NULL);
    bench.known = true;
    measure(argv[2], (double)seconds);
    grpc_channel_free(bench.channel);
    return bench.failed > 0;
}
