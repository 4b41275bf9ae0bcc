# SPDX-License-Identifier: Apache-2.0
"""Every port of both programs, plain and over TLS, against clients that are not ours (curl, nghttp,
openssl s_client, prometheus) and against bytes that no client would send. Nothing crashes, no log is
flooded, and the port works afterwards."""

import gzip
import json
import os
import random
import re
import socket
import ssl
import struct
import subprocess
from urllib.parse import quote

import pytest

import harness
from agent_kit import Agent, free_port
from harness import Certs, http_get, wait_until
from scaler_kit import Scaler, workload

GRPC_HEALTH = "/grpc.health.v1.Health/Check"
EMPTY_MESSAGE, SERVING = b"\0" * 5, bytes.fromhex("00000000020801")
# The most lines that a hundred bad connections may add to a log: each call site says 10.
FLOOD = 40


class Port:
    """One port: how to reach it, and a check that it still serves."""

    def __init__(self, program, name, tls=None, path=None):
        self.program, self.name, self.tls, self.path = program, name, tls, path
        self.addr = program.addr(name)
        self.grpc = path is None

    def __repr__(self):
        kind = "tls" if self.tls else "plain"
        return f"{os.path.basename(self.program.argv[0])}/{self.name}/{kind}"

    def url(self, path=None):
        return f"http{'s' if self.tls else ''}://{self.addr}{self.path if path is None else path}"

    def connect(self):
        host, port = self.addr.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S)

    def curl(self, *args, url=None):
        tls = []
        if self.tls:
            ca, (crt, key) = self.tls
            tls = ["--cacert", ca, "--cert", crt, "--key", key]
        argv = ["curl", "-sS", "--noproxy", "*", "--max-time", "20", *tls, *args, url or self.url()]
        return subprocess.run([str(a) for a in argv], capture_output=True,
                              timeout=harness.DEADLINE_S)

    def serves(self):
        if not self.grpc:
            done = self.curl("-f")
            assert done.returncode == 0 and done.stdout, (self, done)
            return
        done = self.curl("--http2-prior-knowledge" if not self.tls else "--http2", "-H",
                         "content-type: application/grpc", "-H", "te: trailers", "--data-binary",
                         "@" + str(self.request), url=self.url(GRPC_HEALTH))
        assert done.returncode == 0 and done.stdout == SERVING, (self, done)


@pytest.fixture(scope="module", params=["plain", "tls"])
def ports(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "empty").write_bytes(EMPTY_MESSAGE)
    agent_args, files, tls = [], None, None
    if request.param == "tls":
        certs = Certs(folder / "certs")
        crt, key = certs.leaf("server")
        tls = certs.ca, certs.leaf("client")
        files = {"cert": str(crt), "key": str(key), "ca": str(certs.ca)}
        agent_args = [f"--{p}tls-{k}={v}" for p in ("", "grpc-") for k, v in files.items()]
    http = {"listen": "127.0.0.1:0", **({"tls": files} if files else {})}
    Port.request = folder / "empty"
    with Agent("sim:2,steady", *agent_args) as agent, \
            Scaler(folder / "scaler", [workload()], tls=files, http=http) as scaler:
        agent.wait_ready()
        wait_until(scaler.ready, "the scaler is ready")
        made = [Port(agent, "metrics", tls, "/metrics"), Port(agent, "grpc", tls),
                Port(agent, "health", None, "/readyz"), Port(scaler.program, "grpc", tls),
                Port(scaler.program, "http", tls, "/metrics"),
                Port(scaler.program, "health", None, "/readyz")]
        for p in made:  # health over gRPC follows readiness within a tick
            wait_until(lambda p=p: p.serves() or True, f"{p} serves")
        yield made
        for p in made:
            p.serves()
        assert agent.stop() == 0 and scaler.program.stop() == 0


def quiet(port, before):
    """Bad clients may be told of, each kind a few times; they may not fill a disk."""
    lines = port.program.lines[before:]
    assert len(lines) <= FLOOD, (port, lines[:5], len(lines))
    assert not [line for line in lines if "level=error" in line], (port, lines)


