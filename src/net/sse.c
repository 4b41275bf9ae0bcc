// SPDX-License-Identifier: Apache-2.0
/* The readers of a feed of server-sent events; see the header. */
#include "net/sse.h"

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"

enum { BEAT_S = 15 };

struct reader {
    struct sse_feed *feed;
    struct http_request *request;
    uint64_t cursor[2];
    int64_t since_ns;
    bool starved; // until `writable`
    struct reader *next;
};

struct sse_feed {
    struct sse_source source;
    struct reader *readers;
    unsigned n, max;
    int64_t age_ns;         // at which an answer ends; 0: never
    struct net_timer *beat; // a comment now and then: who went silently is found
};

static void tell(const struct sse_feed *f) {
    if (f->source.readers)
        f->source.readers(f->source.ctx, f->n);
}

static void leave(struct reader *reader) {
    struct sse_feed *f = reader->feed;
    struct reader **link = &f->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    f->n--;
    mem_free(reader);
}

static void drop(struct reader *reader) {
    struct http_request *r = reader->request;
    const struct sse_feed *f = reader->feed;
    leave(reader);
    tell(f);
    http_request_drop(r);
}

// Sends what the log has for this reader. It may be gone afterwards.
static void pump(struct reader *reader) {
    const struct sse_source *source = &reader->feed->source;
    while (!reader->starved) {
        uint64_t cursor[2] = {reader->cursor[0], reader->cursor[1]};
        struct str event;
        if (!source->next(source->ctx, cursor, &event))
            return;
        int rc = http_request_send(reader->request, event);
        if (rc == ERR_AGAIN) {
            reader->starved = true;
        } else if (rc < 0 && rc != ERR_LIMIT) {
            drop(reader);
            return;
        } else { // one over the limit of a piece is left out
            reader->cursor[0] = cursor[0];
            reader->cursor[1] = cursor[1];
        }
    }
}

static void on_gone(struct http_request *r, void *ctx) {
    drop(ctx);
}

static void on_writable(struct http_request *r, void *ctx) {
    struct reader *reader = ctx;
    reader->starved = false;
    pump(reader);
}

static const struct http_watch watch = {.gone = on_gone, .writable = on_writable};

static void end(struct reader *reader) {
    struct http_request *r = reader->request;
    const struct sse_feed *f = reader->feed;
    leave(reader);
    http_request_watch(r, NULL, NULL);
    (void)http_request_send(r, STR("retry: 100\n\n"));
    http_request_end(r);
    tell(f);
}

static void on_beat(void *ctx) {
    struct sse_feed *f = ctx;
    int64_t now_ns = clock_mono_ns();
    for (struct reader *reader = f->readers, *next; reader != NULL; reader = next) {
        next = reader->next;
        if (f->source.end_after_ns > 0 && now_ns - reader->since_ns >= f->source.end_after_ns) {
            end(reader);
            continue;
        }
        if (reader->starved)
            continue;
        int rc = http_request_send(reader->request, STR(":\n\n"));
        if (rc == ERR_AGAIN)
            reader->starved = true;
        else if (rc < 0)
            drop(reader);
    }
}

struct sse_feed *sse_feed_new(uv_loop_t *loop, const struct sse_source *source,
                              unsigned max_readers) {
    struct sse_feed *f = mem_zalloc(sizeof(*f));
    if (f == NULL)
        return NULL;
    f->source = *source;
    f->max = max_readers;
    int64_t every_ns = BEAT_S * NS_PER_S;
    if (source->end_after_ns > 0 && source->end_after_ns < every_ns)
        every_ns = source->end_after_ns;
    struct err e;
    if (net_timer_start(&f->beat, loop, every_ns, every_ns, on_beat, f, &e) < 0) {
        mem_free(f);
        return NULL;
    }
    return f;
}

struct sse_feed *sse_feed_free(struct sse_feed *f) {
    if (f == NULL)
        return NULL;
    while (f->readers != NULL) {
        struct http_request *r = f->readers->request;
        leave(f->readers);
        http_request_watch(r, NULL, NULL);
        http_request_end(r);
    }
    net_timer_stop(&f->beat);
    mem_free(f);
    return NULL;
}

static const struct http_answer head = {.status = 200,
                                        .content_type = "text/event-stream",
                                        .extra_headers = "Cache-Control: no-store\r\n"
                                                         "X-Accel-Buffering: no\r\n"}; // nginx

void sse_feed_join(struct sse_feed *f, struct http_request *r) {
    if (str_eqc(http_request_method(r), "HEAD")) {
        http_request_begin(r, &head);
        http_request_end(r);
        return;
    }
    struct reader *reader = f->n < f->max ? mem_zalloc(sizeof(*reader)) : NULL;
    if (reader == NULL) {
        http_request_answer(r,
                            &(struct http_answer){.status = 503,
                                                  .content_type = "text/plain; charset=utf-8",
                                                  .extra_headers = "Retry-After: 5\r\n",
                                                  .body = STR("too many readers of the feed\n")});
        return;
    }
    *reader = (struct reader){
        .feed = f, .request = r, .next = f->readers, .since_ns = clock_mono_ns()};
    f->readers = reader;
    f->n++;
    http_request_begin(r, &head);
    http_request_watch(r, &watch, reader);
    tell(f);
    pump(reader);
}

void sse_feed_changed(struct sse_feed *f) {
    for (struct reader *reader = f->readers, *next; reader != NULL; reader = next) {
        next = reader->next;
        pump(reader);
    }
}

unsigned sse_feed_readers(const struct sse_feed *f) {
    return f->n;
}
