// SPDX-License-Identifier: Apache-2.0
/*
 * Who may talk to whom: mutual TLS with every kind of wrong certificate, names that do not match,
 * silent and babbling peers, a reload under a live connection. Each refusal says what to mend.
 */
#include "net_unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct side {                     // one end's files
    const struct unit_cert *cert; // NULL: none
    const struct unit_cert *ca;   // whom it trusts; NULL on a server: asks for no certificate
};

struct world {
    uv_loop_t loop;
    struct net_listener *listener;
    struct net_tls *server_tls, *client_tls;
    struct unit_end server, client;
    struct unit_dir dir;
    struct unit_cert ca, other_ca, leaf, expired, early, elsewhere, stranger, by_address,
        client_only, nul_name;
    uint32_t handshake_ms;
};

static void on_accepted(void *ctx, int fd) {
    struct world *w = ctx;
    assert_int_equal(net_stream_accept(&w->loop, fd, w->server_tls, w->handshake_ms, &unit_ops,
                                       &w->server, &w->server.stream, NULL),
                     0);
}

static void world_init(struct world *w) {
    *w = (struct world){.handshake_ms = 20000};
    uv_loop_init(&w->loop);
    unit_dir_init(&w->dir);
    unit_end_init(&w->server);
    unit_end_init(&w->client);
    struct net_listener_options o = {"127.0.0.1:0", 100, on_accepted, w};
    assert_int_equal(net_listener_open(&w->listener, &w->loop, &o, NULL), 0);
    w->ca = unit_cert_new(&(struct unit_cert_spec){.common_name = "ca", .ca = true}, NULL);
    w->other_ca = unit_cert_new(&(struct unit_cert_spec){.common_name = "ca2", .ca = true}, NULL);
    struct unit_cert_spec leaf = {.common_name = "keda-operator", .san = "DNS:agent.example"};
    w->leaf = unit_cert_new(&leaf, &w->ca);
    w->stranger = unit_cert_new(&leaf, &w->other_ca);
    leaf.not_before_s = -100, leaf.not_after_s = -10;
    w->expired = unit_cert_new(&leaf, &w->ca);
    leaf.not_before_s = 1000, leaf.not_after_s = 2000;
    w->early = unit_cert_new(&leaf, &w->ca);
    w->elsewhere = unit_cert_new(
        &(struct unit_cert_spec){.common_name = "agent.example", .san = "DNS:other.example"},
        &w->ca);
    w->by_address = unit_cert_new(
        &(struct unit_cert_spec){.common_name = "x", .san = "IP:127.0.0.1"}, &w->ca);
    w->client_only = unit_cert_new(&(struct unit_cert_spec){.common_name = "x",
                                                            .san = "DNS:agent.example",
                                                            .usage = "clientAuth"},
                                   &w->ca);
    w->nul_name = unit_cert_new(&(struct unit_cert_spec){.common_name = "admin\0.evil",
                                                         .common_name_n = 11,
                                                         .san = "DNS:agent.example"},
                                &w->ca);
}

static struct net_tls *make_tls(struct world *w, enum net_tls_role role, enum net_tls_alpn alpn,
                                const struct side *side) {
    struct net_tls_files files = {0};
    bool server = role == NET_TLS_SERVER;
    if (side->cert) {
        files.cert = unit_write_cert(&w->dir, server ? "server.crt" : "client.crt", side->cert);
        files.key = unit_write_key(&w->dir, server ? "server.key" : "client.key", side->cert);
    }
    if (side->ca)
        files.ca = unit_write_cert(&w->dir, server ? "server.ca" : "client.ca", side->ca);
    struct net_tls *tls;
    struct err e = {0};
    if (net_tls_new(&tls, role, alpn, &files, &e) < 0)
        fail_msg("%s", e.msg);
    return tls;
}

static void end_streams(struct world *w) {
    if (w->server.stream)
        net_stream_abort(w->server.stream, NULL);
    if (w->client.stream)
        net_stream_abort(w->client.stream, NULL);
    RUN_UNTIL(&w->loop, !w->server.stream && !w->client.stream);
    unit_end_done(&w->server);
    unit_end_done(&w->client);
    unit_end_init(&w->server);
    unit_end_init(&w->client);
}

