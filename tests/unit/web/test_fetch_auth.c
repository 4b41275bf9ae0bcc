// SPDX-License-Identifier: Apache-2.0
/* Forms, headers and secrets of requests: what is sent, what is refused, and that no message has a
 * secret. */
#include <fcntl.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/loop.h"
#include "web/fake_http.h"
#include "web/fetch_auth.h"
#include "web/turn.h"

struct world {
    uv_loop_t loop;
    struct fetch_pool *pool;
    char file[64];
    struct fetch_result result;
    char body[1000];
    bool done;
};

static bool on_body(void *ctx, const char *p, size_t n) {
    struct world *w = ctx;
    size_t at = strlen(w->body);
    assert_true(at + n < sizeof(w->body));
    memcpy(w->body + at, p, n);
    w->body[at + n] = '\0';
    return true;
}

static void on_done(void *ctx, const struct fetch_result *r) {
    struct world *w = ctx;
    w->result = *r;
    w->done = true;
}

static bool is_done(void *ctx) {
    return ((struct world *)ctx)->done;
}

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    struct err e = {0};
    uv_loop_init(&w->loop);
    assert_int_equal(fetch_pool_new(&w->pool, &w->loop, &e), 0);
    snprintf(w->file, sizeof(w->file), "/tmp/fetch-auth-%d", (int)getpid());
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    fetch_pool_free(w->pool);
    net_loop_drain_close(&w->loop);
    unlink(w->file);
    free(w);
    return 0;
}

static void put(const struct world *w, const char *text, size_t n) {
    int fd = open(w->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
}

static void say(const struct world *w, const char *text) {
    put(w, text, strlen(text));
}

// Answers with the request's head and form, so that the test sees them.
static void echo(struct fake_conn *c, void *ctx) {
    while (fake_request(c)) {
        char all[9000], form[500] = "";
        const char *length = strstr(c->request, "Content-Length: ");
        size_t n = length ? strtoul(length + 16, NULL, 10) : 0;
        for (size_t got = 0; got < n;) {
            ssize_t more = fake_read(c, form + got, n - got);
            if (more <= 0)
                return;
            got += (size_t)more;
        }
        snprintf(all, sizeof(all), "%s%s", c->request, form);
        if (!fake_answer(c, ctx ? ctx : "200 OK", "", all))
            return;
    }
}

static int start(struct world *w, const struct fake_http *s, struct fetch_options o,
                 struct err *e) {
    char url[64];
    struct fetch *f;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/api", s->port);
    w->done = false;
    w->body[0] = '\0';
    o.url = url;
    o.connect_ms = o.total_ms = 20000;
    o.max_body_bytes = 900;
    o.body = on_body;
    o.done = on_done;
    o.ctx = w;
    int r = fetch_start(&f, w->pool, &o, e);
    if (r == 0)
        TURN_UNTIL(&w->loop, is_done, w);
    return r;
}

static void a_form_is_posted_and_headers_are_sent(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(echo, NULL, NULL);
    static const char *const headers[] = {"X-Scope-OrgID: team one", "X-More: b", NULL};
    struct err e = {0};
    struct fetch_options o = {.form = "query=up%7B%7D&timeout=5", .headers = headers};
    assert_int_equal(start(w, s, o, &e), 0);
    assert_int_equal(w->result.failure, FETCH_OK);
    static const char *const parts[] = {
        "POST /api HTTP/1.1\r\n", "X-Scope-OrgID: team one\r\n", "X-More: b\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n", "\r\n\r\nquery=up%7B%7D&timeout=5"};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!strstr(w->body, parts[i]))
            fail_msg("no %s in %s", parts[i], w->body);
    // The handle is used again: nothing of the first request is left.
    assert_int_equal(start(w, s, (struct fetch_options){0}, &e), 0);
    assert_non_null(strstr(w->body, "GET /api HTTP/1.1\r\n"));
    assert_null(strstr(w->body, "X-More"));
    fake_http_stop(s);
}

