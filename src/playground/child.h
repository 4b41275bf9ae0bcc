// SPDX-License-Identifier: Apache-2.0
/*
 * A program that the demo spawned: its log goes to a file and is read for the ports it listens on;
 * it is ended by pid, and gets SIGTERM should the demo itself be killed (setpriv --pdeathsig), at
 * whatever moment.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"

enum { CHILD_ADDR_LEN = 128, CHILD_ARGS_MAX = 48 };

struct child;

struct child_callbacks {
    void (*listening)(void *ctx, const char *server, const char *addr); // one a port
    void (*ready)(void *ctx);                                           // msg=ready; may be NULL
    void (*line)(void *ctx, struct str line);          // of stdout; NULL: it is not read
    void (*exited)(void *ctx, int status, int signal); // once, last, also after its last line
    void *ctx;
};

// argv[0] is the program's path, at most CHILD_ARGS_MAX of them; `log_path` is truncated.
// ERR_LIMIT, ERR_IO (also when there is no such program), ERR_UNSUPPORTED (there is no setpriv),
// ERR_NOMEM: no callback follows.
int child_spawn(struct child **ret, uv_loop_t *loop, const char *const *argv, const char *log_path,
                const struct child_callbacks *callbacks, struct err *e);
int child_pid(const struct child *c);
void child_signal(struct child *c, int signum);
void child_terminate(struct child *c); // SIGTERM; `exited` follows
void child_kill(struct child *c);      // SIGKILL; `exited` follows
