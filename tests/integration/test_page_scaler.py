# SPDX-License-Identifier: Apache-2.0
"""The scaler's page and its feed (src/scaler/live.h): the same page as the demo's, filled from what the scaler knows."""

import ssl
import time

import pytest

import harness
import page_kit
from scaler_kit import (CLASSIC, CustomPod, FakeAgent, Gateway, LLM, Scaler, VllmPod, eventually, gateway_demand,
                        http_get, pod, workload)
from test_page import read_feed


def frames_of(events, label):
    """The frames of the policy with this label, by the last hello that knows it."""
    ids = [p["id"] for kind, data in events if kind == "hello" for p in data["policies"] if p["label"] == label]
    return [data for kind, data in events if kind == "frame" and ids and data["policy"] == ids[-1]]


def all_known(frames):
    """Has this frame (if there is one) what the sources tell, once all of them were heard?"""
    return [f for f in frames if f["rps"]["arriving"] and f["gpus"] and f["gpus"][0]["utilizationPct"] == 96
            and f["queue"]["engines"] is not None and "sizes" in {x["state"] for x in f["rule"]["signals"]}]


def test_a_workload_is_shown_with_its_pods_gpus_signals_and_decisions(tmp_path, keda, pages):
    llm = pages(VllmPod(rate=4, waiting=3))
    classic = pages(CustomPod(queue=40, rate=1))
    gateway = pages(Gateway(rate=4))
    agent = pages(FakeAgent(tmp_path, {"llm-0": 96.0, "llm-1": None, "old-0": 0.0}))
    works = [workload("llm", 2, [pod("llm-0", llm.addr), pod("llm-1", state="starting")]),
             workload("old", 1, [pod("old-0", classic.addr)])]
    with Scaler(tmp_path, works, agents=[agent.addr], demand=gateway_demand(gateway),
                engines={"interval": "500ms"}) as s:
        k = keda(s)
        both = lambda: (k.value("llm", {**LLM, "demand": "gateway"}), k.value("old", CLASSIC))
        eventually("both decided", both)
        eventually("arrivals known", lambda: s.api("/api/v1/objects")["items"][0]["signals"]["requestRate"].get("lower", 0) > 3)
        events = read_feed(s.http, lambda e: all_known(frames_of(e, "default/llm")[-1:]))
        seen = page_kit.drive("scaler", url=f"http://{s.http}/", wait={"policies": 2, "frames": 3})
    hello = events[0][1]
    assert events[0][0] == "hello" and hello["kind"] == "scaler" and hello["usdPerGpuHour"] is None
    assert abs(hello["startUnixS"] - time.time()) < 600
    frame = frames_of(events, "default/llm")[-1]
    assert frame["replicas"] == {**frame["replicas"], "spec": 2, "ready": 1, "starting": 1}
    assert frame["replicas"]["wanted"] >= 1 and 2 < frame["rps"]["arriving"] < 8
    assert frame["queue"]["engines"] == 3 and frame["queue"]["held"] is None  # the gateway tells none
    assert [(g["pod"], g["state"], g["utilizationPct"]) for g in frame["gpus"]] == [
        ("llm-0", "busy", 96), ("llm-1", "starting", None)]
    assert frame["errors"] is None and frame["latencyMs"] is None and frame["money"]["burnedUsd"] is None
    assert frame["money"]["gpuSeconds"] >= 0
    signals = {x["name"]: x for x in frame["rule"]["signals"]}
    assert signals["requestRate"]["state"] == "sizes" and signals["requestRate"]["target"] == 2
    assert "requestRate" in frame["rule"]["text"] and "size" in frame["rule"]["text"]
    told = [d for f in frames_of(events, "default/llm") for d in f["decisions"]]
    assert told and all(d["who"] == "gpuscale" and d["text"] for d in told)
    assert len({(d["tS"], d["text"]) for d in told}) == len(told), "a decision was told twice"
    for page in seen["pages"]:
        assert page["trouble"] == [] and page["overflow"] == [] and page["faint"] == [] and page["nameless"] == []
        assert "default/llm" in page["text"] and "default/old" in page["text"]
        assert "2 workloads:" in page["text"] and "GPU" in page["text"]
        assert page["signals"] and "sizes" in " ".join(page["signals"]) or "queue" in page["rule"]
        assert all(url.startswith((f"http://{s.http}/", "data:")) for url in page["asked"])


