# SPDX-License-Identifier: Apache-2.0
"""What a scaled service needs beside the Plane and the Player: the scaler as a program of the cluster (its account, certificates,
Service), and a gateway that sends requests to ready pods, holds them while there is none, and says so on a page."""

import asyncio
import collections
import json
import subprocess
import threading
import time

import yaml

from harness import find_program, http_get, metric_values
from plane import Process
from player import Player

ADDRESS = "10.244.255.10"
GATEWAYS = "10.244.255.60"
AGENTS = "gpuscale-agents"

# What the scaler asks the API server for.
RULES = [
    (["keda.sh"], ["scaledobjects"], ["list", "watch"]),
    ([""], ["pods"], ["list", "watch"]),
    (["apps"], ["deployments", "statefulsets", "replicasets"], ["list", "watch"]),
    (["autoscaling"], ["horizontalpodautoscalers"], ["list", "watch"]),
    (["resource.k8s.io"], ["resourceslices"], ["list", "watch"]),
    ([""], ["events"], ["create", "patch"]),
    (["events.k8s.io"], ["events"], ["create", "patch"]),
    (["discovery.k8s.io"], ["endpointslices"], ["list", "watch"]),
]


class Certificates:
    """`gpuscale certs` in a folder, its Secrets and (unless the chart brings it) its ClusterTriggerAuthentication applied."""

    def __init__(self, plane, authentication=True):
        self.folder = plane.folder / "gpuscale-certs"
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in ("gpuscale", AGENTS)])
        self.plane, self.authentication = plane, authentication
        self.apply()

    def apply(self, *args):
        """With --renew: new ones."""
        if args:
            self.run("--output", self.folder, *args)
        out = self.run("--output", self.folder, "--manifests")
        self.plane.apply([o for o in yaml.safe_load_all(out) if o and (self.authentication or o["kind"] == "Secret")])

    @staticmethod
    def run(*args):
        return subprocess.run([find_program("gpuscale"), "certs", *map(str, args)], check=True, capture_output=True, text=True).stdout

    def tls(self, name):
        return {"cert": str(self.folder / f"{name}.crt"), "key": str(self.folder / f"{name}.key"), "ca": str(self.folder / "ca.crt")}

    def agent_flags(self):
        tls = self.tls("agent")
        return ["--grpc-tls-cert", tls["cert"], "--grpc-tls-key", tls["key"], "--grpc-tls-ca", tls["ca"]]


class Scaler:
    """`gpuscale scaler` on `address`, with the rights of RULES. `more` adds sections to its configuration."""

    def __init__(self, plane, certificates, address=ADDRESS, name="scaler", **more):
        self.plane, self.address, self.http = plane, address, f"{address}:9444"
        self.folder = plane.folder / name
        self.folder.mkdir(exist_ok=True)
        self._account()
        config = {
            "grpc": {"listen": f"{address}:9443", "tls": {**certificates.tls("scaler"),
                                                          "allowedNames": ["gpuscale-keda.gpuscale.svc", "gpuscale-scaler.gpuscale.svc"]}},
            "http": {"listen": self.http}, "health": {"listen": f"{address}:8081"},
            "agents": {"tls": {**certificates.tls("scaler"), "serverName": "gpuscale-agent.gpuscale.svc"}},
            "engines": {"interval": "1s"},
            "kubernetes": {"enabled": True, "kubeconfig": str(plane.service_account("gpuscale", "gpuscale-scaler")),
                           "agents": {"service": f"{AGENTS}/gpuscale-agent", "port": "grpc"}}, **more}
        (self.folder / "scaler.yaml").write_text(yaml.safe_dump(config))
        self.process = Process(plane.folder, name, [find_program("gpuscale"), "scaler", "--config", self.folder / "scaler.yaml"])
        plane.processes[name] = self.process

    def _account(self):
        rules = [{"apiGroups": g, "resources": r, "verbs": v} for g, r, v in RULES]
        subject = {"kind": "ServiceAccount", "name": "gpuscale-scaler", "namespace": "gpuscale"}
        group = "rbac.authorization.k8s.io"
        self.plane.apply([
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "gpuscale-scaler", "namespace": "gpuscale"}},
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "gpuscale-scaler"}, "rules": rules},
            {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "gpuscale-scaler"}, "subjects": [subject],
             "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "gpuscale-scaler"}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gpuscale-scaler", "namespace": "gpuscale"},
             "spec": {"ports": [{"name": "grpc", "port": 9443}, {"name": "http", "port": 9444}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "gpuscale-scaler-1", "namespace": "gpuscale", "labels": {"kubernetes.io/service-name": "gpuscale-scaler"}},
             "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}}],
             "ports": [{"name": "grpc", "port": 9443, "protocol": "TCP"}, {"name": "http", "port": 9444, "protocol": "TCP"}]}])

    def start(self):
        self.process.start()
        self.plane.wait_until(self.is_ready, "the scaler is ready")
        return self

    def is_ready(self):
        return http_get(f"http://{self.address}:8081/readyz", deadline_s=5)[0] == 200

    def api(self, path):
        status, _, body = http_get(f"http://{self.http}{path}", deadline_s=5)
        assert status == 200, (status, body)
        return json.loads(body)

    def decided(self, namespace, name):
        """{"now": the record of the last tick, "records": those that changed something, oldest first}."""
        return self.api(f"/api/v1/decisions?namespace={namespace}&name={name}&limit=60")["items"][0]

    def page(self, name):
        return metric_values(http_get(f"http://{self.http}/metrics", deadline_s=5)[2], name)


