# SPDX-License-Identifier: Apache-2.0
"""What each port accepts from whom: the rows of docs/security.md's table, each with those that must not pass. A refusal is
said in the log with the certificate's names and counted."""

import re
import socket
import ssl
import subprocess

import grpc
import pytest

import harness
from agent_kit import Agent, Watch
from harness import http_get, metric_values, wait_until
from scaler_kit import Keda, Pushed, Scaler, eventually, workload
from security_kit import AGENT, KEDA, SCALER, Pki, as_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("security")


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node", "health")
    import node_pb2
    return node_pb2


@pytest.fixture(scope="module")
def pki(folder):
    pki = Pki(folder / "pki")
    pki.issue("tenant", "DNS:llm.team-a.svc")
    # Whoever may choose a common name, but no other name, is not KEDA either.
    pki.issue("pretender", "DNS:llm.team-a.svc", common_name=KEDA)
    pki.issue("expired", f"DNS:{KEDA},DNS:{SCALER}", days=-1)
    pki.issue("small", f"DNS:{KEDA},DNS:{SCALER}", key="rsa:1024")
    pki.issue("sha1", f"DNS:{KEDA},DNS:{SCALER}", digest="sha1")
    return pki


@pytest.fixture(scope="module")
def foreign(folder):
    return Pki(folder / "foreign")


def open_scaler(folder, pki):
    http = {"listen": "127.0.0.1:0", "tls": {"cert": str(pki.path("scaler.crt")), "key": str(pki.path("scaler.key"))}}
    s = Scaler(folder, [workload()], http=http, tls=pki.server("scaler", allowedNames=[KEDA, SCALER]))
    s.page = lambda: http_get(f"https://{s.http}/metrics", context=trusting(pki))[2]
    return s


def open_agent(pki):
    a = Agent("sim:1,steady", *pki.flags("grpc-tls", "agent", SCALER), *pki.flags("tls", "agent")[:2], interval="200ms")
    a.text = lambda: http_get(a.url(scheme="https"), context=trusting(pki))[2].decode()
    return a.wait_ready()


def trusting(pki, pair=None):
    context = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
    context.check_hostname = False  # 127.0.0.1 is no name of it
    if pair:
        context.load_cert_chain(*map(str, pair))
    return context


@pytest.fixture(scope="module")
def scaler(folder, pki):
    with open_scaler(folder / "scaler", pki) as s:
        yield s


@pytest.fixture
def fresh_scaler(tmp_path, pki):
    """Whose log has said nothing yet (after ten lines of a kind it says one a minute)."""
    with open_scaler(tmp_path / "scaler", pki) as s:
        yield s


@pytest.fixture(scope="module")
def agent(pki):
    with open_agent(pki) as a:
        yield a


@pytest.fixture
def fresh_agent(pki):
    with open_agent(pki) as a:
        yield a


def count(page, name, **labels):
    return sum(v for k, v in metric_values(page, name).items() if labels.items() <= dict(k).items())


# Who comes with what, and what the log says: to any port that asks for certificates.
STRANGERS = {
    "no certificate": (None, "shows no certificate"),
    "of another authority": ("foreign", "unable to get local issuer certificate|self-signed"),
    "expired": ("expired", "certificate has expired"),
    "a tenant's, of the same authority": ("tenant", r"none of its names is an allowed one \(subject \\\"tenant\\\", for llm.team-a.svc"),
    "a tenant's under another common name": ("pretender", "none of its names is an allowed one"),
    "an agent's, which is a server's": ("agent", "purpose"),
}


def pair_of(which, pki, foreign, party):
    return foreign.pair(party) if which == "foreign" else pki.pair(which) if which else None


# Scaler gRPC 9443: KEDA and other scalers, by name


@pytest.mark.parametrize("name", ["keda", "scaler"])
def test_the_scaler_answers_keda_and_scalers(scaler, pki, tmp_path, name):
    keda = Keda(scaler.grpc, tmp_path, pki.credentials(pki.pair(name)), as_server(SCALER))
    assert keda.spec().metricSpecs
    pushed = Pushed(keda.stream("StreamIsActive"))
    eventually("activity is pushed", lambda: pushed.messages)
    pushed.cancel()
    keda.close()


