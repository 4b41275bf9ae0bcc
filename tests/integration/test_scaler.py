# SPDX-License-Identifier: Apache-2.0
"""gpuscale scaler as KEDA meets it: specs, values, activation, push, and what a wrong trigger is told.
Numbers in names are those of the worked cases of the design."""

import time

import pytest

from harness import run
from scaler_kit import *


def ready_pods(pages, prefix="llm"):
    return [pod(f"{prefix}-{i}", p.addr) for i, p in enumerate(pages)]


def explained(scaler):
    return run("gpuscale", "explain", "--server", f"http://{scaler.http}", "default/llm").stdout


FAST = {"interval": "500ms"}


def test_spec_is_one_metric_with_target_one(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        specs = keda(s).spec().metricSpecs
        assert [(m.metricName, m.targetSize, m.targetSizeFloat) for m in specs] == \
            [("desired-replicas", 1, 1.0)]


def test_first_call_is_answered_with_what_is_specified(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        k = keda(s)
        value = k.metrics().metricValues[0]
        assert (value.metricName, value.metricValue, value.metricValueFloat) == \
            ("desired-replicas", 3, 3.0)
        assert k.active() is True  # nothing is known: unknown is not idle


def test_values_follow_the_load(tmp_path, keda, pages):
    pods = pages(VllmPod(rate=5), VllmPod(rate=5))
    with Scaler(tmp_path, [workload(replicas=2, pods=ready_pods(pods))], engines=FAST) as s:
        k = keda(s)
        # 10 requests/s at 2 a replica: R = 5, ceil(5 + 0.3 sqrt 5) = 6
        eventually("6 replicas", lambda: k.replicas() == 6)
        for p in pods:
            p.finished.set_rate(0.5)
        eventually("1 replica", lambda: k.replicas() == 1)
        # Below what runs a decision is published out of the HPA's tolerance: its ceiling is the decision.
        assert k.value() == pytest.approx(0.001)
        assert k.metrics().metricValues[0].metricValue == 1  # what KEDA up to 2.16 reads


def test_work_is_sized_from_the_token_counters(tmp_path, keda, pages):
    pods = pages(VllmPod(rate=5), VllmPod(rate=5))
    work = {**LLM, "capacity": "700", "work": "capacity"}
    with Scaler(tmp_path, [workload(replicas=2, pods=ready_pods(pods))], engines=FAST) as s:
        k = keda(s)
        # 10 requests/s of 200 + 0.12 x 500 tokens at 700 a replica: R = 3.71, ceil(3.71 + 0.58) = 5
        eventually("5 replicas", lambda: k.replicas(metadata=work) == 5)
        text = explained(s)
        assert "at 700 tok/s each needs 5" in text, text
        assert "A request is 260 tokens of work" in text, text


def test_vllm_alone_is_a_rule_that_holds_until_it_has_learned(tmp_path, keda, pages):
    pods = pages(VllmPod(rate=5), VllmPod(rate=5))
    with Scaler(tmp_path, [workload(replicas=3, pods=ready_pods(pods))], engines=FAST) as s:
        k, rule = keda(s), {"engine": "vllm", "rateWindow": "4s", "downWindow": "1s", "maxAge": "5s"}
        eventually("a value", lambda: k.replicas(metadata=rule) == 3)
        eventually("requests are known", lambda: "A request is 260 tokens" in explained(s))
        assert "The capacity is not learned yet" in explained(s)
        assert k.replicas(metadata=rule) == 3  # nothing is raised or lowered by what nobody knows


def test_case_1_demand_at_zero_wakes_with_the_replicas_it_needs(tmp_path, keda, pages):
    gateway = pages(Gateway())
    with Scaler(tmp_path, [workload(replicas=0)], demand=gateway_demand(gateway)) as s:
        k, rule = keda(s), {**LLM, "demand": "gateway", "activation": "1"}
        eventually("a value", lambda: k.value(metadata=rule) == 0)
        assert k.active(metadata=rule) is False
        gateway.arrived.set_rate(6)
        eventually("active", lambda: k.active(metadata=rule))
        eventually("4 replicas", lambda: k.replicas(metadata=rule) == 4)


def test_case_4_busy_gpus_of_an_idle_llm_do_not_hold_replicas(tmp_path, keda, pages):
    pods = [pages(VllmPod(rate=0.1)) for _ in range(8)]
    agent = pages(FakeAgent(tmp_path, {f"llm-{i}": 100.0 for i in range(8)}))
    with Scaler(tmp_path, [workload(replicas=8, pods=ready_pods(pods))], agents=[agent.addr],
                engines=FAST) as s:
        k = keda(s)
        eventually("1 replica", lambda: k.replicas() == 1)


def test_case_5_a_queue_alone_is_no_rule(tmp_path, keda):
    with Scaler(tmp_path, [workload()]) as s:
        k = keda(s)
        for call in (k.spec, k.metrics, k.active):
            code, why = k.code(call, metadata={"queue": "10"})
            assert code == "INVALID_ARGUMENT"
            assert "default/llm" in why and "capacity" in why


def classic(tmp_path, pages, n, queue, gpu):
    """Scaler arguments of n ready pods: `queue` requests wait in all, each GPU shows `gpu` %."""
    pods = [pages(CustomPod(queue=queue / n)) for _ in range(n)]
    agent = pages(FakeAgent(tmp_path, {f"llm-{i}": gpu for i in range(n)}))
    return pods, agent, dict(workloads=[workload(replicas=n, pods=ready_pods(pods))],
                             agents=[agent.addr], engines=FAST)


def known(scaler, name="llm"):
    """The present record when every signal of the rule is known of every pod, else None."""
    items = scaler.api(f"/api/v1/decisions?namespace=default&name={name}")["items"]
    now = items[0]["now"]
    return now if all(s["known"] == s["pods"] > 0 for s in now["signals"]) else None


@pytest.mark.parametrize("number, n, queue, gpu, want", [
    (10, 4, 80, 20.0, 4),  # only the queue is breached: nothing is added, and lowering is withheld
    (14, 2, 40, 95.0, 4),  # both are breached
    (15, 2, 40, 30.0, 2),  # only one: two KEDA triggers would say 4
    (16, 6, 0, 20.0, 3),   # quiet: 120 / (55 x 0.9)
])
def test_classic_pair(tmp_path, keda, pages, number, n, queue, gpu, want):
    _, _, args = classic(tmp_path, pages, n, queue, gpu)
    with Scaler(tmp_path, **args) as s:
        k = keda(s)
        k.value(metadata=CLASSIC)
        eventually("both signals known", lambda: known(s))
        eventually(f"{want} replicas", lambda: k.replicas(metadata=CLASSIC) == want)
        end = time.monotonic() + 3  # and it stays
        while time.monotonic() < end:
            assert k.replicas(metadata=CLASSIC) == want
            time.sleep(0.2)


def test_classic_pair_raises_only_when_the_second_is_breached_too(tmp_path, keda, pages):
    _, agent, args = classic(tmp_path, pages, 2, 40, 30.0)
    with Scaler(tmp_path, **args) as s:
        k = keda(s)
        k.value(metadata=CLASSIC)
        eventually("both signals known", lambda: known(s))
        assert k.replicas(metadata=CLASSIC) == 2
        agent.gpus = {name: 95.0 for name in agent.gpus}
        eventually("4 replicas", lambda: k.replicas(metadata=CLASSIC) == 4)


def test_case_18_lost_pages_hold_and_then_fail_with_names(tmp_path, keda, pages):
    page = pages(VllmPod(rate=4))
    with Scaler(tmp_path, [workload(replicas=1, pods=ready_pods([page]))], engines=FAST) as s:
        k = keda(s)
        eventually("3 replicas", lambda: k.replicas() == 3)
        page.fault = "503"
        lost = time.monotonic()
        held = 0
        while True:
            code, answer = k.code(k.metrics)
            if code != "OK":
                break
            assert answer.metricValues[0].metricValue == 3, "a lost page is not a zero"
            held += 1
            assert time.monotonic() < lost + 30
            time.sleep(0.1)
        assert held > 10  # maxAge is 5 s
        assert code == "UNAVAILABLE"
        assert "default/llm" in answer and "requestRate" in answer, answer
        assert k.active() is True  # unknown is not idle
        page.fault = None
        eventually("an answer again", lambda: k.replicas() > 0)


def test_case_19_everything_lost_at_zero_is_inactive_and_no_error(tmp_path, keda, pages):
    gateway = pages(Gateway(rate=6))
    with Scaler(tmp_path, [workload(replicas=0)], demand=gateway_demand(gateway)) as s:
        k, rule = keda(s), {**LLM, "demand": "gateway"}
        eventually("active", lambda: k.active(metadata=rule))
        gateway.fault = "503"
        eventually("inactive", lambda: k.active(metadata=rule) is False)
        for _ in range(20):
            k.value(metadata=rule)  # raises when it fails
            assert k.active(metadata=rule) is False
            time.sleep(0.05)


def test_case_22_observe_tells_keda_the_present_count(tmp_path, keda, pages):
    pods = [pages(VllmPod(rate=4)) for _ in range(3)]
    with Scaler(tmp_path, [workload(replicas=3, pods=ready_pods(pods))], engines=FAST) as s:
        k, rule = keda(s), {**LLM, "mode": "observe"}
        k.value(metadata=rule)
        # 12 requests/s: R = 6, ceil(6 + 0.3 sqrt 6) = 7
        eventually("7 recorded", lambda: s.api("/api/v1/objects")["items"][0]["desired"] == 7)
        assert k.replicas(metadata=rule) == 3
        assert s.api("/api/v1/objects")["items"][0]["observe"] is True


def test_push_wakes_from_zero_once_and_quickly(tmp_path, keda, pages):
    gateway = pages(Gateway())
    with Scaler(tmp_path, [workload(replicas=0)], demand=gateway_demand(gateway)) as s:
        k, rule = keda(s), {**LLM, "demand": "gateway"}
        pushed = Pushed(k.stream("StreamIsActive", metadata=rule))
        eventually("known", lambda: k.value(metadata=rule) == 0)
        time.sleep(1.5)
        assert pushed.messages == []  # false is never sent
        gateway.arrived.set_rate(6)
        eventually("pushed", lambda: pushed.messages)
        assert pushed.messages[0][1].result is True
        # At one replica and more nothing is repeated: a `true` would postpone the cooldown.
        s.set_workloads([workload(replicas=1, pods=[pod("llm-0", state="starting")])])
        eventually("1 replica is seen",
                   lambda: s.api("/api/v1/decisions?namespace=default&name=llm")["items"][0]["now"]["specReplicas"] == 1)
        count = len(pushed.messages)
        time.sleep(7)
        assert len(pushed.messages) == count
        pushed.cancel()


def test_fresh_stream_of_an_active_object_is_told_at_once(tmp_path, keda, pages):
    gateway = pages(Gateway(rate=6))
    with Scaler(tmp_path, [workload(replicas=0)], demand=gateway_demand(gateway)) as s:
        k, rule = keda(s), {**LLM, "demand": "gateway"}
        eventually("active", lambda: k.active(metadata=rule))
        pushed = Pushed(k.stream("StreamIsActive", metadata=rule))
        eventually("pushed", lambda: pushed.messages, deadline_s=5)
        # While it stays at zero the activation is repeated: KEDA drops those before its HPA exists.
        eventually("repeated", lambda: len(pushed.messages) >= 2, deadline_s=15)
        pushed.cancel()


def test_streamed_spec_comes_at_once_and_the_stream_stays(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=1)]) as s:
        k = keda(s)
        pushed = Pushed(k.stream("StreamMetricSpec"))
        eventually("the spec", lambda: pushed.messages, deadline_s=5)
        assert pushed.messages[0][1] == k.spec()
        time.sleep(1)
        assert pushed.end is None and len(pushed.messages) == 1
        s.program.stop()
        eventually("a clean end", lambda: pushed.end == "OK", deadline_s=10)


