# SPDX-License-Identifier: Apache-2.0
"""What the tests that drive the real programs share: spawning them, finding the ports that the
kernel picked, waiting for a condition with a deadline, certificates, protobuf stubs.

Programs are found in $GPUSCALE_BUILD (default: build/ of this tree). A program logs one line for
each port it listens on: `msg=listening server=NAME addr=HOST:PORT` on stderr (logfmt);
Program.addr(NAME) reads it."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GPUSCALE_BUILD", ROOT / "build")).resolve()
SHARED_DATA = ROOT.parent / "shared" / "data"
# Sanitizer builds and a busy machine are slower; deadlines are generous, tests poll.
DEADLINE_S = float(os.environ.get("GPUSCALE_TEST_DEADLINE", "30"))


# Who starts the tests in the background of a shell without job control has SIGINT ignored, and programs would inherit
# that until they set a handler of their own: a Ctrl-C of a test would be lost.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_until(condition, what, deadline_s=DEADLINE_S, every_s=0.02):
    """Polls until condition() is true and returns its value; fails with `what` at the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, AssertionError, KeyError, ValueError) as e:
            last = e
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what} (last: {last!r})")
        time.sleep(every_s)


def parse_logfmt(line):
    """One logfmt line as a dict."""
    fields = {}
    for key, value in re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)', line):
        if value.startswith('"'):
            value = value[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        fields[key] = value
    return fields


class Program:
    """A running program: its log is collected by a thread; it is ended by pid at the end."""

    def __init__(self, *args, env=None, cwd=None, stdout=subprocess.DEVNULL,
                 stdin=subprocess.DEVNULL):
        argv = [str(a) for a in args]
        if not os.path.isabs(argv[0]):
            argv[0] = str(find_program(argv[0]))
        self.argv = argv
        self.lines = []
        self._cond = threading.Condition()
        full_env = dict(os.environ)
        full_env.setdefault("ASAN_OPTIONS", "exitcode=99")
        full_env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
        full_env.setdefault("TSAN_OPTIONS", "exitcode=99")
        full_env.update(env or {})
        self.proc = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=stdout,
                                     stdin=stdin, env=full_env, cwd=cwd)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.proc.stderr:
            with self._cond:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._cond.notify_all()
        with self._cond:
            self._cond.notify_all()

    @property
    def pid(self):
        return self.proc.pid

    def log(self):
        return "\n".join(self.lines)

    def events(self, msg=None):
        found = [parse_logfmt(line) for line in list(self.lines)]
        return [f for f in found if msg is None or f.get("msg") == msg]

    def wait_log(self, pattern, deadline_s=DEADLINE_S, start=0):
        """The first log line (from index `start`) that matches the regular expression."""
        end = time.monotonic() + deadline_s
        with self._cond:
            while True:
                for line in self.lines[start:]:
                    if re.search(pattern, line):
                        return line
                left = end - time.monotonic()
                if left <= 0 or (self.proc.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(
                        f"{shlex.join(self.argv)}: no log line matches {pattern!r}"
                        f" (exit status {self.proc.poll()}); log:\n" + "\n".join(self.lines[-60:]))
                self._cond.wait(min(left, 0.2))

    def addr(self, server, deadline_s=DEADLINE_S):
        """HOST:PORT on which `server` listens."""
        line = self.wait_log(rf"msg=listening .*server={re.escape(server)}\b", deadline_s)
        return parse_logfmt(line)["addr"]

    def signal(self, sig):
        self.proc.send_signal(sig)

    def wait(self, deadline_s=DEADLINE_S):
        status = self.proc.wait(timeout=deadline_s)
        self._reader.join(timeout=5)
        return status

    def stop(self, deadline_s=DEADLINE_S, expect=0):
        """SIGTERM; the exit status must be `expect` (None: any). Sanitizer reports always fail."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.send_signal(signal.SIGTERM)
        try:
            status = self.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise AssertionError(f"{self.argv[0]} ignored SIGTERM; log:\n{self.log()[-4000:]}")
        if status == 99 or (expect is not None and status != expect):
            raise AssertionError(f"{self.argv[0]}: exit status {status}; log:\n{self.log()[-8000:]}")
        return status

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop(expect=None)
        else:
            sys.stderr.write(f"--- log of {shlex.join(self.argv)}\n{self.log()[-6000:]}\n")
            self.kill()

    def rss_bytes(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu_seconds(self):
        fields = open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def find_program(name):
    """A program of the build (anywhere below the build folder)."""
    for candidate in (BUILD / "src" / "cmd" / name, BUILD / name):
        if candidate.is_file():
            return candidate
    for candidate in BUILD.rglob(name):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise AssertionError(f"{name} is not in {BUILD}: run `make build` or set GPUSCALE_BUILD")


def sanitized(name="gpuscale"):
    """Is the build one with a sanitizer? Its memory is not the program's, it bears no LD_PRELOAD."""
    binary = find_program(name).read_bytes()
    return b"__tsan_init" in binary or b"__asan_init" in binary


def run(*args, deadline_s=DEADLINE_S, stdin=None, env=None):
    """Runs a program to its end: CompletedProcess with text stdout and stderr."""
    argv = [str(a) for a in args]
    if not os.path.isabs(argv[0]) and shutil.which(argv[0]) is None:
        argv[0] = str(find_program(argv[0]))
    return subprocess.run(argv, capture_output=True, text=True, timeout=deadline_s, input=stdin,
                          env={**os.environ, **(env or {})})


def http_get(url, headers=None, deadline_s=DEADLINE_S, context=None):
    """(status, headers, body bytes); HTTP errors are answers, not exceptions."""
    request = urllib.request.Request(url, headers=headers or {})
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        *([urllib.request.HTTPSHandler(context=context)] if context else []))
    try:
        with opener.open(request, timeout=deadline_s) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def metric_values(page, name):
    """{frozenset of label pairs: value} of one metric of a Prometheus page (bytes or text)."""
    if isinstance(page, bytes):
        page = page.decode()
    found = {}
    for line in page.splitlines():
        m = re.match(rf"{re.escape(name)}(?:\{{(.*)\}})? (\S+)$", line)
        if m:
            labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m.group(1) or "")
            found[frozenset(labels)] = float(m.group(2))
    return found


def make_stubs(out_dir, *protos):
    """Modules NAME_pb2 made from proto/NAME.proto into out_dir, which is put on sys.path."""
    subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={out_dir}",
                    *[f"{p}.proto" for p in protos]], check=True)
    if str(out_dir) not in sys.path:
        sys.path.insert(0, str(out_dir))


class Certs:
    """A throw-away certificate authority (openssl command line) in a folder."""

    def __init__(self, folder, name="test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.crt"
        self.ca_key = self.folder / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-keyout", self.ca_key, "-out", self.ca, "-days", "30",
                      "-subj", f"/CN={name}")

    def _openssl(self, *args):
        subprocess.run(["openssl", *[str(a) for a in args]], check=True, capture_output=True)

    def leaf(self, name, sans="DNS:localhost,IP:127.0.0.1", days=30, common_name=None):
        """Makes NAME.crt and NAME.key and returns their paths. days < 0: expired."""
        key, csr, crt = (self.folder / f"{name}.{x}" for x in ("key", "csr", "crt"))
        ext = self.folder / f"{name}.ext"
        ext.write_text(f"subjectAltName={sans}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", key, "-out", csr, "-subj", f"/CN={common_name or name}")
        fresh = self.folder / f"{name}.new"
        self._openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.ca_key,
                      "-CAcreateserial", "-days", days, "-out", fresh, "-extfile", ext)
        os.replace(fresh, crt)
        return crt, key
