# SPDX-License-Identifier: Apache-2.0
"""The modules that take longest begin first: workers take whole modules, and none shall be left with a long one."""

# By their time in one run (pytest-integration.xml of a build), longest first.
LONG = ["test_scaler_replicas", "test_prometheus", "test_scaler", "test_exporters", "test_demo", "test_scaler_faults",
        "test_scaler_cluster_words", "test_agent", "test_page", "test_scaler_access", "test_agent_podres"]


def pytest_collection_modifyitems(items):
    rank = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))
