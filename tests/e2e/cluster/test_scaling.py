# SPDX-License-Identifier: Apache-2.0
"""Services scaled by gpuscale, the real KEDA and the real HPA, on pods that the real scheduler places: each test is one service in a
namespace of its own. Engines do one request at a time in 250 ms, so one replica serves 4 requests a second."""

import datetime
import time

import pytest

from harness import http_get, metric_values
from plane import Process
from player import Player
from recorder import Recorder
from service import AGENTS, Certificates, Gateway, Scaler
from workloads import CLASSIC, RATE, engine_deployment, scaled_object



class Service:
    """One service: Deployment, ScaledObject, traffic, what happened."""

    def __init__(self, rig, name, metadata, replicas=1, load_time="1s", demand=False, deployment=None, annotations=None, **spec):
        self.rig, self.plane, self.name = rig, rig.plane, "llm"
        self.ns = rig.plane.namespace(name)
        self.gateway = rig.free_gateways.pop()
        self.gateway.namespace = self.ns
        objects = engine_deployment(self.ns, self.name, replicas, load_time, **(deployment or {}))
        if annotations:
            objects[0]["spec"]["template"]["metadata"]["annotations"] = annotations
        self.plane.apply(objects)
        self.recorder = Recorder(self.plane, self.ns, self.name)
        self.until(lambda: self.ready() == replicas, f"{replicas} are ready")
        if demand:
            metadata = {**metadata, "demand": self.gateway.source}
        self.plane.apply(scaled_object(self.ns, self.name, metadata, **spec))

    def until(self, condition, what, **more):
        try:
            return self.plane.wait_until(condition, what, **more)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.story()}") from None

    def story(self):
        """For who reads a failure."""
        try:
            decided = self.rig.scaler.decided(self.ns, self.name)
            records = [f"{r['time']} {r['desired']} {r['sentence']}" for r in (*decided["records"][-12:], decided["now"])]
        except (AssertionError, OSError, LookupError) as e:
            records = [repr(e)]
        return "\n".join([f"spec.replicas: {self.recorder.replicas}", *records,
                          self.plane.kubectl("describe", "scaledobject,hpa,deployment", "-n", self.ns)])

    def ready(self):
        return len([p for p in self.rig.player.of(self.ns) if p.uid in self.rig.player.ready_at and not p.gone.is_set()])

    def now(self):
        """The record of the last tick."""
        return self.rig.scaler.decided(self.ns, self.name)["now"]

    def breached(self, signal):
        """"true", "false" or "unknown"."""
        return next(x for x in self.now()["signals"] if x["signal"] == signal)["breached"]

    def settled(self, n):
        """n are wanted and n are ready."""
        return self.recorder.now == n and self.ready() == n

    def close(self):
        self.gateway.rate = 0
        self.recorder.stop()
        self.plane.delete(f"/apis/keda.sh/v1alpha1/namespaces/{self.ns}/scaledobjects/{self.name}")
        self.plane.delete(f"/apis/apps/v1/namespaces/{self.ns}/deployments/{self.name}")
        self.plane.wait_until(lambda: not self.rig.player.of(self.ns), f"the pods of {self.ns} are away")


def passed(seconds):
    """A condition: nothing is waited for but that KEDA and the HPA, which ask every 2 s, had the chance to do something wrong."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


class Prometheus:
    """Debian's, which scrapes itself; it answers queries that need no series."""

    def __init__(self, plane):
        self.url = "http://10.244.255.50:9090"
        config = plane.folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1s}\n")
        self.process = Process(plane.folder, "prometheus", [
            "/usr/bin/prometheus", f"--config.file={config}", f"--storage.tsdb.path={plane.folder / 'prometheus'}",
            f"--web.listen-address={self.url.removeprefix('http://')}"])
        plane.processes["prometheus"] = self.process
        self.process.start()
        plane.wait_until(lambda: http_get(self.url + "/-/ready")[0] == 200, "Prometheus is ready")


