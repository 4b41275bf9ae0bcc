# SPDX-License-Identifier: Apache-2.0
"""gpuscale scaler as KEDA meets it: values, specs, activation, push, failures, files that change."""

import time

import pytest

from scaler_kit import *


@pytest.fixture
def keda(tmp_path):
    made = []

    def make(scaler, **kwargs):
        made.append(Keda(scaler.grpc, tmp_path, **kwargs))
        return made[-1]
    yield make
    for k in made:
        k.close()


def test_spec_is_one_metric_with_target_one(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        specs = keda(s).spec().metricSpecs
        assert [(m.metricName, m.targetSize, m.targetSizeFloat) for m in specs] == \
            [("desired-replicas", 1, 1.0)]


def test_first_call_is_answered_with_what_is_specified(tmp_path, keda):
    with Scaler(tmp_path, [workload(replicas=3)]) as s:
        k = keda(s)
        value = k.metrics().metricValues[0]
        assert (value.metricName, value.metricValue, value.metricValueFloat) == \
            ("desired-replicas", 3, 3.0)
        assert k.active() is True  # nothing is known: unknown is not idle


def test_values_follow_the_load(tmp_path, keda):
    pods = [VllmPod(rate=5), VllmPod(rate=5)]
    with Scaler(tmp_path, [workload(replicas=2, pods=[pod(f"llm-{i}", p.addr) for i, p in enumerate(pods)])],
                engines={"interval": "500ms"}) as s:
        k = keda(s)
        # 10 requests/s at 2 a replica: R = 5, ceil(5 + 0.3 sqrt 5) = 6
        eventually("6 replicas", lambda: k.replicas() == 6)
        for p in pods:
            p.finished.set_rate(0.5)
        eventually("1 replica", lambda: k.replicas() == 1)
