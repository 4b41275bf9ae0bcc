# SPDX-License-Identifier: Apache-2.0
"""What the API server tells about a workload, with the time at which it was told: a test looks back instead of sampling."""

import threading
import time


class Recorder:
    """Watches Deployment `name` and the namespace's pods from now on."""

    def __init__(self, plane, namespace, name):
        self.replicas = []  # (seconds, spec.replicas) at each change
        self.pods = {}      # name: {"created", "scheduled", "running", "ready", "gone": seconds, "gpus": how many}
        self.stopping = False
        base = f"namespaces/{namespace}"
        for path, see in ((f"/apis/apps/v1/{base}/deployments?fieldSelector=metadata.name%3D{name}", self._deployment),
                          (f"/api/v1/{base}/pods", self._pod)):
            threading.Thread(target=plane.rest.watch, args=(path, lambda: self.stopping, see), daemon=True).start()
        plane.wait_until(lambda: self.replicas, "the recorder sees the deployment")

    def _deployment(self, kind, item):
        n = item["spec"]["replicas"]
        if not self.replicas or self.replicas[-1][1] != n:
            self.replicas.append((time.monotonic(), n))

    def _pod(self, kind, item):
        seen = self.pods.setdefault(item["metadata"]["name"], {"gpus": sum(
            int(c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0)) for c in item["spec"]["containers"])})
        conditions = {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])}
        for what, true in (("created", True), ("scheduled", item["spec"].get("nodeName")),
                           ("running", item["status"].get("phase") == "Running"), ("ready", conditions.get("Ready") == "True"),
                           ("gone", kind == "DELETED")):
            if true:
                seen.setdefault(what, time.monotonic())

    @property
    def now(self):
        return self.replicas[-1][1]

    def counts(self, since=0.0):
        """Every spec.replicas that stood at some time after `since`."""
        before = [n for t, n in self.replicas if t <= since][-1:]
        return before + [n for t, n in self.replicas if t > since]

    def gpu_seconds(self, since, until):
        """GPUs of the pods that are bound to a node, times for how long between the two."""
        return sum(p["gpus"] * max(0.0, min(p.get("gone", until), until) - max(p["scheduled"], since))
                   for p in list(self.pods.values()) if "scheduled" in p)

    def stop(self):
        self.stopping = True
