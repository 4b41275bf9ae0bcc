// SPDX-License-Identifier: Apache-2.0
/* Answers of Prometheus' HTTP API: any bytes; a number is finite and not negative, anything else
 * has a reason that is text on one line. */
#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "web/prom_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s) {
    if (!utf8_valid(s, strlen(s)) || strchr(s, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct prom_answer a;
    struct err e = {0};
    struct str body = {(const char *)data, size};
    int r = prom_answer_parse(body, &a, &e);
    if (r != 0 && (r != ERR_PARSE || e.msg[0] == '\0'))
        abort();
    if (r != 0) {
        check_text(e.msg);
        return 0;
    }
    check_text(a.text);
    if (a.state == EXTERNAL_GOOD ? !(isfinite(a.value) && a.value >= 0 && a.text[0] == '\0')
                                 : a.text[0] == '\0' || a.value != 0)
        abort();
    return 0;
}
