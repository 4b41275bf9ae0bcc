# SPDX-License-Identifier: Apache-2.0
"""Who holds the GPUs, from the kubelet: what the agent makes of its answers, of none, and of those
who are no kubelet."""

import os
import shutil
import signal

import grpc
import pytest

import harness
import kubelet_kit
from agent_kit import Agent, Watch
from harness import run, wait_until
from kubelet_kit import ANSWERS, Kubelet, Other, many_pods

WHOLE = "GPU-3b9f6c1e-5f0a-4a51-9d2e-1c4f8a7b0e10"
SECOND = "GPU-7c2d4e88-0b1f-4c3a-8e6d-2a5b9c0d1f21"
SHARED = "GPU-a1e5d3f7-6c42-4b8e-9f01-3d7c5b2e4a32"
BOARD = "GPU-f40b8a26-9d57-4e13-a2c8-4e8d6f1b7c43"
MIG_1 = "MIG-0d9e2c54-31b7-5f68-8a4d-5f9e7a3c8d54"
MIG_2 = "MIG-6e1f3d75-42c8-5a79-9b5e-6a0f8b4d9e65"
ALL = {WHOLE, SECOND, SHARED, BOARD, MIG_1, MIG_2}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    harness.make_stubs(folder, "node")
    import node_pb2
    return node_pb2, kubelet_kit.make_stub(folder)


@pytest.fixture
def pb(stubs):
    return stubs[0]


@pytest.fixture
def api(stubs):
    return stubs[1]


class Node(Agent):
    """An agent on the node of node.csv (or another source) whose kubelet is in `folder`."""

    def __init__(self, folder, *args, source=None, mode="on", every="1s", **kwargs):
        super().__init__(source or f"replay:{ANSWERS / 'node.csv'}", "--pod-resources", mode,
                         "--pod-resources-socket", folder / "kubelet.sock",
                         "--pod-resources-interval", every, *args, **kwargs)

    def owners(self):
        """{uuid: sorted [(namespace, pod, container, replica)]}."""
        found = {}
        for labels in self.values("gpuscale_gpu_owner_info"):
            o = dict(labels)
            found.setdefault(o["uuid"], []).append(
                (o["namespace"], o["pod"], o["container"], o.get("replica", "")))
        return {uuid: sorted(owners) for uuid, owners in found.items()}

    def known(self):
        """{uuid}: GPUs of which it is known who holds them."""
        values = self.values("gpuscale_gpu_owner_known")
        return {dict(labels)["uuid"] for labels, v in values.items() if v}

    def stat(self, name, **labels):
        values = self.values(f"gpuscale_agent_pod_resources_{name}")
        return values.get(frozenset(labels.items()))

    def failures(self):
        return self.stat("lists_total", result="failed") or 0


def wait_owners(agent, owners, known=ALL):
    wait_until(lambda: (agent.owners(), agent.known()) == (owners, set(known)),
               f"{owners} of {known}")


# --- the kubelet's answers


@pytest.mark.parametrize("answer, owners", [
    ("whole", {WHOLE: [("ml", "vllm-7c9d8b6f5-x2x4p", "vllm", "")]}),
    ("index", {WHOLE: [("ml", "train-0", "main", "")], SHARED: [("ml", "train-0", "main", "")],
               SECOND: [("ml", "gke-0", "main", "")]}),
    ("mig", {MIG_1: [("ml", "small-0", "engine", "")], MIG_2: [("ml", "gke-small-0", "engine", "")]}),
    ("time_slicing", {SHARED: [("ml", "chat-a", "engine", "0"), ("ml", "chat-b", "engine", "3")],
                      MIG_2: [("ml", "slice-of-slice", "engine", "1")],
                      SECOND: [("ml", "gke-shared", "engine", "7")]}),
])
def test_devices_are_joined_to_gpus(api, tmp_path, answer, owners):
    with Kubelet(api, tmp_path, answer) as kubelet, Node(tmp_path) as agent:
        agent.wait_ready()
        wait_owners(agent, owners)
        assert agent.stat("up") == 1
        assert agent.stat("devices") == sum(len(o) for o in owners.values())
        assert agent.stat("unmatched_devices") == 0
        # Nobody holds anything any more: known, and not the same as unknown.
        kubelet.set_answer({"podResources": [{"name": "kube-proxy-x", "namespace": "kube-system"}]})
        wait_owners(agent, {})


