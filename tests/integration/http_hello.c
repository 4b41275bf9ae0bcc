// SPDX-License-Identifier: Apache-2.0
/*
 * A server on net/http_server for the tests and the benchmark of HTTP: a page of a given size, an
 * echo, answers that come late or are large. Logs where it listens; SIGTERM closes it gracefully,
 * and its counters go to stdout.
 *
 *     http_hello [--listen ADDR] [--cert F --key F [--ca F]] [--page FILE] [--connections N]
 *                [--head-ms N] [--body-ms N] [--idle-ms N] [--stall-ms N] [--grace-ms N]
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server.h"

enum { PAGE_BYTES = 60 << 10, LARGE_BYTES = 4 << 20 };

struct hello {
    uv_loop_t loop;
    uv_signal_t term;
    struct http_server *server;
    struct net_tls *tls;
    struct net_timer *reload;
    struct buf page;
    char *large;
    uint32_t grace_ms;
};

struct later {
    struct http_request *request;
    struct net_timer *timer;
};

static void get_hello(struct http_request *r, void *ctx) {
    char name[64];
    if (http_request_param(r, "name", name, sizeof(name)) < 0)
        http_request_answer_text(r, 200, "hello");
    else
        http_request_answer_text(r, 200, "hello %s", name);
}

static void get_page(struct http_request *r, void *ctx) {
    struct hello *h = ctx;
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "text/plain; version=0.0.4",
                                                 .body = buf_str(&h->page)});
}

static void get_large(struct http_request *r, void *ctx) {
    struct hello *h = ctx;
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "application/octet-stream",
                                                 .body = {h->large, LARGE_BYTES}});
}

static void post_echo(struct http_request *r, void *ctx) {
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "application/octet-stream",
                                                 .body = http_request_body(r)});
}

static void answer_late(void *ctx) {
    struct later *l = ctx;
    net_timer_stop(&l->timer);
    http_request_answer_text(l->request, 200, "late");
    mem_free(l);
}

static void get_late(struct http_request *r, void *ctx) {
    struct hello *h = ctx;
    char text[16];
    unsigned long long ms = 50;
    if (http_request_param(r, "ms", text, sizeof(text)) == 0)
        (void)str_to_u64(str_from(text), &ms);
    struct later *l = mem_zalloc(sizeof(*l));
    struct err e;
    if (l)
        l->request = r;
    if (!l ||
        net_timer_start(&l->timer, &h->loop, (int64_t)ms * NS_PER_MS, 0, answer_late, l, &e) < 0) {
        mem_free(l);
        http_request_answer_text(r, 503, "no memory");
    }
}

static void get_nothing(struct http_request *r, void *ctx) {
    http_request_answer(r, &(struct http_answer){.status = 204});
}

static void get_below(struct http_request *r, void *ctx) {
    struct str path = http_request_path(r);
    http_request_answer_text(r, 200, "below: " STR_FMT, STR_ARG(path));
}

static const struct http_route routes[] = {
    {"GET", "/hello", get_hello},     {"GET", "/page", get_page},
    {"GET", "/large", get_large},     {"GET", "/late", get_late},
    {"GET", "/nothing", get_nothing}, {"GET", "/below/", get_below},
    {"POST", "/echo", post_echo},     {NULL, NULL, NULL},
};

static void on_closed(void *ctx) {
    struct hello *h = ctx;
    h->server = NULL;
    net_timer_stop(&h->reload);
    uv_close((uv_handle_t *)&h->term, NULL);
}

static void on_term(uv_signal_t *term, int signum) {
    struct hello *h = term->data;
    struct http_server_stats s = http_server_stats(h->server);
    printf("requests=%llu bad=%llu timeouts=%llu refused=%llu handshakes_failed=%llu open=%u\n",
           (unsigned long long)s.requests, (unsigned long long)s.bad_requests,
           (unsigned long long)s.timeouts, (unsigned long long)s.connections_refused,
           (unsigned long long)s.handshake_failures, s.connections);
    fflush(stdout);
    uv_signal_stop(term);
    http_server_close(h->server, h->grace_ms, on_closed, h);
}

static void on_reload(void *ctx) {
    struct hello *h = ctx;
    struct err e = {0};
    int r = net_tls_reload_if_changed(h->tls, &e);
    if (r > 0)
        fprintf(stderr, "msg=reloaded\n");
    else if (r < 0)
        fprintf(stderr, "msg=\"reload failed\" error=\"%s\"\n", e.msg);
}

static int read_page(struct hello *h, const char *path, struct err *e) {
    buf_init(&h->page, LARGE_BYTES);
    if (!path) {
        while (h->page.len < PAGE_BYTES)
            if (buf_addf(&h->page, "page_value{line=\"%zu\"} 1\n", h->page.len) < 0)
                return err_set(e, ERR_NOMEM, "no memory for the page");
        return 0;
    }
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_set(e, ERR_IO, "cannot read %s", path);
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        if (buf_add(&h->page, part, n) < 0)
            break;
    fclose(f);
    return n == 0 ? 0 : err_set(e, ERR_LIMIT, "%s is too large", path);
}

struct options {
    struct http_server_options server;
    struct net_tls_files files;
    const char *page;
};

static const struct option names[] = {
    {"listen", 1, 0, 'l'},   {"cert", 1, 0, 'c'},     {"key", 1, 0, 'k'},
    {"ca", 1, 0, 'a'},       {"page", 1, 0, 'p'},     {"connections", 1, 0, 'n'},
    {"head-ms", 1, 0, 'h'},  {"body-ms", 1, 0, 'b'},  {"idle-ms", 1, 0, 'i'},
    {"stall-ms", 1, 0, 's'}, {"grace-ms", 1, 0, 'g'}, {0},
};

static bool read_options(int argc, char **argv, struct options *o, struct hello *h) {
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'l':
            o->server.listen = optarg;
            break;
        case 'c':
            o->files.cert = optarg;
            break;
        case 'k':
            o->files.key = optarg;
            break;
        case 'a':
            o->files.ca = optarg;
            break;
        case 'p':
            o->page = optarg;
            break;
        case 'n':
            o->server.max_connections = number;
            break;
        case 'h':
            o->server.timeouts.head_ms = number;
            break;
        case 'b':
            o->server.timeouts.body_ms = number;
            break;
        case 'i':
            o->server.timeouts.idle_ms = number;
            break;
        case 's':
            o->server.timeouts.stall_ms = number;
            break;
        case 'g':
            h->grace_ms = number;
            break;
        default:
            return false;
        }
    }
    return true;
}

static int start(struct hello *h, struct options *o, struct err *e) {
    int r = read_page(h, o->page, e);
    if (r < 0)
        return r;
    h->large = mem_zalloc(LARGE_BYTES);
    if (!h->large)
        return err_set(e, ERR_NOMEM, "no memory");
    if (o->files.cert) {
        r = net_tls_new(&h->tls, NET_TLS_SERVER, NET_TLS_ALPN_HTTP1, &o->files, e);
        if (r == 0)
            r = net_timer_start(&h->reload, &h->loop, 0, 50 * NS_PER_MS, on_reload, h, e);
        if (r < 0)
            return r;
    }
    o->server.tls = h->tls;
    o->server.routes = routes;
    o->server.ctx = h;
    return http_server_open(&h->server, &h->loop, &o->server, e);
}

int main(int argc, char **argv) {
    struct hello h = {.grace_ms = 2000};
    struct options o = {.server.listen = "127.0.0.1:0"};
    struct err e = {0};
    uv_loop_init(&h.loop);
    if (!read_options(argc, argv, &o, &h))
        return 2;
    if (start(&h, &o, &e) < 0) {
        fprintf(stderr, "msg=failed error=\"%s\"\n", e.msg);
        return 1;
    }
    uv_signal_init(&h.loop, &h.term);
    h.term.data = &h;
    uv_signal_start(&h.term, on_term, SIGTERM);
    char addr[NET_HOST_MAX];
    net_addr_format(http_server_addr(h.server), addr, sizeof(addr));
    fprintf(stderr, "msg=listening server=http addr=%s\n", addr);
    uv_run(&h.loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&h.loop);
    net_tls_free(h.tls);
    buf_done(&h.page);
    mem_free(h.large);
    return 0;
}
