// SPDX-License-Identifier: Apache-2.0
/* URLs of targets: strict, because a typo must not send load elsewhere. */
#include "load/target.h"

#include <netdb.h>
#include <stdio.h>

#include "base/str.h"
#include "net/http1_answer.h"

static int refuse(struct err *e, const char *url, const char *why) {
    // Whoever pastes a URL with a password must not find it in a log.
    if (strchr(url, '@'))
        return err_set(e, ERR_INVALID,
                       "--target: a URL with user and password is not taken; "
                       "--header 'Authorization: ...' is");
    return err_set(e, ERR_INVALID, "--target %s: %s", url, why);
}

// Splits HOST[:PORT], where HOST may be an address in brackets.
static bool split_host(struct str text, struct load_target *t) {
    struct str host = text, port = {NULL, 0};
    if (text.n > 0 && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        if (!end)
            return false;
        host = (struct str){text.p + 1, (size_t)(end - text.p) - 1};
        struct str rest = {end + 1, text.n - host.n - 2};
        if (rest.n > 0 && rest.p[0] != ':')
            return false;
        if (rest.n > 0)
            port = (struct str){rest.p + 1, rest.n - 1};
    } else {
        port = text;
        host = str_cut(&port, ':');
        if (host.n == text.n)
            port = (struct str){NULL, 0};
    }
    unsigned long long number = t->tls ? 443 : 80;
    if (port.p && (str_to_u64(port, &number) < 0 || number == 0 || number > 65535))
        return false;
    t->port = (uint16_t)number;
    return host.n > 0 && str_copy(t->host, sizeof(t->host), host) == 0 &&
           strpbrk(t->host, "%\\\"<>^`{|} ") == NULL;
}

int load_target_parse(struct load_target *ret, const char *url, struct err *e) {
    struct load_target t = {0};
    struct str rest = str_from(url);
    if (str_starts(rest, "http://") || str_starts(rest, "https://")) {
        t.tls = url[4] == 's';
        size_t scheme = t.tls ? 8 : 7;
        rest = (struct str){rest.p + scheme, rest.n - scheme};
    } else {
        return refuse(e, url, "it begins with http:// or https://, such as http://127.0.0.1:8000/");
    }
    size_t host_n = strcspn(rest.p, "/?#");
    struct str authority = {rest.p, host_n};
    rest = (struct str){rest.p + host_n, rest.n - host_n};
    if (memchr(authority.p, '@', authority.n) || !split_host(authority, &t))
        return refuse(e, url, "a host and perhaps a port are needed behind //");
    if (rest.n > 0 && memchr(rest.p, '#', rest.n))
        return refuse(e, url, "a fragment (#) is never sent: leave it out");
    bool slash = rest.n > 0 && rest.p[0] == '/';
    if (rest.n + 2 > sizeof(t.path))
        return refuse(e, url, "it is too long");
    (void)snprintf(t.path, sizeof(t.path), "%s" STR_FMT, slash ? "" : "/", STR_ARG(rest));
    t.has_path = strcmp(t.path, "/") != 0;
    bool v6 = strchr(t.host, ':') != NULL, own_port = t.port == (t.tls ? 443 : 80);
    char port[8] = "";
    if (!own_port)
        (void)snprintf(port, sizeof(port), ":%u", t.port);
    (void)snprintf(t.authority, sizeof(t.authority), v6 ? "[%s]%s" : "%s%s", t.host, port);
    *ret = t;
    return 0;
}

int load_target_resolve(struct load_target *t, struct err *e) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", t->port);
    int r = getaddrinfo(t->host, port, &hints, &list);
    if (r != 0)
        return err_set(e, r == EAI_AGAIN ? ERR_UNAVAILABLE : ERR_NOTFOUND,
                       "--target: the name %s has no address: %s", t->host, gai_strerror(r));
    for (struct addrinfo *a = list; a && t->n_addrs < LIMIT_LOAD_ADDRESSES; a = a->ai_next) {
        struct net_addr *to = &t->addrs[t->n_addrs];
        if (a->ai_addrlen > sizeof(to->un))
            continue;
        memcpy(&to->sa, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
        t->n_addrs++;
    }
    freeaddrinfo(list);
    return t->n_addrs ? 0 : err_set(e, ERR_NOTFOUND, "--target: %s has no address", t->host);
}
