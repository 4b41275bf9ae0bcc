// SPDX-License-Identifier: Apache-2.0
/* See shares.h. */
#include "agent/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "podres/cgroup.h"

enum { CGROUP_BYTES = 8192 };

struct agent_shares {
    char proc[256];
    struct gpu_process processes[LIMIT_NVML_PROCESSES];
    char text[CGROUP_BYTES];
};

// The initial PID namespace has this number on every Linux.
static bool in_hosts_namespace(void) {
    char text[64];
    ssize_t n = readlink("/proc/self/ns/pid", text, sizeof text - 1);
    return n > 0 && (text[n] = 0, strcmp(text, "pid:[4026531836]") == 0);
}

int agent_shares_new(struct agent_shares **ret, const char *proc, struct err *e) {
    if (strcmp(proc, "/proc") == 0 && !in_hosts_namespace())
        return err_set(
            e, ERR_AUTH,
            "the agent does not see the host's processes: give its pod hostPID: true, or "
            "mount the host's /proc and name it with --proc");
    struct agent_shares *s = mem_zalloc(sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for the processes of GPUs");
    if (str_copy(s->proc, sizeof s->proc, str_from(proc))) {
        mem_free(s);
        return err_set(e, ERR_INVALID, "%s: the path is too long", proc);
    }
    *ret = s;
    return 0;
}

struct agent_shares *agent_shares_free(struct agent_shares *s) {
    mem_free(s);
    return NULL;
}

enum found { FOUND, ENDED, HIDDEN };

// Whose a process is; pod_uid "" when it is in no pod.
static enum found find_pod(struct agent_shares *s, uint32_t pid, struct podres_cgroup *ret) {
    char path[sizeof s->proc + 32];
    *ret = (struct podres_cgroup){{0}};
    snprintf(path, sizeof path, "%s/%u/cgroup", s->proc, pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ESRCH ? ENDED : HIDDEN;
    ssize_t n, got = 0;
    while (got < CGROUP_BYTES && (n = read(fd, s->text + got, CGROUP_BYTES - (size_t)got)) > 0)
        got += n;
    int failure = n < 0 ? errno : 0;
    close(fd);
    if (failure)
        return failure == ESRCH ? ENDED : HIDDEN;
    podres_cgroup_parse((struct str){s->text, (size_t)got}, ret);
    return FOUND;
}

static struct agent_share *share_of(struct agent_share_list *list, size_t from,
                                    const struct podres_cgroup *c) {
    for (size_t i = from; i < list->n; i++)
        if (strcmp(list->items[i].pod_uid, c->pod_uid) == 0 &&
            strcmp(list->items[i].container_id, c->container_id) == 0)
            return &list->items[i];
    struct agent_share fresh = {.has_memory = true, .has_utilization = true};
    str_copy(fresh.pod_uid, sizeof fresh.pod_uid, str_from(c->pod_uid));
    str_copy(fresh.container_id, sizeof fresh.container_id, str_from(c->container_id));
    if (list->n - from == LIMIT_OWNERS_PER_GPU || vec_push(list, fresh))
        return NULL;
    return &list->items[list->n - 1];
}

static void add(struct agent_share *share, const struct gpu_process *p) {
    share->processes++;
    share->has_memory &= p->has_memory;
    share->has_utilization &= p->has_utilization;
    share->memory_bytes += p->has_memory ? p->memory_bytes : 0;
    share->utilization_pct += p->has_utilization ? p->utilization_pct : 0;
}

bool agent_shares_read(struct agent_shares *s, const struct gpu_source *source, uint32_t slot,
                       int64_t now_ns, struct agent_share_list *list) {
    size_t n = 0, from = list->n;
    if (!source->ops->processes || source->ops->processes(source->state, slot, now_ns, s->processes,
                                                          COUNT_OF(s->processes), &n, NULL))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct podres_cgroup c;
        enum found found = find_pod(s, s->processes[i].pid, &c);
        if (found == ENDED)
            continue;
        struct agent_share *share = found == FOUND ? share_of(list, from, &c) : NULL;
        if (!share) {
            list->n = from;
            return false;
        }
        add(share, &s->processes[i]);
    }
    return true;
}
