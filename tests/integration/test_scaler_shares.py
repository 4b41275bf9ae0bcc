# SPDX-License-Identifier: Apache-2.0
"""Pods of several workloads on one GPU: a real agent with a simulated GPU whose processes the test plays, their groups in a
/proc of the test's, a kubelet that says who holds the GPU; and what the scaler makes of each pod's part."""

import json
import shutil
import socket
import tempfile
import threading

import pytest

import harness
import kubelet_kit
from agent_kit import Agent, free_port
from cluster_kit import PODS, STATEFUL_SETS, Cluster, ClusterScaler, serve
from harness import run, wait_until
from kubelet_kit import Kubelet
from scaler_kit import CustomPod, Scaler, eventually, pod, workload
from test_page import read_feed
from test_page_scaler import frames_of

RULE = {"gpuUtilization": "50", "rateWindow": "2s", "downWindow": "1s", "maxAge": "5s"}
GIB = 1 << 30
MEMORY = 81559 << 20  # of the simulated GPU


def uid(n):
    return f"{n:08x}-7d1e-4b9a-9c55-0a1b2c3d4e5f"


class Player:
    """Says to the simulated GPU, again and again, what processes do on it: {pid: (busy, bytes)}."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="gpuscale-")
        self.path = f"{self.folder}/load"
        self.processes = {}
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            while not self.ends.wait(0.1):
                text = "".join(f"gpu=0 pid={pid} busy={busy} memory_used_bytes={memory} ttl_ms=600\n"
                               for pid, (busy, memory) in dict(self.processes).items())
                try:
                    s.sendto(text.encode(), self.path)
                except OSError:
                    pass  # the agent starts, or starts again

    def close(self):
        self.ends.set()
        self.thread.join()
        shutil.rmtree(self.folder)


class Node:
    """A node with one simulated GPU, which the kubelet gives to `pods` in slices of time, to the first one's sidecar, too."""

    def __init__(self, folder, api, pods, namespace="default"):
        self.folder, self.pods, self.namespace = folder, pods, namespace
        self.player = Player()
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.port = free_port()
        self.agent = None
        self.kubelet = Kubelet(api, folder, {"podResources": [{"name": "none", "namespace": "kube-system"}]})

    def start(self, *options):
        if self.agent:
            self.agent.stop()
        self.agent = Agent(f"sim:1,load={self.player.path}", "--pod-resources", "on", "--pod-resources-socket",
                           self.folder / "kubelet.sock", "--pod-resources-interval", "1s", *options,
                           grpc_listen=f"127.0.0.1:{self.port}")
        self.agent.wait_ready()
        gpu = dict(next(iter(self.agent.values("gpuscale_gpu_info"))))["uuid"]
        container = lambda name, i: {"name": name, "devices": [{"resourceName": "nvidia.com/gpu.shared", "deviceIds": [f"{gpu}::{i}"]}]}
        self.kubelet.set_answer({"podResources": [
            {"name": name, "namespace": self.namespace, "containers": [container("main", i)] + [container("sidecar", 9)][:i == 0]}
            for i, name in enumerate(self.pods)]})

    def start_with_processes(self):
        self.start("--pod-processes", "--proc", self.proc)

    @property
    def addr(self):
        return f"127.0.0.1:{self.port}"

    def process(self, pid, pod_uid, busy, gib=1):
        """A process of a pod (None: of none) that is busy for such a part of the time."""
        group = "0::/system.slice/x.service\n"
        if pod_uid:
            name = pod_uid.replace("-", "_")
            group = f"0::/../../kubepods-pod{name}.slice/cri-containerd-{'4c01db0b339c' * 5}{pid:04}.scope\n"
        (self.proc / str(pid)).mkdir(exist_ok=True)
        (self.proc / str(pid) / "cgroup").write_text(group)
        self.player.processes[pid] = busy, gib * GIB

    def ends(self, pid):
        del self.player.processes[pid]
        shutil.rmtree(self.proc / str(pid))

    def close(self):
        self.player.close()
        if self.agent:
            self.agent.stop()
        self.kubelet.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    return kubelet_kit.make_stub(tmp_path_factory.mktemp("stubs"))


@pytest.fixture
def node(tmp_path, api):
    made = []

    def make(*pods):
        made.append(Node(tmp_path, api, pods))
        return made[-1]
    yield make
    for n in made:
        n.close()


@pytest.fixture
def page():
    p = CustomPod(queue=0)
    yield p
    p.close()


def signal(scaler, name):
    """The GPU signal of the newest decision."""
    items = scaler.api(f"/api/v1/decisions?namespace=default&name={name}")["items"]
    return items[0]["now"]["signals"][0]


def is_part(scaler, name, lower, upper=None, parts=1):
    s = signal(scaler, name)
    return (s["parts"] == s["pods"] == parts and abs(s["lower"] - lower) < 0.6
            and abs(s["upper"] - (lower if upper is None else upper)) < 0.6)