def test_the_pods_labels_are_dcgm_exporters(api, tmp_path):
    with Kubelet(api, tmp_path, "time_slicing"), Node(tmp_path) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.owners(), "owners")
        pods = {(d["UUID"], d.get("pod"), d.get("vgpu")) for d in
                (dict(labels) for labels in agent.values("DCGM_FI_DEV_GPU_UTIL"))}
        assert pods == {(WHOLE, None, None), (SECOND, "gke-shared", "7"),
                        (SHARED, "chat-a", "0"), (SHARED, "chat-b", "3")}


def test_claimed_devices_go_to_the_scaler_by_name(api, pb, tmp_path):
    """The kubelet knows a claimed device by its name only. Who holds the other GPUs is not known
    until somebody with ResourceSlices has said which ones those are: unknown, not free."""
    with Kubelet(api, tmp_path, "dra") as kubelet, Node(tmp_path) as agent:
        agent.wait_ready()
        owner = ("ml", "vllm-7c9d8b6f5-x2x4p", "vllm", "")
        wait_owners(agent, {WHOLE: [owner]}, {WHOLE})
        assert agent.stat("claimed_devices") == 2
        with Watch(agent.addr("grpc"), pb) as watch:
            state = watch.next()
            assert state.full and state.devices.complete
            held = [(h.driver, h.pool, h.device, h.share, h.owner.namespace, h.owner.pod,
                     h.owner.container) for h in state.devices.holders]
            assert held == [
                ("gpu.nvidia.com", "node-a", "gpu-1", "", "ml", "vllm-dra-0", "vllm"),
                ("gpu.nvidia.com", "node-a", "gpu-3-mig-3g40gb-9-0",
                 "5b0f2a52-6f43-4a6b-bb0f-0e5bd7f5b1a9", "ml", "vllm-dra-0", "vllm")]
            assert {g.info.uuid for g in state.gpus if g.owners_known} == {WHOLE}
            # Only what changes is told again.
            assert not watch.next().HasField("devices")
            kubelet.set_answer("whole")
            change = watch.until(lambda m: m.HasField("devices"))
            assert not change.full and change.devices.complete and not change.devices.holders
            assert len(change.gpus) == len(ALL) - 1 and all(g.owners_known for g in change.gpus)


@pytest.mark.parametrize("answer, known", [("old_claims", set()), ("strange", {WHOLE})])
def test_what_may_be_any_gpu_leaves_none_free(api, pb, tmp_path, answer, known):
    """Claims of an old kubelet have no names; HAMi's and others' ids are spelled their own way."""
    with Kubelet(api, tmp_path, answer), Node(tmp_path) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.stat("up") == 1, "an answer")
        assert agent.known() == known
        with Watch(agent.addr("grpc"), pb) as watch:
            assert not watch.next().devices.complete


def test_a_simulated_gpu_is_held_too(api, pb, tmp_path):
    with Kubelet(api, tmp_path, "whole") as kubelet, Node(tmp_path, source="sim:8,steady") as agent:
        agent.wait_ready()
        wait_until(lambda: agent.stat("unmatched_devices") == 1, "another node's GPU is held")
        assert agent.owners() == {}
        gpus = sorted((int(dict(i)["gpu"]), dict(i)["uuid"]) for i in agent.values("gpuscale_gpu_info"))
        with Watch(agent.addr("grpc"), pb) as watch:
            watch.next()
            kubelet.set_answer(many_pods(500, [uuid for _, uuid in gpus]))
            change = watch.until(lambda m: any(g.owners for g in m.gpus))
            assert [g.owners[0].pod for g in change.gpus] == [
                f"a-deployment-with-a-name-5d78c9869d-{i:05}" for i in range(8)]
        assert agent.stat("pods") == 500
        assert len(agent.owners()) == 8


