# SPDX-License-Identifier: Apache-2.0
"""The Helm chart (deploy/helm/gpuscale) before real judges: helm, and an API server that validates every field, admits pods by Pod
Security and enforces RBAC, with the CRDs of KEDA, cert-manager and the Prometheus operator. What is installed then runs: the real
scaler and agent with the configuration, certificates and service account that the chart gives their pods, on these pods' addresses.
The audit log says which rights the scaler used: each one that is granted must be needed, and none may be missing."""

import base64
import json
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

import test_deploy  # tests/integration
from harness import find_program, http_get, metric_values
from plane import HERE, Plane, Process
from player import Player
from workloads import engine_deployment

ROOT = HERE.parents[2]
CHART = ROOT / "deploy/helm/gpuscale"
NS, AGENTS = "gpuscale", "gpuscale-agents"
ACCOUNT = f"system:serviceaccount:{NS}:gpuscale-scaler"

MONITORING = ["monitoring.serviceMonitor.enabled=true", "monitoring.podMonitor.enabled=true",
              "monitoring.prometheusRule.enabled=true", "monitoring.dashboards.enabled=true", "monitoring.labels.release=prometheus"]
CERT_MANAGER = ["tls.source=certManager", "tls.certManager.issuerRef.name=gpuscale"]
TARGETS = ["scaler.scaleTargets[0].apiGroup=leaderworkerset.x-k8s.io", "scaler.scaleTargets[0].resource=leaderworkersets"]

# Settings with which the whole chart must be good: each way to the GPUs, each source of certificates, everything on and all off.
VALUES = {
    "defaults": [],
    "cdi": ["agent.gpuAccess=cdi"],
    "draAdminAccess": ["agent.gpuAccess=draAdminAccess"],
    "volumeMount": ["agent.gpuAccess=volumeMount"],
    "hostPathPrivileged": ["agent.gpuAccess=hostPathPrivileged", "agent.seLinuxOptions.type=spc_t"],
    "exporter": ["agent.gpuAccess=none", "scaler.config.exporters.targets={dcgm-exporter.gpu-operator.svc:9400}"],
    "simulated": ["agent.source=sim:8\\,ramp", "agent.podProcesses=true", "agent.metrics.tls=false"],
    "cert-manager": CERT_MANAGER + ["metricsAPI.enabled=true"],
    "everything": MONITORING + TARGETS + [
        "namespace.create=true", "metricsAPI.enabled=true", "metricsAPI.caBundle=PEM", "networkPolicy.prometheusNamespaces={*}",
        "image.pullSecrets[0].name=registry", "image.digest=sha256:" + "0" * 64, "scaler.secret=tokens", "scaler.webConfigSecret=web", "scaler.podLabels.team=ml",
        "scaler.podAnnotations.a=b", "scaler.serviceAnnotations.a=b", "scaler.nodeSelector.pool=system", "agent.podAnnotations.a=b",
        "scaler.tolerations[0].operator=Exists", "agent.metrics.dcgm=off", "agent.metrics.webConfigSecret=web",
        "monitoring.podMonitor.basicAuthSecret=web-users", "monitoring.serviceMonitor.basicAuthSecret=web-users", "scaler.config.tick=2s",
        "scaler.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=gpu",
        "scaler.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator"
        "=DoesNotExist"],
    "little": ["keda.enabled=false", "networkPolicy.enabled=false", "priorityClass.create=false", "priorityClass.name=",
               "scaler.podDisruptionBudget.enabled=false", "scaler.replicas=1", "scaler.events=false", "agent.createNamespace=false"],
}


def flags(values):
    return [f for v in values for f in ("--set", v)]


