# SPDX-License-Identifier: Apache-2.0
"""Engines and gateways through the real scaler: a page served, the presets named, what is decided."""

import json

import pytest

from harness import Program, http_get, wait_until
from scaler_kit import Counter, Keda, Page, Scaler, eventually, pod, workload

FAST = {"rateWindow": "2s", "downWindow": "1s", "maxAge": "5s"}
EVERY = {"engines": {"interval": "500ms"}}


@pytest.fixture
def pages():
    made = []

    def make(render):
        made.append(Page(render))
        return made[-1]

    yield make
    for page in made:
        page.close()


def sglang_with_dp_attention():
    """Two data-parallel groups of two tensor-parallel ranks, all schedulers telling; three priorities."""
    lines = []
    for rank, group, running, waiting in ((0, 0, 6, 3), (1, 0, 6, 3), (2, 1, 4, 2), (3, 1, 4, 2)):
        at = f'engine_type="unified",model_name="m",moe_ep_rank="{rank}",pp_rank="0",tp_rank="{rank}",dp_rank="{group}"'
        for priority, n in (("", waiting), ("0", waiting - 1), ("1", 1)):
            lines.append(f'sglang:num_queue_reqs{{{at},priority="{priority}"}} {n}')
        lines.append(f'sglang:num_running_reqs{{{at},priority=""}} {running}')
        lines.append(f'sglang:token_usage{{{at}}} 0.{rank + 1}')
    lines.append('sglang:num_requests_total{model_name="m"} 1000')
    return "\n".join(lines) + "\n"


def signal(scaler, name, which):
    record = scaler.api(f"/api/v1/decisions?namespace=default&name={name}&limit=1")["items"][0]["records"][0]
    return next(s for s in record["signals"] if s["signal"] == which)


def test_ranks_of_sglang_add_up_once(tmp_path, pages):
    page = pages(sglang_with_dp_attention)
    metadata = {**FAST, "engine": "sglang", "capacity": "2", "queue": "2", "kvCache": "0.9"}
    with Scaler(tmp_path / "s", [workload(pods=[pod("llm-0", page.addr)])], **EVERY) as s:
        keda = Keda(s.grpc, tmp_path)
        eventually("queue of both groups", lambda: keda.replicas(metadata=metadata) == 3)
        assert signal(s, "llm", "queue")["lower"] == 5  # 3 + 2, needs 2.5 replicas at 2
        assert signal(s, "llm", "kvCache")["lower"] == 0.4  # the fullest
        keda.close()


def test_an_engine_without_a_page_is_not_asked_for_one(tmp_path, pages):
    page = pages(lambda: "")
    arrived = Counter(4)
    envoy = pages(lambda: f'envoy_cluster_upstream_rq_total{{envoy_cluster_name="ollama"}} {arrived.value()}\n'
                          'envoy_cluster_upstream_rq_active{envoy_cluster_name="ollama"} 3\n'
                          'envoy_cluster_upstream_rq_pending_active{envoy_cluster_name="ollama"} 0\n')
    metadata = {**FAST, "engine": "ollama", "capacity": "1", "safety": "0", "demand": "envoy"}
    demand = {"envoy": {"url": envoy.url, "preset": "envoy", "cluster": "ollama"}}
    with Scaler(tmp_path / "s", [workload(pods=[pod("llm-0", page.addr)])], demand=demand, **EVERY) as s:
        keda = Keda(s.grpc, tmp_path)
        eventually("four a second", lambda: keda.replicas(metadata=metadata) in (4, 5))
        assert page.hits == 0
        keda.close()