# --- clients that are not ours


def test_curl_reads_every_http_port(ports):
    for port in [p for p in ports if not p.grpc]:
        done = port.curl("-i")
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), (port, done)
        length = int(re.search(rb"(?i)^content-length: (\d+)", head, re.M).group(1))
        assert length == len(body)
        done = port.curl("-I")  # HEAD: the same head, no body
        assert done.returncode == 0 and done.stdout.startswith(b"HTTP/1.1 200 "), (port, done)
        assert re.search(rb"(?i)^content-length: \d+", done.stdout, re.M) and \
            done.stdout.endswith(b"\r\n\r\n")
        done = port.curl("--compressed", "-D", "-")
        assert done.returncode == 0, (port, done)
        if port.name == "metrics":  # the agent's: scraped from every node
            assert b"gzip" in done.stdout.lower() and b"# TYPE" in done.stdout
            raw = port.curl("-H", "Accept-Encoding: gzip")
            assert b"# TYPE" in gzip.decompress(raw.stdout)
        for wrong in ("/", "/nothing", "/metrics/../etc/passwd", "/%00", "/" + "x" * 4000):
            done = port.curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}",
                             url=port.url(wrong))
            assert done.stdout in (b"400", b"404", b"200" if wrong == "/" else b"404"), (port, wrong)
        for method in ("POST", "DELETE", "BREW"):
            done = port.curl("-X", method, "-o", "/dev/null", "-w", "%{http_code}")
            assert done.stdout in (b"405", b"501"), (port, method, done)
        # Two hundred on one connection.
        urls = [x for _ in range(200) for x in ("-o", "/dev/null", port.url())]
        done = port.curl("-w", "%{num_connects}\n", *urls[:-1])
        assert sum(int(n) for n in done.stdout.split()) == 1, port
        # A client that insists on HTTP/2 is refused, not left waiting.
        if not port.tls:
            done = port.curl("--http2-prior-knowledge", "-o", "/dev/null")
            assert done.returncode not in (0, 28), (port, done)
            # Asking for an upgrade is answered in HTTP/1.1.
            done = port.curl("--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version}")
            assert done.stdout == b"200 1.1", (port, done)
        port.serves()


def test_curl_and_nghttp_meet_every_grpc_port(ports, tmp_path):
    for port in [p for p in ports if p.grpc]:
        h2 = "--http2" if port.tls else "--http2-prior-knowledge"
        port.serves()
        for path in ("/", "/metrics", GRPC_HEALTH):  # no gRPC: told in HTTP
            done = port.curl(h2, "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
                             url=port.url(path))
            assert re.fullmatch(rb"4\d\d 2", done.stdout), (port, path, done)
        done = port.curl(h2, "-X", "POST", "-D", "-", "-H", "content-type: application/grpc",
                         url=port.url("/no.such/Method"))
        assert b"grpc-status: 12" in done.stdout, (port, done)
        done = port.curl("--http1.1", "-o", "/dev/null")  # HTTP/1.1 is not spoken here
        assert done.returncode not in (0, 28), (port, done)

        tls = ["--no-verify-peer", f"--cert={port.tls[1][0]}", f"--key={port.tls[1][1]}"] \
            if port.tls else []

        def nghttp(*args):
            return subprocess.run(["nghttp", "-v", *tls, *args], capture_output=True, text=True,
                                  timeout=harness.DEADLINE_S)
        done = nghttp(port.url("/"))
        assert done.returncode == 0 and re.search(r":status: 4\d\d", done.stdout), (port, done)
        done = nghttp("-H", "content-type: application/grpc", "-H", "te: trailers", "-d",
                      str(Port.request), port.url(GRPC_HEALTH))
        assert ":status: 200" in done.stdout and "grpc-status: 0" in done.stdout, (port, done)
        # 300 calls at once on one connection, with padding and a window of 64 bytes.
        done = nghttp("-n", "-m", "300", "-b", "255", "-w", "6", "-H",
                      "content-type: application/grpc", "-H", "te: trailers", "-d",
                      str(Port.request), port.url(GRPC_HEALTH))
        assert done.stdout.count("grpc-status: 0") == 300, (port, done.stderr[-300:])
        port.serves()