class Audited(Plane):
    """A plane whose API server writes down what the scaler asks."""

    def _spawn(self, name, argv, program=None, env=None):
        if name == "kube-apiserver":
            policy = self.folder / "audit-policy.yaml"
            policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
                {"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}]}))
            argv = [*argv, f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
        return super()._spawn(name, argv, program, env)

    @property
    def audit_log(self):
        return self.folder / "audit.log"

    def audit(self):
        """(verb, group, resource[/subresource], namespace or "", code) of each request of the scaler's account."""
        found = set()
        for line in self.audit_log.read_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the last line is being written
            ref = event.get("objectRef")
            if ref:
                resource = ref["resource"] + ("/" + ref["subresource"] if ref.get("subresource") else "")
                found.add((event["verb"], ref.get("apiGroup", ""), resource, ref.get("namespace", ""),
                           event.get("responseStatus", {}).get("code", 0)))
        return found


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    with Audited(tmp_path_factory.mktemp("plane"), programs) as plane:
        folders = subprocess.run([HERE / "crds/fetch.sh"], check=True, capture_output=True, text=True).stdout.split()
        files = [f for folder in folders for f in sorted(pathlib.Path(folder).glob("*.yaml"))]
        plane.kubectl("apply", "--server-side", *[a for f in files for a in ("-f", f)])
        for path in ("/apis/cert-manager.io/v1/certificates", "/apis/monitoring.coreos.com/v1/prometheusrules",
                     "/apis/monitoring.coreos.com/v1/podmonitors", "/apis/monitoring.coreos.com/v1/servicemonitors"):
            plane.wait_until(lambda: plane.rest.request("GET", path)[0] == 200, f"{path} is served")
        # The scaler's namespace as docs/install.md labels it; the GPU operator's RuntimeClass.
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS, "labels": {
                        f"pod-security.kubernetes.io/{m}": "restricted" for m in ("enforce", "warn", "audit")}}},
                     {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}])
        yield plane


def test_lint_and_refusals(plane):
    for name, values in VALUES.items():
        out = plane.helm("lint", "--strict", CHART, *flags(values))
        assert "0 chart(s) failed" in out, (name, out)
    for wrong, said in [
            ("agnet.source=auto", "additional properties 'agnet' not allowed"),
            ("scaler.replica=3", "additional properties 'replica' not allowed"),
            ("scaler.config.exporters.target=x", "additional properties 'target' not allowed"),
            ("agent.tolerations[0].efect=NoSchedule", "additional properties 'efect' not allowed"),
            ("agent.gpuAccess=magic", "/agent/gpuAccess"),
            ("agent.source=nvidia", "/agent/source"),
            ("scaler.replicas=0", "/scaler/replicas"),
            ("tls.source=self", "/tls/source"),
            ("tls.source=certManager", "tls.certManager.issuerRef.name says which issuer signs"),
            ("agent.gpuAccess=none", "scaler.config.exporters.targets says which GPU exporter"),
            ("metricsAPI.enabled=true", "metricsAPI.caBundle is the authority")]:
        status, _, err = plane.helm("template", "gpuscale", CHART, "--set", wrong, check=False)
        assert status != 0 and said in err, (wrong, err)


def test_the_plain_manifests_are_what_the_chart_renders(plane, tmp_path):
    subprocess.run([ROOT / "scripts/manifests.sh", plane.programs["helm"], tmp_path], check=True)
    rendered = {f.name: f.read_text() for f in tmp_path.iterdir()}
    committed = {f.name: f.read_text() for f in (ROOT / "deploy/manifests").iterdir()}
    assert rendered == committed, "the chart has changed: `make manifests`"


@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_accepted(plane, name):
    """By the API server, which refuses a field that it does not know."""
    text = plane.helm("template", "gpuscale", CHART, "--namespace", NS, *flags(VALUES[name]))
    objects = [o for o in yaml.safe_load_all(text) if o]
    kinds = {o["kind"] for o in objects}
    # A dry run makes no namespace: the agents' as the chart has it (DRA's adminAccess looks at its labels).
    plane.apply([o for o in objects if o["kind"] == "Namespace" and o["metadata"]["name"] == AGENTS]
                or [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENTS}}])
    assert {"Deployment", "ClusterRole", "ConfigMap"} <= kinds
    if name == "everything":
        assert {"DaemonSet", "APIService", "ServiceMonitor", "PodMonitor", "PrometheusRule", "NetworkPolicy", "PodDisruptionBudget",
                "ClusterTriggerAuthentication", "PriorityClass", "Namespace"} <= kinds
    if name == "cert-manager":
        assert "Certificate" in kinds
    status, out, err = plane.kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server", "-f", "-",
                                     stdin=text, check=False)
    assert status == 0, err
    assert "arning" not in err, err


