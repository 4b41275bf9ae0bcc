// SPDX-License-Identifier: Apache-2.0
/*
 * Names looked up off the loop. A lookup that is cancelled may still be in a pool thread: the
 * request lives until it comes back, and then tells nobody.
 */
#include "source/agent_names.h"

#include <netdb.h>

#include "base/limits.h"
#include "base/mem.h"

struct lookup {
    uv_getaddrinfo_t req;
    void (*done)(void *arg, const struct sockaddr_storage *addresses, size_t n,
                 const struct err *why);
    void *arg; // NULL after cancel
    bool cancelled;
};

static size_t copy_addresses(const struct addrinfo *list, struct sockaddr_storage *to, size_t max) {
    size_t n = 0;
    for (const struct addrinfo *i = list; i && n < max; i = i->ai_next) {
        if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
            continue;
        to[n] = (struct sockaddr_storage){0};
        memcpy(&to[n++], i->ai_addr, i->ai_addrlen);
    }
    return n;
}

static void tell(struct lookup *l, int status, struct addrinfo *list) {
    struct err why = {0};
    if (status < 0) {
        err_set(&why, ERR_UNAVAILABLE, "the name cannot be looked up: %s", uv_strerror(status));
        l->done(l->arg, NULL, 0, &why);
        return;
    }
    size_t n = 0;
    for (const struct addrinfo *i = list; i && n < LIMIT_NODES; i = i->ai_next)
        n++;
    CLEANUP_FREE struct sockaddr_storage *addresses = mem_array(n ? n : 1, sizeof(*addresses));
    if (!addresses) {
        err_set(&why, ERR_NOMEM, "out of memory");
        l->done(l->arg, NULL, 0, &why);
        return;
    }
    n = copy_addresses(list, addresses, n);
    l->done(l->arg, addresses, n, NULL);
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
    struct lookup *l = container_of(req, struct lookup, req);
    if (!l->cancelled)
        tell(l, status, list);
    uv_freeaddrinfo(list);
    mem_free(l);
}

static int names_start(void *ctx, uv_loop_t *loop, const char *host,
                       void (*done)(void *arg, const struct sockaddr_storage *addresses, size_t n,
                                    const struct err *why),
                       void *arg, void **ret_request, struct err *e) {
    struct lookup *l = mem_zalloc(sizeof(*l));
    if (!l)
        return err_set(e, ERR_NOMEM, "out of memory");
    l->done = done;
    l->arg = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int r = uv_getaddrinfo(loop, &l->req, on_lookup, host, NULL, &hints);
    if (r < 0) {
        mem_free(l);
        return err_set(e, ERR_UNAVAILABLE, "the name cannot be looked up: %s", uv_strerror(r));
    }
    *ret_request = l;
    return 0;
}

static void names_cancel(void *ctx, void *request) {
    struct lookup *l = request;
    l->cancelled = true;
    uv_cancel((uv_req_t *)&l->req); // on_lookup comes in any case
}

const struct agents_resolver agent_names_resolver = {names_start, names_cancel, NULL};