def test_silent_sources_are_unknown_and_never_zero(tmp_path, keda, pages):
    agent = pages(FakeAgent(tmp_path, {"llm-0": 0.0}))
    with Scaler(tmp_path, [workload("llm", 1, [pod("llm-0", "127.0.0.1:1")])], agents=[agent.addr]) as s:
        k = keda(s)
        eventually("asked", lambda: k.code(k.value, "llm", LLM))
        eventually("its GPU", lambda: s.api("/api/v1/gpus")["items"][0]["values"])
        idle = read_feed(s.http, lambda e: any(f["gpus"] for f in frames_of(e, "default/llm")))
        frame = frames_of(idle, "default/llm")[-1]
        assert frame["gpus"][0]["state"] == "idle" and frame["gpus"][0]["utilizationPct"] == 0
        assert frame["rps"] == {"arriving": None, "served": None} and frame["queue"] == {"engines": None, "held": None}
        assert {x["state"] for x in frame["rule"]["signals"]} == {"unknown"}
        assert all(x["value"] is None and not x["known"] for x in frame["rule"]["signals"])
        agent.only_old()  # a reading that ages is unknown, not idle
        read_feed(s.http, lambda e: [f["gpus"][0]["state"] for f in frames_of(e, "default/llm") if f["gpus"]][-1:] == ["unknown"])


def test_workloads_come_while_somebody_looks(tmp_path, keda, pages):
    page = pages(CustomPod())
    with Scaler(tmp_path, [workload("one", 1, [pod("one-0", page.addr)]), workload("two", 1, [pod("two-0", page.addr)])]) as s:
        assert read_feed(s.http, lambda e: e)[0][1]["policies"] == []
        k = keda(s)
        eventually("one", lambda: k.value("one", CLASSIC) and True)
        events = read_feed(s.http, lambda e: asks_for_two(e, k))
        hellos = [data for kind, data in events if kind == "hello"]
        assert [[p["label"] for p in h["policies"]] for h in hellos[-2:]] == [["default/one"], ["default/one", "default/two"]]
        assert len({h["run"] for h in hellos}) == 1
        assert frames_of(events, "default/one")[0]["tS"] < frames_of(events, "default/two")[0]["tS"]


def asks_for_two(events, k):
    if frames_of(events, "default/one") and not getattr(k, "asked", False):
        k.asked = True
        k.code(k.value, "two", CLASSIC)
    return bool(frames_of(events, "default/two"))


def test_no_more_than_sixteen_are_shown_and_the_page_says_so(tmp_path, keda, pages):
    page = pages(CustomPod())
    names = [f"w{i}" for i in range(18)]
    with Scaler(tmp_path, [workload(n, 1, [pod(f"{n}-0", page.addr)]) for n in names]) as s:
        k = keda(s)
        for name in names:
            eventually(name, lambda: k.code(k.value, name, CLASSIC))
        events = read_feed(s.http, lambda e: [len(d["policies"]) for kind, d in e if kind == "hello"][-1:] == [16]
                           and "16 of 18" in str([d["notes"] for kind, d in e if kind == "hello"][-1]))
    assert "16 of 18 ScaledObjects are shown" in events[-1][1].get("notes", [""])[-1] or any(
        "16 of 18" in str(d) for _, d in events)


def test_the_port_keeps_its_tls_and_its_list_for_people(tmp_path):
    certs = harness.Certs(tmp_path / "certs")
    crt, key = certs.leaf("server")
    http = {"listen": "127.0.0.1:0", "tls": {"cert": str(crt), "key": str(key)}}
    with Scaler(tmp_path / "s", [workload()], http=http) as s:
        trust = ssl.create_default_context(cafile=str(certs.ca))
        status, headers, body = http_get(f"https://{s.http}/", context=trust)
        assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8" and b"<!doctype html>" in body
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        status, headers, body = http_get(f"https://{s.http}/", headers={"Accept": "text/plain"}, context=trust)
        assert status == 200 and headers["Content-Type"].startswith("text/plain") and b"/api/v1/live" in body
        with pytest.raises((OSError, AssertionError)):
            read_feed(s.http, lambda e: e)  # plain on a TLS port
        got = tls_feed(s.http, trust)
        assert b"event: hello" in got and b'"kind":"scaler"' in got


def tls_feed(address, context):
    import socket
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S) as raw, \
            context.wrap_socket(raw, server_hostname=host) as s:
        s.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while b"\n\n" not in data.partition(b"\r\n\r\n")[2]:
            data += s.recv(65536)
        return data


def test_a_reader_does_not_hold_up_the_end(tmp_path):
    import socket
    with Scaler(tmp_path, [workload()]) as s:
        host, port = s.http.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S) as reader:
            reader.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert reader.recv(65536).startswith(b"HTTP/1.1 200 ")
            s.program.stop()
            rest = b""
            while part := reader.recv(65536):
                rest += part
            assert rest.endswith(b"0\r\n\r\n"), "the stream did not end as a whole answer"