BAD_METADATA = [
    ({"engine": "vllm", "capacty": "2"}, ["capacty", "capacity"]),
    ({"engine": "vllm", "capacity": "two"}, ["capacity", "two"]),
    ({"engine": "vlm", "capacity": "2"}, ["engine", "vlm", "vllm"]),
    ({**LLM, "demand": "gatewy"}, ["demand", "gatewy", "gateway"]),
    ({**LLM, "maxAge": "1s"}, ["maxAge", "1s"]),
    ({**LLM, "workload": "llm"}, ["workload", "llm"]),
    ({**LLM, "when": "queue and"}, ["when"]),
    ({**{f"k{i}": "v" for i in range(70)}}, ["70", "LIMIT_METADATA_KEYS"]),
    ({**LLM, "query.x": "y" * 5000}, ["query.x"]),
]


@pytest.mark.parametrize("metadata, says", BAD_METADATA, ids=lambda x: "-".join(x)[:40])
def test_bad_metadata_is_told_with_key_value_and_object(tmp_path, keda, pages, metadata, says):
    gateway = pages(Gateway())
    with Scaler(tmp_path, [workload()], demand=gateway_demand(gateway)) as s:
        k = keda(s)
        for method in (k.spec, k.metrics, k.active):
            code, why = k.code(method, metadata=metadata)
            assert code == "INVALID_ARGUMENT", why
            assert "default/llm" in why
            for word in says:
                assert word in why, why
        stream = Pushed(k.stream("StreamIsActive", metadata=metadata))
        eventually("the stream ends", lambda: stream.end)
        assert stream.end == "INVALID_ARGUMENT"


