# SPDX-License-Identifier: Apache-2.0
"""web-config files (src/net/web_config.h) on the agent's /metrics: Debian's Prometheus scrapes it with a password
over TLS, and takes the very same file for its own port. Hashes are made and judged by Prometheus' Go too."""

import base64
import json
import signal
import socket
import ssl
import threading

import pytest

import harness
from agent_kit import Agent, client_context
from prometheus_kit import Prometheus, free_port

# Of golang.org/x/crypto/bcrypt's tests.
ALLMINE = "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"
CRYPT = pytest.importorskip("crypt")


def bcrypt(password, cost=4):
    return CRYPT.crypt(password, CRYPT.mksalt(CRYPT.METHOD_BLOWFISH, rounds=1 << cost))


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def tls(certs, name="server", **more):
    crt, key = certs.leaf(name)
    return {"cert_file": str(crt), "key_file": str(key), **more}


class Web:
    """An agent behind a web-config file."""

    def __init__(self, folder, config, certs=None, leaf=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "web.yml"
        self.write(config)
        self.agent = Agent("sim:1", "--web-config", self.file).wait_ready()
        self.context = client_context(certs, leaf) if certs else None
        self.url = self.agent.url(scheme="https" if certs else "http")

    def write(self, config):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
        fresh.rename(self.file)

    def get(self, user=None, password=None, headers=None):
        headers = headers or (basic(user, password) if user is not None else {})
        return harness.http_get(self.url, headers=headers, context=self.context)

    def status(self, *args, **kwargs):
        return self.get(*args, **kwargs)[0]

    def reload(self):
        self.agent.signal(signal.SIGHUP)

    def __enter__(self):
        return self

    def __exit__(self, kind, *why):
        self.agent.__exit__(kind, *why)
        if kind is None:
            secrets = ["allmine", "hunter2", ALLMINE[7:], basic("alice", "allmine")["Authorization"].split()[1]]
            assert not [s for s in secrets if s in self.agent.log()], self.agent.log()


@pytest.fixture
def certs(tmp_path):
    return harness.Certs(tmp_path / "certs")


def test_prometheus_scrapes_with_a_password_over_tls_and_takes_the_same_file(tmp_path, certs):
    file = {"tls_server_config": tls(certs, min_version="TLS12", curve_preferences=["X25519", "CurveP256"],
                                     cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
                                     prefer_server_cipher_suites=True),
            "http_server_config": {"http2": False},
            "basic_auth_users": {"alice": ALLMINE, "bob": bcrypt("two words: ä")}}
    with Web(tmp_path / "agent", file, certs) as w:
        host = w.agent.addr("metrics")
        jobs = [{"job_name": name, "scheme": "https", "tls_config": {"ca_file": str(certs.ca)},
                 "basic_auth": {"username": user, "password": password}, "static_configs": [{"targets": [host]}]}
                for name, user, password in [("good", "alice", "allmine"), ("words", "bob", "two words: ä"),
                                             ("wrong", "alice", "hunter2"), ("nobody", "eve", "allmine")]]
        p = Prometheus.__new__(Prometheus)
        p.folder, p.port, p.scheme = tmp_path / "prometheus", free_port(), "https"
        p.folder.mkdir()
        (p.folder / "prometheus.yml").write_text(json.dumps(
            {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": jobs}))
        p.extra = [f"--web.config.file={w.file}"]
        p.start()
        try:
            def ask(query, user="alice", password="allmine"):
                return harness.http_get(f"{p.url}/api/v1/query?query={query}", headers=basic(user, password), context=w.context)

            def up():
                found = json.loads(ask("up")[2])["data"]["result"]
                return {r["metric"]["job"]: r["value"][1] for r in found}
            harness.wait_until(lambda: up() == {"good": "1", "words": "1", "wrong": "0", "nobody": "0"},
                               "two jobs are let in, two are not")
            body = json.loads(ask("count(gpu_utilization)%20by%20(job)")[2])
            assert {r["metric"]["job"] for r in body["data"]["result"]} == {"good", "words"}
            # The same file, the same answers.
            for user, password, status in [("alice", "allmine", 200), ("bob", "two words: ä", 200), ("alice", "hunter2", 401),
                                           ("eve", "allmine", 401), ("alice", "", 401)]:
                assert ask("up", user, password)[0] == status
                assert w.status(user, password) == status
            theirs = harness.http_get(f"{p.url}/api/v1/query?query=up", context=w.context)
            ours = w.get()
            assert theirs[0] == ours[0] == 401
            assert theirs[1]["WWW-Authenticate"].startswith("Basic") and ours[1]["WWW-Authenticate"].startswith("Basic realm=")
        finally:
            p.stop()


def test_who_is_no_user_is_refused_whatever_he_sends(tmp_path):
    with Web(tmp_path, {"basic_auth_users": {"alice": ALLMINE}}) as w:
        w.agent.wait_log("passwords for /metrics cross the network readable")
        assert w.status("alice", "allmine") == 200
        right = basic("alice", "allmine")["Authorization"].split()[1]
        for value in ["Basic", "Basic ", "Basic !!!!", "Basic YWxpY2U=", f"Bearer {right}", f"Basic {right}x", right,
                      f"Basic {right[:-4]}", "Basic " + "QUFB" * 3000, "Basic " + base64.b64encode(b"alice:allmine\0x").decode(),
                      "Basic " + base64.b64encode(b":").decode(), "Basic " + base64.b64encode(b"alice:" + b"x" * 1000).decode()]:
            status, headers, body = w.get(headers={"Authorization": value})
            assert status == 401 and headers["WWW-Authenticate"] and b"gpu_" not in body, value
        assert w.status(headers={"Authorization": f"bAsIc  {right}"}) == 200  # RFC 9110 11.1
        assert harness.http_get(f"http://{w.agent.addr('health')}/healthz")[0] == 200  # the kubelet has none


def test_one_wrong_password_after_the_other_holds_nobody_else_up(tmp_path):
    """A user who is known scrapes while dozens of wrong passwords wait, and clients who leave meanwhile harm nobody."""
    with Web(tmp_path, {"basic_auth_users": {"alice": bcrypt("allmine", 11)}}) as w:
        assert w.status("alice", "allmine") == 200
        host, port = w.agent.addr("metrics").rsplit(":", 1)
        socks = []
        for i in range(30):
            s = socket.create_connection((host, int(port)))
            line = basic("alice" if i % 2 else "eve", f"hunter2-{i}")["Authorization"]
            s.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {line}\r\n\r\n".encode())
            socks.append(s)
        assert w.status("alice", "allmine") == 200
        s = socks[-1]  # the last of 30 checks
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(1)
        for s in socks[::2]:
            s.close()
        for s in socks[1::2]:
            s.settimeout(60)
            assert s.recv(100).startswith(b"HTTP/1.1 401 ")
            s.close()
        assert w.status("alice", "allmine") == 200


def test_who_does_not_exist_costs_what_a_wrong_password_costs(tmp_path):
    with Web(tmp_path, {"basic_auth_users": {"alice": bcrypt("allmine", 12)}}) as w:
        def cost(user):
            before = w.agent.cpu_seconds()
            for i in range(4):
                assert w.status(user, f"hunter2-{i}") == 401
            return w.agent.cpu_seconds() - before
        known, unknown = cost("alice"), cost("eve")
        assert 0.5 < unknown / known < 2, (known, unknown)


def test_the_file_is_read_again_and_a_bad_one_is_not_taken(tmp_path, certs):
    first = tls(certs, "first")
    with Web(tmp_path, {"tls_server_config": first, "basic_auth_users": {"alice": ALLMINE}}, certs) as w:
        assert w.status("alice", "allmine") == 200
        # Another password, another user, another certificate.
        w.write({"tls_server_config": tls(certs, "second"), "basic_auth_users": {"alice": bcrypt("hunter2"), "bob": ALLMINE}})
        w.reload()
        harness.wait_until(lambda: w.status("alice", "hunter2") == 200, "the new password")
        assert w.status("alice", "allmine") == 401  # although it was remembered
        assert w.status("bob", "allmine") == 200

        def subject():
            host, port = w.agent.addr("metrics").rsplit(":", 1)
            with socket.create_connection((host, int(port))) as raw, w.context.wrap_socket(raw, server_hostname="localhost") as s:
                return dict(x[0] for x in s.getpeercert()["subject"])["commonName"]
        assert subject() == "second"
        for bad, says in [({"tls_server_config": first, "basic_auth_users": {"alice": "hunter2"}}, "expected a bcrypt hash"),
                          ({"basic_auth_users": {"alice": ALLMINE}}, "tls_server_config is gone"),
                          ("tls_server_config: [", "web.yml:"),
                          ({"tls_server_config": {**first, "key_file": "/nonexistent"}}, "/nonexistent"),
                          ({"tls_server_confg": first}, "did you mean 'tls_server_config'")]:
            start = len(w.agent.lines)
            w.write(bad)
            w.reload()
            line = w.agent.wait_log("web-config not reloaded, the version before stays", start=start)
            assert says in line, line
            assert w.status("bob", "allmine") == 200 and w.status() == 401
        # The file names a certificate that is not there yet: taken once it is.
        later = {"cert_file": str(certs.folder / "third.crt"), "key_file": str(certs.folder / "third.key")}
        w.write({"tls_server_config": later, "basic_auth_users": {"carol": ALLMINE}})
        w.reload()
        w.agent.wait_log("third", start=start)
        certs.leaf("third")
        w.reload()
        harness.wait_until(lambda: w.status("carol", "allmine") == 200, "the third version")
        assert subject() == "third" and w.status("bob", "allmine") == 401


def test_it_is_read_again_without_being_told(tmp_path):
    with Web(tmp_path, {"basic_auth_users": {"alice": ALLMINE}}) as w:
        w.write({"basic_auth_users": {"bob": ALLMINE}})
        harness.wait_until(lambda: w.status("bob", "allmine") == 200, "bob", deadline_s=60, every_s=0.3)


def test_client_certificates_are_the_other_way(tmp_path, certs):
    prometheus = certs.leaf("prometheus", sans="DNS:prometheus.monitoring.svc")
    tenant = certs.leaf("tenant", sans="DNS:tenant.ml.svc")
    stranger = harness.Certs(tmp_path / "other").leaf("prometheus", sans="DNS:prometheus.monitoring.svc")
    must = tls(certs, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(certs.ca))
    named = {**must, "client_allowed_sans": ["prometheus.monitoring.svc"]}

    def comes_in(w, leaf):
        try:
            return harness.http_get(w.url, context=client_context(certs, leaf))[0] == 200
        except (OSError, ssl.SSLError):
            return False
    with Web(tmp_path / "a", {"tls_server_config": must}, certs) as w:
        assert "tls=mutual" in w.agent.wait_log("msg=listening .*server=metrics")
        assert [comes_in(w, x) for x in (prometheus, tenant, stranger, None)] == [True, True, False, False]
        w.write({"tls_server_config": named})
        w.reload()
        harness.wait_until(lambda: not comes_in(w, tenant), "only the named one comes in")
        assert comes_in(w, prometheus)
        w.write({"tls_server_config": {**must, "client_auth_type": "VerifyClientCertIfGiven"},
                 "basic_auth_users": {"alice": ALLMINE}})
        w.reload()
        harness.wait_until(lambda: w.status("alice", "allmine") == 200, "a password does without a certificate")
        assert w.status() == 401  # and a certificate not without a password, where there are users
        with pytest.raises((OSError, ssl.SSLError)):
            harness.http_get(w.url, headers=basic("alice", "allmine"), context=client_context(certs, stranger))


@pytest.mark.parametrize("file, says", [
    ("basic_auth_users: {alice: hunter2}", "web.yml:1:27: key 'basic_auth_users.alice': expected a bcrypt hash"),
    ("basic_auth_users:\n  alice: '$2y$31$" + "a" * 53 + "'", "web.yml:2:10: key 'basic_auth_users.alice': the hash's cost is 31"),
    ("tls_server_config: {cert_file: a}", "key_file"),
    ("tls_server_config: {cert_file: /nonexistent, key_file: b}", "/nonexistent"),
    ("basic_auth_user: {}", "web.yml:1:1: key 'basic_auth_user': unknown; did you mean 'basic_auth_users'?"),
    (None, "No such file"),
])
def test_a_bad_file_ends_the_start_with_its_place(tmp_path, file, says):
    path = tmp_path / "web.yml"
    if file:
        path.write_text(file)
    r = harness.run("gpuscale-agent", "--source", "sim:1", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
                    "--health-listen", "127.0.0.1:0", "--web-config", str(path))
    assert r.returncode != 0 and says in r.stderr, r.stderr
    assert "hunter2" not in r.stderr and "aaaa" not in r.stderr


def test_two_ways_to_say_tls_are_one_too_many(tmp_path, certs):
    crt, key = certs.leaf("server")
    path = tmp_path / "web.yml"
    path.write_text("{}")
    r = harness.run("gpuscale-agent", "--source", "sim:1", "--web-config", str(path), "--tls-cert", str(crt), "--tls-key", str(key))
    assert r.returncode != 0 and "metrics.tls and metrics.webConfig exclude each other" in r.stderr
