# SPDX-License-Identifier: Apache-2.0
"""The HTTP/1.1 server of net/ (in http_hello) against clients that others wrote: curl, Python's http.client and
ssl, nghttp; against nginx as a second opinion on malformed requests; and against peers that mean harm."""

import concurrent.futures
import http.client
import os
import pathlib
import random
import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest

import harness

HELLO = harness.BUILD / "tests" / "integration" / "http_hello"
SEED = int(os.environ.get("GPUSCALE_SEED", "20261124"))


class Hello(harness.Program):
    def __init__(self, *args):
        super().__init__(HELLO, *args, stdout=subprocess.PIPE)
        self.host, port = self.addr("http").rsplit(":", 1)
        self.port = int(port)

    def connect(self):
        s = socket.create_connection((self.host, self.port), timeout=harness.DEADLINE_S)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def client(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=harness.DEADLINE_S)

    def finish(self):
        """Ends it; its counters."""
        self.stop()
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", self.proc.stdout.read().decode())}


@pytest.fixture()
def hello():
    with Hello() as program:
        yield program


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return harness.Certs(tmp_path_factory.mktemp("certs"))


def read_all(s):
    """What comes until the peer ends; a reset is an end too, and is told apart."""
    data = b""
    try:
        while part := s.recv(65536):
            data += part
    except ConnectionResetError:
        return data, True
    return data, False


def ask(program, request, half_close=False):
    with program.connect() as s:
        s.sendall(request)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        return read_all(s)


def curl(*args, expect=0):
    done = subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", *args],
                          capture_output=True, timeout=harness.DEADLINE_S)
    assert done.returncode == expect, done
    return done.stdout


def test_curl_gets_heads_and_posts_on_one_connection(hello, tmp_path):
    base = f"http://{hello.host}:{hello.port}"
    out = curl(f"{base}/hello", f"{base}/page", f"{base}/hello?name=b",
               "--write-out", "[%{num_connects}]")
    assert out.startswith(b"hello\n[1]page_value") and out.endswith(b"[0]hello b\n[0]")
    assert b"Content-Length: 61450\r\n" in curl("--head", f"{base}/page")
    body = random.Random(SEED).randbytes(500_000)
    (tmp_path / "body").write_bytes(body)
    # 500,000 bytes: curl asks with Expect: 100-continue.
    assert curl("--data-binary", f"@{tmp_path}/body", f"{base}/echo", "--expect100-timeout", "15") == body
    assert curl("--data-binary", f"@{tmp_path}/body", "-H", "Transfer-Encoding: chunked", f"{base}/echo") == body
    assert len(curl("--http1.0", f"{base}/large")) == 4 << 20
    assert curl("--path-as-is", f"{base}/below/../x%20y") == b"below: /below/../x y\n"


def test_http_client_reads_what_it_should(hello):
    c = hello.client()
    for method, path, body, status in [("GET", "/hello", None, 200), ("HEAD", "/large", None, 200),
                                       ("GET", "/nothing", None, 204), ("GET", "/nowhere", None, 404),
                                       ("PUT", "/hello", b"x" * 1000, 405), ("POST", "/echo", b"abc", 200),
                                       ("BREW", "/hello", None, 501), ("GET", "/late?ms=30", None, 200),
                                       ("GET", "/large", None, 200)]:
        c.request(method, path, body=body)
        answer = c.getresponse()
        read = answer.read()
        assert answer.status == status, (method, path)
        assert answer.getheader("Date").endswith(" GMT")
        if path == "/large" and method == "GET":
            assert len(read) == 4 << 20
        if path == "/echo":
            assert read == body
        if status == 405:
            assert answer.getheader("Allow") == "GET, HEAD"
    c.request("POST", "/echo", body=(b"part%d" % i for i in range(100)), encode_chunked=True)
    assert c.getresponse().read() == b"".join(b"part%d" % i for i in range(100))
    c.close()
    assert hello.finish()["requests"] == 10


def test_a_request_over_the_limits_is_told_so(hello):
    for request, status in [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 65 + b"\r\n", 431),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n" + b"z" * 1048577, 413),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         + (b"10000\r\n" + b"z" * 65536 + b"\r\n") * 17, 413),
    ]:
        answer, reset = ask(hello, request)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
        assert b"\r\nConnection: close\r\n" in answer and not reset


def nginx_conf(folder, port):
    (folder / "index.html").write_text("ok\n")
    (folder / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; large_client_header_buffers 4 16k;
  server {{ listen 127.0.0.1:{port}; root {folder}; location / {{ return 200 "ok"; }} }} }}
