// SPDX-License-Identifier: Apache-2.0
/*
 * The scaler's configuration file: any bytes bind or are refused with a message of one line; what
 * binds prints as text that binds again and prints the same.
 */
#include "conf/internal.h"
#include "fuzz.h"
#include "scaler/config.h"

FUZZ_LIBFYAML_LEAKS

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP_ARENA struct arena a;
    struct scaler_config first = {0}, second = {0};
    struct err e = {0};
    arena_init(&a, 64 << 20);
    if (conf_read(&scaler_config_spec, fuzz_file(data, size), &first, &a, &e) < 0) {
        require_message(&e);
        return 0;
    }
    const char *printed = conf_print(&scaler_config_spec, &first, &a);
    require(printed != NULL);
    const char *path = fuzz_file((const uint8_t *)printed, strlen(printed));
    require(conf_read(&scaler_config_spec, path, &second, &a, &e) == 0);
    const char *again = conf_print(&scaler_config_spec, &second, &a);
    require(again && strcmp(printed, again) == 0);
    return 0;
}
