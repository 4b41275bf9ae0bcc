# SPDX-License-Identifier: Apache-2.0
"""Certificates on a real cluster: the manifests of `gpuscale certs`, with which KEDA comes to the scaler; all of them and the
authority are changed under load; and what does not pass is told in the ScaledObject's condition and in the scaler's log."""

import base64
import pathlib
import re
import signal
import subprocess
import threading

import pytest

from recorder import Recorder
from security_kit import KEDA, SCALER, Callers, Pki
from service import ADDRESS, AGENTS, Rig
from workloads import RATE, engine_deployment, scaled_object



class Rotated(Rig):
    def __init__(self, plane):
        super().__init__(plane, nodes=1, agent_flags=["--grpc-tls-allowed-name", SCALER])
        self.pki = Pki(self.certificates.folder, new=False)
        # Connections are renewed all the time, so that every certificate that is in use is shown and looked at.
        grpc = {"listen": f"{ADDRESS}:9443", "tls": {**self.certificates.tls("scaler"), "allowedNames": [KEDA, SCALER]},
                "maxConnectionAge": "2s"}
        self.start(grpc=grpc)

    def lines(self, pattern, start=0):
        return re.findall(f".*{pattern}.*", self.log()[start:])


@pytest.fixture(scope="module")
def rig(plane):
    rig = Rotated(plane)
    yield rig
    rig.stop()


