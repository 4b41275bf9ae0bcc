// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus text: any bytes; the same samples, or the same fault, must come out of one piece and
 * of pieces; views must be readable and labels distinct.
 */
#include "base/utf8.h"
#include "core/metrics/prom_parse.h"
#include "fuzz.h"

static uint64_t mix(uint64_t h, const void *p, size_t n) {
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * UINT64_C(0x100000001b3);
    return (h ^ n) * UINT64_C(0x100000001b3);
}

static int on_sample(void *ctx, const struct prom_sample *s, struct err *e) {
    uint64_t *h = ctx;
    (void)e;
    require(s->name.n > 0 && utf8_valid(s->name.p, s->name.n));
    *h = mix(*h, s->name.p, s->name.n);
    for (size_t i = 0; i < s->n_labels; i++) {
        require(s->labels[i].name.n > 0 && utf8_valid(s->labels[i].value.p, s->labels[i].value.n));
        for (size_t j = 0; j < i; j++)
            require(!str_eq(s->labels[i].name, s->labels[j].name));
        *h = mix(*h, s->labels[i].name.p, s->labels[i].name.n);
        *h = mix(*h, s->labels[i].value.p, s->labels[i].value.n);
    }
    *h = mix(*h, &s->value, sizeof(s->value));
    *h = mix(*h, &s->timestamp_ms, sizeof(s->timestamp_ms));
    *h = mix(*h, &s->type, sizeof(s->type));
    *h = mix(*h, &s->line, sizeof(s->line));
    return 0;
}

static int parse(const char *p, size_t n, size_t step, struct err *e, uint64_t *h) {
    struct prom_parser pp;
    prom_parser_init(&pp, on_sample, h);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i += step)
        r = prom_parser_feed(&pp, p + i, n - i < step ? n - i : step, e);
    if (r == 0)
        r = prom_parser_finish(&pp, n & 1, e);
    require((r == 0) == (prom_parser_fault(&pp) == PROM_FAULT_NONE));
    prom_parser_done(&pp);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const char *p = (const char *)data;
    struct err whole = {0}, pieces = {0};
    uint64_t h1 = 1, h2 = 1;
    int a = parse(p, size, size, &whole, &h1);
    int b = parse(p, size, 1 + data[0] % 40u, &pieces, &h2);
    require(a == b && h1 == h2 && strcmp(whole.msg, pieces.msg) == 0);
    return 0;
}
