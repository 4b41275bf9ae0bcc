// SPDX-License-Identifier: Apache-2.0
/*
 * URLs: any bytes are accepted or refused with a sentence, and neither the sentence nor the form
 * that messages show holds a user or a password that libcurl finds in it, or the query.
 */
#include <curl/curl.h>

#include "base/limits.h"
#include "fuzz.h"
#include "web/fetch.h"

static bool has_user(const char *url) {
    CURLU *u = curl_url();
    char *user = NULL;
    require(u != NULL);
    bool has = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK;
    curl_free(user);
    curl_url_cleanup(u);
    return has;
}

// What libcurl would take for user and password: between the slashes behind the scheme, of which it
// forgives one or three, and the next slash.
static bool shows_user(const char *shown) {
    const char *at = strchr(shown, ':');
    if (!at)
        return false;
    for (at++; *at == '/'; at++) {
    }
    return memchr(at, '@', strcspn(at, "/")) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char shown[256], tiny[8];
    struct err e = {0};
    struct str all = {(const char *)data, size};
    fetch_url_redact(all, tiny, sizeof(tiny));
    require(strnlen(tiny, sizeof(tiny)) < sizeof(tiny));
    fetch_url_redact(all, shown, sizeof(shown));
    require(strnlen(shown, sizeof(shown)) < sizeof(shown) && !strpbrk(shown, "?#"));
    for (const char *c = shown; *c; c++)
        require(*c > 0x20 && *c < 0x7f);

    char *url = strndup((const char *)data, size);
    fetch_url_redact(str_from(url), shown, sizeof(shown));
    int rc = fetch_url_check(url, &e);
    if (rc < 0)
        require_message(&e);
    else
        require(strlen(url) <= LIMIT_URL_BYTES && strncasecmp(url, "http", 4) == 0);
    if (has_user(url)) {
        require(rc < 0);
        require(!shows_user(shown));
    }
    free(url);
    return 0;
}
