// SPDX-License-Identifier: Apache-2.0
/*
 * TLS contexts made from files. A context is never changed once connections use it: a reload builds
 * a new SSL_CTX and swaps the pointer; OpenSSL's reference count keeps the old one for its
 * connections.
 */
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/tls_peer.h"

enum { FILE_CERT, FILE_KEY, FILE_CA, FILE_COUNT };

static const char *const file_roles[FILE_COUNT] = {"certificate", "private key", "CA bundle"};

struct file_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct net_tls {
    SSL_CTX *ctx;
    enum net_tls_role role;
    enum net_tls_alpn alpn;
    char *paths[FILE_COUNT]; // NULL: not given
    struct file_stamp stamps[FILE_COUNT];
    int64_t not_after_s;
    STACK_OF(X509) * clients; // authorities of certificates that clients may show; NULL: none asked
    struct net_tls_names allowed;
    bool ca_optional;
    int oldest, newest; // OpenSSL's version numbers
    char *ciphers, *groups;
};

// ALPN wire format: length, name.
static const unsigned char alpn_h2[] = {2, 'h', '2'};
static const unsigned char alpn_http1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

static const unsigned char *alpn_list(enum net_tls_alpn alpn, unsigned *ret_n) {
    *ret_n = alpn == NET_TLS_ALPN_H2 ? sizeof(alpn_h2) : sizeof(alpn_http1);
    return alpn == NET_TLS_ALPN_H2 ? alpn_h2 : alpn_http1;
}

int net_tls_error(struct err *e, int code, const char *fmt, ...) {
    unsigned long reason = ERR_get_error();
    va_list ap;
    va_start(ap, fmt);
    struct err context;
    (void)err_vset(&context, code, fmt, ap);
    va_end(ap);
    const char *text = reason ? ERR_reason_error_string(reason) : NULL;
    ERR_clear_error();
    return err_set(e, code, "%s: %s", context.msg, text ? text : "no reason given");
}

// Runs when the client offers protocols; one that offers none may speak ours by prior knowledge.
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *ctx) {
    unsigned ours_n;
    const unsigned char *ours = alpn_list((enum net_tls_alpn)(intptr_t)ctx, &ours_n);
    for (unsigned i = 0; i < in_n; i += 1u + in[i])
        if (in_n - i >= ours_n && memcmp(in + i, ours, ours_n) == 0) {
            *out = in + i + 1;
            *out_n = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_ALERT_FATAL; // no_application_protocol (RFC 7301)
}

static int no_password(char *buf, int size, int rwflag, void *ctx) {
    return -1;
}

// Reads each file once, plainly, so that a missing or forbidden one is told as such.
static int check_readable(const char *path, const char *role, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "TLS %s %s", role, path);
    char byte;
    ssize_t n = read(fd, &byte, 1);
    int errnum = errno;
    close(fd);
    if (n < 0)
        return err_errno(e, errnum, "TLS %s %s", role, path);
    return n == 0 ? err_set(e, ERR_INVALID, "TLS %s %s: the file is empty", role, path) : 0;
}

static int load_pair(SSL_CTX *ctx, char *const paths[FILE_COUNT], struct err *e) {
    const char *cert = paths[FILE_CERT], *key = paths[FILE_KEY];
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return net_tls_error(e, ERR_INVALID, "TLS certificate %s", cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH) {
            ERR_clear_error();
            return err_set(e, ERR_INVALID,
                           "TLS private key %s does not belong to the certificate %s", key, cert);
        }
        return net_tls_error(e, ERR_INVALID, "TLS private key %s", key);
    }
    return 0;
}

// The authorities that were given in memory.
static int take_clients(SSL_CTX *ctx, const struct net_tls *tls, struct err *e) {
    for (int i = 0; i < sk_X509_num(tls->clients); i++) {
        X509 *ca = sk_X509_value(tls->clients, i);
        if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1 ||
            SSL_CTX_add_client_CA(ctx, ca) != 1)
            return net_tls_error(e, ERR_NOMEM, "TLS authorities of clients");
    }
    return 0;
}

