// SPDX-License-Identifier: Apache-2.0
/*
 * Structured log to one file descriptor: logfmt or JSON lines, levels, a rate limit for each call
 * site above debug (10 lines, then one a minute with `suppressed=N`: a fault is said once, with a
 * rate). For programs (agent/, scaler/, cmd/, playground/); library code returns errors instead.
 * Thread-safe: a line is one write(2). A full disk, a closed pipe or one that nobody empties loses
 * lines, is counted, and never blocks or ends the program.
 * Keys are literals of [a-z_]. Values may hold anything: what could forge a line or steer a
 * terminal is escaped. Values are cut at LIMIT_LOG_VALUE_BYTES, lines at LIMIT_LOG_LINE_BYTES (a
 * field that no longer fits is left out and the line ends with truncated=true).
 *
 *     log_warn("engine scrape failed", LOG_STR("pod", name), LOG_ERR(&e), LOG_DUR("took", ns));
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_field {
    const char *key; // NULL ends the list
    enum { LOG_F_STR, LOG_F_I64, LOG_F_DOUBLE, LOG_F_DUR, LOG_F_BOOL } kind;
    union {
        struct str s;
        int64_t i;
        double d;
        bool b;
    };
};

// A call site's rate limiter; static, zeroed.
struct log_site {
    int64_t window_start_ns; // of the last line that went out
    uint32_t in_window;      // lines that went out without a quiet minute between them
    uint32_t suppressed;     // held back since
};

#define LOG_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_F_STR, .s = str_from(v)})
#define LOG_VIEW(k, v) ((struct log_field){.key = (k), .kind = LOG_F_STR, .s = (v)})
#define LOG_I64(k, v) ((struct log_field){.key = (k), .kind = LOG_F_I64, .i = (int64_t)(v)})
#define LOG_F64(k, v) ((struct log_field){.key = (k), .kind = LOG_F_DOUBLE, .d = (v)})
#define LOG_DUR(k, ns) ((struct log_field){.key = (k), .kind = LOG_F_DUR, .i = (ns)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_F_BOOL, .b = (v)})
#define LOG_ERR(e) LOG_STR("error", (e)->msg)

// Before the first line: stderr, logfmt, info. Ignores SIGPIPE where nobody handles it.
void log_setup(int fd, enum log_format format, enum log_level level, const char *program);
// "debug", "info", "warn", "error"; "logfmt", "json": 0 or ERR_PARSE.
int log_level_parse(struct str s, enum log_level *ret);
int log_format_parse(struct str s, enum log_format *ret);
uint64_t log_lost_lines(void); // lines that could not be written

// The rate limit alone: may a line go out at now_ns, and how many were held back since the last?
bool log_site_admit(struct log_site *site, int64_t now_ns, uint32_t *ret_suppressed);

void log_write_(enum log_level level, struct log_site *site, const char *msg,
                const struct log_field *fields);
#define log_at_(level, msg, ...)                                                                   \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        log_write_((level), &log_site_, (msg),                                                     \
                   (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}});           \
    } while (0)
#define log_debug(msg, ...) log_at_(LOG_LEVEL_DEBUG, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_info(msg, ...) log_at_(LOG_LEVEL_INFO, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(msg, ...) log_at_(LOG_LEVEL_WARN, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_error(msg, ...) log_at_(LOG_LEVEL_ERROR, msg __VA_OPT__(, ) __VA_ARGS__)
