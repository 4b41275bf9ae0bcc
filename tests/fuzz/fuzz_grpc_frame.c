// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC framing: the messages of any bytes are the same out of one piece and of pieces (the first
 * byte says how large); timeouts and texts are read and written back.
 */
#include "base/utf8.h"
#include "fuzz.h"
#include "net/grpc_frame.h"

struct sum {
    uint64_t hash;
    int end;
};

static struct sum read_all(const uint8_t *data, size_t size, size_t piece) {
    struct grpc_reader r;
    struct grpc_message m;
    struct sum s = {0};
    grpc_reader_init(&r, 4096);
    for (size_t at = 0; at < size && s.end >= 0; at += piece) {
        const uint8_t *p = data + at;
        size_t n = size - at < piece ? size - at : piece;
        while (n > 0 && (s.end = grpc_reader_next(&r, &p, &n, &m, NULL)) >= 0) {
            if (s.end == 0)
                continue;
            require(m.n <= 4096);
            for (size_t i = 0; i < m.n; i++)
                s.hash = (s.hash ^ m.p[i]) * UINT64_C(0x100000001b3);
            s.hash = (s.hash ^ m.n ^ m.compressed) * UINT64_C(0x100000001b3);
        }
    }
    if (s.end >= 0)
        s.end = grpc_reader_partial(&r);
    grpc_reader_done(&r);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct sum whole = read_all(data + 1, size - 1, SIZE_MAX / 2);
    struct sum pieces = read_all(data + 1, size - 1, (size_t)data[0] % 16 + 1);
    require(whole.hash == pieces.hash && whole.end == pieces.end);

    struct str text = {(const char *)data, size};
    char decoded[512], encoded[3 * 512], again[512], timeout[GRPC_TIMEOUT_MAX];
    size_t n = grpc_text_decode(decoded, sizeof(decoded), text);
    require(utf8_valid(decoded, n));
    grpc_text_encode(encoded, sizeof(encoded), (struct str){decoded, n});
    grpc_text_decode(again, sizeof(again), str_from(encoded));
    require(strcmp(decoded, again) == 0);

    int64_t ns, back;
    if (grpc_timeout_parse(text, &ns) == 0) {
        grpc_timeout_format(ns, timeout);
        require(grpc_timeout_parse(str_from(timeout), &back) == 0 && back >= ns);
    }
    return 0;
}
