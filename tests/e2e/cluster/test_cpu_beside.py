# SPDX-License-Identifier: Apache-2.0
"""The HPA on CPU 70 % that articles have, beside gpuscale's ScaledObject as `gpuscale generate` prints it: three services with the same
engines get the same requests at the same time, and a table says what each held in GPUs and how long its requests took. The HPA's CPU
is the kernel's count of the engines' processes, through kubelets' pages and the real metrics-server.

The clocks of all three run 7.5 times as fast as a cluster's (HPA's sync 2 s instead of 15, windows of 40 s instead of 300); requests,
engines and CPU time are real."""

import json
import random
import subprocess
import time

import pytest
import yaml

from harness import find_program, http_get, metric_values
from metrics_server import MetricsServer
from plane import Plane
from player import Player
from recorder import Recorder
from service import AGENTS, Certificates, Gateway, Scaler
from workloads import engine_deployment

# Articles' manifest (../shared/data/classic/cpu-hpa.yaml), with a name and a namespace to fill in.
CPU_HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: inference-hpa
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: llm
  minReplicas: 1
  maxReplicas: 12
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: 70
"""
WINDOW_S = 300 / 7.5
HPA_FLAGS = [f"downscale-stabilization={WINDOW_S:.0f}s", f"cpu-initialization-period={WINDOW_S:.0f}s", "initial-readiness-delay=4s"]

# Prompts of 1,000 tokens, answers of 128, 32 at once: one engine serves some 16 a second within its SLO, which is the rule's
# `capacity`. One that is learned takes minutes of traffic to settle, more than this test has.
BODY = json.dumps({"prompt": "the " * 1000, "max_tokens": 128})
ENGINE = ["--set", "max-sequences=32"]
# (requests a second at the beginning and at the end, for how long)
LOAD = [(8, 8, 15), (8, 40, 25), (40, 40, 25), (8, 8, 70)]
LOAD_S = sum(seconds for _, _, seconds in LOAD)
TIMEOUT_S = 20.0
# What a pod requests decides what 70 % are of (docs/demo-policies.md): vLLM's own manifest says 2 cores; 80m is what somebody requests
# who measured what requests like these burn.
CPU_2_CORES, CPU_MEASURED, OURS = "CPU 70 % of 2 cores", "CPU 70 % of 80m", "gpuscale"


def arrivals():
    """Poisson, the same each time: seconds from the beginning."""
    random_ = random.Random(1)
    times, begin = [], 0.0
    for first, last, seconds in LOAD:
        most, at = max(first, last), random_.expovariate(max(first, last))
        while at < seconds:
            if random_.random() * most < first + (last - first) * at / seconds:
                times.append(begin + at)
            at += random_.expovariate(most)
        begin += seconds
    return times


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Plane(tmp_path_factory.mktemp("plane"), programs, hpa_flags=HPA_FLAGS) as p:
        yield p


@pytest.fixture(scope="module")
def player(plane):
    certificates = Certificates(plane)
    with Player(plane, nodes=5, agent_flags=certificates.agent_flags()) as player:
        player.agent_service(AGENTS)
        player.metrics_server = MetricsServer(plane).start()
        player.scaler = Scaler(plane, certificates).start()
        yield player
        player.scaler.process.stop()


class Service:
    def __init__(self, plane, player, name, cpu_request):
        self.plane, self.player, self.name = plane, player, name
        self.ns = plane.namespace("beside")
        objects = engine_deployment(self.ns, "llm", 1, "2s", profile="llama3-8b-h100", cpu="openai", engine_args=ENGINE)
        spec = objects[0]["spec"]["template"]["spec"]
        spec["terminationGracePeriodSeconds"] = 30  # requests in flight are finished
        spec["containers"][0]["resources"]["requests"] = {"cpu": cpu_request}
        plane.apply(objects)
        self.gateway = Gateway(player, self.ns, path="/v1/completions", body=BODY, timeout_s=TIMEOUT_S, least_busy=True)
        self.recorder = Recorder(plane, self.ns, "llm")
        self.read = []  # (seconds, percent) at each change: what the HPA says it read of the CPU
        path = f"/apis/autoscaling/v2/namespaces/{self.ns}/horizontalpodautoscalers"
        plane.thread(lambda: plane.rest.watch(path, lambda: self.recorder.stopping, self._hpa))

    def _hpa(self, kind, item):
        for metric in item.get("status", {}).get("currentMetrics") or []:
            percent = metric.get("resource", {}).get("current", {}).get("averageUtilization")
            if percent is not None and (not self.read or self.read[-1][1] != percent):
                self.read.append((time.monotonic(), percent))

    def ready_pods(self):
        return [p for p in self.player.of(self.ns) if p.uid in self.player.ready_at and not p.gone.is_set()]

    def hpa(self):
        return next(iter(self.plane.items(f"/apis/autoscaling/v2/namespaces/{self.ns}/horizontalpodautoscalers")), {})

    def active(self):
        """Does the HPA have its metric?"""
        conditions = self.hpa().get("status", {}).get("conditions", [])
        return any(c["type"] == "ScalingActive" and c["status"] == "True" for c in conditions)

    def waiting(self):
        """Requests that engines have in their queues."""
        return sum(sum(metric_values(http_get(f"http://{p.address}:8000/metrics")[2], "vllm:num_requests_waiting").values())
                   for p in self.ready_pods())

    def row(self, began):
        """What it cost and how it served."""
        took = sorted(s if status == 200 else TIMEOUT_S for _, s, status in self.gateway.done)
        return {"GPU-seconds": self.recorder.gpu_seconds(began, began + LOAD_S),
                "latency p50, s": took[len(took) // 2], "latency p95, s": took[len(took) * 95 // 100],
                "failed": sum(status != 200 for _, _, status in self.gateway.done), "requests": len(took),
                "replicas, most": max(self.recorder.counts(began)), "scale events": len(self.recorder.counts(began)) - 1}

    def close(self):
        self.gateway.stop()
        self.recorder.stop()


def generate(plane, ns):
    done = subprocess.run([find_program("gpuscale"), "generate", "deployment/llm", "-n", ns, "--kubeconfig", str(plane.admin), "--engine", "vllm",
                           "--capacity", "16", "--max", "12", "--rate-window", "8s", "--down-window", f"{WINDOW_S:.0f}s"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cpu_hpa(ns):
    hpa = yaml.safe_load(CPU_HPA)
    hpa["metadata"]["namespace"] = ns
    return [hpa]


def table(rows):
    names = list(rows)
    lines = ["", " " * 16 + "".join(f"{name:>22}" for name in names)]
    for what in next(iter(rows.values())):
        lines.append(f"{what:16}" + "".join(f"{rows[name][what]:>22.{1 if isinstance(rows[name][what], float) else 0}f}" for name in names))
    return "\n".join(lines)


@pytest.fixture
def services(plane, player):
    made = {name: Service(plane, player, name, request)
            for name, request in ((CPU_2_CORES, "2"), (CPU_MEASURED, "80m"), (OURS, "80m"))}
    yield made
    for one in made.values():
        one.close()


def test_cpu_beside_gpuscale(plane, player, services):
    everyone = services.values()
    plane.wait_until(lambda: all(len(s.ready_pods()) == 1 for s in everyone), "one of each is ready")
    for name in (CPU_2_CORES, CPU_MEASURED):
        plane.apply(cpu_hpa(services[name].ns))
    plane.apply(generate(plane, services[OURS].ns))
    plane.wait_until(lambda: all(s.active() for s in everyone), "every HPA has its metric")

    began = time.monotonic() + 1
    for s in everyone:
        s.gateway.play(began + at for at in arrivals())
    plane.wait_until(lambda: all(not s.gateway.planned and len(s.gateway.done) == s.gateway.arrived for s in everyone),
                     "every request has ended", deadline_s=600, every_s=1)

    rows = {name: s.row(began) for name, s in services.items()}
    story = "\n".join([
        table(rows), *(f"{name}: replicas from second on {[(round(t - began), n) for t, n in s.recorder.replicas]},"
                       f" CPU read in percent {[(round(t - began), n) for t, n in s.read]}" for name, s in services.items()),
        f"gpuscale's failures: {[(t - began, took, status) for t, took, status in services[OURS].gateway.done if status != 200]}"])
    print(story)
    cpu, ours = rows[CPU_2_CORES], rows[OURS]
    most = {name: max(percent for _, percent in services[name].read) for name in (CPU_2_CORES, CPU_MEASURED)}
    assert {r["requests"] for r in rows.values()} == {len(arrivals())}, story
    assert all(s.active() for s in everyone) and not player.metrics_server.skipped(), (story, player.metrics_server.skipped()[:5])
    # The HPA works: it has read the CPU, and where that is above 70 % of the request it scales.
    assert most[CPU_MEASURED] > 70 and rows[CPU_MEASURED]["replicas, most"] > 1, story
    # At its limit a replica uses some 3 % of 2 cores: nothing moves, whatever waits.
    assert 0 < most[CPU_2_CORES] < 70 and cpu["replicas, most"] == 1, story
    assert ours["replicas, most"] > 1, story
    assert all(ours[what] <= cpu[what] for what in ("failed", "latency p50, s", "latency p95, s")), story
    plane.wait_until(lambda: services[OURS].waiting() == 0, "gpuscale's queue is empty")