static void free_tls(struct world *w) {
    w->server_tls = net_tls_free(w->server_tls);
    w->client_tls = net_tls_free(w->client_tls);
}

static void world_done(struct world *w) {
    end_streams(w);
    free_tls(w);
    net_listener_close(w->listener);
    net_loop_drain_close(&w->loop);
    struct unit_cert *certs[] = {&w->ca,          &w->other_ca,  &w->leaf,     &w->expired,
                                 &w->early,       &w->elsewhere, &w->stranger, &w->by_address,
                                 &w->client_only, &w->nul_name};
    for (size_t i = 0; i < COUNT_OF(certs); i++)
        unit_cert_free(certs[i]);
    unit_dir_done(&w->dir);
}

static void dial(struct world *w, const char *name) {
    assert_int_equal(net_stream_connect(&w->loop, net_listener_addr(w->listener), w->client_tls,
                                        name, w->handshake_ms, &unit_ops, &w->client,
                                        &w->client.stream, NULL),
                     0);
}

static void only_the_right_certificates_get_through(void **state) {
    struct world w;
    world_init(&w);
    const struct {
        const char *what;
        struct side server, client;
        const char *name;
        const char *client_says, *server_says; // NULL: that end becomes ready
    } cases[] = {
        {"mutual", {&w.leaf, &w.ca}, {&w.leaf, &w.ca}, "agent.example", NULL, NULL},
        {"server only", {&w.leaf, NULL}, {NULL, &w.ca}, "agent.example", NULL, NULL},
        {"by address", {&w.by_address, NULL}, {NULL, &w.ca}, "127.0.0.1", NULL, NULL},
        {"no client certificate",
         {&w.leaf, &w.ca},
         {NULL, &w.ca},
         "agent.example",
         "certificate required",
         "shows no certificate"},
        {"client of another CA",
         {&w.leaf, &w.ca},
         {&w.stranger, &w.ca},
         "agent.example",
         "unknown ca",
         "unable to get local issuer"},
        {"expired client",
         {&w.leaf, &w.ca},
         {&w.expired, &w.ca},
         "agent.example",
         "certificate expired",
         "certificate has expired (subject \"keda-operator\", for agent.example; issuer \"ca\")"},
        {"client from the future",
         {&w.leaf, &w.ca},
         {&w.early, &w.ca},
         "agent.example",
         "bad certificate",
         "not yet valid"},
        {"server of another CA",
         {&w.stranger, NULL},
         {NULL, &w.ca},
         "agent.example",
         "unable to get local issuer",
         "unknown ca"},
        {"expired server",
         {&w.expired, NULL},
         {NULL, &w.ca},
         "agent.example",
         "certificate has expired",
         "certificate expired"},
        // A subject's common name that would match does not count beside a SAN that does not.
        {"another host",
         {&w.elsewhere, NULL},
         {NULL, &w.ca},
         "agent.example",
         "hostname mismatch",
         "bad certificate"},
        {"another address",
         {&w.leaf, NULL},
         {NULL, &w.ca},
         "127.0.0.1",
         "IP address mismatch",
         "bad certificate"},
        {"a client's certificate as server",
         {&w.client_only, NULL},
         {NULL, &w.ca},
         "agent.example",
         "purpose",
         "unsupported certificate"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &cases[i].server);
        w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &cases[i].client);
        dial(&w, cases[i].name);
        // With TLS 1.3 the client is done before the server has looked at its certificate.
        RUN_UNTIL(&w.loop, (cases[i].client_says ? w.client.closed : w.client.ready) &&
                               (cases[i].server_says ? w.server.closed : w.server.ready));
        const struct unit_end *ends[] = {&w.client, &w.server};
        const char *says[] = {cases[i].client_says, cases[i].server_says};
        for (int k = 0; k < 2; k++) {
            if (says[k] && !strstr(ends[k]->why.msg, says[k]))
                fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].what, ends[k]->why.msg,
                         says[k]);
            if (says[k])
                assert_int_equal(ends[k]->why.code, ERR_AUTH);
            assert_int_equal(ends[k]->got_bytes, 0);
        }
        if (cases[i].server_says)
            assert_int_equal(w.server.ready, 0);
        end_streams(&w);
        free_tls(&w);
    }
    world_done(&w);
}

