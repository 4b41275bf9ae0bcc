// SPDX-License-Identifier: Apache-2.0
/*
 * How a verb reaches a running scaler: its TLS, and who asks. The same options, with the same
 * words, for each verb that does.
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include "net/tls.h"
#include "web/fetch_auth.h"

#define REACH_HELP                                                                                 \
    "  --ca FILE           authority of the scaler's certificate (PEM)\n"                          \
    "  --cert FILE         certificate to show to the scaler (PEM)\n"                              \
    "  --key FILE          its key\n"                                                              \
    "  --server-name NAME  the name in the scaler's certificate\n"                                 \
    "  --token-file FILE   a token of the Kubernetes API, for a scaler that asks for one\n"        \
    "                      (kubectl create token NAME)\n"                                          \
    "  --user NAME         a user of the scaler's web-config, whose password is in\n"              \
    "  --password-file FILE\n"

enum {
    REACH_CA = 1024, // beside a verb's own
    REACH_CERT,
    REACH_KEY,
    REACH_SERVER_NAME,
    REACH_TOKEN_FILE,
    REACH_USER,
    REACH_PASSWORD_FILE,
};

// clang-format off
#define REACH_OPTIONS                                                                              \
    {"ca", required_argument, NULL, REACH_CA},                                                     \
    {"cert", required_argument, NULL, REACH_CERT},                                                 \
    {"key", required_argument, NULL, REACH_KEY},                                                   \
    {"server-name", required_argument, NULL, REACH_SERVER_NAME},                                   \
    {"token-file", required_argument, NULL, REACH_TOKEN_FILE},                                     \
    {"user", required_argument, NULL, REACH_USER},                                                 \
    {"password-file", required_argument, NULL, REACH_PASSWORD_FILE}
// clang-format on

// False: `c` is none of them.
static inline bool reach_take(int c, const char *value, struct net_tls_files *tls,
                              const char **server_name, struct fetch_auth_files *auth) {
    const char **const texts[] = {
        &tls->ca,           &tls->cert,      &tls->key,           server_name,
        &auth->bearer_file, &auth->username, &auth->password_file};
    if (c < REACH_CA || c > REACH_PASSWORD_FILE)
        return false;
    *texts[c - REACH_CA] = value;
    return true;
}
