// SPDX-License-Identifier: Apache-2.0
/*
 * A web-config file: any bytes bind or are refused with a message of one line; what is bound holds
 * together: a certificate has a key, every hash is one.
 */
#include "net/web_config.h"
#include "fuzz.h"
#include "net/password_check.h"

FUZZ_LIBFYAML_LEAKS

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct web_config c = {0};
    struct err e = {0};
    if (web_config_parse(&c, (struct str){(const char *)data, size}, "dir/web.yml", &e) < 0) {
        require(c.users == NULL && c.n_users == 0);
        require_message(&e);
        return 0;
    }
    require(!c.tls.cert == !c.tls.key && (c.tls.cert || !c.tls.ca));
    require(c.tls.n_allowed == 0 || (c.tls.ca && !c.tls.ca_optional));
    require(!c.tls.cert || (c.tls.oldest >= 12 && c.tls.oldest <= c.tls.newest));
    for (size_t i = 0; i < c.n_users; i++) {
        require(c.users[i].name[0] != '\0' && strchr(c.users[i].name, ':') == NULL);
        require(password_hash_check(c.users[i].hash, &e) == 0);
        require(password_hash_cost(c.users[i].hash) <= PASSWORD_COST_MAX);
    }
    web_config_done(&c);
    return 0;
}