static void the_client_is_known_by_its_common_name(void **state) {
    struct world w;
    world_init(&w);
    const struct {
        struct side client;
        const char *name;
    } cases[] = {
        {{&w.leaf, &w.ca}, "keda-operator"},
        {{&w.nul_name, &w.ca}, ""}, // "admin" to whoever stops at the NUL
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2,
                                &(struct side){&w.leaf, &w.ca});
        w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &cases[i].client);
        dial(&w, "agent.example");
        RUN_UNTIL(&w.loop, w.client.ready && w.server.ready);
        assert_string_equal(net_stream_peer_name(w.server.stream), cases[i].name);
        end_streams(&w);
        free_tls(&w);
    }
    world_done(&w);
}

// The certificates as one PEM text, after words that are none.
static struct str pem_of(struct buf *b, const struct unit_cert *const *certs, size_t n) {
    assert_int_equal(buf_addc(b, "issued by us\n"), 0);
    for (size_t i = 0; i < n; i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        assert_int_equal(PEM_write_bio_X509(bio, certs[i]->x509), 1);
        long len = BIO_get_mem_data(bio, &text);
        assert_int_equal(buf_add(b, text, (size_t)len), 0);
        BIO_free(bio);
    }
    return buf_str(b);
}

static void a_client_that_is_asked_may_show_none_but_none_of_another_authority(void **state) {
    struct world w;
    world_init(&w);
    const struct unit_cert *both[] = {&w.ca, &w.other_ca};
    const struct {
        const char *what;
        size_t first, n; // of `both`, asked with
        struct side client;
        const char *name; // NULL: refused
    } cases[] = {
        {"nobody is asked", 0, 0, {&w.leaf, &w.ca}, ""},
        {"asked, none shown", 0, 1, {NULL, &w.ca}, ""},
        {"the right one", 0, 1, {&w.leaf, &w.ca}, "keda-operator"},
        {"of the second authority", 0, 2, {&w.stranger, &w.ca}, "keda-operator"},
        {"of another authority", 0, 1, {&w.stranger, &w.ca}, NULL},
        {"of an authority that is none any more", 1, 1, {&w.leaf, &w.ca}, NULL},
        {"expired", 0, 2, {&w.expired, &w.ca}, NULL},
        {"nobody is asked any more", 0, 0, {&w.stranger, &w.ca}, ""},
    };
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CLEANUP_BUF struct buf pem;
        buf_init(&pem, 1 << 20);
        struct str text = {0};
        if (cases[i].n > 0)
            text = pem_of(&pem, both + cases[i].first, cases[i].n);
        assert_int_equal(net_tls_ask_clients(w.server_tls, text, NULL), 0);
        w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &cases[i].client);
        dial(&w, "agent.example");
        RUN_UNTIL(&w.loop, cases[i].name ? w.client.ready && w.server.ready : w.server.closed);
        if (cases[i].name == NULL)
            assert_int_equal(w.server.why.code, ERR_AUTH);
        else if (strcmp(net_stream_peer_name(w.server.stream), cases[i].name) != 0)
            fail_msg("%s: \"%s\"", cases[i].what, net_stream_peer_name(w.server.stream));
        end_streams(&w);
        w.client_tls = net_tls_free(w.client_tls);
    }
    struct err e = {0};
    assert_int_equal(net_tls_ask_clients(w.server_tls, STR("no certificate"), &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "no certificate (PEM) is given"));
    struct str broken = STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_int_equal(net_tls_ask_clients(w.server_tls, broken, &e), ERR_INVALID);
    world_done(&w);
}

