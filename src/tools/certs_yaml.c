// SPDX-License-Identifier: Apache-2.0
/* Secrets and what cert-manager needs, as YAML for `kubectl apply -f -`. */
#include "tools/certs_set.h"

// Every text from outside goes in as a JSON string, which YAML reads too.
static void field(struct buf *out, const char *before, const char *value) {
    (void)buf_addc(out, before);
    (void)buf_add_json(out, str_from(value));
    (void)buf_add_byte(out, '\n');
}

static void object(struct buf *out, const char *api, const char *kind, const char *namespace_,
                   const char *name) {
    (void)buf_addf(out, "---\napiVersion: %s\nkind: %s\nmetadata:\n", api, kind);
    if (namespace_)
        field(out, "  namespace: ", namespace_);
    field(out, "  name: ", name);
    (void)buf_addc(out, "  labels: {app.kubernetes.io/part-of: gpuscale}\n");
}

static void block(struct buf *out, const char *key, struct str pem) {
    (void)buf_addf(out, "  %s: |\n", key);
    while (pem.n > 0) {
        struct str line = str_cut(&pem, '\n');
        (void)buf_addf(out, "    " STR_FMT "\n", STR_ARG(line));
    }
}

// KEDA reads a ClusterTriggerAuthentication's Secret in its own namespace.
static void trigger_authentication(struct buf *out) {
    const char *const refs[][2] = {
        {"caCert", "ca.crt"}, {"tlsClientCert", "tls.crt"}, {"tlsClientKey", "tls.key"}};
    object(out, "keda.sh/v1alpha1", "ClusterTriggerAuthentication", NULL, "gpuscale");
    (void)buf_addc(out, "spec:\n  secretTargetRef:\n");
    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++)
        (void)buf_addf(out, "  - {parameter: %s, name: %s, key: %s}\n", refs[i][0],
                       certs_parties[CERTS_KEDA].secret, refs[i][1]);
}

void certs_yaml_secrets(struct buf *out, const struct certs_options *o, const struct certs_set *s) {
    for (int i = 0; i < CERTS_PARTIES; i++) {
        object(out, "v1", "Secret", certs_namespace_of(o, i), certs_parties[i].secret);
        (void)buf_addc(out, "type: kubernetes.io/tls\nstringData:\n");
        block(out, "tls.crt", buf_str(&s->parties[i].cert));
        block(out, "tls.key", buf_str(&s->parties[i].key));
        block(out, "ca.crt", buf_str(&s->ca.cert));
    }
    trigger_authentication(out);
}

static void issuer_ref(struct buf *out, struct str kind, struct str name) {
    (void)buf_addc(out, "  issuerRef: {group: cert-manager.io, kind: ");
    (void)buf_add_json(out, kind);
    (void)buf_addc(out, ", name: ");
    (void)buf_add_json(out, name);
    (void)buf_addc(out, "}\n");
}

static void lasting(struct buf *out, int64_t days) {
    (void)buf_addf(out, "  duration: %lldh\n  renewBefore: %lldh\n", (long long)days * 24,
                   (long long)days * 24 / 3);
}

static void authority(struct buf *out, const struct certs_options *o) {
    (void)buf_addc(
        out, "# The authority: its key is made by cert-manager and stays in its namespace. Whoever "
             "may create Certificates\n# or CertificateRequests in any namespace can ask it for "
             "the names below: allow them with approver-policy, or\n# give an issuer of your own "
             "(--issuer), where not everybody is trusted with that.\n");
    object(out, "cert-manager.io/v1", "ClusterIssuer", NULL, "gpuscale-selfsigned");
    (void)buf_addc(out, "spec: {selfSigned: {}}\n");
    object(out, "cert-manager.io/v1", "Certificate", o->cert_manager_namespace, "gpuscale-ca");
    (void)buf_addc(out, "spec:\n  isCA: true\n  commonName: gpuscale CA\n  secretName: "
                        "gpuscale-ca\n  privateKey: {algorithm: ECDSA, size: 256}\n");
    lasting(out, o->ca_days);
    issuer_ref(out, STR("ClusterIssuer"), STR("gpuscale-selfsigned"));
    object(out, "cert-manager.io/v1", "ClusterIssuer", NULL, "gpuscale-ca");
    (void)buf_addc(out, "spec: {ca: {secretName: gpuscale-ca}}\n");
}

static void names(struct buf *out, const char *key, enum certs_name_kind kind,
                  const struct certs_name *n, size_t count) {
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (n[i].kind != kind)
            continue;
        if (!any)
            (void)buf_addf(out, "  %s:\n", key);
        any = true;
        field(out, "  - ", n[i].text);
    }
}

void certs_yaml_cert_manager(struct buf *out, const struct certs_options *o) {
    struct str name = o->issuer ? str_from(o->issuer) : STR("ClusterIssuer/gpuscale-ca");
    struct str kind = str_cut(&name, '/');
    if (!o->issuer)
        authority(out, o);
    for (int i = 0; i < CERTS_PARTIES; i++) {
        const struct certs_party_info *p = &certs_parties[i];
        struct certs_name list[LIMIT_CERT_NAMES];
        size_t n = certs_names_of(o, i, list);
        object(out, "cert-manager.io/v1", "Certificate", certs_namespace_of(o, i), p->name);
        (void)buf_addf(out,
                       "spec:\n  secretName: %s\n  commonName: %s\n  privateKey: {algorithm: "
                       "ECDSA, size: 256, rotationPolicy: Always}\n  usages: [digital "
                       "signature%s%s]\n",
                       p->secret, p->name, p->server ? ", server auth" : "",
                       p->client ? ", client auth" : "");
        names(out, "dnsNames", CERTS_DNS, list, n);
        names(out, "ipAddresses", CERTS_IP, list, n);
        lasting(out, o->days);
        issuer_ref(out, kind, name);
    }
    trigger_authentication(out);
}
