// SPDX-License-Identifier: Apache-2.0
/* Certificates and keys as PEM text: any bytes are read or refused, and what is told of them are
 * strings that end. */
#include "fuzz.h"
#include "net/certs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str pem = {(const char *)data, size};
    struct certs_facts f;
    char key[64];
    unsigned n = 0;
    while (n < 4 && certs_read(pem, n, &f, NULL) == 0) {
        require(strlen(f.subject) < sizeof(f.subject) && strlen(f.issuer) < sizeof(f.issuer));
        require(strlen(f.serial) < sizeof(f.serial) && strlen(f.key) < sizeof(f.key));
        require(strlen(f.fingerprint) == 95 && f.n_names <= LIMIT_CERT_NAMES);
        for (size_t i = 0; i < f.n_names; i++)
            require(strlen(f.names[i].text) < sizeof(f.names[i].text));
        (void)certs_issuer_of(pem, n, pem);
        (void)certs_key_fits(pem, n, pem);
        n++;
    }
    if (certs_read_key(pem, key, sizeof(key), NULL) == 0)
        require(strlen(key) < sizeof(key) && key[0] != '\0');
    return 0;
}
