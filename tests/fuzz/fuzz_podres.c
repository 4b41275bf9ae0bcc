// SPDX-License-Identifier: Apache-2.0
/*
 * What a kubelet answers: any bytes are refused, or become owners that are complete and bounded,
 * and a message for scalers that has them. After '=' the bytes are the id of a device, after '#' a
 * process's cgroup file.
 */
#include "agent/watch_message.h"
#include "base/mem.h"
#include "fuzz.h"
#include "net/pb.h"
#include "podres/answer.h"
#include "podres/cgroup.h"

static void check_device(struct str resource, struct str id) {
    struct podres_device d = {.gpu_instance = -7};
    if (!podres_device_parse(resource, id, &d)) {
        require(d.gpu_instance == -7);
        return;
    }
    require(strnlen(d.gpu, sizeof d.gpu) < sizeof d.gpu);
    require(strnlen(d.replica, sizeof d.replica) < sizeof d.replica);
    require(d.gpu_instance >= -1 && (d.gpu[0] || !d.exact));
    if (d.exact && d.gpu_instance < 0) { // it lies on the GPU that it names, and on no other
        struct gpu_info gpu = {.uuid = "GPU-x", .index = 4000000000};
        require(!podres_device_is(&d, &gpu));
        snprintf(gpu.uuid, sizeof gpu.uuid, "%s", d.gpu);
        require(podres_device_is(&d, &gpu));
    }
}

static void check_state(const struct agent_owners *owners) {
    struct agent_state s;
    struct agent_node node = {.name = "n", .boot_id = "0"};
    struct agent_cursor cursor = {0};
    struct buf out;
    struct arena arena;
    require(agent_state_init(&s, 1, 0, NULL) == 0);
    buf_init(&out, 64 << 20);
    arena_init(&arena, 64 << 20);
    struct agent_round *r = agent_round_new(AGENT_ROUND_SAMPLED, 2);
    r->enumerated = true;
    r->n_devices = 2;
    for (uint32_t i = 0; i < 2; i++) {
        r->devices[i].slot = r->devices[i].info.index = i;
        snprintf(r->devices[i].info.uuid, GPU_UUID_MAX, i ? "MIG-1" : "GPU-1");
    }
    require(agent_state_apply(&s, r, owners) == 0);
    require(s.devices.n == owners->claimed.n && s.unmatched_owners <= owners->list.n);
    for (uint32_t i = 0; i < s.n_gpus; i++)
        require(s.gpus[i].owners_known || s.gpus[i].n_owners == 0);
    require(agent_watch_encode(&out, &arena, &s, &node, &cursor, 1, &cursor) == 0);
    agent_round_free(r);
    agent_state_done(&s);
    buf_done(&out);
    arena_done(&arena);
}

static void check_answer(const uint8_t *data, size_t size) {
    struct arena arena;
    ProtobufCMessage *m;
    struct podres_answer a;
    struct agent_owners owners;
    struct err e = {0};
    arena_init(&arena, SIZE_MAX / 2);
    if (pb_unpack(&m, &v1__list_pod_resources_response__descriptor, data, size, &arena, &e)) {
        require_message(&e);
    } else if (podres_answer_read(&a, (const V1__ListPodResourcesResponse *)m, &e)) {
        require_message(&e);
    } else {
        require(agent_owners_from(&owners, &a, &e) == 0);
        require(owners.known && owners.list.n == a.holders.n && owners.claimed.n == a.claimed.n);
        for (size_t i = 0; i < owners.list.n; i++) {
            const struct gpu_owner *o = &owners.list.items[i].owner;
            require(strcmp(o->namespace_, a.holders.items[i].namespace_) == 0 && o->namespace_[0]);
            require(strcmp(o->pod, a.holders.items[i].pod) == 0 && o->pod[0]);
            require(strcmp(o->container, a.holders.items[i].container) == 0);
        }
        check_state(&owners);
        agent_owners_done(&owners);
        podres_answer_done(&a);
    }
    arena_done(&arena);
}

static void check_cgroup(struct str text) {
    struct podres_cgroup c, again;
    if (!podres_cgroup_parse(text, &c))
        return;
    size_t uid = strnlen(c.pod_uid, sizeof c.pod_uid), id = strnlen(c.container_id, 65);
    require((uid == 36 || uid == 32) && (id == 0 || id == 64));
    require(strspn(c.pod_uid, "0123456789abcdef-") == uid);
    require(strspn(c.container_id, "0123456789abcdef") == id);
    // Groups inside the container's own do not make it another pod's.
    static const char inside[] = "/kubepods/pod00000000-0000-0000-0000-000000000000/x";
    char *deeper = mem_alloc(text.n + sizeof inside);
    memcpy(deeper, text.p, text.n);
    memcpy(deeper + text.n, inside, sizeof inside);
    if (id > 0 && !memchr(text.p, '\n', text.n)) {
        require(podres_cgroup_parse((struct str){deeper, text.n + sizeof inside - 1}, &again));
        require(strcmp(again.pod_uid, c.pod_uid) == 0);
    }
    mem_free(deeper);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == '=') {
        struct str id = {(const char *)data + 1, size - 1};
        check_device(STR("nvidia.com/gpu"), id);
        check_device(STR("example.com/other"), id);
    } else if (size > 0 && data[0] == '#') {
        check_cgroup((struct str){(const char *)data + 1, size - 1});
    } else {
        check_answer(data, size);
    }
    return 0;
}
