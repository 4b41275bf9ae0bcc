// SPDX-License-Identifier: Apache-2.0
/*
 * Names in certificates. As with servers' names (RFC 6125), the common name counts only where the
 * certificate has no DNS name and no URI; nothing is a pattern here, neither the allowed name nor
 * the certificate's. A name with a NUL inside would read as another one: it counts as none.
 */
#include "net/tls_peer.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "net/tls.h"

enum { SUBJECT_SHOWN = 64, SHOWN_MAX = 256 };

// The first common name as UTF-8, or NULL. OPENSSL_free() it.
static char *common_name(const X509_NAME *name, size_t *ret_n) {
    int at = name ? X509_NAME_get_index_by_NID(name, NID_commonName, -1) : -1;
    if (at < 0)
        return NULL;
    unsigned char *utf8 = NULL;
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, at);
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    if (n > 0 && memchr(utf8, 0, (size_t)n) == NULL && utf8_valid((const char *)utf8, (size_t)n)) {
        *ret_n = (size_t)n;
        return (char *)utf8;
    }
    OPENSSL_free(utf8);
    return NULL;
}

static struct str text_of(const ASN1_STRING *s) {
    return (struct str){(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
}

// A general name that may stand for a peer: a DNS name or a URI; {NULL, 0}: another kind.
static struct str identity(const GENERAL_NAME *g) {
    if (g->type == GEN_DNS)
        return text_of(g->d.dNSName);
    if (g->type == GEN_URI)
        return text_of(g->d.uniformResourceIdentifier);
    return (struct str){NULL, 0};
}

static const char *match(struct str name, bool any_case, const struct net_tls_names *allowed) {
    for (size_t i = 0; i < allowed->n; i++) {
        struct str want = str_from(allowed->items[i]);
        if (any_case ? str_eq_nocase(name, want) : str_eq(name, want))
            return allowed->items[i];
    }
    return NULL;
}

static const char *allowed_name(const X509 *cert, const struct net_tls_names *allowed) {
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const char *found = NULL;
    bool named = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        struct str name = identity(g);
        named |= name.p != NULL;
        if (name.n > 0)
            found = match(name, g->type == GEN_DNS, allowed);
    }
    GENERAL_NAMES_free(names);
    size_t n;
    char *cn = named ? NULL : common_name(X509_get_subject_name(cert), &n);
    if (cn)
        found = match((struct str){cn, n}, true, allowed);
    OPENSSL_free(cn);
    return found;
}

static void show_name(struct buf *out, const char *what, const X509_NAME *name) {
    size_t n;
    char *cn = common_name(name, &n);
    if (cn)
        (void)buf_addf(out, "%s \"%.*s\"", what, n < SUBJECT_SHOWN ? (int)n : SUBJECT_SHOWN, cn);
    else
        (void)buf_addf(out, "%s without a name", what);
    OPENSSL_free(cn);
}

static void show_names(struct buf *out, const X509 *cert) {
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int shown = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown < 2; i++) {
        struct str name = identity(sk_GENERAL_NAME_value(names, i));
        if (name.n > 0)
            (void)buf_addf(out, "%s%.*s", shown++ == 0 ? ", for " : ", ",
                           name.n < SUBJECT_SHOWN ? (int)name.n : SUBJECT_SHOWN, name.p);
    }
    GENERAL_NAMES_free(names);
}

// Whose certificate it is, for the reason in tls_peer_refused().
static void leave_words(const X509 *cert) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, SHOWN_MAX);
    show_name(&out, "subject", X509_get_subject_name(cert));
    show_names(&out, cert);
    (void)buf_addc(&out, "; ");
    show_name(&out, "issuer", X509_get_issuer_name(cert));
    if (out.len > 0)
        ERR_raise_data(ERR_LIB_USER, ERR_R_PASSED_INVALID_ARGUMENT, "%.*s", (int)out.len, out.p);
}

int tls_peer_verify(int ok, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct net_tls_names *allowed = ssl ? SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)) : NULL;
    const X509 *cert = X509_STORE_CTX_get_current_cert(store);
    if (ok && allowed && allowed->n > 0 && X509_STORE_CTX_get_error_depth(store) == 0 &&
        !allowed_name(cert, allowed)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH); // alert bad_certificate
        ok = 0;
    }
    if (!ok && cert)
        leave_words(cert);
    return ok;
}

int tls_peer_refused(SSL *ssl, struct err *e) {
    long verify = SSL_get_verify_result(ssl);
    unsigned long last = ERR_peek_last_error();
    if (verify == X509_V_OK || ERR_GET_LIB(last) != ERR_LIB_SSL ||
        ERR_GET_REASON(last) != SSL_R_CERTIFICATE_VERIFY_FAILED)
        return 0;
    const char *words = "", *reason = X509_verify_cert_error_string(verify);
    int flags = 0;
    unsigned long first = ERR_peek_error_all(NULL, NULL, NULL, &words, &flags);
    bool told = ERR_GET_LIB(first) == ERR_LIB_USER && (flags & ERR_TXT_STRING);
    if (SSL_is_server(ssl) && verify == X509_V_ERR_HOSTNAME_MISMATCH)
        reason = "none of its names is an allowed one";
    (void)err_set(e, ERR_AUTH, "TLS: the peer's certificate is refused: %s%s%s%s", reason,
                  told ? " (" : "", told ? words : "", told ? ")" : "");
    ERR_clear_error();
    return 1;
}

int tls_peer_name(SSL *ssl, char **ret) {
    const struct net_tls_names *allowed = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    *ret = NULL;
    if (!cert)
        return 0;
    if (allowed && allowed->n > 0) {
        const char *name = allowed_name(cert, allowed);
        return name && !(*ret = mem_strdup(name)) ? ERR_NOMEM : 0;
    }
    size_t n;
    char *cn = common_name(X509_get_subject_name(cert), &n);
    if (cn)
        *ret = mem_strndup(cn, n);
    int rc = cn && !*ret ? ERR_NOMEM : 0;
    OPENSSL_free(cn);
    return rc;
}
