// SPDX-License-Identifier: Apache-2.0
/*
 * URLs as far as a fetch cares: may this one be asked, and how is it shown to people.
 */
#include <curl/curl.h>

#include "base/limits.h"
#include "base/mem.h"
#include "web/fetch.h"

static bool has_part(CURLU *u, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static int check_parts(CURLU *u, const char *url, const char *shown, struct err *e) {
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, 0);
    if (rc == CURLUE_OUT_OF_MEMORY)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (rc != CURLUE_OK)
        return err_set(e, ERR_INVALID, "%s: not a URL (%s): write http://HOST:PORT/PATH", shown,
                       curl_url_strerror(rc));
    char *scheme = NULL;
    rc = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    bool http = rc == CURLUE_OK && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    curl_free(scheme);
    if (!http)
        return err_set(e, ERR_INVALID, "%s: only http:// and https:// are fetched", shown);
    if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
        return err_set(e, ERR_INVALID, "%s: user and password do not belong into a URL", shown);
    return 0;
}

int fetch_url_check(const char *url, struct err *e) {
    char shown[256];
    if (!url || !*url)
        return err_set(e, ERR_INVALID, "the URL is empty: write http://HOST:PORT/PATH");
    fetch_url_redact(str_from(url), shown, sizeof(shown));
    if (strlen(url) > LIMIT_URL_BYTES)
        return err_set(e, ERR_LIMIT, "%s: the URL is longer than %d bytes", shown, LIMIT_URL_BYTES);
    CURLU *u = curl_url();
    if (!u)
        return err_set(e, ERR_NOMEM, "out of memory");
    int r = check_parts(u, url, shown, e);
    curl_url_cleanup(u);
    return r;
}

// Behind "scheme:" and its slashes, of which libcurl forgives one or three; 0: there is no scheme.
static size_t authority_at(struct str url) {
    size_t i = 0;
    while (i < url.n && url.p[i] != '\0' && strchr(":/?#@", url.p[i]) == NULL)
        i++;
    if (i + 1 >= url.n || url.p[i] != ':' || url.p[i + 1] != '/')
        return 0;
    for (i++; i < url.n && url.p[i] == '/';)
        i++;
    return i;
}

// Whether text ends in a port, or in none: "host", "host:80", "[::1]"; "user:pa" does not.
static bool port_is_number(struct str text) {
    size_t i = text.n;
    while (i > 0 && text.p[i - 1] >= '0' && text.p[i - 1] <= '9')
        i--;
    return (i > 0 && text.p[i - 1] == ':') || memchr(text.p, ':', text.n) == NULL ||
           text.p[text.n - 1] == ']';
}

// Where the host begins: behind the last '@' of the authority; of the whole URL where what stands
// for the port is none: it is the beginning of a password that holds a '/', '?' or '#'.
static size_t host_at(struct str url, size_t authority) {
    size_t end = authority, host = authority;
    while (end < url.n && url.p[end] != '/' && url.p[end] != '?' && url.p[end] != '#')
        end++;
    for (size_t i = authority; i < end; i++)
        if (url.p[i] == '@')
            host = i + 1;
    if (host > authority ||
        (end > authority && port_is_number((struct str){url.p + authority, end - authority})))
        return host;
    for (size_t i = end; i < url.n; i++)
        if (url.p[i] == '@')
            host = i + 1;
    return host;
}

void fetch_url_redact(struct str url, char *dst, size_t cap) {
    size_t authority = authority_at(url), host = host_at(url, authority), o = 0;
    size_t stop = host;
    while (stop < url.n && url.p[stop] != '?' && url.p[stop] != '#')
        stop++;
    for (size_t i = 0; i < stop && o + 1 < cap; i++) {
        if (i >= authority && i < host)
            continue;
        unsigned char c = (unsigned char)url.p[i];
        dst[o++] = c > 0x20 && c < 0x7f ? (char)c : '_';
    }
    dst[o] = 0;
}
