# SPDX-License-Identifier: Apache-2.0
"""Plays the kubelets of a Plane: each node is a Node object with 8 GPUs, a Lease that is renewed, a pod-resources socket, a page of
what its pods use (kubelet_page.py) and a real `gpuscale-agent` on the node's IP that reads 8 simulated GPUs; each pod that the real
scheduler binds there gets its own pod IP, GPUs and real processes, one for each container whose image starts with `gpuscale`:

    image: gpuscale                      # the programs of the build; args are those of `gpuscale`, command may say gpuscale-agent
    args: [engine, --listen, "$(POD_IP):8000", --profile, classic, --load-time, 3s]
    env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    readinessProbe: {httpGet: {path: /ready, port: 8000}, periodSeconds: 1}
    resources: {limits: {nvidia.com/gpu: 1}}

An engine is told its GPUs and the node's load socket (--gpu, --load-socket), so that the agent sees the GPUs busy while it works
(not with the annotation gpuscale.test/gpu: idle).
A pod that mounts volumes or says a securityContext gets all of it (sandbox.py, volumes.py): a network and a root of its own.
Every other image is an object only. As a kubelet does: phase, conditions, podIP and containerStatuses are patched, readiness is
probed (httpGet, or a gRPC or TCP probe by connecting), a container that ended starts again, deletion is SIGTERM, grace, SIGKILL."""

import datetime
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import kubelet_kit
import sandbox
from harness import BUILD, find_program, http_get, metric_values, wait_until
from kubelet_page import PORT as KUBELET_PORT, KubeletPage
from plane import API_ADDRESS, API_PORT, ApiError, Process
from volumes import Volumes

