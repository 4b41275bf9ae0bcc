# SPDX-License-Identifier: Apache-2.0
"""From nothing to a scaled service, as docs/install.md says it: certificates, `helm install`, `gpuscale generate`. The chart's pods run
as the kubelet would run them: the scheduler's choice, their own network, read-only root, their user, Secrets and service account
token; agents by the DaemonSet, two scalers by the Deployment."""

import signal
import socket
import ssl
import subprocess
import time

import pytest
import yaml

from installed import CHART, generated_service, settled

# bcrypt of "allmine"; of golang.org/x/crypto/bcrypt's tests.
ALLMINE = "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"


@pytest.fixture(scope="module")
def service(installed):
    ns, recorder = generated_service(installed)
    yield ns, recorder
    recorder.stop()


def test_the_chart_is_ready(installed):
    installed.until(installed.ready, "agents on both nodes and both scalers are ready", deadline_s=90)
    for pod in installed.player.of("gpuscale"):
        status = open(f"/proc/{pod.processes['scaler'].proc.pid}/status").read()
        assert "Uid:\t65532\t65532\t65532\t65532" in status and "CapEff:\t0000000000000000" in status


def test_a_generated_service_scales_up_down_to_zero_and_back(installed, service):
    ns, recorder = service
    gateway = installed.gateway
    gateway.rate = 10
    installed.until(lambda: settled(installed, recorder, ns, 3), "three replicas")
    gateway.rate = 0
    installed.until(lambda: settled(installed, recorder, ns, 0), "none is left")
    began = time.monotonic()
    gateway.rate = 2
    installed.until(lambda: settled(installed, recorder, ns, 1), "it is back")
    print(f"\nback from zero in {time.monotonic() - began:.2f} s")


