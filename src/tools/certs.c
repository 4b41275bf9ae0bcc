// SPDX-License-Identifier: Apache-2.0
/* What is to be made anew and what stays, for each job. */
#include "tools/certs.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tools/certs_set.h"

enum {
    DAY_S = 86400,
    BACKDATE_S = 300, // clocks of a cluster differ
    OUT_MAX = 8 << 20,
};

const struct certs_party_info certs_parties[CERTS_PARTIES] = {
    [CERTS_SCALER] = {"scaler", "gpuscale-scaler", "gpuscale-scaler-tls", true, true},
    [CERTS_AGENT] = {"agent", "gpuscale-agent", "gpuscale-agent-tls", true, false},
    [CERTS_KEDA] = {"keda", "gpuscale-keda", "gpuscale-keda-tls", false, true},
};

const char *certs_namespace_of(const struct certs_options *o, enum certs_party p) {
    return p == CERTS_AGENT  ? o->agent_namespace
           : p == CERTS_KEDA ? o->keda_namespace
                             : o->namespace_;
}

static void add(struct certs_name *list, size_t *n, enum certs_name_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void add(struct certs_name *list, size_t *n, enum certs_name_kind kind, const char *fmt,
                ...) {
    struct certs_name name = {.kind = kind};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name.text, sizeof(name.text), fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < *n; i++)
        if (list[i].kind == kind && strcmp(list[i].text, name.text) == 0)
            return;
    if (*n < LIMIT_CERT_NAMES)
        list[(*n)++] = name;
}

static void add_extras(const struct certs_options *o, enum certs_party p, struct certs_name *list,
                       size_t *n) {
    for (size_t i = 0; i < o->n_extras; i++)
        if (o->extras[i].party == p)
            add(list, n, o->extras[i].name.kind, "%s", o->extras[i].name.text);
}

// All names say `namespace_`, wherever the Secret lies: they are identities, not addresses alone.
size_t certs_names_of(const struct certs_options *o, enum certs_party p,
                      struct certs_name ret[LIMIT_CERT_NAMES]) {
    const char *name = certs_parties[p].name;
    size_t n = 0;
    add(ret, &n, CERTS_DNS, "%s.%s.svc", name, o->namespace_);
    if (certs_parties[p].server) {
        add(ret, &n, CERTS_DNS, "%s.%s.svc.%s", name, o->namespace_, o->domain);
        add(ret, &n, CERTS_DNS, "%s.%s", name, o->namespace_);
        add(ret, &n, CERTS_DNS, "%s", name);
    }
    if (p == CERTS_SCALER) // through `kubectl port-forward`
        add(ret, &n, CERTS_DNS, "localhost");
    add_extras(o, p, ret, &n);
    return n;
}

static bool is_label(struct str s) {
    bool good = s.n > 0 && s.n < 64 && s.p[0] != '-' && s.p[s.n - 1] != '-';
    for (size_t i = 0; good && i < s.n; i++)
        good = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
               s.p[i] == '-';
    return good;
}

static int check_names(const struct certs_options *o, struct err *e) {
    const char *const namespaces[] = {o->namespace_, o->agent_namespace, o->keda_namespace,
                                      o->cert_manager_namespace};
    struct str domain = str_from(o->domain);
    for (size_t i = 0; i < COUNT_OF(namespaces); i++)
        if (!is_label(str_from(namespaces[i])))
            return err_set(e, ERR_INVALID, "\"%s\" is no name of a namespace", namespaces[i]);
    if (domain.n > 100)
        return err_set(e, ERR_INVALID, "--cluster-domain: over 100 characters");
    while (domain.n > 0)
        if (!is_label(str_cut(&domain, '.')))
            return err_set(e, ERR_INVALID, "--cluster-domain %s: no name of a domain", o->domain);
    return o->domain[0] != '\0' ? 0 : err_set(e, ERR_INVALID, "--cluster-domain: empty");
}

static void set_init(struct certs_set *s) {
    certs_pair_init(&s->ca);
    for (int i = 0; i < CERTS_PARTIES; i++)
        certs_pair_init(&s->parties[i]);
}