""")
    return folder / "nginx.conf"


# Requests on which a strict server and nginx must agree: served, or refused.
REQUESTS = [
    b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /hello HTTP/1.0\r\n\r\n",
    b"\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/hello HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nhost:a\r\nX-Empty:\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n",
    b"GET /hello HTTP/1.1\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /hello HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET /hello HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    b"GET /hello\r\n\r\n\r\n",
    b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET hello HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /hello HTTP/2.0\r\nHost: a\r\n\r\n",
    b"GET /hello HTTQ/1.1\r\nHost: a\r\n\r\n",
    b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
    b"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /hello HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
]


@pytest.mark.skipif(not shutil.which("nginx") and not pathlib.Path("/usr/sbin/nginx").exists(), reason="no nginx")
def test_nginx_serves_and_refuses_the_same(hello, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-p", tmp_path, "-c", nginx_conf(tmp_path, port)],
                             stderr=subprocess.DEVNULL)
    try:
        harness.wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close() or True, "nginx")
        for request in REQUESTS:
            ours, _ = ask(hello, request, half_close=True)
            with socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE_S) as s:
                s.sendall(request)
                s.shutdown(socket.SHUT_WR)
                theirs, _ = read_all(s)
            served = ours.startswith(b"HTTP/1.1 200") or ours.startswith(b"HTTP/1.1 405")
            # HTTP/0.9, which nginx still speaks, is no HTTP/1.1 answer.
            assert served == theirs.startswith(b"HTTP/1.1 200"), (request, ours[:80], theirs[:80])
            assert served == (request in REQUESTS[:6]), request
    finally:
        nginx.terminate()
        nginx.wait()


def test_http2_clients_are_answered_cleanly(hello, certs, tmp_path):
    done = subprocess.run(["nghttp", "--timeout=10", f"http://{hello.host}:{hello.port}/hello"],
                          capture_output=True, timeout=harness.DEADLINE_S)
    assert b"total=1, processed=0" in done.stdout + done.stderr
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    answer, reset = ask(hello, preface)
    assert answer.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n") and not reset
    # curl asks for an upgrade and takes HTTP/1.1 when there is none.
    assert curl("--http2", f"http://{hello.host}:{hello.port}/hello") == b"hello\n"
    crt, key = certs.leaf("h2")
    with Hello("--cert", crt, "--key", key) as secure:
        done = subprocess.run(["nghttp", "--timeout=10", f"https://{secure.host}:{secure.port}/hello"],
                              capture_output=True, timeout=harness.DEADLINE_S)
        assert b"processed=0" in done.stdout + done.stderr
        url = f"https://localhost:{secure.port}/hello"
        assert curl("--http2", "--cacert", certs.ca, url) == b"hello\n"
        assert secure.finish()["handshakes_failed"] == 1  # nghttp's: it offers h2 alone


def test_tls_versions_names_and_clients(certs, tmp_path):
    crt, key = certs.leaf("server")
    other = harness.Certs(tmp_path / "other", "other CA")
    client_crt, client_key = certs.leaf("client", common_name="prometheus")
    stranger_crt, stranger_key = other.leaf("stranger")
    with Hello("--cert", crt, "--key", key) as secure:
        url = f"https://localhost:{secure.port}/page"
        assert len(curl("--cacert", certs.ca, url)) == 61450
        assert len(curl("--cacert", certs.ca, "--tls-max", "1.2", url)) == 61450
        assert len(curl("--cacert", certs.ca, f"https://127.0.0.1:{secure.port}/large")) == 4 << 20
        curl("--cacert", other.ca, url, expect=60)
        curl("--cacert", certs.ca, "--tls-max", "1.1", url, expect=35)
        context = ssl.create_default_context(cafile=str(certs.ca))
        c = http.client.HTTPSConnection("localhost", secure.port, context=context, timeout=20)
        for _ in range(3):
            c.request("POST", "/echo", body=b"x" * 100_000)
            assert c.getresponse().read() == b"x" * 100_000
        c.close()
        plain, _ = ask(secure, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not plain.startswith(b"HTTP")  # an alert at most
        assert secure.finish()["handshakes_failed"] == 3  # other CA, TLS 1.1, plain text
    with Hello("--cert", crt, "--key", key, "--ca", certs.ca) as mutual:
        url = f"https://localhost:{mutual.port}/hello"
        with_cert = ["--cacert", certs.ca, "--cert", client_crt, "--key", client_key]
        assert curl(*with_cert, url) == b"hello\n"
        assert curl(*with_cert, "--tls-max", "1.2", url) == b"hello\n"
        curl("--cacert", certs.ca, url, expect=56)
        curl("--cacert", certs.ca, "--cert", stranger_crt, "--key", stranger_key, url, expect=56)
        assert mutual.finish()["handshakes_failed"] == 2


def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(certs):
    crt, key = certs.leaf("renewed")

    def served():
        pem = ssl.get_server_certificate(("127.0.0.1", program.port))
        return pem.strip()

    with Hello("--cert", crt, "--key", key) as program:
        first = crt.read_text().strip()
        assert served() == first
        old = socket.create_connection(("127.0.0.1", program.port))
        context = ssl.create_default_context(cafile=str(certs.ca))
        with context.wrap_socket(old, server_hostname="localhost") as live:
            certs.leaf("renewed")
            assert crt.read_text().strip() != first
            harness.wait_until(lambda: served() == crt.read_text().strip(), "the renewed certificate")
            live.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")  # on the old one still
            assert live.recv(1000).startswith(b"HTTP/1.1 200")
        good = served()
        key.write_text("garbage\n")
        program.wait_log(r'msg="reload failed" error="TLS private key .*renewed\.key')
        assert served() == good


def test_slow_clients_do_not_hold_others_up():
    with Hello("--head-ms", "400", "--body-ms", "400", "--idle-ms", "60000") as program:
        slow = []
        for i in range(200):
            s = program.connect()
            s.sendall([b"", b"G", b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ",
                       b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"][i % 4])
            slow.append(s)
        c = program.client()
        end = time.monotonic() + harness.DEADLINE_S
        open_ones = set(slow)
        while open_ones:  # drips bytes into all of them while others are served
            assert time.monotonic() < end
            c.request("GET", "/hello")
            assert c.getresponse().read() == b"hello\n"
            for s in list(open_ones):
                try:
                    s.setblocking(False)
                    if slow.index(s) % 4 == 2:
                        s.send(b"x")
                    data = s.recv(1000)
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    data = b""
                assert data == b"" or data.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
                if not data:
                    open_ones.discard(s)
                    s.close()
        assert program.finish()["timeouts"] == 150


def test_garbage_gets_a_400_or_an_end_and_breaks_nothing(hello):
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    parts = [b"GET ", b"POST ", b"/hello", b"/echo", b" HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"Content-Length: 5\r\n",
             b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"\0", b"\x16\x03\x01", b"%", b"\xff" * 50]
    for _ in range(300):
        request = (rng.randbytes(rng.randrange(1, 3000)) if rng.random() < 0.3 else
                   b"".join(rng.choice(parts) for _ in range(rng.randrange(1, 12))))
        answer, _ = ask(hello, request, half_close=True)
        assert answer == b"" or re.match(rb"HTTP/1\.1 (100|200|400|404|405|413|414|417|431|501|505) ", answer), request
    assert ask(hello, b"GET /hello HTTP/1.0\r\n\r\n")[0].endswith(b"hello\n")


def test_connections_over_the_cap_are_closed_at_once():
    with Hello("--connections", "5") as program:
        held = [program.connect() for _ in range(5)]
        for s in held:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
        with program.connect() as extra:
            assert read_all(extra)[0] == b""
        held.pop().close()

        def served():
            return ask(program, b"GET /hello HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 200")
        harness.wait_until(served, "a place that was given back")
        for s in held:
            s.close()
        assert program.finish()["refused"] >= 1


def test_many_clients_at_once_get_their_own_answers(hello):
    def one(i):
        c = hello.client()
        for k in range(20):
            c.request("GET", f"/late?ms={i * k % 7}" if k % 5 == 0 else f"/hello?name={i}-{k}")
            read = c.getresponse().read()
            assert read == (b"late\n" if k % 5 == 0 else b"hello %d-%d\n" % (i, k))
        c.close()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(one, range(64)))
    assert hello.finish()["requests"] == 64 * 20


def test_sigterm_finishes_what_runs(hello):
    with hello.connect() as busy, hello.connect() as idle:
        idle.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        busy.sendall(b"GET /late?ms=400 HTTP/1.1\r\nHost: a\r\n\r\n")
        time_to_arrive = hello.client()
        time_to_arrive.request("GET", "/hello")
        assert time_to_arrive.getresponse().read() == b"hello\n"
        hello.proc.terminate()
        assert read_all(idle) == (b"", False)
        answer, reset = read_all(busy)
        assert answer.endswith(b"late\n") and b"Connection: close\r\n" in answer and not reset
    assert hello.wait() == 0


def test_it_leaks_no_descriptor(hello):
    before = hello.open_fds()
    for i in range(200):
        s = hello.connect()
        s.sendall([b"", b"junk\0", b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n"][i % 4])
        if i % 3 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    harness.wait_until(lambda: hello.open_fds() == before, "all descriptors closed")
