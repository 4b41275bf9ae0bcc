// SPDX-License-Identifier: Apache-2.0
/* Whom a fetch trusts, what it shows of itself, and what follows when the files change. */
#include "net/loop.h"
#include "web/fake_http.h"
#include "web/fetch.h"
#include "web/pki.h"
#include "web/turn.h"

struct world {
    uv_loop_t loop;
    struct fetch_pool *pool;
    char dir[256], ca_path[300], cert_path[300], key_path[300];
    struct pki_cert ca, other_ca, server, client;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    struct err e = {0};
    uv_loop_init(&w->loop);
    assert_int_equal(fetch_pool_new(&w->pool, &w->loop, &e), 0);
    pki_dir(w->dir, sizeof(w->dir));
    snprintf(w->ca_path, sizeof(w->ca_path), "%s/ca.pem", w->dir);
    snprintf(w->cert_path, sizeof(w->cert_path), "%s/cert.pem", w->dir);
    snprintf(w->key_path, sizeof(w->key_path), "%s/key.pem", w->dir);
    w->ca = pki_make("first authority", NULL, NULL, 30);
    w->other_ca = pki_make("second authority", NULL, NULL, 30);
    w->server = pki_make("engine", &w->ca, "DNS:engine.test,IP:127.0.0.1", 30);
    w->client = pki_make("scaler", &w->ca, NULL, 30);
    pki_write(w->ca_path, w->ca.x, NULL);
    pki_write(w->cert_path, w->client.x, NULL);
    pki_write(w->key_path, NULL, w->client.key);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    fetch_pool_free(w->pool);
    net_loop_drain_close(&w->loop);
    pki_free(&w->ca);
    pki_free(&w->other_ca);
    pki_free(&w->server);
    pki_free(&w->client);
    pki_dir_remove(w->dir, (const char *const[]){"ca.pem", "cert.pem", "key.pem", NULL});
    free(w);
    return 0;
}

static void serve(struct fake_conn *c, void *ctx) {
    while (fake_request(c) && fake_answer(c, "200 OK", "", "queue 3\n"))
        continue;
}

struct got {
    bool done;
    struct fetch_result result;
};
static void on_done(void *ctx, const struct fetch_result *r) {
    struct got *g = ctx;
    g->done = true;
    g->result = *r;
}
static bool is_done(void *ctx) {
    return ((struct got *)ctx)->done;
}

static struct got fetch_named(struct world *w, const struct fake_http *s, const char *host,
                              struct fetch_tls *tls, const char *server_name) {
    static struct got g;
    char url[128];
    struct fetch *f;
    struct err e = {0};
    snprintf(url, sizeof(url), "https://%s:%u/metrics", host, s->port);
    struct fetch_options o = {.url = url,
                              .tls = tls,
                              .server_name = server_name,
                              .connect_ms = 5000,
                              .total_ms = 10000,
                              .max_body_bytes = 1000,
                              .done = on_done,
                              .ctx = &g};
    g = (struct got){0};
    assert_int_equal(fetch_start(&f, w->pool, &o, &e), 0);
    TURN_UNTIL(&w->loop, is_done, &g);
    print_message("# %s\n", g.result.err.code ? g.result.err.msg : "ok");
    return g;
}

static struct got fetch_from(struct world *w, const struct fake_http *s, const char *host,
                             struct fetch_tls *tls) {
    return fetch_named(w, s, host, tls, NULL);
}