def test_nghttp_is_refused_by_every_http_port(ports):
    for port in [p for p in ports if not p.grpc]:
        done = subprocess.run(["nghttp", "--no-verify-peer", port.url()], capture_output=True,
                              text=True, timeout=harness.DEADLINE_S)
        assert "# TYPE" not in done.stdout and (done.returncode or done.stderr), (port, done)
        port.serves()


def test_openssl_meets_every_port(ports):
    for port in ports:
        before = len(port.program.lines)

        def s_client(*args):
            return subprocess.run(["openssl", "s_client", "-connect", port.addr, *args],
                                  input=b"", capture_output=True, timeout=harness.DEADLINE_S)
        if not port.tls:
            assert s_client().returncode != 0, port
        else:
            ca, (crt, key) = port.tls
            mine = ["-cert", crt, "-key", key, "-CAfile", ca, "-verify_return_error"]
            for version in ("-tls1_2", "-tls1_3"):
                done = s_client(version, "-alpn", "h2,http/1.1", *mine)
                assert done.returncode == 0 and b"Verify return code: 0" in done.stdout, (port, done)
                want = b"ALPN protocol: h2" if port.grpc else b"ALPN protocol: http/1.1"
                assert want in done.stdout, (port, done.stdout[-600:])
            for old in ("-tls1", "-tls1_1"):
                assert s_client(old, "-cipher", "ALL:@SECLEVEL=0", *mine).returncode != 0, (port, old)
            assert s_client("-alpn", "spdy/3", *mine).returncode != 0 or not port.grpc, port
            done = s_client("-tls1_2", "-reconnect", *mine)  # sessions and renegotiation
            assert b"Secure Renegotiation IS NOT" in done.stdout or done.returncode == 0, port
        quiet(port, before)
        port.serves()


def test_prometheus_scrapes_the_scaler_without_a_warning(ports, tmp_path):
    port = next(p for p in ports if p.name == "http")
    done = subprocess.run(["promtool", "check", "metrics"], input=port.curl().stdout,
                          capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b""), done
    tls = ""
    if port.tls:
        ca, (crt, key) = port.tls
        tls = f"  scheme: https\n  tls_config: {{ca_file: {ca}, cert_file: {crt}, key_file: {key}}}\n"
    config, listen = tmp_path / "prometheus.yml", free_port()
    config.write_text("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n"
                      f"- job_name: scaler\n{tls}"
                      f"  static_configs: [{{targets: [\"{port.addr}\"]}}]\n")
    with harness.Program("/usr/bin/prometheus", f"--config.file={config}",
                         f"--storage.tsdb.path={tmp_path / 'data'}",
                         f"--web.listen-address=127.0.0.1:{listen}") as prometheus:
        def ask(query):
            status, _, body = http_get(f"http://127.0.0.1:{listen}/api/v1/query?query={quote(query)}")
            return status == 200 and json.loads(body)["data"]["result"]
        wait_until(lambda: ask("count_over_time(gpuscale_uptime_seconds[1m])>2"), "three scrapes",
                   deadline_s=60)
        assert [r["value"][1] for r in ask("min_over_time(up[1m])")] == ["1"]
        status, _, body = http_get(f"http://127.0.0.1:{listen}/api/v1/targets")
        target, = json.loads(body)["data"]["activeTargets"]
        assert (status, target["health"], target["lastError"]) == (200, "up", "")
        types = json.loads(http_get(f"http://127.0.0.1:{listen}/api/v1/metadata")[2])["data"]
        assert types["gpuscale_grpc_request_duration_seconds"][0]["type"] == "histogram"
        assert not [line for line in prometheus.lines if re.search("level=(warn|error)", line)]