class Watcher:
    """Looks at the ScaledObject's and the HPA's conditions while a test runs: what was ever not true."""

    def __init__(self, plane, ns, name):
        self.plane, self.paths = plane, {
            "ScaledObject": (f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/{name}", {"Ready"}),
            "HPA": (f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers/keda-hpa-{name}", {"ScalingActive", "AbleToScale"})}
        self.looks, self.bad, self.stopping = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.wait(0.3):
            for what, (path, types) in self.paths.items():
                for c in (self.plane.get(path) or {}).get("status", {}).get("conditions", []):
                    self.looks += 1
                    if c["type"] in types and c["status"] != "True":
                        self.bad.append((what, c["type"], c.get("reason"), c.get("message")))

    def stop(self):
        self.stopping.set()
        self.thread.join(10)


def condition(plane, ns, name, kind="Ready"):
    so = plane.get(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/{name}") or {}
    return next((c for c in so.get("status", {}).get("conditions", []) if c["type"] == kind), {})


def test_everything_scales_on_while_all_certificates_change(plane, rig):
    ns = plane.namespace("rotation")
    rig.gateway.namespace = ns
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s"))
    recorder = Recorder(plane, ns, "llm")
    objects = scaled_object(ns, "llm", RATE)
    plane.apply(objects)
    rig.gateway.rate = 6
    plane.wait_until(lambda: recorder.now == 2, "6 a second need 2 replicas")
    plane.wait_until(lambda: condition(plane, ns, "llm").get("status") == "True", "the ScaledObject is ready")
    watcher = Watcher(plane, ns, "llm")
    callers = Callers(f"{ADDRESS}:9443", plane.folder, 2, namespace=ns, metadata=objects[0]["spec"]["triggers"][0]["metadata"])
    callers.take(rig.pki)
    callers.start()
    losses = metric(rig, "gpuscale_agent_losses_total")
    try:
        for i, step in enumerate((["--renew"], ["--new-ca"], ["--renew"], ["--drop-ca"])):
            before = len(rig.lines("gRPC certificate re-read"))
            rig.certificates.run("--output", rig.certificates.folder, *step)
            plane.apply(rig.certificates.run("--output", rig.certificates.folder, "--manifests"))
            rig.scaler.process.proc.send_signal(signal.SIGHUP)
            for node in rig.player.nodes.values():
                node.agent.proc.send_signal(signal.SIGHUP)
            plane.wait_until(lambda: len(rig.lines("gRPC certificate re-read")) > before, f"{step}: the scaler shows it")
            callers.take(rig.pki)
            plane.wait_until(callers.more(60), "callers come with it")
            rig.gateway.rate = (14, 6)[i % 2]
            plane.wait_until(lambda: recorder.now == (4, 2)[i % 2], f"{step}: KEDA and the HPA follow the load")
    finally:
        callers.stop()
        watcher.stop()
        rig.gateway.rate = 0
    assert callers.failures == [] and callers.calls > 300
    assert metric(rig, "gpuscale_agent_losses_total") == losses
    assert {n for _, n in recorder.replicas} <= {1, 2, 3, 4}, recorder.replicas
    assert watcher.looks > 50 and watcher.bad == []
    recorder.stop()


def metric(rig, name):
    return sum(rig.scaler.page(name).values())


def secret(ns, name, pki, leaf, ca="ca.crt"):
    def text(path):
        return base64.b64encode(pki.path(path).read_bytes()).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": ns, "name": name},
            "data": {"ca.crt": text(ca), "tls.crt": text(f"{leaf}.crt"), "tls.key": text(f"{leaf}.key")}}


def authentication(ns, name):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"namespace": ns, "name": name},
            "spec": {"secretTargetRef": [{"parameter": p, "name": name, "key": k} for p, k in (
                ("caCert", "ca.crt"), ("tlsClientCert", "tls.crt"), ("tlsClientKey", "tls.key"))]}}


@pytest.mark.parametrize("who, says", [
    ("tenant", "none of its names is an allowed one.*llm.team-a.svc"),
    ("expired", "certificate has expired"),
    ("foreign", "shows no certificate"),  # Go's client shows none to a server that names other authorities
])
def test_a_certificate_that_does_not_pass_scales_nothing_and_is_told(plane, rig, tmp_path, who, says):
    """A tenant's certificate of the very same authority, one that expired, one of another authority."""
    ns = plane.namespace(f"with-{who}")
    rig.gateway.namespace = ns
    if who == "tenant":
        rig.pki.issue("tenant", "DNS:llm.team-a.svc")
        shown = secret(ns, "own", rig.pki, "tenant")
    elif who == "expired":
        rig.pki.issue("expired", f"DNS:{KEDA}", days=-1)
        shown = secret(ns, "own", rig.pki, "expired")
    else:
        foreign = Pki(tmp_path / "foreign")
        shown = secret(ns, "own", foreign, "keda")
        shown["data"]["ca.crt"] = secret(ns, "own", rig.pki, "keda")["data"]["ca.crt"]
    start = len(rig.log())
    rig.gateway.rate = 20
    plane.apply([*engine_deployment(ns, "llm", replicas=1, load_time="0s"), shown, authentication(ns, "own")])
    recorder = Recorder(plane, ns, "llm")
    objects = scaled_object(ns, "llm", RATE)
    for trigger in objects[0]["spec"]["triggers"]:
        trigger["authenticationRef"] = {"name": "own"}
    try:
        plane.apply(objects)
        # After ten lines of a kind the log has one a minute.
        plane.wait_until(lambda: rig.lines(f"client refused.*({says})", start), "the scaler's log says who and why", deadline_s=150)
        plane.wait_until(lambda: condition(plane, ns, "llm").get("status") == "False", "the ScaledObject is not ready")
        assert "no metric specs returned from scalers" in condition(plane, ns, "llm")["message"]
        # More refusals come, and none of them scales.
        refused = metric(rig, "gpuscale_grpc_certificates_refused_total")
        plane.wait_until(lambda: metric(rig, "gpuscale_grpc_certificates_refused_total") > refused + 1, "KEDA tries again")
        assert [n for _, n in recorder.replicas] == [1]
    finally:
        rig.gateway.rate = 0
        recorder.stop()
        plane.delete(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/llm")


def test_cert_managers_objects_are_taken_by_the_api_server(plane, rig):
    """cert-manager's own definitions, strict validation; and a field that it does not know is refused, so that they are looked at."""
    folder = next(f for f in subprocess.run([pathlib.Path(__file__).parent / "crds/fetch.sh"], check=True, capture_output=True,
                                            text=True).stdout.split() if "cert-manager" in f)
    files = sorted(pathlib.Path(folder).glob("cert-manager.io_*.yaml"))
    plane.kubectl("apply", "--server-side", *[a for f in files for a in ("-f", f)])
    for kind in ("certificates", "clusterissuers"):
        plane.wait_until(lambda: plane.rest.request("GET", f"/apis/cert-manager.io/v1/{kind}")[0] == 200, f"{kind} are served")
    plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cert-manager"}}])
    out = rig.certificates.run("--cert-manager", "--dns", "scaler.example.com", "--ip", "192.0.2.1", "--days", "90")
    plane.apply(out)
    for ns, name in (("gpuscale", "gpuscale-scaler"), (AGENTS, "gpuscale-agent"), ("keda", "gpuscale-keda"), ("cert-manager", "gpuscale-ca")):
        spec = plane.get(f"/apis/cert-manager.io/v1/namespaces/{ns}/certificates/{name}")["spec"]
        assert spec["issuerRef"]["kind"] == "ClusterIssuer" and spec["privateKey"]["algorithm"] == "ECDSA"
    assert plane.get("/apis/cert-manager.io/v1/namespaces/gpuscale/certificates/gpuscale-scaler")["spec"]["duration"] == "2160h"
    plane.apply(rig.certificates.run("--cert-manager", "--issuer", "Issuer/vault"))
    status, _, errors = plane.apply(out.replace("dnsNames:", "dnsName:"), check=False)
    assert status != 0 and "dnsName" in errors
