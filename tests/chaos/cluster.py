# SPDX-License-Identifier: Apache-2.0
"""The real programs under chaos, and what Kubernetes would be around them: pods that come and go as the
decisions say, the files that tell of them, KEDA's polls and its open streams."""

import fcntl
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import harness  # noqa: E402
from scaler_kit import Keda  # noqa: E402
from truth import Pod, exporter_page  # noqa: E402

F_SETPIPE_SZ = 1031
KEEP_LINES = 400
NODES, GPUS = 4, 8
EXPORTER = NODES    # one node more: without an agent, its GPUs are read of a dcgm-exporter
ENGINE_INTERVAL_S = 1.0
SIM_S = 0.4  # how often GPUs are told their load


class Managed:
    """A program that is started again and again under one name. Its log goes through a small
    pipe, whose reader may stop; bytes and lines are counted, the last ones kept."""

    def __init__(self, name, argv):
        self.name, self.argv = name, [str(a) for a in argv]
        self.proc, self.started_at, self.stopped, self.runs = None, 0.0, False, 0
        self.tail, self.bytes, self.lines, self.seconds = [], 0, 0, {}
        self.reading = threading.Event()
        self.reading.set()
        self.blind = False

    def start(self, argv=None):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, F_SETPIPE_SZ, 16384)
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "exitcode=99:quarantine_size_mb=4")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
        self.proc = subprocess.Popen(argv or self.argv, stderr=writer, stdout=subprocess.DEVNULL,
                                     stdin=subprocess.DEVNULL, env=env)
        os.close(writer)
        self.reading.set()
        self.blind = False
        self.started_at, self.stopped = time.monotonic(), False
        self.runs += 1
        self.reader = threading.Thread(target=self.read, args=(reader,), daemon=True)
        self.reader.start()

    def read(self, fd):
        """A reader whose log is closed for it (blind) ends; the program's writes fail from then on."""
        rest = b""
        try:
            while True:
                self.reading.wait()
                if self.blind:
                    return
                data = os.read(fd, 65536)
                if not data:
                    return
                self.bytes += len(data)
                *lines, rest = (rest + data).split(b"\n")
                self.lines += len(lines)
                second = int(time.monotonic())
                self.seconds[second] = self.seconds.get(second, 0) + len(lines)
                self.tail = (self.tail + [x.decode("utf-8", "replace") for x in lines])[-KEEP_LINES:]
        finally:
            os.close(fd)

    def close_log(self):
        self.blind = True

    def signal(self, number):
        if self.proc.poll() is None:
            self.proc.send_signal(number)

    def stop(self):
        self.stopped = True
        self.signal(signal.SIGSTOP)

    def go_on(self):
        self.signal(signal.SIGCONT)
        self.stopped = False

    def kill(self):
        self.stopped = True
        self.signal(signal.SIGKILL)
        self.proc.wait()

    def end(self, deadline_s):
        """SIGTERM: the exit status, or None when it did not end in time."""
        self.reading.set()
        self.go_on()
        self.signal(signal.SIGTERM)
        try:
            status = self.proc.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.reader.join(5)
        return status

    def running_for_s(self):
        """0 while it is stopped or dead."""
        if self.stopped or self.proc is None or self.proc.poll() is not None:
            return 0.0
        return time.monotonic() - self.started_at

    def size(self):
        """(resident bytes, threads, descriptors)"""
        status = dict(line.split(":", 1) for line in open(f"/proc/{self.proc.pid}/status"))
        return (int(status["VmRSS"].split()[0]) * 1024, int(status["Threads"]),
                len(os.listdir(f"/proc/{self.proc.pid}/fd")))

    def crashed(self):
        return None if self.proc is None else self.proc.poll() if not self.stopped else None


GIVEN = set()  # ports, each once a process: who was given one may not have taken it yet


