# SPDX-License-Identifier: Apache-2.0
"""sigs.k8s.io/metrics-server in a plane: with it `metrics.k8s.io` answers and an HPA on CPU works, on what the played kubelets'
pages say (kubelet_page.py)."""

import yaml

from plane import Process

ADDRESS = "10.244.255.4"
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"


class MetricsServer:
    """Account, rights, registration and flags are those of its own manifests, but for the time between two readings: 10 s, the least
    that it takes, instead of 15."""

    def __init__(self, plane):
        self.plane, manifests = plane, plane.programs["metrics-server-manifests"]
        objects = {name: list(yaml.safe_load_all((manifests / f"{name}.yaml").read_text()))
                   for name in ("rbac", "service", "apiservice", "deployment")}
        flags = next(o for o in objects.pop("deployment") if o)["spec"]["template"]["spec"]["containers"][0]["args"]
        plane.apply([o for several in objects.values() for o in several if o] + [{
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "metrics-server-1", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "metrics-server"}},
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": 10250, "protocol": "TCP"}]}])
        account = plane.service_account("kube-system", "metrics-server")
        self.process = Process(plane.folder, "metrics-server", [
            plane.programs["metrics-server"], *flags, f"--bind-address={ADDRESS}", f"--cert-dir={plane.folder / 'metrics-server'}",
            "--metric-resolution=10s", "--kubelet-request-timeout=5s", f"--kubelet-certificate-authority={plane.certs.ca}",
            *[f"--{kind}kubeconfig={account}" for kind in ("", "authentication-", "authorization-")]])
        plane.processes["metrics-server"] = self.process

    def start(self):
        self.process.start()
        self.plane.wait_until(self.available, "metrics.k8s.io is available")
        return self

    def skipped(self):
        """What it says of readings that it got and could not use."""
        return [line for line in self.process.log.read_text(errors="replace").splitlines() if "Skipping" in line]

    def available(self):
        conditions = self.plane.get(API_SERVICE).get("status", {}).get("conditions", [])
        return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)
