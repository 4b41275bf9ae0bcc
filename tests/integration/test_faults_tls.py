# SPDX-License-Identifier: Apache-2.0
"""Certificates that expire while the programs run: new connections are refused by whoever looks, with
a log that says why; fresh files heal; connections that are open go on."""

import os
import shutil
import subprocess
import time

import grpc
import pytest

import harness
from agent_kit import Agent, Watch, grpc_credentials
from harness import Certs, http_get, metric_values, wait_until
from scaler_kit import Scaler, eventually, workload

VALID_S = 6


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node", "health")
    import node_pb2
    return node_pb2


def short_leaf(certs, name):
    """A certificate that ends in VALID_S seconds: made a day before, for a day."""
    crt, key = certs.leaf(name)
    fresh = certs.folder / f"{name}.short"
    subprocess.run(["faketime", "-f", f"{VALID_S - 86400:+d}s", "openssl", "x509", "-req", "-days", "1",
                    *(str(x) for x in ("-in", certs.folder / f"{name}.csr", "-CA", certs.ca, "-CAkey",
                                       certs.ca_key, "-CAcreateserial", "-out", fresh, "-extfile",
                                       certs.folder / f"{name}.ext"))],
                   check=True, capture_output=True)
    os.replace(fresh, crt)
    return crt, key, time.time() + VALID_S


def files(leaf, certs):
    return {"cert": str(leaf[0]), "key": str(leaf[1]), "ca": str(certs.ca)}




def connected(s):
    return metric_values(s.page(), "gpuscale_agents_connected") == {frozenset(): 1}


def expired(until):
    """Is it over? With a second for the clocks' grain."""
    return time.time() > until + 1.5


@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime to make a certificate")
def test_certificates_that_expire_while_running(tmp_path, pb):
    ca = Certs(tmp_path / "certs")
    server = short_leaf(ca, "agent")
    until = server[2]
    mine, brief = ca.leaf("scaler"), short_leaf(ca, "brief")
    tls = [f"--grpc-tls-{k}={v}" for k, v in files(server, ca).items()]

    def reader(folder, agent, leaf):
        return Scaler(tmp_path / folder, [workload()], tick="200ms",
                      agents=[agent.addr("grpc")],
                      agents_tls={**files(leaf, ca), "serverName": "localhost"})
    with Agent("sim:1,steady", *tls, interval="200ms") as agent:
        agent.wait_ready()
        with reader("early", agent, mine) as early, Watch(
                agent.addr("grpc"), pb, grpc_credentials(ca, brief)) as watch:
            eventually("connected before", lambda: connected(early))
            assert watch.next().full
            wait_until(lambda: expired(until), "the certificates expire")
            losses = metric_values(early.page(), "gpuscale_agent_losses_total")
            not_after = metric_values(agent.page(), "gpuscale_agent_certificate_not_after_seconds")
            assert all(v < time.time() for v in not_after.values()) and not_after
            while not watch.messages.empty():
                watch.messages.get()
            watch.next()  # open streams go on
            assert connected(early)
            assert metric_values(early.page(), "gpuscale_agent_losses_total") == losses
            with reader("late", agent, mine) as late:  # a new connection looks at the server's
                line = late.program.wait_log("agent lost.*expired")
                assert agent.addr("grpc") in line
                assert not connected(late)
                ca.leaf("agent")  # renewed: same files
                agent.wait_log("certificate reloaded")
                eventually("healed by the agent's fresh file", lambda: connected(late))
                assert len(late.program.events("agent lost: its GPUs' last readings age")) <= 10
        # The server looks at the client's.
        with Watch(agent.addr("grpc"), pb, grpc_credentials(ca, brief)) as refused:
            assert refused.end()[0] == grpc.StatusCode.UNAVAILABLE
        with reader("brief", agent, brief) as late:
            late.program.wait_log("agent lost.*(expired|certificate)")
            assert not connected(late)
            ca.leaf("brief")
            eventually("healed by the scaler's fresh file", lambda: connected(late), deadline_s=60)
            assert late.program.events("certificates re-read")


@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime to make a certificate")
def test_an_expired_certificate_is_not_taken_over_a_good_one(tmp_path):
    """A renewal that brings an old file: the one in use stays, and it is told."""
    ca = Certs(tmp_path / "certs")
    crt, key = ca.leaf("server")
    http = {"listen": "127.0.0.1:0", "tls": {"cert": str(crt), "key": str(key)}}
    with Scaler(tmp_path / "s", [workload()], http=http, tick="200ms") as s:
        import ssl
        context = ssl.create_default_context(cafile=str(ca.ca))
        old = ca.leaf("old", days=-1)
        key.write_bytes(old[1].read_bytes())
        fresh = tmp_path / "fresh"
        fresh.write_bytes(old[0].read_bytes())
        os.replace(fresh, crt)
        line = s.program.wait_log("certificate not re-read")
        assert "expired" in line or "key" in line, line
        status, _, _ = http_get(f"https://{s.http}/metrics", context=context)
        assert status == 200
