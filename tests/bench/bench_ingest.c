// SPDX-License-Identifier: Apache-2.0
/*
 * Ingest (budget: 10,000 nodes x 8 GPUs x 1/s on one core, 512 MiB plain):
 *   1. messages decoded and merged as a stream does, without one, 10,000 nodes in turn;
 *   2. real streams over loopback from another process, at as many as the machine's descriptors
 *      allow (bench_ingest STREAMS), CPU of this side only.
 */
#include <arpa/inet.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/grpc_server.h"
#include "net/loop.h"
#include "net/pb.h"
#include "source/agent_gpus.h"

enum { GPUS = 8, NODES = 10000, VALUES = 14, STREAMS = 1000, SECONDS = 10 };

static uint64_t told;

static void on_gpu(void *ctx, const struct agents_gpu *g, unsigned changed, void **user) {
    told++;
}
static const struct agents_ops ops = {.gpu = on_gpu};

// Bytes of a NodeState of one node: a full one, or one with all readings changed, or ages alone.
// `seq` 0 leaves the number out: it can be appended.
enum kind { FULL, CHANGED, AGES };
static size_t pack(enum kind kind, unsigned node, uint64_t seq, double value, uint8_t *to) {
    Gpuscale__V1__NodeState m = GPUSCALE__V1__NODE_STATE__INIT;
    Gpuscale__V1__Gpu gpu[GPUS], *gpus[GPUS];
    Gpuscale__V1__GpuInfo info[GPUS];
    Gpuscale__V1__Owner owner[GPUS], *owners[GPUS];
    double values[GPUS][VALUES];
    uint32_t ids[GPUS], ages[GPUS];
    char uuid[GPUS][48], pod[GPUS][64], boot[32], name[32], namespace_[] = "inference";
    char model[] = "NVIDIA H100 80GB HBM3", driver[] = "550.144.03", bus[] = "00000000:1B:00.0";
    snprintf(boot, sizeof(boot), "boot-%08x", node);
    snprintf(name, sizeof(name), "gpu-node-%u", node);
    m.boot_id = boot;
    m.has_seq = seq > 0;
    m.seq = seq;
    m.has_full = true;
    m.full = kind == FULL;
    m.node = kind == FULL ? name : NULL;
    m.has_interval_ms = true;
    m.interval_ms = 1000;
    for (uint32_t i = 0; i < GPUS; i++) {
        gpuscale__v1__gpu__init(gpus[i] = &gpu[i]);
        gpu[i].has_id = true;
        gpu[i].id = ids[i] = i + 1;
        ages[i] = 10 + i;
        gpuscale__v1__gpu_info__init(&info[i]);
        snprintf(uuid[i], sizeof(uuid[i]), "GPU-%08x-0000-4000-8000-%012x", node, i);
        info[i].uuid = uuid[i];
        info[i].model = model;
        info[i].driver_version = driver;
        info[i].pci_bus_id = bus;
        gpu[i].info = kind == FULL ? &info[i] : NULL;
        gpu[i].has_valid = true;
        gpu[i].valid = (1u << VALUES) - 1;
        gpu[i].values = values[i];
        gpu[i].n_values = VALUES;
        for (int k = 0; k < VALUES; k++)
            values[i][k] = value + k;
        gpuscale__v1__owner__init(owners[i] = &owner[i]);
        snprintf(pod[i], sizeof(pod[i]), "chat-7d9c5b6f4-%05u", node * GPUS + i);
        owner[i].namespace_ = namespace_;
        owner[i].pod = pod[i];
        gpu[i].has_owners_known = gpu[i].owners_known = true;
        gpu[i].owners = &owners[i];
        gpu[i].n_owners = 1;
    }
    m.gpus = gpus;
    m.n_gpus = kind == AGES ? 0 : GPUS;
    m.age_id = ids;
    m.age_ms = ages;
    m.n_age_id = m.n_age_ms = GPUS;
    return gpuscale__v1__node_state__pack(&m, to);
}

static size_t append_seq(uint8_t *to, uint64_t seq) {
    Gpuscale__V1__NodeState m = GPUSCALE__V1__NODE_STATE__INIT;
    m.has_seq = true;
    m.seq = seq;
    return gpuscale__v1__node_state__pack(&m, to);
}

static void die(const char *what, const struct err *e) {
    fprintf(stderr, "%s: %s\n", what, e ? e->msg : "failed");
    exit(1);
}

