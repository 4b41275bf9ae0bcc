// SPDX-License-Identifier: Apache-2.0
/* gpuscale certs: certificates for the scaler, the agents and KEDA; what a certificate says. */
#include <getopt.h>
#include <stdio.h>

#include "base/str.h"
#include "cmd/verbs.h"
#include "tools/certs.h"

static const char help[] =
    "Usage: gpuscale certs --output DIR [OPTION...]     makes certificates\n"
    "       gpuscale certs --manifests [OPTION...]      the same, as YAML for kubectl\n"
    "       gpuscale certs --cert-manager [OPTION...]   lets cert-manager make them\n"
    "       gpuscale certs show FILE...                 says what certificates are good for\n"
    "\n"
    "Makes an authority (CA) and three certificates: the scaler's (which serves KEDA and\n"
    "asks agents), the agents' and KEDA's. ECDSA P-256; keys are readable by you alone.\n"
    "\n"
    "  --output DIR            where the files are kept: ca, scaler, agent, keda, each\n"
    "                          .crt and .key. Files that exist are left alone, except by:\n"
    "  --renew                 new certificates of the same authority, with the same names\n"
    "  --new-ca                a second authority beside the first: apply, wait until every\n"
    "                          pod trusts both, then --renew, apply,\n"
    "  --drop-ca               and trust only the new one\n"
    "  --force                 all anew, the authority too: nothing trusts it yet\n"
    "\n"
    "  --manifests             prints Secrets and KEDA's ClusterTriggerAuthentication\n"
    "                          `gpuscale`, for `kubectl apply -f -`; of DIR's certificates\n"
    "                          where there are some, else of new ones. Without --output the\n"
    "                          authority's key is thrown away: a renewal is a new start\n"
    "  --cert-manager          prints Issuers and Certificates instead\n"
    "  --issuer KIND/NAME      with it: an issuer that is there already (Issuer/x,\n"
    "                          ClusterIssuer/x); left out: one is printed, too\n"
    "  --cert-manager-namespace NS   where cert-manager runs (cert-manager)\n"
    "\n"
    "  --namespace NS          of the scaler, and in all names (gpuscale)\n"
    "  --agent-namespace NS    of the agents' Secret (gpuscale-agents)\n"
    "  --keda-namespace NS     where KEDA runs, of its Secret (keda)\n"
    "  --cluster-domain NAME   (cluster.local)\n"
    "  --dns NAME, --ip ADDR   a further name of the scaler's certificate; may be repeated\n"
    "  --agent-dns NAME, --agent-ip ADDR   of the agents' certificate\n"
    "  --days N                how long certificates are good (365)\n"
    "  --ca-days N             how long a new authority is (3650)\n"
    "  -h, --help              this text\n"
    "\n"
    "Exit status: 0; 1 when something failed, or `show` found a certificate that is not\n"
    "good now or a key without its certificate; 2 for wrong usage.\n";

enum {
    OPT_OUTPUT = 256,
    OPT_ISSUER,
    OPT_CM_NAMESPACE,
    OPT_NAMESPACE,
    OPT_AGENT_NAMESPACE,
    OPT_KEDA_NAMESPACE,
    OPT_DOMAIN,
    OPT_TEXTS, // above: options that are kept as they are
    OPT_RENEW,
    OPT_NEW_CA,
    OPT_DROP_CA,
    OPT_FORCE,
    OPT_MANIFESTS,
    OPT_CERT_MANAGER,
    OPT_DNS,
    OPT_IP,
    OPT_AGENT_DNS,
    OPT_AGENT_IP,
    OPT_DAYS,
    OPT_CA_DAYS,
};