static void set_done(struct certs_set *s) {
    certs_pair_done(&s->ca);
    for (int i = 0; i < CERTS_PARTIES; i++)
        certs_pair_done(&s->parties[i]);
}

static bool set_has_any(const struct certs_set *s) {
    bool any = s->ca.cert.len + s->ca.key.len > 0;
    for (int i = 0; i < CERTS_PARTIES; i++)
        any |= s->parties[i].cert.len + s->parties[i].key.len > 0;
    return any;
}

static int set_check_whole(const struct certs_set *s, const char *folder, struct err *e) {
    if (s->ca.cert.len == 0 || s->ca.key.len == 0)
        return err_set(e, ERR_NOTFOUND,
                       "%s/ca.%s is missing: without it there is nothing to go on "
                       "from",
                       folder, s->ca.cert.len == 0 ? "crt" : "key");
    for (int i = 0; i < CERTS_PARTIES; i++)
        if (!certs_key_fits(buf_str(&s->parties[i].cert), 0, buf_str(&s->parties[i].key)))
            return err_set(e, ERR_INVALID,
                           "%s/%s.crt and .key are not there or do not belong together: --renew",
                           folder, certs_parties[i].stem);
    return 0;
}

// A new authority in front of those that `old` holds.
static int make_authority(const struct certs_options *o, int64_t now_s, struct certs_pair *ca,
                          struct err *e) {
    char when[32], name[64];
    clock_format_utc(now_s * NS_PER_S, when, sizeof(when));
    snprintf(name, sizeof(name), "gpuscale CA %.19s", when);
    struct certs_wish w = {.common_name = name,
                           .authority = true,
                           .from_s = now_s - BACKDATE_S,
                           .until_s = now_s + o->ca_days * DAY_S};
    struct certs_pair fresh;
    certs_pair_init(&fresh);
    int r = certs_make(&w, (struct str){0}, (struct str){0}, &fresh, e);
    if (r == 0 && (r = buf_add_str(&fresh.cert, buf_str(&ca->cert))) < 0)
        r = err_set(e, r, "the bundle of authorities is too large");
    if (r == 0) {
        certs_pair_done(ca);
        *ca = fresh;
        return 0;
    }
    certs_pair_done(&fresh);
    return r;
}

// The end of the authority that signs.
static int signer_until(const struct certs_pair *ca, int64_t *ret_s, struct err *e) {
    struct certs_facts f;
    for (unsigned i = 0;; i++) {
        int r = certs_read(buf_str(&ca->cert), i, &f, e);
        if (r < 0)
            return err_wrap(e, "ca.crt, for the authority that ca.key belongs to");
        if (certs_key_fits(buf_str(&ca->cert), i, buf_str(&ca->key)))
            break;
    }
    *ret_s = f.until_s;
    return 0;
}

// A certificate that is renewed keeps its names.
static size_t names_for(const struct certs_options *o, enum certs_party p,
                        const struct certs_pair *old, struct certs_name ret[LIMIT_CERT_NAMES]) {
    struct certs_facts *f = mem_zalloc(sizeof(*f));
    size_t n = 0;
    if (o->job == CERTS_RENEW && f && certs_read(buf_str(&old->cert), 0, f, NULL) == 0) {
        for (size_t i = 0; i < f->n_names; i++)
            add(ret, &n, f->names[i].kind, "%s", f->names[i].text);
        add_extras(o, p, ret, &n);
    }
    mem_free(f);
    return n > 0 ? n : certs_names_of(o, p, ret);
}

