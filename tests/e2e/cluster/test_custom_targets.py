# SPDX-License-Identifier: Apache-2.0
"""Targets that are none of Kubernetes' own, through their scale subresource: the real definitions of Argo's Rollout and of
LeaderWorkerSet, from their Go modules. Their controllers are played here (the child that each makes, its size, the status that the scale
is read from); pods are made of the children by kube-controller-manager, and scaled by the real KEDA and HPA."""

import pathlib
import subprocess
import threading
import time

import pytest

from harness import http_get
from service import Rig
from workloads import RATE, engine_deployment, scaled_object

HERE = pathlib.Path(__file__).resolve().parent
NAME = "llm"
LWS = "leaderworkerset.sigs.k8s.io"


class Kind:
    """A custom target `NAME` in a namespace, and its controller."""
    group = version = kind = plural = child_kind = child_path = None

    def __init__(self, plane, namespace):
        self.plane, self.ns = plane, namespace
        template = engine_deployment(namespace, NAME, load_time="1s")[0]["spec"]["template"]
        self.path = f"/apis/{self.group}/{self.version}/namespaces/{namespace}/{self.plural}/{NAME}"
        self.child = f"/apis/apps/v1/namespaces/{namespace}/{self.child_path}/{NAME}"
        plane.apply([{"apiVersion": f"{self.group}/{self.version}", "kind": self.kind, "metadata": {"name": NAME, "namespace": namespace},
                      "spec": {"replicas": 1, **self.spec(template)}}])
        uid = plane.get(self.path)["metadata"]["uid"]
        plane.apply([{"apiVersion": "apps/v1", "kind": self.child_kind,
                      "metadata": {"name": NAME, "namespace": namespace, "ownerReferences": [{
                          "apiVersion": f"{self.group}/{self.version}", "kind": self.kind, "name": NAME, "uid": uid, "controller": True}]},
                      "spec": {"replicas": 1, **self.child_spec(template)}}])

    def reconcile(self):
        wanted, child = self.plane.get(self.path)["spec"]["replicas"], self.plane.get(self.child)
        if child["spec"]["replicas"] != wanted:
            self.plane.patch(self.child, {"spec": {"replicas": wanted}})
        self.plane.patch(self.path + "/status", {"status": self.status(child["status"].get("replicas", 0))})

    def replicas(self):
        return self.plane.get(self.path)["spec"]["replicas"]


class Rollout(Kind):
    group, version, kind, plural, child_kind, child_path = "argoproj.io", "v1alpha1", "Rollout", "rollouts", "ReplicaSet", "replicasets"

    def spec(self, template):
        return {"selector": {"matchLabels": {"app": NAME}}, "template": template, "strategy": {"canary": {}}}

    def child_spec(self, template):
        return {"selector": {"matchLabels": {"app": NAME}}, "template": template}

    def status(self, n):
        return {"replicas": n, "HPAReplicas": n, "selector": f"app={NAME}"}


class LeaderWorkerSet(Kind):
    group, version, kind, plural = "leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets"
    child_kind, child_path = "StatefulSet", "statefulsets"
    labels = {f"{LWS}/name": NAME, f"{LWS}/worker-index": "0"}

    def spec(self, template):
        return {"leaderWorkerTemplate": {"size": 1, "workerTemplate": template}}

    def child_spec(self, template):
        return {"selector": {"matchLabels": self.labels}, "serviceName": NAME, "podManagementPolicy": "Parallel",
                "template": {**template, "metadata": {"labels": self.labels}}}

    def status(self, n):
        return {"replicas": n, "hpaPodSelector": ",".join(f"{k}={v}" for k, v in self.labels.items())}


KINDS = (Rollout, LeaderWorkerSet)


class Controlled(Rig):
    def __init__(self, plane):
        super().__init__(plane, gpus=4)
        self.targets, self.stopping = [], False
        for file in subprocess.run([HERE / "crds/fetch.sh", "targets"], check=True, capture_output=True, text=True).stdout.split():
            plane.kubectl("apply", "--server-side", "-f", file)
        self.start()
        self.controller = threading.Thread(target=self.control, daemon=True)
        self.controller.start()

    def control(self):
        while not self.stopping:
            for target in list(self.targets):
                target.reconcile()
            time.sleep(0.2)

    def may_read(self, kind):
        """The right that docs/install.md asks for such a target."""
        name, group = f"scale-{kind.plural}", "rbac.authorization.k8s.io"
        self.plane.apply([
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name},
             "rules": [{"apiGroups": [kind.group], "resources": [f"{kind.plural}/scale"], "verbs": ["get"]}]},
            {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
             "subjects": [{"kind": "ServiceAccount", "name": "gpuscale-scaler", "namespace": "gpuscale"}],
             "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name}}])

    def trouble(self, ns):
        """What an operator finds of it: in the ScaledObject's Events, and on /readyz."""
        text = http_get(f"http://{self.scaler.address}:8081/readyz", deadline_s=5)[2].decode()
        return text + " ".join(e.get("note") or e.get("message") or "" for e in self.plane.events(ns))

    def stop(self):
        self.stopping = True
        self.controller.join(10)
        super().stop()


@pytest.fixture(scope="module")
def rig(plane):
    rig = Controlled(plane)
    yield rig
    rig.stop()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.kind)
def test_a_target_of_its_own_kind_is_scaled_up_and_down(rig, kind):
    plane, ns = rig.plane, rig.plane.namespace(kind.plural)
    rig.gateway.namespace = ns
    target = kind(plane, ns)
    rig.targets.append(target)

    def ready():
        return len(rig.ready(ns))

    def now():
        return rig.scaler.decided(ns, NAME)["now"]

    def settled(n):
        return target.replicas() == n and ready() == n and now()["ready"] == n

    plane.wait_until(lambda: ready() == 1, "its pod is ready")
    plane.apply(scaled_object(ns, NAME, RATE, scaleTargetRef={"apiVersion": f"{kind.group}/{kind.version}", "kind": kind.kind,
                                                              "name": NAME}))
    # Without the right to read its scale nothing is decided, and it is said which right that is.
    plane.wait_until(lambda: f"{kind.plural}/scale" in rig.trouble(ns), "the right that is missing is named")
    assert target.replicas() == 1
    rig.may_read(kind)
    plane.wait_until(lambda: settled(1), "one is seen")
    rig.gateway.rate = 10  # at 4 requests/s a replica three are needed
    try:
        plane.wait_until(lambda: settled(3), "three are ready")
        plane.wait_until(lambda: (r := now())["specReplicas"] == r["statusReplicas"] == r["desired"] == 3, "the scaler sees that")
    finally:
        rig.gateway.rate = 0
    plane.wait_until(lambda: settled(1), "one is left")
    assert all(status == 200 for _, _, status in rig.gateway.done)
