# SPDX-License-Identifier: Apache-2.0
"""1,000 ScaledObjects: KEDA asks for all of them, the scaler decides all of them each second, and one of them scales as if it were alone."""

import concurrent.futures

import pytest

from harness import wait_until
from player import Player
from recorder import Recorder
from service import AGENTS, Certificates, Gateway, Scaler
from workloads import RATE, engine_deployment, scaled_object

COUNT = 1000


@pytest.fixture(scope="module")
def cluster(plane):
    certificates = Certificates(plane)
    player = Player(plane, nodes=1, agent_flags=certificates.agent_flags()).start()
    player.agent_service(AGENTS)
    gateway = Gateway(player, "none")
    quiet = Gateway(player, "none")
    scaler = Scaler(plane, certificates, demand={"gateway": gateway.demand(), "quiet": quiet.demand()}).start()
    yield plane, player, scaler, gateway
    scaler.process.stop()
    for one in (gateway, quiet):
        one.stop()
    player.stop()


def test_one_of_a_thousand_wakes(cluster):
    plane, player, scaler, gateway = cluster
    ns = plane.namespace("many")

    def make(i):
        name = f"llm-{i:04}"
        plane.rest.call("POST", f"/apis/apps/v1/namespaces/{ns}/deployments", engine_deployment(ns, name, replicas=0)[0])
        plane.rest.call("POST", f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects", scaled_object(
            ns, name, {**RATE, "demand": "gateway" if i == 700 else "quiet"}, least=0, pollingInterval=30)[0])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(COUNT)))

    def known():
        return [o for o in scaler.api("/api/v1/objects?limit=1")["items"]] and scaler.api("/api/v1/objects?limit=1")["total"]

    wait_until(lambda: known() == COUNT, "the scaler knows them all", 240)
    wait_until(lambda: len(plane.items(f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers")) == COUNT,
               "KEDA has made all HPAs", 480, 1)
    wait_until(lambda: scaler.page("gpuscale_grpc_streams")[frozenset({("method", "StreamIsActive")})] == COUNT,
               "KEDA has a stream for each of them", 240, 1)
    recorder = Recorder(plane, ns, "llm-0700")
    gateway.namespace = ns
    gateway.rate = 2
    wait_until(lambda: len([d for d in gateway.done if d[2] == 200]) > 5, "requests are answered", 120)
    assert recorder.counts()[:2] == [0, 1]
    others = [d for d in plane.items(f"/apis/apps/v1/namespaces/{ns}/deployments")
              if d["spec"]["replicas"] and d["metadata"]["name"] != "llm-0700"]
    assert not others, "nobody else woke"
    rss = next(int(line.split()[1]) // 1024 for line in open(f"/proc/{scaler.process.proc.pid}/status") if line.startswith("VmRSS:"))
    first = min(gateway.done)
    print(f"\n{COUNT} ScaledObjects: scaler {rss} MiB RSS; the first request was answered after {first[1]:.2f} s, 2 s of which load the model")
    gateway.rate = 0
    recorder.stop()
