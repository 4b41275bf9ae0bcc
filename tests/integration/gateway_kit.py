# SPDX-License-Identifier: Apache-2.0
"""The gateway alone (tests/integration/gateway_main.c), and replicas that do what a test says: each
connection of a Replica is a thread that hands every request to the test's function."""

import http.client
import json
import socket
import struct
import subprocess
import threading

from harness import Program, http_get, metric_values, wait_until


class Gateway(Program):
    """gateway_main, and its replicas changed over its stdin."""

    def __init__(self, *args):
        super().__init__("gateway_main", *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.at = self.addr("http")

    def command(self, line):
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline().decode().strip()
        assert answer == "ok", (line, answer)

    def add(self, name, where):
        self.command(f"add {name} {where}")

    def drain(self, name):
        self.command(f"drain {name}")

    def remove(self, name):
        self.command(f"remove {name}")

    def value(self, name, **labels):
        _, _, page = http_get(f"http://{self.at}/metrics")
        wanted = {("service", "demo-llm"), *labels.items()}
        return metric_values(page, name)[frozenset(wanted)]

    def client(self, timeout=30):
        return http.client.HTTPConnection(self.at, timeout=timeout)

    def post(self, body=b"{}", path="/v1/completions", headers=None, timeout=30):
        """(status, headers, body) of one request on a connection of its own."""
        c = self.client(timeout)
        try:
            c.request("POST", path, body, headers or {})
            r = c.getresponse()
            return r.status, dict(r.getheaders()), r.read()
        finally:
            c.close()

    def in_background(self, *args, **kwargs):
        """A post() in a thread: .result() waits for it."""
        return Background(lambda: self.post(*args, **kwargs))


class Background:
    def __init__(self, function):
        self._value = self._error = None
        self._thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self._thread.start()

    def _run(self, function):
        try:
            self._value = function()
        except Exception as e:  # the waiter raises it
            self._error = e

    def done(self):
        return not self._thread.is_alive()

    def result(self, timeout=30):
        self._thread.join(timeout)
        assert self.done(), "no answer yet"
        if self._error:
            raise self._error
        return self._value


class Request:
    """One request as it arrived: method, target, headers (lower case), body; and its connection."""

    def __init__(self, sock, reader):
        self.sock = sock
        line = reader.readline()
        if not line:
            raise EOFError
        self.method, self.target, _ = line.decode().split()
        self.headers = {}
        for raw in iter(reader.readline, b"\r\n"):
            if not raw:
                raise EOFError
            name, value = raw.decode().rstrip("\r\n").split(": ", 1)
            self.headers[name.lower()] = value
        self.body = reader.read(int(self.headers.get("content-length", 0)))

    def answer(self, body=b"", status="200 OK", headers=()):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def begin(self, headers=()):
        self.sock.sendall("\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked",
                                       *headers]).encode() + b"\r\n\r\n")

    def piece(self, data):
        self.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self):
        self.sock.sendall(b"0\r\n\r\n")

    def reset(self):
        """Ends the connection as the kernel does for a process that was killed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise EOFError

    def gone(self, timeout=30):
        """Waits until the other side ends the connection."""
        self.sock.settimeout(timeout)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


class Replica:
    """A server whose `serve(request)` is the test's; without one it echoes."""

    def __init__(self, serve=None, name=""):
        self.serve = serve or self.echo
        self.name = name
        self.requests, self.connections = [], 0
        self._open = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.at = "127.0.0.1:%d" % self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def echo(self, request):
        request.answer(request.body, headers=[f"X-Replica: {self.name}"])

    def _accept(self):
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock):
        with sock, sock.makefile("rb") as reader:
            try:
                while True:
                    request = Request(sock, reader)
                    self.requests.append(request)
                    self.serve(request)
            except (EOFError, OSError, ValueError):
                pass

    def close_idle(self):
        """Ends every connection, as a server does with those that idle."""
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.close_idle()


def error_of(body):
    return json.loads(body)["error"]


class Nginx(Program):
    """nginx that answers every path with 2 bytes: what a proxy costs shows beside it."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        (folder / "nginx.conf").write_text(f"""
daemon off; master_process off; error_log stderr; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=512; location / {{ return 200 "ok"; }} }}
}}
""")
        super().__init__("/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf")
        self.at = f"127.0.0.1:{port}"
        wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close() or True, "nginx")
