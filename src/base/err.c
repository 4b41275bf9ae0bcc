// SPDX-License-Identifier: Apache-2.0
/*
 * The error object. Messages often quote bytes that came from outside, so every message is made
 * printable here, once: no line breaks, no control bytes, valid UTF-8.
 */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

// Replaces in place what would break a line or a terminal; then cuts a half character at the end.
static void err_sanitize(char *msg, bool cut) {
    size_t n = strlen(msg);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)msg[i];
        if (c < 0x20 || c == 0x7f)
            msg[i] = c == '\n' || c == '\r' || c == '\t' ? ' ' : '?';
    }
    if (cut) {
        // Leave room for the dots; a character that they cut in half goes too.
        n = ERR_MSG_MAX - 4;
        while (n > 0 && ((unsigned char)msg[n] & 0xc0) == 0x80)
            n--;
        memcpy(msg + n, "...", 4);
        n += 3;
    }
    for (size_t i = 0; (i += utf8_valid_prefix(msg + i, n - i)) < n;)
        msg[i] = '?';
}

int err_vset(struct err *e, int code, const char *fmt, va_list ap) {
    if (!e)
        return code;
    e->code = code;
    int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    if (n < 0)
        memcpy(e->msg, "?", 2);
    err_sanitize(e->msg, n >= (int)sizeof(e->msg));
    return code;
}

int err_set(struct err *e, int code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, code, fmt, ap);
    va_end(ap);
    return code;
}

int err_errno(struct err *e, int errnum, const char *fmt, ...) {
    if (!e)
        return ERR_IO;
    char what[ERR_MSG_MAX], reason[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (n < 0)
        what[0] = '\0';
    return err_set(e, ERR_IO, "%s: %s", what, strerror_r(errnum, reason, sizeof(reason)));
}

int err_wrap(struct err *e, const char *fmt, ...) {
    if (!e)
        return ERR_INVALID;
    char context[ERR_MSG_MAX], old[ERR_MSG_MAX];
    int code = e->code ? e->code : ERR_INVALID;
    memcpy(old, e->code ? e->msg : "", e->code ? sizeof(old) : 1);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    if (n < 0)
        context[0] = '\0';
    return old[0] ? err_set(e, code, "%s: %s", context, old) : err_set(e, code, "%s", context);
}

const char *err_code_name(int code) {
    switch ((enum err_code)code) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOMEM:
        return "nomem";
    case ERR_LIMIT:
        return "limit";
    case ERR_IO:
        return "io";
    case ERR_PARSE:
        return "parse";
    case ERR_PROTO:
        return "proto";
    case ERR_NOTFOUND:
        return "notfound";
    case ERR_EXISTS:
        return "exists";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_CLOSED:
        return "closed";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_AUTH:
        return "auth";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_AGAIN:
        return "again";
    }
    return "unknown";
}