@pytest.mark.parametrize("who", STRANGERS)
def test_the_scaler_answers_nobody_else(fresh_scaler, pki, foreign, tmp_path, who):
    scaler = fresh_scaler
    which, says = STRANGERS[who]
    credentials = pki.credentials(pair_of(which, pki, foreign, "keda"))
    keda = Keda(scaler.grpc, tmp_path, credentials, as_server(SCALER))
    code, _ = keda.code(keda.spec)
    keda.close()
    assert code == "UNAVAILABLE"
    line = scaler.program.wait_log(f"client refused.*server=grpc.*({says})")
    assert "from=127.0.0.1" in line
    eventually("counted", lambda: count(scaler.page(), "gpuscale_grpc_certificates_refused_total") > 0)
    assert count(scaler.page(), "gpuscale_grpc_requests_total") == 0
    assert not re.search(r"BEGIN|PRIVATE", scaler.program.log())


def test_who_speaks_no_tls_to_the_scaler_is_told_so(fresh_scaler, tmp_path):
    keda = Keda(fresh_scaler.grpc, tmp_path)
    assert keda.code(keda.spec)[0] == "UNAVAILABLE"
    keda.close()
    fresh_scaler.program.wait_log("client refused.*does not speak TLS")


def test_who_opens_a_port_and_goes_is_no_line(fresh_scaler):
    """Probes of TCP ports come each few seconds."""
    host, port = fresh_scaler.grpc.rsplit(":", 1)
    for _ in range(5):
        socket.create_connection((host, int(port))).close()
    eventually("they are counted", lambda: count(fresh_scaler.page(), "gpuscale_grpc_handshake_failures_total") == 5)
    assert fresh_scaler.program.events("client refused") == []


# Agent gRPC 9443: scalers, by name; 64 connections


def test_the_agent_answers_scalers(agent, pki, pb):
    with Watch(agent.addr("grpc"), pb, pki.credentials(pki.pair("scaler")), as_server(AGENT)) as w:
        assert w.next().full


@pytest.mark.parametrize("who", [*STRANGERS, "KEDA's"])
def test_the_agent_answers_nobody_else(fresh_agent, pki, foreign, pb, who):
    which, says = STRANGERS.get(who, ("keda", "none of its names is an allowed one"))
    with Watch(fresh_agent.addr("grpc"), pb, pki.credentials(pair_of(which, pki, foreign, "scaler")), as_server(AGENT)) as w:
        assert w.end()[0] == grpc.StatusCode.UNAVAILABLE and w.messages.get() is None
    fresh_agent.wait_log(f"client refused.*server=grpc.*({says})")
    assert count(fresh_agent.text(), "gpuscale_agent_certificates_refused_total", server="grpc") > 0
    assert count(fresh_agent.text(), "gpuscale_agent_stream_messages_total") == 0


def test_the_agent_has_64_connections_and_no_more(agent, pki):
    context = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
    context.load_cert_chain(*map(str, pki.pair("scaler")))
    context.set_alpn_protocols(["h2"])
    host, port = agent.addr("grpc").rsplit(":", 1)
    held = []

    def dial():
        raw = socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S)
        try:
            tls = context.wrap_socket(raw, server_hostname=AGENT)
            if tls.recv(9) == b"":  # its SETTINGS
                raise ConnectionError("closed")
            held.append(tls)
            return True
        except OSError:
            raw.close()
            return False
    try:
        # Those of the tests before may end yet.
        wait_until(lambda: dial() and len(held) == 64 or None, "64 connections are held")
        assert not dial(), "the 65th is closed at once"
        held.pop().close()
        wait_until(dial, "one that ends makes room")
    finally:
        for tls in held:
            tls.close()


# Agent /metrics 9400, scaler HTTPS 9444


