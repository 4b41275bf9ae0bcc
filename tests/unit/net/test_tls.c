// SPDX-License-Identifier: Apache-2.0
/* TLS contexts from files: what is refused, what a reload takes and what it keeps. */
#include "net_unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "net/tls.h"

struct files {
    struct unit_dir dir;
    struct unit_cert ca, leaf, other;
    const char *cert, *key, *other_cert, *other_key, *bundle;
};

static const struct unit_cert_spec ca_spec = {.common_name = "ca", .ca = true};
static const struct unit_cert_spec leaf_spec = {.common_name = "leaf", .san = "DNS:localhost"};

static void files_init(struct files *f) {
    unit_dir_init(&f->dir);
    f->ca = unit_cert_new(&ca_spec, NULL);
    f->leaf = unit_cert_new(&leaf_spec, &f->ca);
    f->other = unit_cert_new(&leaf_spec, &f->ca);
    f->cert = unit_write_cert(&f->dir, "tls.crt", &f->leaf);
    f->key = unit_write_key(&f->dir, "tls.key", &f->leaf);
    f->other_cert = unit_write_cert(&f->dir, "other.crt", &f->other);
    f->other_key = unit_write_key(&f->dir, "other.key", &f->other);
    f->bundle = unit_write_cert(&f->dir, "ca.crt", &f->ca);
}

static void files_done(struct files *f) {
    unit_cert_free(&f->ca);
    unit_cert_free(&f->leaf);
    unit_cert_free(&f->other);
    unit_dir_done(&f->dir);
}