def ports(n):
    """Ports below those that the kernel gives to others: a program that is started again finds its own."""
    found, rng = [], random.SystemRandom()
    while len(found) < n:
        port = rng.randrange(12000, 32000)
        if port in GIVEN:
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        GIVEN.add(port)
        found.append(f"127.0.0.1:{port}")
    return found


class Node(Managed):
    """One agent with simulated GPUs, whose load a datagram socket tells."""

    def __init__(self, folder, index, seed, tls):
        self.index, self.node = index, f"node-{index}"
        self.grpc, self.http, self.health = ports(3)
        self.config, self.load = folder / f"{self.node}.yaml", folder / f"{self.node}.load"
        self.seed = seed + index
        super().__init__(f"agent {index}", [
            harness.find_program("gpuscale-agent"), "--source", self.source(), "--node-name", self.node,
            "--interval", "500ms", "--listen", self.http, "--grpc-listen", self.grpc,
            "--health-listen", self.health, "--dcgm", "on", "--config", self.config,
            *[f"--grpc-tls-{k}={v}" for k, v in (tls or {}).items()]])

    def source(self, scenario="idle"):
        return f"sim:{GPUS},{scenario},seed={self.seed},load={self.load}"

    def start(self, scenario=None):
        self.load.unlink(missing_ok=True)
        argv = list(self.argv)
        if scenario:
            argv[argv.index("--source") + 1] = self.source(scenario)
        super().start(argv)

    def tell(self, sock, busy):
        """Best effort: a stopped agent's socket fills, a dead one's is not there."""
        text = "".join(f"gpu={g} busy={busy.get(g, 0):.4f} ttl_ms=600000\n" for g in range(GPUS))
        try:
            sock.sendto(text.encode(), str(self.load))
        except OSError:
            pass


class Stream:
    """KEDA's StreamIsActive for one object, opened again when it ends."""

    def __init__(self, keda, rule, closing):
        self.keda, self.rule, self.closing = keda, rule, closing
        self.pushed, self.ends, self.opened_at, self.call = [], {}, 0.0, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.closing.is_set():
            try:
                self.call = self.keda.stream("StreamIsActive", name=self.rule.name,
                                             metadata=self.rule.metadata)
                self.opened_at = time.monotonic()
                for message in self.call:
                    self.pushed.append((time.monotonic(), message.result))
                    del self.pushed[:-500]
                end = "OK"
            except grpc.RpcError as e:
                end = e.code().name
            except ValueError:  # the channel is closed
                end = "CANCELLED"
            self.ends[end] = self.ends.get(end, 0) + 1
            self.last_end = end
            self.closing.wait(0.5)


OPTIONS = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1000),
           ("grpc.min_reconnect_backoff_ms", 200), ("grpc.keepalive_time_ms", 10000),
           ("grpc.keepalive_timeout_ms", 5000), ("grpc.use_local_subchannel_pool", 1)]


