// SPDX-License-Identifier: Apache-2.0
/* See page_failure.h. */
#include "scaler/page_failure.h"

#include "base/err.h"
#include "source/scrape.h"

static enum page_trouble judge(int failure, int code, int64_t lasts_ns, int64_t max_age_ns) {
    if (failure != FETCH_STATUS)
        return PAGE_FAILS;
    if (code == ERR_AUTH || code == ERR_NOTFOUND)
        return PAGE_REFUSES;
    return lasts_ns >= max_age_ns ? PAGE_ERRS : PAGE_FAILS;
}

enum page_trouble page_failure_take(struct page_failure *f, int failure, int code, int64_t now_ns,
                                    int64_t max_age_ns) {
    if (f->since_ns == 0)
        f->since_ns = now_ns;
    enum page_trouble now = judge(failure, code, now_ns - f->since_ns, max_age_ns);
    if (now <= f->told)
        return PAGE_NOTHING;
    f->told = now;
    return now;
}

const char *page_failure_remedy(int failure, int code) {
    if (failure == FETCH_STATUS && code == ERR_AUTH)
        return "the page wants a token, which the scaler does not send: let the engine show it "
               "without one (metricsPort: a port of its own), a mesh's policy admit the scaler "
               "(403), or size by a query of Prometheus (query.NAME)";
    if (failure == FETCH_STATUS && code == ERR_NOTFOUND)
        return "there is no page: engine, metricsPort and metricsPath say where it is";
    return "";
}