# --- bytes that no client would send


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def garbage(rng):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    frame = lambda kind, flags, stream, body: struct.pack(">I", len(body))[1:] + \
        bytes([kind, flags]) + struct.pack(">I", stream) + body
    hello = client_hello()
    return {
        "a ClientHello": hello,
        "a ClientHello in two halves of which one comes": hello[:len(hello) // 2],
        "a ClientHello with flipped bits": bytes(b ^ (rng.random() < 0.05) << 3 for b in hello),
        "a TLS alert": b"\x15\x03\x03\x00\x02\x02\x28",
        "a TLS record of 16 KiB of nothing": b"\x16\x03\x01\x40\x00" + bytes(16384),
        "HTTP/1.1": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 of two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                                   b"Content-Length: 2\r\n\r\nab",
        "half a head": b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: ",
        "a head without end": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000,
        "a line without end": b"G" * 100000,
        "a SIP call": b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "the PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /metrics HTTP/1.1\r\n\r\n",
        "NULs": bytes(65536),
        "noise": rng.randbytes(65536),
        "HTTP/2 and noise": preface + rng.randbytes(4096),
        "HTTP/2 and a frame of 16 MiB - 1": preface + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        "HTTP/2 and DATA on stream 0": preface + frame(4, 0, 0, b"") + frame(0, 0, 0, b"x"),
        "HTTP/2 and a broken header block": preface + frame(4, 0, 0, b"") +
                                            frame(1, 4, 1, b"\xff" * 40),
        "HTTP/2 and WINDOW_UPDATE of 0": preface + frame(4, 0, 0, b"") + frame(8, 0, 0, bytes(4)),
        "nothing": b"",
    }


def test_garbage_harms_no_port(ports):
    seed = random.SystemRandom().randrange(2**32)
    print(f"# seed {seed}")
    rng = random.Random(seed)
    for port in ports:
        before, fds = len(port.program.lines), port.program.open_fds()
        for what, data in garbage(rng).items():
            for end in ("close", "reset", "read"):
                with port.connect() as sock:
                    try:
                        sock.sendall(data)
                        if end == "reset":
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                            struct.pack("ii", 1, 0))
                        elif end == "read":
                            sock.shutdown(socket.SHUT_WR)
                            while sock.recv(65536):
                                pass
                    except TimeoutError:
                        raise AssertionError(f"{port}: {what}: not closed") from None
                    except OSError:
                        pass  # it was cut (reset, or gone before the shutdown): fair
        port.serves()
        quiet(port, before)
        wait_until(lambda: port.program.open_fds() <= fds + 1, f"{port}: connections are freed")


def tls_client(port):
    ca, (crt, key) = port.tls
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(crt, key)
    context.set_alpn_protocols(["h2"] if port.grpc else ["http/1.1"])
    return context


def test_a_tls_client_that_ends_inside_its_request_is_let_go_at_once(ports):
    """Its close_notify comes behind bytes, its FIN does not: nothing makes the socket readable."""
    for port in [p for p in ports if p.tls]:
        begun = b"PRI * HTTP/2.0\r\n\r\nSM\r" if port.grpc else b"GET /metrics HTTP/1.1\r\nHos"
        with port.connect() as raw, tls_client(port).wrap_socket(raw, server_hostname="localhost") as s:
            s.send(begun)
            got = b""
            try:
                s.unwrap()  # fails when a 408 comes, after the time that a request may take
            except ssl.SSLError as e:
                got = str(e)
            assert not got or (port.grpc and "CLOSE_NOTIFY" in got), (port, got)  # its SETTINGS
        port.serves()


def test_garbage_inside_tls_harms_no_port(ports):
    rng = random.Random(1)
    for port in [p for p in ports if p.tls]:
        context, before = tls_client(port), len(port.program.lines)
        for what, data in garbage(rng).items():
            with port.connect() as raw, context.wrap_socket(raw, server_hostname="localhost") as sock:
                try:
                    sock.sendall(data)
                    raw = sock.unwrap()  # close_notify, and its answer
                except (OSError, ValueError):
                    pass
        port.serves()
        quiet(port, before)