static void merge(struct agent_node *node, struct arena *arena, const uint8_t *p, size_t n,
                  int64_t now) {
    ProtobufCMessage *m;
    struct err e = {0};
    arena_reset(arena);
    if (pb_unpack(&m, &gpuscale__v1__node_state__descriptor, p, n, arena, &e) < 0 ||
        agent_node_merge(node, (Gpuscale__V1__NodeState *)m, now, &e) < 0)
        die("merge", &e);
}

static void decode_and_merge(void) {
    static struct agent_node nodes[NODES];
    static uint8_t bytes[16384];
    struct agent_gpus gpus;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    agent_gpus_init(&gpus, &ops, NULL);
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < NODES; i++) {
        agent_node_init(&nodes[i], &gpus);
        size_t n = pack(FULL, i, 1, 1, bytes);
        merge(&nodes[i], &arena, bytes, n, NS_PER_S);
    }
    printf("table: %u nodes x %d GPUs, %.0f bytes a node\n", NODES, GPUS,
           (double)(mallinfo2().uordblks - before) / NODES + sizeof(struct agent_node));
    static const char *const names[] = {"", "all readings changed", "ages alone"};
    for (enum kind kind = CHANGED; kind <= AGES; kind++) {
        int64_t cpu = 0, rounds = 0;
        size_t n = 0;
        told = 0;
        while (cpu < 2 * NS_PER_S) {
            // The bytes are made outside of what is measured.
            uint8_t(*all)[2048] = malloc(sizeof(*all) * NODES);
            size_t *sizes = malloc(sizeof(*sizes) * NODES);
            for (unsigned i = 0; i < NODES; i++)
                n += sizes[i] = pack(kind, i, nodes[i].seq + 1, (double)(rounds % 50), all[i]);
            int64_t start = clock_thread_cpu_ns();
            for (unsigned i = 0; i < NODES; i++)
                merge(&nodes[i], &arena, all[i], sizes[i], (2 + rounds) * NS_PER_S);
            cpu += clock_thread_cpu_ns() - start;
            rounds++;
            free(all);
            free(sizes);
        }
        double messages = (double)rounds * NODES;
        printf("decode and merge, %s: %.0f messages/s a core (%.1f us, %.0f bytes, %.1f GPUs told "
               "each)\n",
               names[kind], messages / ((double)cpu / 1e9), (double)cpu / 1e3 / messages,
               (double)n / messages, (double)told / messages);
    }
    for (unsigned i = 0; i < NODES; i++)
        agent_node_done(&nodes[i]);
    agent_gpus_done(&gpus);
    arena_done(&arena);
}

// The other process: a server whose streams each play a node.
struct player {
    struct grpc_call **calls;
    uint64_t *seqs;
    unsigned n;
    uint64_t tick;
};

static void play_one(struct player *p, unsigned i, enum kind kind) {
    static uint8_t bytes[16384];
    size_t n = pack(kind, i, 0, (double)(p->tick % 50), bytes);
    n += append_seq(bytes + n, ++p->seqs[i]);
    if (p->calls[i])
        grpc_call_send_packed(p->calls[i], bytes, n);
}

static void play_end(struct grpc_call *c, void *ctx) {
    struct player *p = ctx;
    for (unsigned i = 0; i < p->n; i++) {
        if (p->calls[i] == c)
            p->calls[i] = NULL;
    }
}

static void play_watch(struct grpc_call *c, const ProtobufCMessage *request, void *ctx) {
    struct player *p = ctx;
    p->calls[p->n] = c;
    grpc_call_on_end(c, play_end, p);
    play_one(p, p->n++, FULL);
}

static void play_tick(void *ctx) {
    struct player *p = ctx;
    p->tick++;
    for (unsigned i = p->tick % 10; i < p->n; i += 10) // a tenth of the nodes each 100 ms
        play_one(p, i, CHANGED);
}

