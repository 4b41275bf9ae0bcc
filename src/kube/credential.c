// SPDX-License-Identifier: Apache-2.0
/* ExecCredential. */
#include "kube/credential.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/rfc3339.h"
#include "kube/base64.h"
#include "kube/object.h"

static int keep(struct kube_credential *c, const json_t *status, const char *key, struct str *ret,
                struct err *e) {
    const char *text = json_string_value(json_object_get(status, key));
    if (!text || !*text)
        return 0;
    char *copy = arena_strdup(&c->arena, str_from(text));
    if (!copy)
        return err_set(e, ERR_NOMEM, "out of memory");
    *ret = (struct str){copy, strlen(copy)};
    return 0;
}

static int read_status(struct kube_credential *c, const json_t *status, struct err *e) {
    struct str token = {0};
    const json_t *expires = json_object_get(status, "expirationTimestamp");
    int r = keep(c, status, "token", &token, e);
    r = r ? r : keep(c, status, "clientCertificateData", &c->cert, e);
    r = r ? r : keep(c, status, "clientKeyData", &c->key, e);
    if (r < 0)
        return r;
    c->token = token.p;
    c->expires_ns = INT64_MAX;
    if (json_is_string(expires) &&
        rfc3339_parse(json_string_value(expires), &c->expires_ns, NULL) < 0)
        return err_set(e, ERR_INVALID, "status.expirationTimestamp is no time");
    if ((c->cert.p != NULL) != (c->key.p != NULL))
        return err_set(e, ERR_INVALID,
                       "status has one of clientCertificateData and clientKeyData: it needs both");
    if (!c->token && !c->cert.p)
        return err_set(e, ERR_INVALID, "status has no token and no clientCertificateData");
    return 0;
}

int kube_credential_parse(struct kube_credential *ret, struct str text, const char *api_version,
                          struct err *e) {
    CLEANUP_JSON json_t *json = NULL;
    struct kube_credential c = {0};
    int r = kube_json_parse(text, &json, e);
    if (r < 0)
        return r;
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const char *version = json_string_value(json_object_get(json, "apiVersion"));
    if (!kind || strcmp(kind, "ExecCredential") != 0)
        return err_set(e, ERR_INVALID, "the output is no ExecCredential");
    if (!version || strcmp(version, api_version) != 0)
        return err_set(e, ERR_INVALID, "the output's apiVersion is not %.64s, which was asked for",
                       api_version);
    arena_init(&c.arena, LIMIT_KUBE_EXEC_BYTES * 2);
    r = read_status(&c, json_object_get(json, "status"), e);
    if (r < 0)
        kube_credential_done(&c);
    else
        *ret = c;
    return r;
}

void kube_credential_done(struct kube_credential *c) {
    if (c->token)
        explicit_bzero((char *)(uintptr_t)c->token, strlen(c->token));
    if (c->key.p)
        explicit_bzero((char *)(uintptr_t)c->key.p, c->key.n);
    arena_done(&c->arena);
    *c = (struct kube_credential){0};
}

// The PEM in base64, as the API has bytes.
static int add_base64(struct buf *out, struct str bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int r = 0;
    for (size_t i = 0; i < bytes.n && r == 0; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < bytes.n ? (unsigned char)bytes.p[i + j] : 0);
        char four[4];
        for (int j = 0; j < 4; j++)
            four[j] = digits[bits >> (18 - 6 * j) & 63];
        if (i + 1 >= bytes.n)
            four[2] = '=';
        if (i + 2 >= bytes.n)
            four[3] = '=';
        r = buf_add(out, four, 4);
    }
    return r;
}

int kube_credential_info(struct buf *out, const struct kube_config *config, struct str ca) {
    int r = buf_addc(out, "{\"kind\":\"ExecCredential\",\"apiVersion\":");
    r = r ? r : buf_add_json(out, str_from(config->exec->api_version));
    r = r ? r : buf_addc(out, ",\"spec\":{\"interactive\":false");
    if (config->exec->provide_cluster_info) {
        r = r ? r : buf_addc(out, ",\"cluster\":{\"server\":");
        r = r ? r : buf_add_json(out, str_from(config->server));
        if (config->server_name) {
            r = r ? r : buf_addc(out, ",\"tls-server-name\":");
            r = r ? r : buf_add_json(out, str_from(config->server_name));
        }
        if (ca.p) {
            r = r ? r : buf_addc(out, ",\"certificate-authority-data\":\"");
            r = r ? r : add_base64(out, ca);
            r = r ? r : buf_addc(out, "\"");
        }
        r = r ? r : buf_addc(out, "}");
    }
    return r ? r : buf_addc(out, "}}");
}