def test_wrong_names_are_told(tmp_path, keda):
    with Scaler(tmp_path, [workload()]) as s:
        k = keda(s)
        code, why = k.code(k.metrics, metric="queue-length")
        assert code == "INVALID_ARGUMENT" and "queue-length" in why and METRIC in why
        for name, namespace in (("", "default"), ("llm", ""), ("x" * 300, "default")):
            code, why = k.code(k.spec, name=name, namespace=namespace)
            assert code == "INVALID_ARGUMENT" and "name" in why


def raw_call(keda, method, body):
    call = keda.channel.unary_unary(SERVICE + method, request_serializer=lambda b: b,
                                    response_deserializer=lambda b: b)
    return keda.code(call, body, timeout=10)


def test_broken_messages_are_refused_and_cost_nothing(tmp_path, keda):
    def field(number, data):
        return bytes([number << 3 | 2]) + varint(len(data)) + data

    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    whole = field(1, b"llm") + field(2, b"default")
    broken = {
        "not UTF-8": field(1, b"l\xffm") + field(2, b"default"),
        "a NUL": field(1, b"l\0m") + field(2, b"default"),
        "not UTF-8 in a value": whole + field(3, field(1, b"engine") + field(2, b"\xc0\xaf")),
        "cut": whole[:-3],
        "a length beyond the end": b"\x0a\xff\xff\xff\xff\x07llm",
        "wrong wire type": b"\x08\x01" + whole,
        "empty": b"",
        "too large": whole + field(3, field(1, b"engine") + field(2, b"x" * 200000)),
    }
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        k = keda(s)
        for what, body in broken.items():
            code, answer = raw_call(k, "GetMetricSpec", body)
            if what == "wrong wire type":  # protobuf skips unknown wire types of known fields or refuses
                assert code in ("OK", "INVALID_ARGUMENT", "INTERNAL"), what
            else:
                assert code in ("INVALID_ARGUMENT", "INTERNAL", "RESOURCE_EXHAUSTED"), (what, code)
        assert k.replicas() == 3


