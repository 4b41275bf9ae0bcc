// SPDX-License-Identifier: Apache-2.0
/*
 * The log. A line is built on the stack (no allocation, at most LIMIT_LOG_LINE_BYTES) and written
 * with one write(2) under one lock, which also guards the call sites' counters. Before the write,
 * poll(2) says whether the descriptor would take the line: a pipe that nobody empties loses lines
 * instead of stopping the program.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/utf8.h"

enum {
    LINES_AT_ONCE = 10, // of a call site, before its rate falls to one a minute
    TAIL_BYTES = 24,    // kept for the end of the line: truncated=true, }, newline
};
static const int64_t WINDOW_NS = 60 * NS_PER_S;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int log_level = LOG_LEVEL_INFO;
static _Atomic uint64_t lost_lines;
// Guarded by the lock.
static int log_fd = STDERR_FILENO;
static enum log_format log_format = LOG_FORMAT_LOGFMT;
static char log_program[32] = "gpuscale";

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(int fd, enum log_format format, enum log_level level, const char *program) {
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
    }
    pthread_mutex_lock(&lock);
    log_fd = fd;
    log_format = format;
    str_copy(log_program, sizeof(log_program), str_from(program));
    pthread_mutex_unlock(&lock);
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

int log_level_parse(struct str s, enum log_level *ret) {
    for (size_t i = 0; i < COUNT_OF(level_names); i++) {
        if (str_eqc(s, level_names[i])) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return ERR_PARSE;
}

int log_format_parse(struct str s, enum log_format *ret) {
    if (str_eqc(s, "logfmt"))
        *ret = LOG_FORMAT_LOGFMT;
    else if (str_eqc(s, "json"))
        *ret = LOG_FORMAT_JSON;
    else
        return ERR_PARSE;
    return 0;
}

uint64_t log_lost_lines(void) {
    return atomic_load_explicit(&lost_lines, memory_order_relaxed);
}

bool log_site_admit(struct log_site *site, int64_t now_ns, uint32_t *ret_suppressed) {
    bool minute_over = now_ns - site->window_start_ns >= WINDOW_NS;
    if (minute_over && site->suppressed == 0)
        site->in_window = 0;
    if (site->in_window >= LINES_AT_ONCE && !minute_over) {
        if (site->suppressed < UINT32_MAX)
            site->suppressed++;
        return false;
    }
    if (site->in_window < LINES_AT_ONCE)
        site->in_window++;
    site->window_start_ns = now_ns;
    *ret_suppressed = site->suppressed;
    site->suppressed = 0;
    return true;
}

// Values that read back unquoted; everything else is quoted and escaped as in JSON.
static bool is_bare(struct str s) {
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
            return false;
        if (c >= 0x80) // well-formed text only, and no C1 control
            return utf8_valid(s.p, s.n) && !memmem(s.p, s.n, "\xc2", 1);
    }
    return true;
}

static struct str cut(struct str s, size_t max) {
    if (s.n <= max)
        return s;
    while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
        max--;
    return (struct str){s.p, max};
}

static int add_text(struct buf *b, enum log_format format, struct str s) {
    char shown[LIMIT_LOG_VALUE_BYTES + 4];
    if (s.n > LIMIT_LOG_VALUE_BYTES) {
        s = cut(s, LIMIT_LOG_VALUE_BYTES);
        memcpy(shown, s.p, s.n);
        memcpy(shown + s.n, "...", 3);
        s = (struct str){shown, s.n + 3};
    }
    if (format == LOG_FORMAT_LOGFMT && is_bare(s))
        return buf_add_str(b, s);
    return buf_add_json(b, s);
}

static int add_key(struct buf *b, enum log_format format, const char *key) {
    if (format == LOG_FORMAT_LOGFMT)
        return buf_addf(b, "%s%s=", b->len ? " " : "", key);
    return buf_addf(b, "%s\"%s\":", b->len > 1 ? "," : "", key);
}

static int add_value(struct buf *b, enum log_format format, const struct log_field *f) {
    char text[48];
    switch (f->kind) {
    case LOG_F_STR:
        return add_text(b, format, f->s);
    case LOG_F_I64:
        return buf_add_i64(b, f->i);
    case LOG_F_BOOL:
        return buf_addc(b, f->b ? "true" : "false");
    case LOG_F_DUR:
        units_format_duration(f->i, text, sizeof(text));
        return add_text(b, format, str_from(text));
    case LOG_F_DOUBLE:
        if (format == LOG_FORMAT_JSON && !(f->d - f->d == 0)) // JSON has no NaN and no infinity
            return buf_addc(b, f->d > 0 ? "\"+Inf\"" : f->d < 0 ? "\"-Inf\"" : "\"NaN\"");
        return buf_add_double(b, f->d);
    }
    return ERR_INVALID;
}

// Adds a field whole or not at all.
static bool add_field(struct buf *b, enum log_format format, const struct log_field *f) {
    size_t before = b->len;
    if (add_key(b, format, f->key) == 0 && add_value(b, format, f) == 0)
        return true;
    buf_truncate(b, before);
    return false;
}

// Builds the line in storage[LIMIT_LOG_LINE_BYTES]; the buffer never grows: cap is max.
static struct str build_line(char *storage, enum log_level level, const char *msg,
                             const struct log_field *fields, uint32_t suppressed) {
    struct buf b = {.p = storage, .cap = LIMIT_LOG_LINE_BYTES, .max = LIMIT_LOG_LINE_BYTES};
    b.max -= TAIL_BYTES;
    char when[32];
    clock_format_utc(clock_real_ns(), when, sizeof(when));
    if (log_format == LOG_FORMAT_JSON)
        buf_add_byte(&b, '{');
    add_field(&b, log_format, &LOG_STR("time", when));
    add_field(&b, log_format, &LOG_STR("level", level_names[level]));
    add_field(&b, log_format, &LOG_STR("program", log_program));
    add_field(&b, log_format, &LOG_STR("msg", msg));
    if (suppressed > 0)
        add_field(&b, log_format, &LOG_I64("suppressed", suppressed));
    bool whole = true;
    for (; fields->key; fields++)
        whole = add_field(&b, log_format, fields) && whole;
    b.max += TAIL_BYTES;
    if (!whole)
        add_field(&b, log_format, &LOG_BOOL("truncated", true));
    buf_addc(&b, log_format == LOG_FORMAT_JSON ? "}\n" : "\n");
    return buf_str(&b);
}

// True when the whole line went out.
static bool put(int fd, struct str line) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int r;
    do
        r = poll(&p, 1, 0);
    while (r < 0 && errno == EINTR);
    if (r != 1 || (p.revents & (POLLERR | POLLHUP | POLLNVAL)))
        return false;
    ssize_t n;
    do
        n = write(fd, line.p, line.n);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)line.n;
}

void log_write_(enum log_level level, struct log_site *site, const char *msg,
                const struct log_field *fields) {
    if ((int)level < atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    char storage[LIMIT_LOG_LINE_BYTES];
    uint32_t suppressed = 0;
    int saved = errno;
    pthread_mutex_lock(&lock);
    if (level == LOG_LEVEL_DEBUG || log_site_admit(site, clock_mono_ns(), &suppressed)) {
        struct str line = build_line(storage, level, msg, fields, suppressed);
        if (!put(log_fd, line))
            atomic_fetch_add_explicit(&lost_lines, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}
