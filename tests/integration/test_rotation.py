# SPDX-License-Identifier: Apache-2.0
"""Certificates and the authority are changed under load, by `gpuscale certs`, brought in as the kubelet brings Secrets, to
one program after the other: no call fails and no stream that is open ends."""

import hashlib
import signal
import socket
import ssl
import threading

import pytest

import harness
from agent_kit import Agent, Watch
from harness import metric_values, wait_until
from scaler_kit import Pushed, Scaler, eventually, workload
from security_kit import AGENT, KEDA, SCALER, Callers, Mounted, Pki, as_server

STEPS = (["--renew"], ["--new-ca"], ["--renew"], ["--drop-ca"])


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node", "health")
    import node_pb2
    return node_pb2


def served(addr, pki):
    """SHA-256 of the certificate that a port shows now."""
    context = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*map(str, pki.pair("scaler")))
    context.set_alpn_protocols(["h2"])
    host, port = addr.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S) as raw, context.wrap_socket(raw) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


def on_disk(pki, name):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pki.path(f"{name}.crt").read_text())).hexdigest()


class Rotation:
    """A scaler, an agent, KEDA, and the order in which they get what is new."""

    def __init__(self, tmp_path, pb, max_age):
        self.pki = Pki(tmp_path / "pki")
        self.mounts = {name: Mounted(tmp_path / f"mount-{name}") for name in ("scaler", "agent")}
        for name, mount in self.mounts.items():
            mount.set_party(self.pki, name)
        agent_tls = self.mounts["agent"].tls()
        self.agent = Agent("sim:2,steady", *(f"--grpc-tls-{k}={v}" for k, v in agent_tls.items()),
                           f"--grpc-tls-allowed-name={SCALER}", interval="200ms").wait_ready()
        tls = self.mounts["scaler"].tls()
        self.scaler = Scaler(tmp_path / "s", [workload()], agents=[self.agent.addr("grpc")], tick="200ms",
                             agents_tls={**tls, "serverName": AGENT},
                             grpc={"listen": "127.0.0.1:0", "tls": {**tls, "allowedNames": [KEDA]}, "maxConnectionAge": max_age})
        self.callers = Callers(self.scaler.grpc, tmp_path, 3)
        self.callers.take(self.pki)
        self.pb = pb

    def reloads(self):
        return {"scaler": len(self.scaler.program.events("gRPC certificate re-read")),
                "agent": len([e for e in self.agent.events("certificate reloaded") if e.get("server") == "grpc"])}

    def bring(self, name):
        """What `gpuscale certs` made last reaches one of them, and is in use."""
        if name == "keda":
            self.callers.take(self.pki)
            wait_until(self.callers.more(45), "KEDA calls with it")
            return
        before = self.reloads()[name]
        self.mounts[name].set_party(self.pki, name)
        program = self.scaler.program if name == "scaler" else self.agent
        wait_until(lambda: program.signal(signal.SIGHUP) or self.reloads()[name] > before, f"the {name} re-reads its files",
                   every_s=0.3)
        if name == "agent":
            wait_until(lambda: served(self.agent.addr("grpc"), self.pki) == on_disk(self.pki, "agent"), "the agent shows it")

    def close(self):
        self.scaler.program.stop()
        self.agent.stop()


def test_no_stream_ends_and_no_call_fails_while_all_certificates_change(tmp_path, pb):
    r = Rotation(tmp_path, pb, "0s")
    try:
        eventually("the agent is read", lambda: metric_values(r.scaler.page(), "gpuscale_agents_connected") == {frozenset(): 1})
        keda = r.callers.keda()
        eventually("decided", lambda: keda.active() is True)
        pushed = [Pushed(keda.stream(m)) for m in ("StreamIsActive", "StreamMetricSpec") * 3]
        watches = [Watch(r.agent.addr("grpc"), pb, r.pki.credentials(r.pki.pair("scaler")), as_server(AGENT)) for _ in range(3)]
        eventually("streams are open", lambda: all(p.messages for p in pushed) and all(not w.messages.empty() for w in watches))
        losses = metric_values(r.scaler.page(), "gpuscale_agent_losses_total")
        r.callers.start()
        for i, step in enumerate(STEPS):
            r.pki.certs(*step)
            for name in (("scaler", "agent", "keda"), ("keda", "agent", "scaler"))[i % 2]:
                r.bring(name)
        # The last bundle trusts the new authority alone; those who are open still are.
        assert all(p.end is None for p in pushed) and all(w.status is None for w in watches)
        for w in watches:
            while not w.messages.empty():
                w.messages.get()
            w.next()
        assert metric_values(r.scaler.page(), "gpuscale_agent_losses_total") == losses
        r.callers.stop()
        assert r.callers.failures == [] and r.callers.calls > 300
        assert metric_values(r.scaler.page(), "gpuscale_grpc_certificates_refused_total") == {frozenset(): 0}
        for p in pushed:
            p.cancel()
        for w in watches:
            w.close()
        keda.close()
        # A scaler whose stream breaks comes back with what it has read meanwhile.
        wait_until(lambda: r.scaler.program.events("certificates re-read"), "its client's files are re-read, too")
        addr = r.agent.addr("grpc")
        argv = list(r.agent.argv)
        argv[argv.index("--grpc-listen") + 1] = addr
        r.agent.stop()
        r.agent = harness.Program(*argv)
        eventually("the scaler is back at the agent", lambda: metric_values(
            r.scaler.page(), "gpuscale_agents_connected") == {frozenset(): 1})
    finally:
        r.close()


def test_connections_that_are_renewed_by_age_carry_on_through_the_change(tmp_path, pb):
    """Each second KEDA's connections are asked to end; those that follow meet the newest certificates. Streams end with OK
    and are opened again, as KEDA does it."""
    r = Rotation(tmp_path, pb, "1s")
    try:
        keda, stale = r.callers.keda(), r.callers.keda()
        eventually("decided", lambda: keda.active() is True and stale.active() is True)
        ends = []
        stopping = threading.Event()

        def follow():
            while not stopping.is_set():
                stream = Pushed(keda_now[0].stream("StreamIsActive"))
                while stream.end is None and not stopping.is_set():
                    stopping.wait(0.02)
                ends.append(stream.end)
                stream.cancel()
        keda_now = [keda]
        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        r.callers.start()
        for i, step in enumerate(STEPS):
            r.pki.certs(*step)
            for name in (("agent", "keda", "scaler"), ("scaler", "keda", "agent"))[i % 2]:
                r.bring(name)
            # A client that holds a channel across the change takes the new Secret, too (KEDA makes new scalers).
            keda_now[0] = r.callers.keda()
        wait_until(lambda: served(r.scaler.grpc, r.pki) == on_disk(r.pki, "scaler"), "the scaler shows the last one")
        seen = len(ends)
        wait_until(lambda: len(ends) > seen + 1, "streams are renewed")
        stopping.set()
        follower.join(harness.DEADLINE_S)
        r.callers.stop()
        assert r.callers.failures == [] and r.callers.calls > 300
        assert set(ends) <= {"OK", None}, ends
        # Who still shows what the dropped authority signed was let in until its connection's age was over, and no longer.
        eventually("the certificate of old is of no use", lambda: stale.code(stale.spec)[0] == "UNAVAILABLE")
        assert r.scaler.program.wait_log("client refused.*(unable to get|self-signed|unknown ca|certificate)")
    finally:
        r.close()
