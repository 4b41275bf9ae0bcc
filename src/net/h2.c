// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 sessions with this project's limits. */
#include "net/h2.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

int h2_options_new(nghttp2_option **ret) {
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return ERR_NOMEM;
    nghttp2_option_set_no_closed_streams(o, 1); // kept for a priority tree that is not used
    nghttp2_option_set_max_outbound_ack(o, LIMIT_GRPC_OUTBOUND_ACKS);
    nghttp2_option_set_max_settings(o, LIMIT_GRPC_SETTINGS_ENTRIES);
    nghttp2_option_set_max_continuations(o, LIMIT_GRPC_CONTINUATIONS);
    nghttp2_option_set_stream_reset_rate_limit(o, LIMIT_GRPC_RESET_BURST, LIMIT_GRPC_RESET_RATE);
    *ret = o;
    return 0;
}

static void *h2_alloc(size_t n, void *ctx) {
    return mem_alloc(n);
}
static void h2_free(void *p, void *ctx) {
    mem_free(p);
}
static void *h2_calloc(size_t count, size_t size, void *ctx) {
    return mem_array(count, size);
}
static void *h2_realloc(void *p, size_t n, void *ctx) {
    return mem_resize(p, n, 1);
}

// nghttp2 takes a pointer to non-const and only reads it.
static nghttp2_mem memory = {NULL, h2_alloc, h2_free, h2_calloc, h2_realloc};

const nghttp2_mem *h2_mem(void) {
    return &memory;
}

// nghttp2's fields point to non-const bytes that it does not write.
static uint8_t *bytes_of(const char *s) {
    union {
        const char *in;
        uint8_t *out;
    } u = {.in = s};
    return u.out;
}

nghttp2_nv h2_nv(const char *name, const char *value) {
    return (nghttp2_nv){bytes_of(name), bytes_of(value), strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

nghttp2_nv h2_nv_once(const char *name, struct str value) {
    return (nghttp2_nv){bytes_of(name), bytes_of(value.n > 0 ? value.p : ""), strlen(name), value.n,
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX};
}

enum { EARNED_BY_A_FRAME = 10 };

static bool carries(const nghttp2_frame_hd *hd) {
    return hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION ||
           (hd->type == NGHTTP2_DATA && hd->length > 0);
}

void h2_budget_init(struct h2_budget *b, int64_t now_ns) {
    *b = (struct h2_budget){LIMIT_GRPC_CONTROL_BURST, now_ns};
}

static void earn(struct h2_budget *b, double tokens) {
    b->tokens += tokens;
    if (b->tokens > LIMIT_GRPC_CONTROL_BURST)
        b->tokens = LIMIT_GRPC_CONTROL_BURST;
}

bool h2_budget_take(struct h2_budget *b, const nghttp2_frame_hd *hd, int64_t now_ns) {
    if (carries(hd)) {
        earn(b, EARNED_BY_A_FRAME);
        return true;
    }
    if (now_ns > b->at_ns) {
        earn(b, (double)(now_ns - b->at_ns) / (double)NS_PER_S * LIMIT_GRPC_CONTROL_RATE);
        b->at_ns = now_ns;
    }
    if (b->tokens < 1)
        return false;
    b->tokens -= 1;
    return true;
}

void h2_budget_earn(struct h2_budget *b, const nghttp2_frame_hd *hd) {
    if (carries(hd))
        earn(b, EARNED_BY_A_FRAME);
}
