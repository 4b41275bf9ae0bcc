// SPDX-License-Identifier: Apache-2.0
/* Files: reading one whole, within LIMIT_CONFIG_BYTES, and seeing that it changed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "conf/internal.h"

static int read_all(int fd, const char *path, struct arena *scratch, struct str *ret,
                    struct err *e) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "%s: is a directory, a file is needed", path);
    // Pipes and files of /proc have no size; others may grow while they are read.
    size_t cap = st.st_size > 0 && st.st_size < LIMIT_CONFIG_BYTES ? (size_t)st.st_size + 1
                                                                   : LIMIT_CONFIG_BYTES + 1;
    char *text = arena_alloc(scratch, cap);
    if (!text)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    size_t n = 0;
    while (n < cap) {
        ssize_t got = read(fd, text + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(e, errno, "%s", path);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    if (n > LIMIT_CONFIG_BYTES)
        return err_set(e, ERR_LIMIT, "%s: larger than %d MiB (LIMIT_CONFIG_BYTES)", path,
                       LIMIT_CONFIG_BYTES >> 20);
    if (n == cap)
        return err_set(e, ERR_IO, "%s: grew while it was read; try again", path);
    *ret = (struct str){text, n};
    return 0;
}

int conf_file_text(const char *path, struct arena *scratch, struct str *ret, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    int r = read_all(fd, path, scratch, ret, e);
    close(fd);
    return r;
}

int conf_file_check_again(const char *path, struct err *e) {
    struct stat st;
    if (stat(path, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return 0; // reading it tells the better reason
    return err_set(e, ERR_INVALID,
                   "%s: is a pipe, a socket or a device: a running program reads"
                   " plain files only",
                   path);
}

static int64_t timespec_ns(struct timespec t) {
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

bool conf_file_changed(const char *path, struct conf_stamp *stamp) {
    struct conf_stamp now = {0};
    struct stat st;
    if (stat(path, &st) == 0) {
        now = (struct conf_stamp){
            .device = st.st_dev,
            .inode = st.st_ino,
            .size = st.st_size,
            .mtime_ns = timespec_ns(st.st_mtim),
            .ctime_ns = timespec_ns(st.st_ctim),
            .exists = true,
        };
    }
    bool changed = now.exists != stamp->exists || now.device != stamp->device ||
                   now.inode != stamp->inode || now.size != stamp->size ||
                   now.mtime_ns != stamp->mtime_ns || now.ctime_ns != stamp->ctime_ns;
    *stamp = now;
    return changed;
}
