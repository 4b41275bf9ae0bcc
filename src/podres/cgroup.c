// SPDX-License-Identifier: Apache-2.0
/* See cgroup.h. */
#include "podres/cgroup.h"

enum { UUID_CHARS = 36, HASH_CHARS = 32, ID_CHARS = 64 };

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static size_t hex_prefix(struct str s) {
    size_t n = 0;
    while (n < s.n && is_hex(s.p[n]))
        n++;
    return n;
}

// 8-4-4-4-12 digits with - or _ between, or 32 digits, at the start of `s`; *rest is what follows.
static bool take_uid(struct str s, char ret[37], struct str *rest) {
    size_t digits = hex_prefix(s), n = UUID_CHARS;
    if (digits == HASH_CHARS) {
        n = HASH_CHARS;
    } else {
        if (s.n < UUID_CHARS)
            return false;
        for (size_t i = 0; i < UUID_CHARS; i++) {
            bool dash = i == 8 || i == 13 || i == 18 || i == 23;
            if (dash ? s.p[i] != '-' && s.p[i] != '_' : !is_hex(s.p[i]))
                return false;
        }
    }
    for (size_t i = 0; i < n; i++)
        ret[i] = s.p[i] == '_' ? '-' : s.p[i];
    ret[n] = 0;
    *rest = (struct str){s.p + n, s.n - n};
    return true;
}

// "podUID", "kubepods-burstable-podUID.slice", "kubepods-podUID.slice:cri-containerd:ID": the UID,
// and what follows it.
static bool find_pod(struct str component, char ret_uid[37], struct str *ret_rest) {
    for (size_t i = 0; i + 3 + HASH_CHARS <= component.n; i++) {
        bool begins = i == 0 || component.p[i - 1] == '-';
        struct str after = {component.p + i + 3, component.n - i - 3};
        if (begins && memcmp(component.p + i, "pod", 3) == 0 &&
            take_uid(after, ret_uid, ret_rest) &&
            (ret_rest->n == 0 || str_starts(*ret_rest, ".slice")))
            return true;
    }
    return false;
}

// "ID", "cri-containerd-ID.scope"
static bool find_container(struct str component, char ret_id[65]) {
    if (str_ends(component, ".scope"))
        component.n -= 6;
    if (component.n < ID_CHARS)
        return false;
    struct str id = {component.p + component.n - ID_CHARS, ID_CHARS};
    bool begins = component.n == ID_CHARS || id.p[-1] == '-' || id.p[-1] == ':';
    if (!begins || hex_prefix(id) != ID_CHARS)
        return false;
    (void)str_copy(ret_id, 65, id);
    return true;
}

static bool parse_path(struct str path, struct podres_cgroup *ret) {
    struct podres_cgroup c = {{0}};
    struct str rest = {0};
    while (path.n > 0) {
        struct str component = str_cut(&path, '/');
        if (!find_pod(component, c.pod_uid, &rest))
            continue;
        // The container's own group is the next component, or stands behind a colon.
        if (!find_container(rest, c.container_id))
            find_container(str_cut(&path, '/'), c.container_id);
        *ret = c;
        return true;
    }
    return false;
}

bool podres_cgroup_parse(struct str text, struct podres_cgroup *ret) {
    while (text.n > 0) {
        struct str line = str_cut(&text, '\n');
        str_cut(&line, ':'); // the hierarchy
        str_cut(&line, ':'); // its controllers
        if (parse_path(line, ret))
            return true;
    }
    return false;
}
