# SPDX-License-Identifier: Apache-2.0
"""`gpuscale generate --style hpa` and `--style managed` on a cluster without KEDA: the rule that is written is one that the scaler takes,
Kubernetes' own controller scales on the HPA beside it, and the series that a managed KEDA would ask for is there under its labels."""

import re
import subprocess

import pytest
import yaml

from harness import find_program, http_get, metric_values
from metrics_api_kit import ADDRESS, ApiScaler, available, documented_manifest, follower_role
from plane import Plane
from player import Player
from scaler_kit import Gateway, gateway_demand
from workloads import engine_deployment

DEPLOYMENT = "/apis/apps/v1/namespaces/prod/deployments/llm"


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Plane(tmp_path_factory.mktemp("plane"), programs, keda=False) as p:
        p.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("gpuscale", "prod")])
        p.apply(documented_manifest(p.certs.ca) + follower_role())
        p.apply(engine_deployment("prod", "llm", replicas=1, load_time="1s", profile="llama3-8b-h100"))
        with Player(p, nodes=1, gpus=8):
            yield p


def generate(plane, *args):
    done = subprocess.run([find_program("gpuscale"), "generate", "deployment/llm", "-n", "prod", "--kubeconfig", str(plane.admin), "--engine", "vllm",
                           "--capacity", "2", "--demand", "gateway", "--rate-window", "4s", "--down-window", "2s", "--max-age", "5s", "--max", "6",
                           *map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_hpa_and_its_rule_scale_to_zero_and_back(plane, tmp_path):
    out = tmp_path / "out"
    generate(plane, "--style", "hpa", "--output", out)
    rules = yaml.safe_load((out / "llm-scaler-rules.txt").read_text())["rules"]
    assert list(rules) == ["prod-llm"]
    gateway = Gateway()
    try:
        gateway.arrived.set_rate(5)  # 2.5 replicas' worth, staffed: 3 or 4
        with ApiScaler(plane, tmp_path / "scaler", rules, demand=gateway_demand(gateway), engines={"interval": "500ms"}):
            plane.wait_until(lambda: available(plane)["status"] == "True", "the APIService is Available")
            plane.kubectl("apply", "--validate=strict", "-f", str(out))  # the folder: what is no manifest is not taken for one

            def replicas():
                return plane.get(DEPLOYMENT)["spec"]["replicas"]
            plane.wait_until(lambda: replicas() in (3, 4), "up")
            # What --style managed asks Prometheus for.
            query = next(yaml.safe_load_all(generate(plane, "--style", "managed")))["spec"]["triggers"][0]["metadata"]["query"]
            labels = dict(re.findall(r'(\w+)="([^"]*)"', query))
            page = metric_values(http_get(f"http://{ADDRESS}:9444/metrics", deadline_s=10)[2], "gpuscale_desired_replicas")
            found = [v for k, v in page.items() if labels.items() <= dict(k).items()]
            assert len(found) == 1 and found[0] in (3, 4), (query, page)
            gateway.arrived.set_rate(0)
            plane.wait_until(lambda: replicas() == 0, "nobody asks: none is left")
            gateway.arrived.set_rate(5)
            plane.wait_until(lambda: replicas() in (3, 4), "woken")
    finally:
        gateway.close()
