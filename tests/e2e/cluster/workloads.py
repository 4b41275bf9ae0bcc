# SPDX-License-Identifier: Apache-2.0
"""Manifests of the cluster tests, as dicts."""


def engine_deployment(namespace, name, replicas=1, load_time="2s", profile="classic", gpus=1, engine_args=(), cpu="none", **spec):
    """A Deployment of `gpuscale engine` on each pod's own IP, one GPU a pod; not ready until its model is loaded."""
    return [{
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, **spec, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                "name": "engine", "image": "gpuscale",
                "args": ["engine", "--listen", "$(POD_IP):8000", "--profile", profile, "--load-time", load_time, "--cpu", cpu,
                         *engine_args],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"name": "http", "containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
                "resources": {"limits": {"nvidia.com/gpu": gpus}}}]}}}}]


# Engines do one request at a time in 250 ms: 4 requests a second a replica. Windows of seconds, so that tests do not wait.
RATE = {"metricsPort": "8000", "requestRate": "4", "rateWindow": "3s", "downWindow": "5s", "maxAge": "5s"}
# The same service as the classic recipe scales it.
CLASSIC = {"metricsPort": "8000", "queue": "10", "gpuUtilization": "55", "rateWindow": "3s", "downWindow": "5s", "maxAge": "5s"}


def scaled_object(namespace, name, metadata, least=1, most=8, **spec):
    """A ScaledObject with gpuscale's trigger, KEDA's and the HPA's timers short, and the damper left to gpuscale."""
    return [{
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"name": name}, "minReplicaCount": least, "maxReplicaCount": most, "pollingInterval": 2, "cooldownPeriod": 3,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {
                "scaleDown": {"stabilizationWindowSeconds": 0, "tolerance": "0"}, "scaleUp": {"tolerance": "0"}}}},
            "fallback": {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"},
            "triggers": [{"type": "external-push", "metadata": {"scalerAddress": "gpuscale-scaler.gpuscale.svc:9443", **metadata},
                          "authenticationRef": {"name": "gpuscale", "kind": "ClusterTriggerAuthentication"}}], **spec}}]
