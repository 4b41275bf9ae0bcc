// SPDX-License-Identifier: Apache-2.0
/* The tables that bind the file, what no single field can say, and what TLS takes from it. */
#include "net/web_config.h"

#include "base/limits.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "net/password_check.h"

enum client_auth { AUTH_NONE, AUTH_REQUEST, AUTH_REQUIRE_ANY, AUTH_IF_GIVEN, AUTH_REQUIRE };
enum version { VERSION_10, VERSION_11, VERSION_12, VERSION_13 };

static const char *const auth_names[] = {"NoClientCert",
                                         "RequestClientCert",
                                         "RequireAnyClientCert",
                                         "VerifyClientCertIfGiven",
                                         "RequireAndVerifyClientCert",
                                         NULL};
static const char *const version_names[] = {"TLS10", "TLS11", "TLS12", "TLS13", NULL};

struct file {
    struct {
        const char *cert, *key, *ca;
        enum client_auth auth;
        CONF_LIST_OF(const char *) names, ciphers, curves;
        enum version oldest, newest;
        bool server_order;
    } tls;
    struct {
        bool http2;
    } http;
    CONF_MAP_OF(const char *) users;
};

// Go's names and OpenSSL's; those of TLS 1.3 cannot be chosen, as in Go.
static const struct pair {
    const char *given, *ours;
} ciphers[] =
    {
        {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
        {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
        {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
        {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
        {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
        {"TLS_AES_128_GCM_SHA256", NULL},
        {"TLS_AES_256_GCM_SHA384", NULL},
        {"TLS_CHACHA20_POLY1305_SHA256", NULL},
        {0},
},
  curves[] = {
      {"CurveP256", "P-256"},
      {"CurveP384", "P-384"},
      {"CurveP521", "P-521"},
      {"X25519", "X25519"},
      {0},
};

static const struct pair *find_pair(const struct pair *pairs, const char *given) {
    for (const struct pair *p = pairs; p->given; p++)
        if (strcmp(p->given, given) == 0)
            return p;
    return NULL;
}

static int check_cipher(const char *value, struct err *e) {
    return find_pair(ciphers, value)
               ? 0
               : err_set(e, ERR_INVALID,
                         "which is not one of Go's names of suites with ECDHE and AES-GCM or "
                         "ChaCha20-Poly1305");
}

static int check_curve(const char *value, struct err *e) {
    return find_pair(curves, value)
               ? 0
               : err_set(e, ERR_INVALID, "expected CurveP256, CurveP384, CurveP521 or X25519");
}

static int check_san(const char *value, struct err *e) {
    if (value[0] != '\0' && strpbrk(value, " *") == NULL)
        return 0;
    return err_set(e, ERR_INVALID, "a name is written out, without '*': prometheus.example.svc");
}

typedef typeof(((struct file *)0)->tls) tls_section;
typedef typeof(((struct file *)0)->http) http_section;

static const struct conf_field tls_fields[] = {
    {"cert_file", CONF_STRING(tls_section, cert), .required = true},
    {"key_file", CONF_STRING(tls_section, key), .required = true},
    {"client_auth_type", CONF_ENUM(tls_section, auth, auth_names), .def = "NoClientCert"},
    {"client_ca_file", CONF_STRING(tls_section, ca)},
    {"client_allowed_sans", CONF_LIST_STRING(tls_section, names), .max = "64", .check = check_san},
    {"cipher_suites", CONF_LIST_STRING(tls_section, ciphers), .max = "64", .check = check_cipher},
    {"curve_preferences", CONF_LIST_STRING(tls_section, curves), .max = "16", .check = check_curve},
    {"min_version", CONF_ENUM(tls_section, oldest, version_names), .def = "TLS12"},
    {"max_version", CONF_ENUM(tls_section, newest, version_names), .def = "TLS13"},
    {"prefer_server_cipher_suites", CONF_BOOL(tls_section, server_order), .def = "true"},
    {0}};

static const struct conf_field http_fields[] = {
    {"http2", CONF_BOOL(http_section, http2), .def = "true"}, {0}};

_Static_assert(LIMIT_WEB_CONFIG_USERS == 256, "as `max` says below");

static const struct conf_field fields[] = {
    {"tls_server_config", CONF_STRUCT(struct file, tls, tls_fields)},
    {"http_server_config", CONF_STRUCT(struct file, http, http_fields)},
    {"basic_auth_users", CONF_MAP_STRING(struct file, users), .max = "256", .secret = true,
     .check = password_hash_check},
    {0}};

static int check_clients(const struct file *f, struct err *e) {
    bool verifies = f->tls.auth == AUTH_IF_GIVEN || f->tls.auth == AUTH_REQUIRE;
    if (f->tls.auth == AUTH_REQUEST || f->tls.auth == AUTH_REQUIRE_ANY)
        return err_set(e, ERR_INVALID,
                       "client_auth_type: with %s nobody verifies the certificates: write "
                       "RequireAndVerifyClientCert or VerifyClientCertIfGiven",
                       auth_names[f->tls.auth]);
    if (verifies && f->tls.ca == NULL)
        return err_set(e, ERR_INVALID, "client_auth_type: %s needs client_ca_file",
                       auth_names[f->tls.auth]);
    if (!verifies && f->tls.ca != NULL)
        return err_set(e, ERR_INVALID,
                       "client_ca_file: nobody is asked for a certificate without "
                       "client_auth_type: RequireAndVerifyClientCert");
    if (f->tls.names.n > 0 && f->tls.auth != AUTH_REQUIRE)
        return err_set(e, ERR_INVALID,
                       "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert");
    return 0;
}

static int check(const void *bound, struct err *e) {
    const struct file *f = bound;
    if (f->tls.oldest < VERSION_12 || f->tls.newest < VERSION_12)
        return err_set(e, ERR_INVALID, "min_version, max_version: TLS 1.2 is the oldest");
    if (f->tls.oldest > f->tls.newest)
        return err_set(e, ERR_INVALID, "min_version is newer than max_version");
    for (size_t i = 0; i < f->users.n; i++)
        if (strchr(f->users.items[i].name, ':') != NULL)
            return err_set(e, ERR_INVALID, "basic_auth_users: a user's name has no ':'");
    return check_clients(f, e);
}

static const struct conf_spec spec = {
    .program = "web-config", .fields = fields, .size = sizeof(struct file), .check = check};

// ---- what TLS takes

// `name` beside the file at `path`.
static const char *beside(struct arena *a, const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    if (name == NULL || name[0] == '/' || slash == NULL)
        return name;
    return arena_printf(a, "%.*s%s", (int)(slash + 1 - path), path, name);
}

// "P-256:X25519"; NULL: none of them can be chosen.
static int join(struct arena *a, const struct pair *pairs, const char *const *names, size_t n,
                const char **ret) {
    const char *all = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct pair *p = find_pair(pairs, names[i]);
        if (p == NULL || p->ours == NULL)
            continue;
        all = all ? arena_printf(a, "%s:%s", all, p->ours) : p->ours;
        if (all == NULL)
            return ERR_NOMEM;
    }
    *ret = all;
    return 0;
}

static int take(struct web_config *c, const struct file *f, const char *path, struct err *e) {
    if (f->tls.cert != NULL) {
        c->tls = (struct net_tls_files){
            .cert = beside(&c->arena, path, f->tls.cert),
            .key = beside(&c->arena, path, f->tls.key),
            .ca = beside(&c->arena, path, f->tls.ca),
            .allowed = f->tls.names.items,
            .n_allowed = f->tls.names.n,
            .ca_optional = f->tls.auth == AUTH_IF_GIVEN,
            .oldest = f->tls.oldest == VERSION_13 ? 13 : 12,
            .newest = f->tls.newest == VERSION_12 ? 12 : 13,
        };
        if (!c->tls.cert || !c->tls.key || !c->tls.ca != !f->tls.ca ||
            join(&c->arena, ciphers, f->tls.ciphers.items, f->tls.ciphers.n, &c->tls.ciphers) < 0 ||
            join(&c->arena, curves, f->tls.curves.items, f->tls.curves.n, &c->tls.groups) < 0)
            return err_set(e, ERR_NOMEM, "%s: no memory", path);
    }
    c->n_users = f->users.n;
    c->users = arena_array(&c->arena, f->users.n, sizeof(*c->users));
    if (c->users == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory", path);
    for (size_t i = 0; i < f->users.n; i++)
        c->users[i] = (struct web_config_user){f->users.items[i].name, f->users.items[i].value};
    return 0;
}

static int finish(struct web_config *ret, struct web_config *c, const struct file *f, int rc,
                  const char *path, struct err *e) {
    if (rc == 0)
        rc = take(c, f, path, e);
    if (rc < 0)
        web_config_done(c);
    else
        *ret = *c;
    return rc;
}

int web_config_parse(struct web_config *ret, struct str text, const char *path, struct err *e) {
    struct web_config c = {0};
    struct file f = {0};
    arena_init(&c.arena, LIMIT_CONFIG_ARENA_BYTES);
    return finish(ret, &c, &f, conf_parse(&spec, text, path, &f, &c.arena, e), path, e);
}

int web_config_read(struct web_config *ret, const char *path, struct err *e) {
    struct web_config c = {0};
    struct file f = {0};
    arena_init(&c.arena, LIMIT_CONFIG_ARENA_BYTES);
    return finish(ret, &c, &f, conf_read(&spec, path, &f, &c.arena, e), path, e);
}

void web_config_done(struct web_config *c) {
    arena_done(&c->arena);
    *c = (struct web_config){0};
}