static void bad_files_are_refused_by_name_and_reason(void **state) {
    struct files f;
    files_init(&f);
    const char *empty = unit_write_text(&f.dir, "empty", "");
    const char *text = unit_write_text(&f.dir, "text", "not PEM\n");
    const char *broken = unit_write_text(
        &f.dir, "broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    struct unit_cert_spec weak = leaf_spec;
    weak.rsa_bits = 1024;
    struct unit_cert small = unit_cert_new(&weak, &f.ca);
    weak = leaf_spec;
    weak.sha1 = true;
    struct unit_cert sha1 = unit_cert_new(&weak, &f.ca);
    const char *small_cert = unit_write_cert(&f.dir, "small.crt", &small);
    const char *small_key = unit_write_key(&f.dir, "small.key", &small);
    const char *sha1_cert = unit_write_cert(&f.dir, "sha1.crt", &sha1);
    const char *sha1_key = unit_write_key(&f.dir, "sha1.key", &sha1);
    unit_cert_free(&small);
    unit_cert_free(&sha1);
    const char *locked = unit_path(&f.dir, "locked.key");
    FILE *out = fopen(locked, "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, f.leaf.key, EVP_aes_128_cbc(),
                                          (const unsigned char *)"secret", 6, NULL, NULL),
                     1);
    fclose(out);
    const struct {
        enum net_tls_role role;
        struct net_tls_files files;
        int code;
        const char *says[2];
    } cases[] = {
        {NET_TLS_SERVER, {"/nonexistent", f.key, NULL}, ERR_IO, {"/nonexistent", "No such file"}},
        {NET_TLS_SERVER, {f.cert, "/nonexistent", NULL}, ERR_IO, {"private key", "No such file"}},
        {NET_TLS_SERVER, {f.cert, f.key, "/nonexistent"}, ERR_IO, {"CA bundle", "No such file"}},
        {NET_TLS_SERVER, {f.dir.path, f.key, NULL}, ERR_IO, {f.dir.path, "directory"}},
        {NET_TLS_SERVER, {empty, f.key, NULL}, ERR_INVALID, {empty, "empty"}},
        {NET_TLS_SERVER, {text, f.key, NULL}, ERR_INVALID, {text, "no start line"}},
        {NET_TLS_SERVER, {broken, f.key, NULL}, ERR_INVALID, {broken, ": "}},
        {NET_TLS_SERVER, {f.cert, text, NULL}, ERR_INVALID, {text, ": "}},
        {NET_TLS_SERVER, {f.cert, f.cert, NULL}, ERR_INVALID, {f.cert, ": "}},
        {NET_TLS_SERVER, {f.cert, locked, NULL}, ERR_INVALID, {locked, ": "}},
        {NET_TLS_SERVER,
         {f.cert, f.other_key, NULL},
         ERR_INVALID,
         {f.other_key, "does not belong"}},
        {NET_TLS_SERVER, {f.cert, f.key, text}, ERR_INVALID, {"CA bundle", text}},
        {NET_TLS_SERVER, {NULL, NULL, NULL}, ERR_INVALID, {"needs a certificate", ""}},
        {NET_TLS_SERVER, {f.cert, NULL, NULL}, ERR_INVALID, {"without its key", ""}},
        {NET_TLS_CLIENT, {NULL, f.key, NULL}, ERR_INVALID, {"without its certificate", ""}},
        {NET_TLS_CLIENT, {NULL, NULL, text}, ERR_INVALID, {"CA bundle", text}},
        {NET_TLS_SERVER,
         {f.cert, f.key, NULL, (const char *const[]){"a"}, 1},
         ERR_INVALID,
         {"allowed names without a CA", ""}},
        {NET_TLS_SERVER, {small_cert, small_key, NULL}, ERR_INVALID, {small_cert, "too small"}},
        {NET_TLS_SERVER, {sha1_cert, sha1_key, f.bundle}, ERR_INVALID, {sha1_cert, "too weak"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_tls *tls = NULL;
        struct err e = {0};
        int r = net_tls_new(&tls, cases[i].role, NET_TLS_ALPN_H2, &cases[i].files, &e);
        if (r != cases[i].code || !strstr(e.msg, cases[i].says[0]) ||
            !strstr(e.msg, cases[i].says[1]))
            fail_msg("row %zu: %d \"%s\"", i, r, e.msg);
        assert_null(tls);
    }
    files_done(&f);
}

static void the_end_of_the_certificate_is_known(void **state) {
    struct files f;
    files_init(&f);
    struct unit_cert_spec spec = {.common_name = "x", .not_before_s = -10, .not_after_s = 100000};
    struct unit_cert c = unit_cert_new(&spec, &f.ca);
    struct net_tls_files files = {unit_write_cert(&f.dir, "x.crt", &c),
                                  unit_write_key(&f.dir, "x.key", &c), NULL};
    struct net_tls *tls;
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, NULL), 0);
    int64_t left_s = net_tls_not_after_s(tls) - clock_real_ns() / NS_PER_S;
    assert_in_range(left_s, 99000, 100000);
    net_tls_free(tls);
    struct net_tls_files none = {NULL, NULL, f.bundle};
    assert_int_equal(net_tls_new(&tls, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &none, NULL), 0);
    assert_int_equal(net_tls_not_after_s(tls), 0);
    net_tls_free(tls);
    unit_cert_free(&c);
    files_done(&f);
}

// The serial number of the certificate that new connections get.
static long serial_served(struct net_tls *tls) {
    SSL *ssl = net_tls_ssl_new(tls, NULL, NULL);
    assert_non_null(ssl);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get_certificate(ssl)));
    SSL_free(ssl);
    return serial;
}

static long serial_of(const struct unit_cert *c) {
    return ASN1_INTEGER_get(X509_get0_serialNumber(c->x509));
}

static void a_changed_pair_is_taken_once(void **state) {
    struct files f;
    files_init(&f);
    struct net_tls_files files = {f.cert, f.key, f.bundle};
    struct net_tls *tls;
    struct err e = {0};
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, &e), 0);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), 0);
    SSL *old = net_tls_ssl_new(tls, NULL, NULL); // a connection of before
    unit_write_cert(&f.dir, "tls.crt", &f.other);
    unit_write_key(&f.dir, "tls.key", &f.other);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), 1);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), 0);
    assert_int_equal(serial_served(tls), serial_of(&f.other));
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get_certificate(old))),
                     serial_of(&f.leaf));
    SSL_free(old);
    net_tls_free(tls);
    files_done(&f);
}

