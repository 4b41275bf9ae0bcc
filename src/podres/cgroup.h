// SPDX-License-Identifier: Apache-2.0
/*
 * Which pod and container a process is of, from its /proc/PID/cgroup. Pure. Spellings, of cgroup v1
 * and v2, that are understood (UID and ID stand for a pod's UID and a container's 64 hexadecimal
 * digits):
 *
 *     /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope
 *     /kubepods.slice/kubepods-podUID.slice/crio-ID.scope/container        systemd; UID has _ for -
 *     /kubepods/besteffort/podUID/ID                                       cgroupfs
 *     /system.slice/containerd.service/kubepods-burstable-podUID.slice:cri-containerd:ID
 *     /kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID.slice/docker-ID.scope   kind
 *     /../../kubepods-podUID.slice/cri-containerd-ID.scope        seen from another cgroup
 * namespace
 *
 * The UID of a static pod is 32 hexadecimal digits without dashes. The outermost pod counts: what a
 * container names the groups inside its own cannot make it another pod's.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct podres_cgroup {
    char pod_uid[37];      // with dashes, as the API server has it (a static pod's: without)
    char container_id[65]; // "": the process is in the pod, in no container that can be told
};

// `text`: the file. False: the process is of no pod; *ret is then untouched.
bool podres_cgroup_parse(struct str text, struct podres_cgroup *ret);
