// SPDX-License-Identifier: Apache-2.0
/*
 * What the gRPC server's and client's connections share of HTTP/2: nghttp2 sessions made with this
 * project's limits and allocator, header fields without copies, and the budget for frames that
 * cost work and carry none. No I/O: bytes go in and out through nghttp2's memory calls.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/h2_compat.h"

// Options with the limits of base/limits.h: 0 or ERR_NOMEM. nghttp2_option_del() frees.
// SETTINGS_NO_RFC7540_PRIORITIES is not sent: it saves nothing that can be measured, and nghttp2
// 1.52 then frees a DATA item twice when memory runs out (seen with every allocation failing).
int h2_options_new(nghttp2_option **ret);
const nghttp2_mem *h2_mem(void); // base/mem.h for nghttp2

// A header field whose name and value outlive the frame (literals mostly).
nghttp2_nv h2_nv(const char *name, const char *value);
// One whose value is copied, and never enters the compression table.
nghttp2_nv h2_nv_once(const char *name, struct str value);

// A token bucket over frames that carry nothing: PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, empty
// DATA and whatever is unknown. Frames that carry something pay in, so that a client which probes
// bandwidth with a PING for each DATA (grpc-go does) is never struck; nor is a slow keepalive.
struct h2_budget {
    double tokens;
    int64_t at_ns;
};
void h2_budget_init(struct h2_budget *b, int64_t now_ns);
bool h2_budget_take(struct h2_budget *b, const nghttp2_frame_hd *hd, int64_t now_ns);
void h2_budget_earn(struct h2_budget *b, const nghttp2_frame_hd *hd);
