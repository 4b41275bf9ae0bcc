#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gpuscale load beside wrk, h2load and hey, all on one nginx that serves a static file: requests per CPU-second of the
client flat out and at a fixed rate, in turns; percentiles beside h2load's and hey's on a server that answers after 20 ms; and how late
requests leave beside a bare epoll_pwait2 sleeper with the same schedule at the same time. Budgets: 0.9 x wrk; p99 at most twice
the sleeper's.

    bench_load.py [--rounds 5] [--seconds 2]
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
sys.path.insert(0, str(HERE))
import harness  # noqa: E402
from bench_http import Nginx, percentile  # noqa: E402

CONNECTIONS, RATE, SLEEP_RATE = 50, 4000, 1000
PROGRAM = harness.find_program("gpuscale")
SLEEPER = harness.BUILD / "tests" / "bench" / "sleeper"


def timed(*args):
    """(stdout, CPU seconds) of a program and its children."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([str(a) for a in args], stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text = out.read().decode()
        assert process.returncode == 0, f"{args}\n{text}\n{err.read().decode()}"
    return text, usage.ru_utime + usage.ru_stime


def load(folder, url, rate, seconds, arrivals="uniform", connections=CONNECTIONS):
    """(result, CPU seconds)"""
    path = pathlib.Path(folder) / "load.json"
    _, cpu = timed(PROGRAM, "load", "--target", url, "--rate", rate, "--duration", f"{seconds}s", "--arrivals", arrivals,
                   "--connections", connections, "--json", path, "--progress", "none")
    r = json.loads(path.read_text())
    assert not any(r["errors"].values()), r["errors"]
    return r, cpu


def wrk(url, seconds):
    """(requests, CPU seconds)"""
    text, cpu = timed("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url)
    return int(re.search(r"(\d+) requests in", text).group(1)), cpu


def h2load(folder, url, requests, rps=None):
    """(latencies in ms, CPU seconds); rps: in all"""
    log = pathlib.Path(folder) / "h2load.log"
    log.unlink(missing_ok=True)
    pace = ["--rps", str(rps / CONNECTIONS)] if rps else []
    text, cpu = timed("h2load", "--h1", "-n", requests, "-c", CONNECTIONS, *pace, "--log-file", log, url)
    assert f" {requests} succeeded" in text, text
    return [int(line.split()[2]) / 1000 for line in log.read_text().splitlines()], cpu


def hey(url, requests, rps=None):
    """({percentile: ms}, CPU seconds)"""
    pace = ["-q", str(rps / CONNECTIONS)] if rps else []
    text, cpu = timed("hey", "-n", requests, "-c", CONNECTIONS, *pace, "-cpus", "1", url)
    assert re.search(rf"\[200\]\s+{requests} responses", text), text
    return {int(p): float(s) * 1000 for p, s in re.findall(r"(\d+)% in ([\d.]+) secs", text)}, cpu


def flat_out(folder, url, rounds, seconds):
    """Requests per CPU-second when the target is the limit."""
    found = {"wrk": [], "gpuscale load": [], "h2load": [], "hey": []}
    for _ in range(rounds):
        n, cpu = wrk(url, seconds)
        found["wrk"].append(n / cpu)
        # A little more than the target can take: connections are never idle.
        r, cpu = load(folder, url, int(1.3 * n / seconds), seconds)
        found["gpuscale load"].append(r["done"] / cpu)
        latencies, cpu = h2load(folder, url, n)
        found["h2load"].append(len(latencies) / cpu)
        _, cpu = hey(url, n - n % CONNECTIONS)
        found["hey"].append(n / cpu)
    print(f"flat out, {CONNECTIONS} connections, requests per CPU-second of the client (median of {rounds}):")
    base = statistics.median(found["wrk"])
    for name, values in found.items():
        print(f"  {name:<14} {statistics.median(values):>9,.0f}  {statistics.median(values) / base:5.2f} x wrk"
              f"   ({', '.join(f'{v:,.0f}' for v in values)})")


class Slow:
    """Answers each request DELAY_S after its head has come; a process of its own, ended by pid."""
    DELAY_S = 0.02
    CODE = f"""
import asyncio
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            await asyncio.sleep({DELAY_S})
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except (OSError, asyncio.IncompleteReadError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def at_a_rate(folder, url, rate, rounds, seconds, title):
    n = rate * seconds
    rows = {"gpuscale load": [], "h2load": [], "hey": []}
    for _ in range(rounds):
        r, cpu = load(folder, url, rate, seconds)
        since = r["sinceSent_ms"]
        rows["gpuscale load"].append((r["done"] / cpu, since["p50"], since["p95"], since["p99"]))
        latencies, cpu = h2load(folder, url, n, rate)
        rows["h2load"].append((n / cpu, *(percentile(latencies, p) for p in (0.5, 0.95, 0.99))))
        told, cpu = hey(url, n, rate)
        rows["hey"].append((n / cpu, told[50], told[95], told[99]))
    print(f"{title}, {rate}/s, from the real send time (median of {rounds}):")
    print(f"  {'':<14} {'per CPU-s':>10} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}")
    for name, values in rows.items():
        a, b, c, d = (statistics.median(v[i] for v in values) for i in range(4))
        print(f"  {name:<14} {a:>10,.0f} {b:>8.3f} {c:>8.3f} {d:>8.3f}")


def lateness(folder, url, rounds, seconds):
    """Side by side, so that both meet the same disturbances."""
    ours, bare = [], []
    for _ in range(rounds):
        sleeper = subprocess.Popen([SLEEPER, str(SLEEP_RATE), str(seconds)], stdout=subprocess.PIPE, text=True)
        late = load(folder, url, SLEEP_RATE, seconds)[0]["late_ms"]
        bare.append([float(v) for v in sleeper.communicate()[0].split()[:2]])
        ours.append([late["p50"] * 1000, late["p99"] * 1000])
    print(f"requests leave late, at {SLEEP_RATE}/s (microseconds, median of {rounds}):")
    for name, rows in (("bare sleeper", bare), ("gpuscale load", ours)):
        print(f"  {name:<14} p50 {statistics.median(r[0] for r in rows):8.1f}   p99 {statistics.median(r[1] for r in rows):8.1f}"
              f"   (p99: {', '.join(f'{r[1]:.0f}' for r in rows)})")
    ratios = [o[1] / b[1] for o, b in zip(ours, bare)]
    print(f"  p99 to p99, round by round: {statistics.median(ratios):.2f} x")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    args = parser.parse_args()
    missing = [p for p in ("wrk", "h2load", "hey") if not shutil.which(p)]
    if missing:
        sys.exit(f"{', '.join(missing)} missing: make deps-test")
    with tempfile.TemporaryDirectory() as folder, Nginx(folder, b"x" * 612) as nginx:
        flat_out(folder, nginx.url, args.rounds, args.seconds)
        at_a_rate(folder, nginx.url, RATE, args.rounds, args.seconds, "nginx")
        with Slow() as slow:
            at_a_rate(folder, slow.url, 200, args.rounds, args.seconds, "a server that answers after 20 ms")
        lateness(folder, nginx.url, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
