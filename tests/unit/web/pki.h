// SPDX-License-Identifier: Apache-2.0
/*
 * Certificates made on the spot: authorities and leaves, valid or expired, written as PEM files
 * into a directory of the test's own.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "unit.h"

struct pki_cert {
    X509 *x;
    EVP_PKEY *key;
};

static inline void pki_extend(X509 *x, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
}

// `issuer` NULL: an authority. `san`: "DNS:engine.test,IP:127.0.0.1". Ends `days` from now.
static inline struct pki_cert pki_make(const char *name, const struct pki_cert *issuer,
                                       const char *san, int days) {
    static long serial = 1000;
    struct pki_cert c = {X509_new(), EVP_EC_gen("P-256")};
    X509_set_version(c.x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c.x), -3600L * 24 * 30);
    X509_gmtime_adj(X509_getm_notAfter(c.x), 3600L * 24 * days);
    X509_set_pubkey(c.x, c.key);
    X509_NAME *subject = X509_get_subject_name(c.x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c.x, X509_get_subject_name(issuer ? issuer->x : c.x));
    X509 *by = issuer ? issuer->x : c.x;
    pki_extend(c.x, by, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (!issuer)
        pki_extend(c.x, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    pki_extend(c.x, by, NID_subject_key_identifier, "hash");
    if (issuer)
        pki_extend(c.x, by, NID_authority_key_identifier, "keyid");
    if (san)
        pki_extend(c.x, by, NID_subject_alt_name, san);
    assert_true(X509_sign(c.x, issuer ? issuer->key : c.key, EVP_sha256()) > 0);
    return c;
}

static inline void pki_free(struct pki_cert *c) {
    X509_free(c->x);
    EVP_PKEY_free(c->key);
}

// Writes through a rename, as Kubernetes does: never half a file.
static inline void pki_write(const char *path, X509 *x, EVP_PKEY *key) {
    char fresh[512];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    if (x)
        assert_int_equal(PEM_write_X509(f, x), 1);
    if (key)
        assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
}

// A server that shows `leaf`; with `clients` it wants a certificate of that authority.
static inline SSL_CTX *pki_server(const struct pki_cert *leaf, const struct pki_cert *clients) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, leaf->x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, leaf->key), 1);
    if (clients) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), clients->x);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

// A new directory below the build's temporary place; pki_dir_remove() takes it away with its files.
static inline void pki_dir(char *ret, size_t cap) {
    const char *tmp = getenv("TMPDIR");
    snprintf(ret, cap, "%s/gpuscale-pki-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(ret));
}
static inline void pki_dir_remove(const char *dir, const char *const *files) {
    char path[512];
    for (; *files; files++) {
        snprintf(path, sizeof(path), "%s/%s", dir, *files);
        unlink(path);
    }
    rmdir(dir);
}
