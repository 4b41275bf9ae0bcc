// SPDX-License-Identifier: Apache-2.0
/*
 * A connection of the HTTP server, over a real socket: any bytes, in pieces (the first byte says
 * how large), to routes of which one is a list of the status API and one answers in pieces. What
 * comes back is one sound answer for each request that the codec finds in the same bytes, in their
 * order, and nothing else; a list's JSON parses and holds what limit and offset ask for.
 */
#include <jansson.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/mem.h"
#include "fuzz.h"
#include "net/http1.h"
#include "net/http_server.h"
#include "scaler/api_page.h"

enum { ITEMS = 7, REQUESTS_MAX = 4096, TURNS_MAX = 100000 };

static uv_loop_t loop;
static struct http_server *server;
static struct buf answers;

static void handle_list(struct http_request *r, void *ctx) {
    struct api_page p;
    char ns[16];
    if (!api_param(r, "namespace", ns, sizeof(ns)) || !api_page_begin(&p, r, &view_all, 3, 5))
        return;
    for (int i = 0; i < ITEMS; i++) {
        if (!api_page_item(&p))
            continue;
        (void)buf_addf(&p.out, "{\"i\":%d", i);
        api_text(&p.out, "namespace", ns);
        api_number(&p.out, "x", i / 3.0);
        (void)buf_add_byte(&p.out, '}');
    }
    api_page_end(&p);
}

static void handle_echo(struct http_request *r, void *ctx) {
    http_request_answer(r, &(struct http_answer){.status = 200, .body = http_request_body(r)});
}

// Answered by a later turn of the loop.
static struct http_request *waiting[64];
static size_t n_waiting;

static void handle_later(struct http_request *r, void *ctx) {
    if (n_waiting < COUNT_OF(waiting))
        waiting[n_waiting++] = r;
    else
        http_request_answer_text(r, 503, "full");
}
static void answer_waiting(void) {
    while (n_waiting > 0)
        http_request_answer_text(waiting[--n_waiting], 200, "later");
}

static void handle_big(struct http_request *r, void *ctx) {
    static const char big[150000];
    http_request_answer(
        r, &(struct http_answer){.status = 200, .body = {big, sizeof(big)}, .body_gzip = true});
}

// In pieces: some now, the last by a later turn; or dropped when the client goes.
enum { PIECES = 3 };
static struct http_request *streaming[64];
static size_t n_streaming;

static void on_gone(struct http_request *r, void *ctx) {
    for (size_t i = 0; i < n_streaming; i++) {
        if (streaming[i] != r)
            continue;
        streaming[i] = streaming[--n_streaming];
        http_request_end(r); // a client that only shut its sending side reads it
        return;
    }
    require(false);
}

static void handle_pieces(struct http_request *r, void *ctx) {
    static const struct http_watch watch = {.gone = on_gone};
    if (n_streaming == COUNT_OF(streaming)) {
        http_request_answer_text(r, 503, "full");
        return;
    }
    http_request_begin(r, &(struct http_answer){.status = 200});
    for (int i = 0; i < PIECES; i++)
        (void)http_request_send(r, STR("piece"));
    http_request_watch(r, &watch, NULL);
    streaming[n_streaming++] = r;
}

static void end_streaming(void) {
    while (n_streaming > 0)
        http_request_end(streaming[--n_streaming]);
}

static void handle_path(struct http_request *r, void *ctx) {
    http_request_answer_text(r, 200, "%zu", http_request_path(r).n);
}

static const struct http_route routes[] = {
    {"GET", "/", handle_path},    {"GET", "/l", handle_list},
    {"POST", "/e", handle_echo},  {"GET", "/p/", handle_path},
    {"GET", "/w", handle_later},  {"GET", "/b", handle_big},
    {"GET", "/c", handle_pieces}, {0}};

static void setup(void) {
    static char address[64];
    struct err e;
    if (server)
        return;
    snprintf(address, sizeof(address), "unix:/tmp/fuzz_http_server.%d", (int)getpid());
    require(uv_loop_init(&loop) == 0);
    struct http_server_options o = {.listen = address, .routes = routes};
    require(http_server_open(&server, &loop, &o, &e) == 0);
    buf_init(&answers, 256 << 20);
}

static int dial(void) {
    const struct net_addr *to = http_server_addr(server);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(fd >= 0 && connect(fd, &to->sa, to->len) == 0);
    return fd;
}

// Takes what there is; true at the end.
static bool take(int fd) {
    for (;;) {
        char *room = buf_reserve(&answers, 65536);
        require(room != NULL);
        ssize_t n = read(fd, room, 65536);
        if (n > 0)
            answers.len += (size_t)n;
        else
            return n == 0 || errno != EAGAIN;
    }
}

