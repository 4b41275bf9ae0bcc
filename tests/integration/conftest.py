# SPDX-License-Identifier: Apache-2.0
"""The modules that take longest begin first: workers take whole modules, and none shall be left with a long one. And
KEDA's side, which the scaler's modules share."""

import pytest
from scaler_kit import Keda

# By their time in one run (pytest-integration.xml of a build), longest first.
LONG = ["test_scaler_replicas", "test_prometheus", "test_scaler", "test_exporters", "test_demo", "test_scaler_faults",
        "test_scaler_cluster_words", "test_agent", "test_page", "test_scaler_access", "test_agent_podres"]


def pytest_collection_modifyitems(items):
    rank = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))


@pytest.fixture
def keda(tmp_path):
    """keda(scaler): its calls to that scaler."""
    made = []

    def make(scaler, **kwargs):
        made.append(Keda(scaler.grpc, tmp_path, **kwargs))
        return made[-1]

    yield make
    for k in made:
        k.close()


@pytest.fixture
def pages():
    """pages(thing, ...): whatever has a close(), called in the end."""
    made = []

    def keep(*things):
        made.extend(things)
        return things[0] if len(things) == 1 else list(things)

    yield keep
    for p in made:
        p.close()
