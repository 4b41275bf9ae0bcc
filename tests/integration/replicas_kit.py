# SPDX-License-Identifier: Apache-2.0
"""Several scalers around one Lease: a model of Leases for the played API server, and scalers that reach each other and
the API server through proxies, which can drop everything without a reset."""

import concurrent.futures
import json
import selectors
import socket
import threading
import time

import grpc
from cluster_kit import ClusterScaler
from harness import make_stubs, parse_logfmt
from kube_kit import kubeconfig, status

LEASE = "gpuscale/gpuscale-scaler"


class Leases:
    """coordination.k8s.io/v1 Leases with optimistic concurrency, as a fault of kube_kit's server (it goes first)."""

    def __init__(self, server):
        self.lock = threading.Lock()
        self.items, self.version = {}, 0
        self.holders = []  # (monotonic time, holder): each change
        server.faults.append(self.handle)

    def get(self, key=LEASE):
        with self.lock:
            return self.items.get(key)

    def holder(self, key=LEASE):
        lease = self.get(key)
        return lease["spec"].get("holderIdentity", "") if lease else ""

    def delete(self, key=LEASE):
        with self.lock:
            del self.items[key]

    def give(self, holder, address="", key=LEASE):
        """To this holder, now; "": it is free."""
        with self.lock:
            old = self.items.get(key, {"metadata": {"namespace": key.split("/")[0], "name": key.split("/")[1]},
                                       "spec": {"leaseTransitions": 0}})
            self.store(key, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                             "metadata": {**old["metadata"], "annotations": {"gpuscale/address": address}},
                             "spec": {**old["spec"], "holderIdentity": holder, "leaseDurationSeconds": 15}})

    def store(self, key, lease):
        self.version += 1
        lease["metadata"]["resourceVersion"] = str(self.version)
        old = self.items.get(key)
        self.items[key] = lease
        holder = lease["spec"]["holderIdentity"]
        if not old or old["spec"]["holderIdentity"] != holder:
            self.holders.append((time.monotonic(), holder))
        return lease

    def handle(self, handler, request):
        parts = request["path"].split("/")
        if parts[2:4] != ["coordination.k8s.io", "v1"]:
            return False
        namespace, name = parts[5], parts[7] if len(parts) > 7 else None
        with self.lock:
            if request["method"] == "POST":
                lease = json.loads(request["body"])
                key = f"{namespace}/{lease['metadata']['name']}"
                if key in self.items:
                    answer = 409, status(409, "AlreadyExists", f"leases {key} already exists")
                else:
                    answer = 201, self.store(key, lease)
            else:
                key = f"{namespace}/{name}"
                old = self.items.get(key)
                if not old:
                    answer = 404, status(404, "NotFound", f"leases {key} not found")
                elif request["method"] == "GET":
                    answer = 200, old
                else:
                    lease = json.loads(request["body"])
                    if lease["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
                        answer = 409, status(409, "Conflict", "the object has been modified")
                    else:
                        answer = 200, self.store(key, lease)
            body = json.dumps(answer[1]).encode()
        handler.answer(answer[0], body)
        return True


class PastLeader:
    """Holds the Lease and tells what a test says: `decisions`, a list of decisions_pb2.Decision. Then it resigns."""

    NAME = "past_1"

    def __init__(self, folder, leases):
        make_stubs(folder, "decisions")
        import decisions_pb2
        self.pb, self.leases, self.decisions = decisions_pb2, leases, []
        self.resigned = threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handlers = {
            "Follow": grpc.unary_stream_rpc_method_handler(
                self._follow, request_deserializer=decisions_pb2.FollowRequest.FromString,
                response_serializer=lambda m: m.SerializeToString()),
            "Enroll": grpc.unary_unary_rpc_method_handler(
                lambda request, context: decisions_pb2.EnrollResponse(refused=0),
                request_deserializer=decisions_pb2.EnrollRequest.FromString,
                response_serializer=lambda m: m.SerializeToString())}
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("gpuscale.v1.Decisions", handlers)])
        self.addr = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        leases.give(self.NAME, self.addr)

    def decision(self, metadata, desired, learned, name="llm"):
        d = self.pb.Decision(id=7, sequence=50, value=desired, active=True, desired=desired, learned=learned)
        d.object.namespace, d.object.name = "default", name
        for key, value in metadata.items():
            d.object.metadata.add(key=key, value=value)
        return d

    def _follow(self, request, context):
        seq = 0
        while context.is_active():
            seq += 1
            now_ms = time.monotonic_ns() // 1_000_000
            yield self.pb.DecisionsUpdate(leader=self.NAME, term=0, seq=seq, interval_ms=1000, full=seq == 1, complete=True,
                                          now_ms=now_ms, decided_ms=now_ms, decisions=self.decisions if seq == 1 else [],
                                          resigned=self.resigned.is_set())
            if self.resigned.wait(0.5) and seq > 1:
                return

    def resign(self):
        self.leases.give("")
        self.resigned.set()

    def close(self):
        self.resigned.set()
        self.server.stop(0).wait(5)


