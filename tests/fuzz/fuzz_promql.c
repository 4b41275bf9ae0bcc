// SPDX-License-Identifier: Apache-2.0
/*
 * A label enforced in any text. What is written has no comment and only double-quoted strings,
 * every brace outside of strings closes behind our matcher, and reading it again finds
 * the same selectors, each with the matcher twice.
 */
#include "base/limits.h"
#include "core/metrics/promql_enforce.h"
#include "fuzz.h"

#define OURS "ns=\"a\""

// Behind the string that begins at s.p[i].
static size_t skip_string(struct str s, size_t i) {
    for (i++; i < s.n && s.p[i] != '"'; i++)
        if (s.p[i] == '\\')
            i++;
    return i + 1;
}

static void check(struct str s) {
    bool open = false;
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '"':
            i = skip_string(s, i) - 1;
            if (i >= s.n)
                abort();
            break;
        case '#':
        case '\'':
        case '`':
        case '\n':
            abort();
        case '{':
            if (open)
                abort();
            open = true;
            break;
        case '}':
            if (!open || i < sizeof(OURS) ||
                memcmp(s.p + i - (sizeof(OURS) - 1), OURS, sizeof(OURS) - 1) != 0 ||
                (s.p[i - sizeof(OURS)] != '{' && s.p[i - sizeof(OURS)] != ','))
                abort();
            open = false;
            break;
        }
    }
    if (open)
        abort();
}

static size_t count(struct str s, const char *what) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            i = skip_string(s, i) - 1;
        else if (str_starts((struct str){s.p + i, s.n - i}, what))
            n++;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf once, twice;
    struct err e = {0};
    buf_init(&once, 2 * LIMIT_PROMQL_BYTES);
    buf_init(&twice, 2 * LIMIT_PROMQL_BYTES);
    struct str query = {(const char *)data, size};
    int r = promql_enforce(&once, query, STR("ns"), STR("a"), &e);
    if (r < 0 && (once.len > 0 || e.msg[0] == '\0' || strchr(e.msg, '\n')))
        abort();
    if (r == 0) {
        check(buf_str(&once));
        r = promql_enforce(&twice, buf_str(&once), STR("ns"), STR("a"), &e);
        if (r < 0 && r != ERR_LIMIT)
            abort();
        if (r == 0) {
            check(buf_str(&twice));
            size_t selectors = count(buf_str(&once), "{");
            if (count(buf_str(&twice), "{") != selectors ||
                twice.len != once.len + selectors * sizeof(OURS))
                abort();
        }
    }
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
