// SPDX-License-Identifier: Apache-2.0
/* What the benchmarks of scraped pages share: a server in a process of its own, time, memory. */
#pragma once

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/http_server.h"
#include "net/loop.h"

static inline void die(const char *what, const struct err *e) {
    fprintf(stderr, "%s: %s\n", what, e ? e->msg : "failed");
    exit(1);
}

static inline void serve(int port_fd, void (*answer)(struct http_request *r, void *ctx),
                         unsigned connections) {
    const struct http_route routes[] = {{"GET", "/metrics", answer}, {NULL, NULL, NULL}};
    struct http_server_options o = {
        .listen = "0.0.0.0:0", .max_connections = connections + 64, .routes = routes};
    struct http_server *s;
    struct err e = {0};
    uv_loop_t loop;
    uv_loop_init(&loop);
    if (http_server_open(&s, &loop, &o, &e) < 0)
        die("server", &e);
    uint16_t port = ntohs(http_server_addr(s)->in.sin_port);
    if (write(port_fd, &port, sizeof(port)) != sizeof(port))
        die("pipe", NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
}

// Serves /metrics by `answer` in another process. Ended by end_beside().
static inline pid_t serve_beside(void (*answer)(struct http_request *r, void *ctx),
                                 unsigned connections, uint16_t *ret_port) {
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe", NULL);
    pid_t child = fork();
    if (child == 0) {
        serve(ends[1], answer, connections);
        _exit(0);
    }
    if (read(ends[0], ret_port, sizeof(*ret_port)) != sizeof(*ret_port))
        die("the other process ended", NULL);
    return child;
}

static inline void end_beside(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static inline void all_descriptors(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static inline void stop_loop(void *ctx) {
    uv_stop(ctx);
}
static inline void run_for(uv_loop_t *loop, int64_t ns) {
    struct net_timer *timer;
    if (net_timer_start(&timer, loop, ns, 0, stop_loop, loop, NULL) < 0)
        die("timer", NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    net_timer_stop(&timer);
}

static inline long rss_kib(void) {
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
