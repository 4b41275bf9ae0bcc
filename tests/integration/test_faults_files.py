# SPDX-License-Identifier: Apache-2.0
"""Files and disks that fail under running programs: logs on a full disk, workloads files of every bad
kind, configurations with every kind of mistake."""

import json
import os
import subprocess

import pytest

import harness
from agent_kit import Agent, free_port
from harness import http_get, metric_values, run, wait_until
from scaler_kit import Keda, Scaler, eventually, workload

STAYS = "workloads file not taken, the version before stays in use"


def values(url, name):
    status, _, body = http_get(url)
    assert status == 200
    return list(metric_values(body, name).values())


# --- logs that cannot be written


@pytest.fixture
def full_disk(tmp_path):
    """A disk of 16 KiB, where this user may mount one; else nothing."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)],
                          capture_output=True)
    yield folder / "log" if done.returncode == 0 else None
    if done.returncode == 0:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["/dev/full", "small disk", "closed", "nobody reads"])
def test_logs_that_cannot_be_written_are_counted_and_stop_nothing(tmp_path, full_disk, kind):
    ports = [free_port() for _ in range(5)]
    agent_url, scaler_url = (f"http://127.0.0.1:{p}/metrics" for p in ports[:2])
    scaler_grpc = f"127.0.0.1:{ports[4]}"
    files = tmp_path / "workloads.yaml"
    files.write_text(json.dumps({"workloads": [workload(replicas=3)]}))
    if kind == "small disk" and full_disk is None:
        pytest.skip("only root may mount a disk")
    if kind == "nobody reads":
        reader, log = os.pipe()
    elif kind == "closed":
        reader, log = os.pipe()
        os.close(reader)
    else:
        log = os.open("/dev/full" if kind == "/dev/full" else full_disk,
                      os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if kind in ("small disk", "nobody reads"):  # filled up before
        os.set_blocking(log, False)
        try:
            while os.write(log, b"x" * 512):
                pass
        except OSError:
            pass
        os.set_blocking(log, True)
    programs = []

    def start(name, *args):
        programs.append(subprocess.Popen([str(harness.find_program(name)), *map(str, args)],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return programs[-1]
    try:
        agent = start("gpuscale-agent", "--source", "sim:1,lost,after=100ms,for=100ms,period=300ms",
                      "--interval", "100ms", "--dcgm", "on", "--listen", f"127.0.0.1:{ports[0]}",
                      "--grpc-listen", f"127.0.0.1:{ports[3]}", "--health-listen", "127.0.0.1:0")
        scaler = start("gpuscale", "scaler", "--workloads", files, "--grpc-listen", scaler_grpc,
                       "--http-listen", f"127.0.0.1:{ports[1]}", "--health-listen", "127.0.0.1:0")
        wait_until(lambda: values(agent_url, "gpuscale_agent_log_lines_lost_total")[0] >= 3,
                   "the agent counts")
        wait_until(lambda: values(scaler_url, "gpuscale_log_lines_lost_total")[0] >= 3,
                   "the scaler counts")
        k = Keda(scaler_grpc, tmp_path)
        eventually("it answers", lambda: k.replicas() == 3)
        rounds = values(agent_url, "gpuscale_agent_rounds_total")[0]
        wait_until(lambda: values(agent_url, "gpuscale_agent_rounds_total")[0] > rounds + 3,
                   "the agent goes on")
        k.close()
        for program in (agent, scaler):
            assert program.poll() is None
            program.terminate()
            assert program.wait(harness.DEADLINE_S) == 0
    finally:
        for program in programs:
            program.kill()
            program.wait()
        os.close(log)
        if kind == "nobody reads":
            os.close(reader)


# --- the workloads file


def put(path, content):
    """At once, as a careful writer does: no half file is seen, which would be a fault of its own."""
    fresh = path.with_suffix(".bad")
    fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(fresh, path)


def put_garbage(path):
    put(path, os.urandom(4096))


def put_cut(path):
    put(path, json.dumps({"workloads": [workload(replicas=9)] * 3})[:-40])


def put_nothing(path):
    path.unlink()


def put_not_utf8(path):
    put(path, b"workloads:\n- {namespace: default, target: deployment/l\xffm}\n")


def put_nul(path):
    put(path, b"workloads:\n- {namespace: default, target: \"deployment/l\0m\"}\n")


def put_large(path):
    put(path, "workloads:\n" + "# a comment\n" * (5 << 20 >> 3))


def put_bomb(path):
    levels = ["a: &a [x, x, x, x, x, x, x, x, x]"] + [
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)]
    put(path, "\n".join(levels) + "\nworkloads: *j\n")


def put_deep(path):
    put(path, "workloads: " + "[" * 20000)


def put_twice(path):
    put(path, json.dumps({"workloads": [workload(replicas=9), workload(replicas=8)]}))


def put_empty(path):
    put(path, "")


def put_folder(path):
    path.unlink()
    path.mkdir()


def put_fifo(path):
    os.mkfifo(path.with_suffix(".bad"))
    os.replace(path.with_suffix(".bad"), path)


def put_loop(path):
    path.with_suffix(".bad").symlink_to(path.name)
    os.replace(path.with_suffix(".bad"), path)


BAD = [put_garbage, put_cut, put_nothing, put_not_utf8, put_nul, put_large, put_bomb, put_deep,
       put_twice, put_empty, put_folder, put_fifo, put_loop]


def test_every_bad_workloads_file_leaves_the_one_before(tmp_path):
    path = tmp_path / "workloads.yaml"
    with Scaler(tmp_path, [workload(replicas=3)], tick="100ms") as s:
        k, url = Keda(s.grpc, tmp_path), f"http://{s.http}/metrics"
        assert k.replicas() == 3

        def failures():
            found = metric_values(s.page(), "gpuscale_reload_failures_total")
            return found[frozenset({("file", "workloads")})]
        for number, bad in enumerate(BAD, 1):
            before = failures()
            bad(path)
            eventually(f"{bad.__name__} is counted", lambda: failures() > before)
            ticks = values(url, "gpuscale_tick_duration_seconds_count")[0]
            eventually("ticks go on", lambda: values(
                url, "gpuscale_tick_duration_seconds_count")[0] > ticks + 3)
            # A folder takes a file's place in two steps, and the scaler may see both.
            counted = failures()
            assert counted <= before + (2 if bad is put_folder else 1), \
                f"{bad.__name__} is read again and again"
            assert k.replicas() == 3, bad.__name__
            told = s.program.events(STAYS)
            assert number > 10 or str(path) in told[-1]["error"], told[-1:]
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.is_symlink() or path.is_fifo():
                path.unlink()
            fresh = f"good-{number}"
            s.set_workloads([workload(replicas=3), workload(fresh, number)])
            eventually("a good one heals", lambda: k.replicas(name=fresh) == number)
            assert failures() == counted
        assert len(s.program.events(STAYS)) <= len(BAD) + 1
        k.close()


# --- configurations


SCALER = "grpc: {listen: '127.0.0.1:0'}\nhealth: {listen: '127.0.0.1:0'}\nworkloads: w.yaml\n"
# program, text, place in it, words
MISTAKES = [
    ("agent", "interval: 1s\nsorce: sim:1\n", "2:1", ["source"]),
    ("agent", "source: sim:1\nsource: sim:2\n", "2:1", ["source"]),
    ("agent", "source: [sim:1]\n", "1:9", ["source"]),
    ("agent", "source: sim:1\ninterval: soon\n", "2:11", ["interval", "soon"]),
    ("agent", "source: sim:1\ninterval: 1us\n", "2:11", ["interval"]),
    ("agent", "source: sim:1\nmetrics: {dcgm: perhaps}\n", "2:17", ["dcgm", "perhaps"]),
    ("agent", "source: sim:1\nmetrics:\n  tls: {cert: x}\n", "", ["key"]),
    ("agent", "source: sim:1\npods:\n- {gpu: 0, namespace: a}\n", "3:3", ["pod"]),
    ("agent", "source: sim:1\npods: {a: b}\n", "2:7", ["list"]),
    ("agent", "source: 'sim:1\n", "", []),
    ("agent", "source: sim:1\n---\nsource: sim:2\n", "2:1", ["document"]),
    ("agent", "- source\n", "1:1", []),
    ("agent", "source: sim:1\n\tinterval: 1s\n", "1:9", []),
    ("scaler", SCALER + "tikc: 1s\n", "4:1", ["tick"]),
    ("scaler", SCALER + "tick: 0s\n", "4:7", ["tick"]),
    ("scaler", SCALER + "tick: {a: b}\n", "4:7", ["tick"]),
    ("scaler", SCALER + "http: {listen: '127.0.0.1:0', tls: {cert: a}}\n", "", ["key"]),
    ("scaler", SCALER + "agents: {targets: nowhere}\n", "4:19", ["list"]),
    ("scaler", SCALER + "agents: {targets: ['a:b:c']}\n", "4:", ["a:b:c"]),
    ("scaler", SCALER + "demand: {x: {url: 'ftp://x', waiting: a}}\n", "4:", ["ftp://x"]),
    ("scaler", SCALER + "demand: {x: {url: 'http://x', waiting: 'a{b'}}\n", "4:", ["a{b"]),
    ("scaler", SCALER + "demand: {x: {url: 'http://x'}}\n", "", ["demand.x"]),
    ("scaler", SCALER + "log: {level: loud}\n", "4:14", ["loud", "debug"]),
    ("scaler", SCALER + "grpc: {}\n", "4:1", ["grpc"]),
]


def test_a_pipe_in_the_place_of_the_configuration_does_not_hold_the_agent(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("interval: 1s\n")
    with Agent("sim:1", config=config, interval=None) as agent:
        agent.wait_ready()
        put_fifo(config)
        agent.wait_log("configuration not reloaded, the one before stays")
        rounds = agent.values("gpuscale_agent_scrapes_total")
        wait_until(lambda: agent.values("gpuscale_agent_scrapes_total") != rounds, "it serves")


@pytest.mark.parametrize("raw", [b"\xff\xfe\0", b"source: \"a\xff\"\n", b"source: a\0b\n"])
@pytest.mark.parametrize("program", ["agent", "scaler"])
def test_a_configuration_that_is_no_text_is_told(tmp_path, program, raw):
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    argv = ["gpuscale-agent"] if program == "agent" else ["gpuscale", "scaler"]
    done = run(*argv, "--config", path)
    assert done.returncode == 2 and f"{path}:1:" in done.stderr, done


def test_every_mistake_in_a_configuration_is_told_with_its_place(tmp_path):
    path = tmp_path / "config.yaml"
    wrong = []
    for program, text, place, words in MISTAKES:
        path.write_text(text)
        argv = (["gpuscale-agent", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
                 "--health-listen", "127.0.0.1:0"] if program == "agent" else ["gpuscale", "scaler"])
        done = run(*argv, "--config", path)
        at = f"{path}:{place}" if place else str(path)
        if done.returncode != 2 or at not in done.stderr or any(
                w not in done.stderr for w in words) or "ERROR" in done.stderr:
            wrong.append((text.splitlines()[-1], place, words, done.returncode, done.stderr))
    assert not wrong, "\n".join(map(str, wrong))
