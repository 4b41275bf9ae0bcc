// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP client against any server: the bytes are its whole answer, over a real socket, in pieces
 * (the first byte says how large; its top bit asks for an end by reset). The fetch ends once, with
 * an answer or with one reason and a sentence; what is handed on stays under the cap and is only
 * that of a 200.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "web/fetch.h"

enum { BODY_MAX = 5000, TURNS_MAX = 200000 };

static uv_loop_t loop;
static struct fetch_pool *pool;
static int listening = -1;
static char url[64];
static size_t taken;
static bool done;
static struct fetch_result result;

static bool on_body(void *ctx, const char *p, size_t n) {
    require(!done && n > 0);
    taken += n;
    require(taken <= BODY_MAX);
    return memchr(p, 0x01, n) == NULL; // the receiver may refuse
}

static void on_done(void *ctx, const struct fetch_result *r) {
    require(!done);
    done = true;
    result = *r;
}

static void setup(void) {
    if (listening >= 0)
        return;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    require(uv_loop_init(&loop) == 0);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    require(listening >= 0 && bind(listening, (struct sockaddr *)&a, n) == 0);
    require(listen(listening, 16) == 0);
    require(getsockname(listening, (struct sockaddr *)&a, &n) == 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/metrics", ntohs(a.sin_port));
}

static void serve(int fd, const uint8_t *data, size_t size, size_t piece, size_t *at) {
    char request[4096];
    while (read(fd, request, sizeof(request)) > 0) {
    }
    size_t n = size - *at < piece ? size - *at : piece;
    ssize_t sent = n > 0 ? send(fd, data + *at, n, MSG_NOSIGNAL) : 0;
    if (sent < 0)
        *at = size;
    else
        *at += (size_t)sent;
}

static void check(void) {
    require(result.body_bytes == taken && result.failure < FETCH_FAILURE_MAX);
    require(result.status == 0 || (result.status >= 100 && result.status <= 999));
    if (result.failure == FETCH_OK) {
        require(result.err.code == 0 && result.status == 200);
        return;
    }
    require_message(&result.err);
    require(result.failure != FETCH_INTERNAL && result.failure != FETCH_RESOLVE &&
            result.failure != FETCH_TLS && result.failure != FETCH_CONNECT);
    require(taken == 0 || result.status == 200);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fetch_options o = {.url = url,
                              .connect_ms = 60000,
                              .total_ms = 60000,
                              .max_body_bytes = BODY_MAX,
                              .body = on_body,
                              .done = on_done};
    struct fetch *f;
    struct linger hard = {.l_onoff = 1};
    size_t at = 0;
    int fd = -1;
    if (size == 0)
        return 0;
    setup();
    require(fetch_pool_new(&pool, &loop, NULL) == 0);
    taken = 0;
    done = false;
    require(fetch_start(&f, pool, &o, NULL) == 0);
    size_t piece = data[0] & 0x40 ? SIZE_MAX / 2 : (data[0] & 0x3fu) * 3 + 1;
    for (int turns = 0; !done; turns++) {
        require(turns < TURNS_MAX);
        if (fd < 0)
            fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        else if (at < size - 1)
            serve(fd, data + 1, size - 1, piece, &at);
        else if (turns > 3 && data[0] & 0x80)
            break;
        else
            shutdown(fd, SHUT_WR);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    if (fd >= 0) { // with a reset, so that no port waits for its last packets
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        close(fd);
    }
    for (int turns = 0; !done; turns++) {
        require(turns < TURNS_MAX);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    check();
    fetch_pool_free(pool);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    return 0;
}
