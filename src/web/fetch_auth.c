// SPDX-License-Identifier: Apache-2.0
/* Secrets of requests. What was read is wiped as soon as libcurl has its copy. */
#include "web/fetch_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "web/pool.h"

struct fetch_auth {
    char *bearer_file, *username, *password_file;
    char *token; // instead of a file
};

static int check_secret(char *p, size_t n, const char *path, struct err *e) {
    while (n > 0 && strchr(" \t\r\n", p[n - 1]))
        n--;
    p[n] = '\0';
    if (n == 0)
        return err_set(e, ERR_AUTH, "%s: is empty", path);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            return err_set(e, ERR_AUTH, "%s: is not one line of text", path);
    return 0;
}

// The file's content without white space at its end, into `secret`.
static int read_secret(const char *path, char secret[LIMIT_SECRET_BYTES + 1], struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = 1;
    if (fd < 0)
        return err_set(e, ERR_AUTH, "%s: cannot be opened: %s", path, strerror(errno));
    while (n < LIMIT_SECRET_BYTES && got > 0) {
        got = read(fd, secret + n, LIMIT_SECRET_BYTES - n);
        n += got > 0 ? (size_t)got : 0;
        if (got < 0 && errno == EINTR)
            got = 1;
    }
    int code = errno;
    close(fd);
    if (got < 0)
        return err_set(e, ERR_AUTH, "%s: cannot be read: %s", path, strerror(code));
    if (n == LIMIT_SECRET_BYTES)
        return err_set(e, ERR_AUTH, "%s: longer than %d bytes", path, LIMIT_SECRET_BYTES - 1);
    return check_secret(secret, n, path, e);
}

int fetch_auth_apply(const struct fetch_auth *auth, CURL *easy, struct err *e) {
    char secret[LIMIT_SECRET_BYTES + 1];
    bool bearer = auth->bearer_file != NULL || auth->token != NULL;
    int r = 0;
    if (auth->token)
        (void)str_copy(secret, sizeof(secret), str_from(auth->token)); // its length was checked
    else
        r = read_secret(bearer ? auth->bearer_file : auth->password_file, secret, e);
    CURLcode code = CURLE_OK;
    if (r == 0) {
        code = curl_easy_setopt(easy, CURLOPT_HTTPAUTH,
                                bearer ? (long)CURLAUTH_BEARER : (long)CURLAUTH_BASIC);
        if (code == CURLE_OK && !bearer)
            code = curl_easy_setopt(easy, CURLOPT_USERNAME, auth->username);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, bearer ? CURLOPT_XOAUTH2_BEARER : CURLOPT_PASSWORD,
                                    secret);
    }
    explicit_bzero(secret, sizeof(secret));
    return code == CURLE_OK ? r : err_set(e, ERR_NOMEM, "out of memory");
}

int fetch_auth_new_token(struct fetch_auth **ret, struct str token, const char *place,
                         struct err *e) {
    if (token.n >= LIMIT_SECRET_BYTES)
        return err_set(e, ERR_AUTH, "%s: longer than %d bytes", place, LIMIT_SECRET_BYTES - 1);
    if (memchr(token.p, '\0', token.n))
        return err_set(e, ERR_AUTH, "%s: is not one line of text", place);
    struct fetch_auth *auth = mem_zalloc(sizeof(*auth));
    if (auth)
        auth->token = mem_strndup(token.p, token.n);
    if (!auth || !auth->token) {
        fetch_auth_free(auth);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    int r = check_secret(auth->token, token.n, place, e);
    if (r < 0) {
        fetch_auth_free(auth);
        return r;
    }
    *ret = auth;
    return 0;
}

static int check_now(const struct fetch_auth *auth, struct err *e) {
    char secret[LIMIT_SECRET_BYTES + 1];
    int r = read_secret(auth->bearer_file ? auth->bearer_file : auth->password_file, secret, e);
    explicit_bzero(secret, sizeof(secret));
    return r;
}

int fetch_auth_new(struct fetch_auth **ret, const struct fetch_auth_files *files, struct err *e) {
    bool basic = files->username && files->password_file;
    if (basic == (files->bearer_file != NULL))
        return err_set(e, ERR_INVALID,
                       "either a file with a token, or a user and a file with the password");
    struct fetch_auth *auth = mem_zalloc(sizeof(*auth));
    if (!auth)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (basic) {
        auth->username = mem_strdup(files->username);
        auth->password_file = mem_strdup(files->password_file);
    } else {
        auth->bearer_file = mem_strdup(files->bearer_file);
    }
    int r = basic ? (auth->username && auth->password_file ? 0 : ERR_NOMEM)
                  : (auth->bearer_file ? 0 : ERR_NOMEM);
    r = r ? err_set(e, r, "out of memory") : check_now(auth, e);
    if (r) {
        fetch_auth_free(auth);
        return r;
    }
    *ret = auth;
    return 0;
}

struct fetch_auth *fetch_auth_free(struct fetch_auth *auth) {
    if (auth) {
        mem_free(auth->bearer_file);
        mem_free(auth->username);
        mem_free(auth->password_file);
        if (auth->token)
            explicit_bzero(auth->token, strlen(auth->token));
        mem_free(auth->token);
        mem_free(auth);
    }
    return NULL;
}
