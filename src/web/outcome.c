// SPDX-License-Identifier: Apache-2.0
/*
 * What an answer, or its absence, means: a reason of fetch.h and a sentence for the person who has
 * to mend it. Text from the other side is shown cleaned and short.
 */
#include <stdarg.h>

#include "base/units.h"
#include "base/utf8.h"
#include "web/pool.h"

static const char *const failure_names[FETCH_FAILURE_MAX] = {
    [FETCH_OK] = "ok",
    [FETCH_RESOLVE] = "resolve",
    [FETCH_CONNECT] = "connect",
    [FETCH_TLS] = "tls",
    [FETCH_TIMEOUT] = "timeout",
    [FETCH_STATUS] = "status",
    [FETCH_REDIRECT] = "redirect",
    [FETCH_HTML] = "html",
    [FETCH_TOO_LARGE] = "too_large",
    [FETCH_TRUNCATED] = "truncated",
    [FETCH_PROTOCOL] = "protocol",
    [FETCH_REFUSED] = "refused",
    [FETCH_INTERNAL] = "internal",
    [FETCH_SECRET] = "secret",
};

const char *fetch_failure_name(enum fetch_failure f) {
    return (unsigned)f < FETCH_FAILURE_MAX ? failure_names[f] : "unknown";
}

static int failure_code(enum fetch_failure f) {
    switch (f) {
    case FETCH_RESOLVE:
    case FETCH_CONNECT:
        return ERR_UNAVAILABLE;
    case FETCH_TLS:
        return ERR_AUTH;
    case FETCH_TIMEOUT:
        return ERR_TIMEOUT;
    case FETCH_TOO_LARGE:
        return ERR_LIMIT;
    case FETCH_INTERNAL:
        return ERR_NOMEM;
    default:
        return ERR_PROTO;
    }
}

void outcome_fail(struct fetch *f, enum fetch_failure failure, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(&f->err, failure_code(failure), fmt, ap);
    va_end(ap);
    err_wrap(&f->err, "%s", f->shown);
    f->failure = failure;
}

// Foreign text on one line: control characters and what is not UTF-8 become spaces.
static const char *clean(struct fetch *f) {
    char *p = f->note;
    size_t n = f->note_len;
    p[n] = 0;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            p[i] = ' ';
    }
    for (size_t ok; (ok = utf8_valid_prefix(p, n)) < n;)
        p[ok] = ' ';
    while (n > 0 && p[n - 1] == ' ')
        p[--n] = 0;
    while (*p == ' ')
        p++;
    return p;
}

static bool is_html(CURL *easy) {
    char *type = NULL;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    if (!type)
        return false;
    struct str s = str_from(type);
    s = str_trim(str_cut(&s, ';'));
    return str_eq_nocase(s, STR("text/html")) || str_eq_nocase(s, STR("application/xhtml+xml"));
}

int fetch_status(const struct fetch *f) {
    return outcome_status(f);
}

int outcome_status(const struct fetch *f) {
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 100 && status <= 999 ? (int)status : 0;
}

bool outcome_judge_head(struct fetch *f) {
    if (f->judged)
        return f->failure == FETCH_OK;
    f->judged = true;
    int status = outcome_status(f);
    if (status != 200 && !(f->o.any_success && status >= 200 && status <= 299)) {
        f->failure = FETCH_STATUS; // the sentence comes at the end, with the body's beginning
    } else if (is_html(f->easy)) {
        outcome_fail(f, FETCH_HTML,
                     "answered an HTML page, not data: are port and path the right ones?");
    }
    return f->failure == FETCH_OK;
}

static void judge_status(struct fetch *f) {
    int status = outcome_status(f);
    char *location = NULL;
    if (status == 0) {
        outcome_fail(f, FETCH_PROTOCOL, "not a sound HTTP answer: no status of three digits");
        return;
    }
    curl_easy_getinfo(f->easy, CURLINFO_REDIRECT_URL, &location);
    if (location) {
        char shown[256];
        fetch_url_redact(str_from(location), shown, sizeof(shown));
        outcome_fail(f, FETCH_REDIRECT,
                     "answered %d, a redirect to %s, which is not followed: give the final URL",
                     status, shown);
        return;
    }
    const char *note = is_html(f->easy) ? "" : clean(f);
    const char *quote = *note ? "\"" : "";
    outcome_fail(f, FETCH_STATUS, "answered status %d%s%s%s%s", status, *note ? ": " : "", quote,
                 note, quote);
}

