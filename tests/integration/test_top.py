# SPDX-License-Identifier: Apache-2.0
"""`gpuscale top` against a real agent and a real scaler: on a terminal (a pty whose screen the test reads back),
into a pipe, as JSON; resized, without colour, with the scaler gone and back, and ended in every way."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

import harness
from harness import run, wait_until
from scaler_kit import Keda, Scaler, VllmPod, eventually, pod, workload

GPUSCALE = str(harness.BUILD / "src/cmd/gpuscale")


class World:
    """Four GPUs: two held (one works, one idles), two free; a workload that has the first two."""

    def __init__(self, folder):
        config = folder / "agent.yaml"
        config.write_text("pods:\n- {gpu: 0, namespace: default, pod: llm-0, container: vllm}\n"
                          "- {gpu: 1, namespace: default, pod: llm-1, container: vllm}\n")
        load = folder / "load.sock"
        self.agent = harness.Program("gpuscale-agent", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
                                     "--health-listen", "127.0.0.1:0", "--node-name", "node-a", "--interval", "200ms",
                                     "--source", f"sim:4,idle,load={load}", "--config", config)
        self.agent.addr("grpc")
        self.load = str(load)
        self.pages = VllmPod(rate=3, waiting=2, running=5), VllmPod(rate=1)
        self.folder = folder
        self.start_scaler()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def start_scaler(self):
        pods = [pod("llm-0", self.pages[0].addr), pod("llm-1", self.pages[1].addr), pod("llm-2", state="starting")]
        self.scaler = Scaler(self.folder / "scaler", [workload(replicas=3, pods=pods)], agents=[self.agent.addr("grpc")],
                             engines={"interval": "500ms"})
        self.url = f"http://{self.scaler.http}"

    def _work(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            while not self.closing.wait(0.3):
                s.sendto(b"gpu=0 busy=0.8 ttl_ms=60000\n", self.load)

    def ask_keda(self):
        keda = Keda(self.scaler.grpc, self.folder)
        try:
            eventually("a decision", lambda: keda.replicas() == 3)
            wait_until(self.known, "both pods' rates and gauges")
            wait_until(lambda: self.state() == ["busy", "idle", "free", "free"], "the GPUs' states")
        finally:
            keda.close()

    def known(self):
        w, = self.json()["workloads"]
        return not any(w[k] is None or w[p + "_partial"] for k, p in (
            ("requests_per_s", "requests"), ("running", "running"), ("queue", "queue")))

    def state(self):
        return [g["state"] for g in self.json()["gpus"]]

    def json(self, *args):
        answer = json.loads(self.top("--json", *args).stdout)
        answer["gpus"].sort(key=lambda g: g["index"])
        return answer

    def top(self, *args, **kwargs):
        return run("gpuscale", "top", "--server", self.url, "--once", *args, **kwargs)

    def close(self):
        self.closing.set()
        self.thread.join()
        self.scaler.program.stop()
        self.agent.stop()
        for page in self.pages:
            page.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("world"))
    try:
        w.ask_keda()
        yield w
    finally:
        w.close()


class Terminal:
    """A program on a pty; `lines()` is what its screen shows, from the few sequences that top writes."""

    def __init__(self, *args, size=(24, 80), term="xterm", **env):
        self.size, self.out, self.lock = size, b"", threading.Lock()
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE")}
        environment |= {"TERM": term, "LANG": "C.UTF-8", **env}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(GPUSCALE, ["gpuscale", "top", *args], environment)
        self.resize(*size)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.status = None

    def _read(self):
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return
            if not data:
                return
            with self.lock:
                self.out += data

    def bytes(self):
        with self.lock:
            return self.out

    def resize(self, rows, columns):
        self.size = rows, columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def keys(self, text):
        os.write(self.fd, text.encode())

    def frame(self):
        """The newest whole frame: what came behind a "home" sequence."""
        frames = self.bytes().decode(errors="replace").replace("\r\r\n", "\n").split("\x1b[?1049l")[0].split("\x1b[H")
        whole = frames[-1].count("\n") == self.size[0] - 1
        return frames[-1] if whole or len(frames) < 2 else frames[-2]

    def lines(self):
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in self.frame().split("\n")]

    def shows(self, *patterns):
        def found():
            text = "\n".join(self.lines())
            return all(re.search(p, text, re.M) for p in patterns)
        try:
            wait_until(found, f"the screen shows {patterns}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.lines())) from None

    def attributes(self):
        return termios.tcgetattr(self.fd)

    def end(self):
        """The exit status, or minus the signal."""
        def gone():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            return pid
        wait_until(gone, "top ends")
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def test_once_prints_both_tables_whole_and_plain(world):
    done = world.top("--price", "H100=7", env={"COLUMNS": "80", "TERM": "xterm"})
    assert done.returncode == 0 and "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "4 GPUs: 1 busy, 3 idle (2 free) for $21.00/h; 2 held; all $28.00/h"
    assert max(map(len, lines)) <= 80
    assert re.search(r"^node-a +0 .*default/llm-0 +\d+% .* busy +- +7\.00$", done.stdout, re.M), done.stdout
    assert re.search(r"^node-a +1 .*default/llm-1 +0% .* idle +now +7\.00$", done.stdout, re.M), done.stdout
    assert re.search(r"^node-a +3 .* - +0% .* free +now +7\.00$", done.stdout, re.M), done.stdout
    assert re.search(r"^default/llm +2\+1/3 +3 .* 2 +1 +14\.00 +7\.00$", done.stdout, re.M), done.stdout
    wide = world.top(env={"COLUMNS": "200"}).stdout
    assert "H100 80GB HBM3" in wide and "--price gives $/h" in wide
    assert re.search(r" free +now +\?$", wide, re.M)  # no price is known: not 0


def test_json_has_units_in_its_names_and_null_for_unknown(world):
    wait_until(world.known, "both pods' rates and gauges")  # a page may be late on a busy machine
    answer = world.json("--price", "H100=7")
    assert answer["sum"]["idle"] == 1 and answer["sum"]["free"] == 2 and answer["sum"]["idle_usd_per_hour"] == 21
    busy, idle, free, _ = answer["gpus"]
    assert busy["pods"] == [{"namespace": "default", "pod": "llm-0"}] and free["pods"] == []
    assert busy["utilization_pct"] > 50 and busy["idle_seen_s"] is None and idle["utilization_pct"] == 0
    assert busy["memory_total_bytes"] > busy["memory_used_bytes"] > 0 and busy["reading_age_s"] < 15
    w, = answer["workloads"]
    assert (w["namespace"], w["target"]) == ("default", "deployment/llm")
    assert (w["spec_replicas"], w["ready_replicas"], w["starting_replicas"], w["desired_replicas"]) == (3, 2, 1, 3)
    assert 0 < w["requests_per_s"] < 20 and not w["requests_partial"] and w["queue"] == 2 and w["running"] == 6
    assert (w["gpus"], w["idle_gpus"], w["usd_per_hour"]) == (2, 1, 14)
    assert world.json()["gpus"][0]["usd_per_hour"] is None


def test_json_without_once_is_a_line_a_refresh(world):
    with subprocess.Popen([GPUSCALE, "top", "--server", world.url, "--json", "--interval", "100ms"],
                          stdout=subprocess.PIPE, text=True) as top:
        try:
            times = [json.loads(top.stdout.readline())["time"] for _ in range(3)]
        finally:
            top.terminate()
        assert len(set(times)) == 3 and top.wait(harness.DEADLINE_S) == 0


def test_the_screen_follows_keys_and_size_and_the_terminal_is_as_it_was(world):
    with Terminal("--server", world.url, "--interval", "200ms", "--price", "H100=7") as t:
        t.shows(r"^4 GPUs: 1 busy, 3 idle \(2 free\)", r"^node-a +1 .* idle +\d\.\ds +7\.00$", r"^q quit")
        assert "\x1b[33m" in t.frame() and not t.attributes()[3] & termios.ICANON
        t.keys("w")
        t.shows(r"^default/llm +2\+1/3")
        t.keys("\t/llm-1\r")
        t.shows(r"^node-a +1 ", r"1-1 of 1 \(of 4\)")
        assert not any(line.startswith("node-a   0") for line in t.lines())
        t.keys("\x1bs")  # Escape: no filter; another order: by state
        t.shows(r"by state", r"^node-a +0 ")
        rows = [line.split()[1] for line in t.lines() if line.startswith("node-a")]
        assert rows == ["1", "2", "3", "0"]
        for rows, columns in (10, 60), (50, 200), (6, 20), (24, 80):
            t.resize(rows, columns)
            wait_until(lambda: len(t.lines()) == rows and max(map(len, t.lines())) <= columns, f"{rows}x{columns}")
            t.shows("GPU")
        t.keys("h")
        t.shows(r"^busy +works")
        t.keys("q")
        assert t.end() == 0
        wait_until(lambda: t.bytes().endswith(b"\x1b[?1049l"), "the screen is back")
        assert t.attributes()[3] & termios.ICANON and t.attributes()[3] & termios.ECHO


def test_a_pause_holds_the_picture_and_ends(world):
    with Terminal("--server", world.url, "--interval", "100ms") as t:
        t.shows("^4 GPUs")
        t.keys(" ")
        t.shows("PAUSED")
        t.keys(" ")
        wait_until(lambda: "PAUSED" not in t.lines()[0], "it goes on")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, 0),
                                            (signal.SIGSEGV, -signal.SIGSEGV), (signal.SIGABRT, -signal.SIGABRT)])
def test_every_end_restores_the_terminal(world, number, status):
    with Terminal("--server", world.url) as t:
        t.shows("^4 GPUs")
        os.kill(t.pid, number)
        ended = t.end()
        assert ended == status or "asan" in str(harness.BUILD)  # a sanitizer turns crashes into an exit
        wait_until(lambda: b"\x1b[?25h\x1b[?1049l" in t.bytes(), "the cursor and the screen are back")
        assert t.attributes()[3] & termios.ICANON and t.attributes()[3] & termios.ECHO


def test_no_color_and_an_ascii_locale_are_kept_to(world):
    with Terminal("--server", world.url, NO_COLOR="1", LANG="C", size=(24, 44)) as t:
        t.shows("^4 GPUs")
        frame = t.frame()
        assert not re.search(r"\x1b\[[0-9;]*m", frame) and frame.isascii()


def test_a_dumb_terminal_gets_it_once(world):
    with Terminal("--server", world.url, term="dumb") as t:
        assert t.end() == 0
        wait_until(lambda: b"IDLE$/H" in t.bytes(), "both tables")
        assert b"\x1b" not in t.bytes() and b"4 GPUs" in t.bytes()


def test_a_scaler_that_goes_is_told_and_one_that_comes_back_is_found(tmp_path):
    w = World(tmp_path)
    try:
        w.ask_keda()
        port = w.scaler.http.rsplit(":", 1)[1]
        with Terminal("--server", w.url, "--interval", "200ms", size=(24, 200)) as t:
            t.shows("^4 GPUs")
            w.scaler.program.stop()
            t.shows(r"^data \d+ s old: .*is the scaler running there\?", r"^node-a +0 ")
            config = json.loads((w.folder / "scaler/scaler.yaml").read_text())
            config["http"]["listen"] = f"127.0.0.1:{port}"
            (w.folder / "scaler/scaler.yaml").write_text(json.dumps(config))
            w.scaler.program = harness.Program("gpuscale", "scaler", "--config", w.folder / "scaler/scaler.yaml")
            t.shows(r"^q quit", r"^node-a +0 .* busy ")
            t.keys("q")
            assert t.end() == 0
    finally:
        w.close()


def test_what_is_wrong_is_told_with_what_to_do(world):
    gone = run("gpuscale", "top", "--once", "--server", "http://127.0.0.1:1")
    assert gone.returncode == 1 and "--server names its HTTP port" in gone.stderr
    other = run("gpuscale", "top", "--once", "--server", world.pages[0].url)
    assert other.returncode == 1 and "/api/v1/gpus" in other.stderr
    for args, told in ((["--price", "H100"], "MODEL=USD"), (["--interval", "1ms"], "100ms to 1h"),
                       (["--sort", "x"], "--help lists"), (["x"], "no arguments"), (["--server", "ftp://x"], "ftp")):
        done = run("gpuscale", "top", "--once", *args)
        assert done.returncode in (1, 2) and told in done.stderr, (args, done.stderr)