static struct fetch_tls *tls_of(struct world *w, bool identity, const char *server_name) {
    struct net_tls_files files = {.ca = w->ca_path};
    struct fetch_tls *tls;
    struct err e = {0};
    if (identity) {
        files.cert = w->cert_path;
        files.key = w->key_path;
    }
    int r = fetch_tls_new(&tls, &files, server_name, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(r, 0);
    return tls;
}

static void a_server_of_the_configured_authority_is_trusted(void **state) {
    struct world *w = *state;
    SSL_CTX *ctx = pki_server(&w->server, NULL);
    struct fake_http *s = fake_http_start(serve, NULL, ctx);
    struct fetch_tls *tls = tls_of(w, false, NULL);
    assert_int_equal(fetch_from(w, s, "127.0.0.1", tls).result.failure, FETCH_OK);
    fetch_tls_free(tls);
    fake_http_stop(s);
    SSL_CTX_free(ctx);
}

static void strangers_expired_and_misnamed_certificates_are_refused(void **state) {
    struct world *w = *state;
    struct pki_cert stranger = pki_make("engine", &w->other_ca, "IP:127.0.0.1", 30);
    struct pki_cert expired = pki_make("engine", &w->ca, "IP:127.0.0.1", -1);
    struct pki_cert misnamed = pki_make("engine", &w->ca, "DNS:elsewhere.test", 30);
    struct pki_cert *const certs[] = {&stranger, &expired, &misnamed};
    static const char *const says[] = {"unable to get local issuer", "expired",
                                       "no alternative certificate"};
    struct fetch_tls *tls = tls_of(w, false, NULL);
    for (int i = 0; i < 3; i++) {
        SSL_CTX *ctx = pki_server(certs[i], NULL);
        struct fake_http *s = fake_http_start(serve, NULL, ctx);
        struct got g = fetch_from(w, s, "127.0.0.1", tls);
        assert_int_equal(g.result.failure, FETCH_TLS);
        assert_int_equal(g.result.err.code, ERR_AUTH);
        assert_non_null(strstr(g.result.err.msg, says[i]));
        assert_int_equal(s->requests, 0);
        fake_http_stop(s);
        SSL_CTX_free(ctx);
        pki_free(certs[i]);
    }
    fetch_tls_free(tls);
}

static void a_server_name_is_what_is_verified_and_asked_for(void **state) {
    struct world *w = *state;
    struct pki_cert named = pki_make("engine", &w->ca, "DNS:engine.test", 30);
    SSL_CTX *ctx = pki_server(&named, NULL);
    struct fake_http *s = fake_http_start(serve, NULL, ctx);
    struct fetch_tls *tls = tls_of(w, false, "engine.test");
    assert_int_equal(fetch_from(w, s, "127.0.0.1", tls).result.failure, FETCH_OK);
    assert_non_null(strstr(s->conns[0].request, "Host: engine.test:"));
    fetch_tls_free(tls);
    tls = tls_of(w, false, "other.test");
    struct got g = fetch_from(w, s, "127.0.0.1", tls);
    assert_int_equal(g.result.failure, FETCH_TLS);
    assert_non_null(strstr(g.result.err.msg, "https://127.0.0.1:")); // the URL as configured
    fetch_tls_free(tls);
    fake_http_stop(s);
    SSL_CTX_free(ctx);
    pki_free(&named);
}

static void a_request_may_name_the_server_where_the_files_do_not(void **state) {
    struct world *w = *state;
    struct pki_cert named = pki_make("engine", &w->ca, "DNS:engine.test", 30);
    SSL_CTX *ctx = pki_server(&named, NULL);
    struct fake_http *s = fake_http_start(serve, NULL, ctx);
    struct fetch_tls *tls = tls_of(w, false, NULL);
    assert_int_equal(fetch_named(w, s, "127.0.0.1", tls, "engine.test").result.failure, FETCH_OK);
    assert_int_equal(fetch_named(w, s, "127.0.0.1", tls, "other.test").result.failure, FETCH_TLS);
    // Without files the system's trust does not know the authority, whatever the name.
    assert_int_equal(fetch_named(w, s, "127.0.0.1", NULL, "engine.test").result.failure, FETCH_TLS);
    fetch_tls_free(tls);
    tls = tls_of(w, false, "engine.test"); // the files' own name wins
    assert_int_equal(fetch_named(w, s, "127.0.0.1", tls, "other.test").result.failure, FETCH_OK);
    fetch_tls_free(tls);
    fake_http_stop(s);
    SSL_CTX_free(ctx);
    pki_free(&named);
}

static void mutual_tls_needs_our_certificate(void **state) {
    struct world *w = *state;
    SSL_CTX *ctx = pki_server(&w->server, &w->ca);
    struct fake_http *s = fake_http_start(serve, NULL, ctx);
    struct fetch_tls *with = tls_of(w, true, NULL), *without = tls_of(w, false, NULL);
    assert_int_equal(fetch_from(w, s, "127.0.0.1", with).result.failure, FETCH_OK);
    assert_int_equal(fetch_from(w, s, "127.0.0.1", without).result.failure, FETCH_TLS);
    fetch_tls_free(with);
    fetch_tls_free(without);
    fake_http_stop(s);
    SSL_CTX_free(ctx);
}

static void a_plain_port_is_told_from_a_tls_port(void **state) {
    struct world *w = *state;
    struct fake_http *s = fake_http_start(serve, NULL, NULL);
    struct fetch_tls *tls = tls_of(w, false, NULL);
    struct got g = fetch_from(w, s, "127.0.0.1", tls);
    assert_int_equal(g.result.failure, FETCH_CONNECT); // the fake waits for a head that never ends
    fetch_tls_free(tls);
    fake_http_stop(s);
}

static void an_authority_that_was_rotated_out_is_trusted_no_more(void **state) {
    struct world *w = *state;
    SSL_CTX *ctx = pki_server(&w->server, NULL);
    struct fake_http *s = fake_http_start(serve, NULL, ctx);
    struct fetch_tls *tls = tls_of(w, false, NULL);
    struct err e = {0};
    assert_int_equal(fetch_from(w, s, "127.0.0.1", tls).result.failure, FETCH_OK);
    assert_int_equal(fetch_tls_reload_if_changed(tls, &e), 0);
    pki_write(w->ca_path, w->other_ca.x, NULL);
    assert_int_equal(fetch_tls_reload_if_changed(tls, &e), 1);
    // Not even over the connection that is still open.
    assert_int_equal(fetch_from(w, s, "127.0.0.1", tls).result.failure, FETCH_TLS);
    pki_write(w->ca_path, w->ca.x, NULL);
    assert_int_equal(fetch_tls_reload_if_changed(tls, &e), 1);
    assert_int_equal(fetch_from(w, s, "127.0.0.1", tls).result.failure, FETCH_OK);
    fetch_tls_free(tls);
    fake_http_stop(s);
    SSL_CTX_free(ctx);
}

static void files_that_cannot_be_read_leave_the_old_ones_in_use(void **state) {
    struct world *w = *state;
    SSL_CTX *ctx = pki_server(&w->server, NULL);
    struct fake_http *s = fake_http_start(serve, NULL, ctx);
    struct fetch_tls *tls = tls_of(w, false, NULL);
    struct err e = {0};
    FILE *f = fopen(w->ca_path, "w");
    assert_true(fputs("-----BEGIN CERTIFICATE-----\nnonsense\n", f) > 0);
    assert_int_equal(fclose(f), 0);
    assert_true(fetch_tls_reload_if_changed(tls, &e) < 0);
    assert_non_null(strstr(e.msg, w->ca_path));
    assert_int_equal(fetch_from(w, s, "127.0.0.1", tls).result.failure, FETCH_OK);
    fetch_tls_free(tls);
    fake_http_stop(s);
    SSL_CTX_free(ctx);
}

static void a_missing_file_is_named(void **state) {
    struct net_tls_files files = {.ca = "/nonexistent/ca.pem"};
    struct fetch_tls *tls;
    struct err e = {0};
    assert_true(fetch_tls_new(&tls, &files, NULL, &e) < 0);
    assert_non_null(strstr(e.msg, "/nonexistent/ca.pem"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(a_server_of_the_configured_authority_is_trusted),
        T(strangers_expired_and_misnamed_certificates_are_refused),
        T(a_server_name_is_what_is_verified_and_asked_for),
        T(a_request_may_name_the_server_where_the_files_do_not),
        T(mutual_tls_needs_our_certificate),
        T(a_plain_port_is_told_from_a_tls_port),
        T(an_authority_that_was_rotated_out_is_trusted_no_more),
        T(files_that_cannot_be_read_leave_the_old_ones_in_use),
        T(a_missing_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
