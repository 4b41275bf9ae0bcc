# SPDX-License-Identifier: Apache-2.0
"""Certificates as an operator has them (`gpuscale certs`), those that others may hold, and a Secret as the kubelet mounts
it."""

import os
import shutil
import subprocess
import threading
import time

import grpc

from harness import DEADLINE_S, run
from scaler_kit import Keda

SCALER, AGENT, KEDA = (f"gpuscale-{x}.gpuscale.svc" for x in ("scaler", "agent", "keda"))


class Pki:
    """A folder of `gpuscale certs`, and further certificates of its authority."""

    def __init__(self, folder, new=True):
        self.folder = folder
        if new:
            self.certs()

    def certs(self, *args):
        done = run("gpuscale", "certs", "--output", self.folder, *args)
        assert done.returncode == 0, done.stderr

    def path(self, name):
        return self.folder / name

    def pair(self, name):
        return self.path(f"{name}.crt"), self.path(f"{name}.key")

    def issue(self, name, san, usage="clientAuth", days=30, common_name=None, key="ec", digest="sha256"):
        """What somebody else may get of the same authority, in whose hands a `gpuscale` certificate must not be needed."""
        pem, key_pem = self.pair(name)
        kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}.get(key, [key])
        csr, ext = self.path(f"{name}.csr"), self.path(f"{name}.ext")
        ext.write_text(f"subjectAltName={san}\nextendedKeyUsage={usage}\n")
        for args in (["req", "-newkey", *kind, "-nodes", "-keyout", key_pem, "-out", csr, "-subj", f"/CN={common_name or name}"],
                     ["x509", "-req", f"-{digest}", "-in", csr, "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
                      "-CAserial", self.path(f"{name}.srl"), "-CAcreateserial", "-days", days, "-out", pem, "-extfile", ext]):
            subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)
        return pem, key_pem

    def server(self, name, **more):
        """The `tls` section of a server that asks for certificates of this authority."""
        pem, key = self.pair(name)
        return {"cert": str(pem), "key": str(key), "ca": str(self.path("ca.crt")), **more}

    def flags(self, prefix, name, *allowed):
        pem, key = self.pair(name)
        return [f"--{prefix}-cert={pem}", f"--{prefix}-key={key}", f"--{prefix}-ca={self.path('ca.crt')}",
                *(f"--{prefix}-allowed-name={a}" for a in allowed)]

    def credentials(self, pair=None):
        """For python's grpc: trusts this authority; with `pair` (paths), shows that certificate."""
        pem, key = (p.read_bytes() for p in pair) if pair else (None, None)
        return grpc.ssl_channel_credentials(self.path("ca.crt").read_bytes(), key, pem)


def as_server(name):
    """Options of a channel: the server must be `name`, wherever it is."""
    return [("grpc.ssl_target_name_override", name), ("grpc.enable_http_proxy", 0)]


class Mounted:
    """A Secret as the kubelet mounts it: files are links into ..data, which is swapped as a whole."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        folder.mkdir(parents=True)

    def set(self, files):
        """{name in the Secret: path of its content}."""
        fresh = self.folder / f"..version{self.n}"
        fresh.mkdir()
        for name, source in files.items():
            shutil.copy(source, fresh / name)
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        os.rename(link, self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        if self.n > 0:
            shutil.rmtree(self.folder / f"..version{self.n - 1}")
        self.n += 1

    def set_party(self, pki, name):
        pem, key = pki.pair(name)
        self.set({"tls.crt": pem, "tls.key": key, "ca.crt": pki.path("ca.crt")})

    def tls(self, **more):
        return {"cert": str(self.folder / "tls.crt"), "key": str(self.folder / "tls.key"),
                "ca": str(self.folder / "ca.crt"), **more}

    def pair(self):
        return self.folder / "tls.crt", self.folder / "tls.key"


class Callers:
    """KEDA, many times: each opens a connection with what the Secret says then, asks, and opens another one."""

    def __init__(self, addr, folder, n, **ref):
        self.addr, self.folder, self.ref = addr, folder, ref  # of the ScaledObject: name, namespace, metadata
        self.secret = None  # (ca, key, cert), replaced as a whole
        self.calls, self.failures = 0, []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(n)]

    def take(self, pki):
        self.secret = tuple(pki.path(n).read_bytes() for n in ("ca.crt", "keda.key", "keda.crt"))

    def keda(self):
        return Keda(self.addr, self.folder, grpc.ssl_channel_credentials(*self.secret), as_server(SCALER))

    def start(self):
        for t in self.threads:
            t.start()

    def run(self):
        while not self.stopping.is_set():
            keda = self.keda()
            try:
                for _ in range(5):
                    assert keda.spec(**self.ref).metricSpecs and keda.active(**self.ref) is True
                    assert keda.metrics(**self.ref).metricValues
                    self.calls += 3
            except (grpc.RpcError, AssertionError) as e:
                self.failures.append(f"{time.time():.3f} {e!r}")
            keda.close()

    def more(self, n):
        """A condition: so many more calls were answered, none has failed."""
        goal = self.calls + n

        def reached():
            if self.failures:
                raise RuntimeError(f"calls failed: {self.failures[:3]}")
            return self.calls > goal
        return reached

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(DEADLINE_S)
        assert not any(t.is_alive() for t in self.threads)
