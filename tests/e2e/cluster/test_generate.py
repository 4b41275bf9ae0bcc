# SPDX-License-Identifier: Apache-2.0
"""What `gpuscale generate` writes, on a real cluster: the API server takes all of it (strict validation), an object that articles have
is translated in place and then scales as it should, and the classic stack that it makes scales without gpuscale at all: agents' page,
Debian's Prometheus, KEDA's prometheus triggers, KEDA's formula."""

import json
import subprocess
import threading
import time

import pytest
import yaml

from harness import find_program, http_get
from plane import Process
from recorder import Recorder
from test_scaling import Rig, passed
from workloads import engine_deployment

PROMETHEUS = "10.244.255.60"


def generate(*args, text=None, rc=0):
    done = subprocess.run([find_program("gpuscale"), "generate", *map(str, args)], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == rc, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def deployment(namespace, image="vllm/vllm-openai:v0.11.0", name="llm", port=8000, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, **spec, "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": [{
                    "name": "main", "image": image, "ports": [{"name": "metrics", "containerPort": port}],
                    "readinessProbe": {"httpGet": {"path": "/health", "port": port}}, "resources": {"limits": {"nvidia.com/gpu": 1}}}]}}}}


TRITON = dict(image="nvcr.io/nvidia/tritonserver:25.08-py3", port=8002)


@pytest.fixture(scope="module")
def rig(plane):
    rig = Rig(plane)
    yield rig
    rig.stop()