static void judge_timeout(struct fetch *f) {
    curl_off_t sent = 0; // when the request went out: connected, and TLS done
    char limit[32];
    curl_easy_getinfo(f->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    units_format_duration((int64_t)(sent > 0 ? f->o.total_ms : f->o.connect_ms) * 1000000, limit,
                          sizeof(limit));
    if (sent == 0)
        outcome_fail(f, FETCH_CONNECT, "%s in %s",
                     f->https ? "no connection with TLS" : "not connected", limit);
    else if (f->head_bytes == 0)
        outcome_fail(f, FETCH_TIMEOUT, "connected, but no answer in %s", limit);
    else
        outcome_fail(f, FETCH_TIMEOUT, "the answer did not end in %s (%llu bytes had come)", limit,
                     (unsigned long long)f->body_bytes);
}

static const char *curl_reason(struct fetch *f, CURLcode code) {
    return f->curl_error[0] ? f->curl_error : curl_easy_strerror(code);
}

// A server that wants a client certificate says so, under TLS 1.3, only after the handshake.
static bool is_tls_alert(const struct fetch *f) {
    return f->https && (strstr(f->curl_error, "alert") || strstr(f->curl_error, "certificate"));
}

static void judge_broken(struct fetch *f, const char *reason) {
    if (f->head_bytes > 0)
        outcome_fail(f, FETCH_TRUNCATED,
                     "the connection ended inside the answer after %llu bytes: %s",
                     (unsigned long long)f->body_bytes, reason);
    else
        outcome_fail(f, FETCH_TRUNCATED, "the connection ended before the answer: %s%s", reason,
                     f->https ? " (a server that refuses our certificate may end so)" : "");
}

static void judge_transfer(struct fetch *f, CURLcode code) {
    long errnum = 0;
    curl_off_t sent = 0;
    curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &errnum);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        outcome_fail(f, FETCH_RESOLVE, "the host name has no address");
        break;
    case CURLE_COULDNT_CONNECT:
        outcome_fail(f, FETCH_CONNECT, "cannot connect: %s",
                     errnum ? strerror((int)errnum) : curl_reason(f, code));
        break;
    case CURLE_FILESIZE_EXCEEDED:
        outcome_fail(f, FETCH_TOO_LARGE, "the answer is larger than %llu bytes",
                     (unsigned long long)f->o.max_body_bytes);
        break;
    case CURLE_GOT_NOTHING:
        outcome_fail(f, FETCH_TRUNCATED, "closed the connection without an answer");
        break;
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        judge_broken(f, curl_reason(f, code));
        break;
    case CURLE_ABORTED_BY_CALLBACK:
        outcome_fail(f, FETCH_INTERNAL, "the socket cannot be watched: out of memory");
        break;
    case CURLE_OUT_OF_MEMORY:
        curl_easy_getinfo(f->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
        // libcurl's own cap on one header line, not counted by us before its end, has this code.
        if (sent > 0 && f->body_bytes == 0)
            outcome_fail(f, FETCH_TOO_LARGE, "the head of the answer is larger than %d bytes",
                         LIMIT_HTTP_HEAD_BYTES);
        else
            outcome_fail(f, FETCH_INTERNAL, "out of memory");
        break;
    default:
        outcome_fail(f, FETCH_PROTOCOL, "not a sound HTTP answer: %s", curl_reason(f, code));
    }
}

void outcome_judge_end(struct fetch *f, CURLcode code) {
    if (f->err.code != 0)
        return; // a callback ended it and said why
    if (f->failure == FETCH_STATUS) {
        judge_status(f);
        return;
    }
    switch (code) {
    case CURLE_OK:
        // libcurl takes a head that ends with the connection.
        if (!f->headed && f->head_bytes == 0)
            outcome_fail(f, FETCH_PROTOCOL, "not a sound HTTP answer: no status line");
        else if (!f->headed)
            outcome_fail(f, FETCH_TRUNCATED, "the connection ended inside the answer's head");
        else if (!outcome_judge_head(f) && f->err.code == 0) // an answer without a body
            judge_status(f);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        judge_timeout(f);
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_SHUTDOWN_FAILED:
        outcome_fail(f, FETCH_TLS, "TLS: %s", curl_reason(f, code));
        break;
    default:
        if (code == CURLE_RECV_ERROR && strstr(f->curl_error, "chunk")) // a chunk that is none
            outcome_fail(f, FETCH_PROTOCOL, "not a sound HTTP answer: %s", curl_reason(f, code));
        else if (is_tls_alert(f))
            outcome_fail(f, FETCH_TLS, "TLS: %s", curl_reason(f, code));
        else
            judge_transfer(f, code);
    }
}
