# SPDX-License-Identifier: Apache-2.0
"""What a person and a Prometheus see of gpuscale scaler: status API, explain, /metrics, probes; and the
real agent in front of it."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse

import grpc

from harness import Certs, run
from scaler_kit import *

FAST = {"interval": "500ms"}


def explain(scaler, *args):
    return run("gpuscale", "explain", "--server", f"http://{scaler.http}", *args)


def test_explain_tells_the_decisions_in_sentences_and_json(tmp_path, keda, pages):
    page = pages(VllmPod(rate=4))
    with Scaler(tmp_path, [workload(replicas=1, pods=[pod("llm-0", page.addr)])], engines=FAST) as s:
        assert "No ScaledObject yet" in explain(s).stdout
        k = keda(s)
        eventually("3 replicas", lambda: k.replicas() == 3)
        told = explain(s, "default/llm").stdout
        assert told.startswith("default/llm (deployment/llm, engine vllm)\n")
        lines = told.splitlines()
        assert re.search(r"^  \d{4}-\d\d-\d\dT\S+Z +\d+ -> 3  3 replicas: requestRate ", told, re.M), told
        assert re.match(r"  (now|\d{4}-\d\d)", lines[-1])
        assert len(explain(s, "--last", "1").stdout.splitlines()) in (2, 3)  # now: when it says something else
        answer = json.loads(explain(s, "--json", "-n", "64", "default/llm").stdout)
        item = answer["items"][0]
        assert (item["namespace"], item["name"], item["workload"]) == ("default", "llm", "deployment/llm")
        assert item["now"]["desired"] == 3 and item["records"][-1]["desired"] == 3
        assert item["records"][0]["reason"] == "first"
        sequences = [r["sequence"] for r in item["records"]]
        assert sequences == sorted(sequences)

        def now_is_told():  # of two calls; a tick may come between them
            now = json.loads(explain(s, "--json", "default/llm").stdout)["items"][0]["now"]
            return now["sentence"] in explain(s, "default/llm").stdout
        eventually("the sentence of now", now_is_told)


def test_explain_does_not_say_the_same_twice(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=0, pods=[])], engines=FAST) as s:
        k = keda(s)
        eventually("0 replicas", lambda: k.replicas() == 0)
        lines = explain(s, "default/llm").stdout.splitlines()
        assert len({line.split("  ")[-1] for line in lines}) == len(lines), lines
        assert len(lines) >= 2 and "now" not in lines[-1].split()[:1]


def test_explain_says_what_to_check(tmp_path, keda):
    with Scaler(tmp_path, [workload()]) as s:
        done = explain(s, "default/none")
        assert done.returncode == 1 and "no such ScaledObject" in done.stderr
        done = explain(s, "none")
        assert done.returncode == 1 and "NAMESPACE/NAME" in done.stderr
        done = explain(s, "--last", "0")
        assert done.returncode == 2 and "--last" in done.stderr
        done = run("gpuscale", "explain", "--server", f"http://{s.health}")
        assert done.returncode == 1 and "HTTP port" in done.stderr
        k = keda(s)
        k.code(k.metrics, name="unlisted")
        assert "scaledObjects" in explain(s, "default/unlisted").stdout
    done = run("gpuscale", "explain", "--server", "http://127.0.0.1:9")
    assert done.returncode == 1 and "is the scaler running there?" in done.stderr


def test_explain_over_tls(tmp_path, keda):
    ca, other = Certs(tmp_path / "ca"), Certs(tmp_path / "other")
    crt, key = ca.leaf("scaler")
    http = {"listen": "127.0.0.1:0", "tls": {"cert": str(crt), "key": str(key)}}
    with Scaler(tmp_path, [workload()], http=http) as s:
        url = f"https://{s.http}"
        assert "No ScaledObject" in run("gpuscale", "explain", "--server", url, "--ca", ca.ca).stdout
        done = run("gpuscale", "explain", "--server", url, "--ca", other.ca)
        assert done.returncode == 1 and "--ca FILE" in done.stderr
        assert run("gpuscale", "explain", "--server", url).returncode == 1


def test_lists_are_paged_and_bounded(tmp_path, keda):
    with Scaler(tmp_path, [workload(f"llm-{i}", replicas=i) for i in range(250)]) as s:
        k = keda(s)
        for i in range(12):
            k.value(name=f"llm-{i}")
        page = s.api("/api/v1/workloads")
        assert (len(page["items"]), page["total"], page["next"]) == (100, 250, 100)
        page = s.api("/api/v1/workloads?limit=60&offset=200")
        assert len(page["items"]) == 50 and "next" not in page
        assert page["items"][0]["target"] == "deployment/llm-200"
        assert s.api("/api/v1/workloads?namespace=none")["total"] == 0
        assert s.api("/api/v1/objects?limit=5")["next"] == 5
        assert {o["name"] for o in s.api("/api/v1/objects")["items"]} == {f"llm-{i}" for i in range(12)}
        assert s.api("/api/v1/decisions")["total"] == 12
        for bad in ("limit=x", "limit=1001", "limit=-1", "offset=-1", "namespace=" + "x" * 400):
            status, _, body = http_get(f"http://{s.http}/api/v1/workloads?{bad}")
            assert status == 400 and body, bad
        for bad in ("limit=0", "limit=65", "limit=x"):
            assert http_get(f"http://{s.http}/api/v1/decisions?{bad}")[0] == 400
        status, _, body = http_get(f"http://{s.http}/api/v1/decisions?namespace=default&name=none")
        assert status == 404 and json.loads(body)["error"]
        assert http_get(f"http://{s.http}/nothing")[0] == 404
        quoted = urllib.parse.quote('"><script>')
        assert s.api(f"/api/v1/workloads?namespace={quoted}")["total"] == 0


def test_metrics_page_is_sound(tmp_path, keda, pages):
    page, gateway = pages(VllmPod(rate=4)), pages(Gateway(rate=1))
    with Scaler(tmp_path, [workload(pods=[pod("llm-0", page.addr)])],
                demand=gateway_demand(gateway), engines=FAST) as s:
        k, rule = keda(s), {**LLM, "demand": "gateway"}
        eventually("a decision of what is known", lambda: k.replicas(metadata=rule) == 3)
        k.code(k.metrics, metadata={"queue": "1"})
        eventually("calls are counted", lambda: metric_values(s.page(), "gpuscale_grpc_requests_total")[
            frozenset({("method", "GetMetrics"), ("code", "INVALID_ARGUMENT")})] == 1)
        text = s.page()
        one = metric_values(text, "gpuscale_desired_replicas")
        assert one == {frozenset({("namespace", "default"), ("workload", "deployment/llm"),
                                  ("scaledobject", "llm")}): 3.0}
        count = metric_values(text, "gpuscale_grpc_request_duration_seconds_count")
        assert count[frozenset({("method", "GetMetrics")})] >= 2
        age = metric_values(text, "gpuscale_scrape_age_seconds")
        assert all(0 <= v < 10 for v in age.values()) and len(age) == 2
        assert metric_values(text, "gpuscale_unknown_signals")[frozenset({("signal", "requestRate")})] == 0
        promtool = shutil.which("promtool")
        if promtool:
            done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
            assert done.returncode == 0, done.stdout + done.stderr


def test_probes_say_ok_or_what_is_missing_and_nothing_else(tmp_path, keda, pages):
    agent = pages(FakeAgent(tmp_path, {}))
    agent.fault = "silent"
    with Scaler(tmp_path, [workload()], agents=[agent.addr]) as s:
        status, _, body = http_get(f"http://{s.health}/healthz")
        assert (status, body) == (200, b"ok\n")

        def waits():
            status, _, body = http_get(f"http://{s.health}/readyz")
            return status == 503 and b"1 of 1 agents not heard yet" in body
        eventually("what is missing", waits)
        health = s.program
        agent.fault = None
        eventually("ready", s.ready)
        eventually("said", lambda: health.events("ready"))
        for path in ("/metrics", "/api/v1/objects", "/"):
            assert http_get(f"http://{s.health}{path}")[0] == 404


def test_who_comes_later_is_not_waited_for(tmp_path, keda, pages):
    """A service that starts beside others, its page silent: in the first half minute too KEDA loses nobody to ask."""
    page, late = pages(CustomPod(queue=0)), pages(CustomPod(queue=0))
    late.fault = "silent"
    with Scaler(tmp_path, [workload(pods=[pod("llm-0", page.addr)])]) as s:
        k = keda(s)
        k.spec(metadata=CLASSIC)
        eventually("a tick has found it ready", lambda: s.program.events("ready"))
        s.set_workloads([workload(pods=[pod("llm-0", page.addr)]), workload("late", pods=[pod("late-0", late.addr)])])
        eventually("KEDA may ask for it", lambda: k.spec(name="late", metadata=CLASSIC))
        engines = eventually("both are known", lambda: len(items := s.api("/api/v1/sources")["items"]) == 2 and items)
        assert [e["state"] for e in engines if "late" in e["key"]] != ["ok"]
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert http_get(f"http://{s.health}/readyz")[0] == 200


def health_of(channel, service=""):
    call = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda b: b,
                               response_deserializer=lambda b: b)
    return call(b"\x0a" + bytes([len(service)]) + service.encode() if service else b"", timeout=5)


def test_grpc_health_follows_readiness(tmp_path, keda, pages):
    agent = pages(FakeAgent(tmp_path, {}))
    agent.fault = "silent"
    with Scaler(tmp_path, [workload()], agents=[agent.addr]) as s:
        k = keda(s)
        names = ("", "externalscaler.ExternalScaler")
        assert [health_of(k.channel, n) for n in names] == [b"\x08\x02"] * 2  # NOT_SERVING
        agent.fault = None
        eventually("serving", lambda: [health_of(k.channel, n) for n in names] == [b"\x08\x01"] * 2)


def test_the_real_agent_is_read(tmp_path, keda, pages):
    page = pages(CustomPod(queue=0))
    (tmp_path / "agent.yaml").write_text(json.dumps(
        {"pods": [{"gpu": 0, "namespace": "default", "pod": "llm-0", "container": "main"}]}))
    with Program("gpuscale-agent", "--source", "sim:2,steady", "--interval", "250ms",
                 "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
                 "--health-listen", "127.0.0.1:0", "--config", tmp_path / "agent.yaml") as agent:
        with Scaler(tmp_path / "s", [workload(replicas=1, pods=[pod("llm-0", page.addr)])],
                    agents=[agent.addr("grpc")], engines=FAST) as s:
            k, rule = keda(s), {"gpuUtilization": "20", "downWindow": "1s"}
            k.value(metadata=rule)
            gpus = eventually("two GPUs", lambda: (g := s.api("/api/v1/gpus"))["total"] == 2 and g)
            held = [g for g in gpus["items"] if g["owners"]]
            assert [o["pod"] for g in held for o in g["owners"]] == ["llm-0"]
            busy = held[0]["values"]["utilization_pct"]
            assert 0 <= busy <= 100 and 0 <= held[0]["ageSeconds"] < 10
            # The sum of one pod's mean over 20 %: 1 to 5 replicas, by the simulated load.
            eventually("sized by the GPU", lambda: "gpuUtilization" in s.api(
                "/api/v1/decisions?namespace=default&name=llm")["items"][0]["now"]["sentence"]
                and s.api("/api/v1/decisions?namespace=default&name=llm")["items"][0]["now"]["signals"][0]["known"] == 1)
            assert 1 <= k.replicas(metadata=rule) <= 6
