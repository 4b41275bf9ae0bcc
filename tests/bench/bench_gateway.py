#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the demo's gateway costs a request: wrk against nginx (2 bytes), the same behind our gateway, the same
behind nginx as a reverse proxy with kept connections; in turns, medians over rounds. Then an engine that burns no
CPU, direct and behind the gateway."""

import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from gateway_kit import Gateway, Nginx  # noqa: E402
from harness import Program, wait_until  # noqa: E402

ROUNDS, SECONDS = 5, 2
UNITS = {"us": 1, "ms": 1000, "s": 1000000}


class NginxProxy(Program):
    """nginx in front of `upstream`, one process, as the gateway is."""

    def __init__(self, folder, upstream):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        folder.mkdir()
        (folder / "nginx.conf").write_text(f"""
daemon off; master_process off; error_log stderr; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream behind {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=512;
    location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
""")
        super().__init__("/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf")
        self.at = f"127.0.0.1:{port}"
        wait_until(lambda: socket.create_connection(("127.0.0.1", port)).close() or True, "nginx")


def cpu_us(program):
    return sum(int(p.read_text().split()[0])
               for p in pathlib.Path(f"/proc/{program.pid}/task").glob("*/schedstat")) / 1e3


def measure(at, connections, program):
    """(p50 us, p99 us, requests/s, CPU us a request of `program`)"""
    before = cpu_us(program)
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency",
                          f"http://{at}/v1/models"], capture_output=True, text=True, timeout=60).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    requests = int(re.search(r"(\d+) requests in", out)[1])

    def latency(name):
        value, unit = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * UNITS[unit]
    return (latency(50), latency(99), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
            (cpu_us(program) - before) / requests)


def compare(title, ways, connections):
    print(f"{title}, {connections} connection{'s' if connections > 1 else ''}")
    rounds = {name: [] for name, _, _ in ways}
    for _ in range(ROUNDS):
        for name, at, program in ways:
            rounds[name].append(measure(at, connections, program))
    for name, values in rounds.items():
        p50, p99, rate, cpu = (statistics.median(column) for column in zip(*values))
        print(f"  {name:<22} p50 {p50:7.0f} us  p99 {p99:7.0f} us  {rate:8.0f}/s  CPU of it {cpu:5.1f} us a request")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "n").mkdir()
        with Gateway() as gateway, Nginx(folder / "n") as nginx, \
                NginxProxy(folder / "proxy", nginx.at) as proxy:
            gateway.add("nginx", nginx.at)
            ways = [("nginx, direct", nginx.at, nginx), ("behind the gateway", gateway.at, gateway),
                    ("behind nginx as proxy", proxy.at, proxy)]
            for connections in (1, 16):
                compare("nginx answers 2 bytes", ways, connections)
        with Gateway() as gateway, Program("gpuscale", "engine", "--listen", "127.0.0.1:0", "--cpu",
                                           "none") as engine:
            at = engine.addr("http")
            engine.wait_log("msg=ready")
            gateway.add("engine", at)
            for connections in (1, 16):
                compare("an engine's /v1/models", [("engine, direct", at, engine),
                                                   ("behind the gateway", gateway.at, gateway)], connections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
