// SPDX-License-Identifier: Apache-2.0
/*
 * One bounded request: its options for libcurl, the callbacks that count and hand on bytes, its
 * end.
 */
#include "web/fetch.h"

#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "web/pool.h"

static bool header_is(struct str line, const char *name, const char *contains) {
    struct str value = line;
    struct str head = str_trim(str_cut(&value, ':'));
    value = str_trim(value);
    if (!str_eq_nocase(head, str_from(name)))
        return false;
    size_t n = strlen(contains);
    return n == 0 || (value.n >= n && strncasecmp(value.p + value.n - n, contains, n) == 0);
}

static void head_begins(struct fetch *f) {
    f->chunked = f->encoded = f->headed = false;
    f->retry_after_ms = -1;
}

// Seconds; the other form, a date, is not read: no clock but ours counts.
static void take_retry_after(struct fetch *f, struct str line) {
    long long seconds;
    (void)str_cut(&line, ':');
    if (str_to_i64(str_trim(line), &seconds) == 0 && seconds >= 0 && seconds <= INT32_MAX)
        f->retry_after_ms = seconds * 1000;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx) {
    struct fetch *f = ctx;
    f->head_bytes += n;
    if (f->head_bytes > LIMIT_HTTP_HEAD_BYTES) {
        outcome_fail(f, FETCH_TOO_LARGE, "the head of the answer is larger than %d bytes",
                     LIMIT_HTTP_HEAD_BYTES);
        return 0;
    }
    struct str line = str_trim((struct str){p, n});
    if (str_starts(line, "HTTP/"))
        head_begins(f); // another after a 1xx
    f->headed |= line.n == 0;
    f->chunked |= header_is(line, "transfer-encoding", "chunked");
    f->encoded |= header_is(line, "content-encoding", "");
    if (header_is(line, "retry-after", ""))
        take_retry_after(f, line);
    return n;
}

// The body of an answer that is not wanted: its first line serves the message, and reading it to
// the end (within reason) lets the connection be used again.
static size_t keep_note(struct fetch *f, const char *p, size_t n) {
    size_t room = sizeof(f->note) - 1 - f->note_len;
    size_t take = n < room ? n : room;
    memcpy(f->note + f->note_len, p, take);
    f->note_len += take;
    f->other_bytes += n;
    return f->other_bytes <= LIMIT_FETCH_ERROR_BYTES ? n : 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx) {
    struct fetch *f = ctx;
    if (!outcome_judge_head(f)) {
        if (f->o.error_body && f->o.body && f->failure == FETCH_STATUS)
            (void)f->o.body(f->o.ctx, p, n);
        return keep_note(f, p, n);
    }
    if (n > f->o.max_body_bytes - f->body_bytes) {
        outcome_fail(f, FETCH_TOO_LARGE, "the answer is larger than %llu bytes",
                     (unsigned long long)f->o.max_body_bytes);
        return 0;
    }
    f->body_bytes += n;
    if (f->o.body && !f->o.body(f->o.ctx, p, n)) {
        outcome_fail(f, FETCH_REFUSED, "the answer cannot be used");
        return 0;
    }
    return n;
}

// One more line of the request's head.
static int add_header(struct fetch *f, const char *line) {
    struct curl_slist *longer = curl_slist_append(f->headers, line);
    if (!longer)
        return ERR_NOMEM;
    f->headers = longer;
    return 0;
}

// What is sent, and by which method.
static int set_content(struct fetch *f) {
    CURL *c = f->easy;
    char type[128];
    CURLcode rc = CURLE_OK;
    if (f->o.form) { // POST
        rc = curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, f->o.form);
    } else if (f->o.content.p) {
        (void)snprintf(type, sizeof(type), "Content-Type: %s", f->o.content_type);
        rc = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->o.content.n);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, f->o.content.p);
        if (rc == CURLE_OK && add_header(f, type) < 0)
            return ERR_NOMEM;
    }
    if (rc == CURLE_OK && f->o.method)
        rc = curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, f->o.method);
    return rc == CURLE_OK ? 0 : ERR_NOMEM;
}