class Rig:
    def __init__(self, plane):
        self.plane, self.services = plane, []
        self.certificates = Certificates(plane)
        self.player = Player(plane, nodes=3, agent_flags=self.certificates.agent_flags()).start()
        self.player.agent_service(AGENTS)
        self.gateways = [Gateway(self.player, "none") for _ in range(16)]
        for i, gateway in enumerate(self.gateways):
            gateway.source = f"gateway-{i}"
        self.free_gateways = list(self.gateways)
        self.prometheus = Prometheus(plane)
        self.scaler = Scaler(plane, self.certificates, demand={g.source: g.demand() for g in self.gateways}, prometheus={
            "main": {"url": self.prometheus.url, "namespaces": ["*"], "enforcedLabel": "", "interval": "1s", "timeout": "1s"}}).start()

    def mend(self):
        """What a test that failed left broken."""
        for node in self.player.nodes.values():
            if not node.agent.running():
                node.agent.start()
        for process in (self.scaler.process, self.prometheus.process):
            if not process.running():
                process.start()

    def stop(self):
        self.scaler.process.stop()
        self.prometheus.process.stop()
        for gateway in self.gateways:
            gateway.stop()
        self.player.stop()


@pytest.fixture(scope="module")
def rig(plane):
    rig = Rig(plane)
    yield rig
    rig.stop()


@pytest.fixture
def service(rig):
    made = []

    def make(*args, **kwargs):
        made.append(Service(rig, *args, **kwargs))
        return made[-1]

    yield make
    rig.mend()
    for one in made:
        one.close()


def test_up_on_queue_and_gpu_and_down_again(service):
    s = service("both", CLASSIC)
    s.gateway.rate = 8  # twice what one serves: the queue grows by 4 a second, the GPU is busy
    s.until(lambda: s.recorder.now >= 2 and s.ready() >= 2, "more replicas")
    s.gateway.rate = 0
    s.until(lambda: s.settled(1), "one is left")


def test_a_busy_gpu_alone_raises_nothing(service):
    s = service("gpu-only", CLASSIC)
    s.gateway.rate = 3.4  # 85 % of one GPU, hardly a queue
    s.until(lambda: s.breached("gpuUtilization") == "true" and s.breached("queue") == "false", "the GPU is busy")
    s.until(passed(8), "KEDA and the HPA ask a few times")
    assert s.recorder.counts() == [1], s.story()


def test_a_queue_alone_raises_nothing(service):
    # Its GPU is never busy: what a service does whose tokenizer is the limit.
    s = service("queue-only", CLASSIC, annotations={"gpuscale.test/gpu": "idle"})
    s.gateway.rate = 8
    s.until(lambda: s.breached("queue") == "true" and s.breached("gpuUtilization") == "false", "the queue is long")
    s.until(passed(8), "KEDA and the HPA ask a few times")
    assert s.recorder.counts() == [1], s.story()


def test_to_zero_and_back_by_push(service):
    s = service("zero", RATE, demand=True, least=0)
    s.until(lambda: s.settled(0), "nobody asks: none is left")
    # KEDA's own polls are put off for an hour: only what the scaler pushes can wake it.
    s.plane.patch(f"/apis/keda.sh/v1alpha1/namespaces/{s.ns}/scaledobjects/{s.name}", {"spec": {"pollingInterval": 3600}})
    s.until(passed(3), "KEDA opens its stream anew")
    assert s.recorder.now == 0
    began = time.monotonic()
    s.gateway.rate = 2
    s.until(lambda: s.ready() >= 1, "one is ready")
    s.until(lambda: len([d for d in s.gateway.done if d[2] == 200]) >= 5, "requests are answered")
    print(f"\nfrom zero by push: wanted after {s.recorder.replicas[-1][0] - began:.2f} s,"
          f" first answer after {min(d[0] + d[1] for d in s.gateway.done) - began:.2f} s (1 s of it loads the model)")
    assert all(d[2] == 200 for d in s.gateway.done)


def test_a_cold_start_is_not_answered_with_more_replicas(service):
    s = service("cold", RATE, demand=True, least=0, replicas=0, load_time="8s")
    s.gateway.rate = 10  # three replicas serve it; it is held while they load
    s.until(lambda: s.settled(3), "three are ready")
    s.until(passed(8), "KEDA and the HPA ask a few times")
    assert max(s.recorder.counts()) == 3, s.story()
    assert s.ready() == 3


