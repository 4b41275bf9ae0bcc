// SPDX-License-Identifier: Apache-2.0
/*
 * Reading and printing of addresses. No DNS: the one name that is understood is "localhost", which
 * is loopback by RFC 6761.
 */
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int split_host(struct str text, struct str *ret_host, struct str *ret_port, struct err *e) {
    if (text.n > 0 && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        if (!end)
            return err_set(e, ERR_PARSE, "\"" STR_FMT "\": no ']' after the IPv6 address",
                           STR_ARG(text));
        size_t after = (size_t)(end - text.p) + 1;
        if (after == 2) // a variable that was empty; ":PORT" would mean all interfaces
            return err_set(e, ERR_PARSE, "\"" STR_FMT "\": no address between the brackets",
                           STR_ARG(text));
        if (after >= text.n || text.p[after] != ':')
            return err_set(e, ERR_PARSE, "\"" STR_FMT "\": expected ':PORT' after ']'",
                           STR_ARG(text));
        *ret_host = (struct str){text.p + 1, after - 2};
        *ret_port = (struct str){text.p + after + 1, text.n - after - 1};
        return 0;
    }
    const char *colon = memchr(text.p ? text.p : "", ':', text.n);
    if (!colon)
        return err_set(e, ERR_PARSE, "\"" STR_FMT "\": no port; write HOST:PORT or :PORT",
                       STR_ARG(text));
    *ret_host = (struct str){text.p, (size_t)(colon - text.p)};
    *ret_port = (struct str){colon + 1, text.n - ret_host->n - 1};
    if (memchr(ret_port->p, ':', ret_port->n))
        return err_set(e, ERR_PARSE,
                       "\"" STR_FMT "\": an IPv6 address needs brackets, as in [::1]:9443",
                       STR_ARG(text));
    return 0;
}

int net_addr_split(struct str text, char ret_host[NET_HOST_MAX], uint16_t *ret_port,
                   struct err *e) {
    struct str host = {0}, port = {0};
    int r = split_host(text, &host, &port, e);
    if (r < 0)
        return r;
    unsigned long long number;
    if (str_to_u64(port, &number) < 0 || number > UINT16_MAX)
        return err_set(e, ERR_PARSE,
                       "\"" STR_FMT "\": port \"" STR_FMT "\" is not a number of 0..65535",
                       STR_ARG(text), STR_ARG(port));
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] <= ' ' || host.p[i] == 0x7f || host.p[i] == '/')
            return err_set(e, ERR_PARSE, "\"" STR_FMT "\": character %zu cannot be in a host name",
                           STR_ARG(text), i + 1);
    if (host.n >= NET_HOST_MAX)
        return err_set(e, ERR_PARSE, "host name of %zu bytes, at most %d", host.n,
                       NET_HOST_MAX - 1);
    memcpy(ret_host, host.p, host.n);
    ret_host[host.n] = '\0';
    *ret_port = (uint16_t)number;
    return 0;
}

static int parse_unix(struct str path, struct net_addr *ret, struct err *e) {
    struct net_addr a = {.un.sun_family = AF_UNIX};
    if (path.n == 0 || memchr(path.p, '\0', path.n))
        return err_set(e, ERR_PARSE, "\"unix:" STR_FMT "\": no path; write unix:/run/name.sock",
                       STR_ARG(path));
    if (path.n >= sizeof(a.un.sun_path))
        return err_set(e, ERR_PARSE, "unix socket path of %zu bytes, at most %zu", path.n,
                       sizeof(a.un.sun_path) - 1);
    memcpy(a.un.sun_path, path.p, path.n);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    *ret = a;
    return 0;
}

int net_addr_parse(struct str text, struct net_addr *ret, struct err *e) {
    if (str_starts(text, "unix:"))
        return parse_unix((struct str){text.p + 5, text.n - 5}, ret, e);
    char host[NET_HOST_MAX];
    uint16_t port;
    int r = net_addr_split(text, host, &port, e);
    if (r < 0)
        return r;
    struct net_addr a = {0};
    if (strcmp(host, "localhost") == 0)
        (void)str_copy(host, sizeof(host), STR("127.0.0.1"));
    if (inet_pton(AF_INET, host, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
        a.len = sizeof(a.in);
    } else {
        a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        if (host[0] != '\0' && inet_pton(AF_INET6, host, &a.in6.sin6_addr) != 1)
            return err_set(e, ERR_NOTFOUND, "\"" STR_FMT "\": %s is a name, not an address",
                           STR_ARG(text), host);
        a.len = sizeof(a.in6);
    }
    *ret = a;
    return 0;
}

void net_addr_format(const struct net_addr *a, char *dst, size_t cap) {
    char host[INET6_ADDRSTRLEN] = "";
    if (a->len == 0) {
        snprintf(dst, cap, "-");
        return;
    }
    switch (a->sa.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
        snprintf(dst, cap, "%s:%u", host, (unsigned)ntohs(a->in.sin_port));
        break;
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
            inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], host, sizeof(host));
            snprintf(dst, cap, "%s:%u", host, (unsigned)ntohs(a->in6.sin6_port));
        } else {
            inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
            snprintf(dst, cap, "[%s]:%u", host, (unsigned)ntohs(a->in6.sin6_port));
        }
        break;
    case AF_UNIX: {
        size_t start = offsetof(struct sockaddr_un, sun_path);
        int n = a->len > start ? (int)strnlen(a->un.sun_path, a->len - start) : 0;
        snprintf(dst, cap, "unix:%.*s", n, a->un.sun_path);
        break;
    }
    default:
        snprintf(dst, cap, "family %d", a->sa.sa_family);
    }
}