static int load_ca(SSL_CTX *ctx, const struct net_tls *tls, struct err *e) {
    const char *ca = tls->paths[FILE_CA];
    ERR_clear_error();
    if (ca && SSL_CTX_load_verify_file(ctx, ca) != 1)
        return net_tls_error(e, ERR_INVALID, "TLS CA bundle %s", ca);
    if (!ca && tls->role == NET_TLS_CLIENT && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return net_tls_error(e, ERR_IO, "TLS: the system's CA certificates");
    if (ca && tls->role == NET_TLS_SERVER) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca); // what a client may choose by
        if (!names)
            return net_tls_error(e, ERR_INVALID, "TLS CA bundle %s", ca);
        SSL_CTX_set_client_CA_list(ctx, names);
    }
    return take_clients(ctx, tls, e);
}

static int configure(SSL_CTX *ctx, struct net_tls *tls, struct err *e) {
    bool mutual = tls->role == NET_TLS_SERVER && tls->paths[FILE_CA];
    bool asks = mutual || tls->clients; // a resumed session would not show its certificate again
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    // Peers that close without close_notify are common, and each protocol here frames its messages.
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | (asks ? SSL_OP_NO_TICKET : 0));
    SSL_CTX_set_read_ahead(ctx, 1); // one recv for many records
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    // 112 bits and more, whatever the system's file says: no RSA below 2048 bits, no SHA-1.
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_app_data(ctx, &tls->allowed);
    // TLS 1.2: forward secrecy and AEAD only (what HTTP/2 demands, RFC 9113 9.2.2).
    if (SSL_CTX_set_min_proto_version(ctx, tls->oldest) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, tls->newest) != 1 ||
        SSL_CTX_set_cipher_list(ctx, tls->ciphers ? tls->ciphers : "ECDHE+AESGCM:ECDHE+CHACHA20") !=
            1 ||
        (tls->groups && SSL_CTX_set1_groups_list(ctx, tls->groups) != 1) ||
        SSL_CTX_set_num_tickets(ctx, asks ? 0 : 1) != 1)
        return net_tls_error(e, ERR_INVALID, "TLS settings");
    if (tls->role == NET_TLS_SERVER) {
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, (void *)(intptr_t)tls->alpn);
        SSL_CTX_set_verify(ctx,
                           mutual && !tls->ca_optional
                               ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : asks ? SSL_VERIFY_PEER
                                  : SSL_VERIFY_NONE,
                           asks ? tls_peer_verify : NULL);
        return 0;
    }
    unsigned n;
    const unsigned char *list = alpn_list(tls->alpn, &n);
    bool verified = tls->role == NET_TLS_CLIENT;
    SSL_CTX_set_verify(ctx, verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       verified ? tls_peer_verify : NULL);
    return SSL_CTX_set_alpn_protos(ctx, list, n) == 0 ? 0 : err_set(e, ERR_NOMEM, "TLS: no memory");
}

static int64_t not_after_s(SSL_CTX *ctx) {
    X509 *cert = SSL_CTX_get0_certificate(ctx);
    ASN1_TIME *epoch = cert ? ASN1_TIME_set(NULL, 0) : NULL;
    int days = 0, seconds = 0;
    bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(cert)) == 1;
    ASN1_TIME_free(epoch);
    return ok ? (int64_t)days * 86400 + seconds : 0;
}

static int load(struct net_tls *tls, SSL_CTX **ret, int64_t *ret_not_after, struct err *e) {
    for (int i = 0; i < FILE_COUNT; i++) {
        int r = tls->paths[i] ? check_readable(tls->paths[i], file_roles[i], e) : 0;
        if (r < 0)
            return r;
    }
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx)
        return net_tls_error(e, ERR_NOMEM, "TLS context");
    int r = configure(ctx, tls, e);
    if (r == 0 && tls->paths[FILE_CERT])
        r = load_pair(ctx, tls->paths, e);
    if (r == 0)
        r = load_ca(ctx, tls, e);
    if (r < 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    *ret_not_after = not_after_s(ctx);
    *ret = ctx;
    return 0;
}