def explain(scaler, name):
    return run("gpuscale", "explain", "--server", f"http://{scaler.http}", "-n", "1", f"default/{name}").stdout


def owners(scaler):
    gpu = scaler.api("/api/v1/gpus")["items"][0]
    return gpu, {o["pod"]: o for o in gpu["owners"]}


def works(page, uids=True, replicas=1):
    """chat has one pod, rank two."""
    def of(name, n):
        return {**pod(name, page.addr), **({"uid": uid(n)} if uids else {})}
    return [workload("chat", replicas, [of("chat-0", 1)]), workload("rank", 2, [of("rank-0", 2), of("rank-1", 3)])]


def test_each_workload_is_sized_by_its_own_processes(tmp_path, node, page, keda):
    n = node("chat-0", "rank-0", "rank-1")
    n.process(11, uid(1), 0.5, gib=20)
    n.process(12, uid(1), 0.2, gib=10)
    n.process(21, uid(2), 0.06, gib=4)
    n.process(31, uid(3), 0.04, gib=4)
    n.start_with_processes()
    with Scaler(tmp_path / "s", works(page), agents=[n.addr], engines={"interval": "500ms"}) as s:
        k = keda(s)
        value = lambda name: k.replicas(name, metadata=RULE)
        eventually("chat grows, rank shrinks", lambda: (value("chat"), value("rank")) == (2, 1))
        eventually("their parts", lambda: is_part(s, "chat", 70) and is_part(s, "rank", 10, parts=2))
        said = explain(s, "chat"), explain(s, "rank")
        assert "gpuUtilization 70% at 50% each needs 1.4 (1 of 1 pod by its own part of shared GPUs)" in said[0], said
        assert "gpuUtilization 10% at 50% each needs 0.2 (2 of 2 pods by their own part of shared GPUs)" in said[1], said
        gpu, parts = owners(s)
        assert gpu["pods"] == 3 and len(gpu["owners"]) == 4
        assert gpu["sharesKnown"] and [p["partGaps"] for p in parts.values()] == [[], [], []]
        assert [round(parts[p]["partUtilizationPct"]) for p in ("chat-0", "rank-0", "rank-1")] == [70, 6, 4]
        assert abs(parts["chat-0"]["partMemoryPct"] - 100 * 30 * GIB / MEMORY) < 0.1
        assert sum(p["partUtilizationPct"] for p in parts.values()) <= gpu["values"]["utilization_pct"] + 1e-9
        # The page shows each pod's own part, and divides the GPU's time by its three holders.
        events = read_feed(s.http, lambda e: len(frames_of(e, "default/rank")) >= 2)
        assert [(g["pod"], g.get("shared"), g["utilizationPct"]) for g in frames_of(events, "default/rank")[-1]["gpus"]] == [
            ("rank-0", "own", 6), ("rank-1", "own", 4)]
        first, last = (frames_of(events, "default/rank")[i] for i in (0, -1))
        assert 0 < last["money"]["gpuSeconds"] <= (last["tS"] - first["tS"]) * 2 / 3 + 0.05
        # Somebody's load goes over to the others: the GPU as a whole does what it did.
        n.process(11, uid(1), 0.06, gib=20)
        n.process(12, uid(1), 0.04, gib=10)
        n.process(21, uid(2), 0.4, gib=4)
        n.process(31, uid(3), 0.3, gib=4)
        eventually("chat shrinks, rank grows", lambda: (value("chat"), value("rank")) == (1, 2))
        # More than there is: the GPU bounds the sum.
        n.process(11, uid(1), 1.0)
        n.process(21, uid(2), 1.0)
        n.ends(12)
        n.ends(31)
        eventually("half each", lambda: is_part(s, "chat", 50) and is_part(s, "rank", 50, parts=2))
        done = run("gpuscale", "top", "--server", f"http://{s.http}", "--once", "--json", "--price", "H100=6")
        top = json.loads(done.stdout)
        paid = {w["target"]: (w["usd_per_hour"], w["idle_usd_per_hour"]) for w in top["workloads"]}
        assert paid == {"deployment/chat": (2, 0), "deployment/rank": (4, 2)}, done.stdout  # rank-1 does nothing
        assert len(top["gpus"][0]["pods"]) == top["gpus"][0]["holders"] == 3


