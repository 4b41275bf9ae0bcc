// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/mem.h"
#include "podres/cgroup.h"

#define UID "3f8c1a52-7d1e-4b9a-9c55-0a1b2c3d4e5f"
#define UID_ "3f8c1a52_7d1e_4b9a_9c55_0a1b2c3d4e5f"
#define OTHER "99999999-7d1e-4b9a-9c55-0a1b2c3d4e5f"
#define HASH "0123456789abcdef0123456789abcdef"
#define ID "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339cabcd"

static void test_spellings_of_drivers_and_runtimes(void **state) {
    static const struct {
        const char *text, *uid, *id; // uid NULL: no pod
    } cases[] = {
        // cgroup v2, systemd: containerd, CRI-O, docker
        {"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
         ".slice/cri-containerd-" ID ".scope\n",
         UID, ID},
        {"0::/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope\n", UID, ID},
        {"0::/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope/container\n", UID, ID},
        {"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_
         ".slice/docker-" ID ".scope",
         UID, ID},
        // cgroupfs
        {"0::/kubepods/burstable/pod" UID "/" ID "\n", UID, ID},
        {"0::/kubepods/pod" UID "/" ID "/init\n", UID, ID},
        // cgroup v1: one line a hierarchy, the pod's anywhere among them
        {"12:pids:/user.slice\n11:cpu,cpuacct:/kubepods/besteffort/pod" UID "/" ID
         "\n1:name=systemd:/kubepods/besteffort/pod" UID "/" ID "\n",
         UID, ID},
        {"5:devices:/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope\n", UID,
         ID},
        // containerd whose driver is not the kubelet's
        {"4:memory:/system.slice/containerd.service/kubepods-burstable-pod" UID_
         ".slice:cri-containerd:" ID "\n",
         UID, ID},
        // kind, and what a container sees of another one
        {"0::/docker/" ID "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_
         ".slice/cri-containerd-" ID ".scope",
         UID, ID},
        {"0::/kubelet/kubepods/burstable/pod" UID "/" ID, UID, ID},
        {"0::/../../kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope\n", UID, ID},
        // a static pod, and a pod's process in no container
        {"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" HASH
         ".slice/cri-containerd-" ID ".scope\n",
         HASH, ID},
        {"0::/kubepods/burstable/pod" UID "\n", UID, ""},
        {"0::/kubepods/burstable/pod" UID "/mine/" ID "\n", UID, ""},
        // what a container names its own groups is not looked at
        {"0::/kubepods/burstable/pod" UID "/" ID "/kubepods/pod" OTHER "/" ID "\n", UID, ID},
        // no pods
        {"0::/user.slice/user-1000.slice/session-2.scope\n", NULL, NULL},
        {"0::/\n", NULL, NULL},
        {"", NULL, NULL},
        {"0::/system.slice/docker-" ID ".scope\n", NULL, NULL},
        {"0::/kubepods/burstable/pod" UID "x/" ID "\n", NULL, NULL},
        {"0::/kubepods/burstable/pod3f8c1a52\n", NULL, NULL},
        {"0::/kubepods/burstable/mypod" UID "/" ID "\n", NULL, NULL},
        {"0::/kubepods/burstable/pod" HASH "0/" ID "\n", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct podres_cgroup c = {.pod_uid = "untouched"};
        bool is = podres_cgroup_parse(str_from(cases[i].text), &c);
        if (is != (cases[i].uid != NULL))
            fail_msg("%s: %d", cases[i].text, is);
        if (!is) {
            assert_string_equal(c.pod_uid, "untouched");
            continue;
        }
        if (strcmp(c.pod_uid, cases[i].uid) != 0 || strcmp(c.container_id, cases[i].id) != 0)
            fail_msg("%s: pod %s, container %s", cases[i].text, c.pod_uid, c.container_id);
    }
}

static void test_a_text_that_is_cut_anywhere_is_no_other_pod(void **state) {
    static const char text[] =
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
        ".slice/cri-containerd-" ID ".scope\n";
    for (size_t n = 0; n < sizeof text; n++) {
        struct podres_cgroup c;
        char *copy = mem_strndup(text, n); // a sanitizer sees a read past its end
        if (podres_cgroup_parse((struct str){copy, n}, &c)) {
            assert_string_equal(c.pod_uid, UID);
            assert_true(c.container_id[0] == 0 || strcmp(c.container_id, ID) == 0);
        }
        mem_free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings_of_drivers_and_runtimes),
        cmocka_unit_test(test_a_text_that_is_cut_anywhere_is_no_other_pod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
