// SPDX-License-Identifier: Apache-2.0
/*
 * See dcgm_probe.h. One small HTTP/1.0 exchange on a net_stream; what comes back is only searched
 * for two names. Lives until the stream and the name lookup that it started have ended.
 */
#include "agent/dcgm_probe.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/stream.h"

enum { PAGE_BYTES_MAX = 1 << 20, CONNECT_MS = 2000, GIVE_UP_AFTER = 3 };
static const int64_t every_ns = 60 * NS_PER_S, retry_ns = 5 * NS_PER_S, answer_ns = 5 * NS_PER_S;

struct agent_dcgm_probe {
    uv_loop_t *loop;
    char address[NET_HOST_MAX + 8]; // HOST:PORT
    char host[NET_HOST_MAX];
    char port[8];
    void (*changed)(void *ctx, enum agent_dcgm_answer answer);
    void *ctx;
    enum agent_dcgm_answer answer;
    unsigned misses; // probes in a row that did not find the exporter that was there
    bool stopped;
    struct net_timer *next, *deadline;
    uv_getaddrinfo_t lookup;
    bool looking_up;
    struct net_stream *stream;
    struct buf page;
};

static void begin(void *ctx);

static void free_if_idle(struct agent_dcgm_probe *p) {
    if (!p->stopped || p->looking_up || p->stream)
        return;
    buf_done(&p->page);
    mem_free(p);
}

static bool has(const char *p, size_t n, const char *word) {
    return n > 0 && memmem(p, n, word, strlen(word)) != NULL;
}

int agent_dcgm_page_is_exporter(const char *p, size_t n) {
    if (has(p, n, "gpuscale_agent_build_info"))
        return -1;
    return has(p, n, "\nDCGM_FI_DEV_");
}

static void conclude(struct agent_dcgm_probe *p, bool found) {
    enum agent_dcgm_answer answer = found ? AGENT_DCGM_FOUND : AGENT_DCGM_NONE;
    net_timer_stop(&p->deadline);
    if (p->stopped)
        return;
    p->misses = found ? 0 : p->misses + 1;
    if (p->answer == AGENT_DCGM_FOUND && !found && p->misses < GIVE_UP_AFTER)
        answer = AGENT_DCGM_FOUND;
    bool doubt = answer == AGENT_DCGM_FOUND && !found;
    if (net_timer_start(&p->next, p->loop, doubt ? retry_ns : every_ns, 0, begin, p, NULL))
        return; // without memory for a timer the last answer stays
    if (answer != p->answer) {
        p->answer = answer;
        p->changed(p->ctx, answer);
    }
}

static void on_ready(void *ctx) {
    struct agent_dcgm_probe *p = ctx;
    char request[NET_HOST_MAX + 128];
    int n = snprintf(
        request, sizeof request,
        "GET /metrics HTTP/1.0\r\nHost: %s:%s\r\nUser-Agent: gpuscale-agent/" GPUSCALE_VERSION
        "\r\nAccept: text/plain\r\n\r\n",
        p->host, p->port);
    net_stream_write(p->stream, request, (size_t)n);
}

static void on_data(void *ctx, const uint8_t *bytes, size_t n) {
    struct agent_dcgm_probe *p = ctx;
    if (buf_add(&p->page, bytes, n))
        net_stream_abort(p->stream, NULL); // longer than any page: what is here is searched
}

static void on_closed(void *ctx, const struct err *why) {
    struct agent_dcgm_probe *p = ctx;
    p->stream = NULL;
    bool found = agent_dcgm_page_is_exporter(p->page.p, p->page.len) > 0;
    buf_done(&p->page);
    conclude(p, found);
    free_if_idle(p);
}

static const struct net_stream_ops stream_ops = {
    .ready = on_ready,
    .data = on_data,
    .closed = on_closed,
};

static void on_deadline(void *ctx) {
    struct agent_dcgm_probe *p = ctx;
    if (p->stream)
        net_stream_abort(p->stream, NULL);
}

static void connect_to(struct agent_dcgm_probe *p, const struct net_addr *to) {
    if (net_stream_connect(p->loop, to, NULL, NULL, CONNECT_MS, &stream_ops, p, &p->stream, NULL)) {
        p->stream = NULL;
        conclude(p, false);
        return;
    }
    // Without a timer, closing is left to the other side.
    (void)net_timer_start(&p->deadline, p->loop, answer_ns, 0, on_deadline, p, NULL);
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct agent_dcgm_probe *p = container_of(request, struct agent_dcgm_probe, lookup);
    struct net_addr to = {0};
    p->looking_up = false;
    if (status == 0 && found && found->ai_addrlen <= sizeof to.in6) {
        memcpy(&to.sa, found->ai_addr, found->ai_addrlen);
        to.len = found->ai_addrlen;
    }
    if (found)
        uv_freeaddrinfo(found);
    if (p->stopped)
        free_if_idle(p);
    else if (to.len > 0)
        connect_to(p, &to);
    else
        conclude(p, false);
}

static void begin(void *ctx) {
    struct agent_dcgm_probe *p = ctx;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct net_addr literal;
    net_timer_stop(&p->next);
    if (net_addr_parse(str_from(p->address), &literal, NULL) == 0)
        connect_to(p, &literal);
    else if (uv_getaddrinfo(p->loop, &p->lookup, on_lookup, p->host, p->port, &hints))
        conclude(p, false);
    else
        p->looking_up = true;
}

int agent_dcgm_probe_start(struct agent_dcgm_probe **ret, uv_loop_t *loop, const char *address,
                           void (*changed)(void *ctx, enum agent_dcgm_answer answer), void *ctx,
                           struct err *e) {
    uint16_t port;
    struct agent_dcgm_probe *p = mem_zalloc(sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for the dcgm-exporter probe");
    int r = net_addr_split(str_from(address), p->host, &port, e);
    if (!r)
        r = str_copy(p->address, sizeof p->address, str_from(address));
    if (!r && (p->host[0] == 0 || port == 0))
        r = err_set(e, ERR_INVALID, "\"%s\" is no address to ask: it needs a host and a port",
                    address);
    if (r) {
        mem_free(p);
        return r;
    }
    snprintf(p->port, sizeof p->port, "%u", port);
    p->loop = loop;
    p->changed = changed;
    p->ctx = ctx;
    buf_init(&p->page, PAGE_BYTES_MAX);
    begin(p);
    *ret = p;
    return 0;
}

struct agent_dcgm_probe *agent_dcgm_probe_stop(struct agent_dcgm_probe *p) {
    if (p) {
        p->stopped = true;
        net_timer_stop(&p->next);
        net_timer_stop(&p->deadline);
        if (p->looking_up)
            uv_cancel((uv_req_t *)&p->lookup); // its callback follows in any case
        if (p->stream)
            net_stream_abort(p->stream, NULL);
        free_if_idle(p);
    }
    return NULL;
}

enum agent_dcgm_answer agent_dcgm_probe_answer(const struct agent_dcgm_probe *p) {
    return p->answer;
}
