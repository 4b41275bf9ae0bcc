# SPDX-License-Identifier: Apache-2.0
"""A scaler that serves external.metrics.k8s.io in a plane without KEDA, registered as docs/metrics-api.md says, and calls to its
own port past the API server."""

import base64
import http.client
import json
import pathlib
import re
import ssl

import yaml

from harness import Certs, Program

GROUP = "external.metrics.k8s.io"
BASE = f"/apis/{GROUP}/v1beta1"
ADDRESS = "10.244.255.10"
SERVICE = "gpuscale-scaler.gpuscale.svc"
DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "metrics-api.md"


def documented_manifest(ca, addresses=(ADDRESS,)):
    """The manifest of docs/metrics-api.md, with the authority's bundle in its place."""
    text = re.search(r"```yaml\n(# registration\.yaml\n.*?)```", DOCS.read_text(), re.S).group(1)
    bundle = base64.b64encode(ca.read_bytes()).decode()
    objects = list(yaml.safe_load_all(text.replace("CA_BUNDLE", bundle)))
    for service in [o for o in objects if o["kind"] == "Service"]:
        del service["spec"]["selector"]  # no pod: the endpoint below
    return objects + [{
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "gpuscale-scaler-1", "namespace": "gpuscale", "labels": {"kubernetes.io/service-name": "gpuscale-scaler"}},
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
        "ports": [{"name": "metrics-api", "port": 6443, "protocol": "TCP"}]}]


def follower_role():
    """What the scaler follows in a cluster (docs/cluster.md)."""
    def rule(group, *resources):
        return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "gpuscale-scaler"},
         "rules": [rule("", "pods"), rule("apps", "deployments", "statefulsets", "replicasets"), rule("keda.sh", "scaledobjects"),
                   rule("autoscaling", "horizontalpodautoscalers")]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "gpuscale-scaler"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gpuscale-scaler"},
         "subjects": [{"kind": "ServiceAccount", "name": "gpuscale-scaler", "namespace": "gpuscale"}]}]


def documented_hpa():
    """The HPA of docs/metrics-api.md."""
    return re.search(r"```yaml\n(# hpa\.yaml\n.*?)```", DOCS.read_text(), re.S).group(1)


class ApiScaler:
    """`gpuscale scaler` as an endpoint of the Service, with the rights of its ServiceAccount. more_of(cert, key): further
    configuration that names its certificate."""

    def __init__(self, plane, folder, rules, address=ADDRESS, more_of=lambda cert, key: {}, **more):
        self.plane, self.folder = plane, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        cert, key = plane.certs.leaf("scaler", f"DNS:{SERVICE}")
        self.config = {
            "grpc": {"listen": f"{address}:9443"}, "http": {"listen": f"{address}:9444"}, "health": {"listen": f"{address}:8081"},
            "kubernetes": {"enabled": True, "kubeconfig": str(plane.service_account("gpuscale", "gpuscale-scaler"))},
            "metricsAPI": {"enabled": True, "listen": f"{address}:6443", "tls": {"cert": str(cert), "key": str(key)}},
            "rules": rules, **more, **more_of(cert, key)}
        self.program = None

    def start(self):
        path = self.folder / "scaler.yaml"
        path.write_text(json.dumps(self.config))  # JSON is YAML
        self.program = Program("gpuscale", "scaler", "--config", path)
        return self

    def stop(self):
        self.program.stop()
        self.program = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if self.program is None:
            return
        if kind is None:
            self.program.stop()
        else:
            self.program.__exit__(kind, value, trace)


def call(plane, path, headers=(), cert=None, address=ADDRESS):
    """(status, JSON or text) of a scaler's own port."""
    context = ssl.create_default_context(cafile=str(plane.certs.ca))
    context.check_hostname = False  # the name is the Service's; the address is not in the certificate
    if cert:
        context.load_cert_chain(*[str(f) for f in cert])
    connection = http.client.HTTPSConnection(address, 6443, context=context, timeout=20)
    try:
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    return answer.status, json.loads(body) if answer.headers["Content-Type"].startswith("application/json") else body.decode()


def front_leaf(plane, name, **more):
    """A certificate of the front proxy's authority."""
    front = Certs.__new__(Certs)
    front.folder = plane.folder / "front-proxy"
    front.ca, front.ca_key = front.folder / "ca.crt", front.folder / "ca.key"
    return front.leaf(name, **more)


def values(ns, rule=None):
    return f"{BASE}/namespaces/{ns}/desired-replicas" + (f"?labelSelector=gpuscale.io%2Frule%3D{rule}" if rule else "")


def available(plane):
    """The APIService's condition Available."""
    service = plane.get(f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{GROUP}")
    for condition in (service or {}).get("status", {}).get("conditions", []):
        if condition["type"] == "Available":
            return condition
    return {"status": "", "message": "not told"}


def may_list(ns, name, subject):
    """Objects that let a subject ask for the namespace's rules."""
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, "namespace": ns},
         "rules": [{"apiGroups": [GROUP], "resources": ["desired-replicas"], "verbs": ["list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "namespace": ns},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}, "subjects": [subject]}]
