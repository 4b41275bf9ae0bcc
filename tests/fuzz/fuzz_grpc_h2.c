// SPDX-License-Identifier: Apache-2.0
/*
 * The server's side of a gRPC connection against frames that are whole: the bytes choose calls (of
 * health, reflection and a service that holds, answers, fails and echoes), their headers, messages,
 * windows, resets, settings and pings, what the handlers do, and how time passes. Raw bytes rarely
 * get so deep (fuzz_grpc_conn is for them). What the server sends is judged: whole frames,
 * decodable headers, at most one end of a stream and nothing after it, a status of gRPC's in every
 * trailer.
 */
#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "externalscaler.desc.h"
#include "fuzz_grpc.h"
#include "net/grpc_health.h"
#include "net/grpc_reflection.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONT };
enum { STREAMS = 48 };

struct input {
    const uint8_t *p;
    size_t n;
};

static unsigned byte(struct input *in) {
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}
static struct str bytes(struct input *in, size_t max) {
    size_t n = byte(in) % (max + 1);
    struct str s = {(const char *)in->p, n < in->n ? n : in->n};
    in->p += s.n;
    in->n -= s.n;
    return s;
}

/* The service */

static void on_observe(void *ctx, const char *method, int status, int64_t took_ns) {
    require(method && status >= 0 && status <= GRPC_UNAUTHENTICATED && took_ns >= 0);
}
static void handle_fail(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    const Externalscaler__ScaledObjectRef *r = (const void *)m;
    grpc_call_finish(c, GRPC_NOT_FOUND, "%s", r->name ? r->name : "");
}

// An answer that was packed before: as long as the name says.
static void handle_packed(struct grpc_call *c, const ProtobufCMessage *m, void *ctx) {
    const Externalscaler__ScaledObjectRef *r = (const void *)m;
    static const uint8_t zeros[200000];
    size_t n = r->name ? strlen(r->name) * 1000 : 0;
    grpc_call_reply_packed(c, zeros, n < sizeof(zeros) ? n : sizeof(zeros));
}

static const struct grpc_method methods[] = {
    {.name = "U", .request = REF, .handle = handle_reply},
    {.name = "F", .request = REF, .handle = handle_fail},
    {.name = "P", .request = REF, .handle = handle_packed},
    {.name = "H", .request = REF, .handle = handle_hold},
    {.name = "W", .request = REF, .streams = true, .handle = handle_hold},
    {.name = "B", .request = REF, .streams = true, .client_streams = true, .handle = handle_echo},
};
static const struct grpc_service service = {.name = "s",
                                            .methods = methods,
                                            .n_methods = COUNT_OF(methods),
                                            .descriptor_set = externalscaler_desc,
                                            .descriptor_set_len = sizeof(externalscaler_desc)};
static const char *const paths[] = {
    "/s/U",
    "/s/F",
    "/s/H",
    "/s/W",
    "/s/B",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/s/None",
    "/",
    "x",
    "/s/P"};

/* Writing frames */

static struct buf out;

