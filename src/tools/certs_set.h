// SPDX-License-Identifier: Apache-2.0
/* Private to certs*.c: the authority and the certificates at hand, their folder, and as YAML. */
#pragma once

#include "tools/certs.h"

struct certs_set {
    struct certs_pair ca; // cert: a bundle, the newest first; key: of one of them
    struct certs_pair parties[CERTS_PARTIES];
};

struct certs_party_info {
    const char *stem;   // of its files
    const char *name;   // of its Service (KEDA's certificate has none)
    const char *secret; // that holds its certificate
    bool server, client;
};
extern const struct certs_party_info certs_parties[CERTS_PARTIES];

const char *certs_namespace_of(const struct certs_options *o, enum certs_party p); // of its Secret
// The names of a party's certificate into ret: its count.
size_t certs_names_of(const struct certs_options *o, enum certs_party p,
                      struct certs_name ret[LIMIT_CERT_NAMES]);

// certs_files.c. What is not there stays empty.
int certs_load(struct certs_set *s, const char *folder, struct err *e);
int certs_store(const struct certs_set *s, const char *folder, struct err *e);
int certs_read_file(const char *path, struct buf *out, struct err *e); // ERR_NOTFOUND: no such file

// certs_yaml.c
void certs_yaml_secrets(struct buf *out, const struct certs_options *o, const struct certs_set *s);
void certs_yaml_cert_manager(struct buf *out, const struct certs_options *o);