class Gateway:
    """Sends `rate` requests a second (evenly), or at the times that play() is told, to the ready pods of a namespace, one after the
    other (`least_busy`: each to the one with the fewest under way); with none it holds them, as an activator does. Its page on `url` is
    the scaler's demand source. Latencies are kept: (when it was to be sent, seconds, status); the status is 0 when none came, or none
    within `timeout_s`."""

    def __init__(self, player, namespace, port=8000, path="/predict", body="", timeout_s=None, least_busy=False):
        self.player, self.namespace, self.port, self.path = player, namespace, port, path
        self.request = (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                        f"Connection: close\r\n\r\n{body}").encode()
        self.timeout_s, self.least_busy = timeout_s, least_busy
        self.planned, self.under_way = collections.deque(), collections.Counter()
        self.rate, self.arrived, self.held, self.active = 0.0, 0, 0, 0
        self.done = []
        self.stopping = False
        self.loop = asyncio.new_event_loop()
        self._bound = threading.Event()
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()
        self._bound.wait(10)

    def demand(self):
        return {"url": self.url, "interval": "1s", "requestsTotal": "gateway_requests_total", "waiting": "gateway_requests_held"}

    def _main(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._run())

    async def _run(self):
        server = await asyncio.start_server(self._page, GATEWAYS, 0)
        self.url = f"http://{GATEWAYS}:%d/metrics" % server.sockets[0].getsockname()[1]
        self._bound.set()
        tasks, due = set(), time.monotonic()

        def send(began):
            self.arrived += 1
            task = self.loop.create_task(self._send(self.arrived, began))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        while not self.stopping:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            if self.rate <= 0:
                due = now
            while self.rate > 0 and due <= now:
                due += 1 / self.rate
                send(now)
            while self.planned and self.planned[0] <= now:
                send(self.planned.popleft())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()

    async def _page(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        text = ("# TYPE gateway_requests_total counter\n" f"gateway_requests_total {self.arrived}\n"
                "# TYPE gateway_requests_held gauge\n" f"gateway_requests_held {self.held}\n"
                "# TYPE gateway_requests_active gauge\n" f"gateway_requests_active {self.active}\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text)}\r\n"
                     f"Connection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    def _ready(self):
        return sorted(p.address for p in self.player.of(self.namespace) if p.uid in self.player.ready_at and not p.gone.is_set())

    async def _send(self, number, began):
        status = 0
        try:
            status = await asyncio.wait_for(self._ask(number), self.timeout_s)
        except (OSError, IndexError, ValueError, asyncio.TimeoutError):
            pass
        finally:
            self.done.append((began, time.monotonic() - began, status))

    async def _ask(self, number):
        """The status of the answer."""
        self.held += 1
        try:
            while not (ready := self._ready()):
                await asyncio.sleep(0.05)
        finally:
            self.held -= 1
        turn = number % len(ready)
        address = min(ready[turn:] + ready[:turn], key=lambda a: self.under_way[a] if self.least_busy else 0)
        self.active += 1
        self.under_way[address] += 1
        writer = None
        try:
            reader, writer = await asyncio.open_connection(address, self.port)
            writer.write(self.request)
            return int((await reader.read()).split(b" ", 2)[1])
        finally:
            self.active -= 1
            self.under_way[address] -= 1
            if writer:
                writer.close()

    def play(self, times):
        """Requests at these times (monotonic seconds)."""
        self.planned.extend(times)

    def stop(self):
        self.stopping = True
        self.thread.join(10)




class Rig:
    """What stands around scaled services: certificates, nodes whose agents trust the scaler, gateways, and the scaler that start()
    starts. A module derives its own; all of it ends with stop()."""

    def __init__(self, plane, nodes=2, gpus=8, agent_flags=(), gateways=("gateway",)):
        self.plane, self.scaler = plane, None
        self.certificates = Certificates(plane)
        self.player = Player(plane, nodes=nodes, gpus=gpus, agent_flags=[*self.certificates.agent_flags(), *agent_flags]).start()
        self.player.agent_service(AGENTS)
        self.gateways = {name: Gateway(self.player, "none") for name in gateways}
        self.gateway = self.gateways[gateways[0]]

    def start(self, **more):
        """The scaler, with these sections in its configuration."""
        self.scaler = Scaler(self.plane, self.certificates, **more)
        self.scaler.start()

    def ready(self, namespace):
        """Its pods that are ready and are not told to end."""
        return [p for p in self.player.of(namespace) if p.uid in self.player.ready_at and not p.gone.is_set()]

    def log(self):
        return self.scaler.process.log.read_text(errors="replace")

    def stop(self):
        if self.scaler:
            self.scaler.process.stop()
        for gateway in self.gateways.values():
            gateway.stop()
        self.player.stop()
