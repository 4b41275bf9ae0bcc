// SPDX-License-Identifier: Apache-2.0
/*
 * Trust and identity of fetches. libcurl is given the files' bytes, not their paths: it compares
 * bytes before it uses a connection again, so a connection that was made under a replaced CA or
 * certificate is not. net/tls checks the files (PEM, matching key) and sees when they change.
 */
#include <fcntl.h>
#include <errno.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "web/pool.h"

struct fetch_tls {
    struct net_tls *checked; // the same files: validity, change
    char *path[3];           // cert, key, ca; NULL: none
    struct buf bytes[3];
    char *server_name;
};
enum { FILE_CERT, FILE_KEY, FILE_CA, FILES };

static int read_file(const char *path, struct buf *b, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "%s: cannot be opened", path);
    int r = 0;
    for (;;) {
        char *to = buf_reserve(b, 4096);
        if (!to) {
            r = err_set(e, ERR_LIMIT, "%s: larger than %d bytes", path, LIMIT_TLS_FILE_BYTES);
            break;
        }
        ssize_t n = read(fd, to, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = err_errno(e, errno, "%s: cannot be read", path);
        if (n <= 0)
            break;
        buf_commit(b, (size_t)n);
    }
    close(fd);
    return r;
}

// All files or none: a certificate of the new pair never goes with the key of the old.
static int read_files(struct fetch_tls *tls, struct err *e) {
    struct buf fresh[FILES];
    int r = 0;
    for (int i = 0; i < FILES; i++)
        buf_init(&fresh[i], LIMIT_TLS_FILE_BYTES + 4096);
    for (int i = 0; i < FILES && r == 0; i++) {
        if (tls->path[i])
            r = read_file(tls->path[i], &fresh[i], e);
    }
    for (int i = 0; i < FILES; i++) {
        if (r == 0) {
            buf_done(&tls->bytes[i]);
            tls->bytes[i] = fresh[i];
        } else {
            buf_done(&fresh[i]);
        }
    }
    return r;
}

static int copy_string(char **ret, const char *s) {
    *ret = s ? mem_strdup(s) : NULL;
    return s && !*ret ? ERR_NOMEM : 0;
}

int fetch_tls_new(struct fetch_tls **ret, const struct net_tls_files *files,
                  const char *server_name, struct err *e) {
    struct fetch_tls *tls = mem_zalloc(sizeof(*tls));
    if (!tls)
        return err_set(e, ERR_NOMEM, "out of memory");
    int r = net_tls_new(&tls->checked, NET_TLS_CLIENT, NET_TLS_ALPN_HTTP1, files, e);
    if (r == 0 && (copy_string(&tls->path[FILE_CERT], files->cert) < 0 ||
                   copy_string(&tls->path[FILE_KEY], files->key) < 0 ||
                   copy_string(&tls->path[FILE_CA], files->ca) < 0 ||
                   copy_string(&tls->server_name, server_name) < 0))
        r = err_set(e, ERR_NOMEM, "out of memory");
    if (r == 0)
        r = read_files(tls, e);
    if (r < 0) {
        fetch_tls_free(tls);
        return r;
    }
    *ret = tls;
    return 0;
}

struct fetch_tls *fetch_tls_free(struct fetch_tls *tls) {
    if (!tls)
        return NULL;
    for (int i = 0; i < FILES; i++) {
        mem_free(tls->path[i]);
        buf_done(&tls->bytes[i]);
    }
    mem_free(tls->server_name);
    net_tls_free(tls->checked);
    mem_free(tls);
    return NULL;
}

int fetch_tls_reload_if_changed(struct fetch_tls *tls, struct err *e) {
    int r = net_tls_reload_if_changed(tls->checked, e);
    if (r <= 0)
        return r;
    r = read_files(tls, e);
    return r < 0 ? r : 1;
}

static CURLcode set_blob(CURL *easy, CURLoption option, const struct buf *b) {
    if (b->len == 0)
        return CURLE_OK;
    struct curl_blob blob = {.data = b->p, .len = b->len, .flags = CURL_BLOB_COPY};
    return curl_easy_setopt(easy, option, &blob);
}

// The URL with its host replaced by the name that is to be verified; the address to connect to
// stays that of the URL.
static int set_server_name(const char *name, const char *url, CURL *easy,
                           struct curl_slist **connect_to) {
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *named = NULL, *rule = NULL;
    int r = ERR_NOMEM;
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &named, 0) == CURLUE_OK) {
        struct buf b;
        buf_init(&b, LIMIT_URL_BYTES);
        if (buf_addf(&b, "::%s:%s", host, port) == 0 && buf_add_byte(&b, 0) == 0)
            rule = b.p;
        if (rule)
            *connect_to = curl_slist_append(NULL, rule);
        if (*connect_to && curl_easy_setopt(easy, CURLOPT_URL, named) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_CONNECT_TO, *connect_to) == CURLE_OK)
            r = 0;
        buf_done(&b);
    }
    curl_free(host);
    curl_free(port);
    curl_free(named);
    curl_url_cleanup(u);
    return r;
}

static int set_trust(const struct fetch_tls *tls, CURL *easy) {
    if (set_blob(easy, CURLOPT_SSLCERT_BLOB, &tls->bytes[FILE_CERT]) != CURLE_OK ||
        set_blob(easy, CURLOPT_SSLKEY_BLOB, &tls->bytes[FILE_KEY]) != CURLE_OK ||
        set_blob(easy, CURLOPT_CAINFO_BLOB, &tls->bytes[FILE_CA]) != CURLE_OK)
        return ERR_NOMEM;
    // Debian's default CAPATH would stay trusted beside our CA.
    if (tls->bytes[FILE_CA].len > 0 && curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) != CURLE_OK)
        return ERR_NOMEM;
    return 0;
}

int fetch_tls_apply(const struct fetch_tls *tls, const char *server_name, const char *url,
                    CURL *easy, struct curl_slist **connect_to) {
    if (tls && set_trust(tls, easy) < 0)
        return ERR_NOMEM;
    if (tls && tls->server_name)
        server_name = tls->server_name;
    if (server_name && str_starts(str_from(url), "https:"))
        return set_server_name(server_name, url, easy, connect_to);
    return 0;
}
