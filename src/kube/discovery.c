// SPDX-License-Identifier: Apache-2.0
/* Reading an APIResourceList; see the header. */
#include "kube/discovery.h"

#include <jansson.h>
#include <stdio.h>

#include "kube/object.h"
#include "kube/resource.h"

static const char *text(const json_t *json, const char *key) {
    const char *s = json_string_value(json_object_get(json, key));
    return s ? s : "";
}

static const json_t *find(const json_t *all, const char *key, const char *value, bool subresource) {
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        bool sub = strchr(text(one, "name"), '/') != NULL;
        if (sub == subresource && strcmp(text(one, key), value) == 0)
            return one;
    }
    return NULL;
}

int kube_discovery_scalable(char ret_plural[KUBE_PLURAL_MAX], struct str body, const char *kind,
                            struct err *e) {
    CLEANUP_JSON json_t *json = NULL;
    char shown[64], scale[KUBE_PLURAL_MAX + 8];
    kube_clean(shown, sizeof(shown), kind);
    int rc = kube_json_parse(body, &json, e);
    if (rc < 0)
        return rc;
    const json_t *all = json_object_get(json, "resources");
    if (!json_is_array(all))
        return err_set(e, ERR_PARSE, "not an APIResourceList");
    const json_t *one = find(all, "kind", kind, false);
    if (one == NULL)
        return err_set(e, ERR_NOTFOUND, "the API server knows no kind %s there", shown);
    const char *plural = text(one, "name");
    if (strlen(plural) >= KUBE_PLURAL_MAX)
        return err_set(e, ERR_PARSE, "the resource's name of kind %s is too long", shown);
    (void)snprintf(scale, sizeof(scale), "%s/scale", plural);
    if (find(all, "name", scale, true) == NULL)
        return err_set(e, ERR_NOTFOUND, "kind %s has no scale subresource: it cannot be scaled",
                       shown);
    return str_copy(ret_plural, KUBE_PLURAL_MAX, str_from(plural));
}
