# SPDX-License-Identifier: Apache-2.0
"""A played kubelet's page /metrics/resource, which metrics-server reads: on the node's IP and the kubelet's port, over TLS, the CPU
time and the memory of the real processes of its pods as the kernel counts them. Unlike a kubelet it asks nobody who they are."""

import http.server
import os
import ssl
import threading
import time

PORT = 10250
PAGE_BYTES, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
# Taken once: metrics-server drops a container whose start moves, be it by a microsecond.
BOOTED_S = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def usage(pid):
    """(CPU seconds, resident bytes, when it began, in seconds since 1970) of a process; None when it is gone."""
    try:
        cpu_s = time.clock_gettime((~pid << 3) | 2)  # its CPU clock: clock_getcpuclockid(3)
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()  # proc(5), from the third on
    except OSError:
        return None
    return cpu_s, int(fields[21]) * PAGE_BYTES, BOOTED_S + int(fields[19]) / TICKS


def machine():
    """(CPU seconds, bytes in use) of this machine: what every played node says of itself."""
    with open("/proc/stat") as f:
        user, nice, system = (int(x) for x in f.readline().split()[1:4])
    with open("/proc/meminfo") as f:
        kib = {line.split(":")[0]: int(line.split()[1]) for line in f}
    return (user + nice + system) / TICKS, (kib["MemTotal"] - kib["MemAvailable"]) * 1024


class KubeletPage:
    """containers(): [(namespace, pod, container, pid)] that run now."""

    def __init__(self, address, certificate, containers):
        self.containers = containers
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = page.text().encode() if self.path == "/metrics/resource" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((address, PORT), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*[str(f) for f in certificate])
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    def text(self):
        now_ms = int(time.time() * 1000)
        names = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_start_time_seconds")
        families = {name: [] for name in names}
        for namespace, pod, container, pid in self.containers():
            for name, value in zip(names, usage(pid) or ()):
                families[name].append(f'{name}{{container="{container}",namespace="{namespace}",pod="{pod}"}} {value:.6f} {now_ms}')
        for name, value in zip(("node_cpu_usage_seconds_total", "node_memory_working_set_bytes"), machine()):
            families[name] = [f"{name} {value:.6f} {now_ms}"]
        return "".join(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}\n" + "".join(line + "\n" for line in lines)
                       for name, lines in families.items())

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
