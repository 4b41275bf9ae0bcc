// SPDX-License-Identifier: Apache-2.0
/*
 * Who we say we are in a request: a bearer token, or a user with a password. The secret stands in a
 * file, which is read for each request: a rotated one is used at once, none stays in memory longer
 * than its request. Where a token came from no file (a credential plugin), it is kept, and wiped
 * when it goes. No secret is ever part of a message.
 */
#pragma once

#include "web/fetch.h"

struct fetch_auth_files {
    const char *bearer_file;              // a token; or
    const char *username, *password_file; // both
};

// Copies the names and reads the files once. ERR_AUTH: a file that cannot be read, is empty, too
// long (LIMIT_SECRET_BYTES) or holds more than one line of text; the message has its name.
int fetch_auth_new(struct fetch_auth **ret, const struct fetch_auth_files *files, struct err *e);
// A token as it is; `place` names where it came from. ERR_AUTH: as above, for the token.
int fetch_auth_new_token(struct fetch_auth **ret, struct str token, const char *place,
                         struct err *e);
struct fetch_auth *fetch_auth_free(struct fetch_auth *auth); // while its requests run, too
