# SPDX-License-Identifier: Apache-2.0
"""Bad input and faults beside a service that scales: what is said on the ScaledObject (Event, KEDA's condition), in the log and by
`explain`, and that nothing is scaled by it."""

import base64
import http.server
import threading
import time

import pytest

from harness import run
from recorder import Recorder
from security_kit import KEDA, SCALER, Pki
from service import ADDRESS, AGENTS, Rig
from workloads import RATE, engine_deployment, scaled_object

KEDA_SH = "/apis/keda.sh/v1alpha1"


class Faults(Rig):
    def __init__(self, plane):
        super().__init__(plane, agent_flags=["--grpc-tls-allowed-name", SCALER])
        self.pki = Pki(self.certificates.folder, new=False)
        self.start(demand={"gateway": self.gateway.demand()}, kubernetes={
            "enabled": True, "kubeconfig": str(plane.service_account("gpuscale", "gpuscale-scaler")), "kedaSilence": "5s",
            "agents": {"service": f"{AGENTS}/gpuscale-agent", "port": "grpc"}})

    def explain(self, ns, name="llm"):
        out = run("gpuscale", "explain", "--server", f"http://{ADDRESS}:9444", f"{ns}/{name}", "--last", "1")
        assert out.returncode == 0, out.stderr
        return out.stdout

    def event(self, ns, reason):
        """The newest message of the ScaledObject's Event; None: there is none."""
        found = [e for e in self.plane.events(ns, reason) if e["involvedObject"]["kind"] == "ScaledObject"]
        assert all(e["source"]["component"] == "gpuscale-scaler" for e in found)
        return found[-1]["message"] if found else None

    def condition(self, ns, kind="Ready", name="llm"):
        so = self.plane.get(f"{KEDA_SH}/namespaces/{ns}/scaledobjects/{name}") or {}
        return next((c for c in so.get("status", {}).get("conditions", []) if c["type"] == kind), {})

    def serve(self, ns, **more):
        """The service that goes on: (namespace, recorder)."""
        ns = self.plane.namespace(ns)
        self.plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="1s"))
        recorder = Recorder(self.plane, ns, "llm")
        self.plane.wait_until(lambda: len(self.ready(ns)) == 1, "one is ready")
        self.gateway.namespace = ns
        self.plane.apply(scaled_object(ns, "llm", {**RATE, "demand": "gateway"}, **more))
        return ns, recorder

    def end(self, ns):
        self.gateway.rate = 0
        self.plane.delete(f"{KEDA_SH}/namespaces/{ns}/scaledobjects/llm")
        self.plane.delete(f"/apis/apps/v1/namespaces/{ns}/deployments/llm")
        self.plane.wait_until(lambda: not self.player.of(ns), f"the pods of {ns} are away")


@pytest.fixture(scope="module")
def rig(plane):
    rig = Faults(plane)
    yield rig
    rig.stop()