static void converse(const uint8_t *data, size_t size, size_t piece) {
    int fd = dial();
    bool shut = false, over = false;
    size_t at = 0;
    buf_clear(&answers);
    for (int turns = 0; !over; turns++) {
        require(turns < TURNS_MAX);
        size_t n = size - at < piece ? size - at : piece;
        if (n > 0) {
            ssize_t sent = send(fd, data + at, n, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN)
                at = size; // the server is done with us
            at += sent > 0 ? (size_t)sent : 0;
        } else if (!shut) {
            shut = true;
            shutdown(fd, SHUT_WR);
        }
        uv_run(&loop, UV_RUN_NOWAIT);
        if (turns % 3 == 2) {
            answer_waiting();
            end_streaming();
        }
        over = take(fd);
    }
    close(fd);
    answer_waiting();
    end_streaming();
    for (int turns = 0; http_server_stats(server).connections > 0; turns++) {
        require(turns < TURNS_MAX);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

/* What came back */

static struct str line_of(struct str *rest) {
    char *end = memmem(rest->p, rest->n, "\r\n", 2);
    require(end != NULL);
    struct str line = {rest->p, (size_t)(end - rest->p)};
    rest->p = end + 2;
    rest->n -= line.n + 2;
    return line;
}

static void check_list(struct str body, int status) {
    json_error_t why;
    json_t *j = json_loadb(body.p, body.n, 0, &why);
    require(status != 200 || j != NULL);
    json_t *items = json_object_get(j, "items");
    if (status == 200) {
        require(json_is_array(items) && json_array_size(items) <= 5);
        require(json_integer_value(json_object_get(j, "total")) == ITEMS);
        for (size_t i = 1; i < json_array_size(items); i++)
            require(json_integer_value(json_object_get(json_array_get(items, i), "i")) ==
                    json_integer_value(json_object_get(json_array_get(items, i - 1), "i")) + 1);
    }
    json_decref(j);
}

// An answer in pieces, its end included: chunks, or (HTTP/1.0) all that is left.
static void check_pieces(struct str *rest, bool chunked) {
    static const char chunks[] = "5\r\npiece\r\n5\r\npiece\r\n5\r\npiece\r\n0\r\n\r\n",
                      bytes[] = "piecepiecepiece";
    struct str want = chunked ? STR(chunks) : STR(bytes);
    require(rest->n >= want.n && memcmp(rest->p, want.p, want.n) == 0);
    rest->p += want.n;
    rest->n -= want.n;
    require(chunked || rest->n == 0);
}

// One answer off the front; false: nothing is left. 100 Continue counts for itself.
static bool next_answer(struct str *rest, bool head, bool list, int *ret_status) {
    if (rest->n == 0)
        return false;
    struct str line = line_of(rest);
    unsigned long long length = 0, status;
    bool has_length = false, chunked = false;
    require(line.n >= 13 && memcmp(line.p, "HTTP/1.1 ", 9) == 0 && line.p[12] == ' ');
    require(str_to_u64((struct str){line.p + 9, 3}, &status) == 0);
    require(status == 100 || status == 200 || (status >= 400 && status < 600 && status != 500));
    while ((line = line_of(rest)).n > 0) {
        struct str value = line, name = str_cut(&value, ':');
        require(name.n > 0 && memchr(line.p, ':', line.n) && !memchr(line.p, '\n', line.n));
        if (str_eq_nocase(name, STR("content-length"))) {
            require(!has_length && str_to_u64(str_trim(value), &length) == 0);
            has_length = true;
        } else if (str_eq_nocase(name, STR("transfer-encoding"))) {
            require(!chunked && str_eqc(str_trim(value), "chunked"));
            chunked = true;
        }
    }
    *ret_status = (int)status;
    require(!(has_length && chunked) && (status != 100 || !(has_length || chunked)));
    if (head || status == 100)
        return true;
    if (!has_length) {
        check_pieces(rest, chunked);
        return true;
    }
    require(length <= rest->n);
    if (list)
        check_list((struct str){rest->p, length}, *ret_status);
    rest->p += length;
    rest->n -= length;
    return true;
}

// The same bytes through the codec say what is to come.
static void check(const uint8_t *data, size_t size) {
    struct str rest = buf_str(&answers);
    struct http1 h;
    size_t used = 0;
    bool open = true;
    int status;
    http1_init(&h);
    while (open && used < size) {
        used += http1_feed(&h, data + used, size - used);
        if (h.state == HTTP1_HEAD)
            break;
        bool expects = h.expects_continue && h.state != HTTP1_FAILED;
        bool head = h.state != HTTP1_FAILED && str_eqc(http1_method(&h), "HEAD");
        while (h.state == HTTP1_BODY && used < size)
            used += http1_feed(&h, data + used, size - used);
        if (h.state == HTTP1_BODY)
            expects = true; // unfinished: at most an interim or an early answer
        struct str path = http1_path(&h);
        bool list = h.state == HTTP1_DONE && str_eqc(path, "/l") &&
                    str_eqc(http1_method(&h), "GET");
        // HEAD whose body then fails: refused before it (no body), or because of it (with one).
        bool unsure = head && h.state == HTTP1_FAILED;
        bool more = next_answer(&rest, head, list, &status);
        if (more && status == 100) {
            require(expects);
            more = next_answer(&rest, head, list, &status);
        }
        if (h.state == HTTP1_BODY)
            break;
        require(more && status != 100);
        if (unsure)
            break;
        if (h.state == HTTP1_FAILED)
            require(status == h.status || expects);
        bool until_close = h.state == HTTP1_DONE && h.minor == 0 && status == 200 && !head &&
                           str_eqc(path, "/c");
        open = h.state == HTTP1_DONE && h.keep_alive && status < 500 && !expects && !until_close;
        if (expects)
            break; // an early refusal may have ended the connection
        http1_done(&h);
        http1_init(&h);
    }
    if (open && h.state != HTTP1_BODY && h.state != HTTP1_FAILED)
        require(rest.n == 0);
    http1_done(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    setup();
    converse(data + 1, size - 1, data[0] < 128 ? SIZE_MAX / 2 : (data[0] - 127u) * 5);
    check(data + 1, size - 1);
    return 0;
}
