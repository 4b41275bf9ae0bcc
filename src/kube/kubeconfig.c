// SPDX-License-Identifier: Apache-2.0
/*
 * A kubeconfig (client-go's tools/clientcmd/api/v1/types.go): the context's cluster and user,
 * read from a tree of the text; what is kept lies in the config's own memory.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kube/base64.h"
#include "kube/config.h"
#include "manifest/reader.h"

struct kubeconfig {
    struct manifest_reader r; // its arena: the tree
    struct kube_config *c;
    struct str folder; // of the file, "" or ending in '/'
};

// From the tree into the config's own memory. NULL stays NULL.
static const char *keep(struct kubeconfig *k, const char *text) {
    if (!text || k->r.r < 0)
        return NULL;
    const char *copy = arena_strdup(&k->c->arena, str_from(text));
    if (!copy)
        (void)manifest_fail(&k->r, NULL, ERR_NOMEM, "out of memory");
    return copy;
}

static const char *keep_text(struct kubeconfig *k, const struct conf_node *map, const char *key) {
    const char *text = manifest_text(&k->r, map, key);
    return keep(k, text && *text ? text : NULL);
}

// A name of a file, relative to the kubeconfig's folder.
static const char *keep_path(struct kubeconfig *k, const struct conf_node *map, const char *key) {
    const char *text = manifest_text(&k->r, map, key);
    if (!text || !*text || k->r.r < 0)
        return NULL;
    if (*text == '/')
        return keep(k, text);
    const char *path = arena_printf(&k->c->arena, STR_FMT "%s", STR_ARG(k->folder), text);
    if (!path)
        (void)manifest_fail(&k->r, NULL, ERR_NOMEM, "out of memory");
    return path;
}

static const char *place_of(struct kubeconfig *k, const struct conf_node *n, const char *key) {
    const char *place = arena_printf(&k->c->arena, "%s:%u:%u: '%s'", k->r.file, n->line, n->column,
                                     key);
    if (!place)
        (void)manifest_fail(&k->r, NULL, ERR_NOMEM, "out of memory");
    return place;
}

// KEY-data wins over KEY, as in kubectl.
static void read_pem(struct kubeconfig *k, const struct conf_node *map, const char *key,
                     struct kube_pem *ret) {
    char data_key[64];
    CLEANUP_BUF struct buf bytes;
    buf_init(&bytes, LIMIT_TLS_FILE_BYTES);
    (void)snprintf(data_key, sizeof(data_key), "%s-data", key);
    const struct conf_node *n = manifest_get(&k->r, map, data_key);
    const char *text = manifest_text(&k->r, map, data_key);
    if (n && text && *text) {
        int r = kube_base64_decode(&bytes, str_from(text));
        if (r < 0) {
            (void)manifest_fail(&k->r, n, r, "'%s': not base64 of a PEM", data_key);
            return;
        }
        char *copy = arena_strdup(&k->c->arena, buf_str(&bytes));
        ret->data = (struct str){copy, copy ? bytes.len : 0};
        ret->place = place_of(k, n, data_key);
        if (!copy)
            (void)manifest_fail(&k->r, n, ERR_NOMEM, "out of memory");
        explicit_bzero(bytes.p, bytes.len);
        return;
    }
    n = manifest_get(&k->r, map, key);
    ret->file = keep_path(k, map, key);
    if (n && ret->file)
        ret->place = place_of(k, n, key);
}

static bool is_true(struct kubeconfig *k, const struct conf_node *map, const char *key) {
    const char *text = manifest_text(&k->r, map, key);
    return text && strcmp(text, "true") == 0;
}

static void refuse(struct kubeconfig *k, const struct conf_node *map, const char *key,
                   const char *instead) {
    const struct conf_node *n = manifest_get(&k->r, map, key);
    if (n && !(n->kind == CONF_NODE_SCALAR && (n->text.n == 0 || str_eqc(n->text, "false"))))
        (void)manifest_fail(&k->r, n, ERR_UNSUPPORTED, "'%s' is not supported: %s", key, instead);
}

static void read_cluster(struct kubeconfig *k, const struct conf_node *cluster) {
    struct kube_config *c = k->c;
    const struct conf_node *at = manifest_get(&k->r, cluster, "server");
    const char *server = manifest_text(&k->r, cluster, "server");
    refuse(k, cluster, "insecure-skip-tls-verify",
           "give the cluster's CA as certificate-authority or certificate-authority-data");
    refuse(k, cluster, "proxy-url", "the API server is asked directly");
    if (!server || !*server)
        (void)manifest_fail(&k->r, cluster, ERR_INVALID, "the cluster has no 'server'");
    else if (!str_starts(str_from(server), "https://") && !str_starts(str_from(server), "http://"))
        (void)manifest_fail(&k->r, at, ERR_INVALID, "'server': write https://HOST:PORT");
    if (k->r.r < 0)
        return;
    size_t n = strlen(server);
    while (n > 0 && server[n - 1] == '/')
        n--;
    c->server = arena_strdup(&c->arena, (struct str){server, n});
    if (!c->server)
        (void)manifest_fail(&k->r, at, ERR_NOMEM, "out of memory");
    c->server_name = keep_text(k, cluster, "tls-server-name");
    read_pem(k, cluster, "certificate-authority", &c->ca);
}

static const char **read_args(struct kubeconfig *k, const struct conf_node *exec,
                              const char *command) {
    const struct conf_node *list = manifest_list(&k->r, exec, "args");
    const char **args = arena_array(&k->c->arena, (list ? list->children : 0) + 2, sizeof(*args));
    if (!args) {
        (void)manifest_fail(&k->r, exec, ERR_NOMEM, "out of memory");
        return NULL;
    }
    size_t n = 0;
    args[n++] = command;
    for (const struct conf_node *a = list ? list->first : NULL; a; a = a->next) {
        if (a->kind != CONF_NODE_SCALAR)
            (void)manifest_fail(&k->r, a, ERR_INVALID, "'args': a list of texts");
        args[n++] = a->kind == CONF_NODE_SCALAR ? keep(k, a->text.p) : "";
    }
    return args;
}

static void read_env(struct kubeconfig *k, const struct conf_node *exec,
                     struct kube_exec_config *x) {
    const struct conf_node *list = manifest_list(&k->r, exec, "env");
    if (!list || list->children == 0)
        return;
    x->env = arena_array(&k->c->arena, list->children, sizeof(*x->env));
    if (!x->env) {
        (void)manifest_fail(&k->r, list, ERR_NOMEM, "out of memory");
        return;
    }
    for (const struct conf_node *n = list->first; n; n = n->next) {
        const char *name = keep_text(k, n, "name"), *value = keep_text(k, n, "value");
        if (!name || strchr(name, '='))
            (void)manifest_fail(&k->r, n, ERR_INVALID, "'env': {name: NAME, value: TEXT}");
        x->env[x->n_env++] = (struct kube_pair){name, value ? value : ""};
    }
}

static void read_exec(struct kubeconfig *k, const struct conf_node *exec) {
    struct kube_exec_config *x = arena_zalloc(&k->c->arena, sizeof(*x));
    if (!x) {
        (void)manifest_fail(&k->r, exec, ERR_NOMEM, "out of memory");
        return;
    }
    const char *version = keep_text(k, exec, "apiVersion");
    const char *mode = manifest_text(&k->r, exec, "interactiveMode");
    const char *command = manifest_text(&k->r, exec, "command");
    // A bare name is looked for in PATH; one with a slash is relative to the kubeconfig.
    x->command = command && strchr(command, '/') ? keep_path(k, exec, "command")
                                                 : keep_text(k, exec, "command");
    x->api_version = version;
    x->args = read_args(k, exec, x->command);
    read_env(k, exec, x);
    const char *hint = keep_text(k, exec, "installHint");
    x->install_hint = hint ? hint : "";
    x->provide_cluster_info = is_true(k, exec, "provideClusterInfo");
    if (!x->command)
        (void)manifest_fail(&k->r, exec, ERR_INVALID, "'exec' has no 'command'");
    else if (!version || (strcmp(version, "client.authentication.k8s.io/v1") != 0 &&
                          strcmp(version, "client.authentication.k8s.io/v1beta1") != 0))
        (void)manifest_fail(&k->r, exec, ERR_UNSUPPORTED,
                            "'exec': 'apiVersion' must be client.authentication.k8s.io/v1 (or "
                            "v1beta1): update the plugin and the kubeconfig");
    else if (mode && strcmp(mode, "Always") == 0)
        (void)manifest_fail(&k->r, exec, ERR_UNSUPPORTED,
                            "'exec': interactiveMode Always needs a terminal, there is none: use a "
                            "token, a certificate, or a plugin that does not ask");
    k->c->exec = x;
}

static void read_user(struct kubeconfig *k, const struct conf_node *user) {
    struct kube_config *c = k->c;
    c->place = arena_printf(&c->arena, "the user at %s:%u:%u", k->r.file, user->line, user->column);
    refuse(k, user, "auth-provider", "use an exec plugin (kubelogin, aws, gke-gcloud-auth-plugin)");
    refuse(k, user, "username", "Kubernetes dropped passwords: use a token or a certificate");
    refuse(k, user, "as", "a kubeconfig of that user itself");
    c->token = keep_text(k, user, "token");
    c->token_file = keep_path(k, user, "tokenFile");
    if (c->token_file) // which wins, as in kubectl: a file may change
        c->token = NULL;
    read_pem(k, user, "client-certificate", &c->cert);
    read_pem(k, user, "client-key", &c->key);
    bool cert = c->cert.file || c->cert.data.p, key = c->key.file || c->key.data.p;
    if (cert != key)
        (void)manifest_fail(&k->r, user, ERR_INVALID,
                            "a client certificate and its key belong together: '%s' is missing",
                            cert ? "client-key" : "client-certificate");
    const struct conf_node *exec = manifest_map(&k->r, user, "exec");
    if (exec && !c->token && !c->token_file && !cert)
        read_exec(k, exec);
}

// clusters: [{name: NAME, cluster: {...}}]: the `part` of the entry called `name`.
static const struct conf_node *find_entry(struct kubeconfig *k, const struct conf_node *root,
                                          const char *list, const char *part, const char *name,
                                          const char *wanted_by) {
    const struct conf_node *all = manifest_list(&k->r, root, list);
    for (const struct conf_node *n = all ? all->first : NULL; n; n = n->next) {
        const char *is = manifest_text(&k->r, n, "name");
        const struct conf_node *found = manifest_map(&k->r, n, part);
        if (k->r.r == 0 && is && found && strcmp(is, name) == 0)
            return found;
    }
    (void)manifest_fail(&k->r, all, ERR_NOTFOUND,
                        "there is no %s '%.100s', which %s names: `kubectl config get-contexts` "
                        "shows what there is",
                        part, name, wanted_by);
    return NULL;
}

static void read_root(struct kubeconfig *k, const struct conf_node *root, const char *context) {
    const char *wanted_by = context ? "--context" : "current-context";
    if (!context)
        context = manifest_text(&k->r, root, "current-context");
    if (k->r.r == 0 && (!context || !*context)) {
        (void)manifest_fail(&k->r, root, ERR_INVALID,
                            "no 'current-context': choose one with --context NAME");
        return;
    }
    const struct conf_node *n = find_entry(k, root, "contexts", "context", context, wanted_by);
    const char *cluster = manifest_text(&k->r, n, "cluster"),
               *user = manifest_text(&k->r, n, "user");
    const char *ns = keep_text(k, n, "namespace");
    k->c->context = keep(k, context);
    k->c->namespace_ = ns ? ns : "default";
    if (k->r.r == 0 && (!cluster || !*cluster))
        (void)manifest_fail(&k->r, n, ERR_INVALID, "the context has no 'cluster'");
    if (k->r.r < 0)
        return;
    const struct conf_node *found = find_entry(k, root, "clusters", "cluster", cluster,
                                               "the context");
    if (found)
        read_cluster(k, found);
    if (k->r.r < 0)
        return;
    k->c->place = k->c->source;
    if (user && *user && (found = find_entry(k, root, "users", "user", user, "the context")))
        read_user(k, found);
}

int kube_config_parse(struct kube_config *ret, struct str text, const char *path,
                      const char *context, struct err *e) {
    struct kube_config c = {0};
    struct arena tree;
    const struct conf_text t = {.text = text,
                                .name = path,
                                .line = 1,
                                .column = 1,
                                .max_bytes = LIMIT_CONFIG_BYTES,
                                .max_key_bytes = LIMIT_CONFIG_KEY_BYTES,
                                .bytes_limit = "LIMIT_CONFIG_BYTES",
                                .tree_limit = "LIMIT_CONFIG_TREE_BYTES"};
    struct conf_node *root = NULL;
    arena_init(&tree, LIMIT_CONFIG_TREE_BYTES);
    arena_init(&c.arena, LIMIT_CONFIG_BYTES);
    const char *slash = strrchr(path, '/');
    struct kubeconfig k = {.r = {.file = path, .a = &tree, .e = e},
                           .c = &c,
                           .folder = {path, slash ? (size_t)(slash - path) + 1 : 0}};
    struct err none;
    if (!e)
        k.r.e = &none;
    k.r.r = conf_tree_read(&t, &tree, &root, k.r.e);
    if (k.r.r == 0 && (!root || !manifest_is_map(&k.r, root, "a kubeconfig")))
        (void)manifest_fail(&k.r, root, ERR_INVALID, "is empty: not a kubeconfig");
    if (k.r.r == 0) {
        c.source = keep(&k, path);
        read_root(&k, root, context);
    }
    arena_done(&tree);
    if (k.r.r < 0) {
        kube_config_done(&c);
        return k.r.r;
    }
    *ret = c;
    return 0;
}
