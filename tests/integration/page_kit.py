# SPDX-License-Identifier: Apache-2.0
"""The browser for the tests of the page: playwright-core from npm (tests/page has the lock file), installed once
into the build folder, and Debian's Chromium."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import harness

PAGE = harness.ROOT / "tests" / "page"
MODULES = harness.BUILD / "page"
SHOTS = harness.BUILD / "screenshots"
SERVER = harness.BUILD / "tests" / "integration" / "page_server"


def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "Chromium is missing: `make deps-test` installs it"
    return found


def install():
    """`npm ci` into the build folder, unless what is there is what the lock file says."""
    assert shutil.which("node") and shutil.which("npm"), "node and npm are missing: `make deps-test` installs them"
    MODULES.mkdir(parents=True, exist_ok=True)
    SHOTS.mkdir(parents=True, exist_ok=True)
    lock = (PAGE / "package-lock.json").read_text()
    done = MODULES / ".installed"
    with open(MODULES / ".lock", "w") as guard:  # tests run side by side
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != lock:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(PAGE / name, MODULES / name)
            out = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=MODULES,
                                 capture_output=True, text=True, timeout=300)
            assert out.returncode == 0, f"npm ci:\n{out.stdout}\n{out.stderr}"
            done.write_text(lock)


class Drive:
    """One scenario of tests/page/drive.mjs; what it prints before its result is told line by line."""

    def __init__(self, scenario, **options):
        install()
        options = {"shots": str(SHOTS), "deadlineS": harness.DEADLINE_S, **options}
        self.home = tempfile.TemporaryDirectory()  # the browser's, so that it leaves nothing in ours
        self.proc = subprocess.Popen(
            ["node", str(PAGE / "drive.mjs"), str(MODULES), chromium(), scenario, json.dumps(options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": self.home.name})

    def line(self):
        line = self.proc.stdout.readline()
        assert line, self.proc.stderr.read()
        return line.strip()

    def result(self):
        out, err = self.proc.communicate(timeout=6 * harness.DEADLINE_S)
        self.home.cleanup()
        assert self.proc.returncode == 0, f"{out}\n{err}"
        return json.loads(out.strip().split("\n")[-1])


def drive(scenario, **options):
    return Drive(scenario, **options).result()


class Page(harness.Program):
    def __init__(self, *args):
        super().__init__(SERVER, *args)
        self.address = self.addr("page")
        self.url = f"http://{self.address}/"


def file_url(path):
    return pathlib.Path(path).resolve().as_uri()