static void the_secret_of_the_file_is_sent_as_it_is_now(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(echo, NULL, NULL);
    struct fetch_auth *bearer, *basic;
    struct err e = {0};
    say(w, "tok3n.a \n");
    assert_int_equal(
        fetch_auth_new(&bearer, &(struct fetch_auth_files){.bearer_file = w->file}, &e), 0);
    assert_int_equal(start(w, s, (struct fetch_options){.auth = bearer}, &e), 0);
    assert_non_null(strstr(w->body, "Authorization: Bearer tok3n.a\r\n"));
    say(w, "tok3n.b");
    assert_int_equal(start(w, s, (struct fetch_options){.auth = bearer}, &e), 0);
    assert_non_null(strstr(w->body, "Authorization: Bearer tok3n.b\r\n"));
    say(w, "open sesame\n");
    assert_int_equal(
        fetch_auth_new(&basic,
                       &(struct fetch_auth_files){.username = "aladdin", .password_file = w->file},
                       &e),
        0);
    assert_int_equal(start(w, s, (struct fetch_options){.auth = basic}, &e), 0);
    assert_non_null(strstr(w->body, "Authorization: Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    assert_int_equal(start(w, s, (struct fetch_options){0}, &e), 0);
    assert_null(strstr(w->body, "Authorization"));
    // Unreadable now: the request is not made, the message has the file and no secret.
    unlink(w->file);
    assert_int_equal(start(w, s, (struct fetch_options){.auth = basic}, &e), ERR_AUTH);
    assert_non_null(strstr(e.msg, w->file));
    assert_non_null(strstr(e.msg, "No such file"));
    fetch_auth_free(bearer);
    fetch_auth_free(basic);
    fake_http_stop(s);
}

static void what_is_no_secret_is_refused_with_the_file_and_not_its_text(void **state) {
    struct world *w = *state;
    struct err e = {0};
    struct fetch_auth *auth = NULL;
    struct fetch_auth_files files = {.bearer_file = w->file};
    static char large[LIMIT_SECRET_BYTES + 10];
    memset(large, 's', sizeof(large));
    assert_int_equal(fetch_auth_new(&auth, &files, &e), ERR_AUTH);
    say(w, " \n");
    assert_int_equal(fetch_auth_new(&auth, &files, &e), ERR_AUTH);
    assert_non_null(strstr(e.msg, "is empty"));
    say(w, "s3cret\r\nHost: evil");
    assert_int_equal(fetch_auth_new(&auth, &files, &e), ERR_AUTH);
    assert_non_null(strstr(e.msg, "not one line of text"));
    assert_null(strstr(e.msg, "s3cret"));
    put(w, "a\0b", 3);
    assert_int_equal(fetch_auth_new(&auth, &files, &e), ERR_AUTH);
    put(w, large, sizeof(large));
    assert_int_equal(fetch_auth_new(&auth, &files, &e), ERR_AUTH);
    assert_non_null(strstr(e.msg, "longer than"));
    assert_null(strstr(e.msg, "sss"));
    assert_int_equal(fetch_auth_new(&auth, &(struct fetch_auth_files){.username = "a"}, &e),
                     ERR_INVALID);
    assert_null(auth);
    say(w, "t");
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        mem_fail_from(n);
        r = fetch_auth_new(&auth, &files, &e);
        mem_fail_never();
        assert_true(n < 10);
    }
    assert_int_equal(r, 0);
    fetch_auth_free(auth);
}

static void the_body_of_an_error_is_handed_on_where_it_is_wanted(void **state) {
    struct world *w = *state;
    static char status[] = "422 Unprocessable Entity";
    struct fake_http *s = fake_http_start(echo, status, NULL);
    struct err e = {0};
    assert_int_equal(start(w, s, (struct fetch_options){.error_body = true}, &e), 0);
    assert_int_equal(w->result.failure, FETCH_STATUS);
    assert_int_equal(w->result.status, 422);
    assert_non_null(strstr(w->body, "GET /api"));
    assert_int_equal(start(w, s, (struct fetch_options){0}, &e), 0);
    assert_int_equal(w->result.failure, FETCH_STATUS);
    assert_string_equal(w->body, "");
    fake_http_stop(s);
}

static void content_is_sent_by_the_method_that_is_asked_for(void **state) {
    struct world *w = *state;
    static char created[] = "201 Created";
    struct fake_http *s = fake_http_start(echo, created, NULL);
    static const struct {
        const char *method, *line;
    } cases[] = {{NULL, "POST /api HTTP/1.1\r\n"},
                 {"PUT", "PUT /api HTTP/1.1\r\n"},
                 {"PATCH", "PATCH /api HTTP/1.1\r\n"},
                 {"DELETE", "DELETE /api HTTP/1.1\r\n"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err e = {0};
        struct fetch_options o = {.method = cases[i].method,
                                  .content = STR("{\"a\":1}"),
                                  .content_type = "application/json",
                                  .any_success = true};
        assert_int_equal(start(w, s, o, &e), 0);
        assert_int_equal(w->result.failure, FETCH_OK);
        assert_int_equal(w->result.status, 201);
        assert_true(str_starts(str_from(w->body), cases[i].line));
        assert_non_null(strstr(w->body, "Content-Type: application/json\r\n"));
        assert_non_null(strstr(w->body, "Content-Length: 7\r\n"));
        assert_true(str_ends(str_from(w->body), "\r\n\r\n{\"a\":1}"));
    }
    struct err e = {0};
    assert_int_equal(start(w, s, (struct fetch_options){0}, &e), 0);
    assert_int_equal(w->result.failure, FETCH_STATUS); // 201 is no success that was asked for
    fake_http_stop(s);
}

static void wait_a_while(struct fake_conn *c, void *ctx) {
    while (fake_request(c) && fake_answer(c, "429 Too Many Requests", ctx, "later"))
        continue;
}

static void the_time_that_the_server_names_is_told(void **state) {
    struct world *w = *state;
    static const struct {
        const char *header;
        int64_t is;
    } cases[] = {{"Retry-After: 7\r\n", 7000},
                 {"retry-after:0\r\n", 0},
                 {"Retry-After: -1\r\n", -1},
                 {"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", -1},
                 {"Retry-After: 99999999999999999999\r\n", -1},
                 {"", -1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char header[100];
        struct err e = {0};
        snprintf(header, sizeof(header), "%s", cases[i].header);
        struct fake_http *s = fake_http_start(wait_a_while, header, NULL);
        assert_int_equal(start(w, s, (struct fetch_options){0}, &e), 0);
        assert_int_equal(w->result.status, 429);
        assert_int_equal(w->result.retry_after_ms, cases[i].is);
        fake_http_stop(s);
    }
}

static void a_token_of_no_file_is_sent_and_checked_alike(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(echo, NULL, NULL);
    struct fetch_auth *auth = NULL;
    struct err e = {0};
    static char large[LIMIT_SECRET_BYTES];
    assert_int_equal(fetch_auth_new_token(&auth, STR("pl.ugin "), "plugin", &e), 0);
    assert_int_equal(start(w, s, (struct fetch_options){.auth = auth}, &e), 0);
    assert_non_null(strstr(w->body, "Authorization: Bearer pl.ugin\r\n"));
    auth = fetch_auth_free(auth);
    memset(large, 's', sizeof(large));
    const struct str bad[] = {STR(""), STR("s3cret\nx"), STR("s3cret\0x"), {large, sizeof(large)}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(fetch_auth_new_token(&auth, bad[i], "the plugin's token", &e), ERR_AUTH);
        assert_true(str_starts(str_from(e.msg), "the plugin's token: "));
        assert_null(strstr(e.msg, "s3cret"));
    }
    assert_null(auth);
    int r = ERR_NOMEM;
    for (long n = 1; r == ERR_NOMEM; n++) {
        mem_fail_from(n);
        r = fetch_auth_new_token(&auth, STR("t"), "plugin", &e);
        mem_fail_never();
        assert_true(n < 10);
    }
    assert_int_equal(r, 0);
    fetch_auth_free(auth);
    fake_http_stop(s);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_form_is_posted_and_headers_are_sent),
        TEST(the_secret_of_the_file_is_sent_as_it_is_now),
        TEST(what_is_no_secret_is_refused_with_the_file_and_not_its_text),
        TEST(the_body_of_an_error_is_handed_on_where_it_is_wanted),
        TEST(content_is_sent_by_the_method_that_is_asked_for),
        TEST(the_time_that_the_server_names_is_told),
        TEST(a_token_of_no_file_is_sent_and_checked_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
