// SPDX-License-Identifier: Apache-2.0
/*
 * X.509 certificates as PEM text: makes them, and says what is in them. ECDSA on P-256, SHA-256,
 * random serial numbers of 159 bits. Nothing here reads a clock or a file.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

enum certs_name_kind { CERTS_DNS, CERTS_IP, CERTS_URI, CERTS_OTHER_NAME };

struct certs_name {
    enum certs_name_kind kind;
    char text[LIMIT_CERT_NAME_BYTES];
};

struct certs_wish {
    const char *common_name;        // at most 64 bytes (RFC 5280's ub-common-name)
    const struct certs_name *names; // DNS and IP names
    size_t n_names;
    bool authority;          // signs certificates and does nothing else; no names
    bool server, client;     // extended key usage of the others
    int64_t from_s, until_s; // since 1970
};

struct certs_pair {
    struct buf cert, key; // PEM; the key as PKCS #8, not encrypted
};
void certs_pair_init(struct certs_pair *p);
void certs_pair_done(struct certs_pair *p); // the key's memory is wiped

// A new key and its certificate, appended to the (empty) `ret`. Signed by the certificate among
// `issuers` (PEM) that belongs to `issuer_key`; empty views: by itself. ERR_INVALID: a name, a key
// that belongs to none of the issuers; ERR_NOMEM, ERR_LIMIT.
int certs_make(const struct certs_wish *wish, struct str issuers, struct str issuer_key,
               struct certs_pair *ret, struct err *e);

struct certs_facts {
    char subject[LIMIT_CERT_NAME_BYTES],
        issuer[LIMIT_CERT_NAME_BYTES];         // common names, or the whole
    char serial[64], fingerprint[96], key[64]; // "ECDSA P-256"
    struct certs_name names[LIMIT_CERT_NAMES];
    size_t n_names, n_more_names; // kept, beyond the limit
    int64_t from_s, until_s;
    bool authority, self_signed, weak; // weak: below what net/tls.h accepts
    bool server, client;               // by extended key usage; both where there is none
};

// The i-th certificate of a text. ERR_NOTFOUND: there are not so many; ERR_PARSE.
int certs_read(struct str pem, unsigned i, struct certs_facts *ret, struct err *e);
// Of the i-th certificate alone, as PEM; appended. Codes as certs_read, and ERR_LIMIT, ERR_NOMEM.
int certs_copy(struct str pem, unsigned i, struct buf *out, struct err *e);
// What kind of private key: "ECDSA P-256" into dst. ERR_NOTFOUND: the text holds none; ERR_PARSE.
int certs_read_key(struct str pem, char *dst, size_t cap, struct err *e);
// Does the key belong to the i-th certificate? Has one of `issuers` signed that (its number, or
// -1)?
bool certs_key_fits(struct str pem, unsigned i, struct str key);
int certs_issuer_of(struct str pem, unsigned i, struct str issuers);
