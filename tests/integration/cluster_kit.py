# SPDX-License-Identifier: Apache-2.0
"""A cluster for the scaler: the API server that kube_kit plays, with the objects that it follows, and a scaler that
knows it by a kubeconfig. Pods' pages lie on loopback addresses of their own, all on one port."""

import json
import time

import pytest

from harness import Certs, Program
from kube_kit import Server, kubeconfig
from scaler_kit import LLM, Scaler, VllmPod

SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/scaledobjects"
PODS = "/api/v1/pods"
DEPLOYMENTS = "/apis/apps/v1/deployments"
STATEFUL_SETS = "/apis/apps/v1/statefulsets"
REPLICA_SETS = "/apis/apps/v1/replicasets"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/gpuscale/endpointslices"
ROLLOUT = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
ADDRESS = "gpuscale-scaler.gpuscale.svc:9443"


def stamp(at=None):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if at is None else at))


def owner(kind, name, uid):
    return {"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}]}


class Cluster:
    """What kubectl and the controllers would write."""

    def __init__(self, server):
        self.server, self.api = server, server.api

    def uid(self, path, namespace, name):
        return self.api.objects[path][(namespace, name)]["metadata"]["uid"]

    def deployment(self, name="llm", replicas=1, namespace="default", status=None, path=DEPLOYMENTS, labels=None):
        """With a ReplicaSet, where it is a Deployment."""
        labels = labels or {"app": name}
        self.api.put(path, namespace, name,
                     spec={"replicas": replicas, "selector": {"matchLabels": labels}},
                     status={"replicas": replicas if status is None else status})
        if path == DEPLOYMENTS:
            self.api.put(REPLICA_SETS, namespace, f"{name}-1",
                         metadata=owner("Deployment", name, self.uid(path, namespace, name)),
                         spec={"replicas": replicas, "selector": {"matchLabels": labels}}, status={"replicas": replicas})

    def rollout(self, name="llm", replicas=1, answer=None, selector="app=llm"):
        """A target that is known by its scale alone; `answer`: (status, body) of asking for that."""
        group = "/apis/argoproj.io/v1alpha1"
        self.server.answers[("GET", group)] = (200, {"kind": "APIResourceList", "groupVersion": "argoproj.io/v1alpha1", "resources": [
            {"name": "rollouts", "kind": "Rollout", "namespaced": True}, {"name": "rollouts/scale", "kind": "Scale"}]})
        self.server.answers[("GET", f"{group}/namespaces/default/rollouts/{name}/scale")] = answer or (200, {
            "kind": "Scale", "metadata": {"name": name, "namespace": "default", "uid": "r-1"},
            "spec": {"replicas": replicas}, "status": {"replicas": replicas, "selector": selector}})

    def pod(self, name, of="llm-1", kind="ReplicaSet", namespace="default", ip="", ready=True, phase="Running",
            deleted=False, labels=None, created=None, uid=None, **status):
        path = {"ReplicaSet": REPLICA_SETS, "StatefulSet": STATEFUL_SETS}.get(kind)
        metadata = {"creationTimestamp": stamp(created), "labels": labels or {"app": of}}
        if path:
            metadata |= owner(kind, of, self.uid(path, namespace, of))
        if uid:
            metadata["uid"] = uid
        if deleted:
            metadata["deletionTimestamp"] = stamp()
        conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": stamp()}]
        self.api.put(PODS, namespace, name, metadata=metadata, spec={"nodeName": "node-a"},
                     status={"phase": phase, "conditions": conditions + status.pop("conditions", []),
                             **({"podIP": ip} if ip else {}), **status})

    def scaled_object(self, name="llm", metadata=None, namespace="default", target=None, kind="external", paused=False,
                      triggers=None, **spec):
        metadata = {"scalerAddress": ADDRESS, **(LLM if metadata is None else metadata)}
        self.api.put(SCALED_OBJECTS, namespace, name,
                     metadata={"annotations": {"autoscaling.keda.sh/paused": "true"}} if paused else {},
                     spec={"scaleTargetRef": {"name": name, **(target or {})}, **spec,
                           "triggers": triggers or [{"type": kind, "metadata": metadata}]})
        return metadata

    def agents(self, *addresses, name="gpuscale-agent-x", service="gpuscale-agent", ports=None):
        """An EndpointSlice; addresses are HOST:PORT with one port."""
        port = int(addresses[0].rsplit(":", 1)[1]) if addresses else 9443
        self.api.put(SLICES, "gpuscale", name, metadata={"labels": {"kubernetes.io/service-name": service}},
                     addressType="IPv4", ports=ports or [{"name": "metrics", "port": 9400}, {"name": "grpc", "port": port}],
                     endpoints=[{"addresses": [a.rsplit(":", 1)[0]], "conditions": {"ready": True}} for a in addresses])

    def delete(self, path, name, namespace="default"):
        self.api.delete(path, namespace, name)


class Pages:
    """vLLM pods' pages: pages.add() -> (page, IP); `port` is that of all."""

    def __init__(self):
        self.pages, self.port = [], 0

    def add(self, **kwargs):
        ip = f"127.0.0.{10 + len(self.pages)}"
        self.pages.append(VllmPod(at=(ip, self.port), **kwargs))
        self.port = self.pages[-1].server.server_address[1]
        return self.pages[-1], ip

    def close(self):
        for page in self.pages:
            page.close()


class ClusterScaler(Scaler):
    """`gpuscale scaler` that learns from the cluster."""

    def __init__(self, folder, config, kubernetes=None, agents=(), listen="127.0.0.1:0", env=None, **more):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        settings = {"grpc": {"listen": listen}, "http": {"listen": "127.0.0.1:0"}, "health": {"listen": "127.0.0.1:0"},
                    "kubernetes": {"enabled": True, "kubeconfig": str(config), **(kubernetes or {})},
                    "engines": {"interval": "500ms"}, "agents": {"targets": list(agents)}, **more}
        (folder / "scaler.yaml").write_text(json.dumps(settings))
        self.program = Program("gpuscale", "scaler", "--config", folder / "scaler.yaml", env=env)
        self.grpc = self.program.addr("grpc")
        self.http = self.program.addr("http")
        self.health = self.program.addr("health")

    def workload(self, target="deployment/llm", namespace="default"):
        for w in self.api("/api/v1/workloads?limit=1000")["items"]:
            if w["target"] == target and w["namespace"] == namespace:
                return w
        return None

    def objects(self, name="llm", namespace="default"):
        return [o for o in self.api("/api/v1/objects?limit=1000")["items"]
                if o["name"] == name and o["namespace"] == namespace]


def serve(certs, tmp_path, name="api"):
    """(server, kubeconfig file)"""
    server = Server(*certs.leaf(name), client_ca=certs.ca)
    server.tokens = {"t0k3n"}
    return server, kubeconfig(tmp_path / f"{name}.config", server.url, certs.ca, {"token": "t0k3n"})


def again(server, certs, name="api"):
    """The same API server on the same port with the same objects, after it was stopped."""
    fresh = Server(*certs.leaf(name), client_ca=certs.ca, port=server.server_address[1])
    fresh.api, fresh.tokens, fresh.answers, fresh.requests = server.api, server.tokens, server.answers, server.requests
    return fresh


def events(server):
    """{(ScaledObject, reason): the newest message} and how often it was told, of the Events written."""
    told, names = {}, {}
    for r in list(server.requests):
        if "/events" not in r["path"] or r["method"] not in ("POST", "PATCH"):
            continue
        body = json.loads(r["body"])
        if r["method"] == "POST":
            key = (body["involvedObject"]["name"], body["reason"])
            names[f"{r['path']}/{body['metadata']['name']}"] = key
            told[key] = body
        else:
            told[names[r["path"]]] = {**told[names[r["path"]]], **body}
    return told


def record(scaler, name="llm"):
    """The newest decision."""
    return scaler.api(f"/api/v1/decisions?namespace=default&name={name}&limit=1")["items"][0]["records"][-1]


# Fixtures: a module has them by importing them.
@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("cluster-ca"))


@pytest.fixture
def world(tmp_path, certs):
    """(cluster, kubeconfig)"""
    server, config = serve(certs, tmp_path)
    with server:
        yield Cluster(server), config


@pytest.fixture
def pages():
    p = Pages()
    yield p
    p.close()
