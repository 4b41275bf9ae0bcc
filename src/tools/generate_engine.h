// SPDX-License-Identifier: Apache-2.0
/*
 * Which inference engine a workload runs, and where its metrics page is: read from image, command,
 * arguments, environment and ports of its containers. A table of clues (generate_engine.c); a
 * guess always says what it was made of. Arguments may hold secrets: only the word that was
 * recognised is ever repeated.
 */
#pragma once

#include "core/engine/preset.h"
#include "manifest/workload.h"

enum { ENGINE_GUESS_NOTES = 8 };

struct engine_guess {
    const struct engine_preset *preset; // NULL: not recognised, and `why` says what was looked at
    const struct manifest_program *program; // the container that serves
    const char *why;
    uint16_t port; // of the metrics page; 0: there is none
    const char *port_why;
    const char *parallel; // llama.cpp: its slots, as its arguments say; NULL
    // What will not work as the workload stands, each a sentence.
    const char *notes[ENGINE_GUESS_NOTES];
    size_t n_notes;
};

// `name` (NULL: none) is the preset that the user said. Texts live in the arena. ERR_NOTFOUND (no
// such preset, with the nearest), ERR_LIMIT or ERR_NOMEM.
int engine_guess_make(const struct manifest_scalable *w, const char *name, struct arena *a,
                      struct engine_guess *ret, struct err *e);
