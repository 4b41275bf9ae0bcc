// SPDX-License-Identifier: Apache-2.0
/*
 * nghttp2 1.52 and 1.60+ under one set of names: the later ones have functions in nghttp2_ssize
 * beside those in ssize_t, which they deprecate. Include this, never nghttp2.h.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#if NGHTTP2_VERSION_NUM >= 0x013c00
typedef nghttp2_ssize h2_ssize;
typedef nghttp2_data_provider2 h2_data_provider;
#define h2_mem_recv nghttp2_session_mem_recv2
#define h2_mem_send nghttp2_session_mem_send2
#define h2_submit_request nghttp2_submit_request2
#define h2_submit_response nghttp2_submit_response2
#else
typedef ssize_t h2_ssize;
typedef nghttp2_data_provider h2_data_provider;
#define h2_mem_recv nghttp2_session_mem_recv
#define h2_mem_send nghttp2_session_mem_send
#define h2_submit_request nghttp2_submit_request
#define h2_submit_response nghttp2_submit_response
#endif
