# SPDX-License-Identifier: Apache-2.0
"""A real control plane with KEDA: etcd, kube-apiserver (RBAC, aggregation), kube-controller-manager, kube-scheduler, KEDA's operator
and metrics server, in one network namespace (netns.py), built by build.sh and started afresh for each test module.

    def test_x(plane):                              # the module's plane, from conftest.py
        ns = plane.namespace("team-a")              # a namespace for this test alone
        plane.apply(yaml_text_or_objects)           # server-side, strict validation
        plane.kubectl("get", "pods", "-n", ns)      # its output; plane.helm(...) likewise
        plane.get("/apis/apps/v1/namespaces/team-a/deployments/x")     # REST, for polling (None: not found)
        plane.wait_until(lambda: ..., "what is waited for")
        plane.user("tenant", groups=["team-a"])     # kubeconfig of a user; plane.service_account(ns, name) of an account

Names resolve as in a cluster (NAME.NAMESPACE.svc is the Service's ready endpoints); ClusterIPs lead nowhere (no kube-proxy). A
process of a test serves on any address of 10.244.0.0/16. Nothing runs pods by itself: player.py does."""

import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time

import yaml

import netns
from dns import Dns

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration"))
from harness import Certs, wait_until as harness_wait_until  # noqa: E402

API_ADDRESS, API_PORT = "10.244.255.1", 6443
ADAPTER_ADDRESS = "10.244.255.2"
OPERATOR_ADDRESS = "10.244.255.3"
QPS = ["--kube-api-qps=200", "--kube-api-burst=400"]
DEADLINE_S = float(os.environ.get("GPUSCALE_TEST_DEADLINE", "60"))


def build():
    """{name of a program: its path}, and crds, KEDA's folder of them; builds what is not in the cache."""
    out = subprocess.run([str(HERE / "build.sh")], stdout=subprocess.PIPE, text=True)
    if out.returncode != 0:
        raise AssertionError("tests/e2e/cluster/build.sh failed: its log is above")
    return {f.name: f for folder in out.stdout.split() for f in pathlib.Path(folder).iterdir()}