def test_a_request_to_an_empty_envoy_cluster_starts_the_service(tmp_path, pages):
    refused = Counter(0)
    envoy = pages(lambda: 'envoy_cluster_upstream_rq_total{envoy_cluster_name="llm"} 70\n'
                          f'envoy_cluster_upstream_cx_none_healthy{{envoy_cluster_name="llm"}} {refused.value()}\n'
                          'envoy_cluster_upstream_rq_active{envoy_cluster_name="llm"} 0\n'
                          'envoy_cluster_upstream_rq_pending_active{envoy_cluster_name="llm"} 0\n')
    metadata = {**FAST, "engine": "vllm", "capacity": "2", "demand": "envoy"}
    demand = {"envoy": {"url": envoy.url, "preset": "envoy", "cluster": "llm"}}
    with Scaler(tmp_path / "s", [workload(replicas=0)], demand=demand, **EVERY) as s:
        keda = Keda(s.grpc, tmp_path)
        assert keda.active(metadata=metadata) is False
        refused.set_rate(3)
        eventually("it is active", lambda: keda.active(metadata=metadata))
        eventually("two replicas for three a second", lambda: keda.replicas(metadata=metadata) == 2)
        keda.close()


def test_held_requests_of_the_http_add_on_are_demand_before_one_is_done(tmp_path, pages):
    held = Counter(0)
    at = 'route_name="llm",route_namespace="default"'
    page = pages(lambda: f'interceptor_request_count_total{{code="200",{at}}} 50\n'
                         f"interceptor_request_concurrency{{{at}}} {held.value() - 1000}\n")
    metadata = {**FAST, "engine": "vllm", "capacity": "1", "safety": "0", "demand": "add-on"}
    demand = {"add-on": {"url": page.url, "preset": "http-add-on", "namespace": "default", "route": "llm"}}
    with Scaler(tmp_path / "s", [workload(replicas=0)], demand=demand, **EVERY) as s:
        keda = Keda(s.grpc, tmp_path)
        eventually("nothing is held", lambda: keda.active(metadata=metadata) is False)
        held.set_rate(3)  # none is answered
        eventually("it is active", lambda: keda.active(metadata=metadata))
        eventually("three a second", lambda: keda.replicas(metadata=metadata) in (3, 4))
        keda.close()


def test_a_renamed_metric_is_told_with_the_names_looked_for(tmp_path, pages):
    page = pages(lambda: 'nv_inference_pending_requests{model="m",version="1"} 4\n'
                         'nv_inference_request_success{model="m",version="1"} 10\n')
    metadata = {**FAST, "engine": "triton", "capacity": "2", "queue": "2"}
    with Scaler(tmp_path / "s", [workload(pods=[pod("llm-0", page.addr)])], **EVERY) as s:
        keda = Keda(s.grpc, tmp_path)
        eventually("a decision", lambda: keda.replicas(metadata=metadata) == 1)
        eventually("it is logged", lambda: any(
            "queue (nv_inference_pending_request_count)" in line for line in s.program.lines))
        assert signal(s, "llm", "queue")["known"] == 0
        text = http_get(f"http://{s.http}/api/v1/decisions?namespace=default&name=llm&limit=1",
                        headers={"Accept": "text/plain"})[2].decode()
        assert "queue unknown" in text
        keda.close()


@pytest.mark.parametrize("source, says", [
    ({"preset": "envoi", "cluster": "c"}, 'demand.g: no demand preset "envoi", did you mean "envoy"?'),
    ({"preset": "istio"}, "demand.g: preset istio needs service"),
    ({"preset": "knative", "namespace": "n", "service": "s", "route": "r"}, "preset knative has no key route"),
    ({"cluster": "c", "waiting": "w"}, "cluster: without a preset nothing says what it means"),
])
def test_a_demand_source_that_cannot_be_read_is_refused_at_the_start(tmp_path, source, says):
    (tmp_path / "w.yaml").write_text("workloads: []\n")
    (tmp_path / "scaler.yaml").write_text(json.dumps({
        "workloads": str(tmp_path / "w.yaml"), "demand": {"g": {"url": "http://127.0.0.1:1/", **source}}}))
    program = Program("gpuscale", "scaler", "--config", tmp_path / "scaler.yaml")
    assert program.proc.wait(30) != 0
    wait_until(lambda: says in "\n".join(program.lines), f"it says: {says}")
