// SPDX-License-Identifier: Apache-2.0
/*
 * Reader of the ConfigMap in which the API server tells extension servers whom to believe. A list
 * that cannot be read leaves nobody to be believed: an empty list of names would mean anybody.
 */
#include "kube/kinds.h"

// False: there is something, and it is no list of texts.
static bool read_texts(struct kube_reader *r, const json_t *data, const char *key,
                       struct kube_texts *ret) {
    const char *text = json_string_value(json_object_get(data, key));
    CLEANUP_JSON json_t *list = NULL;
    if (text == NULL)
        return true;
    if (kube_json_parse(str_from(text), &list, NULL) < 0 || !json_is_array(list))
        return false;
    ret->items = kube_read_array(r, json_array_size(list), sizeof(*ret->items));
    for (size_t i = 0; ret->items && i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (item == NULL || item[0] == '\0')
            return false;
        ret->items[ret->n++] = kube_read_copy(r, item);
    }
    return true;
}

static void read_front_proxy(struct kube_object *o, const json_t *json, struct kube_reader *r) {
    struct kube_front_proxy *p = container_of(o, struct kube_front_proxy, o);
    const json_t *data = json_object_get(json, "data");
    bool good = read_texts(r, data, "requestheader-allowed-names", &p->allowed_names) &&
                read_texts(r, data, "requestheader-username-headers", &p->user_headers) &&
                read_texts(r, data, "requestheader-uid-headers", &p->uid_headers) &&
                read_texts(r, data, "requestheader-group-headers", &p->group_headers) &&
                read_texts(r, data, "requestheader-extra-headers-prefix", &p->extra_prefixes);
    p->ca = good ? kube_read_text(r, data, "requestheader-client-ca-file") : "";
}

const struct kube_kind kube_front_proxies = {"", "v1", "configmaps",
                                             sizeof(struct kube_front_proxy), read_front_proxy};
