// SPDX-License-Identifier: Apache-2.0
/* The page as it was put together at build (web/bundle.py); see the header. */
#include "report/html.h"

#include "page.html.h"

int html_page(struct buf *b) {
    (void)buf_add(b, page_head, sizeof(page_head));
    (void)buf_add(b, page_tail, sizeof(page_tail));
    return b->err;
}

const char *html_headers(void) {
    return "Content-Security-Policy: " PAGE_POLICY "; frame-ancestors 'none'\r\n"
           "X-Content-Type-Options: nosniff\r\n"
           "Referrer-Policy: no-referrer\r\n"
           "Cache-Control: no-cache\r\n";
}

int html_report(struct buf *b, const struct live *l) {
    (void)buf_add(b, page_head, sizeof(page_head));
    (void)buf_addc(b, "<script type=\"application/json\" id=\"run\">");
    int rc = live_json(b, l);
    if (rc < 0)
        return rc;
    (void)buf_addc(b, "</script>\n");
    (void)buf_add(b, page_tail, sizeof(page_tail));
    return b->err;
}
