// SPDX-License-Identifier: Apache-2.0
/* Width and cutting of text; see the header. */
#include "tools/top_text.h"

#include <stdint.h>

#include "base/utf8.h"

struct glyph {
    struct str bytes; // what is written
    size_t used;      // bytes of the text
    size_t width;
};

static size_t length_of(unsigned char c) {
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static uint32_t code_of(const char *p, size_t n) {
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)p[0] & first[n];
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)p[i] & 0x3f);
    return code;
}

static bool within(uint32_t c, uint32_t from, uint32_t to) {
    return c >= from && c <= to;
}

static bool is_control(uint32_t c) { // and what turns the direction of writing
    return c < 0x20 || within(c, 0x7f, 0x9f) || within(c, 0x200b, 0x200f) ||
           within(c, 0x2028, 0x202e) || within(c, 0x2060, 0x206f) || c == 0xfeff;
}

static bool is_combining(uint32_t c) {
    return within(c, 0x300, 0x36f) || within(c, 0x1ab0, 0x1aff) || within(c, 0x20d0, 0x20ff) ||
           within(c, 0xfe00, 0xfe0f) || within(c, 0xfe20, 0xfe2f);
}

static bool is_wide(uint32_t c) {
    return within(c, 0x1100, 0x115f) || within(c, 0x2e80, 0xa4cf) || within(c, 0xac00, 0xd7a3) ||
           within(c, 0xf900, 0xfaff) || within(c, 0xfe30, 0xfe6f) || within(c, 0xff00, 0xff60) ||
           within(c, 0xffe0, 0xffe6) || within(c, 0x1f300, 0x1faff) || within(c, 0x20000, 0x3fffd);
}

static struct glyph next(struct str s, bool utf8) {
    static const struct str unknown = {"?", 1};
    size_t n = length_of((unsigned char)s.p[0]);
    if (n > s.n || !utf8_valid(s.p, n))
        return (struct glyph){unknown, 1, 1};
    uint32_t code = code_of(s.p, n);
    if (is_control(code) || (!utf8 && n > 1))
        return (struct glyph){unknown, n, 1};
    return (struct glyph){{s.p, n}, n, is_combining(code) ? 0 : is_wide(code) ? 2 : 1};
}

size_t top_text_width(struct str s, bool utf8) {
    size_t width = 0;
    while (s.n > 0) {
        struct glyph g = next(s, utf8);
        width += g.width;
        s = (struct str){s.p + g.used, s.n - g.used};
    }
    return width;
}

// Appends what fits into `width` columns and moves *s behind it.
static size_t add_front(struct buf *b, struct str *s, size_t width, bool utf8) {
    size_t done = 0;
    while (s->n > 0) {
        struct glyph g = next(*s, utf8);
        if (done + g.width > width)
            break;
        (void)buf_add_str(b, g.bytes);
        done += g.width;
        *s = (struct str){s->p + g.used, s->n - g.used};
    }
    return done;
}

size_t top_text_add(struct buf *b, struct str s, size_t width, enum top_cut cut, bool utf8) {
    size_t whole = top_text_width(s, utf8);
    if (whole <= width)
        return add_front(b, &s, width, utf8);
    if (width == 0)
        return 0;
    size_t tail = cut == TOP_CUT_MIDDLE ? (width - 1) / 2 : 0;
    size_t done = add_front(b, &s, width - 1 - tail, utf8);
    (void)buf_addc(b, utf8 ? "\xe2\x80\xa6" : "~");
    while (s.n > 0 && top_text_width(s, utf8) > tail) {
        struct glyph g = next(s, utf8);
        s = (struct str){s.p + g.used, s.n - g.used};
    }
    return done + 1 + add_front(b, &s, tail, utf8);
}
