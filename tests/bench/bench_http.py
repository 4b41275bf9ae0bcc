#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A scrape beside nginx serving the same bytes as a static file: latency and CPU, plain and over TLS, the same
client (h2load) in turns. Budget: median and p99 at most twice nginx's.

    bench_http.py                                      http_hello's 60 KB page
    bench_http.py --url http://HOST:PORT/metrics       any server; --pid N: its CPU too, --cacert for https
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import harness  # noqa: E402

ROUNDS, REQUESTS = 5, 4000
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


class Nginx:
    """Serves `page` at /page, plain or with a certificate; one process, ended by pid."""

    def __init__(self, folder, page, cert=None, key=None):
        self.folder = pathlib.Path(folder)
        (self.folder / "page").write_bytes(page)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        tls = f"ssl_certificate {cert}; ssl_certificate_key {key};" if cert else ""
        (self.folder / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000; open_file_cache max=10;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; default_type "text/plain; version=0.0.4";
  server {{ listen 127.0.0.1:{self.port} {"ssl" if cert else ""}; {tls} root {folder}; }} }}
""")
        self.proc = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(self.folder / "nginx.conf")])
        self.pid = self.proc.pid
        self.url = f"{'https' if cert else 'http'}://127.0.0.1:{self.port}/page"
        harness.wait_until(lambda: socket.create_connection(("127.0.0.1", self.port)).close() or True, "nginx")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.terminate()
        self.proc.wait()


def cpu_seconds(pid):
    """On-CPU time in seconds, by the scheduler's nanoseconds."""
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def round_of(url, pid, clients, requests=REQUESTS):
    """(latencies in us, CPU us a request of the server or None, requests a second)"""
    with tempfile.NamedTemporaryFile() as log:
        before, start = cpu_seconds(pid) if pid else 0, time.monotonic()
        done = subprocess.run(["h2load", "--h1", "-n", str(requests), "-c", str(clients), "--log-file", log.name, url],
                              capture_output=True, text=True)
        took = time.monotonic() - start
        cpu = (cpu_seconds(pid) - before) * 1e6 / requests if pid else None
        good = re.search(r"(\d+) succeeded", done.stdout)
        assert done.returncode == 0 and good and int(good.group(1)) == requests, done.stdout + done.stderr
        return [int(line.split()[2]) for line in open(log.name)], cpu, requests / took


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


def compare(title, ours, theirs, clients, rounds=ROUNDS):
    """ours, theirs: (name, url, pid). In turns, so that a disturbance hits both; prints; the ratios of p50, p99."""
    results = {ours[0]: [], theirs[0]: []}
    for name, url, pid in (ours, theirs):
        round_of(url, pid, clients, 500)  # warm
    for _ in range(rounds):
        for name, url, pid in (ours, theirs):
            results[name].append(round_of(url, pid, clients))
    print(f"{title}, {clients} connection{'s' if clients > 1 else ''}, {rounds} x {REQUESTS} requests")
    figures = {}
    for name, runs in results.items():
        # The median over rounds: this machine may be shared.
        p50, p99 = (statistics.median(percentile(r[0], p) for r in runs) for p in (0.5, 0.99))
        cpu = statistics.median(r[1] for r in runs) if runs[0][1] is not None else float("nan")
        rate = statistics.median(r[2] for r in runs)
        figures[name] = (p50, p99)
        print(f"  {name:12} p50 {p50:7.0f} us   p99 {p99:7.0f} us   CPU {cpu:6.1f} us/request   {rate:8.0f}/s")
    ratios = tuple(a / b for a, b in zip(figures[ours[0]], figures[theirs[0]]))
    print(f"  {ours[0]} / {theirs[0]}: p50 {ratios[0]:.2f}, p99 {ratios[1]:.2f} (budget 2)")
    return ratios


def fetch(url, cacert=None):
    import ssl
    context = ssl.create_default_context(cafile=cacert) if cacert else None
    status, _, body = harness.http_get(url, context=context)
    assert status == 200, status
    return body


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--cacert")
    parser.add_argument("--name", default="ours")
    args = parser.parse_args()
    if not shutil.which("h2load") or not os.path.exists(NGINX):
        sys.exit("needs h2load (nghttp2-client) and nginx")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        certs = harness.Certs(folder / "certs")
        pair = certs.leaf("server")
        if args.url:
            (folder / "w").mkdir()
            with Nginx(folder / "w", fetch(args.url, args.cacert),
                       *(pair if args.url.startswith("https") else ())) as nginx:
                for clients in (1, 8):
                    compare(args.url, (args.name, args.url, args.pid), ("nginx", nginx.url, nginx.pid), clients)
            return
        for title, cert in (("plain", ()), ("TLS", pair)):
            flags = ["--cert", cert[0], "--key", cert[1]] if cert else []
            with harness.Program(harness.BUILD / "tests/integration/http_hello", *flags) as program:
                addr = program.addr("http").replace("127.0.0.1", "localhost") if cert else program.addr("http")
                url = f"{'https' if cert else 'http'}://{addr}/page"
                work = folder / title
                work.mkdir()
                with Nginx(work, fetch(url, str(certs.ca) if cert else None), *cert) as nginx:
                    url = url.replace("localhost", "127.0.0.1")
                    for clients in (1, 8):
                        compare(title, ("http_server", url, program.pid), ("nginx", nginx.url, nginx.pid), clients)


if __name__ == "__main__":
    main()
