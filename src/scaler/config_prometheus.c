// SPDX-License-Identifier: Apache-2.0
/* The configuration of Prometheus servers. */
#include "scaler/config_prometheus.h"

#include <ctype.h>

#include "core/metrics/prom.h"
#include "source/prometheus.h"

static int check_url(const char *value, struct err *e) {
    return prometheus_url_check(value, e);
}

static int check_label(const char *value, struct err *e) {
    if (value[0] == '\0' || prom_label_name_valid(str_from(value)))
        return 0;
    return err_set(e, ERR_INVALID, "expected a label's name, or \"\" for none");
}

// Visible ASCII and spaces: nothing that could end a header line.
static int check_header_value(const char *value, struct err *e) {
    for (const char *p = value; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            return err_set(e, ERR_INVALID, "expected printable ASCII");
    return value[0] ? 0 : err_set(e, ERR_INVALID, "expected a value");
}

static int check_namespace(const char *value, struct err *e) {
    bool ok = value[0] != '\0' && strlen(value) <= 63;
    for (const char *p = value; ok && *p; p++)
        ok = islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '-';
    return ok || strcmp(value, "*") == 0
               ? 0
               : err_set(e, ERR_INVALID, "expected a namespace's name, or \"*\" for all");
}

typedef struct config_prometheus server;
#define MEMBER(m) typeof(((server *)0)->m)

static const struct conf_field tls_fields[] = {
    {"cert", CONF_STRING(struct config_tls, cert),
     .help = "Certificate to show (PEM), re-read when it changes."},
    {"key", CONF_STRING(struct config_tls, key), .help = "Its key (PEM)."},
    {"ca", CONF_STRING(struct config_tls, ca),
     .help = "Authorities of the server's certificate (PEM); left out: the system's."},
    {"serverName", CONF_STRING(struct config_tls, server_name),
     .help = "Name in the server's certificate; left out: the URL's host."},
    {0}};

static const struct conf_field basic_fields[] = {
    {"username", CONF_STRING(MEMBER(basic_auth), username), .required = true, .min = "1",
     .help = "User."},
    {"passwordFile", CONF_STRING(MEMBER(basic_auth), password_file), .required = true,
     .help = "File with the password, read for each request."},
    {0}};

const struct conf_field config_prometheus_fields[] = {
    {"url", CONF_STRING(server, url), .required = true, .check = check_url,
     .help = "In front of /api/v1/query, http:// or https://."},
    {"tls", CONF_STRUCT(server, tls, tls_fields),
     .help = "Trust and certificate of https; left out: the system's trust."},
    {"bearerTokenFile", CONF_STRING(server, bearer_token_file),
     .help = "File with a token, read for each request."},
    {"basicAuth", CONF_STRUCT(server, basic_auth, basic_fields), .help = "User and password."},
    {"orgID", CONF_STRING(server, org_id), .check = check_header_value,
     .help = "Tenant of Mimir, Cortex and their like: the header X-Scope-OrgID."},
    {"headers", CONF_MAP_STRING(server, headers), .max = "16", .check = check_header_value,
     .help = "Further headers of each request. They are no place for secrets."},
    {"namespaces", CONF_LIST_STRING(server, namespaces), .required = true, .min = "1",
     .max = "10000", .check = check_namespace,
     .help = "Whose ScaledObjects may ask this server; \"*\" for all."},
    {"enforcedLabel", CONF_STRING(server, enforced_label), .def = "namespace", .check = check_label,
     .help = "Label that every series read must have, with the ScaledObject's namespace as its "
             "value: it is added to each selector of the query. \"\": none, whoever may ask reads "
             "everything."},
    {"interval", CONF_DURATION(server, interval_ns), .def = "10s", .min = "1s", .max = "10m",
     .help = "Between two questions of the same query; below a third of maxAge (30s), so that one "
             "lost answer is no unknown value."},
    {"timeout", CONF_DURATION(server, timeout_ns), .def = "5s", .min = "100ms", .max = "2m",
     .help = "The server is given so long for a query."},
    {"lookback", CONF_DURATION(server, lookback_ns), .def = "0s", .min = "0s", .max = "1h",
     .help = "How old a sample a plain selector may give (lookback_delta); 0: the server's own, "
             "five minutes as a rule."},
    {0}};

static bool header_name_valid(const char *name) {
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return false;
    return name[0] != '\0';
}

static int check_headers(const struct config_prometheus *p, struct err *e) {
    static const char *const taken[] = {"authorization",  "host",          "content-type",
                                        "content-length", "x-scope-orgid", "transfer-encoding",
                                        "accept"};
    for (size_t i = 0; i < p->headers.n; i++) {
        const char *name = p->headers.items[i].name;
        if (!header_name_valid(name))
            return err_set(e, ERR_INVALID, "prometheus.%s.headers: \"%s\" is no header's name",
                           p->name, name);
        for (size_t t = 0; t < sizeof(taken) / sizeof(taken[0]); t++)
            if (str_eq_nocase(str_from(name), str_from(taken[t])))
                return err_set(e, ERR_INVALID,
                               "prometheus.%s.headers: %s is not written here (bearerTokenFile, "
                               "basicAuth and orgID are keys of their own)",
                               p->name, name);
    }
    return 0;
}

int config_prometheus_check(const struct config_prometheus *p, struct err *e) {
    if ((p->tls.cert == NULL) != (p->tls.key == NULL))
        return err_set(e, ERR_INVALID,
                       "prometheus.%s.tls: cert and key belong together, %s is missing", p->name,
                       p->tls.cert ? "key" : "cert");
    if (config_tls_on(&p->tls) && !str_starts(str_from(p->url), "https:"))
        return err_set(e, ERR_INVALID, "prometheus.%s: tls is given, and the url is not https://",
                       p->name);
    if (p->bearer_token_file && p->basic_auth.username)
        return err_set(e, ERR_INVALID,
                       "prometheus.%s: bearerTokenFile and basicAuth exclude each other", p->name);
    return check_headers(p, e);
}

bool config_prometheus_allows(const struct config_prometheus *p, struct str namespace_) {
    for (size_t i = 0; i < p->namespaces.n; i++)
        if (strcmp(p->namespaces.items[i], "*") == 0 || str_eqc(namespace_, p->namespaces.items[i]))
            return true;
    return false;
}