def passed(seconds):
    """A condition: KEDA and the HPA, which ask every 2 s, had the chance to do something wrong."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


class Page:
    """An engine's page on a pod's IP, shown to who has the token."""

    def __init__(self, address, rate, token):
        page, began = self, time.monotonic()
        self.token = token

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                good = page.token is None or self.headers.get("Authorization") == f"Bearer {page.token}"
                text = f"inference_requests_total {rate * (time.monotonic() - began):.0f}\ninference_queue_length 0\ninference_requests_running 1\n"
                body = text.encode() if good else b'{"error":"Unauthorized"}'
                self.send_response(200 if good else 401)
                self.send_header("Content-Type", "text/plain" if good else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 8000), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_engines_that_want_a_token_are_told_with_the_remedy(plane, rig):
    ns = plane.namespace("token")
    deployment = engine_deployment(ns, "llm", replicas=2)
    deployment[0]["spec"]["template"]["spec"]["containers"][0] |= {"image": "vllm", "readinessProbe": None}  # its page is below
    plane.apply(deployment)
    recorder = Recorder(plane, ns, "llm")
    plane.wait_until(lambda: len(rig.ready(ns)) == 2, "two are ready")
    pages = [Page(p.address, 20, "s3cret") for p in rig.player.of(ns)]
    try:
        plane.apply(scaled_object(ns, "llm", RATE))
        plane.wait_until(lambda: "answered status 401" in (rig.event(ns, "EnginePageRefused") or ""), "the Event")
        said = rig.event(ns, "EnginePageRefused")
        assert "wants a token" in said and "metricsPort" in said and f"Pod {ns}/llm-" in said, said
        assert "the page wants a token" in rig.log() and "s3cret" not in rig.log()
        plane.wait_until(lambda: rig.event(ns, "DecisionUnavailable"), "no number without pages")
        plane.wait_until(lambda: "requestRate" in rig.explain(ns) and "unknown" in rig.explain(ns), "explain says what is not known")
        hpa = f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers/keda-hpa-llm"
        plane.wait_until(lambda: rig.condition(ns, "Fallback").get("status") == "True", "KEDA's own word: it falls back")
        plane.wait_until(passed(8), "KEDA and the HPA ask a few times")
        assert recorder.counts() == [2], "each gets 20 requests a second, and that is not known"
        for page in pages:
            page.token = None
        plane.wait_until(lambda: recorder.now == 8, "it is known: 40 at 4 each, as many as are allowed", deadline_s=90)
        assert "engine page is good again" in rig.log()
        assert plane.get(hpa)["status"]["desiredReplicas"] == 8
    finally:
        for page in pages:
            page.close()
        recorder.stop()
        rig.end(ns)


def secret(ns, pki, leaf):
    def text(path):
        return base64.b64encode(pki.path(path).read_bytes()).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": ns, "name": "own"},
            "data": {"ca.crt": text("ca.crt"), "tls.crt": text(f"{leaf}.crt"), "tls.key": text(f"{leaf}.key")}}


def authentication(ns):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"namespace": ns, "name": "own"},
            "spec": {"secretTargetRef": [{"parameter": p, "name": "own", "key": k} for p, k in (
                ("caCert", "ca.crt"), ("tlsClientCert", "tls.crt"), ("tlsClientKey", "tls.key"))]}}


def own_certificate(objects):
    objects[0]["spec"]["triggers"][0]["authenticationRef"] = {"name": "own"}
    return objects


@pytest.mark.parametrize("who", ["expired", "tenant"])
def test_a_certificate_that_is_refused_is_an_event_until_it_is_a_good_one(plane, rig, who):
    ns = plane.namespace(who)
    if who == "tenant":
        rig.pki.issue("tenant", "DNS:llm.team-a.svc")
    else:
        rig.pki.issue("expired", f"DNS:{KEDA}", days=-1)
    plane.apply([*engine_deployment(ns, "llm", replicas=1, load_time="0s"), secret(ns, rig.pki, who), authentication(ns)])
    recorder = Recorder(plane, ns, "llm")
    rig.gateway.namespace = ns
    rig.gateway.rate = 20
    try:
        plane.apply(own_certificate(scaled_object(ns, "llm", {**RATE, "demand": "gateway"})))
        plane.wait_until(lambda: rig.event(ns, "NotAskedByKEDA"), "the Event", deadline_s=90)
        said = rig.event(ns, "NotAskedByKEDA")
        assert "gpuscale-scaler.gpuscale.svc:9443 lead here" in said and "client refused" in said, said
        assert "client refused" in rig.log()
        plane.wait_until(lambda: rig.condition(ns).get("status") == "False", "KEDA's own word in the condition Ready")
        plane.wait_until(lambda: "nothing scales by it" in rig.explain(ns), "explain says so")
        assert "replicas: demand" in rig.explain(ns), "and what it would have"
        assert recorder.counts() == [1]
        plane.apply([secret(ns, rig.pki, "keda")])
        # KEDA keeps what it has read of the Secret until the ScaledObject is another.
        plane.patch(f"{KEDA_SH}/namespaces/{ns}/scaledobjects/llm", {"spec": {"pollingInterval": 1}})
        plane.wait_until(lambda: rig.event(ns, "AskedByKEDA"), "KEDA takes the good one", deadline_s=120)
        plane.wait_until(lambda: recorder.now == 5, "and scales", deadline_s=90)
        plane.wait_until(lambda: rig.condition(ns).get("status") == "True", "the ScaledObject is ready")
    finally:
        recorder.stop()
        rig.end(ns)


def test_a_wrong_scaler_address_is_told(plane, rig):
    ns = plane.namespace("astray")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s"))
    recorder = Recorder(plane, ns, "llm")
    objects = scaled_object(ns, "llm", RATE)
    objects[0]["spec"]["triggers"][0]["metadata"]["scalerAddress"] = "gpuscale.gpuscale.svc:9443"
    try:
        plane.apply(objects)
        plane.wait_until(lambda: "scalerAddress gpuscale.gpuscale.svc:9443 lead here" in (rig.event(ns, "NotAskedByKEDA") or ""), "the Event", deadline_s=90)
        plane.wait_until(lambda: rig.condition(ns).get("status") == "False", "KEDA's own word")
        assert recorder.counts() == [1]
        # Paused, nobody is expected to ask.
        plane.patch(f"{KEDA_SH}/namespaces/{ns}/scaledobjects/llm", {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}})
        plane.wait_until(lambda: "is paused" in rig.explain(ns) and "has not asked" not in rig.explain(ns), "paused, it is no fault")
        assert rig.event(ns, "AskedByKEDA") is None
    finally:
        recorder.stop()
        rig.end(ns)


def status_kib(rig, key):
    return next(int(line.split()[1]) for line in open(f"/proc/{rig.scaler.process.proc.pid}/status") if line.startswith(key))


def replica_sets(rig):
    return rig.scaler.page("gpuscale_cluster_objects")[frozenset({("resource", "replicasets")})]


def test_a_list_of_200_mb_is_followed_in_the_memory_of_one_object(plane, rig):
    """205 ReplicaSets of a megabyte each, in nobody's way."""
    ns, recorder = rig.serve("beside-big")
    big = plane.namespace("big")
    path = f"/apis/apps/v1/namespaces/{big}/replicasets"
    many, blob = 205, "x" * 1_000_000

    def replica_set(name, labels=None, value=blob):
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "labels": labels or {}}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "containers": [{"name": "c", "image": "none", "env": [{"name": "BLOB", "value": value}]}]}}}}

    try:
        there = replica_sets(rig)
        for i in range(many):
            plane.rest.call("POST", path, replica_set(f"big-{i}"))
        plane.wait_until(lambda: replica_sets(rig) == there + many, "the watch has brought them")
        watched = status_kib(rig, "VmHWM")
        # Of this one more would be kept than is kept of an object.
        plane.rest.call("POST", path, replica_set("labels", {f"label-{i}-{'x' * 50}": "y" * 60 for i in range(1000)}, ""))
        plane.wait_until(lambda: "an object of the cluster cannot be read" in rig.log(), "what is too large to keep is said")
        assert "LIMIT_KUBE_KEPT_BYTES" in rig.log()
        rig.gateway.rate = 7
        plane.wait_until(lambda: recorder.now == 2 and len(rig.ready(ns)) == 2, "the service beside scales")
        rig.scaler.process.stop()
        began = time.monotonic()
        rig.scaler.start()
        listed = time.monotonic() - began
        assert replica_sets(rig) == there + many
        rig.gateway.rate = 11
        plane.wait_until(lambda: recorder.now == 3 and len(rig.ready(ns)) == 3, "it scales on", deadline_s=90)
        fresh = status_kib(rig, "VmHWM")
        print(f"\n{many} MB of ReplicaSets: watched, at most {watched // 1024} MiB resident; listed and ready after {listed:.1f} s, at most {fresh // 1024} MiB")
        assert max(watched, fresh) < 200 * 1024, "less than the list"
        assert recorder.counts()[-1] == 3 and set(recorder.counts()) <= {1, 2, 3}
    finally:
        plane.kubectl("delete", "replicasets", "--all", "-n", big, "--wait=false")
        recorder.stop()
        rig.end(ns)