static int make_party(const struct certs_options *o, enum certs_party p, int64_t now_s,
                      struct certs_set *s, struct err *e) {
    struct certs_name names[LIMIT_CERT_NAMES];
    int64_t until_s = 0;
    int r = signer_until(&s->ca, &until_s, e);
    if (r < 0)
        return r;
    if (until_s <= now_s)
        return err_set(e, ERR_INVALID, "the authority has expired: --new-ca makes another");
    struct certs_wish w = {.common_name = certs_parties[p].name,
                           .names = names,
                           .n_names = names_for(o, p, &s->parties[p], names),
                           .server = certs_parties[p].server,
                           .client = certs_parties[p].client,
                           .from_s = now_s - BACKDATE_S,
                           .until_s = now_s + o->days * DAY_S};
    if (w.until_s > until_s)
        w.until_s = until_s;
    struct certs_pair fresh;
    certs_pair_init(&fresh);
    r = certs_make(&w, buf_str(&s->ca.cert), buf_str(&s->ca.key), &fresh, e);
    if (r < 0) {
        certs_pair_done(&fresh);
        return r;
    }
    certs_pair_done(&s->parties[p]);
    s->parties[p] = fresh;
    return 0;
}

// Only the authority whose key is there stays trusted; not while a certificate of another is used.
static int drop_authorities(struct certs_set *s, struct err *e) {
    struct buf only;
    buf_init(&only, LIMIT_TLS_FILE_BYTES);
    unsigned i = 0;
    int r;
    while ((r = certs_copy(buf_str(&s->ca.cert), i, &only, e)) == 0 &&
           !certs_key_fits(buf_str(&s->ca.cert), i, buf_str(&s->ca.key))) {
        buf_clear(&only);
        i++;
    }
    for (int p = 0; p < CERTS_PARTIES && r == 0; p++)
        if (certs_issuer_of(buf_str(&s->parties[p].cert), 0, buf_str(&only)) < 0)
            r = err_set(e, ERR_INVALID,
                        "%s.crt is still of the authority to be dropped: --renew "
                        "first, and apply that",
                        certs_parties[p].stem);
    if (r < 0) {
        buf_done(&only);
        return r;
    }
    buf_done(&s->ca.cert);
    s->ca.cert = only;
    return 0;
}

static int do_job(const struct certs_options *o, struct certs_set *s, struct err *e) {
    int64_t now_s = clock_real_ns() / NS_PER_S;
    int r = 0;
    switch (o->job) {
    case CERTS_MAKE:
        r = make_authority(o, now_s, &s->ca, e);
        break;
    case CERTS_NEW_CA:
        return make_authority(o, now_s, &s->ca, e);
    case CERTS_DROP_CA:
        return drop_authorities(s, e);
    case CERTS_RENEW:
        break;
    }
    for (int p = 0; p < CERTS_PARTIES && r == 0; p++)
        r = make_party(o, p, now_s, s, e);
    return r;
}

static void tell_one(FILE *to, const char *folder, const char *stem, const struct certs_pair *p,
                     int64_t ca_until_s, const char *what) {
    struct certs_facts *f = mem_zalloc(sizeof(*f));
    char until[32] = "";
    if (f && certs_read(buf_str(&p->cert), 0, f, NULL) == 0) {
        clock_format_utc(f->until_s * NS_PER_S, until, sizeof(until));
        (void)fprintf(to, "%s/%s.crt, %s.key: %s, until %.10s%s; %s\n", folder, stem, stem,
                      f->n_names > 0 ? f->names[0].text : f->subject, until,
                      !f->authority && f->until_s == ca_until_s
                          ? " (its authority ends then: --new-ca makes another)"
                          : "",
                      what);
    }
    mem_free(f);
}

static void tell(FILE *to, const struct certs_options *o, const struct certs_set *s) {
    static const char *const next[] = {
        [CERTS_MAKE] = "This brings them into the cluster:",
        [CERTS_RENEW] = "What runs re-reads them by itself, once they are in the cluster:",
        [CERTS_NEW_CA] = "Wait until every pod has the bundle (two minutes), then --renew. Now:",
        [CERTS_DROP_CA] = "The old authority is trusted until this is applied:",
    };
    static const char *const uses[CERTS_PARTIES] = {
        [CERTS_SCALER] = "for scalers, which serve KEDA and ask agents",
        [CERTS_AGENT] = "for agents, as servers only",
        [CERTS_KEDA] = "for KEDA, as a client only",
    };
    int64_t until_s = 0;
    (void)signer_until(&s->ca, &until_s, NULL);
    tell_one(to, o->output, "ca", &s->ca, 0,
             "the authority. Keep its key out of the cluster; --renew needs it");
    for (int p = 0; p < CERTS_PARTIES; p++)
        tell_one(to, o->output, certs_parties[p].stem, &s->parties[p], until_s, uses[p]);
    if (!o->manifests)
        (void)fprintf(to, "%s\n  gpuscale certs --output %s --manifests | kubectl apply -f -\n",
                      next[o->job], o->output);
}

