// SPDX-License-Identifier: Apache-2.0
/*
 * The demo's gateway alone, for the tests and the benchmark. Lines on stdin change its replicas:
 *
 *     add NAME HOST:PORT | drain NAME | remove NAME
 *
 * and are answered on stdout with "ok" or "error REASON". Logs where it listens; SIGTERM closes it.
 *
 *     gateway_main [--listen ADDR] [--max-held N] [--max-head N] [--hold-ms N] [--answer-ms N]
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"
#include "playground/gateway.h"

enum { REPLICAS = 64 };

struct named {
    char name[64];
    struct gateway_replica *replica; // NULL: free
};

struct program {
    uv_loop_t loop;
    uv_signal_t term;
    uv_pipe_t in;
    struct gateway *gateway;
    struct buf line;
    struct named replicas[REPLICAS];
    char chunk[4096];
};

static struct named *find(struct program *p, struct str name) {
    for (unsigned i = 0; i < REPLICAS; i++) {
        if (p->replicas[i].replica && str_eqc(name, p->replicas[i].name))
            return &p->replicas[i];
    }
    return NULL;
}

static int add(struct program *p, struct str name, struct str addr, struct err *e) {
    char text[64];
    for (unsigned i = 0; i < REPLICAS; i++) {
        struct named *n = &p->replicas[i];
        if (n->replica)
            continue;
        if (str_copy(n->name, sizeof(n->name), name) < 0 || str_copy(text, sizeof(text), addr) < 0)
            return err_set(e, ERR_LIMIT, "too long");
        return gateway_add(p->gateway, n->name, text, &n->replica, e);
    }
    return err_set(e, ERR_LIMIT, "too many replicas");
}

static void command(struct program *p, struct str line) {
    struct err e = {0};
    struct str verb = str_cut(&line, ' '), name = str_cut(&line, ' ');
    struct named *n = find(p, name);
    int r = 0;
    if (str_eqc(verb, "add")) {
        r = add(p, name, line, &e);
    } else if (!n) {
        r = err_set(&e, ERR_NOTFOUND, "no replica " STR_FMT, STR_ARG(name));
    } else if (str_eqc(verb, "drain")) {
        gateway_drain(n->replica);
    } else {
        gateway_remove(n->replica);
        n->replica = NULL;
    }
    printf(r < 0 ? "error %s\n" : "ok%s\n", r < 0 ? e.msg : "");
    fflush(stdout);
}

static void in_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret) {
    struct program *p = h->data;
    (void)suggested;
    *ret = uv_buf_init(p->chunk, sizeof(p->chunk));
}

static void in_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct program *p = s->data;
    if (n < 0) {
        uv_read_stop(s);
        return;
    }
    (void)buf_add(&p->line, b->base, (size_t)n);
    struct str rest = buf_str(&p->line);
    while (rest.n && memchr(rest.p, '\n', rest.n))
        command(p, str_cut(&rest, '\n'));
    buf_consume(&p->line, p->line.len - rest.n);
}

static void on_closed(void *ctx) {
    struct program *p = ctx;
    uv_close((uv_handle_t *)&p->term, NULL);
    uv_close((uv_handle_t *)&p->in, NULL);
}

static void on_term(uv_signal_t *term, int signum) {
    struct program *p = term->data;
    (void)signum;
    uv_signal_stop(term);
    gateway_close(p->gateway, 2000, on_closed, p);
}

static int read_options(int argc, char **argv, struct gateway_options *o) {
    static const struct option longs[] = {
        {"listen", required_argument, NULL, 'l'},    {"max-held", required_argument, NULL, 'm'},
        {"max-head", required_argument, NULL, 'b'},  {"hold-ms", required_argument, NULL, 'h'},
        {"answer-ms", required_argument, NULL, 'a'}, {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        long long n = 0;
        if (c == 'l')
            o->listen = optarg;
        else if (c == '?' || str_to_i64(str_from(optarg), &n) < 0)
            return -1;
        else if (c == 'm')
            o->max_held = (unsigned)n;
        else if (c == 'b')
            o->max_head = (size_t)n;
        else if (c == 'h')
            o->hold_ns = n * NS_PER_MS;
        else
            o->answer_ns = n * NS_PER_MS;
    }
    return 0;
}

int main(int argc, char **argv) {
    struct program p = {0};
    struct gateway_options o = {.listen = "127.0.0.1:0", .service = "demo-llm"};
    struct err e = {0};
    uv_loop_init(&p.loop);
    buf_init(&p.line, 64 << 10);
    if (read_options(argc, argv, &o) < 0)
        return 2;
    if (gateway_open(&p.gateway, &p.loop, &o, &e) < 0) {
        fprintf(stderr, "msg=failed error=\"%s\"\n", e.msg);
        return 1;
    }
    uv_signal_init(&p.loop, &p.term);
    uv_pipe_init(&p.loop, &p.in, 0);
    p.term.data = p.in.data = &p;
    uv_signal_start(&p.term, on_term, SIGTERM);
    if (uv_pipe_open(&p.in, 0) == 0)
        uv_read_start((uv_stream_t *)&p.in, in_alloc, in_read);
    fprintf(stderr, "msg=listening server=http addr=%s\n", gateway_addr(p.gateway));
    uv_run(&p.loop, UV_RUN_DEFAULT);
    net_loop_drain_close(&p.loop);
    buf_done(&p.line);
    return 0;
}
