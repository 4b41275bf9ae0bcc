// SPDX-License-Identifier: Apache-2.0
/*
 * promql_enforce LABEL VALUE: reads queries that end with a NUL byte, writes for each "+QUERY" with
 * the matcher added, or "-REASON", ended likewise.
 */
#include <stdio.h>

#include "base/limits.h"
#include "core/metrics/promql_enforce.h"

int main(int argc, char **argv) {
    static char query[LIMIT_PROMQL_BYTES + 1];
    size_t n = 0;
    if (argc != 3)
        return 2;
    for (int c; (c = getchar()) != EOF;) {
        if (c != '\0') {
            if (n < sizeof(query))
                query[n++] = (char)c;
            continue;
        }
        struct buf out;
        struct err e = {0};
        buf_init(&out, 2 * LIMIT_PROMQL_BYTES);
        int r = promql_enforce(&out, (struct str){query, n}, str_from(argv[1]), str_from(argv[2]),
                               &e);
        if (r == 0)
            printf("+%.*s", (int)out.len, out.p);
        else
            printf("-%s", e.msg);
        putchar('\0');
        buf_done(&out);
        n = 0;
    }
    return 0;
}
