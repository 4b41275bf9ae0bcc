// SPDX-License-Identifier: Apache-2.0
/* Base64, decoded strictly: what is not canonical is refused. */
#include "kube/base64.h"

#include "base/err.h"

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int kube_base64_decode(struct buf *out, struct str text) {
    uint32_t bits = 0;
    unsigned n = 0, padding = 0; // characters of the group that runs; '=' among them
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        int v = value_of(c);
        if (c == '=' && n >= 2)
            padding++, v = 0;
        else if (v < 0 || padding > 0)
            return ERR_PARSE;
        bits = bits << 6 | (uint32_t)v;
        if (++n < 4)
            continue;
        if ((padding == 1 && (bits & 0xff)) || (padding == 2 && (bits & 0xffff)))
            return ERR_PARSE;
        const char bytes[] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        int r = buf_add(out, bytes, 3 - padding);
        if (r < 0)
            return r;
        n = 0;
        bits = 0;
    }
    return n == 0 ? 0 : ERR_PARSE;
}