def curl(pki, url, *args):
    host = AGENT if "agent" in args else SCALER
    address, port = url.split("//")[1].split("/")[0].rsplit(":", 1)
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", str(pki.path("ca.crt")), "--resolve",
                           f"{host}:{port}:{address}", url.replace(f"{address}:{port}", f"{host}:{port}"), "-o", "/dev/null",
                           "-w", "%{http_code}", *[a for a in args if a != "agent"]], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_prometheus_reads_the_pages_over_tls_and_not_without(fresh_agent, fresh_scaler, pki):
    agent, scaler = fresh_agent, fresh_scaler
    assert curl(pki, agent.url(scheme="https"), "agent")[:2] == (0, "200")
    assert curl(pki, f"https://{scaler.http}/metrics")[:2] == (0, "200")
    for url in (agent.url(scheme="http"), f"http://{scaler.http}/metrics"):
        with pytest.raises(OSError):
            http_get(url)
    agent.wait_log("client refused.*server=metrics.*does not speak TLS")
    scaler.program.wait_log("client refused.*server=http.*does not speak TLS")


def test_the_pages_under_mutual_tls_ask_for_a_name_too(pki, foreign, tmp_path):
    http = {"listen": "127.0.0.1:0", "tls": pki.server("scaler", allowedNames=["llm.team-a.svc"])}
    with Agent("sim:1,steady", *pki.flags("tls", "agent", "llm.team-a.svc")) as a, \
         Scaler(tmp_path / "s", [workload()], http=http) as s:
        for url, where in ((a.url(scheme="https"), "agent"), (f"https://{s.http}/metrics", "scaler")):
            def ask(pair):
                return curl(pki, url, where if where == "agent" else "-s",
                            *(("--cert", str(pair[0]), "--key", str(pair[1])) if pair else ()))
            assert ask(pki.pair("tenant"))[:2] == (0, "200")
            for pair in (None, pki.pair("keda"), foreign.pair("keda"), pki.pair("expired")):
                status, code, _ = ask(pair)
                assert status != 0 and code == "000", (where, pair)
        page = http_get(a.url(scheme="https"), context=trusting(pki, pki.pair("tenant")))[2]
        assert count(page, "gpuscale_agent_certificates_refused_total", server="metrics") == 4
        assert len(s.program.events("client refused")) == 4


# The health ports: plain, ok or what is missing, nothing else


def test_the_health_ports_say_ok_or_what_is_missing_and_nothing_else(agent, scaler):
    for health in (f"http://{agent.addr('health')}", f"http://{scaler.health}"):
        status, headers, body = http_get(f"{health}/healthz")
        assert (status, body) == (200, b"ok\n") and headers["Content-Type"].startswith("text/plain")
        status, _, body = http_get(f"{health}/readyz")
        assert (status, body) == (200, b"ok\n") or (status == 503 and len(body) < 4096)
        for path in ("/", "/metrics", "/api/v1/workloads", "/api/v1/decisions", "/debug/pprof/", "/healthz/x", "/../metrics"):
            assert http_get(health + path)[0] in (400, 404), path
        for method in ("POST", "PUT", "DELETE"):
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-X", method,
                                   f"{health}/healthz"], capture_output=True, text=True)
            assert done.stdout in ("405", "501"), method


def test_health_tells_what_is_missing_and_no_secret(tmp_path, pki):
    """A scaler whose agent refuses it: the page names what is missing, no path of a key and no address of a tenant."""
    with Agent("sim:1,steady", *pki.flags("grpc-tls", "agent", "nobody.example")) as a:
        a.wait_ready()
        tls = {"cert": str(pki.path("scaler.crt")), "key": str(pki.path("scaler.key")), "ca": str(pki.path("ca.crt")),
               "serverName": AGENT}
        with Scaler(tmp_path / "s", [workload()], agents=[a.addr("grpc")], agents_tls=tls, tick="200ms") as s:
            a.wait_log("client refused.*none of its names is an allowed one.*gpuscale-scaler")
            s.program.wait_log("agent lost|agent.*refused|certificate")
            status, _, body = http_get(f"http://{s.health}/readyz")
            assert status in (200, 503) and b".key" not in body and b"BEGIN" not in body


