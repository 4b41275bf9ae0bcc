# SPDX-License-Identifier: Apache-2.0
"""10,000 pods, made and told ready by KWOK on nodes that are objects only: the scaler's watches keep up, and read all of it again after
the API server was away."""

import time

import pytest

from harness import wait_until
from plane import Process
from service import Certificates, Scaler
from workloads import engine_deployment, scaled_object

COUNT, SERVICES, NODES = 10_000, 10, 50

STAGES = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions: [{key: '.status.phase', operator: NotIn, values: [Running]}]
  next:
    statusTemplate: |
      phase: Running
      conditions:
      - {type: Ready, status: "True", reason: KubeletReady, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.phase', operator: In, values: [Pending]}
  next:
    statusTemplate: |
      phase: Running
      startTime: {{ Now | Quote }}
      podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
      conditions:
      - {type: Initialized, status: "True", lastTransitionTime: {{ Now | Quote }}}
      - {type: ContainersReady, status: "True", lastTransitionTime: {{ Now | Quote }}}
      - {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
"""


@pytest.fixture(scope="module")
def kwok(plane):
    stages = plane.folder / "stages.yaml"
    stages.write_text(STAGES)
    process = Process(plane.folder, "kwok", [plane.programs["kwok"], f"--kubeconfig={plane.admin}", f"--config={stages}", "--manage-all-nodes",
                                             "--node-lease-duration-seconds=40"])
    plane.processes["kwok"] = process
    process.start()
    resources = {"cpu": "64", "memory": "512Gi", "pods": "250", "nvidia.com/gpu": "250"}
    for i in range(NODES):
        plane.rest.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"kwok-{i}"},
                                                  "status": {"capacity": resources, "allocatable": resources}})
    return process


def test_ten_thousand_pods(plane, kwok):
    # Nothing answers on these pods' addresses: their pages are asked for as seldom as may be.
    scaler = Scaler(plane, Certificates(plane), engines={"interval": "1m"}).start()
    ns = plane.namespace("pods")
    for i in range(SERVICES):
        plane.apply(engine_deployment(ns, f"llm-{i}", replicas=COUNT // SERVICES)
                    + scaled_object(ns, f"llm-{i}", {"requestRate": "4"}, most=COUNT))
    began = time.monotonic()

    def known():
        return scaler.page("gpuscale_cluster_objects")[frozenset({("resource", "pods")})]

    def ready():
        return sum(p["state"] == "ready" for w in scaler.api("/api/v1/workloads")["items"] for p in w["pods"])

    wait_until(lambda: known() == COUNT, "all pods are made", 600, 1)
    wait_until(lambda: ready() == COUNT, "all are ready, and the scaler knows", 600, 1)
    made_s = time.monotonic() - began
    plane.restart("kube-apiserver")
    plane.wait_ready()
    gone = set(plane.kubectl("get", "pod", "-n", ns, "-l", "app=llm-0", "-o", "name", "--no-headers").split()[:100])
    gone = {name.removeprefix("pod/") for name in gone}
    for name in gone:
        plane.delete(f"/api/v1/namespaces/{ns}/pods/{name}", gracePeriodSeconds=0)
    wait_until(lambda: not gone & {p["name"] for w in scaler.api("/api/v1/workloads")["items"] for p in w["pods"]} and ready() == COUNT,
               "a hundred of them were made anew, and the scaler knows", 600, 1)
    status = open(f"/proc/{scaler.process.proc.pid}/status").read()
    rss = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
    print(f"\n{COUNT} pods: made by KWOK and known in {made_s:.0f} s; scaler {rss} MiB RSS")
    for resource in ("pods", "deployments", "scaledobjects"):
        assert scaler.page("gpuscale_cluster_synced")[frozenset({("resource", resource)})] == 1
    scaler.process.stop()