def test_a_rollout_with_surge_does_not_ratchet(service):
    s = service("rollout", RATE, replicas=10, most=20, deployment={"strategy": {"type": "RollingUpdate", "rollingUpdate": {
        "maxSurge": 1, "maxUnavailable": 0}}}, advanced={"horizontalPodAutoscalerConfig": {"behavior": {
            "scaleDown": {"stabilizationWindowSeconds": 0}}}})
    s.gateway.rate = 38  # 9.5 replicas
    s.until(lambda: s.now()["desired"] == 10, "ten are decided")
    since = time.monotonic()
    s.plane.patch(f"/apis/apps/v1/namespaces/{s.ns}/deployments/{s.name}",
                  {"spec": {"template": {"metadata": {"annotations": {"rollout": "1"}}}}})
    path = f"/apis/apps/v1/namespaces/{s.ns}/deployments/{s.name}"

    def rolled():
        d = s.plane.get(path)
        return d["status"]["observedGeneration"] >= d["metadata"]["generation"] and d["status"].get("updatedReplicas") == 10 \
            and d["status"].get("replicas") == 10
    s.until(rolled, "the rollout is through", deadline_s=120)
    assert set(s.recorder.counts(since)) == {10}, s.story()


def test_a_fleet_of_twenty_changes_by_one(service):
    s = service("fleet", {**RATE, "rateWindow": "10s", "tolerance": "0.001", "downMargin": "0.01"}, replicas=20, most=24)
    s.gateway.rate = 78  # 19.5
    s.until(lambda: s.now()["desired"] == 20 and s.settled(20), "twenty")
    s.gateway.rate = 82  # 20.5
    s.until(lambda: s.settled(21), "one more: within the HPA's default tolerance, which generate switches off")
    s.gateway.rate = 78
    s.until(lambda: s.settled(20), "one less")


def hpa_reads(s):
    """Does the HPA get its metric? None before it has tried."""
    found = s.plane.get(f"/apis/autoscaling/v2/namespaces/{s.ns}/horizontalpodautoscalers/keda-hpa-{s.name}")
    return next((c["status"] == "True" for c in found.get("status", {}).get("conditions", []) if c["type"] == "ScalingActive"), None)


def test_killed_scaler_changes_nothing_and_goes_on(service, rig):
    # One runs and could go to zero, one is at zero and could be woken.
    s, asleep = service("killed", RATE, demand=True, least=0), service("asleep", RATE, replicas=0, demand=True, least=0)
    s.gateway.rate = 11  # three
    s.until(lambda: s.settled(3) and hpa_reads(s), "three")
    since = time.monotonic()
    rig.scaler.process.stop(9)
    s.until(lambda: hpa_reads(s) is False, "the HPA gets no answer")
    s.until(passed(12), "more than KEDA's polls and its cooldown")
    rig.scaler.start()
    s.until(lambda: hpa_reads(s), "KEDA asks again", deadline_s=90)
    s.until(passed(5), "KEDA's polls")
    assert s.recorder.counts(since) == [3], s.story()
    assert asleep.recorder.counts() == [0], asleep.story()
    s.gateway.rate = 15
    s.until(lambda: s.settled(4), "it scales on")


def test_lost_agents_lower_nothing(service, rig):
    s = service("agents", CLASSIC, replicas=1)
    s.gateway.rate = 12
    s.until(lambda: s.recorder.now >= 2 and s.ready() >= 2, "more replicas")
    s.gateway.rate = 2
    n = s.recorder.now
    since = time.monotonic()
    for node in rig.player.nodes.values():
        node.agent.stop(9)
    s.until(lambda: s.breached("gpuUtilization") == "unknown", "the GPUs are not known")
    s.until(passed(8), "KEDA and the HPA ask a few times")
    assert min(s.recorder.counts(since)) >= n, s.story()
    for node in rig.player.nodes.values():
        node.agent.start()
    s.gateway.rate = 0
    s.until(lambda: s.settled(1), "with the agents back it is lowered", deadline_s=90)


def test_keda_and_the_api_server_restart(service, rig):
    s = service("restarts", RATE, replicas=1)
    s.gateway.rate = 7
    s.until(lambda: s.settled(2), "two")
    since = time.monotonic()
    for name in ("keda-operator", "kube-apiserver"):
        rig.plane.restart(name)
    rig.plane.wait_ready()
    s.until(passed(8), "KEDA and the HPA ask a few times")
    assert s.recorder.counts(since) == [2], s.story()
    s.gateway.rate = 11
    s.until(lambda: s.settled(3), "it scales on", deadline_s=90)


