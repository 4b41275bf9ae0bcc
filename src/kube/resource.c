// SPDX-License-Identifier: Apache-2.0
/* Paths of the Kubernetes API. */
#include "kube/resource.h"

static bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

int kube_query_value(struct buf *out, struct str value) {
    int r = 0;
    for (size_t i = 0; i < value.n && r == 0; i++)
        r = is_plain(value.p[i]) ? buf_add_byte(out, value.p[i])
                                 : buf_addf(out, "%%%02X", (unsigned char)value.p[i]);
    return r;
}

static int add_part(struct buf *out, const char *what, const char *part, struct err *e) {
    if (!part || !*part || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return err_set(e, ERR_INVALID, "'%.64s' is no %s", part ? part : "", what);
    int r = buf_add_byte(out, '/');
    r = r ? r : kube_query_value(out, str_from(part));
    return r ? err_set(e, r, "the path does not fit") : 0;
}

int kube_resource_path(struct buf *out, const struct kube_resource *r, struct err *e) {
    bool core = !r->group || !*r->group;
    int rc = buf_addc(out, core ? "/api" : "/apis");
    if (rc)
        return err_set(e, rc, "the path does not fit");
    if (!core)
        rc = add_part(out, "API group", r->group, e);
    rc = rc ? rc : add_part(out, "version", r->version, e);
    if (rc == 0 && r->namespace_) {
        rc = add_part(out, "path", "namespaces", e);
        rc = rc ? rc : add_part(out, "namespace", r->namespace_, e);
    }
    if (rc == 0 && (r->resource || r->name || r->namespace_))
        rc = add_part(out, "resource", r->resource, e);
    if (rc == 0 && r->name)
        rc = add_part(out, "name", r->name, e);
    if (rc == 0 && r->subresource)
        rc = add_part(out, "subresource", r->subresource, e);
    return rc;
}

void kube_clean(char *dst, size_t cap, const char *text) {
    size_t n = 0;
    for (; text && text[n] && n + 1 < cap; n++)
        dst[n] = text[n] == '\n' || text[n] == '\t'  ? ' '
                 : text[n] >= 0x20 && text[n] < 0x7f ? text[n]
                                                     : '?';
    dst[n] = '\0';
}

// Names may come from a trigger: what is not of a name's alphabet is shown as '?'.
static void add_word(struct buf *out, const char *word) {
    for (; *word; word++)
        (void)buf_add_byte(out, is_plain(*word) ? *word : '?');
}

void kube_resource_words(struct buf *out, const struct kube_resource *r) {
    add_word(out, r->resource ? r->resource : "resources");
    if (r->subresource) {
        (void)buf_addc(out, "/");
        add_word(out, r->subresource);
    }
    if (r->group && *r->group) {
        (void)buf_addc(out, ".");
        add_word(out, r->group);
    }
    if (r->name) {
        (void)buf_addc(out, " ");
        add_word(out, r->name);
    }
    if (r->namespace_) {
        (void)buf_addc(out, " in namespace ");
        add_word(out, r->namespace_);
    }
}
