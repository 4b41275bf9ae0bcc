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

void fetch_url_redact(struct str url, char *dst, size_t cap) {
    size_t authority = 0, end, o = 0;
    for (size_t i = 0; i + 2 < url.n; i++) {
        if (!memcmp(url.p + i, "://", 3)) {
            authority = i + 3;
            break;
        }
    }
    for (end = authority; end < url.n && !strchr("/?#", url.p[end]);)
        end++;
    size_t host = authority;
    for (size_t i = authority; i < end; i++) {
        if (url.p[i] == '@')
            host = i + 1;
    }
    size_t stop = end;
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
