# SPDX-License-Identifier: Apache-2.0
"""The programs under the seccomp profile that container runtimes give by default (moby's, which containerd's follows; from its Go
module) besides what tests/integration/test_confined.py takes away."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration"))

import confined_kit  # noqa: E402

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away like that")


@pytest.fixture(scope="module")
def profile():
    go = shutil.which("go") or "/usr/local/go/bin/go"
    done = subprocess.run([go, "mod", "download", "-json", "github.com/moby/profiles/seccomp"], cwd=HERE, check=True,
                          capture_output=True, text=True)
    return pathlib.Path(json.loads(done.stdout)["Dir"]) / "default.json"


def test_the_cage_is_one(profile):
    confined_kit.check_the_cage(profile)


def test_the_scaler_runs_under_the_runtimes_profile(profile):
    confined_kit.check_the_scaler(profile)


def test_the_agent_runs_under_the_runtimes_profile(profile):
    confined_kit.check_the_agent(profile)
