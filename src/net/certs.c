// SPDX-License-Identifier: Apache-2.0
/* Making certificates with OpenSSL. Alternative names go in as structures, never through its text
 * syntax, so that no name can smuggle another one in. */
#include "net/certs.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/certs_pem.h"
#include "net/tls.h"

enum { SERIAL_BITS = 159, COMMON_NAME_MAX = 64 };

void certs_pair_init(struct certs_pair *p) {
    buf_init(&p->cert, LIMIT_TLS_FILE_BYTES);
    buf_init(&p->key, LIMIT_TLS_FILE_BYTES);
}

void certs_pair_done(struct certs_pair *p) {
    if (p->key.p)
        OPENSSL_cleanse(p->key.p, p->key.len);
    buf_done(&p->cert);
    buf_done(&p->key);
}

static int failed(struct err *e, const char *what) {
    return net_tls_error(e, ERR_NOMEM, "certificate: %s", what);
}

static bool dns_name(struct str s) {
    if (str_starts(s, "*."))
        s.p += 2, s.n -= 2;
    if (s.n == 0 || s.n > 253)
        return false;
    while (s.n > 0) {
        struct str label = str_cut(&s, '.');
        bool good = label.n > 0 && label.n < 64 && label.p[0] != '-' && label.p[label.n - 1] != '-';
        for (size_t i = 0; good && i < label.n; i++)
            good = (label.p[i] >= 'a' && label.p[i] <= 'z') ||
                   (label.p[i] >= 'A' && label.p[i] <= 'Z') ||
                   (label.p[i] >= '0' && label.p[i] <= '9') || label.p[i] == '-';
        if (!good)
            return false;
    }
    return true;
}

static ASN1_STRING *name_value(const struct certs_name *name, int *ret_type) {
    unsigned char ip[16];
    const void *bytes = name->text;
    size_t n = strlen(name->text);
    *ret_type = name->kind == CERTS_DNS ? GEN_DNS : name->kind == CERTS_URI ? GEN_URI : GEN_IPADD;
    if (*ret_type == GEN_DNS && !dns_name(str_from(name->text)))
        return NULL;
    if (*ret_type == GEN_URI && !strstr(name->text, "://"))
        return NULL;
    if (*ret_type == GEN_IPADD) {
        n = inet_pton(AF_INET, name->text, ip) == 1    ? 4
            : inet_pton(AF_INET6, name->text, ip) == 1 ? 16
                                                       : 0;
        bytes = ip;
        if (n == 0)
            return NULL;
    }
    ASN1_STRING *s = ASN1_STRING_type_new(*ret_type == GEN_IPADD ? V_ASN1_OCTET_STRING
                                                                 : V_ASN1_IA5STRING);
    if (s && ASN1_STRING_set(s, bytes, (int)n) != 1) {
        ASN1_STRING_free(s);
        s = NULL;
    }
    return s;
}

static int add_name(GENERAL_NAMES *names, const struct certs_name *name, struct err *e) {
    static const char *const kinds[] = {"DNS name", "address", "URI", "name"};
    int type;
    ASN1_STRING *value = name_value(name, &type);
    if (!value)
        return err_set(e, ERR_INVALID, "certificate: \"%s\" is no %s", name->text,
                       kinds[name->kind]);
    GENERAL_NAME *g = GENERAL_NAME_new();
    if (!g) {
        ASN1_STRING_free(value);
        return failed(e, "name");
    }
    GENERAL_NAME_set0_value(g, type, value);
    if (sk_GENERAL_NAME_push(names, g) > 0)
        return 0;
    GENERAL_NAME_free(g);
    return failed(e, "name");
}

static int add_names(X509 *cert, const struct certs_wish *w, struct err *e) {
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int r = names ? 0 : failed(e, "names");
    for (size_t i = 0; i < w->n_names && r == 0; i++)
        r = add_name(names, &w->names[i], e);
    if (r == 0 && w->n_names > 0 &&
        X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
        r = failed(e, "names");
    GENERAL_NAMES_free(names);
    return r;
}

static int add_text(X509 *cert, X509 *issuer, int nid, const char *value, struct err *e) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok ? 0 : failed(e, value);
}

