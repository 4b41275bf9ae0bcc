# SPDX-License-Identifier: Apache-2.0
"""`gpuscale demo` tells its story, and leaves nothing behind however it ends."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

import pytest

from harness import find_program, run, wait_until


def children_of(pid):
    """Pids below `pid`, itself excluded."""
    out = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = {int(p): int(pp) for p, pp in (line.split() for line in out.splitlines())}
    found, grew = {pid}, True
    while grew:
        grew = False
        for p, pp in parents.items():
            if pp in found and p not in found:
                found.add(p)
                grew = True
    return found - {pid}


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_demo_wakes_grows_shrinks_and_says_why(tmp_path):
    done = run("gpuscale", "demo", "--duration", "45s", "--cold-start", "2s", "--color", "never",
               deadline_s=150, env={"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "pushed active by the scaler: 0 -> 1 replica" in text
    ups = re.findall(r"HPA: desired-replicas is \S+: (\d) -> (\d) replicas", text)
    assert any(int(b) > int(a) for a, b in ups), text
    assert any(int(b) < int(a) for a, b in ups), text
    assert max(int(b) for _, b in ups) >= 3, text
    # Every GPU is read through the agent's stream, and a reason follows a decision.
    row = re.findall(r"^\s*\d+s\s+[\d.]+\s+\d+\s+\d+/\d+\s+(.*)$", text, re.M)
    assert row and not any("--" in r.split("  ")[0] for r in row[-3:]), row[-3:]
    assert "requestRate" in text or "demand" in text
    assert all(len(line) <= 100 for line in text.splitlines()
               if "Files and logs" not in line), [l for l in text.splitlines() if len(l) > 100]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_the_demo_is_ended(tmp_path, sig):
    proc = subprocess.Popen([str(find_program("gpuscale")), "demo", "--color", "never"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        below = wait_until(lambda: (c := children_of(proc.pid)) and len(c) >= 2 and c,
                           "agent and scaler run")
        proc.send_signal(sig)
        proc.communicate(timeout=60)
        wait_until(lambda: not any(alive(p) for p in below), "the children have ended")
    finally:
        if proc.poll() is None:
            proc.kill()
            proc.wait()


def mentioning(text):
    """Pids of processes with `text` in their command line: the demo's folder is in its children's."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (p / "cmdline").read_bytes():
                found.append(int(p.name))
        except OSError:
            pass
    return found


def test_no_process_is_left_when_the_demo_is_killed_while_it_starts_them(tmp_path):
    for delay_ms in range(0, 120, 6):  # around the forks of agent and scaler
        proc = subprocess.Popen([str(find_program("gpuscale")), "demo", "--color", "never"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env={**os.environ, "TMPDIR": str(tmp_path)})
        with contextlib.suppress(subprocess.TimeoutExpired):
            proc.wait(delay_ms / 1000)
        proc.kill()
        proc.wait()
    wait_until(lambda: not mentioning(str(tmp_path)), "every child has ended")


def test_wrong_options_are_told():
    for args, word in [(["--duration", "1s"], "10s"), (["--cold-start", "x"], "duration"),
                       (["--color", "pink"], "always"), (["what"], "what")]:
        done = run("gpuscale", "demo", *args)
        assert done.returncode == 2 and word in done.stderr, (args, done.stderr)


def test_a_folder_that_cannot_be_made_is_an_error_not_a_hang(tmp_path):
    done = run("gpuscale", "demo", env={"TMPDIR": str(tmp_path / "missing")})
    assert done.returncode == 1 and "missing" in done.stderr
