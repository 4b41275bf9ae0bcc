// SPDX-License-Identifier: Apache-2.0
/*
 * The folder of certificates. Each file is replaced whole (written beside it, synced, renamed),
 * keys before the certificates that need them, so that a program which re-reads them meets no half
 * of a file, and one that meets a key and a certificate that do not fit keeps what it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/certs_set.h"

enum { PATH_LEN = 4096, KEY_MODE = 0600, CERT_MODE = 0644, FOLDER_MODE = 0700 };

int certs_read_file(const char *path, struct buf *out, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOTFOUND, "%s: there is no such file", path);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    int r = 0;
    for (;;) {
        char *room = buf_reserve(out, 4096);
        if (!room) {
            r = err_set(e, ERR_LIMIT, "%s: larger than a certificate can be (LIMIT_TLS_FILE_BYTES)",
                        path);
            break;
        }
        ssize_t n = read(fd, room, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = err_errno(e, errno, "%s", path);
        if (n <= 0)
            break;
        buf_commit(out, (size_t)n);
    }
    close(fd);
    return r;
}

static int path_of(char dst[PATH_LEN], const char *folder, const char *stem, const char *suffix,
                   struct err *e) {
    int n = snprintf(dst, PATH_LEN, "%s/%s%s", folder, stem, suffix);
    return n < PATH_LEN ? 0 : err_set(e, ERR_LIMIT, "--output: the name of a file is too long");
}

static int load_pair(struct certs_pair *p, const char *folder, const char *stem, struct err *e) {
    char path[PATH_LEN];
    int r = path_of(path, folder, stem, ".crt", e);
    if (r == 0)
        r = certs_read_file(path, &p->cert, e);
    if (r < 0 && r != ERR_NOTFOUND)
        return r;
    r = path_of(path, folder, stem, ".key", e);
    if (r == 0)
        r = certs_read_file(path, &p->key, e);
    return r == ERR_NOTFOUND ? 0 : r;
}

int certs_load(struct certs_set *s, const char *folder, struct err *e) {
    int r = load_pair(&s->ca, folder, "ca", e);
    for (int i = 0; i < CERTS_PARTIES && r == 0; i++)
        r = load_pair(&s->parties[i], folder, certs_parties[i].stem, e);
    return r;
}

static int write_all(int fd, struct str text) {
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text.p += n;
        text.n -= (size_t)n;
    }
    return fsync(fd);
}

static int replace(const char *folder, const char *path, mode_t mode, struct str text,
                   struct err *e) {
    char fresh[PATH_LEN];
    int r = path_of(fresh, folder, ".certs-XXXXXX", "", e);
    if (r < 0)
        return r;
    int fd = mkstemp(fresh); // 0600
    if (fd < 0)
        return err_errno(e, errno, "a file in %s", folder);
    if (write_all(fd, text) < 0 || fchmod(fd, mode) < 0 || rename(fresh, path) < 0) {
        r = err_errno(e, errno, "%s", path);
        (void)unlink(fresh);
    }
    close(fd);
    return r;
}

static int store_pair(const struct certs_pair *p, const char *folder, const char *stem,
                      struct err *e) {
    char path[PATH_LEN];
    int r = path_of(path, folder, stem, ".key", e);
    if (r == 0)
        r = replace(folder, path, KEY_MODE, buf_str(&p->key), e);
    if (r == 0)
        r = path_of(path, folder, stem, ".crt", e);
    return r == 0 ? replace(folder, path, CERT_MODE, buf_str(&p->cert), e) : r;
}

int certs_store(const struct certs_set *s, const char *folder, struct err *e) {
    if (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST)
        return err_errno(e, errno, "the folder %s", folder);
    int r = store_pair(&s->ca, folder, "ca", e);
    for (int i = 0; i < CERTS_PARTIES && r == 0; i++)
        r = store_pair(&s->parties[i], folder, certs_parties[i].stem, e);
    if (r < 0)
        return r;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        r = err_errno(e, errno, "the folder %s", folder);
    if (fd >= 0)
        close(fd);
    return r;
}
