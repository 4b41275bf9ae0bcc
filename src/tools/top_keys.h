// SPDX-License-Identifier: Apache-2.0
/* Bytes of a terminal's keyboard to keys. Pure. */
#pragma once

#include "base/str.h"

enum top_key {
    TOP_KEY_NONE, // more bytes are needed
    TOP_KEY_UNKNOWN,
    TOP_KEY_TEXT, // ret_text: one character, printable
    TOP_KEY_ENTER,
    TOP_KEY_ESCAPE,
    TOP_KEY_BACKSPACE,
    TOP_KEY_TAB,
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_PAGE_UP,
    TOP_KEY_PAGE_DOWN,
    TOP_KEY_HOME,
    TOP_KEY_END,
};

// Takes one key off the front of *in. A lone ESC at the end of what came is the Escape key: a
// terminal sends a longer sequence in one piece.
enum top_key top_key_next(struct str *in, struct str *ret_text);