def test_a_change_of_memory_or_processes_asks_at_once(api, tmp_path):
    recording = tmp_path / "r.csv"
    head = "time_s,gpu,uuid,index,memory_used_bytes,processes\n"
    recording.write_text(head + f"0,0,{WHOLE},0,1000000000,0\n" + "".join(
        f"{t},0,,,{2000000000 if t % 20 < 10 else 1000000000},\n" for t in range(10, 4000, 10)))
    with Kubelet(api, tmp_path, "whole") as kubelet:
        with Node(tmp_path, source=f"replay:{recording},speed=10", every="10m") as agent:
            agent.wait_ready()
            wait_until(lambda: kubelet.asked >= 4, "questions long before the interval")


# --- a kubelet that does not answer


def test_a_silent_kubelet_makes_owners_old_then_unknown(api, pb, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("podResources: {maxAge: 3s}\n")
    with Kubelet(api, tmp_path, "whole") as kubelet:
        with Node(tmp_path, config=config) as agent, Watch(agent.addr("grpc"), pb) as watch:
            agent.wait_ready()
            owners = {WHOLE: [("ml", "vllm-7c9d8b6f5-x2x4p", "vllm", "")]}
            wait_owners(agent, owners)
            kubelet.go_on.clear()
            wait_until(lambda: agent.stat("age_seconds") > 1.5, "the answer ages")
            assert agent.owners() == owners and agent.known() == ALL
            wait_owners(agent, {}, set())
            change = watch.until(lambda m: m.gpus and not m.full and not m.gpus[0].owners_known)
            assert not change.gpus[0].owners and not change.devices.complete
            agent.wait_log("who holds the GPUs is unknown now")
            line = agent.wait_log("the kubelet does not say who holds the GPUs.*no answer within 5000 ms")
            assert str(kubelet.path) in line
            kubelet.go_on.set()
            wait_owners(agent, owners)
            assert agent.stat("up") == 1 and agent.failures() >= 1


def test_a_kubelet_that_restarts_is_found_again(api, tmp_path):
    with Kubelet(api, tmp_path, "whole") as kubelet, Node(tmp_path) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.owners(), "owners")
        kubelet.stop()
        agent.wait_log("kubelet.sock does not exist: the kubelet is not running, or its folder is not mounted")
        assert agent.stat("up") == 0 and agent.owners()  # believed from before
        kubelet.set_answer("mig")
        kubelet.start()
        wait_owners(agent, {MIG_1: [("ml", "small-0", "engine", "")],
                            MIG_2: [("ml", "gke-small-0", "engine", "")]})
        assert len(agent.events("the kubelet says who holds the GPUs")) == 2


def test_a_socket_that_is_replaced_is_followed(api, tmp_path):
    """The old kubelet may still live, and even answer: who listens on the path counts."""
    with Kubelet(api, tmp_path, "whole") as old, Node(tmp_path) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.owners(), "owners")
        os.rename(old.path, tmp_path / "old.sock")
        with Kubelet(api, tmp_path, "mig"):
            wait_until(lambda: set(agent.owners()) == {MIG_1, MIG_2}, "the new kubelet's owners")
            asked = old.asked
            wait_until(lambda: agent.stat("lists_total", result="answered") > 4, "more answers")
            assert old.asked == asked


def test_a_kubelet_without_pods_has_not_read_them_yet(api, tmp_path):
    """So it lists for a moment after its start. Its GPUs are not free then."""
    with Kubelet(api, tmp_path, {}) as kubelet, Node(tmp_path) as agent:
        agent.wait_ready()
        agent.wait_log("it lists no pod at all")
        assert agent.known() == set() and agent.stat("up") == 0
        kubelet.set_answer("whole")
        wait_until(lambda: agent.known() == ALL and agent.owners(), "owners")
        kubelet.set_answer({})
        wait_until(lambda: agent.stat("up") == 0, "no answer")
        assert agent.owners() and agent.known() == ALL