def test_two_triggers_of_one_object_are_two_decisions(tmp_path, keda, pages):
    page = pages(VllmPod(rate=4))
    with Scaler(tmp_path, [workload(replicas=1, pods=ready_pods([page]))], engines=FAST) as s:
        k, other = keda(s), {**LLM, "capacity": "1"}
        k.value(), k.value(metadata=other)
        eventually("3", lambda: k.replicas() == 3)                # ceil(2 + 0.3 sqrt 2)
        eventually("5", lambda: k.replicas(metadata=other) == 5)  # ceil(4 + 0.3 sqrt 4)
        # One series of both: what the HPA would take, the larger.
        assert list(metric_values(s.page(), "gpuscale_desired_replicas").values()) == [5.0]


def test_a_trigger_names_its_workload(tmp_path, keda):
    items = [workload("llm", 3, labels={"app": "llm"}), workload("other", 5, namespace="prod"),
             {**workload("set", 4), "target": "statefulset/set"}]
    with Scaler(tmp_path, items) as s:
        k = keda(s)
        assert k.replicas(name="any", metadata={**LLM, "workload": "deployment/llm"}) == 3
        assert k.replicas(name="any", metadata={**LLM, "workload": "statefulset/set"}) == 4
        assert k.replicas(name="any", metadata={**LLM, "workload": "selector:app=llm"}) == 3
        assert k.replicas(name="other", namespace="prod") == 5
        for name, extra, says in (("any", {}, "scaledObjects"),
                                  ("any", {"workload": "deployment/other"}, "deployment/other"),
                                  ("any", {"workload": "selector:app=x"}, "app=x")):
            code, why = k.code(k.metrics, name=name, metadata={**LLM, **extra})
            assert code == "NOT_FOUND" and says in why and "default/any" in why, why
            assert k.code(k.active, name=name, metadata={**LLM, **extra})[0] == "NOT_FOUND"
            assert k.code(k.spec, name=name, metadata={**LLM, **extra})[0] == "OK"
