// SPDX-License-Identifier: Apache-2.0
/* Names of targets: when they are looked up, and what becomes of the answer. */
#include "source/target_name.h"

#include "base/clock.h"
#include "base/mem.h"

#define SOONEST_NS (5 * NS_PER_S) // after the last lookup, whatever is lost
#define LATEST_NS (120 * NS_PER_S)

int target_name_parse(struct target_name *t, const char *text, struct err *e) {
    // A name is no error here, and splitting tells what is wrong with the rest.
    int r = net_addr_parse(str_from(text), &t->addr, NULL);
    t->literal = r == 0;
    str_copy(t->host, sizeof(t->host), STR("localhost"));
    if (t->literal && t->addr.sa.sa_family == AF_UNIX)
        return 0;
    r = net_addr_split(str_from(text), t->host, &t->port, e);
    if (r < 0)
        return r;
    if (!t->host[0])
        return err_set(e, ERR_INVALID, "%s: the host is missing: write HOST:PORT", text);
    if (t->port == 0)
        return err_set(e, ERR_INVALID, "%s: port 0 cannot be connected to", text);
    return 0;
}

static void answered(struct target_name *t, const struct err *why) {
    struct target_names *names = t->names;
    int64_t wait = names->interval_ns;
    names->lookups++;
    names->failures += why != NULL;
    t->failed = why ? t->failed + 1 : 0;
    for (unsigned i = 1; i < t->failed && wait < LATEST_NS; i++)
        wait *= 2;
    // Names of one deployment are not all asked for at once.
    t->due_ns = clock_mono_ns() + wait - (int64_t)((double)wait / 8 * random_unit(&names->random));
    bool tell = (why != NULL) != t->told_failed;
    t->told_failed = why != NULL;
    if (tell)
        names->told(t, why);
}

static struct net_addr with_port(const struct sockaddr_storage *found, uint16_t port) {
    struct net_addr to = {0};
    if (found->ss_family == AF_INET6) {
        memcpy(&to.in6, found, sizeof(to.in6));
        to.in6.sin6_port = htons(port);
        to.len = sizeof(to.in6);
    } else {
        memcpy(&to.in, found, sizeof(to.in));
        to.in.sin_port = htons(port);
        to.len = sizeof(to.in);
    }
    return to;
}

static void on_addresses(void *arg, const struct sockaddr_storage *found, size_t n,
                         const struct err *why) {
    struct target_name *t = arg;
    t->request = NULL;
    CLEANUP_FREE struct net_addr *addresses = mem_array(n ? n : 1, sizeof(*addresses));
    struct err none = {0};
    if (!why && n == 0) {
        err_set(&none, ERR_UNAVAILABLE, "the name has no address");
        why = &none;
    } else if (!why && !addresses) {
        err_set(&none, ERR_NOMEM, "out of memory");
        why = &none;
    }
    for (size_t i = 0; !why && i < n; i++)
        addresses[i] = with_port(&found[i], t->port);
    if (!why)
        t->names->found(t, addresses, n);
    answered(t, why);
}

static void look_up(struct target_name *t) {
    struct target_names *names = t->names;
    struct err e = {0};
    t->asked_ns = clock_mono_ns();
    if (names->resolver->start(names->resolver->ctx, names->loop, t->host, on_addresses, t,
                               &t->request, &e) < 0)
        answered(t, &e);
}

void target_name_start(struct target_name *t, struct target_names *names) {
    t->names = names;
    if (t->literal)
        names->found(t, &t->addr, 1);
    else
        look_up(t);
}

void target_name_sweep(struct target_name *t, int64_t now_ns) {
    if (!t->literal && !t->request && now_ns >= t->due_ns)
        look_up(t);
}

void target_name_look_again(struct target_name *t) {
    int64_t soonest = t->asked_ns + SOONEST_NS;
    if (!t->literal && t->due_ns > soonest && t->failed == 0)
        t->due_ns = soonest;
}

void target_name_stop(struct target_name *t) {
    if (t->request)
        t->names->resolver->cancel(t->names->resolver->ctx, t->request);
    t->request = NULL;
}