@pytest.mark.parametrize("code, text, says", [
    (grpc.StatusCode.UNIMPLEMENTED, "unknown service v1.PodResourcesLister",
     "no v1.PodResourcesLister .unknown service.*no kubelet of Kubernetes 1.20 or later"),
    (grpc.StatusCode.PERMISSION_DENIED, "not you", "PERMISSION_DENIED: not you"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit", "rejected by rate limit"),
    (grpc.StatusCode.INTERNAL, "bad\ntext\x07", "INTERNAL: bad text"),
])
def test_a_refusal_is_told_with_its_place(api, tmp_path, code, text, says):
    with Kubelet(api, tmp_path, "whole") as kubelet:
        kubelet.refuse = code, text
        with Node(tmp_path) as agent:
            agent.wait_ready()
            agent.wait_log(f"the kubelet does not say who holds the GPUs.*kubelet.sock: .*{says}")
            wait_until(kubelet.asked_again(), "it is asked again")
            assert agent.known() == set() and agent.stat("up") == 0
            assert len(agent.events("the kubelet does not say who holds the GPUs")) == 1
            kubelet.refuse = None
            wait_until(lambda: agent.owners(), "owners")


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")
def test_a_socket_of_roots_is_told_with_the_remedy(api, tmp_path):
    private = tmp_path / "pod-resources"
    private.mkdir(mode=0o750)
    for folder in [tmp_path, *tmp_path.parents][:4]:
        folder.chmod(folder.stat().st_mode | 0o755) if folder != private else None
    with Kubelet(api, private, "whole"):
        agent = harness.Program(
            shutil.which("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
            harness.find_program("gpuscale-agent"), "--source", "sim:1", "--listen", "127.0.0.1:0",
            "--grpc-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--pod-resources", "auto",
            "--pod-resources-socket", private / "kubelet.sock")
        with agent:
            agent.wait_log("may not be opened by user 65534: it is root's; run the agent as user 0")
            private.chmod(0o755)  # the socket itself is root's too
            agent.wait_log("may not be opened by user 65534")


# --- who is no kubelet


@pytest.mark.parametrize("says, close", [
    (b"", True), (b"", False), (b"HTTP/1.1 400 Bad Request\r\n\r\n", True), (os.urandom(4096), False),
    (b"\0" * 65536, False),
    (b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x10\6\0\0\0\0\0", True),
], ids=["closes", "is silent", "HTTP/1", "noise", "zeros", "SETTINGS and half a PING"])
def test_somebody_else_on_the_socket_is_not_believed(api, tmp_path, says, close):
    with Other(tmp_path, says, close) as other, Node(tmp_path) as agent:
        agent.wait_ready()
        agent.wait_log("the kubelet does not say who holds the GPUs")
        wait_until(lambda: other.came >= 2, "it is asked again")
        assert agent.known() == set() and agent.owners() == {}
    with Kubelet(api, tmp_path, "whole"), Node(tmp_path) as agent:
        wait_until(lambda: agent.owners(), "owners of a kubelet")


@pytest.mark.parametrize("answer, says", [
    (b"\x0a\xff\xff", "the bytes are no v1.ListPodResourcesResponse"),
    (b"\x0a\x05\x0a\x03a\xffb", "not valid UTF-8"),
    (b"\x0a\x05\x0a\x03a\0b", "NUL"),
    (b"\x0a\x05\x12\x03abc", "pod 1 without a usable name"),
    (b"\x0a\x07\x0a\x01a\x12\x02\x20b", "without a usable name or namespace"),
    (b"\x0a\x06\x0a\x01a\x12\x01b" * 900000, "message of .* bytes"),
], ids=["cut", "no UTF-8", "NUL", "no name", "a blank in a name", "7 MB"])
def test_an_answer_that_is_none_changes_nothing(api, tmp_path, answer, says):
    with Kubelet(api, tmp_path, "whole") as kubelet, Node(tmp_path) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.owners(), "owners")
        kubelet.set_answer(answer)
        agent.wait_log(f"the kubelet does not say who holds the GPUs.*{says}")
        assert set(agent.owners()) == {WHOLE}  # believed from before
        kubelet.set_answer("mig")
        wait_until(lambda: set(agent.owners()) == {MIG_1, MIG_2}, "the kubelet is heard again")


# --- the configuration


def test_without_a_kubelet_nobody_is_asked_and_nothing_is_known(api, tmp_path):
    with Node(tmp_path, mode="auto") as agent:
        agent.wait_ready()
        wait_until(lambda: agent.stat("up") is None and agent.known() == set(), "nothing is known")
        assert "pod_resources" not in agent.page()
        with Kubelet(api, tmp_path, "whole") as kubelet:  # one that comes later is asked
            wait_until(lambda: agent.owners(), "owners")
            kubelet.stop()
            agent.wait_log("the kubelet does not say who holds the GPUs")  # now it is missed
            kubelet.start()
        assert len(agent.events("the kubelet does not say who holds the GPUs")) == 1


def test_off_asks_nobody(api, tmp_path):
    with Kubelet(api, tmp_path, "whole") as kubelet, Node(tmp_path, mode="off") as agent:
        agent.wait_ready()
        wait_until(lambda: len(agent.values("gpuscale_gpu_lost")) == len(ALL), "the GPUs")
        assert agent.known() == set() and kubelet.asked == 0


def test_a_list_of_pods_is_instead_of_the_kubelet(api, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("pods: [{gpu: 1, namespace: ml, pod: mine}]\n")
    with Kubelet(api, tmp_path, "whole") as kubelet:
        with Node(tmp_path, mode="auto", config=config) as agent:
            agent.wait_ready()
            wait_owners(agent, {SECOND: [("ml", "mine", "", "")]})
            assert kubelet.asked == 0
            config.write_text("log: {level: info}\n")
            agent.signal(signal.SIGHUP)
            wait_owners(agent, {WHOLE: [("ml", "vllm-7c9d8b6f5-x2x4p", "vllm", "")]})
            # A reload that changes something else leaves what the kubelet said.
            config.write_text("log: {level: debug}\n")
            agent.signal(signal.SIGHUP)
            wait_until(lambda: len(agent.events("configuration reloaded")) == 2, "the second reload")
            assert set(agent.owners()) == {WHOLE}
            config.write_text("pods: []\n")
            agent.signal(signal.SIGHUP)
            wait_owners(agent, {})
            asked = kubelet.asked
            wait_until(lambda: agent.values("gpuscale_agent_rounds_total")[frozenset()] > 30, "rounds")
            assert kubelet.asked == asked


def test_both_at_once_are_a_mistake(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("pods: []\npodResources: {mode: on}\n")
    done = run("gpuscale-agent", "--source", "sim:1", "--config", config)
    assert done.returncode == 2 and "both say who holds the GPUs" in done.stderr
    done = run("gpuscale-agent", "--source", "sim:1", "--pod-resources-socket", "kubelet.sock")
    assert done.returncode == 2 and "absolute path" in done.stderr


@pytest.mark.skipif(harness.sanitized("gpuscale-agent"), reason="a sanitizer's memory is not ours")
def test_asking_costs_little_memory_and_no_descriptors(api, tmp_path):
    with Kubelet(api, tmp_path, many_pods(500, [WHOLE])) as kubelet, Node(tmp_path, source="sim:8,burst") as agent:
        agent.wait_ready()
        wait_until(kubelet.asked_again(3), "questions")
        fds, rss = agent.open_fds(), agent.rss_bytes()
        wait_until(kubelet.asked_again(5), "more questions")
        assert agent.open_fds() <= fds + 1 and agent.rss_bytes() < rss + (1 << 20)
        assert agent.rss_bytes() <= 5 << 20