static int add_uses(X509 *cert, X509 *issuer, const struct certs_wish *w, struct err *e) {
    const char *extended = w->server && w->client ? "serverAuth,clientAuth"
                           : w->server            ? "serverAuth"
                                                  : "clientAuth";
    const struct {
        int nid;
        const char *value; // NULL: not for this one
    } extensions[] = {
        {NID_basic_constraints, w->authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE"},
        {NID_key_usage,
         w->authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"},
        {NID_ext_key_usage, w->authority ? NULL : extended},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, issuer == cert ? NULL : "keyid:always"},
    };
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        int r = extensions[i].value
                    ? add_text(cert, issuer, extensions[i].nid, extensions[i].value, e)
                    : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_serial(X509 *cert) {
    BIGNUM *n = BN_new();
    int ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
             BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

// Everything but the signature.
static int fill(X509 *cert, EVP_PKEY *key, X509 *issuer, const struct certs_wish *w,
                struct err *e) {
    X509_NAME *subject = X509_get_subject_name(cert);
    size_t n = strlen(w->common_name);
    if (n == 0 || n > COMMON_NAME_MAX)
        return err_set(e, ERR_INVALID, "certificate: a common name of %zu bytes, at most %d fit", n,
                       COMMON_NAME_MAX);
    if (w->until_s <= w->from_s)
        return err_set(e, ERR_INVALID, "certificate: it would end before it begins");
    if (X509_set_version(cert, 2) != 1 || !set_serial(cert) ||
        !ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)w->from_s) ||
        !ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)w->until_s) ||
        X509_set_pubkey(cert, key) != 1 ||
        X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)w->common_name, (int)n, -1, 0) != 1 ||
        X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1)
        return failed(e, w->common_name);
    int r = add_uses(cert, issuer, w, e);
    return r == 0 ? add_names(cert, w, e) : r;
}

static int write_pair(X509 *cert, EVP_PKEY *key, struct certs_pair *ret, struct err *e) {
    BIO *text = BIO_new(BIO_s_secmem());
    int r = text && PEM_write_bio_PKCS8PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) == 1
                ? certs_pem_take(text, &ret->key)
                : ERR_NOMEM;
    BIO_free(text);
    if (r == 0)
        r = certs_pem_write(cert, &ret->cert);
    return r < 0 ? failed(e, "PEM") : 0;
}

// The issuer's certificate among several: the one that the key belongs to.
static int find_issuer(struct str issuers, EVP_PKEY *key, X509 **ret, struct err *e) {
    for (unsigned i = 0;; i++) {
        X509 *cert;
        int r = certs_pem_cert(issuers, i, &cert, e);
        if (r == ERR_NOTFOUND)
            return err_set(e, ERR_INVALID,
                           "the authority's key belongs to none of its %u "
                           "certificates",
                           i);
        if (r < 0)
            return r;
        if (X509_check_private_key(cert, key) == 1) {
            *ret = cert;
            return 0;
        }
        X509_free(cert);
    }
}

int certs_make(const struct certs_wish *wish, struct str issuers, struct str issuer_key,
               struct certs_pair *ret, struct err *e) {
    ERR_clear_error();
    X509 *issuer = NULL, *cert = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = NULL;
    int r = cert && key ? 0 : failed(e, "key");
    if (r == 0 && issuer_key.n > 0)
        r = certs_pem_key(issuer_key, &signer, e);
    if (r == 0 && signer)
        r = find_issuer(issuers, signer, &issuer, e);
    if (r == 0)
        r = fill(cert, key, issuer ? issuer : cert, wish, e);
    if (r == 0 && X509_sign(cert, signer ? signer : key, EVP_sha256()) <= 0)
        r = failed(e, "signature");
    if (r == 0)
        r = write_pair(cert, key, ret, e);
    X509_free(cert);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    ERR_clear_error();
    return r;
}