static void the_authorities_of_who_may_show_a_certificate_may_stand_in_a_file(void **state) {
    struct world w;
    world_init(&w);
    const struct {
        struct side client;
        const char *name; // NULL: refused
    } cases[] = {
        {{NULL, &w.ca}, ""},
        {{&w.leaf, &w.ca}, "keda-operator"},
        {{&w.stranger, &w.ca}, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_tls_files files = {.cert = unit_write_cert(&w.dir, "server.crt", &w.leaf),
                                      .key = unit_write_key(&w.dir, "server.key", &w.leaf),
                                      .ca = unit_write_cert(&w.dir, "server.ca", &w.ca),
                                      .ca_optional = true};
        assert_int_equal(net_tls_new(&w.server_tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, NULL),
                         0);
        w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &cases[i].client);
        dial(&w, "agent.example");
        RUN_UNTIL(&w.loop, cases[i].name ? w.client.ready && w.server.ready : w.server.closed);
        if (cases[i].name != NULL)
            assert_string_equal(net_stream_peer_name(w.server.stream), cases[i].name);
        end_streams(&w);
        free_tls(&w);
    }
    world_done(&w);
}

static void a_reload_of_the_files_still_asks_for_certificates(void **state) {
    struct world w;
    world_init(&w);
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    CLEANUP_BUF struct buf pem;
    buf_init(&pem, 1 << 20);
    const struct unit_cert *ca = &w.ca;
    assert_int_equal(net_tls_ask_clients(w.server_tls, pem_of(&pem, &ca, 1), NULL), 0);
    unit_write_cert(&w.dir, "server.crt", &w.leaf); // another file of the same name
    unit_write_key(&w.dir, "server.key", &w.leaf);
    assert_int_equal(net_tls_reload_if_changed(w.server_tls, NULL), 1);
    w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &(struct side){&w.leaf, &w.ca});
    dial(&w, "agent.example");
    RUN_UNTIL(&w.loop, w.client.ready && w.server.ready);
    assert_string_equal(net_stream_peer_name(w.server.stream), "keda-operator");
    world_done(&w);
}

static void only_the_allowed_names_get_through(void **state) {
    struct world w;
    world_init(&w);
    static const struct {
        const char *common_name, *san, *allowed[3];
        const char *name; // by which it is known; NULL: refused
    } cases[] = {
        {"x", "DNS:keda.ns.svc", {"scaler.ns.svc", "keda.ns.svc"}, "keda.ns.svc"},
        {"x", "DNS:a.svc,DNS:KEDA.ns.svc", {"keda.ns.svc"}, "keda.ns.svc"},
        {"x", "URI:spiffe://c/ns/keda", {"spiffe://c/ns/keda"}, "spiffe://c/ns/keda"},
        {"keda", NULL, {"keda"}, "keda"},
        {"keda", "IP:127.0.0.1", {"keda"}, "keda"}, // an address is no name
        // What somebody else may ask of the same CA.
        {"x", "DNS:tenant.ns.svc", {"keda.ns.svc"}, NULL},
        {"keda.ns.svc", "DNS:tenant.ns.svc", {"keda.ns.svc"}, NULL},
        {"x", "DNS:*.ns.svc", {"keda.ns.svc"}, NULL},
        {"x", "DNS:keda.ns.svc.evil", {"keda.ns.svc"}, NULL},
        {"x", "URI:spiffe://c/ns/KEDA", {"spiffe://c/ns/keda"}, NULL},
        {"x", "DNS:spiffe", {"spiffe://c/ns/keda"}, NULL},
        {"x", "email:keda@ns.svc", {"keda@ns.svc"}, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct unit_cert cert = unit_cert_new(
            &(struct unit_cert_spec){.common_name = cases[i].common_name, .san = cases[i].san},
            &w.ca);
        struct net_tls_files files = {.cert = unit_write_cert(&w.dir, "server.crt", &w.leaf),
                                      .key = unit_write_key(&w.dir, "server.key", &w.leaf),
                                      .ca = unit_write_cert(&w.dir, "server.ca", &w.ca),
                                      .allowed = cases[i].allowed,
                                      .n_allowed = cases[i].allowed[1] ? 2 : 1};
        assert_int_equal(net_tls_new(&w.server_tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, NULL),
                         0);
        w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &(struct side){&cert, &w.ca});
        dial(&w, "agent.example");
        RUN_UNTIL(&w.loop, cases[i].name ? w.server.ready : w.server.closed);
        if (cases[i].name) {
            assert_string_equal(net_stream_peer_name(w.server.stream), cases[i].name);
        } else {
            assert_int_equal(w.server.ready, 0);
            assert_int_equal(w.server.why.code, ERR_AUTH);
            if (!strstr(w.server.why.msg, "none of its names is an allowed one (subject \"") ||
                !strstr(w.server.why.msg, "issuer \"ca\")"))
                fail_msg("%s", w.server.why.msg);
        }
        end_streams(&w);
        free_tls(&w);
        unit_cert_free(&cert);
    }
    world_done(&w);
}

