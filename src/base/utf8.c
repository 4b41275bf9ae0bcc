// SPDX-License-Identifier: Apache-2.0
/* UTF-8 validation after the Unicode standard's table 3-7 (well-formed byte sequences). */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

// Length of the well-formed sequence at p (n > 0 bytes there), 0 when it is not one.
static size_t sequence(const unsigned char *p, size_t n) {
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    unsigned char low = 0x80, high = 0xbf; // what the second byte may be
    size_t len;
    if (c >= 0xc2 && c <= 0xdf) {
        len = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        len = 3;
        low = c == 0xe0 ? 0xa0 : 0x80;  // shortest form only
        high = c == 0xed ? 0x9f : 0xbf; // no surrogates
    } else if (c >= 0xf0 && c <= 0xf4) {
        len = 4;
        low = c == 0xf0 ? 0x90 : 0x80;
        high = c == 0xf4 ? 0x8f : 0xbf; // nothing above U+10FFFF
    } else {
        return 0;
    }
    if (n < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

size_t utf8_valid_prefix(const char *p, size_t n) {
    const unsigned char *u = (const unsigned char *)p;
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        if (n - i >= sizeof(word)) {
            memcpy(&word, u + i, sizeof(word));
            if (!(word & UINT64_C(0x8080808080808080))) {
                i += sizeof(word);
                continue;
            }
        }
        size_t len = sequence(u + i, n - i);
        if (len == 0)
            return i;
        i += len;
    }
    return n;
}