def test_what_no_process_explains_is_a_doubt_not_zero(tmp_path, node, page, keda):
    n = node("chat-0", "rank-0")
    n.process(11, uid(1), 0.5)
    n.start_with_processes()
    with Scaler(tmp_path / "s", [w for w in works(page)[:1]] + [workload("rank", 2, [{**pod("rank-0", page.addr), "uid": uid(2)}])],
                agents=[n.addr], engines={"interval": "500ms"}) as s:
        k = keda(s)
        both = lambda: [k.replicas(name, metadata=RULE) for name in ("chat", "rank")]
        eventually("both known", both)
        # It holds the GPU, and no process of its is there: known to be 0.
        eventually("rank does nothing", lambda: is_part(s, "chat", 50) and is_part(s, "rank", 0))
        # A process of which nobody can say that it is not the pod's: where no other is seen of the pod, nothing is known of it.
        n.process(99, None, 0.4)
        unknown = lambda name: signal(s, name)["partGaps"] == ["notTold"] and signal(s, name)["known"] == 0
        eventually("a doubt", lambda: is_part(s, "chat", 50, 90) and unknown("rank"))
        assert "processes of no known pod" in explain(s, "rank")
        eventually("and no number", lambda: k.code(k.metrics, name="rank", metadata=RULE)[0] == "UNAVAILABLE")
        assert k.code(k.metrics, name="chat", metadata=RULE)[0] == "OK"
        # Whose processes there are cannot be read: as without the option, and no zero.
        (n.proc / "99" / "cgroup").unlink()
        (n.proc / "99" / "cgroup").mkdir()
        eventually("unknown", lambda: unknown("rank") and unknown("chat") and not owners(s)[0]["sharesKnown"])
        shutil.rmtree(n.proc / "99")  # it ended
        del n.player.processes[99]
        eventually("known again", lambda: is_part(s, "rank", 0))


def test_without_the_option_it_is_as_before_and_an_agent_may_be_restarted_with_it(tmp_path, node, page, keda):
    n = node("chat-0", "rank-0", "rank-1")
    n.process(11, uid(1), 0.7)
    n.process(21, uid(2), 0.1)
    n.start()
    with Scaler(tmp_path / "s", works(page), agents=[n.addr], engines={"interval": "500ms"}) as s:
        k = keda(s)
        code = lambda: k.code(k.metrics, "chat", metadata=RULE)
        eventually("nothing to size by", lambda: code()[0] == "UNAVAILABLE" and "1 on shared GPUs" in code()[1])
        said = explain(s, "chat")
        assert "what each pod's processes use is not told (podProcesses off" in said, said
        gpu, parts = owners(s)
        assert not gpu["sharesKnown"] and gpu["values"]["utilization_pct"] == 80
        assert parts["chat-0"]["partGaps"] == ["notTold"] and "partUtilizationPct" not in parts["chat-0"]
        n.start_with_processes()
        eventually("its part", lambda: is_part(s, "chat", 70))
        n.start_with_processes()  # again: another run of it
        eventually("its part", lambda: is_part(s, "chat", 70) and k.replicas("chat", metadata=RULE) == 2)
        n.start()
        eventually("not told any more", lambda: signal(s, "chat")["partGaps"] == ["notTold"])


def test_a_pod_of_a_file_without_its_uid_is_told(tmp_path, node, page, keda):
    n = node("chat-0", "rank-0", "rank-1")
    n.process(11, uid(1), 0.7)
    n.start_with_processes()
    with Scaler(tmp_path / "s", works(page, uids=False), agents=[n.addr], engines={"interval": "500ms"}) as s:
        k = keda(s)
        eventually("nothing to size by", lambda: k.code(k.metrics, "chat", metadata=RULE)[0] == "UNAVAILABLE")
        eventually("why", lambda: "is not known without its UID" in explain(s, "chat"))
        assert owners(s)[1]["chat-0"]["partGaps"] == ["noUid"]
        s.set_workloads(works(page))
        eventually("its part", lambda: is_part(s, "chat", 70))


def test_the_api_gives_the_uids_and_a_replaced_pod_has_another(tmp_path, node, keda):
    n = node("chat-0", "rank-0")
    n.process(11, uid(1), 0.6)
    n.process(21, uid(2), 0.2)
    n.start_with_processes()
    server, config = serve(harness.Certs(tmp_path / "ca"), tmp_path)
    with server:
        cluster = Cluster(server)
        for i, name in enumerate(("chat", "rank"), 1):
            cluster.deployment(name, path=STATEFUL_SETS)
            cluster.pod(f"{name}-0", of=name, kind="StatefulSet", ip=f"127.0.0.{8 + i}", uid=uid(i))
            cluster.scaled_object(name, metadata=RULE, target={"kind": "StatefulSet"})
        with ClusterScaler(tmp_path / "s", config, agents=[n.addr]) as s:
            eventually("their parts", lambda: is_part(s, "chat", 60) and is_part(s, "rank", 20))
            # Another rank-0, made within the second: the process that is left is the old one's.
            cluster.pod("rank-0", of="rank", kind="StatefulSet", ip="127.0.0.10", uid=uid(3))
            eventually("the new pod has none", lambda: is_part(s, "rank", 0))
            n.ends(21)
            n.process(31, uid(3), 0.3)
            eventually("its own", lambda: is_part(s, "rank", 30) and is_part(s, "chat", 60))
            cluster.delete(PODS, "rank-0")
            eventually("no pod", lambda: signal(s, "rank")["pods"] == 0)
            assert is_part(s, "chat", 60)