@pytest.mark.parametrize("name, parts, args", [
    ("vllm", {}, ()),
    ("vllm-zero", {}, ("--demand", "gateway", "--network-policy", "add")),
    ("triton", TRITON, ("--network-policy", "add", "--max", "4")),
    ("observe", {}, ("--mode", "observe", "--capacity", "2")),
    ("old-kubernetes", {}, ("--kubernetes", "1.34")),
    ("long", dict(name="l" * 60), ()),
    ("classic", TRITON, ("--style", "prometheus")),
    ("classic-requests", {}, ("--style", "prometheus", "--capacity", "2", "--queue", "4")),
    ("adapter", TRITON, ("--style", "prometheus", "--adapter")),
    ("managed", {}, ("--style", "managed", "--demand", "gateway")),
    ("hpa", {}, ("--style", "hpa")),
    ("hpa-zero", {}, ("--style", "hpa", "--demand", "gateway")),
])
def test_the_api_server_takes_what_is_written(plane, name, parts, args):
    ns = plane.namespace(f"takes-{name}")
    text, _ = generate(*args, text=yaml.safe_dump(deployment(ns, **parts)))
    plane.apply(text)  # server-side, strict
    kinds = [d["kind"] for d in yaml.safe_load_all(text) if d]
    for kind in kinds:
        assert plane.kubectl("get", kind, "-n", ns, "-o", "name").strip(), kind
    if "ScaledObject" in kinds:
        so = plane.items(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects")[0]
        written = next(d for d in yaml.safe_load_all(text) if d and d["kind"] == "ScaledObject")
        kept = {k: v for k, v in so["spec"]["advanced"].items() if v}  # KEDA writes an empty scalingModifiers there
        assert so["spec"]["triggers"] == written["spec"]["triggers"] and kept == written["spec"]["advanced"]


def test_kubectl_s_output_and_the_cluster_give_the_same(plane):
    ns = plane.namespace("inputs")
    plane.apply([deployment(ns)])
    by_pipe, _ = generate(text=plane.kubectl("get", "deployment", "llm", "-n", ns, "-o", "yaml"))
    assert by_pipe == generate(text=plane.kubectl("get", "deployment", "-n", ns, "-o", "json"))[0]
    from_cluster, errors = generate("deployment/llm", "-n", ns, "--kubeconfig", plane.admin)
    assert errors == ""
    assert list(yaml.safe_load_all(from_cluster)) == list(yaml.safe_load_all(by_pipe))
    # A policy that closes the pods asks for one that lets the scaler in.
    plane.apply([{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": ns},
                  "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}])
    text, _ = generate("deployment/llm", "-n", ns, "--kubeconfig", plane.admin)
    assert [d["kind"] for d in yaml.safe_load_all(text)] == ["ScaledObject", "NetworkPolicy"]
    plane.apply(text)


def test_who_may_not_read_is_told(plane):
    ns = plane.namespace("rights")
    plane.apply([deployment(ns)])
    tenant = plane.user("generate-tenant")
    _, errors = generate("deployment/llm", "-n", ns, "--kubeconfig", tenant, rc=1)
    assert "may not get deployments.apps llm" in errors and "generate-tenant" in errors
    plane.kubectl("create", "role", "read", "--verb=get,list", "--resource=deployments.apps", "-n", ns)
    plane.kubectl("create", "rolebinding", "read", "--role=read", "--user=generate-tenant", "-n", ns)

    def may():
        done = subprocess.run([find_program("gpuscale"), "generate", "deployment/llm", "-n", ns, "--kubeconfig", str(tenant)],
                              capture_output=True, text=True, timeout=60)
        return done if done.returncode == 0 else None
    done = plane.wait_until(may, "the role is there")
    assert "kind: ScaledObject" in done.stdout and "not looked at: may not list scaledobjects.keda.sh" in done.stderr


# ---- Scaling for real ------------------------------------------------------------------------------------------------------


class Scaled:
    """A service of one-at-a-time engines (4 requests a second each), its traffic, every spec.replicas that ever stood."""

    def __init__(self, rig, name):
        self.rig, self.plane = rig, rig.plane
        self.ns = rig.plane.namespace(name)
        self.gateway = rig.free_gateways.pop()
        self.gateway.namespace = self.ns
        rig.plane.apply(engine_deployment(self.ns, "llm", 1, "1s"))
        self.recorder = Recorder(rig.plane, self.ns, "llm")
        self.until(lambda: self.ready() == 1, "one is ready")

    def ready_pods(self):
        return [p for p in self.rig.player.of(self.ns) if p.uid in self.rig.player.ready_at and not p.gone.is_set()]

    def ready(self):
        return len(self.ready_pods())

    def until(self, condition, what, **more):
        try:
            return self.plane.wait_until(condition, what, **more)
        except AssertionError as e:
            raise AssertionError(f"{e}\nspec.replicas: {self.recorder.replicas}\n"
                                 f"{self.plane.kubectl('describe', 'scaledobject,hpa', '-n', self.ns)}") from None

    def close(self):
        self.gateway.rate = 0
        self.recorder.stop()
        for so in self.plane.items(f"/apis/keda.sh/v1alpha1/namespaces/{self.ns}/scaledobjects"):
            self.plane.delete(f"/apis/keda.sh/v1alpha1/namespaces/{self.ns}/scaledobjects/{so['metadata']['name']}")
        self.plane.delete(f"/apis/apps/v1/namespaces/{self.ns}/deployments/llm")


@pytest.fixture
def scaled(rig):
    made = []

    def make(name):
        made.append(Scaled(rig, name))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Monitoring:
    """Debian's Prometheus (it is built without Kubernetes' discovery) on the agents' pages, with honorLabels, and on the ready pods of a
    service, told in a file with namespace and pod, as a PodMonitor would have it."""

    def __init__(self, scaled, folder):
        self.scaled, self.folder, plane = scaled, folder, scaled.plane
        agents = [f"{node.address}:9400" for node in scaled.rig.player.nodes.values()]
        self.tell()
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "gpu", "honor_labels": True, "static_configs": [{"targets": agents}]},
                {"job_name": "engines", "file_sd_configs": [{"files": [str(self.folder / "pods.json")], "refresh_interval": "1s"}]}]}))
        self.process = Process(plane.folder, "prometheus", [
            "/usr/bin/prometheus", f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={PROMETHEUS}:9090"])
        plane.processes["prometheus"] = self.process
        self.process.start()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()
        plane.wait_until(lambda: http_get(f"http://{PROMETHEUS}:9090/-/ready", deadline_s=5)[0] == 200, "Prometheus is ready")

    def tell(self):
        pods = [{"targets": [f"{p.address}:8000"], "labels": {"namespace": self.scaled.ns, "pod": p.pod["metadata"]["name"]}} for p in self.scaled.ready_pods()]
        path = self.folder / "pods.json.new"
        path.write_text(json.dumps(pods))
        path.rename(self.folder / "pods.json")

    def _follow(self):
        while not self.stopping.wait(0.2):
            self.tell()

    def stop(self):
        self.stopping.set()
        self.thread.join(10)
        self.process.stop()


def old_pair(namespace):
    """What articles have, with queries, so that KEDA takes it."""
    def trigger(query, threshold):
        return {"type": "prometheus", "metadata": {"serverAddress": f"http://{PROMETHEUS}:9090", "query": query, "threshold": threshold}}
    return [{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "old", "namespace": namespace, "labels": {"team": "a"}},
             "spec": {"scaleTargetRef": {"name": "llm"}, "minReplicaCount": 1, "maxReplicaCount": 5, "pollingInterval": 2, "cooldownPeriod": 3,
                      "triggers": [trigger('avg(DCGM_FI_DEV_GPU_UTIL)', "55"), trigger('sum(inference_queue_length)', "10")]}}]


def test_an_object_of_an_article_is_translated_in_place_and_scales(scaled, rig):
    s = scaled("translated")
    s.plane.apply(old_pair(s.ns))
    text, _ = generate("deployment/llm", "-n", s.ns, "--kubeconfig", s.plane.admin, "--engine", "custom",
                       "--rate-window", "3s", "--down-window", "5s", "--max-age", "5s")
    (so,) = list(yaml.safe_load_all(text))
    assert so["metadata"] == {"name": "old", "namespace": s.ns, "labels": {"team": "a"}} and so["spec"]["maxReplicaCount"] == 5
    assert {k: so["spec"]["triggers"][0]["metadata"].get(k) for k in ("queue", "gpuUtilization", "when", "metricsPort")} == {
        "queue": "10", "gpuUtilization": "55", "when": "all", "metricsPort": "8000"}
    s.plane.kubectl("replace", "-f", "-", stdin=text)
    s.until(lambda: s.rig.scaler.decided(s.ns, "old")["now"]["desired"] == 1, "gpuscale decides")
    s.gateway.rate = 8  # twice what one serves
    s.until(lambda: s.recorder.now >= 2 and s.ready() >= 2, "more replicas")
    s.gateway.rate = 0
    s.until(lambda: s.recorder.now == 1, "one is left")
    assert max(s.recorder.counts()) <= 5


def test_a_generated_object_goes_to_zero_and_is_woken_by_push(scaled):
    s = scaled("generated")
    text, _ = generate("deployment/llm", "-n", s.ns, "--kubeconfig", s.plane.admin, "--engine", "custom", "--demand", s.gateway.source,
                       "--request-rate", "4", "--max", "4", "--rate-window", "3s", "--down-window", "5s", "--max-age", "5s")
    (so,) = list(yaml.safe_load_all(text))
    assert so["spec"]["minReplicaCount"] == 0 and so["spec"]["triggers"][0]["type"] == "external-push"
    so["spec"].update(pollingInterval=2, cooldownPeriod=3)  # so that the test does not take five minutes
    s.plane.apply([so])
    s.until(lambda: s.recorder.now == 0, "nobody asks: none is left")
    s.plane.patch(f"/apis/keda.sh/v1alpha1/namespaces/{s.ns}/scaledobjects/llm", {"spec": {"pollingInterval": 3600}})
    s.until(passed(3), "KEDA opens its stream anew")
    s.gateway.rate = 6
    s.until(lambda: s.recorder.now == 2 and s.ready() == 2, "woken, and sized by arrivals")
    assert max(s.recorder.counts()) <= 4


def test_the_classic_stack_scales_without_gpuscale(scaled, rig, tmp_path):
    s = scaled("classic-stack")
    monitoring = Monitoring(s, tmp_path)
    try:
        text, _ = generate("deployment/llm", "-n", s.ns, "--kubeconfig", s.plane.admin, "--engine", "custom", "--style", "prometheus",
                           "--prometheus", f"http://{PROMETHEUS}:9090", "--max", "4",
                           "--replicas-query", f'count(up{{job="engines",namespace="{s.ns}"}} == 1)')
        (so,) = list(yaml.safe_load_all(text))
        so["spec"]["pollingInterval"] = 2
        so["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 5
        s.plane.apply([so])

        def reads():
            """Every trigger has its value; with the fallback the HPA would read a metric, too."""
            so = s.plane.get(f"/apis/keda.sh/v1alpha1/namespaces/{s.ns}/scaledobjects/llm")
            health = so.get("status", {}).get("health", {})
            return len(health) == 3 and all(h["status"] == "Happy" for h in health.values())
        s.until(reads, "KEDA reads all three queries")
        # A busy GPU without a queue raises nothing: two triggers without the formula would.
        s.gateway.rate = 3.4
        s.until(passed(10), "KEDA and the HPA ask a few times")
        assert s.recorder.counts() == [1], s.recorder.replicas
        s.gateway.rate = 9  # more than twice what one serves
        s.until(lambda: s.recorder.now >= 2 and s.ready() >= 2, "both are above: more replicas")
        s.gateway.rate = 0
        s.until(lambda: s.recorder.now == 1, "the GPUs are idle: one is left")
        # Prometheus away: an error, not 0, and nothing moves.
        since = time.monotonic()
        monitoring.process.stop(9)
        s.until(lambda: not reads(), "KEDA reads none")
        s.until(passed(10), "KEDA and the HPA ask a few times")
        assert s.recorder.counts(since) == [1], s.recorder.replicas
    finally:
        monitoring.stop()
