// SPDX-License-Identifier: Apache-2.0
/*
 * Which API server, and who we are there: from a kubeconfig, or from what every pod is given. Reads
 * files and names them; makes no connection (kube/identity does what changes over time).
 *
 * Not supported, and said where it is found: proxy-url, insecure-skip-tls-verify, auth-provider,
 * user and password, impersonation, a KUBECONFIG that names several files.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct kube_pair {
    const char *name, *value;
};

// A program that prints a credential (ExecCredential of client.authentication.k8s.io/v1).
struct kube_exec_config {
    const char *command, *api_version;
    const char **args; // ends with NULL; args[0] is the command
    struct kube_pair *env;
    size_t n_env;
    const char *install_hint; // "": none
    bool provide_cluster_info;
};

// A PEM: in a file, or in the kubeconfig itself.
struct kube_pem {
    const char *file;  // NULL: none
    struct str data;   // decoded; p NULL: none
    const char *place; // for messages
};

struct kube_config {
    struct arena arena;
    const char *source;      // "KUBECONFIG FILE", or the folder of the service account
    const char *context;     // NULL: in a cluster
    const char *server;      // "https://HOST:PORT", a path behind it allowed, no slash at its end
    const char *server_name; // NULL: the URL's host
    const char *namespace_;  // the context's, or our pod's; "default"
    struct kube_pem ca, cert, key;
    const char *token, *token_file; // NULL: none
    const char *place;              // of the user, for messages
    struct kube_exec_config *exec;  // NULL: none
};

// What the process was given. Fields may be NULL.
struct kube_environment {
    const char *service_host, *service_port; // $KUBERNETES_SERVICE_HOST, _PORT
    const char *service_account;             // its folder
    const char *kubeconfig, *home;           // $KUBECONFIG, $HOME
};
struct kube_environment kube_environment_read(void);

// One file's text. `path` is its name: files it names are relative to its folder. `context` NULL:
// current-context. ERR_PARSE, ERR_INVALID, ERR_NOTFOUND (no such context, cluster, user),
// ERR_LIMIT, ERR_NOMEM; the message has place and remedy, and no secret.
int kube_config_parse(struct kube_config *ret, struct str text, const char *path,
                      const char *context, struct err *e);
// `path` (NULL: none was asked for), else $KUBECONFIG, else in the cluster, else ~/.kube/config.
// ERR_NOTFOUND: there is none of them, with what to do; ERR_IO; or as above.
int kube_config_load(struct kube_config *ret, const struct kube_environment *environment,
                     const char *path, const char *context, struct err *e);
void kube_config_done(struct kube_config *c); // wipes what was secret
