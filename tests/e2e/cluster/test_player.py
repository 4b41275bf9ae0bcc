# SPDX-License-Identifier: Apache-2.0
"""The kubelets that the cluster tests play: real engines on pod IPs, real agents on nodes, placed by the real scheduler."""

import ssl
import time
import urllib.request

import pytest

from harness import Program, http_get, metric_values
from plane import Plane
from player import Node, Player
from workloads import engine_deployment


@pytest.fixture(scope="module")
def player(plane):
    with Player(plane, nodes=2, gpus=4) as player:
        yield player


def pods(plane, ns):
    return plane.items(f"/api/v1/namespaces/{ns}/pods")


def ready(plane, ns):
    return [p for p in pods(plane, ns) if not p["metadata"].get("deletionTimestamp")
            and any(c["type"] == "Ready" and c["status"] == "True" for c in p.get("status", {}).get("conditions", []))]


def owners(node):
    _, _, page = http_get(f"http://{node.address}:9400/metrics")
    return {dict(k)["pod"] for k in metric_values(page, "gpuscale_gpu_owner_info")}


def test_pods_start_serve_and_end(plane, player):
    ns = plane.namespace("life")
    plane.apply(engine_deployment(ns, "llm", replicas=2, load_time="1s"))
    plane.wait_until(lambda: len(pods(plane, ns)) == 2 and all(p.get("status", {}).get("phase") == "Running" for p in pods(plane, ns)),
                     "both run")
    plane.wait_until(lambda: len(ready(plane, ns)) == 2, "both are ready once their model is loaded")
    for pod in ready(plane, ns):
        assert http_get(f"http://{pod['status']['podIP']}:8000/ready")[0] == 200
    names = {p["metadata"]["name"] for p in pods(plane, ns)}
    plane.wait_until(lambda: names <= set().union(*(owners(n) for n in player.nodes.values())), "agents tell whose the GPUs are")
    plane.patch(f"/apis/apps/v1/namespaces/{ns}/deployments/llm", {"spec": {"replicas": 0}})
    plane.wait_until(lambda: not pods(plane, ns) and not player.of(ns), "they are gone")
    plane.wait_until(lambda: not any(owners(n) & names for n in player.nodes.values()), "their GPUs are free")


def test_more_pods_than_gpus_wait(plane, player):
    ns = plane.namespace("full")
    plane.apply(engine_deployment(ns, "llm", replicas=9, load_time="0s"))
    plane.wait_until(lambda: len(ready(plane, ns)) == 8, "eight have a GPU")
    waiting = [p for p in pods(plane, ns) if p["status"]["phase"] == "Pending"]
    assert len(waiting) == 1
    plane.wait_until(lambda: any(c.get("reason") == "Unschedulable" for c in plane.get(
        f"/api/v1/namespaces/{ns}/pods/{waiting[0]['metadata']['name']}")["status"].get("conditions", [])), "the ninth has none")
    plane.kubectl("delete", "namespace", ns)
    plane.wait_until(lambda: not player.of(ns), "no process is left")


def test_gpu_is_busy_while_its_engine_works(plane, player):
    ns = plane.namespace("busy")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s"))
    plane.wait_until(lambda: ready(plane, ns), "it is ready")
    address = ready(plane, ns)[0]["status"]["podIP"]

    def utilization():
        found = [v for n in player.nodes.values() for k, v in metric_values(
            http_get(f"http://{n.address}:9400/metrics")[2], "gpuscale_gpu_utilization_ratio").items()]
        return max(found, default=None)

    assert utilization() == 0
    with Program("gpuscale", "load", "--target", f"http://{address}:8000/predict", "--method", "POST", "--rate", "8", "--duration", "1m"):
        plane.wait_until(lambda: utilization() > 0.5, "the agent reads a busy GPU")


def test_what_a_pod_uses_is_on_the_kubelets_page(plane, player):
    ns = plane.namespace("usage")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s", cpu="openai"))
    plane.wait_until(lambda: ready(plane, ns), "it is ready")
    pod = ready(plane, ns)[0]
    context = ssl.create_default_context(cafile=str(plane.certs.ca))
    node = plane.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")["status"]
    url = f"https://{pod['status']['hostIP']}:{node['daemonEndpoints']['kubeletEndpoint']['Port']}/metrics/resource"

    def read(name):
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]  # name{labels} value milliseconds
        label = f'pod="{pod["metadata"]["name"]}"'
        return float(next(line[1] for line in lines if line[0].startswith(name) and label in line[0]))

    began, started = read("container_cpu_usage_seconds_total"), read("container_start_time_seconds")
    assert began > 0 and read("container_memory_working_set_bytes") > 1e6
    assert abs(started - time.time()) < 600
    with Program("gpuscale", "load", "--target", f"http://{pod['status']['podIP']}:8000", "--openai", "1000:16", "--rate", "20", "--duration", "1m"):
        plane.wait_until(lambda: read("container_cpu_usage_seconds_total") > began + 0.1, "requests burn CPU time, and it is told")
    assert read("container_start_time_seconds") == started  # metrics-server takes nothing of one whose start moves


def test_a_container_that_ends_starts_again(plane, player):
    ns = plane.namespace("crash")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s"))
    plane.wait_until(lambda: ready(plane, ns), "it is ready")
    player.of(ns)[0].kill_container()
    plane.wait_until(lambda: pods(plane, ns)[0]["status"]["containerStatuses"][0]["restartCount"] == 1 and ready(plane, ns),
                     "it is ready again")


def test_what_started_ends_with_the_plane_that_it_stands_on(plane, monkeypatch, tmp_path):
    """A fixture that fails before its `yield` stops nothing itself."""
    monkeypatch.setattr(Node, "_register", lambda self: 1 / 0)
    player = Player(plane, nodes=0)
    node = player.nodes["node-9"] = Node(player, 9, 4, ())
    with pytest.raises(ZeroDivisionError):
        player.start()
    assert node.agent.running() and plane.adopted[-1] is player

    class Broken(Plane):
        def start(self):
            self._spawn("sleep", ["600"])
            self.adopt(player)
            raise AssertionError("a program of it does not come up")

    broken = Broken(tmp_path, {"sleep": "/bin/sleep"})
    with pytest.raises(AssertionError, match="come up"), broken:
        pass
    assert not broken.processes["sleep"].running() and not node.agent.running()