def serial(address, certificates):
    """Of the certificate that a port shows."""
    context = ssl.create_default_context(cafile=str(certificates.folder / "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(str(certificates.folder / "keda.crt"), str(certificates.folder / "keda.key"))
    with socket.create_connection((address, 9443), 5) as s, context.wrap_socket(s) as tls:
        return tls.getpeercert()["serialNumber"]


def test_certificates_are_renewed_under_load(installed, service):
    ns, recorder = service
    installed.gateway.rate = 7
    installed.until(lambda: settled(installed, recorder, ns, 2), "two replicas")
    since, done = time.monotonic(), len(installed.gateway.done)
    pods = installed.player.of("gpuscale") + installed.player.of("gpuscale-agents")
    old = {p.address: serial(p.address, installed.certificates) for p in pods}
    streams = sum(p.processes["agent"].log.read_text().count("watch stream opened") for p in installed.player.of("gpuscale-agents"))
    installed.certificates.apply("--renew")
    installed.until(lambda: all(serial(a, installed.certificates) != old[a] for a in old), "every pod shows its new certificate")
    hpa = f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers/keda-hpa-llm"
    at = installed.plane.get(hpa)["status"].get("lastScaleTime")
    installed.gateway.rate = 10
    installed.until(lambda: settled(installed, recorder, ns, 3), "it scales on")
    assert installed.plane.get(hpa)["status"].get("lastScaleTime") != at
    assert set(recorder.counts(since)) == {2, 3}
    assert all(status == 200 for _, _, status in installed.gateway.done[done:])
    now = sum(p.processes["agent"].log.read_text().count("watch stream opened") for p in installed.player.of("gpuscale-agents"))
    assert now == streams, "no stream of an agent was dropped"


def test_a_killed_scaler_pod_changes_nothing(installed, service):
    ns, recorder = service
    installed.gateway.rate = 10
    installed.until(lambda: settled(installed, recorder, ns, 3), "three replicas")
    since = time.monotonic()
    for pod in installed.player.of("gpuscale"):
        restarts = pod.restarts["scaler"]
        pod.kill_container(signal.SIGKILL)
        installed.until(lambda: pod.restarts["scaler"] > restarts and installed.ready(), "it is back and ready", deadline_s=90)
    assert set(recorder.counts(since)) == {3}
    installed.gateway.rate = 14  # 3.5 replicas: a rate read over a short window after the restart is 10 % off
    installed.until(lambda: settled(installed, recorder, ns, 4), "it scales on")


def lease(installed):
    return installed.plane.get("/apis/coordination.k8s.io/v1/namespaces/gpuscale/leases/gpuscale-scaler")


def test_the_killed_holder_of_the_lease_is_followed(installed, service):
    ns, recorder = service
    installed.gateway.rate = 7
    installed.until(lambda: settled(installed, recorder, ns, 2), "two replicas")
    installed.until(installed.ready, "both scalers are ready", deadline_s=90)
    before = lease(installed)
    name = before["spec"]["holderIdentity"].rsplit("_", 1)[0]
    leader = next(p for p in installed.player.of("gpuscale") if p.pod["metadata"]["name"] == name)
    assert before["metadata"]["annotations"]["gpuscale/address"] == f"{leader.address}:9443"
    since = time.monotonic()
    leader.kill_container(signal.SIGKILL)

    def followed():
        now = lease(installed)["spec"]
        return now["holderIdentity"] not in ("", before["spec"]["holderIdentity"]) and now["leaseTransitions"] > before["spec"].get("leaseTransitions", 0)

    installed.until(followed, "another run of a scaler holds the Lease", deadline_s=90)
    print(f"\nthe Lease went on after {time.monotonic() - since:.1f} s")
    assert set(recorder.counts(since)) == {2}
    installed.gateway.rate = 10
    installed.until(lambda: settled(installed, recorder, ns, 3), "it scales on", deadline_s=90)


def test_a_cut_cable_of_a_scaler_scales_nothing_wrongly(installed, service):
    """No reset, no refusal: its packets are lost. The kubelet takes it out of the Service; the other one answers."""
    ns, recorder = service
    installed.gateway.rate = 7
    installed.until(lambda: settled(installed, recorder, ns, 2), "two replicas")
    since = time.monotonic()
    cut = installed.player.of("gpuscale")[0]
    cut.processes["scaler"].cut_cable()
    installed.until(lambda: installed.plane.get(installed.scalers)["status"].get("readyReplicas") == 1, "the kubelet notices")
    assert set(recorder.counts(since)) == {2}
    installed.gateway.rate = 10
    installed.until(lambda: settled(installed, recorder, ns, 3), "it scales on by the other one", deadline_s=90)
    print(f"\na scaler's packets lost: readiness gone and scaled after {time.monotonic() - since:.1f} s")
    cut.processes["scaler"].cut_cable(up=True)
    installed.until(installed.ready, "it is back")
    installed.gateway.rate = 7
    installed.until(lambda: settled(installed, recorder, ns, 2), "it scales on")


def test_a_web_config_file_says_who_reads_the_scaler(installed):
    """`scaler.webConfigSecret`: TLS and users of that file; tokens of the Kubernetes API count beside them."""
    plane = installed.plane
    web = {"tls_server_config": {"cert_file": "/etc/gpuscale/tls/tls.crt", "key_file": "/etc/gpuscale/tls/tls.key", "min_version": "TLS13"},
           "basic_auth_users": {"prometheus": ALLMINE}}
    plane.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web", "namespace": "gpuscale"},
                  "stringData": {"web.yml": yaml.safe_dump(web)}}])
    plane.service_account("gpuscale", "viewer")  # may nothing
    old = {p.uid for p in installed.player.of("gpuscale")}
    plane.helm("upgrade", "gpuscale", CHART, "-n", "gpuscale", "-f", installed.values, "--set", "scaler.webConfigSecret=web")
    installed.until(lambda: installed.ready() and len(installed.player.of("gpuscale")) == 2
                    and not old & {p.uid for p in installed.player.of("gpuscale")}, "two scalers with the file are ready", deadline_s=120)

    def read(pod, *flags):
        """curl's exit status and the answer's."""
        name = "gpuscale-scaler.gpuscale.svc"
        done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", installed.certificates.folder / "ca.crt",
                               "--resolve", f"{name}:9444:{pod.address}", *flags, f"https://{name}:9444/metrics"],
                              capture_output=True, text=True)
        return done.returncode, int(done.stdout)

    for pod in installed.player.of("gpuscale"):
        assert read(pod, "-u", "prometheus:allmine") == (0, 200)
        assert read(pod, "-u", "prometheus:other") == (0, 401)
        assert read(pod) == (0, 401)
        assert read(pod, "-H", "Authorization: Bearer " + plane.token("gpuscale", "viewer")) == (0, 403)
        assert read(pod, "--tls-max", "1.2", "-u", "prometheus:allmine")[0] != 0, "the file says TLS 1.3"