def test_without_a_free_gpu_the_number_stands(service, rig):
    blocker = service("blocker", RATE, replicas=21, least=21, most=24)
    s = service("full", RATE, most=8)
    s.gateway.rate = 21  # six, and two GPUs are free beside the one that it has
    s.until(lambda: s.recorder.now == 6 and s.ready() == 3, "three of six have a GPU")
    s.until(passed(8), "KEDA and the HPA ask a few times")
    assert s.recorder.now == 6 and s.ready() == 3, s.story()
    assert s.now()["desired"] == 6, s.story()
    rig.plane.delete(f"/apis/keda.sh/v1alpha1/namespaces/{blocker.ns}/scaledobjects/{blocker.name}")
    s.until(lambda: rig.plane.get(f"/apis/autoscaling/v2/namespaces/{blocker.ns}/horizontalpodautoscalers/keda-hpa-llm") is None, "its HPA is away")
    rig.plane.patch(f"/apis/apps/v1/namespaces/{blocker.ns}/deployments/{blocker.name}", {"spec": {"replicas": 1}})
    s.until(lambda: s.settled(6), "the rest starts when GPUs are free")


def test_at_zero_nothing_that_dies_wakes_a_service(service, rig):
    metadata = {**RATE, "prometheus.lag": "main", "query.lag": "vector(0)", "target.lag": "5"}
    s = service("dark", metadata, replicas=0, demand=True, least=0)
    s.until(lambda: any(x["signal"] == "prometheus.lag" and x["lower"] == 0 for x in s.now()["signals"]), "Prometheus was asked")
    rig.prometheus.process.stop(9)
    for node in rig.player.nodes.values():
        node.agent.stop(9)
    s.until(lambda: any(x["signal"] == "prometheus.lag" and x["upper"] is None for x in s.now()["signals"]),
            "what Prometheus said is too old")
    s.until(passed(8), "KEDA asks a few times")
    assert s.recorder.counts() == [0], s.story()
    rig.mend()
    s.gateway.rate = 2
    s.until(lambda: s.ready() >= 1, "demand wakes it")


def test_where_the_time_goes_from_a_queue_to_a_ready_pod(service):
    s = service("time", CLASSIC)
    s.gateway.rate = 3
    s.until(lambda: s.breached("gpuUtilization") == "true", "the GPU is busy")
    pod = s.rig.player.of(s.ns)[0]
    old = set(s.recorder.pods)

    def queue():
        page = http_get(f"http://{pod.address}:8000/metrics")[2]
        return sum(metric_values(page, "inference_queue_length").values())

    s.gateway.rate = 40
    s.until(lambda: queue() > 10, "the queue is long", every_s=0.01)
    t_queue = time.monotonic()
    s.until(lambda: s.ready() >= 2, "a second one is ready")
    s.gateway.rate = 0
    offset = time.time() - time.monotonic()
    record = next(r for r in s.rig.scaler.decided(s.ns, s.name)["records"] if r["desired"] > 1)
    decided = datetime.datetime.fromisoformat(record["time"]).timestamp() - offset
    ages = {x["signal"]: x["ageSeconds"] for x in record["signals"]}
    written = next(t for t, n in s.recorder.replicas if n > 1)
    new = min((p for name, p in s.recorder.pods.items() if name not in old and "ready" in p), key=lambda p: p["ready"])
    steps = [("the page with the queue is read (engines.interval 1 s)", decided - ages["queue"]), ("decided (tick 1 s)", decided),
             ("spec.replicas is written (HPA's sync 2 s, through KEDA)", written), ("the pod is made", new["created"]),
             ("scheduled", new["scheduled"]), ("its process runs", new["running"]),
             ("ready (1 s loads the model; probed once a second)", new["ready"])]
    print(f"\nfrom a queue above its target to a ready pod: {new['ready'] - t_queue:.2f} s")
    before = t_queue
    for what, at in steps:
        print(f"  {at - before:6.2f} s  {what}")
        before = at
    print(f"  the GPU's sample was {ages['gpuUtilization']:.2f} s old when it was decided")
    order = [at for _, at in steps[1:]]
    assert order == sorted(order), steps
