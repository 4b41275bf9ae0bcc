# SPDX-License-Identifier: Apache-2.0
"""The page (web/) as people see it: a canned run of page_server in headless Chromium, live and as a report from
disk, in both themes, at both widths, by keyboard; its feed and its policy on the wire."""

import json
import re
import signal
import socket
import subprocess

import harness
import page_kit
from page_kit import Page, drive
from test_demo import Demo

POLICIES = ["CPU 70 %", "Classic triggers", "gpuscale"]


def read_feed(address, until, path="/api/v1/live"):
    """[(event, data)] of the feed, until until(events) is true."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        data = b""
        while True:
            events = parse_feed(data)
            if until(events):
                return events
            part = s.recv(65536)
            assert part, f"the feed ended after {len(events)} events"
            data += part


def parse_feed(data):
    head, _, body = data.partition(b"\r\n\r\n")
    if not body:
        return []
    assert re.search(rb"^Content-Type: text/event-stream\r?$", head, re.M | re.I), head
    events = []
    for block in body.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in block.splitlines() if not line.startswith(b":"))
        if b"event" in fields:
            events.append((fields[b"event"].decode(), json.loads(fields[b"data"])))
    return events


def ended(events):
    return bool(events) and events[-1][0] == "end"


def test_a_run_is_seen_from_its_first_second_to_its_table():
    with Page("--pace-ms", "130", "--stop-after", "60") as server:
        seen = page_kit.Drive("run", url=server.url)
        assert seen.line() == "go"
        server.signal(signal.SIGUSR1)
        got = seen.result()
    assert len({str(s["meters"]) for s in got["seen"]}) > 2, "values did not move"
    assert len({s["verdict"] for s in got["seen"]}) > 1
    assert all(re.match(r"8 GPUs: ", s["gpus"]) for s in got["seen"])
    for view in got["mid"] + got["end"]:
        assert view["overflow"] == [] and view["faint"] == [] and view["nameless"] == []
    assert [view["trouble"] for view in got["end"]] == [[], [], [], []]
    assert got["points"] == [40, 40, 40]
    assert got["charts"] == 8 and got["decisions"] > 2 and len(got["notes"]) == 2
    assert re.match(r"gpuscale served \d+ requests for \$0\.\d+: none failed, p95 2\.\d+ s\.", got["verdict"]), got["verdict"]
    assert len(got["against"]) == 2
    assert re.match(r"CPU 70 %, for the same load: \d+ of \d+ requests failed, p95 \d+\.\d s, \d+ % less GPU time\.$", got["against"][0])
    assert re.match(r"Classic triggers, for the same load: p95 \d+\.\d+ s, \d+ % more GPU time\.$", got["against"][1])
    assert got["title"].endswith("gpuscale")
    assert [name for name in POLICIES if name in got["table"][0]] == POLICIES
    assert [row.split("\t")[0].strip() for row in got["table"][1:]] == [
        "Requests served", "Failed", "Within the SLO", "Latency p50", "Latency p95", "Latency p99", "Cost", "GPU-seconds",
        "of them idle", "Scale events"]
    best = {row[0]: row[1] for row in got["best"]}  # who fails requests does not win by what it does not spend
    assert best["Cost"] == best["GPU-seconds"] == best["of them idle"] == [3] and best["Failed"] == [2, 3], best
    assert best["Within the SLO"] == [3] and best["Scale events"] == []
    assert all(url.startswith((server.url, "data:")) for url in got["asked"]), got["asked"]


def test_the_demos_own_page_lives_and_its_report_opens(tmp_path):
    with Demo(tmp_path, "--policies", "cpu,gpuscale", "--duration", "9s", "--gpus", "3", "--rate", "20", "--cold-start", "1s",
              "--speed", "40") as demo:
        live = drive("demo", url=demo.said(r"^Live page: (\S+)$")[1], acts=2)
        assert demo.end() == 0, demo.text()
    report = drive("report", url=page_kit.file_url(tmp_path / "report.html"), name="demo-report")
    assert live["trouble"] == [] and live["overflow"] == [] and live["faint"] == [] and live["status"] == "Run over"
    cpu, ours = live["acts"]
    assert cpu["verdict"].startswith("CPU 70 %: ") and ours["verdict"].startswith("gpuscale: ")
    assert cpu["gpus"].startswith("3 GPUs: ") and cpu["meters"] != ours["meters"]
    assert "size" in ours["rule"] and any("requestRate" in text for text in ours["signals"]), ours
    assert "gpuscale" in live["decisions"] and "replica" in live["decisions"]
    assert all(points >= 7 for points in live["points"]) and live["verdict"].startswith("gpuscale served ")
    for view in report["views"]:
        assert view["trouble"] == [] and view["overflow"] == [] and view["points"] == live["points"]
        assert view["verdict"] == live["verdict"] and view["table"] == live["table"]


def test_the_report_opens_from_disk_and_asks_nobody(tmp_path):
    report = tmp_path / "report.html"
    with Page("--pace-ms", "5", "--report", report) as server:
        read_feed(server.address, ended)
        harness.wait_until(report.exists, "the report")
    got = drive("report", url=page_kit.file_url(report))
    for view in got["views"]:
        assert view["trouble"] == [] and view["overflow"] == []
        assert view["asked"][0].startswith("file://")
        assert all(url.startswith("data:") for url in view["asked"][1:]), view["asked"]
        assert view["cards"] == POLICIES and view["points"] == [40, 40, 40]
        assert view["charts"] == 8 and len(view["table"]) == 11


def test_names_that_try_to_be_markup_stay_text(tmp_path):
    report = tmp_path / "report.html"
    with Page("--pace-ms", "5", "--hostile", "--report", report) as server:
        read_feed(server.address, ended)
        live = drive("hostile", url=server.url)
    again = drive("report", url=page_kit.file_url(report), name="hostile")
    assert live["trouble"] == [] and live["scripts"] == 2 and live["images"] == 0
    assert live["cards"][0] == "</script><script>document.title='owned'</script>"
    assert live["title"].startswith("</title><script>")
    assert "</script><b>bold</b>" in live["decisions"]
    for view in again["views"]:
        assert view["trouble"] == [] and view["title"] == live["title"] and view["cards"] == live["cards"]


def test_what_is_not_known_is_called_unknown():
    with Page("--pace-ms", "20", "--bare", "--acts", "1", "--stop-after", "20") as server:
        got = drive("unknown", url=server.url)
    assert got["trouble"] == []
    assert got["queue"] == {"engines": None, "held": 0}, "an empty gateway is not an empty queue"
    assert re.search(r"GPU time\s+unknown\s+idle unknown", got["meters"]), got["meters"]
    assert re.search(r"Waiting\s+unknown", got["meters"]) and re.search(r"Served\s+unknown", got["meters"])
    assert "how many requests wait is unknown" in got["verdict"]
    assert got["gpus"] == "No GPU is known."
    assert any("unknown" in text for text in got["readouts"])
    assert "$0" not in got["all"] and "smActivity\nunknown" in got["all"].replace("\n\n", "\n")


def played(tmp_path, *args, name):
    report = tmp_path / f"{name}.html"
    with Page("--pace-ms", "5", "--report", report, *args) as server:
        read_feed(server.address, ended)
        harness.wait_until(report.exists, "the report")
    light, dark = drive("report", url=page_kit.file_url(report), name=name)["views"]
    for view in (light, dark):
        assert view["trouble"] == [] and view["overflow"] == [] and view["faint"] == []
    return light


def test_a_run_that_was_cut_short_is_not_compared_with_whole_ones(tmp_path):
    got = played(tmp_path, "--cut", "10", name="cut-ours")
    assert re.match(r"gpuscale was cut short after 10 s and is not compared: until then it served \d+ requests, none failed\.$",
                    got["verdict"]), got["verdict"]
    assert len(got["against"]) == 2 and not re.search("more|less|same", " ".join(got["against"])), got["against"]
    assert re.match(r"CPU 70 %, for the whole load: \d+ of \d+ requests failed, p95 \d+\.\d s\.$", got["against"][0])
    assert got["progress"] == "Stopped: 2 of 3 runs are whole" and got["chips"] == ["done", "done", "cut short, 10 s"]
    assert got["table"][0].endswith("gpuscale (cut short)"), got["table"][0]
    assert all(3 not in columns for _, columns in got["best"]), got["best"]  # though its 10 s cost the least
    assert ["Cost", [2]] in got["best"] and ["Failed", [2]] in got["best"]


def test_a_run_that_ended_before_all_had_their_turn_says_so(tmp_path):
    got = played(tmp_path, "--acts", "2", "--cut", "7", name="cut-early")
    assert got["verdict"] == "The run was stopped before gpuscale's turn." and got["against"] == []
    assert got["progress"] == "Stopped: 1 of 3 runs is whole"
    assert got["chips"] == ["done", "cut short, 7 s", "did not run"]
    assert all(columns == [] for _, columns in got["best"]), got["best"]  # one whole run wins over nobody


def test_everything_is_reached_and_worked_by_keyboard():
    with Page("--pace-ms", "5") as server:
        read_feed(server.address, ended)
        got = drive("keyboard", url=server.url)
    assert got["trouble"] == []
    hidden = [stop for stop in got["stops"] if not stop["visible"]]
    assert hidden == [], f"focus is not visible on {hidden}"
    names = " | ".join(stop["name"] for stop in got["stops"])
    for wanted in ("To the figures", "CPU 70 %: show its detail", "gpuscale: show its detail", "Requests waiting", "p95"):
        assert wanted in names or wanted in str(got["stops"]), (wanted, names)
    assert {"decisions"} <= {stop["id"] for stop in got["stops"]}
    assert got["detail"] == ["Detail: gpuscale", "Detail: CPU 70 %"] and got["pressed"] == ["true", "false", "false"]
    assert "Latency p99" in got["titles"]
    assert " 1 s: " in got["labels"][0] and " 2 s: " in got["labels"][1] and " 40 s: " in got["labels"][2]
    assert got["skipped"] == "main"


def test_a_lost_feed_is_told_and_found_again():
    server = Page("--pace-ms", "50", "--acts", "1", "--stop-after", "20")
    seen = page_kit.Drive("lost", url=server.url)
    assert seen.line() == "kill"
    server.kill()
    assert seen.line() == "revive"
    with Page("--listen", server.address, "--pace-ms", "50", "--acts", "1", "--stop-after", "38"):
        got = seen.result()
    assert got["trouble"] == []
    assert re.match(r"Connection lost \d+ s ago, trying again", got["lost"])
    assert got["ts"] == sorted(set(got["ts"])), "frames twice"
    assert got["kept"][0] >= 5


def test_a_feed_that_says_nothing_is_told():
    with Page("--pace-ms", "20", "--stop-after", "5") as server:
        got = drive("silent", url=server.url)
    assert got["trouble"] == [] and re.match(r"No news for \d+ s", got["status"])


def test_the_policy_lets_nothing_else_run():
    with Page("--stop-after", "0") as server, Page("--stop-after", "0") as other:
        status, headers, body = harness.http_get(server.url)
        got = drive("policy", url=server.url, other=other.url)
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and headers["X-Content-Type-Options"] == "nosniff"
    assert b"http-equiv=\"Content-Security-Policy\"" in body
    assert got["before"] == 0 and got["owned"] is None and got["fetched"] == "refused"
    assert got["style"] != "rgb(1, 2, 3)" and got["refusals"] >= 3


def test_the_feed_is_hello_then_frames_then_the_end_for_the_late_too():
    with Page("--pace-ms", "5") as server:
        first = read_feed(server.address, ended)
        late = read_feed(server.address, ended)
    assert first == late
    kinds = [kind for kind, _ in first]
    assert kinds == ["hello"] + ["frame"] * 120 + ["end"]
    hello = first[0][1]
    assert [p["label"] for p in hello["policies"]] == POLICIES and hello["kind"] == "demo"
    frames = [data for kind, data in first if kind == "frame"]
    assert [f["policy"] for f in frames] == ["cpu"] * 40 + ["classic"] * 40 + ["gpuscale"] * 40
    assert [row["policy"] for row in first[-1][1]["table"]] == ["cpu", "classic", "gpuscale"]


def test_readers_over_the_limit_are_told_to_come_back():
    limit = 64  # LIMIT_LIVE_READERS
    with Page("--stop-after", "0") as server:
        host, port = server.address.rsplit(":", 1)
        readers = []
        for _ in range(limit):
            s = socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S)
            s.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
            readers.append(s)
        status, headers, _ = harness.http_get(server.url + "api/v1/live")
        assert status == 503 and headers["Retry-After"] == "5"
        readers.pop().close()
        harness.wait_until(lambda: take_place(host, port, readers), "a place that got free")
        assert harness.http_get(server.url)[0] == 200
        for s in readers:
            s.close()


def take_place(host, port, readers):
    s = socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S)
    s.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n")
    good = s.recv(65536).startswith(b"HTTP/1.1 200 ")
    readers.append(s)
    return good


def test_the_lock_file_names_no_registry_and_the_scripts_parse():
    lock = (page_kit.PAGE / "package-lock.json").read_text()
    assert "resolved" not in lock and "://" not in lock
    for script in sorted((harness.ROOT / "web" / "app").glob("*.js")) + [page_kit.PAGE / "drive.mjs"]:
        subprocess.run(["node", "--check", str(script)], check=True, capture_output=True, timeout=60)
