// SPDX-License-Identifier: Apache-2.0
/*
 * The other side of an HTTP/2 connection, frame by frame, for tests: frames are written by hand, so
 * that anything can be sent, and what comes back is split into frames with decoded headers.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "unit.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONT };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct h2_frame {
    int type, flags;
    uint32_t stream;
    size_t n;
    uint8_t *body;
    char headers[2048]; // "name: value\n"... of HEADERS
};

struct h2_peer {
    struct buf out; // to send
    struct buf in;  // received, not split yet
    nghttp2_hd_inflater *inflater;
    struct h2_frame frames[600];
    size_t n_frames;
    bool discard; // what comes is not looked at
};

static inline void peer_init(struct h2_peer *p) {
    memset(p, 0, sizeof(*p));
    buf_init(&p->out, 64 << 20);
    buf_init(&p->in, 64 << 20);
    assert_int_equal(nghttp2_hd_inflate_new(&p->inflater), 0);
}

static inline void peer_clear(struct h2_peer *p) {
    for (size_t i = 0; i < p->n_frames; i++)
        free(p->frames[i].body);
    p->n_frames = 0;
}

static inline void peer_done(struct h2_peer *p) {
    peer_clear(p);
    buf_done(&p->out);
    buf_done(&p->in);
    nghttp2_hd_inflate_del(p->inflater);
}

static inline void peer_u32(struct buf *b, uint32_t v) {
    const char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    assert_int_equal(buf_add(b, bytes, 4), 0);
}

static inline void peer_frame(struct h2_peer *p, int type, int flags, uint32_t stream,
                              const void *body, size_t n) {
    peer_u32(&p->out, (uint32_t)(n << 8) | (uint32_t)type);
    buf_add_byte(&p->out, (char)flags);
    peer_u32(&p->out, stream);
    assert_int_equal(buf_add(&p->out, body, n), 0);
}

static inline void peer_u32_frame(struct h2_peer *p, int type, uint32_t stream, uint32_t v) {
    const uint8_t body[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    peer_frame(p, type, 0, stream, body, 4);
}

// A literal header field without indexing.
static inline void peer_field(struct buf *b, const char *name, const char *value) {
    const char *s[2] = {name, value};
    buf_add_byte(b, 0);
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(s[i]), rest = n - 127;
        if (n < 127) {
            buf_add_byte(b, (char)n);
        } else {
            buf_add_byte(b, 127);
            for (; rest >= 128; rest /= 128)
                buf_add_byte(b, (char)(rest % 128 + 128));
            buf_add_byte(b, (char)rest);
        }
        assert_int_equal(buf_add(b, s[i], n), 0);
    }
}

// HEADERS of the fields {name, value, name, value, ..., NULL}.
static inline void peer_headers(struct h2_peer *p, uint32_t stream, int flags,
                                const char *const *fields) {
    struct buf block;
    buf_init(&block, 1 << 20);
    for (; *fields; fields += 2)
        peer_field(&block, fields[0], fields[1]);
    peer_frame(p, HEADERS, flags | END_HEADERS, stream, block.p, block.len);
    buf_done(&block);
}

// DATA with one length-prefixed message.
static inline void peer_message(struct h2_peer *p, uint32_t stream, int flags, const void *m,
                                size_t n) {
    struct buf b;
    buf_init(&b, 16 << 20);
    buf_add_byte(&b, 0);
    peer_u32(&b, (uint32_t)n);
    buf_add(&b, m, n);
    size_t at = 0;
    do {
        size_t take = b.len - at < 16384 ? b.len - at : 16384;
        bool last = at + take == b.len;
        peer_frame(p, DATA, last ? flags : 0, stream, b.p + at, take);
        at += take;
    } while (at < b.len);
    buf_done(&b);
}

static inline void peer_inflate(struct h2_peer *p, struct h2_frame *f) {
    const uint8_t *at = f->body;
    size_t left = f->n, used = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, at, left, 1);
        assert_true(n >= 0);
        at += n;
        left -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            used += (size_t)snprintf(f->headers + used, sizeof(f->headers) - used, "%.*s: %.*s\n",
                                     (int)nv.namelen, (const char *)nv.name, (int)nv.valuelen,
                                     (const char *)nv.value);
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    nghttp2_hd_inflate_end_headers(p->inflater);
}

// Takes received bytes and splits what is whole.
static inline void peer_take(struct h2_peer *p, const uint8_t *bytes, size_t n) {
    if (p->discard)
        return;
    assert_int_equal(buf_add(&p->in, bytes, n), 0);
    while (p->in.len >= 9) {
        const uint8_t *h = (const uint8_t *)p->in.p;
        size_t len = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        if (p->in.len < 9 + len)
            break;
        assert_true(p->n_frames < sizeof(p->frames) / sizeof(p->frames[0]));
        struct h2_frame *f = &p->frames[p->n_frames++];
        f->type = h[3];
        f->flags = h[4];
        f->stream = ((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) &
                    0x7fffffff;
        f->n = len;
        f->body = malloc(len + 1);
        memcpy(f->body, h + 9, len);
        f->headers[0] = '\0';
        if (f->type == HEADERS)
            peer_inflate(p, f);
        buf_consume(&p->in, 9 + len);
    }
}

static inline uint32_t frame_u32(const struct h2_frame *f, size_t at) {
    assert_true(at + 4 <= f->n);
    return (uint32_t)f->body[at] << 24 | (uint32_t)f->body[at + 1] << 16 |
           (uint32_t)f->body[at + 2] << 8 | f->body[at + 3];
}

// What came for a stream (or the connection) as letters, e.g. "HDDH+" (+: END_STREAM), "R7", "G0".
static inline const char *peer_story(const struct h2_peer *p, uint32_t stream) {
    static char story[2400];
    size_t n = 0;
    for (size_t i = 0; i < p->n_frames; i++) {
        const struct h2_frame *f = &p->frames[i];
        if (f->stream != stream || f->type == WINDOW_UPDATE || (f->type == SETTINGS))
            continue;
        n += (size_t)snprintf(story + n, sizeof(story) - n, "%c", "DHPRSUIGWC"[f->type]);
        if (f->type == RST_STREAM)
            n += (size_t)snprintf(story + n, sizeof(story) - n, "%u", frame_u32(f, 0));
        if (f->type == GOAWAY)
            n += (size_t)snprintf(story + n, sizeof(story) - n, "%u/%u", frame_u32(f, 0),
                                  frame_u32(f, 4));
        if ((f->type == DATA || f->type == HEADERS) && (f->flags & END_STREAM))
            n += (size_t)snprintf(story + n, sizeof(story) - n, "+");
    }
    story[n] = '\0';
    return story;
}

// The k-th frame of a type on a stream; fails the test when there is none.
static inline const struct h2_frame *peer_find(const struct h2_peer *p, int type, uint32_t stream,
                                               size_t k) {
    for (size_t i = 0; i < p->n_frames; i++)
        if (p->frames[i].type == type && p->frames[i].stream == stream && k-- == 0)
            return &p->frames[i];
    fail_msg("no frame of type %d on stream %u; story %s", type, stream, peer_story(p, stream));
    return NULL;
}

// Value of a header in the last HEADERS of a stream, "" when absent.
static inline const char *peer_header(const struct h2_peer *p, uint32_t stream, const char *name) {
    static char value[1024];
    value[0] = '\0';
    for (size_t i = 0; i < p->n_frames; i++) {
        const struct h2_frame *f = &p->frames[i];
        if (f->type != HEADERS || f->stream != stream)
            continue;
        value[0] = '\0';
        const char *at = f->headers;
        while (at && *at) {
            if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == ':')
                snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(name) + 2, "\n"),
                         at + strlen(name) + 2);
            at = strchr(at, '\n');
            at = at ? at + 1 : NULL;
        }
    }
    return value;
}