class ApiError(AssertionError):
    """An answer of the API server that is an error: `code` and the Status' message."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Process:
    """A program of the plane; its output goes to FOLDER/NAME.log, appended over restarts."""

    def __init__(self, folder, name, argv, env=None):
        self.name, self.argv, self.env = name, [str(a) for a in argv], env
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.proc = None
        self._lock = threading.RLock()

    def start(self):
        with self._lock, open(self.log, "ab") as out:
            self.proc = subprocess.Popen(self.argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                         env={**os.environ, **(self.env or {})}, cwd=self.log.parent)

    def stop(self, sig=signal.SIGTERM, deadline_s=20):
        with self._lock:
            if self.proc is None:
                return
            if self.proc.poll() is None:
                self.proc.send_signal(sig)
            try:
                self.proc.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
            self.proc = None

    def keep(self):
        """Started again where it ended by itself, as a kubelet does: a controller ends when the API server is away at its start."""
        with self._lock:
            if self.proc is not None and self.proc.poll() is not None:
                with open(self.log, "a") as out:
                    out.write(f"== ended with status {self.proc.returncode}, started again\n")
                self.start()

    def running(self):
        return self.proc is not None and self.proc.poll() is None


class Client:
    """REST with one identity; a connection a thread."""

    def __init__(self, ca, cert=None, key=None, token=None, address=(API_ADDRESS, API_PORT)):
        self.context = ssl.create_default_context(cafile=str(ca))
        if cert:
            self.context.load_cert_chain(str(cert), str(key))
        self.token, self.address = token, address
        self._local = threading.local()

    def _connection(self, fresh):
        connection = getattr(self._local, "connection", None)
        if fresh or connection is None:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPSConnection(*self.address, context=self.context, timeout=60)
            self._local.connection = connection
        return connection

    def request(self, method, path, body=None, kind="application/json"):
        """(code, bytes)."""
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = kind
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        for fresh in (False, True):  # a kept connection may have been closed
            try:
                connection = self._connection(fresh)
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                if fresh:
                    self._local.connection = None
                    raise
        raise AssertionError("not reached")

    def call(self, method, path, body=None, kind="application/json"):
        """The object of the answer; ApiError when it is none."""
        code, data = self.request(method, path, body, kind)
        if code >= 300:
            try:
                message = json.loads(data).get("message", "")
            except ValueError:
                message = data.decode("utf-8", "replace")
            raise ApiError(code, f"{method} {path}: {message}")
        return json.loads(data)

    def watch(self, path, stopped, on_event, on_list=None):
        """Lists `path` and follows it until stopped(); on_event(type, object). Reconnects as long as it takes."""
        while not stopped():
            try:
                listed = self.call("GET", path)
                if on_list:
                    on_list(listed["items"])
                for item in listed["items"]:
                    on_event("ADDED", item)
                self._follow(path, listed["metadata"]["resourceVersion"], stopped, on_event)
            except (OSError, http.client.HTTPException, ApiError, ValueError):
                time.sleep(0.1)  # the server is away

    def _follow(self, path, version, stopped, on_event):
        connection = http.client.HTTPSConnection(*self.address, context=self.context, timeout=60)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            join = "&" if "?" in path else "?"
            connection.request("GET", f"{path}{join}watch=1&allowWatchBookmarks=true&resourceVersion={version}", headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise ApiError(answer.status, answer.read().decode("utf-8", "replace"))
            while not stopped():
                line = answer.readline()
                if not line:
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] != "BOOKMARK":
                    on_event(event["type"], event["object"])
        finally:
            connection.close()


class Plane:
    """The control plane in `folder`. start() returns when KEDA's metrics API answers through the API server. hpa_flags: more of the
    controller manager's, without their common beginning (--horizontal-pod-autoscaler-)."""

    def __init__(self, folder, programs=None, keda=True, sync_period="2s", hpa_flags=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.programs = programs or build()
        self.with_keda, self.sync_period, self.hpa_flags = keda, sync_period, hpa_flags
        self.processes = {}
        self.adopted = []
        self.dns = None
        self._stopping = False
        self._threads = []
        self._namespaces = 0

    # --- start and stop -------------------------------------------------------------------------------------------------------
    def start(self):
        netns.enter(self.folder)
        self._make_certificates()
        self._etcd()
        self._api_server()
        self._spawn("kube-controller-manager", [
            f"--kubeconfig={self.user('system:kube-controller-manager')}", f"--authentication-kubeconfig={self.admin}",
            f"--authorization-kubeconfig={self.admin}", "--use-service-account-credentials", "--leader-elect=false",
            f"--horizontal-pod-autoscaler-sync-period={self.sync_period}",
            *[f"--horizontal-pod-autoscaler-{flag}" for flag in self.hpa_flags], f"--root-ca-file={self.certs.ca}",
            f"--service-account-private-key-file={self.folder / 'sa.key'}", "--bind-address=127.0.0.1", *QPS])
        self._spawn("kube-scheduler", [
            f"--kubeconfig={self.user('system:kube-scheduler')}", f"--authentication-kubeconfig={self.admin}",
            f"--authorization-kubeconfig={self.admin}", "--leader-elect=false", "--bind-address=127.0.0.1", *QPS])
        self._start_dns()
        if self.with_keda:
            self._keda()
        keeper = threading.Thread(target=self._keep, daemon=True)
        keeper.start()
        self._threads.append(keeper)
        return self

    def _keep(self):
        while not self._stopping:
            for process in list(self.processes.values()):
                process.keep()
            time.sleep(1)

    def _make_certificates(self):
        self.certs = Certs(self.folder / "certs", "cluster CA")
        front = Certs(self.folder / "front-proxy", "front-proxy CA")
        self.front_ca = front.ca
        self.front = front.leaf("front-proxy-client")
        self.server = self.certs.leaf(
            "kube-apiserver", f"IP:{API_ADDRESS},IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc")
        self.keda_certs = self.folder / "keda-certs"
        self.keda_certs.mkdir(exist_ok=True)
        keda = self.certs.leaf("keda", "DNS:keda-operator.keda.svc,DNS:localhost,DNS:keda-metrics-apiserver.keda.svc,"
                                       "DNS:keda-operator.keda.svc.cluster.local")
        for source, name in zip((self.certs.ca, *keda), ("ca.crt", "tls.crt", "tls.key")):
            shutil.copy(source, self.keda_certs / name)
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.folder / "sa.key"], check=True)
        subprocess.run(["openssl", "ec", "-in", self.folder / "sa.key", "-pubout", "-out", self.folder / "sa.pub"], check=True,
                       capture_output=True)
        cert, key = self.certs.leaf("admin", common_name="admin/O=system:masters")
        self.rest = Client(self.certs.ca, cert, key)
        self.admin = self._kubeconfig("admin", {"client-certificate": str(cert), "client-key": str(key)})

    def _kubeconfig(self, name, user):
        path = self.folder / f"{name.replace(':', '-').replace('/', '-')}.kubeconfig"
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"https://{API_ADDRESS}:{API_PORT}",
                                                   "certificate-authority": str(self.certs.ca)}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
        return path

    def _spawn(self, name, flags, program=None, env=None):
        process = Process(self.folder, name, [self.programs[program or name], *flags], env)
        process.start()
        self.processes[name] = process
        return process

    def _etcd(self):
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)
        self._spawn("etcd", [f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
                             "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                             "--listen-peer-urls=http://127.0.0.1:2380"], program="server")

    def _api_server(self):
        self._spawn("kube-apiserver", [
            "--etcd-servers=http://127.0.0.1:2379", f"--bind-address={API_ADDRESS}", f"--advertise-address={API_ADDRESS}",
            f"--secure-port={API_PORT}", f"--tls-cert-file={self.server[0]}", f"--tls-private-key-file={self.server[1]}",
            f"--client-ca-file={self.certs.ca}", "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'sa.pub'}", f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--enable-aggregator-routing",
            f"--requestheader-client-ca-file={self.front_ca}", "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-", f"--proxy-client-cert-file={self.front[0]}",
            f"--proxy-client-key-file={self.front[1]}", "--allow-privileged"])
        self.wait_ready()

    def wait_ready(self):
        self.wait_until(lambda: self._alive("etcd", "kube-apiserver") and self.rest.request("GET", "/readyz")[0] == 200,
                        "the API server is ready")

    def _alive(self, *names):
        for name in names:
            if not self.processes[name].running():
                raise RuntimeError(f"{name} has ended:\n{self.tail(name)}")
        return True

    def _start_dns(self):
        self.dns = Dns(netns.DNS)
        slices = {}

        def changed(kind, item):
            key = (item["metadata"]["namespace"], item["metadata"]["name"])
            if kind == "DELETED":
                slices.pop(key, None)
            else:
                slices[key] = item
            found = {}
            for (namespace, _), one in slices.items():
                service = (namespace, one["metadata"].get("labels", {}).get("kubernetes.io/service-name"))
                addresses = found.setdefault(service, [])
                for endpoint in one.get("endpoints") or []:
                    if endpoint.get("conditions", {}).get("ready") is not False:
                        addresses += endpoint["addresses"]
            self.dns.endpoints = found

        self.thread(lambda: self.rest.watch("/apis/discovery.k8s.io/v1/endpointslices", lambda: self._stopping, changed,
                                            on_list=lambda _: slices.clear()))

    def thread(self, run):
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _keda(self):
        crds = sorted(self.programs["crds"].glob("*.yaml"))
        self.kubectl("apply", "--server-side", *[a for c in crds for a in ("-f", c)])
        for resource in ("scaledobjects", "scaledjobs", "triggerauthentications", "clustertriggerauthentications"):
            self.wait_until(lambda: self.rest.request("GET", f"/apis/keda.sh/v1alpha1/{resource}")[0] == 200, f"{resource} are served")
        ca = base64.b64encode(self.certs.ca.read_bytes()).decode()
        self.apply([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "keda-metrics-apiserver", "namespace": "keda"},
             "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 6443}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {"name": "keda-metrics-apiserver-1", "namespace": "keda",
                          "labels": {"kubernetes.io/service-name": "keda-metrics-apiserver"}},
             "endpoints": [{"addresses": [ADAPTER_ADDRESS], "conditions": {"ready": True}}],
             "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}])
        self._spawn("keda-operator", [
            f"--kubeconfig={self.admin}", f"--cert-dir={self.keda_certs}", "--enable-cert-rotation=false", "--leader-elect=false",
            "--enable-webhook-patching=false", "--enable-apiservice-patching=false", "--metrics-bind-address=127.0.0.1:18080",
            "--health-probe-bind-address=127.0.0.1:18081", f"--metrics-service-bind-address={OPERATOR_ADDRESS}:9666",
            *QPS], program="operator", env=self._keda_env())
        self._spawn("keda-adapter", [
            "--secure-port=6443", f"--bind-address={ADAPTER_ADDRESS}", "--port=18082", f"--tls-cert-file={self.keda_certs / 'tls.crt'}",
            f"--tls-private-key-file={self.keda_certs / 'tls.key'}", f"--cert-dir={self.keda_certs}",
            f"--metrics-service-address={OPERATOR_ADDRESS}:9666", "--metrics-service-grpc-authority=keda-operator.keda.svc",
            *[f"--{kind}kubeconfig={self.admin}" for kind in ("", "authentication-", "authorization-", "lister-")]],
            program="adapter", env=self._keda_env())
        self.apply([{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                     "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
                     "spec": {"group": "external.metrics.k8s.io", "version": "v1beta1", "caBundle": ca, "groupPriorityMinimum": 100,
                              "versionPriority": 100, "service": {"name": "keda-metrics-apiserver", "namespace": "keda", "port": 443}}}])
        self.wait_until(lambda: self._alive(*self.processes)
                        and self.rest.request("GET", "/apis/external.metrics.k8s.io/v1beta1")[0] == 200,
                        "KEDA's metrics API answers")

    @staticmethod
    def _keda_env():
        return {"POD_NAMESPACE": "keda", "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda", "WATCH_NAMESPACE": "",
                "KEDA_SCALEDOBJECT_CTRL_MAX_RECONCILES": "20"}

    def stop(self):
        """Ends all by pid; etcd's data goes with them, so nothing has to be saved."""
        self._stopping = True
        for thing in reversed(self.adopted):
            thing.stop()
        for process in reversed(list(self.processes.values())):
            process.stop(signal.SIGKILL)
        if self.dns:
            self.dns.stop()
        for thread in self._threads:
            thread.join(10)
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def restart(self, name, sig=signal.SIGKILL):
        """Ends a program of the plane (kube-apiserver, keda-operator, ...) and starts it again as it was."""
        self.processes[name].stop(sig)
        self.processes[name].start()

    def adopt(self, thing):
        """What was started on this plane and has stop(): it ends before the plane does, also where the fixture that started it failed
        before it could yield."""
        self.adopted.append(thing)
        return thing

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        self.stop()

    # --- what tests use -------------------------------------------------------------------------------------------------------
    def wait_until(self, condition, what, deadline_s=DEADLINE_S, every_s=0.05):
        return harness_wait_until(condition, what, deadline_s, every_s)

    def tail(self, name, n=40):
        return "\n".join(self.processes[name].log.read_text(errors="replace").splitlines()[-n:])

    def kubectl(self, *args, stdin=None, check=True, kubeconfig=None):
        """Output of kubectl; with check=False (status, output, errors)."""
        return self._tool("kubectl", args, stdin, check, kubeconfig)

    def helm(self, *args, stdin=None, check=True, kubeconfig=None):
        """The same of helm."""
        return self._tool("helm", args, stdin, check, kubeconfig)

    def _tool(self, tool, args, stdin, check, kubeconfig):
        out = subprocess.run([str(self.programs[tool]), *[str(a) for a in args]], input=stdin, capture_output=True, text=True,
                             env={**os.environ, "KUBECONFIG": str(kubeconfig or self.admin), "HOME": str(self.folder)}, timeout=180)
        if not check:
            return out.returncode, out.stdout, out.stderr
        assert out.returncode == 0, f"{tool} {' '.join(map(str, args))}: {out.stderr}\n{out.stdout}"
        return out.stdout

    def apply(self, what, check=True):
        """YAML text or a list of objects: applied server-side, each field that the API does not know is an error."""
        if not isinstance(what, str):
            what = yaml.safe_dump_all(what if isinstance(what, list) else [what])
        return self.kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-", stdin=what, check=check)

    def namespace(self, name, **labels):
        """Makes the namespace NAME (unique by a number behind it) and returns its name."""
        self._namespaces += 1
        name = f"{name}-{self._namespaces}"
        self.rest.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                                      "metadata": {"name": name, "labels": labels}})
        self.wait_until(lambda: self.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"), f"namespace {name} is there")
        return name

    def get(self, path):
        """The object at a REST path; None when there is none."""
        try:
            return self.rest.call("GET", path)
        except ApiError as e:
            if e.code == 404:
                return None
            raise

    def items(self, path):
        return self.rest.call("GET", path)["items"]

    def patch(self, path, body, kind="application/merge-patch+json"):
        return self.rest.call("PATCH", path, body, kind)

    def delete(self, path, **options):
        """What is not there is deleted, too."""
        try:
            return self.rest.call("DELETE", path, options or None)
        except ApiError as e:
            if e.code != 404:
                raise
            return None

    def events(self, namespace, reason=None):
        return [e for e in self.items(f"/api/v1/namespaces/{namespace}/events") if reason is None or e.get("reason") == reason]

    def user(self, name, groups=()):
        """Path of a kubeconfig with a client certificate of this user."""
        cert, key = self.certs.leaf("user-" + name.replace(":", "-"), common_name="/".join([name, *[f"O={g}" for g in groups]]))
        return self._kubeconfig(name, {"client-certificate": str(cert), "client-key": str(key)})

    def token(self, namespace, name, seconds=3600, audiences=()):
        """A bound token of a service account."""
        spec = {"expirationSeconds": seconds, **({"audiences": list(audiences)} if audiences else {})}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return self.rest.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                             "spec": spec})["status"]["token"]

    def service_account(self, namespace, name):
        """Path of a kubeconfig with a token of this account (made where it is not there)."""
        if self.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}") is None:
            self.rest.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts",
                           {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        return self._kubeconfig(f"{namespace}-{name}", {"token": self.token(namespace, name)})

