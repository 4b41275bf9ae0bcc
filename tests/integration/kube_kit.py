# SPDX-License-Identifier: Apache-2.0
"""A server that plays the Kubernetes API's documented behaviour (reference: "API concepts", resource versions, paging
and watches) over TLS, and its faults: each request goes past `faults` first."""

import base64
import http.server
import json
import ssl
import subprocess
import threading
import urllib.parse

from harness import Program, find_program


def status(code, reason, message, **more):
    """A Status object, as the API server answers errors."""
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": message, "metadata": {}, **more}


class Api:
    """The store: objects of one collection a path, versions, a log that may be compacted."""

    def __init__(self):
        self.cond = threading.Condition()
        self.version = 100
        self.objects = {}  # {path: {(namespace, name): object}}
        self.log = []  # (version, path, type, object)
        self.compacted = 0
        self.snapshots = {}
        self.uid = 0

    def put(self, path, namespace, name, **fields):
        with self.cond:
            self.version += 1
            key = (namespace, name)
            store = self.objects.setdefault(path, {})
            old = store.get(key)
            if not old:
                self.uid += 1
            meta = {"namespace": namespace, "name": name, "resourceVersion": str(self.version),
                    "uid": old["metadata"]["uid"] if old else f"uid-{self.uid}",
                    **fields.pop("metadata", {})}
            store[key] = {"metadata": meta, **fields}
            self.log.append((self.version, path, "MODIFIED" if old else "ADDED", store[key]))
            self.cond.notify_all()

    def delete(self, path, namespace, name):
        with self.cond:
            self.version += 1
            gone = json.loads(json.dumps(self.objects[path].pop((namespace, name))))
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.log.append((self.version, path, "DELETED", gone))
            self.cond.notify_all()

    def compact(self):
        """Every watch's place is gone, however new."""
        with self.cond:
            self.version += 1
            self.compacted = self.version
            self.log.clear()
            self.snapshots.clear()
            self.cond.notify_all()

    def page(self, path, limit, token):
        with self.cond:
            at = 0
            if token:
                version, at = json.loads(base64.urlsafe_b64decode(token))
                if version not in self.snapshots:
                    return None
            else:
                version = self.version
                self.snapshots[version] = list(self.objects.get(path, {}).values())
            every = self.snapshots[version]
            end = at + limit if limit else len(every)
            meta = {"resourceVersion": str(version)}
            if end < len(every):
                meta["continue"] = base64.urlsafe_b64encode(json.dumps([version, end]).encode()).decode()
                meta["remainingItemCount"] = len(every) - end
            # The order of a custom resource's list.
            return {"apiVersion": "v1", "items": every[at:end], "kind": "ThingList", "metadata": meta}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *args):
        pass

    def answer(self, code, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def cut(self):
        """The connection's end, here and now."""
        self.close_connection = True
        self.connection.shutdown(2)

    def watch(self, path, query):
        api = self.server.api
        at = int(query["resourceVersion"])
        if at < api.compacted:
            return self.answer(410, status(410, "Expired", f"too old resource version: {at} ({api.compacted})"))
        self.begin_stream()
        while not self.server.stopping:
            with api.cond:
                if at < api.compacted:
                    events = [{"type": "ERROR", "object": status(410, "Expired", "too old resource version")}]
                else:
                    events = [{"type": t, "object": o} for v, p, t, o in api.log if v > at and p == path]
                    at = max([at] + [v for v, p, _, _ in api.log if p == path])
                if not events and self.server.bookmarks.acquire(blocking=False):
                    at = api.version
                    events = [{"type": "BOOKMARK", "object": {"kind": "Thing", "metadata": {"resourceVersion": str(at)}}}]
                if not events:
                    api.cond.wait(0.05)
            for event in events:
                self.chunk(json.dumps(event).encode() + b"\n")
                if event["type"] == "ERROR":
                    return self.chunk(b"")
            if self.server.cuts.acquire(blocking=False):
                self.wfile.write(b'40\r\n{"type":"ADDED","object":{"met')
                self.wfile.flush()
                break
        self.cut()

    def handle_any(self):
        try:
            self.handle_request()
        except (OSError, ssl.SSLError):
            self.close_connection = True

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        server = self.server
        cert = self.connection.getpeercert() if hasattr(self.connection, "getpeercert") else None
        request = {"method": self.command, "path": url.path, "query": query, "headers": dict(self.headers),
                   "body": body, "cert": cert}
        server.requests.append(request)
        for fault in list(server.faults):
            if fault(self, request):
                return
        if server.tokens and self.headers.get("Authorization") not in [f"Bearer {t}" for t in server.tokens]:
            return self.answer(401, status(401, "Unauthorized", "Unauthorized"))
        if self.command != "GET":
            code, answer = server.answers.get((self.command, url.path), (201, {"kind": "Echo"}))
            return self.answer(code, answer)
        if query.get("watch"):
            return self.watch(url.path, query)
        single = server.answers.get(("GET", url.path))
        if single:
            return self.answer(*single)
        page = server.api.page(url.path, int(query.get("limit") or 0), query.get("continue"))
        if page is None:
            return self.answer(410, status(410, "Expired", "The provided continue parameter is too old"))
        self.answer(200, page)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, cert, key, client_ca=None, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.api = Api()
        self.requests, self.faults, self.answers, self.tokens = [], [], {}, set()
        self.bookmarks, self.cuts = threading.Semaphore(0), threading.Semaphore(0)
        self.stopping = False
        self.client_ca = client_ca
        self.certify(cert, key)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def certify(self, cert, key):
        """From the next connection on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if self.client_ca:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        self.context = context

    def get_request(self):
        sock, addr = super().get_request()
        return self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), addr

    def handle_error(self, request, client_address):
        pass

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server_address[1]}"

    def stop(self):
        self.stopping = True
        self.shutdown()
        self.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()

    def asked(self, **want):
        """Requests so far whose fields are these."""
        return [r for r in list(self.requests) if all(r[k] == v for k, v in want.items())]


def kubeconfig(path, server, ca=None, user=None, cluster=None, context=None):
    """Writes a kubeconfig (JSON is YAML)."""
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", **(context or {})}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **({"certificate-authority": str(ca)} if ca else {}),
                                               **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}]}))
    return path


class Kube(Program):
    """The test program, its lines as dicts."""

    def __init__(self, *args, env=None):
        self.told = []  # one dict a line
        super().__init__(find_program("kube_main"), *args, stdout=subprocess.PIPE, env=env)
        self._lines = threading.Thread(target=self._collect, daemon=True)
        self._lines.start()

    def _collect(self):
        for raw in self.proc.stdout:
            self.told.append(json.loads(raw))

    def cache(self):
        """{key: version} as the changes so far leave it; each must fit the ones before it."""
        cache = {}
        for line in list(self.told):
            if line["event"] == "added":
                assert line["key"] not in cache, line
            elif line["event"] in ("updated", "deleted"):
                assert line["key"] in cache, line
            if line["event"] == "deleted":
                del cache[line["key"]]
            elif line["event"] in ("added", "updated"):
                cache[line["key"]] = line["version"]
        return cache

    def peak_mib(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def told_of(self, event):
        return [line for line in list(self.told) if line["event"] == event]