static void play(unsigned streams, int port_fd) {
    static struct player p;
    p.calls = calloc(2 * streams, sizeof(*p.calls));
    p.seqs = calloc(2 * streams, sizeof(*p.seqs));
    static const struct grpc_method methods[] = {
        {.name = "Watch",
         .request = &gpuscale__v1__watch_request__descriptor,
         .streams = true,
         .handle = play_watch}};
    static struct grpc_service service = {
        .name = "gpuscale.v1.Node", .methods = methods, .n_methods = 1, .ctx = &p};
    static const struct grpc_service *services[] = {&service, NULL};
    struct grpc_server_options o = {
        .listen = "0.0.0.0:0", .max_connections = LIMIT_GRPC_CONNECTIONS, .services = services};
    struct grpc_server *s;
    struct net_timer *timer;
    struct err e = {0};
    uv_loop_t loop;
    uv_loop_init(&loop);
    if (grpc_server_open(&s, &loop, &o, &e) < 0 ||
        net_timer_start(&timer, &loop, 0, 100 * NS_PER_MS, play_tick, &p, &e) < 0)
        die("server", &e);
    uint16_t port = ntohs(grpc_server_addr(s)->in.sin_port);
    if (write(port_fd, &port, sizeof(port)) != sizeof(port))
        die("pipe", NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
}

// One name with as many addresses as streams: 127.0.0.1, 127.0.0.2, ... are all this machine.
struct many {
    unsigned n;
    struct net_timer *timer;
    void (*done)(void *, const struct sockaddr_storage *, size_t, const struct err *);
    void *arg;
};
static void many_done(void *ctx) {
    struct many *m = ctx;
    net_timer_stop(&m->timer);
    struct sockaddr_storage *all = calloc(m->n, sizeof(*all));
    for (unsigned i = 0; i < m->n; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *)&all[i];
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(0x7f000001u + i);
    }
    m->done(m->arg, all, m->n, NULL);
    free(all);
}
static int many_start(void *ctx, uv_loop_t *loop, const char *host,
                      void (*done)(void *, const struct sockaddr_storage *, size_t,
                                   const struct err *),
                      void *arg, void **ret, struct err *e) {
    struct many *m = ctx;
    m->done = done;
    m->arg = arg;
    *ret = m;
    return net_timer_start(&m->timer, loop, 0, 0, many_done, m, e);
}
static void many_cancel(void *ctx, void *request) {
    net_timer_stop(&((struct many *)request)->timer);
}

static void stop(void *ctx) {
    uv_stop(ctx);
}
static void run_for(uv_loop_t *loop, int64_t ns) {
    struct net_timer *timer;
    if (net_timer_start(&timer, loop, ns, 0, stop, loop, NULL) < 0)
        die("timer", NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    net_timer_stop(&timer);
}

static long rss_kib(void) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib;
}

static void over_streams(unsigned streams, uint16_t port) {
    struct many many = {.n = streams};
    struct agents_resolver resolver = {many_start, many_cancel, &many};
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct agents_options o = {.loop = &loop,
                               .ops = &ops,
                               .seed = 1,
                               .resolver = &resolver,
                               .resolve_interval_ns = 3600 * NS_PER_S};
    struct agents *agents;
    struct err e = {0};
    char target[64];
    const char *targets[] = {target};
    snprintf(target, sizeof(target), "nodes.test:%u", port);
    long before = rss_kib();
    if (agents_new(&agents, &o, &e) < 0 || agents_set_targets(agents, targets, 1, &e) < 0)
        die("agents", &e);
    int64_t cpu = clock_process_cpu_ns(), start = clock_mono_ns();
    while (agents_stats(agents).connected < streams && clock_mono_ns() - start < 60 * NS_PER_S)
        run_for(&loop, 50 * NS_PER_MS);
    struct agents_stats first = agents_stats(agents);
    printf("connect: %zu of %u streams, %.1f s, %.0f us of CPU each\n", first.connected, streams,
           (double)(clock_mono_ns() - start) / 1e9,
           (double)(clock_process_cpu_ns() - cpu) / 1e3 / streams);
    run_for(&loop, 2 * NS_PER_S);
    first = agents_stats(agents);
    cpu = clock_process_cpu_ns();
    run_for(&loop, SECONDS * NS_PER_S);
    cpu = clock_process_cpu_ns() - cpu;
    struct agents_stats last = agents_stats(agents);
    double messages = (double)(last.messages - first.messages);
    printf("streams: %.0f messages in %d s, all readings changed: %.0f messages/s a core (%.1f us "
           "each), "
           "%zu GPUs, %lu streams lost\n",
           messages, SECONDS, messages / ((double)cpu / 1e9), (double)cpu / 1e3 / messages,
           last.gpus, (unsigned long)last.losses);
    long kib = rss_kib() - before;
    printf("memory: %.1f KiB a node with its connection; 10,000 nodes: %.0f MiB\n",
           (double)kib / streams, (double)kib / streams * 10000 / 1024);
    agents_free(agents);
    run_for(&loop, NS_PER_S);
}

int main(int argc, char **argv) {
    unsigned streams = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : STREAMS;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (streams + 64 > files.rlim_cur)
        streams = (unsigned)files.rlim_cur - 64;
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe", NULL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        play(streams, ends[1]);
        return 0;
    }
    uint16_t port = 0;
    if (read(ends[0], &port, sizeof(port)) != sizeof(port))
        die("the other process ended", NULL);
    over_streams(streams, port);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    decode_and_merge();
    return 0;
}
