// SPDX-License-Identifier: Apache-2.0
/*
 * What the streams of one loop share (internal to net): the buffer that all of them read into, and
 * the list of those with work for the end of the loop turn. A hub exists while a loop has streams.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"

enum { NET_READ_BYTES = 64 << 10 };

struct net_hub_item {
    struct net_hub_item *next, *prev; // NULL: not posted
    void (*run)(struct net_hub_item *item);
};

struct net_hub {
    struct net_hub *next; // of this thread
    uv_loop_t *loop;
    uv_check_t check; // after polling: runs what was posted
    uv_idle_t idle;   // active while something is posted: the loop does not sleep then
    struct net_hub_item posted;
    struct buf spare; // a drained stream's memory for the next one that writes; max 0: none yet
    unsigned refs, open_handles;
    uint8_t read_buf[NET_READ_BYTES]; // valid during one callback
};

struct net_hub *net_hub_ref(uv_loop_t *loop); // NULL: no memory
void net_hub_unref(struct net_hub *hub);
// `item->run` is called once at the end of this or the next turn; posting twice is posting once.
void net_hub_post(struct net_hub *hub, struct net_hub_item *item);
void net_hub_drop(struct net_hub_item *item); // not run; safe when not posted