STATUS_PATCH = "application/strategic-merge-patch+json"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Node:
    """Number i (from 1): node IP 10.244.254.i, pods 10.244.i.x."""

    def __init__(self, player, number, gpus, agent_flags):
        self.player, self.plane, self.number, self.gpus = player, player.plane, number, gpus
        self.with_agent = agent_flags is not None
        self.name, self.address = f"node-{number}", f"10.244.254.{number}"
        self.folder = player.folder / self.name
        self.folder.mkdir(exist_ok=True)
        self.lock = threading.Lock()
        self.next_ip = 1
        self.free = []  # (index, uuid)
        self.held = {}  # pod uid: (pod, {container: [(index, uuid)]})
        (self.folder / "pod-resources").mkdir(exist_ok=True)
        self.kubelet = kubelet_kit.Kubelet(player.api, self.folder / "pod-resources")
        self.page = None
        (self.folder / "gpus").mkdir(exist_ok=True)
        self.load_socket = self.folder / "gpus" / "load.sock"
        self.source = f"sim:{gpus},idle,seed={number},load={self.load_socket}"
        self.agent = Process(self.folder, "agent", [
            find_program("gpuscale-agent"), "--source", self.source, "--node-name", self.name, "--listen", f"{self.address}:9400", "--grpc-listen", f"{self.address}:9443",
            "--health-listen", f"{self.address}:9401", "--pod-resources", "on", "--pod-resources-socket", self.kubelet.path,
            "--pod-resources-interval", "1s", *(agent_flags or ())])

    def start(self):
        self.agent.start()
        page = wait_until(self._page, f"the agent of {self.name} tells {self.gpus} GPUs")
        self.free = sorted(page)
        if not self.with_agent:  # it only told the GPUs
            self.agent.stop()
        self._tell()
        self.page = KubeletPage(self.address, self.player.certificate, self._containers)
        self._register()

    def _page(self):
        status, _, page = http_get(f"http://{self.address}:9400/metrics")
        found = {(int(dict(k)["gpu"]), dict(k)["uuid"]) for k in metric_values(page, "gpuscale_gpu_info")}
        return found if status == 200 and len(found) == self.gpus else None

    def _containers(self):
        with self.player.lock:
            pods = [p for p in self.player.pods.values() if p.node is self]
        return [(p.pod["metadata"]["namespace"], p.pod["metadata"]["name"], name, proc.pid)
                for p in pods for name, process in list(p.processes.items()) if (proc := process.proc) and proc.poll() is None]

    def _register(self):
        resources = {"cpu": "64", "memory": "512Gi", "pods": "250", "nvidia.com/gpu": str(self.gpus)}
        self.plane.rest.call("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {
                "name": self.name, "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux",
                                              "kubernetes.io/arch": "amd64", "nvidia.com/gpu.present": "true"}}})
        condition = {"reason": "KubeletReady", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
        self.plane.patch(f"/api/v1/nodes/{self.name}/status", {"status": {
            "capacity": resources, "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": self.address}, {"type": "Hostname", "address": self.name}],
            "nodeInfo": {"kubeletVersion": "v1.37.2"}, "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            "conditions": [{"type": "Ready", "status": "True", **condition}]}}, STATUS_PATCH)
        self.renew()

    def renew(self):
        """The node's Lease: without it the controller manager calls the node lost."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": stamp}
        try:
            self.plane.patch(f"{path}/{self.name}", {"spec": spec})
        except ApiError as e:
            if e.code != 404:
                raise
            self.plane.rest.call("POST", path, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                                                "metadata": {"name": self.name}, "spec": spec})

    def take(self, pod, sandboxed):
        """(pod IP, {container: [(index, uuid)]}) for a pod that was bound here; None: GPUs are not free yet (as a kubelet's admission)."""
        wants = {c["name"]: int(c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0)) for c in pod["spec"]["containers"]}
        with self.lock:
            if sum(wants.values()) > len(self.free):
                return None
            given = {}
            for name, n in wants.items():
                given[name], self.free = self.free[:n], self.free[n:]
            address = self.address
            if not pod["spec"].get("hostNetwork"):
                address = f"10.{245 if sandboxed else 244}.{self.number}.{self.next_ip}"
                self.next_ip = self.next_ip % 250 + 1
            self.held[pod["metadata"]["uid"]] = (pod, given)
            self._tell()
            return address, given

    def give_back(self, uid):
        with self.lock:
            _, given = self.held.pop(uid, (None, {}))
            self.free = sorted(self.free + [gpu for gpus in given.values() for gpu in gpus])
            self._tell()

    def _tell(self):
        """What the kubelet lists; a real one has at least the agent's own pod, of a DaemonSet."""
        own = {"name": f"gpuscale-agent-{self.number}", "namespace": "gpuscale-agents", "containers": [{"name": "agent"}]}
        self.kubelet.set_answer({"podResources": [own] + [
            {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"], "containers": [
                {"name": c, "devices": [{"resourceName": "nvidia.com/gpu", "deviceIds": [uuid]} for _, uuid in gpus]}
                for c, gpus in given.items()]} for pod, given in self.held.values()]})

    def stop(self):
        self.agent.stop()
        self.kubelet.stop()
        if self.page:
            self.page.stop()


def sandboxed(pod):
    """Does it ask for more than a process? Its token is a volume, too; plain test pods do without."""
    return any(c["image"].startswith("gpuscale") and any(not m["mountPath"].startswith("/var/run/secrets/") for m in c.get("volumeMounts", []))
               for c in pod["spec"]["containers"])


class Sandbox(Process):
    """A container in a network and root of its own; each start makes both anew."""

    number = 0

    def __init__(self, pod, container, argv, env):
        super().__init__(pod.folder, container["name"], argv, env)
        self.pod, self.container = pod, container

    def start(self):
        context = {**self.pod.pod["spec"].get("securityContext", {}), **self.container.get("securityContext", {})}
        root = self.pod.folder / "root"
        root.mkdir(exist_ok=True)
        (ready, tell_ready), (go, tell_go) = os.pipe(), os.pipe()
        spec = self.pod.folder / f"{self.name}.json"
        spec.write_text(json.dumps({
            "root": str(root), "hostname": self.pod.pod["metadata"]["name"], "address": self.pod.address, "argv": self.argv, "env": self.env, "ready": tell_ready, "go": go,
            "read_only": context.get("readOnlyRootFilesystem", False), "drop": "ALL" in context.get("capabilities", {}).get("drop", []),
            "uid": context.get("runAsUser", 0), "mounts": self._mounts()}))
        with open(self.log, "ab") as out:
            self.proc = subprocess.Popen([sys.executable, sandbox.__file__, str(spec)], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                         pass_fds=(tell_ready, go))
        os.close(tell_ready)
        os.close(go)
        try:
            if os.read(ready, 1):
                Sandbox.number += 1
                sandbox.connect(self.proc.pid, Sandbox.number, self.pod.address)
                os.write(tell_go, b"x")
        finally:
            os.close(ready)
            os.close(tell_go)

    def _mounts(self):
        """The volumes, the programs of the build, and what a GPU's runtime adds: the simulated GPUs' socket."""
        mounts = [[str(BUILD), str(BUILD), True], [str(self.pod.node.folder / "gpus"), str(self.pod.node.folder / "gpus"), False]]
        for m in self.container.get("volumeMounts", []):
            source = self.pod.volumes.path(m["name"])
            mounts.append([str(source / m["subPath"] if m.get("subPath") else source), m["mountPath"], m.get("readOnly", False)])
        return mounts

    def cut_cable(self, up=False):
        sandbox.cut_cable(self.proc.pid, up)


class Pod:
    """One pod and its processes, on a thread of its own."""

    def __init__(self, player, node, pod):
        self.player, self.node, self.pod = player, node, pod
        meta = pod["metadata"]
        self.uid, self.path = meta["uid"], f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self.folder = player.folder / "pods" / f"{meta['namespace']}_{meta['name']}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.gone = threading.Event()    # deletion was asked for, or the object is away
        self.grace_s = 30
        self.processes, self.failures = {}, {}
        self.restarts = {c["name"]: 0 for c in pod["spec"]["containers"]}
        self.started_at = None
        self.address, self.given = None, {}
        self.volumes = Volumes(self) if sandboxed(pod) else None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def delete(self, grace_s):
        self.grace_s = min(self.grace_s, grace_s)
        self.gone.set()

    # --- the thread -----------------------------------------------------------------------------------------------------------
    def _run(self):
        while not (taken := self.node.take(self.pod, self.volumes is not None)):
            if self.gone.wait(0.1):
                return self._finish()
        self.address, self.given = taken
        try:
            if self.volumes:
                while not self.volumes.ready():  # a Secret that is not there yet
                    if self.gone.wait(0.5):
                        return
            for container in self.pod["spec"]["containers"]:
                self._spawn(container)
            self.started_at = now()
            self._live()
        finally:
            self._finish()

    def _live(self):
        """Probes and restarts until deletion; readiness is patched when it changes."""
        told, probed, good = None, {}, {}
        refreshed = time.monotonic()
        while not self.gone.is_set():
            if self.volumes and time.monotonic() - refreshed > 1:
                self.volumes.refresh()
                refreshed = time.monotonic()
            for container in self.pod["spec"]["containers"]:
                name = container["name"]
                process = self.processes.get(name)
                if process and not process.running():
                    self.restarts[name] += 1
                    good[name] = False
                    if self.gone.wait(min(1.0 * 2 ** self.restarts[name], 10)):
                        return
                    process.start()
                period = container.get("readinessProbe", {}).get("periodSeconds", 10)
                if time.monotonic() - probed.get(name, 0) >= period:
                    probed[name] = time.monotonic()
                    good[name] = self._probe(container, good.get(name, False))
            state = (dict(good), dict(self.restarts))
            if state != told and self._patch(good):
                told = state
            self.gone.wait(0.05)

    def _finish(self):
        end = time.monotonic() + self.grace_s
        for process in self.processes.values():
            if process.running():
                process.proc.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.stop(0, max(0.0, end - time.monotonic()))  # told already: a second SIGTERM would end it at once
        self.node.give_back(self.uid)
        self.player.forget(self)
        self.player.confirm_deletion(self.pod)

    def kill_container(self, sig=signal.SIGKILL):
        for process in self.processes.values():
            process.proc.send_signal(sig)

    # --- processes ------------------------------------------------------------------------------------------------------------
    def _spawn(self, container):
        if not container["image"].startswith("gpuscale"):
            return
        env = self._environment(container)
        argv = [re.sub(r"\$\((\w+)\)", lambda m: env.get(m[1], m[0]), a)
                for a in container.get("command", ["gpuscale"]) + container.get("args", [])]
        argv[0] = str(find_program(pathlib.Path(argv[0]).name))
        gpus = self.given[container["name"]]
        idle = self.pod["metadata"].get("annotations", {}).get("gpuscale.test/gpu") == "idle"
        if gpus and "engine" in argv and not idle:
            argv += ["--gpu", ",".join(str(i) for i, _ in gpus), "--load-socket", str(self.node.load_socket)]
        if argv[0].endswith("gpuscale-agent"):
            argv += ["--source", self.node.source]  # what would be the driver's library
        if self.volumes:
            process = Sandbox(self, container, argv, env)
        else:
            process = Process(self.folder, container["name"], argv, env)
        process.start()
        self.processes[container["name"]] = process

    def _environment(self, container):
        meta, env = self.pod["metadata"], {}
        if self.volumes:
            env = {"KUBERNETES_SERVICE_HOST": API_ADDRESS, "KUBERNETES_SERVICE_PORT": str(API_PORT), "PATH": "/usr/bin:/bin"}
        fields = {"status.podIP": self.address, "status.hostIP": self.node.address, "spec.nodeName": self.node.name,
                  "metadata.name": meta["name"], "metadata.namespace": meta["namespace"], "metadata.uid": self.uid}
        for one in container.get("env", []):
            field = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            env[one["name"]] = fields[field] if field else one.get("value", "")
        return env

    def _port(self, container, port):
        if isinstance(port, int):
            return port
        return next(p["containerPort"] for p in container.get("ports", []) if p["name"] == port)

    def _probe(self, container, was):
        """Ready again with the first success, not ready with the third failure (failureThreshold) in a row."""
        name = container["name"]
        if self._answers(container):
            self.failures[name] = 0
            return True
        self.failures[name] = self.failures.get(name, 0) + 1
        return was and self.failures[name] < container.get("readinessProbe", {}).get("failureThreshold", 3)

    def _answers(self, container):
        process = self.processes.get(container["name"])
        if process is None:
            return True
        probe = container.get("readinessProbe")
        if not probe:
            return process.running()
        http = probe.get("httpGet")
        port = self._port(container, (http or probe.get("tcpSocket") or probe.get("grpc"))["port"])
        try:
            if http:
                url = f"http://{self.address}:{port}{http.get('path', '/')}"
                with urllib.request.urlopen(url, timeout=probe.get("timeoutSeconds", 1)) as answer:
                    return answer.status < 400
            with socket.create_connection((self.address, port), probe.get("timeoutSeconds", 1)):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def _patch(self, good):
        ready = all(good.values())
        conditions = [{"type": t, "status": s, "lastTransitionTime": now()} for t, s in (
            ("PodReadyToStartContainers", "True"), ("Initialized", "True"), ("ContainersReady", str(ready)), ("Ready", str(ready)))]
        if not ready:
            for c in conditions[2:]:
                c["reason"] = "ContainersNotReady"
        statuses = [{"name": c["name"], "image": c["image"], "imageID": c["image"], "ready": good[c["name"]], "started": True,
                     "restartCount": self.restarts[c["name"]], "containerID": f"played://{self.uid}/{c['name']}",
                     "state": {"running": {"startedAt": self.started_at}}} for c in self.pod["spec"]["containers"]]
        try:
            self.player.plane.patch(self.path + "/status", {"metadata": {"uid": self.uid}, "status": {
                "phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": self.node.address,
                "startTime": self.started_at, "conditions": conditions, "containerStatuses": statuses}}, STATUS_PATCH)
        except ApiError as e:
            if e.code in (404, 409, 422):  # deleted, or another pod has the name
                self.gone.set()
            return e.code in (404, 409, 422)
        except OSError:
            return False
        if ready:
            self.player.ready_at.setdefault(self.uid, time.monotonic())
        return True


class Player:
    """`nodes` nodes with `gpus` GPUs each. agent_flags: more flags of every agent (mutual TLS, ...); None:
    nodes have no agent but what a DaemonSet puts there."""

    def __init__(self, plane, nodes=2, gpus=8, agent_flags=()):
        self.plane, self.folder = plane, plane.folder / "nodes"
        self.folder.mkdir(exist_ok=True)
        self.api = kubelet_kit.make_stub(self.folder)
        self.certificate = plane.certs.leaf("kubelets", ",".join(["DNS:kubelets", *(f"IP:10.244.254.{i}" for i in range(1, nodes + 1))]))
        self.nodes = {f"node-{i}": Node(self, i, gpus, agent_flags) for i in range(1, nodes + 1)}
        self.pods, self.lock, self.stopping = {}, threading.Lock(), False
        self.ready_at = {}  # pod uid: monotonic seconds when it was told ready

    def start(self):
        self.plane.adopt(self)
        for node in self.nodes.values():
            node.start()
        for run in (self._renew, self._watch):
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
        return self

    def agent_service(self, namespace="gpuscale", name="gpuscale-agent"):
        """A headless Service of the agents as a DaemonSet would have it, with an EndpointSlice of the nodes' agents."""
        self.plane.apply([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
             "spec": {"clusterIP": "None", "ports": [{"name": "grpc", "port": 9443}, {"name": "metrics", "port": 9400}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
             "endpoints": [{"addresses": [n.address], "conditions": {"ready": True}, "nodeName": n.name}
                           for n in self.nodes.values()],
             "ports": [{"name": "grpc", "port": 9443, "protocol": "TCP"}, {"name": "metrics", "port": 9400, "protocol": "TCP"}]}])

    def _renew(self):
        while not self.stopping:
            for node in self.nodes.values():
                try:
                    node.renew()
                except (ApiError, OSError):
                    pass  # the API server is away
            time.sleep(2)

    def _watch(self):
        def changed(kind, pod):
            node = self.nodes.get(pod["spec"].get("nodeName"))
            if not node:
                return
            uid = pod["metadata"]["uid"]
            with self.lock:
                known = self.pods.get(uid)
                if kind == "DELETED":
                    if known:
                        known.delete(0)
                elif pod["metadata"].get("deletionTimestamp"):
                    if known:
                        known.delete(pod["metadata"].get("deletionGracePeriodSeconds", 30))
                    else:  # it was deleted before it was seen
                        threading.Thread(target=self.confirm_deletion, args=(pod,), daemon=True).start()
                elif not known:
                    self.pods[uid] = Pod(self, node, pod)

        def listed(items):
            there = {p["metadata"]["uid"] for p in items}
            with self.lock:
                for uid, pod in self.pods.items():
                    if uid not in there:
                        pod.delete(0)

        self.plane.rest.watch("/api/v1/pods", lambda: self.stopping, changed, listed)

    def confirm_deletion(self, pod):
        """The last word of a kubelet: the object goes. It may be away already, or another may have its name."""
        meta = pod["metadata"]
        try:
            if not self.stopping:
                self.plane.rest.call("DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
                                     {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
        except (ApiError, OSError):
            pass

    def forget(self, pod):
        with self.lock:
            self.pods.pop(pod.uid, None)

    def of(self, namespace, prefix=""):
        """The played pods of a namespace whose names start with `prefix`."""
        with self.lock:
            return [p for p in self.pods.values() if p.pod["metadata"]["namespace"] == namespace
                    and p.pod["metadata"]["name"].startswith(prefix)]

    def stop(self):
        """A second time: nothing."""
        if self.stopping:
            return
        self.stopping = True
        with self.lock:
            pods = list(self.pods.values())
        for pod in pods:
            pod.delete(0)
        for pod in pods:
            pod.thread.join(10)
        for node in self.nodes.values():
            node.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
