#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent's budgets: resident memory and CPU at 8 simulated GPUs and one sample a second, with and
without TLS, one Watch stream open and a scrape (plain and gzip) every few seconds; and the latency of a
scrape beside nginx serving the same bytes as a static file, also while the driver hangs.

Latencies are h2load's, one connection, HTTP/1.1, one request after the other, agent and nginx in turns."""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import harness  # noqa: E402
from agent_kit import Agent, Watch, client_context, free_port, grpc_credentials  # noqa: E402

CPU_SECONDS = 30
ROUNDS, REQUESTS = 8, 1000
GPUS = "sim:8,burst"
HANG = "sim:8,hang,after=2s,for=1h,period=2h"


# NVIDIA's library is not here: its own memory and time come on top.
NVML = harness.BUILD / "tests/nvml/580/libnvidia-ml.so.1"


def nvml_script(folder):
    """Eight H100s."""
    one = (harness.ROOT / "tests/nvml/scripts/h100x2.nvml").read_text().splitlines()
    path = folder / "script.nvml"
    path.write_text("\n".join(line.replace("gpu 0", f"gpu {i}").replace("8000-000000000000", f"8000-{i:012}")
                              for i in range(8) for line in one if line.startswith("gpu 0")))
    return path


def cpu_ns(pid):
    """CPU time of all threads, to the nanosecond."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines()
            if line.startswith(("VmRSS", "RssAnon", "RssFile", "VmHWM"))}


def scrape(agent, scheme, context):
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        status, _, _ = harness.http_get(agent.url(scheme=scheme), headers=headers, context=context)
        assert status == 200


def footprint(name, agent, pb, credentials=None, context=None):
    scheme = "https" if context else "http"
    agent.wait_ready()
    with Watch(agent.addr("grpc"), pb, credentials) as watch:
        watch.next()
        scrape(agent, scheme, context)
        before, start = cpu_ns(agent.pid), time.monotonic()
        time.sleep(CPU_SECONDS)
        used, took = cpu_ns(agent.pid) - before, time.monotonic() - start
        scrape(agent, scheme, context)
        m = memory(agent.pid)
        print(f"{name:28} RSS {m['VmRSS']:.2f} MiB (anonymous {m['RssAnon']:.2f}, files "
              f"{m['RssFile']:.2f}, peak {m['VmHWM']:.2f}); CPU {used / took / 1e7:.3f} % of a core",
              flush=True)


class Nginx:
    def __init__(self, folder, body, tls=None, everywhere=False):
        """everywhere: on every address of 127.0.0.0/8 (and of this machine), for many "pods"."""
        folder.mkdir()
        (folder / "metrics").write_bytes(body)
        self.port = free_port()
        secure = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
        (folder / "nginx.conf").write_text(f"""
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections {4096 if everywhere else 64}; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
 client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
 uwsgi_temp_path {folder}; scgi_temp_path {folder};
 types {{ }} default_type "text/plain; version=0.0.4";
 server {{ listen {"" if everywhere else "127.0.0.1:"}{self.port} {"ssl" if tls else ""}; {secure} root {folder}; }} }}
""")
        self.program = harness.Program("/usr/sbin/nginx", "-c", folder / "nginx.conf", "-p", folder)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/metrics"

    def stop(self):
        self.program.stop(expect=None)


def latencies(url, requests, folder):
    """Microseconds of each request."""
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(["h2load", "--h1", "-n", str(requests), "-c", "1", "-t", "1",
                           f"--log-file={log}", url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and f"{requests} succeeded" in done.stdout, done.stdout + done.stderr
    return [int(line.split()[2]) for line in log.read_text().splitlines()]


def quantiles(rounds):
    """Median and p99: of each round, then the median over rounds, which a busy machine moves less."""
    return tuple(statistics.median(sorted(r)[int(len(r) * q)] for r in rounds) for q in (0.5, 0.99))


def compare(name, agent, scheme, tls, folder, context=None):
    agent.wait_ready()
    if "hang" in agent.argv[agent.argv.index("--source") + 1]:
        agent.wait_log("the GPU driver does not answer")
    _, _, body = harness.http_get(agent.url(scheme=scheme), context=context)
    nginx = Nginx(folder / name.replace(" ", "-"), body, tls)
    try:
        url = agent.url(scheme=scheme)
        harness.wait_until(lambda: harness.http_get(nginx.url, context=context)[2] == body, "nginx")
        ours, theirs = [], []
        for i in range(ROUNDS + 1):  # the first is for warming up
            a, b = latencies(url, REQUESTS, folder), latencies(nginx.url, REQUESTS, folder)
            if i:
                ours.append(a)
                theirs.append(b)
    finally:
        nginx.stop()
    (a50, a99), (n50, n99) = quantiles(ours), quantiles(theirs)
    print(f"{name:28} {len(body) / 1024:.0f} KiB: agent median {a50:.0f} us p99 {a99:.0f} us; nginx "
          f"median {n50:.0f} us p99 {n99:.0f} us; ratio {a50 / n50:.2f} and {a99 / n99:.2f}",
          flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="gpuscale-bench-") as name:
        folder = pathlib.Path(name)
        harness.make_stubs(folder, "node")
        import node_pb2 as pb
        certs = harness.Certs(folder / "certs")
        server, client = certs.leaf("agent"), certs.leaf("client")
        context = client_context(certs, client)
        tls = ["--tls-cert", server[0], "--tls-key", server[1]]
        mutual = [*tls, "--tls-ca", certs.ca, "--grpc-tls-cert", server[0], "--grpc-tls-key",
                  server[1], "--grpc-tls-ca", certs.ca]
        print("budget: <= 5 MiB plain, <= 10 MiB with mutual TLS, <= 0.2 % of a core")
        with Agent(GPUS, interval="1s") as agent:
            footprint("plain", agent, pb)
        with Agent(f"nvml:library={NVML}", interval="1s",
                   env={"FAKE_NVML_SCRIPT": str(nvml_script(folder))}) as agent:
            footprint("plain, scripted NVML", agent, pb)
        with Agent(GPUS, *mutual, interval="1s") as agent:
            footprint("mutual TLS on both ports", agent, pb, grpc_credentials(certs, client), context)
        print("budget: median and p99 <= 2 x nginx")
        with Agent(GPUS, interval="1s") as agent:
            compare("plain", agent, "http", None, folder)
        keep = folder / "keep.yaml"  # old readings stay, so that the pages are alike
        keep.write_text("metrics: {staleAfter: 1h}\n")
        with Agent(HANG, interval="1s", config=keep) as agent:
            compare("plain, driver hangs", agent, "http", None, folder)
        with Agent(GPUS, *tls, interval="1s") as agent:
            compare("TLS", agent, "https", server, folder, context)
        with Agent(HANG, *tls, interval="1s", config=keep) as agent:
            compare("TLS, driver hangs", agent, "https", server, folder, context)


if __name__ == "__main__":
    main()
