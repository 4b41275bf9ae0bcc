// SPDX-License-Identifier: Apache-2.0
/* The demo's engine and gateway pages; see pages.h. */
#include "playground/pages.h"

#include "base/buf.h"
#include "base/mem.h"
#include "net/http_server.h"

struct page {
    const struct service *service;
    int pod; // -1: the gateway
    struct http_server *server;
    char addr[64];
};

struct pages {
    struct page pages[SERVICE_PODS_MAX + 1];
};

static void answer_page(struct http_request *r, const struct buf *b, int failed) {
    if (failed) {
        http_request_answer_text(r, 500, "the page does not fit\n");
        return;
    }
    http_request_answer(r, &(struct http_answer){.status = 200,
                                                 .content_type = "text/plain; version=0.0.4",
                                                 .body = buf_str(b)});
}

static int add_sample(struct buf *b, const char *name, const char *type, double value) {
    int r = buf_addf(b, "# TYPE %s %s\n%s{engine=\"0\",model_name=\"demo-llm\"} ", name, type,
                     name);
    r |= buf_add_double(b, value);
    r |= buf_add_byte(b, '\n');
    return r;
}

static void pod_page(struct http_request *r, const struct page *page) {
    const struct service_pod *p = &page->service->pods[page->pod];
    if (p->state != SERVICE_POD_READY) {
        http_request_answer_text(r, 503, "the model is loading\n");
        return;
    }
    struct service_load load = service_pod_load(p);
    CLEANUP_BUF struct buf b;
    buf_init(&b, 4096);
    int bad = add_sample(&b, "vllm:num_requests_running", "gauge", load.running);
    bad |= add_sample(&b, "vllm:num_requests_waiting", "gauge", load.waiting);
    bad |= add_sample(&b, "vllm:kv_cache_usage_perc", "gauge", load.kv_cache_ratio);
    bad |= add_sample(&b, "vllm:generation_tokens_total", "counter", p->generated_tokens);
    bad |= buf_addc(&b, "# TYPE vllm:request_success_total counter\n"
                        "vllm:request_success_total{engine=\"0\",finished_reason=\"stop\","
                        "model_name=\"demo-llm\"} ");
    bad |= buf_add_double(&b, p->finished);
    bad |= buf_add_byte(&b, '\n');
    answer_page(r, &b, bad);
}

static void gateway_page(struct http_request *r, const struct page *page) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, 4096);
    int bad = buf_addc(&b, "# TYPE gateway_requests_total counter\n"
                           "gateway_requests_total{service=\"demo-llm\"} ");
    bad |= buf_add_double(&b, page->service->arrived);
    bad |= buf_addc(&b, "\n# TYPE gateway_requests_held gauge\n"
                        "gateway_requests_held{service=\"demo-llm\"} ");
    bad |= buf_add_double(&b, page->service->held);
    bad |= buf_add_byte(&b, '\n');
    answer_page(r, &b, bad);
}

static void handle_metrics(struct http_request *r, void *ctx) {
    const struct page *page = ctx;
    if (page->pod < 0)
        gateway_page(r, page);
    else
        pod_page(r, page);
}

static const struct http_route routes[] = {
    {"GET", "/metrics", handle_metrics},
    {.path = NULL},
};

int pages_new(struct pages **ret, uv_loop_t *loop, const struct service *service, struct err *e) {
    struct pages *p = mem_zalloc(sizeof(*p));
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for the demo's pages");
    for (int i = 0; i <= SERVICE_PODS_MAX; i++) {
        struct page *page = &p->pages[i];
        *page = (struct page){.service = service, .pod = i < SERVICE_PODS_MAX ? i : -1};
        struct http_server_options o = {
            .listen = "127.0.0.1:0", .max_connections = 16, .routes = routes, .ctx = page};
        int r = http_server_open(&page->server, loop, &o, e);
        if (r < 0) {
            pages_free(p);
            return err_wrap(e, "page %d of the demo", i);
        }
        net_addr_format(http_server_addr(page->server), page->addr, sizeof(page->addr));
    }
    *ret = p;
    return 0;
}

static void release_last(void *ctx) {
    struct page *page = ctx;
    page->server = NULL;
    struct pages *p = container_of(page - (page->pod < 0 ? SERVICE_PODS_MAX : page->pod),
                                   struct pages, pages[0]);
    for (int i = 0; i <= SERVICE_PODS_MAX; i++) {
        if (p->pages[i].server)
            return;
    }
    mem_free(p);
}

struct pages *pages_free(struct pages *p) {
    if (!p)
        return NULL;
    int open = 0;
    for (int i = 0; i <= SERVICE_PODS_MAX; i++)
        open += p->pages[i].server != NULL;
    if (!open)
        mem_free(p);
    for (int i = SERVICE_PODS_MAX; i >= 0 && open > 0; i--) {
        if (p->pages[i].server) {
            open--;
            http_server_close(p->pages[i].server, 0, release_last, &p->pages[i]);
        }
    }
    return NULL;
}

const char *pages_pod_addr(const struct pages *p, int i) {
    return p->pages[i].addr;
}

const char *pages_gateway_addr(const struct pages *p) {
    return p->pages[SERVICE_PODS_MAX].addr;
}
