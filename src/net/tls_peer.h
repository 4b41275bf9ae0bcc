// SPDX-License-Identifier: Apache-2.0
/* Who the other side of a TLS connection is, by its certificate (internal to net). */
#pragma once

#include <openssl/ssl.h>

#include "base/err.h"

// Of X509_STORE_CTX_set_verify_cb and SSL_CTX_set_verify. The SSL_CTX's app data is the
// `struct net_tls_names` below, or NULL. A refusal leaves whose certificate it was in OpenSSL's
// error queue, for tls_peer_refused().
int tls_peer_verify(int ok, X509_STORE_CTX *store);

// The names of which a client's certificate must carry one; none: any certificate will do.
struct net_tls_names {
    char **items;
    size_t n;
};

// After a failed handshake: 1 and `e` says whose certificate was refused and why, or 0 when that
// was not the reason. Empties OpenSSL's error queue when 1.
int tls_peer_refused(SSL *ssl, struct err *e);

// The name by which the peer is known: the allowed name that it carries, or its common name where
// none is asked for. *ret is NULL without a certificate or a clean name, else the caller's to free.
// ERR_NOMEM.
int tls_peer_name(SSL *ssl, char **ret);