// Stamps are taken before the files are read: a change in between is seen the next time.
static void take_stamps(const struct net_tls *tls, struct file_stamp stamps[FILE_COUNT]) {
    memset(stamps, 0, FILE_COUNT * sizeof(*stamps));
    for (int i = 0; i < FILE_COUNT; i++) {
        struct stat st;
        if (tls->paths[i] && stat(tls->paths[i], &st) == 0)
            stamps[i] = (struct file_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    }
}

static bool stamps_equal(const struct file_stamp *a, const struct file_stamp *b) {
    for (int i = 0; i < FILE_COUNT; i++)
        if (a[i].dev != b[i].dev || a[i].ino != b[i].ino || a[i].size != b[i].size ||
            a[i].mtime.tv_sec != b[i].mtime.tv_sec || a[i].mtime.tv_nsec != b[i].mtime.tv_nsec)
            return false;
    return true;
}

static int copy_paths(struct net_tls *tls, const struct net_tls_files *files, struct err *e) {
    const char *given[FILE_COUNT] = {files->cert, files->key, files->ca};
    if (!files->cert != !files->key)
        return err_set(e, ERR_INVALID, "TLS: %s is given without its %s",
                       files->cert ? "a certificate" : "a key",
                       files->cert ? "key" : "certificate");
    if (tls->role == NET_TLS_SERVER && !files->cert)
        return err_set(e, ERR_INVALID, "TLS: a server needs a certificate and a key");
    if (files->n_allowed > 0 && (tls->role != NET_TLS_SERVER || !files->ca))
        return err_set(e, ERR_INVALID, "TLS: allowed names without a CA for clients' certificates");
    for (int i = 0; i < FILE_COUNT; i++)
        if (given[i] && !(tls->paths[i] = mem_strdup(given[i])))
            return err_set(e, ERR_NOMEM, "TLS: no memory");
    if ((files->ciphers && !(tls->ciphers = mem_strdup(files->ciphers))) ||
        (files->groups && !(tls->groups = mem_strdup(files->groups))))
        return err_set(e, ERR_NOMEM, "TLS: no memory");
    tls->ca_optional = files->ca_optional;
    tls->oldest = files->oldest == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    tls->newest = files->newest == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    tls->allowed.items = mem_array(files->n_allowed + 1, sizeof(*tls->allowed.items));
    if (!tls->allowed.items)
        return err_set(e, ERR_NOMEM, "TLS: no memory");
    for (; tls->allowed.n < files->n_allowed; tls->allowed.n++)
        if (!(tls->allowed.items[tls->allowed.n] = mem_strdup(files->allowed[tls->allowed.n])))
            return err_set(e, ERR_NOMEM, "TLS: no memory");
    return 0;
}

int net_tls_new(struct net_tls **ret, enum net_tls_role role, enum net_tls_alpn alpn,
                const struct net_tls_files *files, struct err *e) {
    struct net_tls *tls = mem_zalloc(sizeof(*tls));
    if (!tls)
        return err_set(e, ERR_NOMEM, "TLS: no memory");
    tls->role = role;
    tls->alpn = alpn;
    int r = copy_paths(tls, files, e);
    if (r == 0) {
        take_stamps(tls, tls->stamps);
        r = load(tls, &tls->ctx, &tls->not_after_s, e);
    }
    if (r < 0) {
        net_tls_free(tls);
        return r;
    }
    *ret = tls;
    return 0;
}

struct net_tls *net_tls_free(struct net_tls *tls) {
    if (!tls)
        return NULL;
    SSL_CTX_free(tls->ctx);
    sk_X509_pop_free(tls->clients, X509_free);
    for (int i = 0; i < FILE_COUNT; i++)
        mem_free(tls->paths[i]);
    for (size_t i = 0; i < tls->allowed.n; i++)
        mem_free(tls->allowed.items[i]);
    mem_free(tls->allowed.items);
    mem_free(tls->ciphers);
    mem_free(tls->groups);
    mem_free(tls);
    return NULL;
}

void net_tls_replace(struct net_tls *tls, struct net_tls *fresh) {
    struct net_tls old = *tls;
    *tls = *fresh;
    *fresh = old;
    // Connections of the old context are judged by the new names: what no longer holds ends.
    SSL_CTX_set_app_data(tls->ctx, &tls->allowed);
    net_tls_free(fresh);
}

int net_tls_reload_if_changed(struct net_tls *tls, struct err *e) {
    struct file_stamp stamps[FILE_COUNT];
    take_stamps(tls, stamps);
    if (stamps_equal(stamps, tls->stamps))
        return 0;
    SSL_CTX *fresh;
    int64_t until_s;
    int r = load(tls, &fresh, &until_s, e);
    if (r < 0)
        return r;
    int64_t now_s = clock_real_ns() / NS_PER_S;
    if (tls->paths[FILE_CERT] && until_s <= now_s && tls->not_after_s > now_s) {
        SSL_CTX_free(fresh);
        char when[32];
        clock_format_utc(until_s * NS_PER_S, when, sizeof(when));
        return err_set(e, ERR_INVALID, "TLS certificate %s expired at %s; the old one stays in use",
                       tls->paths[FILE_CERT], when);
    }
    SSL_CTX_free(tls->ctx);
    tls->ctx = fresh;
    tls->not_after_s = until_s;
    memcpy(tls->stamps, stamps, sizeof(stamps));
    return 1;
}

// All certificates of a PEM text; whatever else stands in it is passed over.
static int read_authorities(struct str pem, STACK_OF(X509) * *ret, struct err *e) {
    ERR_clear_error();
    BIO *bio = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    STACK_OF(X509) *all = sk_X509_new_null();
    bool bad = !bio || !all;
    for (X509 *x; !bad && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL;) {
        bad = sk_X509_push(all, x) <= 0;
        if (bad)
            X509_free(x);
    }
    BIO_free(bio);
    int r = 0;
    if (bad)
        r = err_set(e, ERR_NOMEM, "TLS: no memory");
    else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        r = net_tls_error(e, ERR_INVALID, "TLS authorities of clients");
    else if (sk_X509_num(all) == 0)
        r = err_set(e, ERR_INVALID, "TLS authorities of clients: no certificate (PEM) is given");
    ERR_clear_error();
    if (r < 0)
        sk_X509_pop_free(all, X509_free);
    else
        *ret = all;
    return r;
}

int net_tls_ask_clients(struct net_tls *tls, struct str pem, struct err *e) {
    STACK_OF(X509) *old = tls->clients, *fresh = NULL;
    int r = pem.n > 0 ? read_authorities(pem, &fresh, e) : 0;
    if (r < 0)
        return r;
    SSL_CTX *ctx = NULL;
    int64_t until_s = 0;
    tls->clients = fresh;
    r = load(tls, &ctx, &until_s, e);
    if (r < 0) {
        tls->clients = old;
        sk_X509_pop_free(fresh, X509_free);
        return r;
    }
    sk_X509_pop_free(old, X509_free);
    SSL_CTX_free(tls->ctx);
    tls->ctx = ctx;
    tls->not_after_s = until_s;
    return 0;
}

int64_t net_tls_not_after_s(const struct net_tls *tls) {
    return tls->not_after_s;
}

static int expect_server(SSL *ssl, const char *name, struct err *e) {
    if (!name || name[0] == '\0')
        return err_set(e, ERR_INVALID, "TLS: no server name to verify the peer against");
    unsigned char address[16];
    ERR_clear_error();
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        // An address is not sent as SNI (RFC 6066 section 3) and matches IP names only.
        if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) != 1)
            return net_tls_error(e, ERR_INVALID, "TLS server address %s", name);
        return 0;
    }
    char host[TLSEXT_MAXLEN_host_name + 1]; // OpenSSL's macro takes a pointer to what is not const
    if (str_copy(host, sizeof(host), str_from(name)) < 0)
        return err_set(e, ERR_INVALID, "TLS server name of %zu bytes, at most %d", strlen(name),
                       TLSEXT_MAXLEN_host_name);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl, host) != 1 || SSL_set_tlsext_host_name(ssl, host) != 1)
        return net_tls_error(e, ERR_INVALID, "TLS server name %s", name);
    return 0;
}

SSL *net_tls_ssl_new(struct net_tls *tls, const char *server_name, struct err *e) {
    ERR_clear_error();
    SSL *ssl = SSL_new(tls->ctx);
    if (!ssl) {
        (void)net_tls_error(e, ERR_NOMEM, "TLS connection");
        return NULL;
    }
    if (tls->role == NET_TLS_SERVER) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    if (expect_server(ssl, server_name, e) < 0) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

int net_tls_check_alpn(const struct net_tls *tls, const SSL *ssl, struct err *e) {
    const unsigned char *got;
    unsigned n;
    if (tls->role == NET_TLS_SERVER || tls->alpn != NET_TLS_ALPN_H2)
        return 0;
    SSL_get0_alpn_selected(ssl, &got, &n);
    if (n == 2 && memcmp(got, "h2", 2) == 0)
        return 0;
    return err_set(e, ERR_PROTO,
                   "TLS: the server did not agree on HTTP/2 (ALPN h2); is this the "
                   "gRPC port?");
}
