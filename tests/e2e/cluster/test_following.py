# SPDX-License-Identifier: Apache-2.0
"""The scaler follows a real cluster: with no more rights than docs/cluster.md names it learns workloads, pods and agents, and
KEDA and the HPA scale by its number."""

import json

import pytest

from harness import Program, http_get, metric_values
from player import Player
from workloads import engine_deployment

ADDRESS = "10.244.255.10"
RULES = [(["keda.sh"], ["scaledobjects"], ["list", "watch"]), (["keda.sh"], ["scaledjobs"], ["get"]),
         ([""], ["pods"], ["list", "watch"]), ([""], ["events"], ["create", "patch"]),
         (["apps"], ["deployments", "statefulsets", "replicasets"], ["list", "watch"]),
         (["autoscaling"], ["horizontalpodautoscalers"], ["list", "watch"]),
         (["resource.k8s.io"], ["resourceslices"], ["list", "watch"])]


class Scaler:
    def __init__(self, plane, folder, config, **more):
        folder.mkdir(exist_ok=True)
        settings = {"grpc": {"listen": f"{ADDRESS}:9443"}, "http": {"listen": f"{ADDRESS}:9444"},
                    "health": {"listen": f"{ADDRESS}:8081"}, "engines": {"interval": "1s"},
                    "kubernetes": {"enabled": True, "kubeconfig": str(config), **more}}
        (folder / "scaler.yaml").write_text(json.dumps(settings))
        self.program = Program("gpuscale", "scaler", "--config", folder / "scaler.yaml")
        self.program.addr("grpc")

    def api(self, path):
        status, _, body = http_get(f"http://{ADDRESS}:9444{path}")
        assert status == 200, body
        return json.loads(body)

    def ready(self):
        status, _, body = http_get(f"http://{ADDRESS}:8081/readyz")
        return status == 200 and body.strip() == b"ok"

    def object(self, name):
        found = [o for o in self.api("/api/v1/objects?limit=1000")["items"] if o["name"] == name]
        return found[0] if found else {}


@pytest.fixture(scope="module")
def player(plane):
    with Player(plane, nodes=2, gpus=4) as player:
        yield player


@pytest.fixture(scope="module")
def scaler(plane, player, tmp_path_factory):
    plane.kubectl("create", "namespace", "gpuscale")
    plane.apply([{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "following"},
                  "rules": [{"apiGroups": g, "resources": r, "verbs": v} for g, r, v in RULES]},
                 {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "following"},
                  "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "following"},
                  "subjects": [{"kind": "ServiceAccount", "name": "scaler", "namespace": "gpuscale"}]},
                 {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                  "metadata": {"name": "following", "namespace": "gpuscale"},
                  "rules": [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]},
                 {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                  "metadata": {"name": "following", "namespace": "gpuscale"},
                  "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "following"},
                  "subjects": [{"kind": "ServiceAccount", "name": "scaler", "namespace": "gpuscale"}]},
                 {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gpuscale-agent", "namespace": "gpuscale"},
                  "spec": {"clusterIP": "None", "ports": [{"name": "grpc", "port": 9443}]}},
                 {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                  "metadata": {"name": "gpuscale-agent-1", "namespace": "gpuscale",
                               "labels": {"kubernetes.io/service-name": "gpuscale-agent"}},
                  "ports": [{"name": "grpc", "port": 9443}],
                  "endpoints": [{"addresses": [n.address], "conditions": {"ready": True}} for n in player.nodes.values()]}])
    s = Scaler(plane, tmp_path_factory.mktemp("scaler"), plane.service_account("gpuscale", "scaler"),
               agents={"service": "gpuscale/gpuscale-agent"})
    with s.program:
        plane.wait_until(s.ready, "the scaler is ready")
        yield s


def scaled_object(ns, name="llm", metadata=None, **spec):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name, "namespace": ns},
            "spec": {"scaleTargetRef": {"name": name}, "minReplicaCount": 1, "maxReplicaCount": 8, "pollingInterval": 2,
                     "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {
                         "stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]}}}}, **spec,
                     "triggers": [{"type": "external", "metadata": {"scalerAddress": f"{ADDRESS}:9443", **(metadata or {})}}]}}


FAST = {"rateWindow": "5s", "downWindow": "10s", "maxAge": "10s"}


def replicas(plane, ns, name="llm"):
    return plane.get(f"/apis/apps/v1/namespaces/{ns}/deployments/{name}")["spec"]["replicas"]


def test_keda_scales_by_the_number_and_agents_are_found(plane, player, scaler):
    ns = plane.namespace("follow")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s"))
    plane.apply([scaled_object(ns, metadata={**FAST, "queue": "2", "gpuUtilization": "55", "requestRate": "3", "metricsPort": "8000"})])
    plane.wait_until(lambda: scaler.object("llm").get("desired") == 1, "it is decided")
    plane.wait_until(lambda: metric_values(http_get(f"http://{ADDRESS}:9444/metrics")[2], "gpuscale_agents_connected")
                     [frozenset()] == 2, "both agents")
    pod = plane.items(f"/api/v1/namespaces/{ns}/pods")[0]
    plane.wait_until(lambda: plane.get(f"/api/v1/namespaces/{ns}/pods/{pod['metadata']['name']}")["status"].get("podIP"), "an IP")
    ip = plane.get(f"/api/v1/namespaces/{ns}/pods/{pod['metadata']['name']}")["status"]["podIP"]
    with Program("gpuscale", "load", "--target", f"http://{ip}:8000/predict", "--method", "POST", "--rate", "8", "--duration", "2m"):
        plane.wait_until(lambda: replicas(plane, ns) >= 3, "KEDA and the HPA scale up")
    assert scaler.object("llm")["workload"] == "deployment/llm"
    plane.wait_until(lambda: replicas(plane, ns) == 1, "and down again", 120)


def test_a_gpu_of_a_resource_claim_is_its_pods(plane, player, scaler):
    """The kubelet names a device of DRA; the API server's ResourceSlice says which GPU it is."""
    ns = plane.namespace("claims")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s"))
    plane.apply([scaled_object(ns, metadata={**FAST, "engine": "vllm", "capacity": "3", "metricsPort": "8000"})])
    node = player.nodes["node-1"]
    uuid = node.free[-1][1]
    plane.apply([{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "node-1-gpus"}, "spec": {
        "driver": "gpu.nvidia.com", "nodeName": "node-1", "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-7", "attributes": {"uuid": {"string": uuid}, "index": {"int": 7}}}]}}])
    answer = {"podResources": [{"name": "claimer", "namespace": ns, "containers": [{"name": "main", "dynamicResources": [
        {"claimName": "one", "claimNamespace": ns, "claimResources": [
            {"driverName": "gpu.nvidia.com", "poolName": "node-1", "deviceName": "gpu-7"}]}]}]}]}
    node.kubelet.set_answer(answer)

    def owners():
        return {g["uuid"]: (g["ownersKnown"], [o["pod"] for o in g["owners"]]) for g in scaler.api("/api/v1/gpus?limit=100")["items"]}

    plane.wait_until(lambda: owners()[uuid] == (True, ["claimer"]), "the GPU is its pod's")
    assert all(known and not pods for u, (known, pods) in owners().items() if u != uuid and u in {x[1] for x in node.free}), "the others are free"
    node._tell()
    plane.wait_until(lambda: owners()[uuid] == (True, []), "released")
