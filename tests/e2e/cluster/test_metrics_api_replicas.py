# SPDX-License-Identifier: Apache-2.0
"""The metrics API of several scalers: each answers with the leader's decision, and the HPA goes on when the leader dies."""

import signal

import pytest

from harness import http_get, metric_values
from metrics_api_kit import ApiScaler, available, call, documented_hpa, documented_manifest, follower_role, values
from plane import Plane
from player import Player
from scaler_kit import Gateway, gateway_demand
from workloads import engine_deployment

ADDRESSES = ("10.244.255.10", "10.244.255.11")
DEPLOYMENT = "/apis/apps/v1/namespaces/prod/deployments/llm"
METADATA = {"engine": "vllm", "capacity": "2", "demand": "gateway", "rateWindow": "4s", "downWindow": "2s", "maxAge": "5s"}
MASTER = [("X-Remote-User", "root"), ("X-Remote-Group", "system:masters")]


def lease_role():
    """docs/replicas.md."""
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "gpuscale-scaler-lease", "namespace": "gpuscale"},
         "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
                   {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["gpuscale-scaler"],
                    "verbs": ["get", "update"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
         "metadata": {"name": "gpuscale-scaler-lease", "namespace": "gpuscale"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gpuscale-scaler-lease"},
         "subjects": [{"kind": "ServiceAccount", "name": "gpuscale-scaler", "namespace": "gpuscale"}]}]


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Plane(tmp_path_factory.mktemp("plane"), programs, keda=False) as p:
        p.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("gpuscale", "prod")])
        p.apply(documented_manifest(p.certs.ca, ADDRESSES) + follower_role() + lease_role())
        with Player(p, nodes=1, gpus=8):
            p.apply(engine_deployment("prod", "llm", replicas=1, load_time="1s"))
            yield p


@pytest.fixture(scope="module")
def gateway():
    g = Gateway()
    yield g
    g.close()


@pytest.fixture(scope="module")
def scalers(plane, gateway, tmp_path_factory):
    made = []
    for address in ADDRESSES:
        def options(cert, key, address=address):
            tls = {"cert": str(cert), "key": str(key), "ca": str(plane.certs.ca)}
            return {"grpc": {"listen": f"{address}:9443", "tls": tls},
                    "replicas": {"lease": "gpuscale/gpuscale-scaler", "identity": address, "address": f"{address}:9443",
                                 "tls": {**tls, "serverName": "gpuscale-scaler.gpuscale.svc"}}}
        s = ApiScaler(plane, tmp_path_factory.mktemp("scaler"), {"llm": {"namespace": "prod", "target": "deployment/llm", "metadata": METADATA}},
                      address=address, more_of=options, demand=gateway_demand(gateway), engines={"interval": "500ms"})
        made.append(s.start())
        if address == ADDRESSES[0]:
            plane.wait_until(lambda: leads(address), "the first one leads")
    plane.wait_until(lambda: available(plane)["status"] == "True", "the APIService is Available")
    yield made
    for s in made:
        if s.program is not None:
            s.__exit__(None, None, None)


def leads(address):
    _, _, page = http_get(f"http://{address}:9444/metrics")
    return metric_values(page, "gpuscale_leader")[frozenset()] == 1


def value(plane, address):
    code, body = call(plane, values("prod", "llm"), MASTER, plane.front, address)
    return body["items"][0]["value"] if code == 200 else body["message"]


def replicas(plane):
    return plane.get(DEPLOYMENT)["spec"]["replicas"]


def test_each_scaler_answers_with_the_leaders_decision(plane, scalers, gateway):
    gateway.arrived.set_rate(5)
    plane.apply(documented_hpa())
    plane.wait_until(lambda: replicas(plane) in (3, 4), "the HPA raises, whomever the API server asks")
    plane.wait_until(lambda: value(plane, ADDRESSES[0]) == value(plane, ADDRESSES[1]) in ("3", "4"), "one decision")
    assert leads(ADDRESSES[0]) and not leads(ADDRESSES[1])
    for address in ADDRESSES:
        _, body = call(plane, values("prod", "llm"), MASTER, plane.front, address)
        assert not body["items"][0]["timestamp"].startswith("1970")


def test_the_hpa_goes_on_when_the_leader_is_killed(plane, scalers, gateway):
    before = replicas(plane)
    assert before in (3, 4)
    scalers[0].program.proc.send_signal(signal.SIGKILL)
    scalers[0].program.proc.wait()
    scalers[0].program = None
    slices = "/apis/discovery.k8s.io/v1/namespaces/gpuscale/endpointslices/gpuscale-scaler-1"
    plane.patch(slices, {"endpoints": [{"addresses": [ADDRESSES[1]], "conditions": {"ready": True}}]})

    def lead():
        assert value(plane, ADDRESSES[1]) in ("3", "4"), "it answers with what the leader decided last, all the while"
        assert replicas(plane) == before
        return leads(ADDRESSES[1])
    while not plane.wait_until(lambda: [lead_or_fail(lead)], "the other one is asked")[0]:
        pass
    gateway.arrived.set_rate(12)
    plane.wait_until(lambda: replicas(plane) in (7, 8), "the new leader's decision")


def lead_or_fail(lead):
    """Assertions are failures here, not "not yet"."""
    try:
        return lead()
    except AssertionError as e:
        pytest.fail(str(e))
