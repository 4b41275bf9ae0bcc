# SPDX-License-Identifier: Apache-2.0
"""A HorizontalPodAutoscaler without KEDA: Kubernetes' own controller scales on a rule of the scaler's configuration, up, down, to
zero and back, and keeps its count while the rule's number is not known."""

import json

import pytest

from metrics_api_kit import ADDRESS, ApiScaler, available, documented_hpa, documented_manifest, follower_role, values
from plane import Plane
from player import Player
from scaler_kit import Gateway, gateway_demand
from workloads import engine_deployment

DEPLOYMENT = "/apis/apps/v1/namespaces/prod/deployments/llm"
# Reacts within seconds.
METADATA = {"engine": "vllm", "capacity": "2", "demand": "gateway", "rateWindow": "4s", "downWindow": "2s", "maxAge": "5s"}


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Plane(tmp_path_factory.mktemp("plane"), programs, keda=False) as p:
        p.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("gpuscale", "prod")])
        p.apply(documented_manifest(p.certs.ca) + follower_role())
        with Player(p, nodes=1, gpus=8):
            yield p


@pytest.fixture(scope="module")
def gateway():
    g = Gateway()
    yield g
    g.close()


@pytest.fixture(scope="module")
def scaler(plane, gateway, tmp_path_factory):
    plane.apply(engine_deployment("prod", "llm", replicas=0, load_time="1s"))
    blind = {"engine": "vllm", "capacity": "2", "metricsPort": "9", "maxAge": "5s"}
    rules = {"llm": {"namespace": "prod", "target": "deployment/llm", "metadata": METADATA},
             "blind": {"namespace": "prod", "target": "deployment/blind", "metadata": blind}}
    with ApiScaler(plane, tmp_path_factory.mktemp("scaler"), rules, demand=gateway_demand(gateway),
                   engines={"interval": "500ms"}) as s:
        plane.wait_until(lambda: available(plane)["status"] == "True", "the APIService is Available")
        yield s


def hpa_path(name):
    return f"/apis/autoscaling/v2/namespaces/prod/horizontalpodautoscalers/{name}"


def condition(plane, kind, name="llm"):
    for c in plane.get(hpa_path(name)).get("status", {}).get("conditions", []):
        if c["type"] == kind:
            return c
    return {"status": "", "reason": "", "message": ""}


def replicas(plane):
    return plane.get(DEPLOYMENT)["spec"]["replicas"]


def value(plane):
    """The one value, as text; the error's words where there is none."""
    status, out, errors = plane.kubectl("get", "--raw", values("prod", "llm"), check=False)
    return json.loads(out)["items"][0]["value"] if status == 0 else errors


def test_a_deployment_at_zero_is_disabled_until_it_is_raised_once(plane, scaler):
    """Kubernetes wakes only what its HPA brought to zero itself: 0 by hand is "off"."""
    plane.wait_until(lambda: value(plane) == "0", "nothing is wanted")
    plane.apply(documented_hpa())
    plane.wait_until(lambda: condition(plane, "ScalingActive")["reason"] == "ScalingDisabled", "the HPA has looked")
    plane.patch(DEPLOYMENT, {"spec": {"replicas": 1}})
    plane.wait_until(lambda: condition(plane, "ScaledToZero")["status"] == "True" and replicas(plane) == 0, "the HPA brings it to zero")


def test_demand_wakes_it(plane, scaler, gateway):
    gateway.arrived.set_rate(5)  # 2.5 replicas' worth, staffed: 3 or 4
    plane.wait_until(lambda: replicas(plane) in (3, 4), "up from zero")
    plane.wait_until(lambda: plane.get(DEPLOYMENT)["status"].get("readyReplicas") == replicas(plane), "they are ready")
    assert condition(plane, "ScalingActive")["status"] == "True"


def test_more_demand_raises_it(plane, scaler, gateway):
    gateway.arrived.set_rate(12)  # six replicas' worth, staffed
    plane.wait_until(lambda: replicas(plane) in (7, 8), "up")


def test_less_demand_lowers_it(plane, scaler, gateway):
    gateway.arrived.set_rate(3)
    plane.wait_until(lambda: replicas(plane) in (2, 3), "down")


def test_an_unknown_number_moves_nothing_and_is_told(plane, scaler):
    """A service whose engines nobody can read: the HPA keeps its count and has the scaler's sentence."""
    plane.apply(engine_deployment("prod", "blind", replicas=2, load_time="0s"))
    plane.apply(documented_hpa().replace("name: llm", "name: blind").replace("rule: llm", "rule: blind"))
    plane.wait_until(lambda: "requestRate" in condition(plane, "ScalingActive", "blind")["message"], "the HPA says what is not known")
    told = condition(plane, "ScalingActive", "blind")
    assert told["status"] == "False" and told["reason"] == "FailedGetExternalMetric" and "rule prod/blind" in told["message"], told
    assert plane.get(DEPLOYMENT.replace("llm", "blind"))["spec"]["replicas"] == 2
    for path in (hpa_path("blind"), DEPLOYMENT.replace("llm", "blind")):
        plane.delete(path)


def test_a_restarted_scaler_moves_nothing(plane, scaler):
    scaler.stop()
    plane.wait_until(lambda: condition(plane, "ScalingActive")["status"] == "False", "the HPA has no number")
    before = replicas(plane)
    plane.wait_until(lambda: available(plane)["status"] == "False", "the APIService is not Available")
    assert replicas(plane) == before in (2, 3)
    scaler.start()
    plane.wait_until(lambda: condition(plane, "ScalingActive")["status"] == "True", "it has one")
    assert replicas(plane) in (2, 3)


def test_without_demand_it_goes_to_zero_and_comes_back(plane, scaler, gateway):
    gateway.arrived.set_rate(0)
    plane.wait_until(lambda: replicas(plane) == 0, "to zero")
    gateway.arrived.set_rate(3)
    plane.wait_until(lambda: replicas(plane) in (2, 3), "and back")


def test_at_zero_an_unknown_demand_is_told(plane, scaler, gateway):
    gateway.arrived.set_rate(0)
    plane.wait_until(lambda: replicas(plane) == 0, "to zero")
    gateway.fault = "drop"
    plane.wait_until(lambda: "rule prod/llm" in condition(plane, "ScalingActive")["message"], "the HPA says why nothing wakes it")
    assert replicas(plane) == 0
    gateway.fault = None
    gateway.arrived.set_rate(3)
    plane.wait_until(lambda: replicas(plane) in (2, 3), "back")
