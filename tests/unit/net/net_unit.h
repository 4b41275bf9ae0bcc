// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of sockets share: a loop that runs until a condition holds, an endpoint that
 * remembers what happened to its stream, and certificates made on the spot.
 */
#pragma once

#include <openssl/ssl.h>

#include "unit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/listener.h"
#include "net/stream.h"

// Runs the loop until `condition` holds; a test that waits 30 s has failed.
#define RUN_UNTIL(loop, condition)                                                                 \
    do {                                                                                           \
        int64_t run_end_ = clock_mono_ns() + 30 * NS_PER_S;                                        \
        struct net_timer *run_tick_ = NULL;                                                        \
        assert_int_equal(                                                                          \
            net_timer_start(&run_tick_, (loop), 0, 5 * NS_PER_MS, unit_tick, NULL, NULL), 0);      \
        while (!(condition)) {                                                                     \
            if (clock_mono_ns() > run_end_)                                                        \
                fail_msg("not within 30 s: %s", #condition);                                       \
            uv_run((loop), UV_RUN_ONCE);                                                           \
        }                                                                                          \
        net_timer_stop(&run_tick_);                                                                \
    } while (0)

static inline void unit_tick(void *ctx) {
}

// Runs some turns: for what must not happen.
static inline void unit_turns(uv_loop_t *loop, int n) {
    for (int i = 0; i < n; i++)
        uv_run(loop, UV_RUN_NOWAIT);
}

// One end of a stream.
struct unit_end {
    struct net_stream *stream; // NULL: not there yet, or gone
    int ready, eof, closed, drained;
    struct err why;
    struct buf got;
    size_t got_bytes;         // also those that are not kept
    bool discard;             // counts only
    struct unit_end *echo_to; // writes what comes to it
};

static inline void unit_on_ready(void *ctx) {
    struct unit_end *u = ctx;
    assert_int_equal(u->got_bytes, 0);
    u->ready++;
}

static inline void unit_on_data(void *ctx, const uint8_t *p, size_t n) {
    struct unit_end *u = ctx;
    assert_int_equal(u->ready, 1);
    assert_true(n > 0);
    u->got_bytes += n;
    if (!u->discard)
        assert_int_equal(buf_add(&u->got, p, n), 0);
    if (u->echo_to)
        (void)net_stream_write(u->echo_to->stream, p, n);
}

static inline void unit_on_drained(void *ctx) {
    ((struct unit_end *)ctx)->drained++;
}

static inline void unit_on_eof(void *ctx) {
    ((struct unit_end *)ctx)->eof++;
}

static inline void unit_on_closed(void *ctx, const struct err *why) {
    struct unit_end *u = ctx;
    u->closed++;
    u->why = *why;
    u->stream = NULL;
}

static const struct net_stream_ops unit_ops = {unit_on_ready, unit_on_data, unit_on_drained, NULL,
                                               unit_on_closed};
static const struct net_stream_ops unit_ops_eof = {unit_on_ready, unit_on_data, unit_on_drained,
                                                   unit_on_eof, unit_on_closed};

static inline void unit_end_init(struct unit_end *u) {
    *u = (struct unit_end){0};
    buf_init(&u->got, 64 << 20);
}

static inline void unit_end_done(struct unit_end *u) {
    buf_done(&u->got);
}

// Certificates.
struct unit_cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct unit_cert_spec {
    const char *common_name; // not NUL-terminated when common_name_n > 0
    size_t common_name_n;
    const char *san;                // "DNS:a,IP:127.0.0.1", or NULL
    long not_before_s, not_after_s; // from now; 0, 0: yesterday to in 30 days
    bool ca;
    const char *usage; // extendedKeyUsage, or NULL
    int rsa_bits;      // 0: P-256
    bool sha1;         // signed with it, not with SHA-256
};

static inline void unit_add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

// Signed by `issuer`, or by itself when NULL.
static inline struct unit_cert unit_cert_new(const struct unit_cert_spec *spec,
                                             const struct unit_cert *issuer) {
    static long serial = 1;
    struct unit_cert c = {X509_new(), spec->rsa_bits ? EVP_RSA_gen((unsigned)spec->rsa_bits)
                                                     : EVP_EC_gen("P-256")};
    assert_non_null(c.x509);
    assert_non_null(c.key);
    long from = spec->not_after_s ? spec->not_before_s : -86400;
    long to = spec->not_after_s ? spec->not_after_s : 30 * 86400;
    X509_set_version(c.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), from);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), to);
    X509_set_pubkey(c.x509, c.key);
    X509_NAME *name = X509_get_subject_name(c.x509);
    int n = spec->common_name_n ? (int)spec->common_name_n : -1;
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)spec->common_name, n, -1, 0),
                     1);
    X509 *signer = issuer ? issuer->x509 : c.x509;
    X509_set_issuer_name(c.x509, X509_get_subject_name(signer));
    unit_add_extension(c.x509, signer, NID_basic_constraints,
                       spec->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (spec->san)
        unit_add_extension(c.x509, signer, NID_subject_alt_name, spec->san);
    if (spec->usage)
        unit_add_extension(c.x509, signer, NID_ext_key_usage, spec->usage);
    assert_true(X509_sign(c.x509, issuer ? issuer->key : c.key,
                          spec->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
    return c;
}

static inline void unit_cert_free(struct unit_cert *c) {
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    *c = (struct unit_cert){0};
}

// A folder for one test's files.
struct unit_dir {
    char path[64];
    char names[32][96]; // of files made here
    int n;
};

static inline void unit_dir_init(struct unit_dir *d) {
    *d = (struct unit_dir){.path = "/tmp/gpuscale-net-XXXXXX"};
    assert_non_null(mkdtemp(d->path));
}

static inline void unit_dir_done(struct unit_dir *d) {
    for (int i = 0; i < d->n; i++)
        (void)unlink(d->names[i]);
    assert_int_equal(rmdir(d->path), 0);
}

// The path of a file in it; the same name gives the same path.
static inline const char *unit_path(struct unit_dir *d, const char *name) {
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", d->path, name);
    for (int i = 0; i < d->n; i++)
        if (strcmp(d->names[i], path) == 0)
            return d->names[i];
    assert_true(d->n < 32);
    memcpy(d->names[d->n], path, sizeof(path));
    return d->names[d->n++];
}

// Replaced by rename, as good tools do.
static inline const char *unit_write_cert(struct unit_dir *d, const char *name,
                                          const struct unit_cert *c) {
    const char *path = unit_path(d, name), *fresh = unit_path(d, ".fresh");
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, c->x509), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
    return path;
}

static inline const char *unit_write_key(struct unit_dir *d, const char *name,
                                         const struct unit_cert *c) {
    const char *path = unit_path(d, name), *fresh = unit_path(d, ".fresh");
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
    return path;
}

static inline const char *unit_write_text(struct unit_dir *d, const char *name, const char *text) {
    const char *path = unit_path(d, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}