def test_the_installation_guide_s_commands_and_objects_are_good(plane, tmp_path):
    """docs/install.md: each helm command renders with the chart as it is, each ScaledObject is accepted."""
    text = (ROOT / "docs/install.md").read_text()
    commands = re.findall(r"^helm (?:install|upgrade --install) gpuscale (.*)$", text, re.M)
    assert len(commands) >= 4
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki/ca.crt").write_text("PEM")
    for command in commands:
        args = [a.replace("pki/", f"{tmp_path}/pki/") for a in shlex.split(command) if a != "--reset-then-reuse-values"]
        plane.helm("template", "gpuscale", *[CHART if a == "deploy/helm/gpuscale" else a for a in args])
    rows = re.findall(r"^\|[^|]*\| (`[a-z]+\.[^|]*) \|$", text, re.M)  # the table of settings
    assert len(rows) >= 5
    for row in rows:
        values = [v for v in re.findall(r"`([a-zA-Z.]+=[^`]*)`", row)]
        assert values, row
        plane.helm("template", "gpuscale", CHART, *flags(values))
    found = [o for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S) for o in yaml.safe_load_all(block) if "kind" in o]
    assert [o["kind"] for o in found] == ["ScaledObject"]
    for o in found:
        o["metadata"]["namespace"] = "default"
    plane.kubectl("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(found))
    guide = (ROOT / "docs/guide.md").read_text()
    for block in re.findall(r"^```yaml\n# values.yaml(.*?)^```", guide, re.M | re.S):
        (tmp_path / "values.yaml").write_text("# " + block)
        plane.helm("template", "gpuscale", CHART, "--values", tmp_path / "values.yaml")


def test_a_field_that_the_api_does_not_know_is_refused(plane):
    """The judge of the test above can say no."""
    text = plane.helm("template", "gpuscale", CHART, "--namespace", NS).replace("minAvailable:", "minAvailble:")
    status, _, err = plane.kubectl("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", stdin=text, check=False)
    assert status != 0 and "minAvailble" in err, err


# --- installed --------------------------------------------------------------------------------------------------------------------
class Kubelet:
    """What a kubelet does with one of the chart's pods: its volumes as files, its arguments, on its address."""

    def __init__(self, plane, player, pod):
        self.plane, self.player, self.pod = plane, player, pod
        self.name, self.namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self.address = pod["status"]["podIP"]
        self.folder = plane.folder / "chart-pods" / self.name
        self.mounts = {}
        container = pod["spec"]["containers"][0]
        for mount in container["volumeMounts"]:
            volume = [v for v in pod["spec"]["volumes"] if v["name"] == mount["name"]]
            if volume and "projected" not in volume[0]:  # that is the account's token: KUBECONFIG below
                self.mounts[mount["mountPath"]] = self._files(volume[0], mount.get("subPath"))
        for path in self.folder.rglob("*.yaml"):
            path.write_text(re.sub(r"listen: :(\d+)", rf'listen: "{self.address}:\1"', self._local(path.read_text())))
        env = {"POD_IP": self.address, "POD_NAME": self.name, "NODE_NAME": pod["spec"]["nodeName"], "HOST_IP": pod["status"]["hostIP"]}
        argv = [re.sub(r"\$\((\w+)\)", lambda m: env[m.group(1)], self._local(a))
                for a in container["command"][1:] + container["args"]]
        if self.namespace == NS:
            env["KUBECONFIG"] = str(plane.service_account(NS, pod["spec"]["serviceAccountName"]))
        program = pathlib.Path(container["command"][0]).name
        self.process = plane.adopt(Process(self.folder, "log", [find_program(program), *argv], env))
        self.process.start()

    def _files(self, volume, sub_path):
        folder = self.folder / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if "hostPath" in volume:
            return self.player.nodes[self.pod["spec"]["nodeName"]].kubelet.path.parent
        if "configMap" in volume:
            data = self.plane.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{volume['configMap']['name']}")["data"]
            data = {k: v.encode() for k, v in data.items()}
        else:
            data = self.plane.get(f"/api/v1/namespaces/{self.namespace}/secrets/{volume['secret']['secretName']}")["data"]
            data = {k: base64.b64decode(v) for k, v in data.items()}
        for key, value in data.items():
            (folder / key).write_bytes(value)
        return folder / sub_path if sub_path else folder

    def _local(self, text):
        for path, local in self.mounts.items():
            text = text.replace(path, str(local))
        return text

    def ready(self):
        """As the pod's own probe asks."""
        probe = self.pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]
        port = {p["name"]: p["containerPort"] for p in self.pod["spec"]["containers"][0]["ports"]}[probe["port"]]
        return http_get(f"http://{self.address}:{port}{probe['path']}")[0] == 200

    def log(self):
        return self.process.log.read_text(errors="replace")


