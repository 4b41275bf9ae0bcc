// SPDX-License-Identifier: Apache-2.0
/*
 * Text in cells of a terminal: how wide it is, and how it is cut. Names come from the network:
 * control characters and bad UTF-8 become '?', so that a terminal never obeys them.
 */
#pragma once

#include "base/buf.h"

enum top_cut { TOP_CUT_END, TOP_CUT_MIDDLE }; // of pods' names both ends tell something

// Columns that the text takes: wide East Asian characters two, combining ones none. Without `utf8`
// every character beyond ASCII is shown as '?'.
size_t top_text_width(struct str s, bool utf8);
// Appends the text in at most `width` columns, an ellipsis ('~' without `utf8`) where something is
// left out. Returns the columns written.
size_t top_text_add(struct buf *b, struct str s, size_t width, enum top_cut cut, bool utf8);
