// SPDX-License-Identifier: Apache-2.0
/* Keys of ANSI terminals; see the header. */
#include "tools/top_keys.h"

#include "base/mem.h"
#include "base/utf8.h"

static const struct {
    const char *bytes;
    enum top_key key;
} sequences[] = {
    {"[A", TOP_KEY_UP},    {"OA", TOP_KEY_UP},       {"[B", TOP_KEY_DOWN},
    {"OB", TOP_KEY_DOWN},  {"[5~", TOP_KEY_PAGE_UP}, {"[6~", TOP_KEY_PAGE_DOWN},
    {"[H", TOP_KEY_HOME},  {"OH", TOP_KEY_HOME},     {"[1~", TOP_KEY_HOME},
    {"[7~", TOP_KEY_HOME}, {"[F", TOP_KEY_END},      {"OF", TOP_KEY_END},
    {"[4~", TOP_KEY_END},  {"[8~", TOP_KEY_END},     {"[Z", TOP_KEY_TAB},
};

static struct str cut(struct str *in, size_t n) {
    struct str taken = {in->p, n};
    *in = (struct str){in->p + n, in->n - n};
    return taken;
}

// Behind ESC: its length, 0 when its end has not come.
static size_t sequence_length(struct str s) {
    if (s.p[0] == 'O')
        return s.n >= 2 ? 2 : 0;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] >= 0x40 && s.p[i] <= 0x7e)
            return i + 1;
    return 0;
}

static enum top_key escape(struct str *in) {
    struct str rest = {in->p + 1, in->n - 1};
    if (rest.n == 0 || (rest.p[0] != '[' && rest.p[0] != 'O')) {
        (void)cut(in, 1);
        return TOP_KEY_ESCAPE;
    }
    size_t n = sequence_length(rest);
    if (n == 0)
        return TOP_KEY_NONE;
    struct str sequence = cut(in, n + 1);
    sequence = (struct str){sequence.p + 1, n};
    for (size_t i = 0; i < COUNT_OF(sequences); i++)
        if (str_eqc(sequence, sequences[i].bytes))
            return sequences[i].key;
    return TOP_KEY_UNKNOWN;
}

static enum top_key text(struct str *in, struct str *ret) {
    unsigned char c = (unsigned char)in->p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n > in->n && c >= 0xc2 && c <= 0xf4)
        return TOP_KEY_NONE;
    if (n > in->n || !utf8_valid(in->p, n)) {
        (void)cut(in, 1);
        return TOP_KEY_UNKNOWN;
    }
    *ret = cut(in, n);
    return TOP_KEY_TEXT;
}

enum top_key top_key_next(struct str *in, struct str *ret_text) {
    if (in->n == 0)
        return TOP_KEY_NONE;
    switch (in->p[0]) {
    case '\033':
        return escape(in);
    case '\r':
    case '\n':
        (void)cut(in, 1);
        return TOP_KEY_ENTER;
    case '\t':
        (void)cut(in, 1);
        return TOP_KEY_TAB;
    case '\b':
    case 0x7f:
        (void)cut(in, 1);
        return TOP_KEY_BACKSPACE;
    default:
        if ((unsigned char)in->p[0] >= 0x20)
            return text(in, ret_text);
        (void)cut(in, 1);
        return TOP_KEY_UNKNOWN;
    }
}