def pods(plane, namespace):
    return plane.items(f"/api/v1/namespaces/{namespace}/pods")


INSTALL = ["monitoring.readers[0].name=prometheus", f"monitoring.readers[0].namespace={NS}", "image.repository=registry.test/gpuscale", "agent.source=sim:8\\,idle\\,seed=1", "agent.metrics.dcgm=off"]


@pytest.fixture(scope="module")
def installed(plane):
    """`helm install` and `gpuscale certs`, as docs/install.md says; then the pods' processes."""
    plane.kubectl("delete", "namespace", AGENTS, "--ignore-not-found")
    plane.wait_until(lambda: plane.get(f"/api/v1/namespaces/{AGENTS}") is None, "the chart makes the agents' namespace itself")
    with Player(plane, nodes=1) as player:
        plane.helm("install", "gpuscale", CHART, "--namespace", NS, *flags(INSTALL + MONITORING))
        secrets = subprocess.run([find_program("gpuscale"), "certs", "--manifests"], check=True, capture_output=True, text=True).stdout
        plane.apply(secrets)
        plane.wait_until(lambda: len([p for ns in (NS, AGENTS) for p in pods(plane, ns) if p.get("status", {}).get("podIP")]) == 3,
                         "two scalers and an agent are admitted and placed")
        running = [Kubelet(plane, player, p) for ns in (AGENTS, NS) for p in pods(plane, ns)]
        try:
            plane.wait_until(lambda: all(k.process.running() and k.ready() for k in running),
                             "scalers and agent are ready")
            yield running
        except AssertionError as e:
            raise AssertionError(str(e) + "".join(f"\n== {k.name}\n{k.log()[-3000:]}" for k in running)) from None
        finally:
            for k in running:
                k.process.stop()


def page(k, name, port, *more):
    """/metrics of a pod, by the authority of its Secret and the name of its certificate."""
    out = subprocess.run(["curl", "-sSf", "--cacert", k.folder / "tls/ca.crt", "--resolve", f"{name}:{port}:{k.address}", *more,
                          f"https://{name}:{port}/metrics"], check=True, capture_output=True, text=True)
    return out.stdout


def scaler_pages(plane, installed):
    """Of both scalers, as a Prometheus reads them that monitoring.readers names; the leader's first."""
    token = plane.folder / "prometheus.header"
    plane.service_account(NS, "prometheus")
    token.write_text(f"Authorization: Bearer {plane.token(NS, 'prometheus')}\n")
    pages = [page(k, f"gpuscale-scaler.{NS}.svc", 9444, "-H", f"@{token}") for k in installed if k.namespace == NS]
    leads = [metric_values(p, "gpuscale_leader")[frozenset()] for p in pages]
    assert sorted(leads) == [0, 1], "one scaler leads"
    return sorted(pages, key=lambda p: -metric_values(p, "gpuscale_leader")[frozenset()])


def scaler_page(plane, installed):
    return scaler_pages(plane, installed)[0]


