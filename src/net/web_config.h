// SPDX-License-Identifier: Apache-2.0
/*
 * The web-config file of Prometheus' exporters (github.com/prometheus/exporter-toolkit,
 * docs/web-configuration.md), strictly bound (conf/conf.h): who may read an HTTP port.
 *
 *     tls_server_config:
 *       cert_file: FILE          # PEM chain; relative names are relative to this file
 *       key_file: FILE
 *       client_auth_type: NoClientCert | VerifyClientCertIfGiven | RequireAndVerifyClientCert
 *       client_ca_file: FILE
 *       client_allowed_sans: [NAME]
 *       min_version: TLS12 | TLS13     max_version: TLS12 | TLS13
 *       cipher_suites: [NAME]    # of TLS 1.2, Go's names; only those with ECDHE and AEAD
 *       curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]
 *       prefer_server_cipher_suites: true     # taken, says nothing: as in Go since 1.17
 *     http_server_config: {http2: true}       # likewise: these ports speak HTTP/1.1
 *     basic_auth_users: {USER: BCRYPT_HASH}
 *
 * Refused, with what to do instead: certificates that nobody verifies (RequestClientCert,
 * RequireAnyClientCert), TLS before 1.2, every other key.
 */
#pragma once

#include "base/arena.h"
#include "net/tls.h"

struct web_config_user {
    const char *name, *hash;
};

struct web_config {
    struct net_tls_files tls; // cert NULL: plain
    struct web_config_user *users;
    size_t n_users;
    struct arena arena; // of all strings
};

// `path` is the file's name, for messages and for the names in it. Codes of conf/conf.h; no message
// shows a hash, or what stands in its place.
int web_config_parse(struct web_config *ret, struct str text, const char *path, struct err *e);
int web_config_read(struct web_config *ret, const char *path, struct err *e);
void web_config_done(struct web_config *c);
