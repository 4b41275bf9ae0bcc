# SPDX-License-Identifier: Apache-2.0
"""`gpuscale demo`: three acts with real processes end in one table; what dies in between is started
again or told; and nothing is left behind however it ends."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import DEADLINE_S, find_program, http_get, run, wait_until


def children_of(pid):
    """{pid: command line} of the processes below `pid`, itself excluded."""
    out = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True,
                         text=True).stdout
    rows = [line.split(None, 2) for line in out.splitlines()]
    parents = {int(r[0]): (int(r[1]), r[2] if len(r) > 2 else "") for r in rows}
    found, grew = {pid}, True
    while grew:
        grew = False
        for p, (pp, _) in parents.items():
            if pp in found and p not in found:
                found.add(p)
                grew = True
    return {p: parents[p][1] for p in found - {pid} if p in parents}


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Demo:
    """A running demo: its lines, its children."""

    def __init__(self, out, *args, program=None):
        self.lines = []
        self.proc = subprocess.Popen(
            [str(program or find_program("gpuscale")), "demo", "--color", "never", "--out",
             str(out), *args],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.proc.stdout:
            self.lines.append(line.rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def said(self, pattern, deadline_s=4 * DEADLINE_S):
        return wait_until(lambda: re.search(pattern, self.text(), re.M), f"{pattern!r} is said",
                          deadline_s)

    def child(self, word):
        """The pid of the one child whose command line has the word; waits for it."""
        return wait_until(lambda: next((p for p, args in children_of(self.proc.pid).items()
                                        if f" {word} " in args + " " and "/bin/sh" not in args), None),
                          f"a child {word}")

    def end(self, deadline_s=8 * DEADLINE_S):
        status = self.proc.wait(timeout=deadline_s)
        self._reader.join(timeout=10)
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print(self.text())
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


def figures(out):
    report = json.loads((out / "report.json").read_text())
    return report, {row["policy"]: row for row in report["policies"]}


def events_of(url, until):
    """Names and data of the page's server-sent events, until `until` says enough or the end."""
    found = []
    address = url.split("/")[2]
    with socket.create_connection((address.split(":")[0], int(address.split(":")[1]))) as s:
        s.settimeout(4 * DEADLINE_S)
        s.sendall(f"GET /api/v1/live HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        stream = s.makefile("rb")
        name = None
        for raw in stream:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
                if until(found):
                    break
    return found


def test_three_acts_serve_the_same_load_and_end_in_a_table(tmp_path):
    with Demo(tmp_path, "--duration", "8s", "--gpus", "3", "--rate", "20", "--cold-start", "1s",
              "--speed", "40", "--price", "3.6") as demo:
        url = demo.said(r"^Live page: (\S+)$")[1]
        status, headers, page = http_get(url)
        assert status == 200 and b"<html" in page and "default-src 'none'" in headers.as_string()
        events = events_of(url, lambda found: sum(n == "frame" for n, _ in found) >= 3)
        assert demo.end() == 0, demo.text()
    assert events[0][0] == "hello" and events[0][1]["gpus"] == 3
    frame = events[-1][1]
    assert frame["policy"] == "cpu" and frame["replicas"]["ready"] >= 1
    assert len(frame["gpus"]) == 3 and frame["gpus"][0]["pod"] == "llm-1"
    report, rows = figures(tmp_path)
    assert list(rows) == ["cpu", "classic", "gpuscale"] and report["seed"] == 1
    asked = {p: r["served"] + r["errors"] for p, r in rows.items()}
    assert len(set(asked.values())) == 1 and asked["cpu"] > 50, asked
    for policy, row in rows.items():
        assert row["whole"], row
        # One replica at least, three at most, for eight seconds.
        assert 7.9 < row["gpuSeconds"] < 24.9, row
        assert 0 <= row["idleGpuSeconds"] < row["gpuSeconds"], row
        assert row["usd"] == pytest.approx(row["gpuSeconds"] / 1000, abs=0.001)
        assert row["p50Ms"] < row["p95Ms"] <= row["p99Ms"], row
        # The table is the load's own result.
        load = json.loads((tmp_path / policy / "load.json").read_text())
        assert load["done"] == row["served"] and sum(load["errors"].values()) == row["errors"]
        assert {"agent.log", "scaler.log", "llm-1.log", "workloads.yaml"} <= {
            p.name for p in (tmp_path / policy).iterdir()}
    assert re.search(r"^ +CPU 70 % +classic triggers +gpuscale$", demo.text(), re.M)
    html = (tmp_path / "report.html").read_text()
    assert '"gpuscale"' in html and "</html>" in html


def test_gpuscale_grows_shrinks_and_says_why(tmp_path):
    with Demo(tmp_path, "--policies", "gpuscale", "--duration", "24s", "--gpus", "4", "--rate", "36",
              "--cold-start", "1s", "--speed", "50") as demo:
        assert demo.end() == 0, demo.text()
    steps = [(int(a), int(b)) for a, b in re.findall(r"HPA: (\d+) -> (\d+):", demo.text())]
    assert max(b for a, b in steps) >= 3 and any(b < a for a, b in steps), demo.text()
    assert re.search(r"^ *\d+ s  gpuscale: \d+ replicas: demand [\d.]+/s at 16/s each", demo.text(),
                     re.M), demo.text()
    _, rows = figures(tmp_path)
    # Those after the load's end are none of the act's.
    assert 3 <= rows["gpuscale"]["scaleEvents"] <= len(steps)


def test_the_classic_engine_is_scaled_by_the_pair(tmp_path):
    with Demo(tmp_path, "--engine", "classic", "--policies", "gpuscale", "--duration", "10s",
              "--gpus", "4", "--cold-start", "1s", "--speed", "40") as demo:
        assert demo.end() == 0, demo.text()
    assert re.search(r"gpuscale: \d+ replicas: .*queue .*gpuUtilization", demo.text().replace(
        "\n         ", " ")), demo.text()
    _, rows = figures(tmp_path)
    assert rows["gpuscale"]["served"] > 20


def test_an_agent_and_a_scaler_that_are_killed_come_back_and_replicas_hold(tmp_path):
    with Demo(tmp_path, "--policies", "gpuscale", "--duration", "20s", "--gpus", "3", "--rate", "20",
              "--cold-start", "1s", "--speed", "20") as demo:
        demo.said(r"HPA: 1 -> 2")
        for who, word in (("agent", "--grpc-listen"), ("scaler", "scaler")):
            pid = demo.child(word)
            os.kill(pid, signal.SIGKILL)
            demo.said(rf"demo: the {who} was killed by signal 9 .* is started again")
            demo.said(rf"demo: the {who} is back")
            assert demo.child(word) != pid
        before = demo.text()
        assert demo.end() == 0, demo.text()
    # Up to the last return nothing was lowered.
    downs = [1 for a, b in re.findall(r"(?:HPA|KEDA): (\d+) -> (\d+):", before) if int(b) < int(a)]
    assert not downs, before
    _, rows = figures(tmp_path)
    assert rows["gpuscale"]["whole"] and rows["gpuscale"]["errors"] == 0


def test_a_replica_that_is_killed_under_its_requests_is_replaced_and_none_is_lost(tmp_path):
    with Demo(tmp_path, "--policies", "classic", "--duration", "15s", "--gpus", "2", "--rate", "16",
              "--cold-start", "1s", "--speed", "40") as demo:
        demo.said(r"^ *\d+ s .* 2\+0/2 ")
        os.kill(demo.child("engine"), signal.SIGKILL)
        demo.said(r"demo: llm-\d was killed by signal 9 \(Killed\) and is replaced")
        assert demo.end() == 0, demo.text()
    _, rows = figures(tmp_path)
    load = json.loads((tmp_path / "classic" / "load.json").read_text())
    assert rows["classic"]["errors"] == 0, load["errors"]
    assert rows["classic"]["served"] == load["sent"]


def test_replicas_without_a_free_gpu_wait_and_are_told(tmp_path):
    with Demo(tmp_path, "--policies", "gpuscale", "--duration", "8s", "--gpus", "2",
              "--max-replicas", "5", "--rate", "48", "--cold-start", "1s", "--speed", "40") as demo:
        demo.said(r"demo: no free GPU for \d of [345] replicas: all 2 are held")
        assert demo.end() == 0, demo.text()
    _, rows = figures(tmp_path)
    assert rows["gpuscale"]["gpuSeconds"] < 2 * 8 + 0.5


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_the_demo_is_ended(tmp_path, sig):
    with Demo(tmp_path, "--policies", "gpuscale", "--duration", "60s") as demo:
        demo.said(r"^ *[2-9] s .*\d\+\d/\d")
        below = children_of(demo.proc.pid)
        assert sum(" engine " in args for args in below.values()) >= 1
        demo.proc.send_signal(sig)
        status = demo.end()
        assert status == (-9 if sig == signal.SIGKILL else 0), demo.text()
    wait_until(lambda: not any(alive(p) for p in below), "the children have ended")
    if sig != signal.SIGKILL:
        assert "was cut short" in demo.text()
        assert not figures(tmp_path)[1]["gpuscale"]["whole"]


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
    for delay_ms in range(0, 600, 30):  # around the forks of agent, scaler, engine and load
        proc = subprocess.Popen([str(find_program("gpuscale")), "demo", "--out", str(tmp_path)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            proc.wait(delay_ms / 1000)
        proc.send_signal(signal.SIGKILL if delay_ms % 60 else signal.SIGINT)
        proc.wait(timeout=DEADLINE_S)
    wait_until(lambda: not mentioning(str(tmp_path)), "every child has ended")


def test_a_second_signal_does_not_wait(tmp_path):
    with Demo(tmp_path, "--policies", "cpu", "--duration", "60s") as demo:
        demo.said(r"^ *[2-9] s ")
        below = children_of(demo.proc.pid)
        for _ in range(3):
            demo.proc.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        assert demo.end() == 0
    wait_until(lambda: not any(alive(p) for p in below), "the children have ended")


GROWS = ["--policies", "gpuscale", "--duration", "10s", "--gpus", "4", "--rate", "24",
         "--cold-start", "1s", "--speed", "40"]


def fails(demo, word, *out):
    """The demo ends with an error that says `word`, and nothing of it is left."""
    assert demo.end() == 1, demo.text()
    assert word in demo.lines[-1], demo.text()
    assert not any(mentioning(str(text)) for text in out)


def test_an_engine_whose_log_cannot_be_written_ends_the_demo(tmp_path):
    with Demo(tmp_path, *GROWS) as demo:
        demo.said(r"^ *\d+ s +\d\S* .*\d\+\d/\d")  # the load runs: it would miss the folder as well
        (tmp_path / "gpuscale").rename(tmp_path / "moved")
        fails(demo, "/gpuscale/llm-", tmp_path)


def test_a_program_that_disappears_ends_the_demo(tmp_path):
    bin_, out = tmp_path / "bin", tmp_path / "out"
    bin_.mkdir()
    for name in ["gpuscale", "gpuscale-agent"]:
        shutil.copy(find_program(name), bin_ / name)
    with Demo(out, *GROWS, program=bin_ / "gpuscale") as demo:
        demo.said(r"^ *1 s .*\d\+\d/\d")
        (bin_ / "gpuscale").unlink()
        demo.said(r"demo: cannot\s+run\s+\S+/bin/gpuscale\s+explain:\s+no\s+such\s+file")
        fails(demo, f"cannot start {bin_}/gpuscale: No such file", out, bin_)


def test_wrong_options_are_told():
    for args, word in [(["--duration", "1s"], "duration"), (["--cold-start", "x"], "duration"),
                       (["--color", "pink"], "always"), (["what"], "what"),
                       (["--policies", "cpu,cpu"], "once"), (["--policies", "keda"], "gpuscale"),
                       (["--gpus", "0"], "gpus"), (["--speed", "1000"], "speed"),
                       (["--engine", "steam"], "classic")]:
        done = run("gpuscale", "demo", *args)
        assert done.returncode == 2 and word in done.stderr, (args, done.stderr)


def test_a_folder_that_cannot_be_made_is_an_error_not_a_hang(tmp_path):
    done = run("gpuscale", "demo", env={"TMPDIR": str(tmp_path / "missing")})
    assert done.returncode == 1 and "missing" in done.stderr
    done = run("gpuscale", "demo", "--out", str(tmp_path / "no" / "where"))
    assert done.returncode == 1 and "no/where" in done.stderr
    done = run("gpuscale", "demo", "--out", str(tmp_path / "a,b"))
    assert done.returncode == 1 and "--out" in done.stderr and "','" in done.stderr
    assert not (tmp_path / "a,b").exists()


def test_a_page_whose_port_is_taken_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = "127.0.0.1:%d" % taken.getsockname()[1]
        done = run("gpuscale", "demo", "--out", tmp_path, "--page", at)
    assert done.returncode == 1 and at in done.stderr and "in use" in done.stderr, done.stderr
    assert not mentioning(str(tmp_path))
