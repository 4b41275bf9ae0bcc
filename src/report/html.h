// SPDX-License-Identifier: Apache-2.0
/*
 * The page (web/, put together at build): served live, or with a run inside as a report that needs
 * nothing else and opens from disk.
 */
#pragma once

#include "report/live.h"

// Appends the page that reads its frames from /api/v1/live beside it. 0; ERR_LIMIT, ERR_NOMEM of
// the buffer, which needs LIMIT_PAGE_HTML_BYTES.
int html_page(struct buf *b);
// HTTP header lines to serve it with; its policy allows its own scripts and styles alone, by their
// hashes.
const char *html_headers(void);
// Appends the page with the run inside. 0; ERR_LIMIT, ERR_NOMEM of the buffer; ERR_NOTFOUND: the
// log has no hello.
int html_report(struct buf *b, const struct live *l);