def test_without_a_free_gpu_the_scheduler_is_quoted(plane, rig):
    """Two minutes are what a new node may take; they pass here."""
    blocker = plane.namespace("blocker")
    plane.apply(engine_deployment(blocker, "blocker", replicas=14, load_time="0s"))
    plane.wait_until(lambda: len(rig.ready(blocker)) == 14, "14 of 16 GPUs are taken")
    ns, recorder = rig.serve("full")
    try:
        rig.gateway.rate = 15  # four; two have a GPU
        plane.wait_until(lambda: recorder.now == 4 and len(rig.ready(ns)) == 2, "two of four have a GPU")
        plane.wait_until(lambda: rig.event(ns, "ReplicasUnschedulable"), "the Event after two minutes", deadline_s=240)
        said = rig.event(ns, "ReplicasUnschedulable")
        assert said.startswith("4 replicas are wanted, 2 ready: 2 pods have found no place for 12") and "Insufficient nvidia.com/gpu" in said, said
        assert "Insufficient nvidia.com/gpu" in rig.explain(ns)
        assert recorder.now == 4, "the number stands"
        plane.delete(f"/apis/apps/v1/namespaces/{blocker}/deployments/blocker")
        plane.wait_until(lambda: len(rig.ready(ns)) == 4, "with GPUs they start")
        plane.wait_until(lambda: "found no place" not in rig.explain(ns), "and it is said no more")
    finally:
        recorder.stop()
        rig.end(ns)
        plane.delete(f"/apis/apps/v1/namespaces/{blocker}/deployments/blocker")