static void both_ends_must_agree_on_the_protocol(void **state) {
    struct world w;
    world_init(&w);
    // An HTTP/1.1 client on the gRPC port: no_application_protocol.
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_HTTP1, &(struct side){NULL, &w.ca});
    dial(&w, "agent.example");
    RUN_UNTIL(&w.loop, w.client.closed && w.server.closed);
    assert_non_null(strstr(w.client.why.msg, "no application protocol"));
    end_streams(&w);
    free_tls(&w);
    // A gRPC client on the HTTPS port.
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_HTTP1, &(struct side){&w.leaf, NULL});
    w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &(struct side){NULL, &w.ca});
    dial(&w, "agent.example");
    RUN_UNTIL(&w.loop, w.client.closed && w.server.closed);
    assert_int_equal(w.client.ready + w.server.ready, 0);
    world_done(&w);
}

// A server that knows no ALPN, in a child: accepts one connection.
static pid_t raw_server(int lfd, struct world *w) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, w->leaf.x509);
    SSL_CTX_use_PrivateKey(ctx, w->leaf.key);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, accept(lfd, NULL, NULL));
    char c;
    signal(SIGPIPE, SIG_IGN); // the client may refuse us at any point
    if (SSL_accept(ssl) == 1)
        (void)SSL_read(ssl, &c, 1);
    _exit(0);
}

static int listen_raw(struct net_addr *ret) {
    *ret = (struct net_addr){
        .in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .len = sizeof(ret->in)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &ret->sa, ret->len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, &ret->sa, &ret->len), 0);
    return fd;
}

// A blocking OpenSSL client of its own, for what our client would not do; runs in a child.
static pid_t raw_client(const struct net_addr *to, int max_version, const char *alpn) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, &to->sa, to->len) < 0)
        _exit(2);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, max_version);
    SSL_CTX_set_security_level(ctx, 0);
    if (alpn)
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    int r = SSL_connect(ssl);
    const unsigned char *got;
    unsigned n;
    SSL_get0_alpn_selected(ssl, &got, &n);
    _exit(r != 1 ? 1 : n == 2 ? 20 : n == 8 ? 28 : 10);
}