static void u32(struct buf *b, uint32_t v) {
    const char be[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    (void)buf_add(b, be, 4);
}
static void frame(int type, int flags, uint32_t stream, const void *body, size_t n) {
    u32(&out, (uint32_t)(n << 8) | (uint32_t)type);
    (void)buf_add_byte(&out, (char)flags);
    u32(&out, stream);
    (void)buf_add(&out, body, n);
}
static void u32_frame(int type, uint32_t stream, uint32_t v) {
    const uint8_t body[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    frame(type, 0, stream, body, 4);
}
static void field(struct buf *b, const char *name, struct str value) {
    size_t n = value.n < 120 ? value.n : 120; // a length below 127 is one byte
    (void)buf_add_byte(b, 0);
    (void)buf_add_byte(b, (char)strlen(name));
    (void)buf_addc(b, name);
    (void)buf_add_byte(b, (char)n);
    (void)buf_add(b, value.p, n);
}

// What is unusual about a call's headers: bits of `odd`.
static void headers(struct input *in, uint32_t stream) {
    struct buf b;
    unsigned odd = byte(in), path = byte(in), flags = byte(in);
    char much[120];
    memset(much, 'm', sizeof(much));
    buf_init(&b, 2 * LIMIT_GRPC_HEADER_BYTES);
    field(&b, ":method", odd & 1 ? bytes(in, 8) : STR("POST"));
    field(&b, ":scheme", STR("http"));
    field(&b, ":path", odd & 2 ? bytes(in, 80) : str_from(paths[path % COUNT_OF(paths)]));
    field(&b, ":authority", STR("x"));
    field(&b, "content-type", odd & 4 ? bytes(in, 40) : STR("application/grpc"));
    field(&b, "te", STR("trailers"));
    if (odd & 8)
        field(&b, "grpc-timeout", bytes(in, 12));
    if (odd & 16)
        field(&b, "grpc-encoding", bytes(in, 12));
    for (unsigned i = 0; i < (odd >> 5); i++)
        field(&b, "x-more", bytes(in, 100));
    for (unsigned i = 0; flags >> 6 == 3 && i < LIMIT_GRPC_HEADER_BYTES / 120; i++)
        field(&b, "x-much", (struct str){much, sizeof(much)});
    size_t cut = flags & 2 ? b.len * (flags >> 2) / 64 : b.len;
    frame(HEADERS, (int)(flags & 1) | (cut == b.len ? 4 : 0), stream, b.p, cut);
    if (cut < b.len)
        frame(CONT, 4, stream, b.p + cut, b.len - cut);
    buf_done(&b);
}

// A message with a sound prefix: of the descriptor's shape, or any bytes.
static void message(struct input *in, uint32_t stream) {
    unsigned how = byte(in);
    struct str text = bytes(in, 200);
    struct buf b;
    buf_init(&b, 4096);
    (void)buf_add_byte(&b, how & 0x40);
    u32(&b, (uint32_t)text.n + (how & 2 ? 2 : 0) + (how & 0x20 ? 1 : 0));
    if (how & 2) { // field 1..8 with this text: names, services, files, symbols
        (void)buf_add_byte(&b, (char)(((how >> 2) % 8 + 1) << 3 | 2));
        (void)buf_add_byte(&b, (char)(text.n < 128 ? text.n : 127));
    }
    (void)buf_add(&b, text.p, text.n);
    frame(DATA, (int)(how & 1), stream, b.p, b.len);
    buf_done(&b);
}

/* Judging frames */

static struct {
    struct buf in;
    nghttp2_hd_inflater *inflater;
    bool ended[STREAMS + 1], headed[STREAMS + 1];
    unsigned goaways;
} judge;

static void judge_headers(const uint8_t *p, size_t n, bool end, bool first) {
    int status = -1, http = -1;
    for (bool last = false; !last;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(judge.inflater, &nv, &flags, p, n, 1);
        require(used >= 0);
        p += used;
        n -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT && nv.namelen == 11 &&
            memcmp(nv.name, "grpc-status", 11) == 0) {
            require(nv.valuelen <= 2 && status < 0);
            status = 0;
            for (size_t i = 0; i < nv.valuelen; i++)
                status = status * 10 + nv.value[i] - '0';
        } else if (flags & NGHTTP2_HD_INFLATE_EMIT && nv.namelen == 7 &&
                   memcmp(nv.name, ":status", 7) == 0) {
            require(nv.valuelen == 3);
            http = (nv.value[0] - '0') * 100;
        }
        last = flags & NGHTTP2_HD_INFLATE_FINAL;
    }
    nghttp2_hd_inflate_end_headers(judge.inflater);
    require((http > 0) == first);
    require(!end || http >= 400 || (status >= 0 && status <= GRPC_UNAUTHENTICATED));
}

static void judge_frame(const uint8_t *h, const uint8_t *body, size_t n) {
    uint32_t id = ((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) &
                  0x7fffffff;
    int type = h[3], flags = h[4];
    size_t s = id / 2;
    require(type <= CONT && type != PUSH && type != PRIORITY && n <= 16384);
    require(id == 0 || (id % 2 == 1 && s < STREAMS));
    if (type == DATA || type == HEADERS) {
        require(id != 0 && !judge.ended[s]);
        require(type == HEADERS || judge.headed[s]);
        if (type == HEADERS) {
            require(flags & 4);
            judge_headers(body, n, flags & 1, !judge.headed[s]);
            judge.headed[s] = true;
        }
        judge.ended[s] = flags & 1;
    } else if (type == RST_STREAM) {
        require(id != 0 && n == 4);
        judge.ended[s] = true;
    } else if (type == GOAWAY) {
        require(id == 0 && ++judge.goaways <= 4);
    }
}

static void drain(struct grpc_conn *c) {
    const uint8_t *p;
    for (size_t n; (n = grpc_conn_send(c, &p)) > 0;)
        require(buf_add(&judge.in, p, n) == 0);
    while (judge.in.len >= 9) {
        const uint8_t *h = (const uint8_t *)judge.in.p;
        size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        if (judge.in.len < 9 + n)
            break;
        judge_frame(h, h + 9, n);
        buf_consume(&judge.in, 9 + n);
    }
}

/* The play */

static struct grpc_host *host;
static struct grpc_health *health;
static uint32_t opened; // streams

static void send_written(struct grpc_conn *c, size_t piece) {
    while (out.len > 0 && !grpc_conn_over(c)) {
        size_t n = out.len < piece ? out.len : piece;
        uint8_t *copy = malloc(n);
        memcpy(copy, out.p, n);
        buf_consume(&out, n);
        grpc_conn_recv(c, copy, n, NULL);
        free(copy);
        drain(c);
    }
    buf_clear(&out);
}

static void act(struct grpc_conn *c, struct input *in) {
    unsigned what = byte(in);
    struct grpc_call *one = n_held > 0 ? held[what % n_held] : NULL;
    if (what % 8 == 0) {
        grpc_conn_shutdown(c);
    } else if (what % 8 == 1) {
        require(grpc_health_set(health, "s", what & 8) == 0);
    } else if (one && what % 8 < 5) {
        struct str text = bytes(in, 250);
        (void)grpc_call_send_packed(one, text.p, text.n);
    } else if (one) {
        struct str text = bytes(in, 250);
        forget(one);
        grpc_call_finish(one, (int)(what % 17), "%.*s", STR_ARG(text));
    }
}

static void step(struct grpc_conn *c, struct input *in) {
    unsigned op = byte(in);
    unsigned which = byte(in);
    uint32_t stream = opened > 0 ? 2 * (which % opened) + 1 : 1;
    struct str raw;
    switch (op % 14) {
    case 0:
    case 1:
        if (opened < STREAMS)
            headers(in, 2 * opened++ + 1);
        break;
    case 2:
    case 3:
        message(in, stream);
        break;
    case 4:
        raw = bytes(in, 255);
        frame(DATA, (int)(op >> 7), stream, raw.p, raw.n);
        break;
    case 5:
        u32_frame(RST_STREAM, stream, byte(in) % 16);
        break;
    case 6:
        u32_frame(WINDOW_UPDATE, op & 0x80 ? 0 : stream, byte(in) << (byte(in) % 24));
        break;
    case 7: {
        const uint8_t body[6] = {
            0, (uint8_t)(byte(in) % 8), 0, (uint8_t)byte(in), (uint8_t)byte(in), (uint8_t)byte(in)};
        frame(SETTINGS, op >> 7, 0, body, op >> 7 ? 0 : 6);
        break;
    }
    case 8:
        frame(PING, op >> 7, 0, "12345678", 8);
        break;
    case 9:
        raw = bytes(in, 64);
        frame((int)(byte(in) % 12), (int)byte(in), op & 0x80 ? 0 : stream, raw.p, raw.n);
        break;
    case 10:
    case 11:
        act(c, in);
        break;
    case 12:
        now_ns += byte(in) * NS_PER_S / 4;
        deadline_run(grpc_host_deadlines(host), now_ns);
        break;
    default:
        headers(in, stream); // trailers, or a stream once more
    }
}

static void play(struct grpc_conn *c, struct input in) {
    size_t piece = byte(&in) % 64 + 1;
    piece = piece > 48 ? SIZE_MAX / 2 : piece;
    opened = 0;
    (void)buf_addc(&out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(SETTINGS, 0, 0, "", 0);
    while (in.n > 0 && !grpc_conn_over(c)) {
        step(c, &in);
        send_written(c, piece);
        drain(c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grpc_reflection reflection;
    const struct grpc_service *services[5] = {&service};
    struct grpc_conn *c;
    struct grpc_host_options o = {.services = services,
                                  .max_connection_age_ms = 60000,
                                  .observe = on_observe,
                                  .clock = virtual_clock,
                                  .output = on_output};
    now_ns = NS_PER_S;
    n_held = 0;
    memset(&judge, 0, sizeof(judge));
    buf_init(&judge.in, 64 << 20);
    buf_init(&out, 1 << 20);
    require(nghttp2_hd_inflate_new(&judge.inflater) == 0);
    require(grpc_health_new(&health, services, NULL) == 0);
    grpc_reflection_init(&reflection, services);
    services[1] = grpc_health_service(health);
    services[2] = &reflection.own[0];
    services[3] = &reflection.own[1];
    require(grpc_host_new(&host, &o, NULL) == 0);
    require(grpc_conn_new(&c, host, NULL, NULL, "", NULL) == 0);
    play(c, (struct input){data, size});
    drain(c);
    fuzz_end(host, c);
    grpc_health_free(health);
    nghttp2_hd_inflate_del(judge.inflater);
    buf_done(&judge.in);
    buf_done(&out);
    return 0;
}
