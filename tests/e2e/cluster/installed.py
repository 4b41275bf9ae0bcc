# SPDX-License-Identifier: Apache-2.0
"""gpuscale as docs/install.md says it: certificates, `helm install`, `gpuscale generate` for a service. The chart's pods run as the
kubelet would run them: the scheduler's choice, their own network, read-only root, their user, Secrets and service account token;
agents by the DaemonSet, two scalers by the Deployment."""

import yaml

from harness import run
from plane import HERE
from player import Player
from recorder import Recorder
from service import Certificates, Gateway
from workloads import engine_deployment

CHART = HERE.parents[2] / "deploy/helm/gpuscale"


class Installed:
    def __init__(self, plane):
        self.plane = plane
        for name, level in (("gpuscale", "restricted"), ("gpuscale-agents", "privileged")):
            plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": name, "labels": {"pod-security.kubernetes.io/enforce": level}}}])
        self.certificates = Certificates(plane, authentication=False)
        # The GPU operator's part.
        plane.apply([{"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}])
        self.player = Player(plane, nodes=2, agent_flags=None).start()
        self.gateway = Gateway(self.player, "none")
        values = self.values = plane.folder / "values.yaml"
        values.write_text(yaml.safe_dump({
            "agent": {"createNamespace": False, "config": {"podResources": {"interval": "1s"}}},
            "scaler": {"config": {"demand": {"gateway": self.gateway.demand()}, "engines": {"interval": "1s"}}}}))
        plane.helm("install", "gpuscale", CHART, "-n", "gpuscale", "-f", values)
        self.agents = "/apis/apps/v1/namespaces/gpuscale-agents/daemonsets/gpuscale-agent"
        self.scalers = "/apis/apps/v1/namespaces/gpuscale/deployments/gpuscale-scaler"

    def ready(self):
        return (self.plane.get(self.agents)["status"].get("numberReady") == 2
                and self.plane.get(self.scalers).get("status", {}).get("readyReplicas") == 2)

    def logs(self):
        return "\n".join(f"--- {p.pod['metadata']['name']}\n" + "\n".join(q.log.read_text().splitlines()[-15:])
                         for ns in ("gpuscale", "gpuscale-agents") for p in self.player.of(ns) for q in p.processes.values())

    def until(self, condition, what, **more):
        try:
            return self.plane.wait_until(condition, what, **more)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.logs()}\n{self.plane.kubectl('get', 'pods', '-A', '-o', 'wide')}") from None

    def stop(self):
        self.gateway.stop()
        self.player.stop()


def generated_service(installed):
    """A Deployment and what `gpuscale generate` makes of it; windows of seconds, so that tests do not wait. (namespace, recorder)"""
    plane = installed.plane
    ns = plane.namespace("team")
    deployment = engine_deployment(ns, "llm", replicas=1, load_time="1s")
    made = run("gpuscale", "generate", "--engine", "custom", "--metrics-port", "8000", "--request-rate", "4", "--demand", "gateway",
               "--rate-window", "3s", "--down-window", "5s", "--max-age", "5s", "--min", "0", "--max", "8", "--kubernetes", "1.37",
               stdin=yaml.safe_dump_all(deployment))
    assert made.returncode == 0, made.stderr
    plane.apply(deployment)
    plane.apply(made.stdout)
    # KEDA's timers are the reader's to keep; these make the test short.
    plane.patch(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/llm", {"spec": {"cooldownPeriod": 3, "pollingInterval": 2}})
    installed.gateway.namespace = ns
    return ns, Recorder(plane, ns, "llm")


def settled(installed, recorder, ns, n):
    pods = [p for p in installed.player.of(ns) if p.uid in installed.player.ready_at and not p.gone.is_set()]
    return recorder.now == n and len(pods) == n
