# SPDX-License-Identifier: Apache-2.0
"""Manifests of the cluster tests, as dicts."""


def engine_deployment(namespace, name, replicas=1, load_time="2s", profile="classic", gpus=1, engine_args=(), **spec):
    """A Deployment of `gpuscale engine` on each pod's own IP, one GPU a pod; not ready until its model is loaded."""
    return [{
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, **spec, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                "name": "engine", "image": "gpuscale",
                "args": ["engine", "--listen", "$(POD_IP):8000", "--profile", profile, "--load-time", load_time, "--cpu", "none",
                         *engine_args],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"name": "http", "containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
                "resources": {"limits": {"nvidia.com/gpu": gpus}}}]}}}}]
