// SPDX-License-Identifier: Apache-2.0
/* See owners.h. */
#include "agent/owners.h"

#include <string.h>

void agent_owners_init(struct agent_owners *o) {
    o->known = o->doubt = false;
    vec_init(&o->list, LIMIT_PODRES_HOLDERS);
    vec_init(&o->claimed, LIMIT_CLAIMED_DEVICES);
}

void agent_owners_done(struct agent_owners *o) {
    vec_done(&o->list);
    vec_done(&o->claimed);
}

// The lengths of what the kubelet says were checked when it was read.
static void set_owner(struct gpu_owner *o, const char *namespace_, const char *pod,
                      const char *container) {
    str_copy(o->namespace_, sizeof o->namespace_, str_from(namespace_));
    str_copy(o->pod, sizeof o->pod, str_from(pod));
    str_copy(o->container, sizeof o->container, str_from(container));
}

static int take_holder(struct agent_owners *o, const struct podres_holder *h) {
    struct agent_owner one = {.device = h->device};
    set_owner(&one.owner, h->namespace_, h->pod, h->container);
    str_copy(one.owner.replica, sizeof one.owner.replica, str_from(h->device.replica));
    return vec_push(&o->list, one);
}

static int take_claimed(struct agent_owners *o, const struct podres_claimed *c) {
    struct agent_claimed one = {0};
    set_owner(&one.owner, c->namespace_, c->pod, c->container);
    str_copy(one.driver, sizeof one.driver, str_from(c->driver));
    str_copy(one.pool, sizeof one.pool, str_from(c->pool));
    str_copy(one.device, sizeof one.device, str_from(c->device));
    str_copy(one.share, sizeof one.share, str_from(c->share));
    return vec_push(&o->claimed, one);
}

int agent_owners_from(struct agent_owners *ret, const struct podres_answer *answer, struct err *e) {
    struct agent_owners o;
    int r = 0;
    agent_owners_init(&o);
    o.known = true;
    o.doubt = answer->unnamed > 0;
    for (size_t i = 0; i < answer->holders.n && !r; i++)
        r = take_holder(&o, &answer->holders.items[i]);
    for (size_t i = 0; i < answer->claimed.n && !r; i++)
        r = take_claimed(&o, &answer->claimed.items[i]);
    if (r) {
        agent_owners_done(&o);
        return err_set(e, r, "no room for who holds the GPUs");
    }
    *ret = o;
    return 0;
}