static int status_of(uv_loop_t *loop, pid_t pid) {
    int status = 0;
    RUN_UNTIL(loop, waitpid(pid, &status, WNOHANG) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void old_versions_are_refused_and_alpn_is_answered(void **state) {
    struct world w;
    world_init(&w);
    static const struct {
        enum net_tls_alpn server;
        int version;
        const char *alpn;
        int status; // of raw_client
    } cases[] = {
        {NET_TLS_ALPN_H2, TLS1_1_VERSION, NULL, 1},
        {NET_TLS_ALPN_H2, TLS1_2_VERSION, NULL, 10},
        {NET_TLS_ALPN_H2, TLS1_3_VERSION, NULL, 10},
        {NET_TLS_ALPN_H2, TLS1_2_VERSION, "\x08http/1.1\x02h2", 20},
        {NET_TLS_ALPN_H2, TLS1_3_VERSION, "\x02h2\x08http/1.1", 20},
        {NET_TLS_ALPN_H2, TLS1_3_VERSION, "\x08http/1.1", 1},
        {NET_TLS_ALPN_HTTP1, TLS1_3_VERSION, "\x02h2\x08http/1.1", 28},
        {NET_TLS_ALPN_HTTP1, TLS1_3_VERSION, "\x02h2", 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.server_tls = make_tls(&w, NET_TLS_SERVER, cases[i].server, &(struct side){&w.leaf, NULL});
        int status = status_of(
            &w.loop, raw_client(net_listener_addr(w.listener), cases[i].version, cases[i].alpn));
        if (status != cases[i].status)
            fail_msg("row %zu: %d", i, status);
        RUN_UNTIL(&w.loop, w.server.closed);
        end_streams(&w);
        free_tls(&w);
    }
    world_done(&w);
}

static void a_server_without_alpn_is_no_grpc_server(void **state) {
    struct world w;
    world_init(&w);
    struct net_addr to;
    int lfd = listen_raw(&to);
    static const struct {
        enum net_tls_alpn alpn;
        bool ready;
    } cases[] = {{NET_TLS_ALPN_H2, false}, {NET_TLS_ALPN_HTTP1, true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.client_tls = make_tls(&w, NET_TLS_CLIENT, cases[i].alpn, &(struct side){NULL, &w.ca});
        pid_t pid = raw_server(lfd, &w);
        assert_int_equal(net_stream_connect(&w.loop, &to, w.client_tls, "agent.example", 20000,
                                            &unit_ops, &w.client, &w.client.stream, NULL),
                         0);
        RUN_UNTIL(&w.loop, w.client.ready || w.client.closed);
        assert_int_equal(w.client.ready, cases[i].ready);
        if (!cases[i].ready)
            assert_non_null(strstr(w.client.why.msg, "did not agree on HTTP/2"));
        end_streams(&w);
        assert_int_equal(status_of(&w.loop, pid), 0);
        free_tls(&w);
    }
    close(lfd);
    world_done(&w);
}

static void a_silent_peer_is_cut_by_the_handshake_limit(void **state) {
    struct world w;
    world_init(&w);
    w.handshake_ms = 30;
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct net_addr *to = net_listener_addr(w.listener);
    assert_int_equal(connect(fd, &to->sa, to->len), 0);
    RUN_UNTIL(&w.loop, w.server.closed);
    assert_int_equal(w.server.why.code, ERR_TIMEOUT);
    assert_string_equal(w.server.why.msg, "no TLS handshake within 30 ms");
    close(fd);
    end_streams(&w);
    // A server that accepts and says nothing; our client gives up.
    w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &(struct side){NULL, &w.ca});
    struct net_addr mute;
    int lfd = listen_raw(&mute);
    assert_int_equal(net_stream_connect(&w.loop, &mute, w.client_tls, "agent.example", 30,
                                        &unit_ops, &w.client, &w.client.stream, NULL),
                     0);
    RUN_UNTIL(&w.loop, w.client.closed);
    assert_int_equal(w.client.why.code, ERR_TIMEOUT);
    close(lfd);
    world_done(&w);
}

static void plain_text_on_a_tls_port_is_named_as_such(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "does not speak TLS"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "does not speak TLS"},
        {"\x16\x03\x01\xff\xff garbage garbage garbage", "TLS handshake"},
    };
    struct world w;
    world_init(&w);
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        const struct net_addr *to = net_listener_addr(w.listener);
        assert_int_equal(connect(fd, &to->sa, to->len), 0);
        assert_true(send(fd, cases[i].text, strlen(cases[i].text), 0) > 0);
        RUN_UNTIL(&w.loop, w.server.closed);
        assert_int_equal(w.server.why.code, ERR_PROTO);
        if (!strstr(w.server.why.msg, cases[i].says))
            fail_msg("%s", w.server.why.msg);
        close(fd);
        end_streams(&w);
    }
    world_done(&w);
}

static void a_peer_that_vanishes_in_the_handshake_is_told(void **state) {
    struct world w;
    world_init(&w);
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct net_addr *to = net_listener_addr(w.listener);
    assert_int_equal(connect(fd, &to->sa, to->len), 0);
    RUN_UNTIL(&w.loop, w.server.stream != NULL);
    close(fd);
    RUN_UNTIL(&w.loop, w.server.closed);
    assert_int_equal(w.server.why.code, ERR_CLOSED);
    assert_non_null(strstr(w.server.why.msg, "in the TLS handshake"));
    world_done(&w);
}

