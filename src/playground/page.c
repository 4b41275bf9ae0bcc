// SPDX-License-Identifier: Apache-2.0
/* The demo's page over HTTP; see the header. */
#include "playground/page.h"

#include "base/limits.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "net/sse.h"
#include "report/html.h"

enum { CLOSE_MS = 1000 };

struct page {
    struct http_server *server;
    struct sse_feed *feed;
    const struct live *live;
    void (*done)(void *ctx);
    void *done_ctx;
};

static void handle_page(struct http_request *r, void *ctx) {
    CLEANUP_BUF struct buf page;
    buf_init(&page, LIMIT_PAGE_HTML_BYTES);
    if (html_page(&page) < 0) {
        http_request_answer_text(r, 500, "memory is short");
        return;
    }
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "text/html; charset=utf-8",
                                                 .extra_headers = html_headers(),
                                                 .body = buf_str(&page)});
}

static void handle_live(struct http_request *r, void *ctx) {
    struct page *p = ctx;
    if (p->feed == NULL)
        http_request_answer_text(r, 503, "the demo ends");
    else
        sse_feed_join(p->feed, r);
}

static const struct http_route routes[] = {
    {"GET", "/", handle_page},
    {"GET", "/api/v1/live", handle_live},
    {0},
};

static bool next_event(void *ctx, uint64_t cursor[2], struct str *ret) {
    struct page *p = ctx;
    struct live_cursor at = {cursor[0], cursor[1]};
    bool more = live_next(p->live, &at, ret);
    cursor[0] = at.seq;
    cursor[1] = at.hello;
    return more;
}

static void on_closed(void *ctx) {
    struct page *p = ctx;
    void (*done)(void *) = p->done;
    void *done_ctx = p->done_ctx;
    mem_free(p);
    if (done != NULL)
        done(done_ctx);
}

int page_open(struct page **ret, uv_loop_t *loop, const char *listen, const struct live *live,
              struct err *e) {
    CLEANUP_FREE struct page *p = mem_zalloc(sizeof(*p));
    if (p == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the page");
    p->live = live;
    const struct sse_source source = {.next = next_event, .ctx = p};
    p->feed = sse_feed_new(loop, &source, LIMIT_LIVE_READERS);
    if (p->feed == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the page's feed");
    const struct http_server_options o = {.listen = listen, .routes = routes, .ctx = p};
    int rc = http_server_open(&p->server, loop, &o, e);
    if (rc < 0) {
        sse_feed_free(p->feed);
        return rc;
    }
    *ret = TAKE_PTR(p);
    return 0;
}

void page_changed(struct page *p) {
    if (p->feed != NULL)
        sse_feed_changed(p->feed);
}

const struct net_addr *page_addr(const struct page *p) {
    return http_server_addr(p->server);
}

void page_close(struct page *p, void (*done)(void *ctx), void *ctx) {
    p->done = done;
    p->done_ctx = ctx;
    p->feed = sse_feed_free(p->feed);
    http_server_close(p->server, CLOSE_MS, on_closed, p);
}
