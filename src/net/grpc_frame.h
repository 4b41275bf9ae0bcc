// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of gRPC's wire format that are not HTTP/2's (grpc/grpc doc/PROTOCOL-HTTP2.md): length-
 * prefixed messages out of any split of bytes, grpc-timeout, and percent-encoded grpc-message.
 * Pure: bytes in, bytes out.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { GRPC_PREFIX_BYTES = 5 };

// Reassembles messages: flag byte (0 plain, 1 compressed), 4 bytes length big-endian, bytes.
struct grpc_reader {
    uint8_t prefix[GRPC_PREFIX_BYTES];
    uint8_t have_prefix; // bytes of it
    bool took;           // the message in `body` was handed out
    struct buf body;     // empty while messages arrive whole
};

struct grpc_message {
    const uint8_t *p; // into the chunk or the reader: valid until the reader's next call
    size_t n;
    bool compressed;
};

// `max`: bytes of one message.
void grpc_reader_init(struct grpc_reader *r, size_t max);
void grpc_reader_done(struct grpc_reader *r);
// Takes from the chunk [*p, *p + *n) and advances it. 1: *ret is the next message (call again: the
// chunk may hold more); 0: the chunk is used up; ERR_LIMIT: a message longer than `max`; ERR_PROTO:
// a flag that is neither 0 nor 1; ERR_NOMEM. After an error the reader is not to be used.
int grpc_reader_next(struct grpc_reader *r, const uint8_t **p, size_t *n, struct grpc_message *ret,
                     struct err *e);
// Whether bytes of an incomplete message wait (a stream that ends now was cut).
bool grpc_reader_partial(const struct grpc_reader *r);

void grpc_prefix_write(uint8_t dst[GRPC_PREFIX_BYTES], uint32_t len);

// "5S", "100m": 1 to 8 digits and one of H M S m u n. 0 or ERR_PARSE. Too long for an int64_t
// counts as INT64_MAX.
int grpc_timeout_parse(struct str s, int64_t *ret_ns);
// The other way, rounded up to what 8 digits hold.
enum { GRPC_TIMEOUT_MAX = 12 };
void grpc_timeout_format(int64_t ns, char dst[GRPC_TIMEOUT_MAX]);

// Percent-encodes into dst[cap] (NUL-terminated); returns the length. Cut at a character's boundary
// when it does not fit; bytes that are not UTF-8 become '?'.
size_t grpc_text_encode(char *dst, size_t cap, struct str text);
// Decodes; escapes that are none stay as they are; what is not UTF-8 becomes '?', NUL too.
size_t grpc_text_decode(char *dst, size_t cap, struct str encoded);