static void a_reload_leaves_live_connections_alone(void **state) {
    struct world w;
    world_init(&w);
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, &w.ca});
    w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &(struct side){&w.leaf, &w.ca});
    dial(&w, "agent.example");
    RUN_UNTIL(&w.loop, w.client.ready && w.server.ready);
    // The whole trust changes: another CA, another leaf.
    unit_write_cert(&w.dir, "server.crt", &w.stranger);
    unit_write_key(&w.dir, "server.key", &w.stranger);
    unit_write_cert(&w.dir, "server.ca", &w.other_ca);
    struct err e = {0};
    assert_int_equal(net_tls_reload_if_changed(w.server_tls, &e), 1);
    w.server.echo_to = &w.server;
    assert_int_equal(net_stream_write(w.client.stream, "still here", 10), 0);
    RUN_UNTIL(&w.loop, w.client.got_bytes == 10);
    end_streams(&w);
    // New connections meet the new files, on either side.
    dial(&w, "agent.example");
    RUN_UNTIL(&w.loop, w.client.closed && w.server.closed);
    assert_int_equal(w.client.why.code, ERR_AUTH);
    end_streams(&w);
    unit_write_cert(&w.dir, "client.crt", &w.stranger);
    unit_write_key(&w.dir, "client.key", &w.stranger);
    unit_write_cert(&w.dir, "client.ca", &w.other_ca);
    assert_int_equal(net_tls_reload_if_changed(w.client_tls, &e), 1);
    dial(&w, "agent.example");
    RUN_UNTIL(&w.loop, w.client.ready && w.server.ready);
    world_done(&w);
}

static void a_damaged_record_is_not_an_orderly_end(void **state) {
    struct world w;
    world_init(&w);
    w.server_tls = make_tls(&w, NET_TLS_SERVER, NET_TLS_ALPN_H2, &(struct side){&w.leaf, NULL});
    // The forged record goes through the client's own descriptor, behind OpenSSL's back.
    w.client_tls = make_tls(&w, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &(struct side){NULL, &w.ca});
    int before = dup(0);
    dial(&w, "agent.example");
    int client_fd = before + 1; // the next descriptor that was free
    close(before);
    RUN_UNTIL(&w.loop, w.client.ready && w.server.ready);
    struct net_addr peer = {.len = sizeof(peer.un)};
    assert_int_equal(getpeername(client_fd, &peer.sa, &peer.len), 0);
    const struct net_addr *addr = net_listener_addr(w.listener);
    assert_int_equal(peer.len, addr->len);
    assert_memory_equal(&peer.sa, &addr->sa, addr->len);
    assert_int_equal(net_stream_write(w.client.stream, "good", 4), 0);
    RUN_UNTIL(&w.loop, net_stream_queued(w.client.stream) == 0);
    static const char forged[] = "\x17\x03\x03\x00\x20 this is not what it says it is..";
    assert_true(send(client_fd, forged, sizeof(forged) - 1, 0) > 0);
    RUN_UNTIL(&w.loop, w.server.closed);
    assert_int_equal(w.server.got_bytes, 4);
    assert_int_equal(w.server.why.code, ERR_PROTO);
    world_done(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_certificates_get_through),
        cmocka_unit_test(the_client_is_known_by_its_common_name),
        cmocka_unit_test(a_client_that_is_asked_may_show_none_but_none_of_another_authority),
        cmocka_unit_test(the_authorities_of_who_may_show_a_certificate_may_stand_in_a_file),
        cmocka_unit_test(a_reload_of_the_files_still_asks_for_certificates),
        cmocka_unit_test(only_the_allowed_names_get_through),
        cmocka_unit_test(both_ends_must_agree_on_the_protocol),
        cmocka_unit_test(old_versions_are_refused_and_alpn_is_answered),
        cmocka_unit_test(a_server_without_alpn_is_no_grpc_server),
        cmocka_unit_test(a_silent_peer_is_cut_by_the_handshake_limit),
        cmocka_unit_test(plain_text_on_a_tls_port_is_named_as_such),
        cmocka_unit_test(a_peer_that_vanishes_in_the_handshake_is_told),
        cmocka_unit_test(a_reload_leaves_live_connections_alone),
        cmocka_unit_test(a_damaged_record_is_not_an_orderly_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
