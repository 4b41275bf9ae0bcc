// SPDX-License-Identifier: Apache-2.0
/*
 * Small readers of base: numbers agree with strtod and read back when printed, durations read back
 * when printed, JSON strings are valid UTF-8 without control bytes.
 */
#include <math.h>

#include "base/buf.h"
#include "base/units.h"
#include "base/utf8.h"
#include "fuzz.h"

static void check_double(struct str text) {
    double v, back, c;
    if (str_to_double(text, &v) < 0)
        return;
    char copy[600];
    require(text.n < sizeof(copy));
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    c = strtod(copy, NULL);
    require(isnan(v) ? isnan(c) : v == c);
    CLEANUP_BUF struct buf b;
    buf_init(&b, 64);
    require(buf_add_double(&b, v) == 0);
    require(str_to_double(buf_str(&b), &back) == 0);
    require(isnan(v) ? isnan(back) : v == back);
}

static void check_units(struct str text) {
    int64_t ns, back;
    uint64_t bytes;
    double quantity;
    char printed[32];
    if (units_parse_duration_ns(text, &ns) == 0) {
        require(ns >= 0);
        units_format_duration(ns, printed, sizeof(printed));
        require(units_parse_duration_ns(str_from(printed), &back) == 0 && back == ns);
    }
    if (units_parse_bytes(text, &bytes) == 0)
        units_format_bytes(bytes, printed, sizeof(printed));
    if (units_parse_quantity(text, &quantity) == 0)
        require(isfinite(quantity));
}

static void check_json(struct str text) {
    CLEANUP_BUF struct buf b;
    buf_init(&b, text.n * 6 + 2); // the longest escape of a byte has 6
    require(buf_add_json(&b, text) == 0);
    require(b.len >= 2 && b.p[0] == '"' && b.p[b.len - 1] == '"');
    require(utf8_valid(b.p, b.len));
    for (size_t i = 0; i < b.len; i++)
        require((unsigned char)b.p[i] >= 0x20 && b.p[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = {(const char *)data, size};
    check_double(text);
    check_units(text);
    check_json(text);
    size_t valid = utf8_valid_prefix(text.p, text.n);
    require(valid <= size && utf8_valid(text.p, valid));
    return 0;
}
