// SPDX-License-Identifier: Apache-2.0
/* What is in certificates and keys, for people. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "net/certs.h"
#include "net/certs_pem.h"
#include "net/tls.h"

static int no_password(char *buf, int size, int rwflag, void *ctx) {
    return -1;
}

int certs_pem_take(BIO *from, struct buf *out) {
    char *text;
    long n = BIO_get_mem_data(from, &text);
    return n < 0 ? ERR_NOMEM : buf_add(out, text, (size_t)n);
}

int certs_pem_write(X509 *cert, struct buf *out) {
    BIO *text = BIO_new(BIO_s_mem());
    int r = text && PEM_write_bio_X509(text, cert) == 1 ? certs_pem_take(text, out) : ERR_NOMEM;
    BIO_free(text);
    return r;
}

int certs_pem_cert(struct str pem, unsigned i, X509 **ret, struct err *e) {
    ERR_clear_error();
    BIO *text = BIO_new_mem_buf(pem.n > 0 ? pem.p : "", (int)pem.n);
    X509 *cert = NULL;
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory for a certificate");
    unsigned at = 0;
    while ((cert = PEM_read_bio_X509(text, NULL, no_password, NULL)) && at < i) {
        X509_free(cert);
        at++;
    }
    BIO_free(text);
    if (cert) {
        *ret = cert;
        return 0;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return net_tls_error(e, ERR_PARSE, "certificate %u", at + 1);
    ERR_clear_error();
    return err_set(e, ERR_NOTFOUND, "there are %u certificates (PEM) in it", at);
}

int certs_pem_key(struct str pem, EVP_PKEY **ret, struct err *e) {
    ERR_clear_error();
    bool any = pem.n > 0 && memmem(pem.p, pem.n, "PRIVATE KEY-----", 16) != NULL;
    BIO *text = BIO_new_mem_buf(pem.n > 0 ? pem.p : "", (int)pem.n);
    EVP_PKEY *key = text ? PEM_read_bio_PrivateKey(text, NULL, no_password, NULL) : NULL;
    BIO_free(text);
    if (key) {
        *ret = key;
        return 0;
    }
    if (any)
        return net_tls_error(e, ERR_PARSE, "private key");
    ERR_clear_error();
    return err_set(e, ERR_NOTFOUND, "there is no private key (PEM) in it");
}

static void show_key(const EVP_PKEY *key, char *dst, size_t cap) {
    char group[32] = "";
    const char *curve = NULL;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
        curve = EC_curve_nid2nist(OBJ_txt2nid(group));
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
        snprintf(dst, cap, "ECDSA %s", curve ? curve : group);
    else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        snprintf(dst, cap, "RSA, %d bits", EVP_PKEY_get_bits(key));
    else
        snprintf(dst, cap, "%s", OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
}

int certs_read_key(struct str pem, char *dst, size_t cap, struct err *e) {
    EVP_PKEY *key;
    int r = certs_pem_key(pem, &key, e);
    if (r < 0)
        return r;
    show_key(key, dst, cap);
    EVP_PKEY_free(key);
    return 0;
}

// The common name; without one, the whole name on a line.
static void show_name(const X509_NAME *name, char *dst, size_t cap) {
    unsigned char *utf8 = NULL;
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    int n = at < 0 ? -1
                   : ASN1_STRING_to_UTF8(&utf8,
                                         X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (n > 0)
        snprintf(dst, cap, "%.*s", n, (const char *)utf8);
    else
        (void)X509_NAME_oneline(name, dst, (int)cap);
    OPENSSL_free(utf8);
}

static void take_name(const GENERAL_NAME *g, struct certs_name *ret) {
    ret->kind = CERTS_OTHER_NAME;
    if (g->type == GEN_IPADD) {
        const unsigned char *ip = ASN1_STRING_get0_data(g->d.iPAddress);
        int n = ASN1_STRING_length(g->d.iPAddress);
        if (n == 4 || n == 16) {
            ret->kind = CERTS_IP;
            (void)inet_ntop(n == 4 ? AF_INET : AF_INET6, ip, ret->text, sizeof(ret->text));
            return;
        }
    }
    if (g->type == GEN_DNS || g->type == GEN_URI || g->type == GEN_EMAIL) {
        const ASN1_STRING *s = g->d.ia5;
        ret->kind = g->type == GEN_DNS   ? CERTS_DNS
                    : g->type == GEN_URI ? CERTS_URI
                                         : CERTS_OTHER_NAME;
        snprintf(ret->text, sizeof(ret->text), "%.*s", ASN1_STRING_length(s),
                 (const char *)ASN1_STRING_get0_data(s));
        return;
    }
    snprintf(ret->text, sizeof(ret->text), "(a name of another kind)");
}

static void take_names(const X509 *cert, struct certs_facts *f) {
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (f->n_names == LIMIT_CERT_NAMES)
            f->n_more_names++;
        else
            take_name(sk_GENERAL_NAME_value(names, i), &f->names[f->n_names++]);
    }
    GENERAL_NAMES_free(names);
}

static int64_t epoch_s(const ASN1_TIME *t) {
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;
    ASN1_TIME_free(epoch);
    return ok ? (int64_t)days * 86400 + seconds : 0;
}

static void show_serial(const X509 *cert, char *dst, size_t cap) {
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = n ? BN_bn2hex(n) : NULL;
    snprintf(dst, cap, "%s", hex ? hex : "?");
    OPENSSL_free(hex);
    BN_free(n);
}

static void show_fingerprint(const X509 *cert, char *dst, size_t cap) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &n) != 1)
        n = 0;
    dst[0] = '\0';
    for (size_t i = 0, at = 0; i < n && at + 3 <= cap; i++, at += 3)
        snprintf(dst + at, cap - at, i + 1 < n ? "%02X:" : "%02X", digest[i]);
}

// What OpenSSL's security level 2, which net/tls.c asks for, refuses.
static bool is_weak(X509 *cert, const EVP_PKEY *key) {
    int bits = 0;
    return EVP_PKEY_get_security_bits(key) < 112 ||
           (X509_get_signature_info(cert, NULL, NULL, &bits, NULL) == 1 && bits < 112 &&
            !(X509_get_extension_flags(cert) & EXFLAG_SS));
}

int certs_read(struct str pem, unsigned i, struct certs_facts *ret, struct err *e) {
    X509 *cert;
    int r = certs_pem_cert(pem, i, &cert, e);
    if (r < 0)
        return r;
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    struct certs_facts f = {
        .from_s = epoch_s(X509_get0_notBefore(cert)),
        .until_s = epoch_s(X509_get0_notAfter(cert)),
        .authority = X509_check_ca(cert) == 1,
        .self_signed = (X509_get_extension_flags(cert) & EXFLAG_SS) != 0,
        .server = (X509_get_extended_key_usage(cert) & XKU_SSL_SERVER) != 0,
        .client = (X509_get_extended_key_usage(cert) & XKU_SSL_CLIENT) != 0,
    };
    show_name(X509_get_subject_name(cert), f.subject, sizeof(f.subject));
    show_name(X509_get_issuer_name(cert), f.issuer, sizeof(f.issuer));
    show_serial(cert, f.serial, sizeof(f.serial));
    show_fingerprint(cert, f.fingerprint, sizeof(f.fingerprint));
    if (key) {
        show_key(key, f.key, sizeof(f.key));
        f.weak = is_weak(cert, key);
    }
    take_names(cert, &f);
    X509_free(cert);
    ERR_clear_error();
    *ret = f;
    return 0;
}

int certs_copy(struct str pem, unsigned i, struct buf *out, struct err *e) {
    X509 *cert;
    int r = certs_pem_cert(pem, i, &cert, e);
    if (r < 0)
        return r;
    r = certs_pem_write(cert, out);
    X509_free(cert);
    return r < 0 ? err_set(e, r, "no room for a certificate") : 0;
}

bool certs_key_fits(struct str pem, unsigned i, struct str key_pem) {
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    bool fits = certs_pem_cert(pem, i, &cert, NULL) == 0 &&
                certs_pem_key(key_pem, &key, NULL) == 0 && X509_check_private_key(cert, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return fits;
}

int certs_issuer_of(struct str pem, unsigned i, struct str issuers) {
    X509 *cert, *issuer;
    int found = -1;
    if (certs_pem_cert(pem, i, &cert, NULL) < 0)
        return -1;
    for (unsigned k = 0; found < 0 && certs_pem_cert(issuers, k, &issuer, NULL) == 0; k++) {
        if (X509_check_issued(issuer, cert) == X509_V_OK &&
            X509_verify(cert, X509_get0_pubkey(issuer)) == 1)
            found = (int)k;
        X509_free(issuer);
    }
    X509_free(cert);
    ERR_clear_error();
    return found;
}
