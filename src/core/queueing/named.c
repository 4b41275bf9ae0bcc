// SPDX-License-Identifier: Apache-2.0
/* See named.h. */
#include "core/queueing/named.h"

#include <stdio.h>

enum { LIST_MAX = 256 };

int named_find(const char *what, struct str name, const char *const *names, unsigned *ret,
               struct err *e) {
    char list[LIST_MAX] = "";
    size_t at = 0;
    for (unsigned i = 0; names[i]; i++) {
        if (str_eqc(name, names[i])) {
            *ret = i;
            return 0;
        }
        int n = snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", names[i]);
        if (n > 0 && (size_t)n < sizeof(list) - at)
            at += (size_t)n;
    }
    const char *near = str_nearest(name, names);
    return err_set(e, ERR_NOTFOUND, "there is no %s '" STR_FMT "'%s%s%s; there are %s", what,
                   STR_ARG(name), near ? "; did you mean '" : "", near ? near : "",
                   near ? "'?" : "", list);
}
