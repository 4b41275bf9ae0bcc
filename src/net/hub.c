// SPDX-License-Identifier: Apache-2.0
/*
 * End-of-turn work. Items posted while items run wait for the next turn, so that streams which keep
 * one another busy cannot starve the loop's timers.
 */
#include "net/hub.h"

#include <assert.h>

#include "base/mem.h"

// The hubs of this thread's loops (one, outside of tests). uv_loop_t.data stays the caller's, and
// uv_loop_init() leaves it as it was found.
static _Thread_local struct net_hub *hubs;

static void list_add(struct net_hub_item *head, struct net_hub_item *item) {
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static bool list_empty(const struct net_hub_item *head) {
    return head->next == head;
}

void net_hub_drop(struct net_hub_item *item) {
    if (!item->next)
        return;
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->next = item->prev = NULL;
}

static void on_idle(uv_idle_t *idle) {
}

static void on_check(uv_check_t *check) {
    struct net_hub *hub = check->data;
    if (list_empty(&hub->posted)) { // what was posted was dropped: the loop may sleep
        uv_idle_stop(&hub->idle);
        return;
    }
    struct net_hub_item now;
    now.next = hub->posted.next;
    now.prev = hub->posted.prev;
    now.next->prev = now.prev->next = &now;
    hub->posted.next = hub->posted.prev = &hub->posted;
    hub->refs++; // the last stream may go while its item runs
    while (!list_empty(&now)) {
        struct net_hub_item *item = now.next;
        net_hub_drop(item);
        item->run(item);
    }
    if (list_empty(&hub->posted))
        uv_idle_stop(&hub->idle);
    net_hub_unref(hub);
}

void net_hub_post(struct net_hub *hub, struct net_hub_item *item) {
    if (item->next)
        return;
    if (list_empty(&hub->posted))
        uv_idle_start(&hub->idle, on_idle);
    list_add(&hub->posted, item);
}

struct net_hub *net_hub_ref(uv_loop_t *loop) {
    for (struct net_hub *h = hubs; h; h = h->next)
        if (h->loop == loop) {
            h->refs++;
            return h;
        }
    struct net_hub *hub = mem_zalloc(sizeof(*hub));
    if (!hub)
        return NULL;
    hub->loop = loop;
    hub->refs = 1;
    hub->open_handles = 2;
    hub->posted.next = hub->posted.prev = &hub->posted;
    uv_check_init(loop, &hub->check);
    uv_idle_init(loop, &hub->idle);
    hub->check.data = hub->idle.data = hub;
    uv_check_start(&hub->check, on_check);
    uv_unref((uv_handle_t *)&hub->check); // alone it keeps no loop alive
    hub->next = hubs;
    hubs = hub;
    return hub;
}

static void on_handle_closed(uv_handle_t *h) {
    struct net_hub *hub = h->data;
    if (--hub->open_handles == 0)
        mem_free(hub);
}

void net_hub_unref(struct net_hub *hub) {
    if (--hub->refs > 0)
        return;
    assert(list_empty(&hub->posted));
    struct net_hub **at = &hubs;
    while (*at != hub)
        at = &(*at)->next;
    *at = hub->next;
    buf_done(&hub->spare);
    uv_close((uv_handle_t *)&hub->check, on_handle_closed);
    uv_close((uv_handle_t *)&hub->idle, on_handle_closed);
}
