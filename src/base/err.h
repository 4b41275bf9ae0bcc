// SPDX-License-Identifier: Apache-2.0
/*
 * The error object. A function that can fail returns 0 or a negative `enum err_code` and, where a
 * person will read the reason, takes a `struct err *` last (NULL is allowed and ignored).
 * The deepest function sets it, callers add context on the way up, cmd/ prints it once.
 * The object is plain storage: no heap, nothing to free, copyable.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

enum err_code {
    ERR_OK = 0,
    ERR_INVALID = -1,  // an argument or a configuration value is not allowed
    ERR_NOMEM = -2,    // an allocation failed
    ERR_LIMIT = -3,    // a limit of base/limits.h (or one given at creation) would be exceeded
    ERR_IO = -4,       // a system call failed; the message holds strerror
    ERR_PARSE = -5,    // input from outside is malformed; the message holds the place
    ERR_PROTO = -6,    // a peer broke its protocol
    ERR_NOTFOUND = -7, // the thing asked for does not exist
    ERR_EXISTS = -8,   // the thing to add exists already
    ERR_TIMEOUT = -9,  // a deadline passed
    ERR_CLOSED = -10,  // the other side, or we, closed
    ERR_UNSUPPORTED = -11,
    ERR_AUTH = -12,        // TLS or credentials refused
    ERR_UNAVAILABLE = -13, // not now; trying again may help
    ERR_AGAIN = -14,       // would block; not an error to report
};

enum { ERR_MSG_MAX = 512 };

struct err {
    int code;              // 0 when nothing failed
    char msg[ERR_MSG_MAX]; // UTF-8, no newline, truncated with "..." when too long
};

// Sets code and message; returns `code`, so that `return err_set(e, ERR_PARSE, "...")` is one line.
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *e, int code, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

// Like err_set with ERR_IO and ": strerror(errnum)" appended.
int err_errno(struct err *e, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Puts "context: " before the message; returns e's code (ERR_INVALID when e is NULL or unset).
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// "invalid", "limit", ...: stable lower-case names, for logs and metrics labels.
const char *err_code_name(int code);