static int print(struct buf *out, struct err *e) {
    int r = out->err;
    if (r == 0 && (fwrite(out->p, 1, out->len, stdout) != out->len || fflush(stdout) != 0))
        return err_set(e, ERR_IO, "standard output cannot be written");
    return r < 0 ? err_set(e, r, "the manifests are too large") : 0;
}

// The Secrets are for one cluster's names: those in the certificates.
static int check_same_names(const struct certs_options *o, const struct certs_set *s,
                            struct err *e) {
    struct certs_name want[LIMIT_CERT_NAMES];
    struct certs_facts *f = mem_zalloc(sizeof(*f));
    int r = f ? 0 : err_set(e, ERR_NOMEM, "no memory");
    for (int p = 0; p < CERTS_PARTIES && r == 0; p++) {
        bool found = false;
        if (certs_read(buf_str(&s->parties[p].cert), 0, f, NULL) < 0)
            continue;
        (void)certs_names_of(o, p, want);
        for (size_t i = 0; i < f->n_names; i++)
            found |= strcmp(f->names[i].text, want[0].text) == 0;
        if (!found)
            r = err_set(e, ERR_INVALID,
                        "%s/%s.crt is not for %s: give the --namespace that it was made with, or "
                        "another --output",
                        o->output, certs_parties[p].stem, want[0].text);
    }
    mem_free(f);
    return r;
}

static int prepare(const struct certs_options *o, struct certs_set *s, bool *ret_as_is,
                   struct err *e) {
    int r = o->output ? certs_load(s, o->output, e) : 0;
    if (r == 0 && o->manifests && !o->force)
        r = check_same_names(o, s, e);
    if (r < 0)
        return r;
    *ret_as_is = o->job == CERTS_MAKE && o->manifests && !o->force && set_has_any(s);
    if (*ret_as_is || o->job == CERTS_NEW_CA || o->job == CERTS_DROP_CA)
        return set_check_whole(s, o->output, e);
    if (o->job == CERTS_RENEW && (s->ca.cert.len == 0 || s->ca.key.len == 0))
        return set_check_whole(s, o->output, e);
    if (o->job != CERTS_MAKE || !set_has_any(s))
        return 0;
    if (!o->force)
        return err_set(e, ERR_EXISTS,
                       "%s holds certificates already: --renew makes new ones of the same "
                       "authority, --force another authority (nothing trusts it yet)",
                       o->output);
    set_done(s);
    set_init(s);
    return 0;
}

static int make_and_print(const struct certs_options *o, struct buf *out, struct err *e) {
    struct certs_set set;
    bool as_is = false;
    set_init(&set);
    int r = prepare(o, &set, &as_is, e);
    if (r == 0 && !as_is)
        r = do_job(o, &set, e);
    if (r == 0 && !as_is && o->output)
        r = certs_store(&set, o->output, e);
    if (r == 0 && o->output && !as_is)
        tell(o->manifests ? stderr : stdout, o, &set);
    if (r == 0 && o->manifests)
        certs_yaml_secrets(out, o, &set);
    set_done(&set);
    return r;
}

int certs_main(const struct certs_options *o, struct err *e) {
    struct buf out;
    buf_init(&out, OUT_MAX);
    int r = check_names(o, e);
    if (r == 0 && o->cert_manager)
        certs_yaml_cert_manager(&out, o);
    else if (r == 0)
        r = make_and_print(o, &out, e);
    if (r == 0 && (out.len > 0 || out.err < 0))
        r = print(&out, e);
    if (out.p)
        explicit_bzero(out.p, out.len);
    buf_done(&out);
    return r;
}
