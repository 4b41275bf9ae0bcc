# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus over pages that a test serves, and a proxy in front of it that asks for tokens,
remembers headers and misbehaves."""

import http.server
import json
import socket
import threading
import urllib.error
import urllib.request

import harness
from scaler_kit import Page


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Series(Page):
    """A page of one gauge: `lag` maps labels, as text, to values."""

    def __init__(self, **lag):
        self.lag = dict(lag) if lag else {}
        super().__init__(lambda: "# TYPE lag gauge\n" + "".join(f"lag{{{k}}} {v}\n" for k, v in self.lag.items()))


class Prometheus:
    """A real server that scrapes pages each 200 ms."""

    def __init__(self, folder, pages=(), web_config=None, scheme="http", port=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.scheme = folder, port or free_port(), scheme
        config = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                  "scrape_configs": [{"job_name": "test", "honor_labels": True,
                                      "static_configs": [{"targets": [p.addr for p in pages]}]}]}
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.extra = []
        if web_config:
            (folder / "web.yml").write_text(json.dumps(web_config))
            self.extra = [f"--web.config.file={folder / 'web.yml'}"]
        self.program = None
        self.start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self):
        self.program = harness.Program("/usr/bin/prometheus", f"--config.file={self.folder / 'prometheus.yml'}",
                                       f"--storage.tsdb.path={self.folder / 'data'}", "--query.lookback-delta=5m",
                                       f"--web.listen-address=127.0.0.1:{self.port}", *self.extra)
        self.program.wait_log("Server is ready to receive web requests")

    def stop(self):
        self.program.stop(expect=None)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.program.stop(expect=None)


class Proxy:
    """Passes POSTs on to `target`. `wanted`: the Authorization that it asks for. `fault`: None, or a
    (status, content type, body) to answer instead. Remembers each request's headers and form."""

    def __init__(self, target):
        self.target, self.wanted, self.fault, self.seen = target, None, None, []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                form = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                proxy.seen.append((self.path, dict(self.headers), form))
                status, kind, body = proxy.answer(self.path, self.headers, form)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server.server_address[1]

    def answer(self, path, headers, form):
        if self.fault:
            status, kind, body = self.fault
            return status, kind, body.encode() if isinstance(body, str) else body
        if self.wanted and headers.get("Authorization") != self.wanted:
            return 401, "text/plain", b"Unauthorized"
        if not self.target:
            return 404, "text/plain", b"no"
        request = urllib.request.Request(self.target + path, data=form)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as r:
                return r.status, r.headers["Content-Type"], r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers["Content-Type"], e.read()
        except OSError as e:
            return 502, "text/plain", str(e).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