// Tools that copy with times kept change neither size nor mtime.
static void a_replaced_file_of_the_same_size_and_time_is_a_change(void **state) {
    struct files f;
    files_init(&f);
    static const struct timespec then[2] = {{1700000000, 0}, {1700000000, 0}};
    struct stat before, after;
    assert_int_equal(utimensat(AT_FDCWD, f.key, then, 0), 0);
    assert_int_equal(stat(f.key, &before), 0);
    struct net_tls_files files = {f.cert, f.key, NULL};
    struct net_tls *tls;
    struct err e = {0};
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, &e), 0);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), 0);
    unit_write_key(&f.dir, "tls.key", &f.other);
    assert_int_equal(utimensat(AT_FDCWD, f.key, then, 0), 0);
    assert_int_equal(stat(f.key, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), ERR_INVALID); // read, and not the cert's
    net_tls_free(tls);
    files_done(&f);
}

static void no_version_before_1_2_is_offered(void **state) {
    struct files f;
    files_init(&f);
    for (int role = NET_TLS_SERVER; role <= NET_TLS_CLIENT; role++) {
        struct net_tls_files files = {f.cert, f.key, f.bundle};
        struct net_tls *tls;
        assert_int_equal(net_tls_new(&tls, (enum net_tls_role)role, NET_TLS_ALPN_H2, &files, NULL),
                         0);
        SSL *ssl = net_tls_ssl_new(tls, "localhost", NULL);
        assert_int_equal(SSL_get_min_proto_version(ssl), TLS1_2_VERSION);
        SSL_free(ssl);
        net_tls_free(tls);
    }
    files_done(&f);
}

static void a_half_written_pair_keeps_the_old_until_it_is_whole(void **state) {
    struct files f;
    files_init(&f);
    struct net_tls_files files = {f.cert, f.key, NULL};
    struct net_tls *tls;
    struct err e = {0};
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, &e), 0);
    unit_write_cert(&f.dir, "tls.crt", &f.other);
    for (int i = 0; i < 2; i++) { // told each time, until mended
        e = (struct err){0};
        assert_int_equal(net_tls_reload_if_changed(tls, &e), ERR_INVALID);
        assert_non_null(strstr(e.msg, "does not belong"));
        assert_int_equal(serial_served(tls), serial_of(&f.leaf));
    }
    unit_write_key(&f.dir, "tls.key", &f.other);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), 1);
    assert_int_equal(serial_served(tls), serial_of(&f.other));
    assert_int_equal(unlink(f.key), 0);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), ERR_IO);
    assert_int_equal(serial_served(tls), serial_of(&f.other));
    net_tls_free(tls);
    files_done(&f);
}

static void an_expired_certificate_does_not_replace_a_good_one(void **state) {
    struct files f;
    files_init(&f);
    struct unit_cert_spec spec = {.common_name = "old", .not_before_s = -99, .not_after_s = -9};
    struct unit_cert c = unit_cert_new(&spec, &f.ca), d = unit_cert_new(&spec, &f.ca);
    struct net_tls_files files = {f.cert, f.key, NULL};
    struct net_tls *tls;
    struct err e = {0};
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, &e), 0);
    unit_write_cert(&f.dir, "tls.crt", &c);
    unit_write_key(&f.dir, "tls.key", &c);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), ERR_INVALID);
    assert_non_null(strstr(e.msg, "expired at 20"));
    assert_int_equal(serial_served(tls), serial_of(&f.leaf));
    net_tls_free(tls);
    // At the start, and when the old one is no better, it is served: the owner sees not_after.
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, &e), 0);
    assert_true(net_tls_not_after_s(tls) < clock_real_ns() / NS_PER_S);
    unit_write_cert(&f.dir, "tls.crt", &d);
    unit_write_key(&f.dir, "tls.key", &d);
    assert_int_equal(net_tls_reload_if_changed(tls, &e), 1);
    net_tls_free(tls);
    unit_cert_free(&c);
    unit_cert_free(&d);
    files_done(&f);
}

