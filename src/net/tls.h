// SPDX-License-Identifier: Apache-2.0
/*
 * TLS contexts: OpenSSL 3, TLS 1.2 or later, files re-read when they change. A context serves many
 * connections; new connections use the newest good files, old ones keep theirs (owners end them by
 * age). A reload that fails keeps the last good context and tells why.
 */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct net_tls_files {
    const char *cert; // PEM chain; NULL: no certificate (clients only)
    const char *key;  // PEM
    const char *ca;   // PEM bundle; servers: NULL = ask no client certificate, else require one
                      // signed by it (mutual TLS). Clients: NULL = the system's.
    // Servers with `ca`: a client's certificate must carry one of these DNS names or URIs (or have
    // it for a common name where it carries neither), letter by letter. n 0: any will do.
    const char *const *allowed;
    size_t n_allowed;
    bool ca_optional;    // servers with `ca`: who shows no certificate is let in too
    int oldest, newest;  // 12 or 13: TLS 1.2, 1.3; 0: 12 and 13
    const char *ciphers; // of TLS 1.2, OpenSSL's names, among those that are allowed; NULL: those
    const char *groups;  // for key exchange, OpenSSL's names; NULL: OpenSSL's own
};

enum net_tls_role {
    NET_TLS_SERVER,
    NET_TLS_CLIENT,
    // Any certificate is taken: for measuring a server that is known to be the right one (load's
    // --insecure), and for nothing that reads data.
    NET_TLS_CLIENT_UNVERIFIED,
};
enum net_tls_alpn { NET_TLS_ALPN_H2, NET_TLS_ALPN_HTTP1 };

struct net_tls; // one thread

// Copies paths and names and loads the files. ERR_INVALID, ERR_IO or ERR_NOMEM with the file and
// OpenSSL's reason (a key that does not match; an expired certificate is not an error here: see
// not_after). Servers need cert and key. No password is ever asked for: an encrypted key is
// ERR_INVALID.
int net_tls_new(struct net_tls **ret, enum net_tls_role role, enum net_tls_alpn alpn,
                const struct net_tls_files *files, struct err *e);
struct net_tls *net_tls_free(struct net_tls *tls);
// The files and settings of `fresh`, which goes, are from now on those of `tls`. Both of one role.
void net_tls_replace(struct net_tls *tls, struct net_tls *fresh);
// Of a server without files.ca: from now on new connections' clients are asked for a certificate.
// One that is shown must be signed by an authority of `pem` (copied); none need be shown. An empty
// view: nobody is asked. ERR_INVALID (no certificate in it), ERR_NOMEM, ...: it stays as it was.
int net_tls_ask_clients(struct net_tls *tls, struct str pem, struct err *e);
// Stats the files and reloads those that changed (mtime, size or inode; symlink swaps of Kubernetes
// Secrets included). Returns 1 reloaded, 0 unchanged, negative failed: the old one stays in use,
// and the next call tries again. A certificate that has expired does not replace one that has not.
// Owners call it each 10 s or so.
int net_tls_reload_if_changed(struct net_tls *tls, struct err *e);
// Seconds since 1970 at which our certificate ends; 0 when there is none.
int64_t net_tls_not_after_s(const struct net_tls *tls);
// A new SSL of the newest context. `server_name` (clients): SNI and the name (or address) that the
// server's certificate must carry; NULL or "" is refused.
SSL *net_tls_ssl_new(struct net_tls *tls, const char *server_name, struct err *e);
// After a client's handshake: ERR_PROTO when the server did not agree on HTTP/2 that we ask for.
int net_tls_check_alpn(const struct net_tls *tls, const SSL *ssl, struct err *e);
// The context's message with OpenSSL's first reason appended; empties OpenSSL's error queue.
int net_tls_error(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
