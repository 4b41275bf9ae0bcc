# SPDX-License-Identifier: Apache-2.0
"""The plane of a module, and the logs of its programs when one of the module's tests fails."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "integration"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from installed import Installed  # noqa: E402
from plane import Plane, build  # noqa: E402

_plane = None
# Workers take whole modules: the longest begin first.
LONG = ["test_faults_away", "test_faults", "test_scaling", "test_cpu_beside",
        "test_faults_rights", "test_many_pods", "test_installed", "test_thousand", "test_generate", "test_hpa_without_keda", "test_chart"]


def pytest_collection_modifyitems(items):
    rank = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and _plane:
        for name in _plane.processes:
            report.sections.append((f"log of {name} ({_plane.processes[name].log})", _plane.tail(name, 25)))


@pytest.fixture(scope="session")
def programs():
    return build()


@pytest.fixture(scope="module")
def plane(programs, tmp_path_factory):
    global _plane
    _plane = Plane(tmp_path_factory.mktemp("plane"), programs)
    try:
        yield _plane.start()
    finally:
        _plane.stop()
        _plane = None


@pytest.fixture(scope="module")
def installed(plane):
    installed = Installed(plane)
    yield installed
    installed.stop()
