// SPDX-License-Identifier: Apache-2.0
/* The scaler's own /metrics page, made from the io thread's state when it is asked for. */
#pragma once

#include "core/metrics/prom_write.h"

struct io;

// Appends the page. 0, ERR_LIMIT or ERR_NOMEM (nothing appended).
int metrics_page_render(const struct io *io, enum prom_format format, struct buf *out);
