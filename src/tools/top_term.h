// SPDX-License-Identifier: Apache-2.0
/*
 * The terminal of `gpuscale top`: raw mode on the alternate screen, frames written in one piece,
 * and the terminal as it was again however the program ends (also by a signal that kills it,
 * SIGKILL excepted). One at a time: signal handlers know it.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

// ERR_IO: there is no terminal.
int top_term_open(int *ret_input, struct err *e); // keys are read from *ret_input; owned by it
void top_term_enter(void);                        // (again, after top_term_leave)
void top_term_leave(void);                        // as it was
void top_term_close(void);
// Width and height of standard output's terminal; 80x24 where it does not tell.
void top_term_size(unsigned *ret_width, unsigned *ret_height);
// Shows a frame whose lines end with '\n' over the one before. ERR_IO: the terminal is gone.
int top_term_draw(const struct buf *frame);
// By the locale's variables: does the terminal show UTF-8?
bool top_term_utf8(void);
// Is standard output a terminal that obeys ANSI sequences (not TERM=dumb)?
bool top_term_capable(void);
