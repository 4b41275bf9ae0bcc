// SPDX-License-Identifier: Apache-2.0
/*
 * Kubeconfigs, what credential plugins print, and answers: any bytes, by the first one. What is
 * taken is whole; what is refused has a message of one line.
 */
#include "base/mem.h"
#include "fuzz.h"
#include "kube/answer.h"
#include "kube/base64.h"
#include "kube/config.h"
#include "kube/credential.h"

FUZZ_LIBFYAML_LEAKS

static void config(struct str text) {
    struct kube_config c;
    struct err e = {0};
    if (kube_config_parse(&c, text, "dir/config", NULL, &e) < 0) {
        require_message(&e);
        return;
    }
    require(c.server && c.namespace_ && c.source && c.context);
    require((c.cert.file || c.cert.data.p) == (c.key.file || c.key.data.p));
    require(!(c.token && c.token_file) && (!c.exec || c.exec->command));
    require(!c.ca.data.p || c.ca.place);
    kube_config_done(&c);
}

static void credential(struct str text) {
    struct kube_credential c;
    struct err e = {0};
    if (kube_credential_parse(&c, text, "client.authentication.k8s.io/v1", &e) < 0) {
        require_message(&e);
        return;
    }
    require((c.token || c.cert.p) && (c.cert.p != NULL) == (c.key.p != NULL));
    kube_credential_done(&c);
}

static void answer(struct str body) {
    const struct kube_resource at = {"apps", "v1", "deployments", "ml", "llm", "scale"};
    static const int statuses[] = {0, 200, 401, 403, 404, 409, 410, 422, 429, 500, 302};
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        struct err e = {0};
        kube_answer_explain(&e, "patch", &at, statuses[i], body, NULL, NULL);
        require_message(&e);
    }
    CLEANUP_BUF struct buf b;
    buf_init(&b, 1 << 20);
    (void)kube_base64_decode(&b, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    if (data[0] % 3 == 0)
        config(text);
    else if (data[0] % 3 == 1)
        credential(text);
    else
        answer(text);
    return 0;
}