def test_pod_security_admits_the_scaler_as_restricted_and_would_not_the_agent(plane, installed):
    assert len(pods(plane, NS)) == 2, "the namespace enforces `restricted`"
    agent = plane.get(f"/apis/apps/v1/namespaces/{AGENTS}/daemonsets/gpuscale-agent")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "namespace": NS}, "spec": {
        **agent["spec"], "serviceAccountName": "default"}}
    status, _, err = plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod), check=False)
    assert status != 0 and "hostPath" in err and "restricted" in err, err


def test_the_agents_rights_are_none(plane, installed):
    who = f"system:serviceaccount:{AGENTS}:gpuscale-agent"
    for verb, what in (("list", "pods"), ("get", "secrets"), ("list", "nodes"), ("create", "events")):
        status, out, _ = plane.kubectl("auth", "can-i", verb, what, "-n", AGENTS, "--as", who, check=False)
        assert out.strip() == "no", (verb, what, status)


def test_keda_asks_the_scaler_with_the_chart_s_certificate_and_the_agent_s_gpu_is_joined(plane, installed):
    ns = plane.namespace("serve")
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s") + [scaled_object(ns, "llm")])
    plane.wait_until(lambda: any(c["type"] == "Ready" and c["status"] == "True" for c in (
        plane.get(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/llm").get("status") or {}).get("conditions", [])),
        "KEDA reaches the scaler with the chart's ClusterTriggerAuthentication")

    def joined():
        text = scaler_page(plane, installed)
        assert metric_values(text, "gpuscale_agents_connected")[frozenset()] == 1
        desired = {dict(k)["namespace"]: v for k, v in metric_values(text, "gpuscale_desired_replicas").items()}
        return desired.get(ns) == 1

    plane.wait_until(joined, "an agent streams over mutual TLS, and the service is decided")
    [agent] = [k for k in installed if k.namespace == AGENTS]
    plane.wait_until(lambda: any(("namespace", ns) in owner for owner in metric_values(
        page(agent, f"gpuscale-agent.{NS}.svc", 9400), "gpuscale_gpu_owner_info")), "the agent says whose the GPU is")
    plane.wait_until(lambda: hpa_value(plane, ns), "the HPA reads the number through KEDA")


def test_rules_and_dashboards_ask_only_for_what_the_scaler_s_page_has(plane, installed):
    """Of what a scaler has in a cluster alone; tests/integration/test_deploy.py looks for the rest."""
    asked = {n for n in test_deploy.asked_names() if test_deploy.IN_A_CLUSTER.match(n)}
    there = set(re.findall(r"^# TYPE (\S+)", "".join(scaler_pages(plane, installed)), re.M))
    assert asked and asked <= there, asked - there


def scaled_object(ns, name, **metadata):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name, "namespace": ns}, "spec": {
        "scaleTargetRef": {"name": name}, "minReplicaCount": 1, "maxReplicaCount": 4, "pollingInterval": 1,
        "triggers": [{"type": "external-push", "metadata": {
            "scalerAddress": f"gpuscale-scaler.{NS}.svc:9443", "engine": "custom", "metricsPort": "8000", "requestRate": "1",
            "rateWindow": "4s", "downWindow": "1s", **metadata},
            "authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": "gpuscale"}}]}}


def hpa_value(plane, ns):
    hpa = plane.items(f"/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers")
    return [m for h in hpa for m in h["status"].get("currentMetrics") or [] if m.get("external", {}).get("current", {}).get("averageValue")]


def granted(plane):
    """{(verb, group, resource, namespace or "")} of what the chart binds to the scaler, but what Kubernetes' own roles give."""
    found = set()
    bindings = [(b, "") for b in plane.items("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings")]
    bindings += [(b, b["metadata"]["namespace"]) for b in plane.items("/apis/rbac.authorization.k8s.io/v1/rolebindings")]
    for binding, namespace in bindings:
        if not any(s["kind"] == "ServiceAccount" and s["name"] == "gpuscale-scaler" and s.get("namespace") == NS
                   for s in binding.get("subjects") or []):
            continue
        ref = binding["roleRef"]
        where = f"namespaces/{namespace}/" if ref["kind"] == "Role" else ""
        role = plane.get(f"/apis/rbac.authorization.k8s.io/v1/{where}{ref['kind'].lower()}s/{ref['name']}")
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule.get("resources", []) + rule.get("apiGroups", []), rule
            for verb in rule["verbs"]:
                for group in rule.get("apiGroups", []):
                    for resource in rule.get("resources", []):
                        found.add((verb, group, resource, namespace))
    return found