static const struct option options[] = {
    {"output", required_argument, NULL, OPT_OUTPUT},
    {"renew", no_argument, NULL, OPT_RENEW},
    {"new-ca", no_argument, NULL, OPT_NEW_CA},
    {"drop-ca", no_argument, NULL, OPT_DROP_CA},
    {"force", no_argument, NULL, OPT_FORCE},
    {"manifests", no_argument, NULL, OPT_MANIFESTS},
    {"cert-manager", no_argument, NULL, OPT_CERT_MANAGER},
    {"issuer", required_argument, NULL, OPT_ISSUER},
    {"cert-manager-namespace", required_argument, NULL, OPT_CM_NAMESPACE},
    {"namespace", required_argument, NULL, OPT_NAMESPACE},
    {"agent-namespace", required_argument, NULL, OPT_AGENT_NAMESPACE},
    {"keda-namespace", required_argument, NULL, OPT_KEDA_NAMESPACE},
    {"cluster-domain", required_argument, NULL, OPT_DOMAIN},
    {"dns", required_argument, NULL, OPT_DNS},
    {"ip", required_argument, NULL, OPT_IP},
    {"agent-dns", required_argument, NULL, OPT_AGENT_DNS},
    {"agent-ip", required_argument, NULL, OPT_AGENT_IP},
    {"days", required_argument, NULL, OPT_DAYS},
    {"ca-days", required_argument, NULL, OPT_CA_DAYS},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int take_days(int64_t *ret, const char *name, struct err *e) {
    long long n;
    if (str_to_i64(str_from(optarg), &n) < 0 || n < 1 || n > 36500)
        return err_set(e, ERR_INVALID, "--%s %s: 1 to 36500 days", name, optarg);
    *ret = n;
    return 0;
}

static int take_name(struct certs_options *o, int c, struct err *e) {
    struct certs_extra *x = &o->extras[o->n_extras];
    if (o->n_extras == LIMIT_CERT_NAMES)
        return err_set(e, ERR_LIMIT, "at most %d further names", LIMIT_CERT_NAMES);
    *x = (struct certs_extra){
        .party = c == OPT_DNS || c == OPT_IP ? CERTS_SCALER : CERTS_AGENT,
        .name = {.kind = c == OPT_DNS || c == OPT_AGENT_DNS ? CERTS_DNS : CERTS_IP}};
    if (str_copy(x->name.text, sizeof(x->name.text), str_from(optarg)) < 0)
        return err_set(e, ERR_LIMIT, "a name of %zu bytes, at most %d", strlen(optarg),
                       LIMIT_CERT_NAME_BYTES - 1);
    o->n_extras++;
    return 0;
}

static int take_job(struct certs_options *o, enum certs_job job, struct err *e) {
    if (o->job != CERTS_MAKE)
        return err_set(e, ERR_INVALID, "--renew, --new-ca and --drop-ca: one at a time");
    o->job = job;
    return 0;
}

static int take_flag(struct certs_options *o, int c, struct err *e) {
    switch (c) {
    case OPT_RENEW:
        return take_job(o, CERTS_RENEW, e);
    case OPT_NEW_CA:
        return take_job(o, CERTS_NEW_CA, e);
    case OPT_DROP_CA:
        return take_job(o, CERTS_DROP_CA, e);
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_MANIFESTS:
        o->manifests = true;
        return 0;
    case OPT_CERT_MANAGER:
        o->cert_manager = true;
        return 0;
    case OPT_DAYS:
        return take_days(&o->days, "days", e);
    case OPT_CA_DAYS:
        return take_days(&o->ca_days, "ca-days", e);
    default:
        return take_name(o, c, e);
    }
}

static void take_text(struct certs_options *o, int c) {
    const char **texts[] = {&o->output,     &o->issuer,          &o->cert_manager_namespace,
                            &o->namespace_, &o->agent_namespace, &o->keda_namespace,
                            &o->domain};
    *texts[c - OPT_OUTPUT] = optarg;
}

static int check(const struct certs_options *o, struct err *e) {
    if (!o->output && !o->manifests && !o->cert_manager)
        return err_set(e, ERR_INVALID, "--output DIR, --manifests or --cert-manager is needed");
    if (!o->output && (o->job != CERTS_MAKE || o->force))
        return err_set(e, ERR_INVALID, "--renew, --new-ca, --drop-ca and --force need --output");
    if (o->force && o->job != CERTS_MAKE)
        return err_set(e, ERR_INVALID, "--force makes all anew: it goes with none of the others");
    if (o->cert_manager && (o->manifests || o->output))
        return err_set(e, ERR_INVALID,
                       "--cert-manager makes no certificates itself: neither "
                       "--output nor --manifests goes with it");
    if (o->issuer && (!o->cert_manager || !strchr(o->issuer, '/')))
        return err_set(e, ERR_INVALID, "--issuer KIND/NAME goes with --cert-manager");
    return 0;
}

static int wrong_usage(const struct err *e) {
    if (e->msg[0] != '\0')
        (void)fprintf(stderr, "gpuscale certs: %s\n", e->msg);
    (void)fputs("`gpuscale certs --help` shows the options.\n", stderr);
    return 2;
}

static int show(int argc, char **argv) {
    struct err e = {0};
    unsigned bad = 0;
    if (argc < 2)
        return wrong_usage(&(struct err){.msg = "show: a FILE is needed"});
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        (void)fputs(help, stdout);
        return 0;
    }
    if (certs_show_main(argv + 1, argc - 1, &bad, &e) < 0) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "gpuscale certs: %s\n", e.msg);
        return 1;
    }
    return bad > 0 ? 1 : 0;
}

int verb_certs(int argc, char **argv) {
    struct certs_options o = {.cert_manager_namespace = "cert-manager",
                              .namespace_ = "gpuscale",
                              .agent_namespace = "gpuscale-agents",
                              .keda_namespace = "keda",
                              .domain = "cluster.local",
                              .days = 365,
                              .ca_days = 3650};
    struct err e = {0};
    int c, rc = 0;
    if (argc > 1 && strcmp(argv[1], "show") == 0)
        return show(argc - 1, argv + 1);
    while (rc == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h') {
            (void)fputs(help, stdout);
            return 0;
        }
        if (c < OPT_OUTPUT)
            return wrong_usage(&e);
        if (c < OPT_TEXTS)
            take_text(&o, c);
        else
            rc = take_flag(&o, c, &e);
    }
    if (rc == 0 && optind < argc)
        rc = err_set(&e, ERR_INVALID, "\"%s\" is not an option", argv[optind]);
    if (rc == 0)
        rc = check(&o, &e);
    if (rc < 0)
        return wrong_usage(&e);
    if (certs_main(&o, &e) == 0)
        return 0;
    (void)fprintf(stderr, "gpuscale certs: %s\n", e.msg);
    return 1;
}
