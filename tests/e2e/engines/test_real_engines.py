# SPDX-License-Identifier: Apache-2.0
"""Real inference servers on a CPU, installed from PyPI into virtual environments under the build directory:
what gpuscale reads off their pages is what was sent to them."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration"))

from harness import BUILD, http_get, wait_until  # noqa: E402

# Servers of this size take their time to start, the more on a busy machine.
DEADLINE_S = float(os.environ.get("GPUSCALE_TEST_DEADLINE", "30")) * 4
UNREACHABLE = re.compile(r"NewConnectionError|ConnectTimeout|Name or service not known|Read timed out|"
                         r"Temporary failure in name resolution|Network is unreachable|ProxyError|Max retries")


def installed(name, *packages):
    """The virtual environment with the packages; skips where the package index cannot be reached."""
    env = BUILD / "engines" / name
    done = env / "installed"
    wanted = "\n".join(packages)
    if done.exists() and done.read_text() == wanted:
        return env
    shutil.rmtree(env, ignore_errors=True)
    subprocess.run(["/usr/bin/python3", "-m", "venv", env], check=True)
    pip = subprocess.run([env / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir",
                          *packages], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if pip.returncode != 0 and UNREACHABLE.search(pip.stdout):
        shutil.rmtree(env, ignore_errors=True)
        pytest.skip(f"PyPI cannot be reached: {' '.join(packages)} was not run, its page was not read")
    assert pip.returncode == 0, pip.stdout
    done.write_text(wanted)
    return env


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Server:
    """A server in a session of its own; `with` ends it and what it started."""

    def __init__(self, argv, marks, env=None, cwd=None):
        self.marks = marks  # what its processes' command lines or environments have
        self.log = tempfile.NamedTemporaryFile("w+", prefix="gpuscale-engine-", suffix=".log")
        self.proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=self.log,
                                     stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
                                     env={**os.environ, **(env or {})})

    def text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def wait(self, condition, what):
        try:
            return wait_until(condition, what, DEADLINE_S, 0.2)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.text()[-4000:]}") from e

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.proc.stdin.close()
        try:
            self.proc.wait(20 if self.proc.poll() is None and self.marks else 0.1)
        except subprocess.TimeoutExpired:
            os.killpg(self.proc.pid, signal.SIGTERM)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.proc.pid, signal.SIGKILL)
                self.proc.wait(20)
        for pid in self.left_over():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.left_over(), "its processes end")
        self.log.close()

    def left_over(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = pathlib.Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace")
                state = pathlib.Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if state != "Z" and int(pid) != os.getpid() and any(m in line for m in self.marks):
                found.append(int(pid))
        return found


def text_of(url):
    status, _, body = http_get(url)
    assert status == 200, body
    return body.decode()


def read(preset, url):
    """What gpuscale's own code reads: numbers by name, a text for what it calls missing."""
    page = text_of(url)
    out = subprocess.run([BUILD / "tests/integration/engine_dump", preset], input=page, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert out.returncode == 0, out.stderr
    values = dict(line.split(" ", 1) for line in out.stdout.splitlines())
    return {k: v if "(" in v else float(v) for k, v in values.items()}


def post(url, body=b"", kind="text/plain"):
    request = urllib.request.Request(url, data=body, headers={"Content-Type": kind}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


class Blocked:
    """Requests that are sent at once, each in a thread, and answered when the server does."""

    def __init__(self, n, call):
        self.answers = []
        self.threads = [threading.Thread(target=self._send, args=(call,), daemon=True) for _ in range(n)]
        for t in self.threads:
            t.start()

    def _send(self, call):
        try:
            self.answers.append(call())
        except OSError as e:
            self.answers.append(e)

    def all_answered(self, status):
        for t in self.threads:
            t.join(DEADLINE_S)
        assert [a[0] for a in self.answers] == [status] * len(self.threads), self.answers


def test_ray_serve(tmp_path):
    env = installed("ray", "ray[serve]==2.60.0")
    http_port, metrics_port = free_ports(2)
    temp = tempfile.mkdtemp(prefix="gpuscale-ray-")  # short: unix sockets are made in it
    release = tmp_path / "release"
    page = f"http://127.0.0.1:{metrics_port}/metrics"
    model = f"http://127.0.0.1:{http_port}/"
    try:
        with Server([env / "bin/python", HERE / "serve_ray.py", http_port, metrics_port, temp], [temp],
                    
                    {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "HOME": temp}) as ray:
            ray.wait(lambda: "\nready" in "\n" + ray.text(), "Ray Serve is ready")
            for _ in range(3):
                assert post(model)[0] == 200
            ray.wait(lambda: read("ray-serve", page)["requests"] == 3, "three requests are counted")
            assert http_get(f"http://127.0.0.1:{http_port}/-/healthz")[0] == 200  # not a request
            blocked = Blocked(5, lambda: post(f"{model}?wait={release}"))
            want = {"queue": 3, "running": 2, "requests": 3}
            ray.wait(lambda: read("ray-serve", page) == want, f"{want} of five blocked requests")
            release.touch()
            blocked.all_answered(200)
            want = {"queue": 0, "running": 0, "requests": 8}
            ray.wait(lambda: read("ray-serve", page) == want, f"{want} when all are done")
            # The LLM's row says what it lacks on the page of another deployment.
            out = subprocess.run([BUILD / "tests/integration/engine_dump", "ray-serve-llm"],
                                 input=text_of(page), stderr=subprocess.PIPE, text=True)
            assert out.returncode == 1 and "ray_vllm_num_requests_waiting" in out.stderr
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def test_kserve():
    env = installed("kserve", "kserve==0.21.0")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with Server([env / "bin/python", HERE / "serve_kserve.py", port], [f"serve_kserve.py {port}"]) as server:
        server.wait(lambda: http_get(f"{url}/v2/health/ready")[0] == 200, "KServe is ready")
        body = json.dumps({"instances": [1, 2]}).encode()
        for _ in range(4):
            status, answer = post(f"{url}/v1/models/m:predict", body, "application/json")
            assert (status, json.loads(answer)["predictions"]) == (200, [1, 2])
        # One that fails was served, too.
        assert post(f"{url}/v1/models/m:predict", b'{"instances": ["fail"]}', "application/json")[0] == 500
        server.wait(lambda: read("kserve", f"{url}/metrics") == {"requests": 5}, "five requests are counted")


def test_torchserve(tmp_path):
    if not shutil.which("java"):
        pytest.skip("no java: TorchServe was not run, its page was not read")
    env = installed("torchserve", "torchserve==0.12.0", "pyyaml")
    # Its worker imports torch for one isinstance(); tensors are not part of this.
    site = next((env / "lib").glob("python3*/site-packages"))
    (site / "torch.py").write_text("class Tensor:\n    pass\n")
    ports = free_ports(5)
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as mar:
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps({
            "runtime": "python", "archiverVersion": "0.12.0",
            "model": {"modelName": "m", "modelVersion": "1.0", "handler": "handler_torchserve.py"}}))
        mar.write(HERE / "handler_torchserve.py", "handler_torchserve.py")
    (tmp_path / "config.properties").write_text(
        "".join(f"{k}=http://127.0.0.1:{p}\n" for k, p in
                zip(("inference_address", "management_address", "metrics_address"), ports)) +
        f"grpc_inference_port={ports[3]}\ngrpc_management_port={ports[4]}\nmetrics_mode=prometheus\n"
        f"disable_token_authorization=true\nmodel_store={tmp_path}\nload_models=m.mar\n"
        f"default_workers_per_model=1\nvmargs=-Djava.io.tmpdir={tmp_path}\n")
    model = f"http://127.0.0.1:{ports[0]}/predictions/m"
    page = f"http://127.0.0.1:{ports[2]}/metrics"
    release = tmp_path / "release"
    (tmp_path / "tmp").mkdir()
    with Server([env / "bin/torchserve", "--start", "--foreground", "--ncs", "--ts-config",
                 tmp_path / "config.properties"], [str(env)], cwd=tmp_path,
                env={"TMPDIR": str(tmp_path / "tmp"), "LOG_LOCATION": str(tmp_path), "METRICS_LOCATION": str(tmp_path),
                     "PATH": f"{env / 'bin'}:{os.environ['PATH']}"}) as server:
        server.wait(lambda: post(model) == (200, "ok"), "TorchServe answers")
        before = server.wait(lambda: read("torchserve", page), "its page has the counter")["requests"]
        for _ in range(3):
            assert post(model) == (200, "ok")
        server.wait(lambda: read("torchserve", page) == {"requests": before + 3}, "three more are counted")
        # It counts what arrives: two that wait for the one worker are counted while they wait.
        blocked = Blocked(3, lambda: post(model, str(release).encode()))
        server.wait(lambda: read("torchserve", page) == {"requests": before + 6}, "blocked ones are counted")
        assert blocked.answers == []
        release.touch()
        blocked.all_answered(200)
        assert read("torchserve", page) == {"requests": before + 6}
        # What the page has of a queue is a counter of those that left it; no gauge.
        assert "# TYPE ts_queue_latency_microseconds counter" in text_of(page)