class Cluster:
    """Nodes, scaler, workloads' pods and files. A thread plays routers, kubelets and HPAs."""

    def __init__(self, folder, world, loop, wire, seed, tls=None):
        self.folder, self.world, self.loop, self.wire = folder, world, loop, wire
        self.seed, self.tls = seed, tls
        self.rng = random.Random(f"{seed}/cluster")
        self.closing, self.frozen = threading.Event(), threading.Event()
        self.free = [(n, g) for g in range(GPUS) for n in range(NODES + 1)]
        self.specs = {}     # what each workload's replicas were, with times
        self.files_bad = set()
        self.errors = []
        self.lies = {}      # workload -> what its GPUs are told instead: the oracle's own test
        files = {k: str(v) for k, v in tls.items()} if tls else None
        self.nodes = [Node(folder, i, seed % 10000 * 10, files) for i in range(NODES)]
        self.links = [wire.Proxy(loop, n.grpc, wire.rng_of(seed, f"link {n.index}"))
                      for n in self.nodes]
        self.exporter = wire.Endpoint(loop, self.exporter_text, wire.rng_of(seed, "exporter"))
        self.gateways = {w.name: wire.Endpoint(loop, lambda w=w: world.gateway_page(w),
                                               wire.rng_of(seed, f"gateway {w.name}"))
                         for w in world.workloads.values() if w.rule.demand}
        self.grpc, self.http, self.health = ports(3)
        self.keda_link = wire.Proxy(loop, self.grpc, wire.rng_of(seed, "keda"))
        self.scaler = Managed("scaler", [harness.find_program("gpuscale"), "scaler", "--config",
                                         folder / "scaler.yaml"])
        with world.lock:
            for w in world.workloads.values():
                for _ in range(w.spec):
                    pod = self.add_pod(w, world.now)
                    pod.state, pod.ready_at = "ready", world.now
        self.write_config(files)
        self.write_files()

    def write_config(self, tls):
        config = {
            "grpc": {"listen": self.grpc, **({"tls": tls} if tls else {})},
            "http": {"listen": self.http}, "health": {"listen": self.health},
            "workloads": str(self.folder / "workloads.yaml"),
            "engines": {"interval": f"{ENGINE_INTERVAL_S:.0f}s"},
            "agents": {"targets": [link.addr for link in self.links],
                       **({"tls": {**tls, "serverName": "localhost"}} if tls else {})},
            "exporters": {"targets": [self.exporter.addr], "interval": "1s", "collectInterval": "1s"},
            "demand": {f"gateway-{name}": {
                "url": f"http://{e.addr}/metrics",
                "requestsTotal": f'gateway_requests_total{{service="{name}"}}'}
                for name, e in self.gateways.items()}}
        (self.folder / "scaler.yaml").write_text(json.dumps(config))

    # --- pods

    def add_pod(self, w, now):
        node, gpu = self.free.pop(0)
        w.serial += 1
        pod = Pod(f"{w.name}-{w.serial}", node, gpu, now)
        pod.endpoint = self.wire.Endpoint(self.loop, lambda: self.world.page(w, pod),
                                          self.wire.rng_of(self.seed, pod.name))
        pod.ready_due = now + self.rng.uniform(2, 6)
        w.pods.append(pod)
        return pod

    def reconcile(self, w, now):
        """What the ReplicaSet and kubelets do in a moment. True: something changed."""
        before = [(p.name, p.state) for p in w.pods]
        alive = [p for p in w.pods if p.state != "terminating"]
        for p in sorted(alive, key=lambda p: (p.state == "ready", -p.state_at))[:max(
                0, len(alive) - w.spec)]:
            p.state, p.state_at, p.gone_due = "terminating", now, now + self.rng.uniform(1, 4)
        for _ in range(w.spec - len(alive)):
            if self.free:
                self.add_pod(w, now)
        for p in list(w.pods):
            if p.state == "starting" and now >= p.ready_due:
                p.state, p.state_at, p.ready_at = "ready", now, now
            if p.state == "terminating" and now >= p.gone_due:
                w.pods.remove(p)
                self.free.append((p.node, p.gpu))
                p.endpoint.close()
        return before != [(p.name, p.state) for p in w.pods]

    def pods_text(self):
        def row(p):
            started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(p.started))
            return {"name": p.name, "state": p.state, "address": p.endpoint.addr, "startedAt": started}
        return json.dumps({"workloads": [
            {"namespace": "default", "target": f"deployment/{w.name}", "scaledObjects": [w.name],
             "replicas": w.spec, "pods": [row(p) for p in w.pods]}
            for w in self.world.workloads.values()]})

    def replace(self, path, text):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.replace(fresh, path)

    def write_files(self):
        with self.world.lock:
            if "workloads" not in self.files_bad:
                self.replace(self.folder / "workloads.yaml", self.pods_text())
            for node in self.nodes:
                owners = [{"gpu": p.gpu, "namespace": "default", "pod": p.name, "container": "main"}
                          for w in self.world.workloads.values() for p in w.pods
                          if p.node == node.index]
                if f"agent {node.index}" not in self.files_bad:
                    self.replace(node.config, json.dumps({"pods": owners}))
                if node.proc is not None:
                    node.signal(signal.SIGHUP)

    def exporter_text(self):
        with self.world.lock:
            now = self.world.advance()
            pods = {p.gpu: (p.name, self.lies.get(w.name, p.busy))
                    for w in self.world.workloads.values() for p in w.pods if p.node == EXPORTER}
        return exporter_page(pods, GPUS, now)

    # --- the player

    def start(self, folder):
        for n in self.nodes:
            n.start()
        self.scaler.start()
        credentials = None
        if self.tls:
            credentials = grpc.ssl_channel_credentials(
                self.tls["ca"].read_bytes(), self.tls["key"].read_bytes(),
                self.tls["cert"].read_bytes())
        more = [("grpc.ssl_target_name_override", "localhost")] if self.tls else []
        rules = [w.rule for w in self.world.workloads.values()]
        self.keda = Keda(self.keda_link.addr, folder, credentials, [*OPTIONS, *more])
        self.direct = Keda(self.grpc, folder, credentials, [*OPTIONS, *more])
        self.streams = {r.name: Stream(self.keda, r, self.closing) for r in rules}
        self.threads = [threading.Thread(target=self.guarded, args=(f,), daemon=True)
                        for f in (self.play, self.tell_gpus, *[lambda r=r: self.poll(r) for r in rules])]
        for t in self.threads:
            t.start()

    def guarded(self, run):
        try:
            run()
        except Exception as e:  # the test itself is broken: say so, do not look alive
            self.errors.append(repr(e))
            raise

    def tell_gpus(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        while not self.closing.wait(SIM_S):
            with self.world.lock:
                self.world.advance()
                busy = {}
                for w in self.world.workloads.values():
                    for p in w.pods:
                        busy.setdefault(p.node, {})[p.gpu] = self.lies.get(w.name, p.busy)
            for n in self.nodes:
                n.tell(sock, busy.get(n.index, {}))
        sock.close()

    def play(self):
        while not self.closing.wait(0.2):
            if self.files_bad or self.frozen.is_set():
                continue  # what nobody can tell the scaler does not happen
            with self.world.lock:
                now = self.world.advance()
                changed = [self.reconcile(w, now) for w in self.world.workloads.values()]
            specs = {w.name: w.spec for w in self.world.workloads.values()}
            if any(changed) or specs != self.specs:
                self.specs = specs
                self.write_files()

    def poll(self, rule):
        """KEDA and the HPA of one object: each second, through the link that may be broken."""
        w, idle_since, human_due = self.world.workloads[rule.name], None, time.monotonic() + 20
        while not self.closing.wait(1.0):
            now = time.monotonic()
            if self.files_bad or self.frozen.is_set():
                continue
            code, active = self.keda.code(self.keda.active, name=rule.name, metadata=rule.metadata)
            if code != "OK":
                continue
            if rule.observe:  # a person sets the count
                if now > human_due:
                    w.spec, human_due = self.rng.randint(1, rule.most), now + 30
                continue
            if rule.least == 0 and not active:
                idle_since = idle_since or now
                if now - idle_since > 8:
                    w.spec = 0
                continue
            idle_since = None
            if w.spec == 0:
                if self.closing.wait(3):  # a push must be seen first, by the one who checks that
                    return
                w.spec = 1
            try:
                wanted = self.keda.replicas(name=rule.name, metadata=rule.metadata)
            except grpc.RpcError:
                continue  # currentReplicasIfHigher
            w.spec = min(rule.most, max(1, wanted))

    def close(self):
        self.closing.set()
        for t in self.threads:
            t.join(10)
        for s in self.streams.values():
            if s.call is not None:
                s.call.cancel()
        self.keda.close()
        self.direct.close()