// A Kubernetes Secret is a folder of links through "..data", which is replaced by rename.
static void the_symlink_swap_of_a_kubernetes_secret_is_a_change(void **state) {
    struct files f;
    files_init(&f);
    char one[96], two[96];
    snprintf(one, sizeof(one), "%s/..one", f.dir.path);
    snprintf(two, sizeof(two), "%s/..two", f.dir.path);
    assert_int_equal(mkdir(one, 0700), 0);
    assert_int_equal(mkdir(two, 0700), 0);
    unit_write_cert(&f.dir, "..one/tls.crt", &f.leaf);
    unit_write_key(&f.dir, "..one/tls.key", &f.leaf);
    unit_write_cert(&f.dir, "..two/tls.crt", &f.other);
    unit_write_key(&f.dir, "..two/tls.key", &f.other);
    const char *data = unit_path(&f.dir, "..data"), *fresh = unit_path(&f.dir, "..fresh");
    assert_int_equal(symlink("..one", data), 0);
    char cert[128], key[128];
    snprintf(cert, sizeof(cert), "%s/tls.crt", data);
    snprintf(key, sizeof(key), "%s/tls.key", data);
    struct net_tls_files files = {cert, key, NULL};
    struct net_tls *tls;
    assert_int_equal(net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, NULL), 0);
    assert_int_equal(net_tls_reload_if_changed(tls, NULL), 0);
    assert_int_equal(symlink("..two", fresh), 0);
    assert_int_equal(rename(fresh, data), 0);
    assert_int_equal(net_tls_reload_if_changed(tls, NULL), 1);
    assert_int_equal(serial_served(tls), serial_of(&f.other));
    net_tls_free(tls);
    for (int i = 0; i < f.dir.n; i++)
        (void)unlink(f.dir.names[i]);
    assert_int_equal(rmdir(one), 0);
    assert_int_equal(rmdir(two), 0);
    files_done(&f);
}

static void a_client_needs_a_name_to_verify(void **state) {
    struct files f;
    files_init(&f);
    struct net_tls_files files = {NULL, NULL, f.bundle};
    struct net_tls *tls;
    struct err e = {0};
    assert_int_equal(net_tls_new(&tls, NET_TLS_CLIENT, NET_TLS_ALPN_H2, &files, &e), 0);
    assert_null(net_tls_ssl_new(tls, NULL, &e));
    assert_int_equal(e.code, ERR_INVALID);
    assert_null(net_tls_ssl_new(tls, "", &e));
    char long_name[300];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    assert_null(net_tls_ssl_new(tls, long_name, &e));
    assert_int_equal(e.code, ERR_INVALID);
    SSL *ssl = net_tls_ssl_new(tls, "agents.example", &e);
    assert_string_equal(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), "agents.example");
    SSL_free(ssl);
    ssl = net_tls_ssl_new(tls, "::1", &e); // an address is not sent as SNI
    assert_null(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    SSL_free(ssl);
    net_tls_free(tls);
    assert_null(net_tls_free(NULL));
    files_done(&f);
}

static void every_failing_allocation_of_ours_is_told(void **state) {
    struct files f;
    files_init(&f);
    const char *const names[] = {"a.example", "b.example"};
    struct net_tls_files files = {f.cert, f.key, f.bundle, names, COUNT_OF(names)};
    for (long i = 1;; i++) {
        struct net_tls *tls = NULL;
        struct err e = {0};
        mem_fail_from(i);
        int r = net_tls_new(&tls, NET_TLS_SERVER, NET_TLS_ALPN_H2, &files, &e);
        mem_fail_never();
        net_tls_free(tls);
        if (r == 0)
            break;
        assert_int_equal(r, ERR_NOMEM);
        assert_null(tls);
        assert_true(i < 10);
    }
    files_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused_by_name_and_reason),
        cmocka_unit_test(the_end_of_the_certificate_is_known),
        cmocka_unit_test(a_changed_pair_is_taken_once),
        cmocka_unit_test(a_replaced_file_of_the_same_size_and_time_is_a_change),
        cmocka_unit_test(no_version_before_1_2_is_offered),
        cmocka_unit_test(a_half_written_pair_keeps_the_old_until_it_is_whole),
        cmocka_unit_test(an_expired_certificate_does_not_replace_a_good_one),
        cmocka_unit_test(the_symlink_swap_of_a_kubernetes_secret_is_a_change),
        cmocka_unit_test(a_client_needs_a_name_to_verify),
        cmocka_unit_test(every_failing_allocation_of_ours_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