class Proxy:
    """Passes bytes on to `target` until it drops: then connections stay, and nothing moves in either direction."""

    def __init__(self, target=None):
        self.target, self.dropping, self.closing = target, False, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addr = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with selectors.DefaultSelector() as sel:
            sel.register(self.listener, selectors.EVENT_READ)
            peers = {}
            while not self.closing:
                if self.dropping:
                    time.sleep(0.02)  # the kernel's buffers take what comes, as a network that drops would not tell either
                    continue
                for key, _ in sel.select(0.05):
                    if key.fileobj is self.listener:
                        self._accept(sel, peers)
                    elif not self.dropping:
                        self._pass_on(sel, peers, key.fileobj)
            for s in peers:
                s.close()
        self.listener.close()

    def _accept(self, sel, peers):
        near, _ = self.listener.accept()
        try:
            host, port = self.target.rsplit(":", 1)
            far = socket.create_connection((host, int(port)), 5)
        except (OSError, AttributeError):
            near.close()
            return
        for a, b in ((near, far), (far, near)):
            a.settimeout(5)
            peers[a] = b
            sel.register(a, selectors.EVENT_READ)

    def _pass_on(self, sel, peers, s):
        other = peers.get(s)
        if other is None:
            return
        try:
            data = s.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for x in (s, other):
            sel.unregister(x)
            del peers[x]
            x.close()

    def close(self):
        self.closing = True
        self.thread.join(5)


class Replica(ClusterScaler):
    """One of several scalers. `api` and `port`: its ways to the API server and the others' way to it."""

    def __init__(self, folder, name, server, certs, replicas=None, **more):
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.port_proxy = Proxy()
        self.api_proxy = Proxy(server.url.removeprefix("https://"))
        config = kubeconfig(folder / "kube.config", f"https://{self.api_proxy.addr}", certs.ca, {"token": "t0k3n"})
        super().__init__(folder, config, replicas={"lease": LEASE, "identity": name, "address": self.port_proxy.addr,
                                                   **(replicas or {})}, **more)
        self.port_proxy.target = self.grpc

    def role(self):
        return self.api_("/api/v1/replicas")

    def api_(self, path):
        return ClusterScaler.api(self, path)

    def leads(self):
        return self.role()["role"] == "leader"

    def follows(self, other):
        r = self.role()
        return r["role"] == "follower" and r["connected"] and r["holder"].startswith(other.name + "_")

    def drop(self, dropping=True):
        """Nothing reaches it and nothing leaves it, without a reset."""
        self.port_proxy.dropping = self.api_proxy.dropping = dropping

    def told(self, message):
        return [parse_logfmt(line) for line in self.program.lines if f"msg={message}" in line or f'msg="{message}' in line]

    def close(self):
        self.port_proxy.close()
        self.api_proxy.close()