def test_every_right_is_used_and_none_is_missing(plane, installed):
    """Once the scaler has done all that it does in a cluster."""
    ns = plane.namespace("rights")
    # A workload that is not there is told in an Event, which is patched when it is away again.
    plane.apply(engine_deployment(ns, "llm", replicas=1, load_time="0s") + [scaled_object(ns, "llm", workload="deployment/other")])
    plane.wait_until(lambda: plane.events(ns, "NoWorkload"), "an Event says that the workload is not there")
    plane.apply(engine_deployment(ns, "other", replicas=1, load_time="0s"))
    plane.wait_until(lambda: any(("namespace", ns) in k for k in metric_values(scaler_page(plane, installed), "gpuscale_desired_replicas")),
                     "it is there, and decided")
    plane.delete(f"/apis/apps/v1/namespaces/{ns}/deployments/other")
    # A ScaledJob is looked up, and refused as what it is.
    job = scaled_object(ns, "batch")
    job["kind"] = "ScaledJob"
    job["spec"] = {"triggers": job["spec"]["triggers"], "jobTargetRef": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "work", "image": "registry.test/work"}]}}}}
    plane.apply([job])
    # A device of a resource claim: the ResourceSlices say which GPU it is.
    node = next(iter(installed[0].player.nodes.values()))
    claimed = {"podResources": [{"name": "claimer", "namespace": ns, "containers": [{"name": "main", "dynamicResources": [
        {"claimName": "one", "claimNamespace": ns, "claimResources": [
            {"driverName": "gpu.nvidia.com", "poolName": node.name, "deviceName": "gpu-0"}]}]}]}]}
    rights = granted(plane)
    assert len(rights) > 10

    def all_used():
        node.kubelet.set_answer(claimed)  # again: a pod that ends makes it tell what it holds itself
        audit = plane.audit()
        denied = {a[:4] for a in audit if a[4] == 403}
        assert not denied, f"asked for and not granted: {denied}"
        used = {a[:4] for a in audit}
        unused = {r for r in rights if not any(u[:3] == r[:3] and r[3] in ("", u[3]) for u in used)}
        assert not unused, f"granted and not used: {unused}"
        return True

    plane.wait_until(all_used, "every right is used")


def test_upgrade_and_uninstall(plane, installed):
    before = {p["metadata"]["annotations"]["gpuscale.dev/config"] for p in pods(plane, NS)}
    plane.helm("upgrade", "gpuscale", CHART, "--namespace", NS, *flags(INSTALL + MONITORING + ["scaler.config.tick=2s"]))
    config = plane.get(f"/api/v1/namespaces/{NS}/configmaps/gpuscale-scaler")["data"]["scaler.yaml"]
    assert yaml.safe_load(config)["tick"] == "2s"
    plane.kubectl("rollout", "status", "deployment/gpuscale-scaler", "-n", NS, "--timeout=60s")
    hashes = {p["metadata"]["annotations"]["gpuscale.dev/config"] for p in pods(plane, NS) if not p["metadata"].get("deletionTimestamp")}
    assert len(hashes) == 1 and not hashes & before, "a changed configuration makes new pods"
    plane.helm("uninstall", "gpuscale", "--namespace", NS)
    plane.wait_until(lambda: plane.get(f"/apis/apps/v1/namespaces/{NS}/deployments/gpuscale-scaler") is None, "the scaler is gone")
    for path in ("/apis/rbac.authorization.k8s.io/v1/clusterroles/gpuscale-scaler", "/apis/scheduling.k8s.io/v1/priorityclasses/gpuscale",
                 "/apis/keda.sh/v1alpha1/clustertriggerauthentications/gpuscale"):
        plane.wait_until(lambda: plane.get(path) is None, f"{path} is gone")
