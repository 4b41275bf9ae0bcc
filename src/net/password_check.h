// SPDX-License-Identifier: Apache-2.0
/*
 * bcrypt: is this the password of that hash? One check costs 60 ms and more, on purpose: it runs on
 * a work thread, one at a time, and what was right is remembered by a keyed digest of user, hash
 * and password. A user who does not exist costs what one who does costs. The loop's thread.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

enum password_verdict { PASSWORD_RIGHT, PASSWORD_WRONG, PASSWORD_BUSY }; // busy: not looked at

struct password_checks;

// "$2a$", "$2b$" or "$2y$", a cost of 4 to PASSWORD_COST_MAX, 53 characters: 0, ERR_INVALID with
// what it lacks, without the hash.
enum { PASSWORD_COST_MAX = 15 }; // 2 s; each step doubles it
int password_hash_check(const char *hash, struct err *e);
int password_hash_cost(const char *hash); // of a good one

// ERR_NOMEM, ERR_IO.
int password_checks_new(struct password_checks **ret, uv_loop_t *loop, struct err *e);
// Who waits is told "busy"; the loop must turn until a running check has ended. NULL-safe; not from
// inside `done`.
struct password_checks *password_checks_free(struct password_checks *p);
void password_checks_forget(struct password_checks *p); // what was right

struct password_question {
    struct str user, password; // copied, and wiped
    const char *hash;          // copied; NULL: there is no such user,
    int cost;                  // whose check costs as much as one of this cost
};
// `done` is called once: inside the call for what is remembered or refused, else from the loop.
void password_check(struct password_checks *p, const struct password_question *q,
                    void (*done)(void *ctx, enum password_verdict verdict), void *ctx);
