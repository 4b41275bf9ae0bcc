// SPDX-License-Identifier: Apache-2.0
/* Between certs.c and certs_read.c: OpenSSL's objects from and to PEM text (internal to net). */
#pragma once

#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"

// The i-th certificate; X509_free() it. ERR_NOTFOUND: not so many; ERR_PARSE.
int certs_pem_cert(struct str pem, unsigned i, X509 **ret, struct err *e);
// EVP_PKEY_free() it. ERR_NOTFOUND: no private key; ERR_PARSE (an encrypted one, too).
int certs_pem_key(struct str pem, EVP_PKEY **ret, struct err *e);
int certs_pem_write(X509 *cert, struct buf *out); // appends: 0, ERR_NOMEM, ERR_LIMIT
int certs_pem_take(BIO *from, struct buf *out);   // all that a memory BIO holds