# All TLS ports


TLS_PORTS = ("scaler grpc", "scaler http", "agent grpc", "agent metrics")


def port_of(name, agent, scaler):
    return {"scaler grpc": scaler.grpc, "scaler http": scaler.http, "agent grpc": agent.addr("grpc"),
            "agent metrics": agent.addr("metrics")}[name]


def s_client(pki, addr, *args):
    return subprocess.run(s_client_words(pki, addr, *args), capture_output=True, text=True, input="", timeout=harness.DEADLINE_S)


def s_client_words(pki, addr, *args):
    """Showing the scaler's certificate."""
    pem, key = pki.pair("scaler")
    return ["openssl", "s_client", "-connect", addr, "-CAfile", str(pki.path("ca.crt")), "-cert", str(pem), "-key", str(key), *args]


WEAK = {
    "TLS 1.0": ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    "TLS 1.1": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    "without forward secrecy": ("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"),
    "finite fields": ("-tls1_2", "-cipher", "DHE:@SECLEVEL=0"),
    "CBC": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"),
    "nobody authenticated": ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
    "no encryption": ("-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"),
}


@pytest.mark.parametrize("port", TLS_PORTS)
def test_tls_1_2_and_1_3_with_good_ciphers_are_spoken_and_nothing_weaker(agent, scaler, pki, port):
    addr = port_of(port, agent, scaler)
    for version, shown in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        done = s_client(pki, addr, version)
        assert re.search(rf"New, {shown}, Cipher is (ECDHE-ECDSA-\S+|TLS_\S+)", done.stdout), done.stdout + done.stderr
        assert "Verify return code: 0 (ok)" in done.stdout
        assert "Compression: NONE" in done.stdout and "Server Temp Key: X25519" in done.stdout
    for what, args in WEAK.items():
        done = s_client(pki, addr, *args)
        assert "Cipher is (NONE)" in done.stdout, (what, done.stdout)


@pytest.mark.parametrize("port", ("scaler grpc", "agent grpc"))
@pytest.mark.parametrize("weak", ("small", "sha1"))
def test_weak_certificates_are_refused_whoever_signed_them(agent, scaler, pki, port, weak):
    """An RSA key of 1024 bits; a signature with SHA-1. Both have every name that is asked for."""
    def page():
        return scaler.page() if port == "scaler grpc" else agent.text()
    name = ("gpuscale_grpc_certificates_refused_total" if port == "scaler grpc"
            else "gpuscale_agent_certificates_refused_total")
    before = count(page(), name)
    pem, key = pki.pair(weak)
    done = s_client(pki, port_of(port, agent, scaler), "-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-cert", str(pem), "-key", str(key))
    assert "alert" in done.stderr, done.stdout + done.stderr
    eventually("counted", lambda: count(page(), name) == before + 1)


@pytest.mark.parametrize("port", TLS_PORTS)
def test_nobody_renegotiates(agent, scaler, pki, port):
    def asked():
        client = subprocess.Popen(s_client_words(pki, port_of(port, agent, scaler), "-tls1_2"), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            client.stdin.write(b"R\n")
            client.stdin.flush()  # and stays open: the client ends by the server's answer
            said = client.stdout.read()
        finally:
            client.kill()
            client.wait()
        assert b"RENEGOTIATING" in said
        return b"no renegotiation" in said
    # A gRPC server's first frame that comes in between ends the client another way: then once more.
    wait_until(asked, "the server's answer is no")


@pytest.mark.parametrize("port", ("scaler grpc", "agent grpc"))
def test_a_certificate_is_looked_at_each_time(agent, scaler, pki, port):
    """No session outlives the check of a certificate: nothing to resume is handed out."""
    for version in ("-tls1_2", "-tls1_3"):
        out = s_client(pki, port_of(port, agent, scaler), version).stdout
        assert "New Session Ticket arrived" not in out and "TLS session ticket:" not in out