static int set_options(struct fetch *f, const char *url) {
    CURL *c = f->easy;
    char accept[128];
    snprintf(accept, sizeof(accept), "Accept: %s", f->o.accept ? f->o.accept : "*/*");
    if (add_header(f, accept) < 0)
        return ERR_NOMEM;
    for (const char *const *h = f->o.headers; h && *h; h++)
        if (add_header(f, *h) < 0)
            return ERR_NOMEM;
#define SET(option, value)                                                                         \
    if (curl_easy_setopt(c, option, value) != CURLE_OK)                                            \
    return ERR_NOMEM
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PRIVATE, f);
    SET(CURLOPT_ERRORBUFFER, f->curl_error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, f);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_HTTPHEADER, f->headers);
    if (set_content(f) < 0)
        return ERR_NOMEM;
    SET(CURLOPT_USERAGENT, "gpuscale/" GPUSCALE_VERSION);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_ACCEPT_ENCODING, "gzip");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); // whatever the environment says
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L); // a watch may be silent for a minute
    SET(CURLOPT_TCP_KEEPIDLE, (long)LIMIT_TCP_KEEPALIVE_IDLE_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)LIMIT_TCP_KEEPALIVE_EVERY_S);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)f->o.connect_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)f->o.total_ms);
    SET(CURLOPT_MAXFILESIZE_LARGE,
        (curl_off_t)(f->o.max_body_bytes < INT64_MAX ? f->o.max_body_bytes : INT64_MAX));
    SET(CURLOPT_MAXLIFETIME_CONN, (long)LIMIT_FETCH_LIFE_S);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L); // a resumed session would not look at the certificate
    SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);    // or a CA that was rotated out stays trusted for a day
#undef SET
    if (f->o.tls || (f->https && f->o.server_name))
        return fetch_tls_apply(f->o.tls, f->o.server_name, url, c, &f->connect_to);
    return 0;
}

static void fetch_free(struct fetch *f) {
    curl_slist_free_all(f->headers);
    curl_slist_free_all(f->connect_to);
    mem_free(f);
}

int fetch_start(struct fetch **ret, struct fetch_pool *pool, const struct fetch_options *options,
                struct err *e) {
    int r = fetch_url_check(options->url, e);
    if (r < 0)
        return r;
    size_t n = strlen(options->url) + 1;
    struct fetch *f = mem_zalloc(sizeof(*f) + n);
    if (!f)
        return err_set(e, ERR_NOMEM, "out of memory");
    f->pool = pool;
    f->o = *options;
    head_begins(f);
    f->https = str_starts(str_from(options->url), "https:");
    fetch_url_redact(str_from(options->url), f->shown, n);
    f->easy = pool_handle_take(pool);
    if (!f->easy || set_options(f, options->url) < 0)
        goto no_memory;
    if (options->auth && (r = fetch_auth_apply(options->auth, f->easy, e)) < 0) {
        err_wrap(e, "%s", f->shown);
        pool_handle_give(pool, f->easy);
        fetch_free(f);
        return r;
    }
    f->o.url = f->o.accept = f->o.server_name = f->o.form = NULL;
    f->o.method = f->o.content_type = NULL;
    f->o.content = (struct str){0};
    f->o.headers = NULL;
    f->o.auth = NULL;
    f->o.tls = NULL;
    f->started_ns = clock_mono_ns();
    if (curl_multi_add_handle(pool->multi, f->easy) != CURLM_OK)
        goto no_memory;
    f->next = pool->running;
    if (f->next)
        f->next->prev = f;
    pool->running = f;
    pool->stats.running++;
    pool->stats.started++;
    *ret = f;
    return 0;
no_memory:
    if (f->easy)
        pool_handle_give(pool, f->easy);
    fetch_free(f);
    return err_set(e, ERR_NOMEM, "out of memory");
}

// Takes the request out of libcurl and of the pool's list; the object remains.
static void fetch_unlink(struct fetch *f) {
    struct fetch_pool *pool = f->pool;
    curl_multi_remove_handle(pool->multi, f->easy);
    pool_handle_give(pool, TAKE_PTR(f->easy));
    if (f->prev)
        f->prev->next = f->next;
    else
        pool->running = f->next;
    if (f->next)
        f->next->prev = f->prev;
    pool->stats.running--;
}

void fetch_discard(struct fetch *f) {
    fetch_unlink(f);
    fetch_free(f);
}

void fetch_cancel(struct fetch *f) {
    fetch_discard(f);
}

void fetch_finish(struct fetch *f, CURLcode code) {
    struct fetch_pool_stats *stats = &f->pool->stats;
    long connects = 0;
    curl_off_t length = -1;
    outcome_judge_end(f, code);
    curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(f->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    stats->finished++;
    stats->failures[f->failure]++;
    stats->connects += (uint64_t)connects;
    stats->bytes += f->body_bytes;
    struct fetch_result result = {
        .failure = f->failure,
        .err = f->err,
        .status = outcome_status(f),
        .body_bytes = f->body_bytes,
        .complete = f->failure == FETCH_OK && !f->encoded && (f->chunked || length >= 0),
        .retry_after_ms = f->retry_after_ms,
        .started_ns = f->started_ns,
        .took_ns = clock_mono_ns() - f->started_ns,
    };
    fetch_unlink(f);
    f->o.done(f->o.ctx, &result);
    fetch_free(f);
}
