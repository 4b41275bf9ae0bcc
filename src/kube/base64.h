// SPDX-License-Identifier: Apache-2.0
/* Base64 (RFC 4648, with padding) as kubeconfigs and Secrets hold it. */
#pragma once

#include "base/buf.h"

// Appends the bytes; white space between the characters is passed over, as a folded YAML text has
// it. ERR_PARSE, ERR_LIMIT, ERR_NOMEM.
int kube_base64_decode(struct buf *out, struct str text);
