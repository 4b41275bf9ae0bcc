# SPDX-License-Identifier: Apache-2.0
"""The scaler and the agent under the securityContexts of the chart: what the tests with and without a seccomp profile
share (tests/integration/test_confined.py, tests/e2e/confined)."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import confine
import kubelet_kit
from agent_kit import Watch
from harness import Program, find_program, http_get, make_stubs, metric_values, wait_until
from scaler_kit import Keda, Pushed, Scaler, VllmPod, eventually, pod, workload
from security_kit import AGENT, KEDA, SCALER, Mounted, Pki, as_server

NOBODY = 65532


class Room:
    """A folder that other users may enter, with the programs in it."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="gpuscale-confined-"))
        self.path.chmod(0o755)
        for name in ("gpuscale", "gpuscale-agent"):
            shutil.copy(find_program(name), self.path / name)
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.path)

    def own(self, uid):
        """As a Secret with defaultMode 0440 under fsGroup."""
        for path in self.path.rglob("*"):
            if not path.is_symlink() and path.is_file() and path.parent.name.startswith("..version"):
                os.chown(path, 0, uid)
                path.chmod(0o440)


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.split() for k, v in (line.split(":", 1) for line in lines)}


def check_confined(pid, uid, profile):
    """What the kernel says of the process."""
    s = status_of(pid)
    assert s["Uid"] == [str(uid)] * 4 and s["Gid"] == [str(uid)] * 4 and s["Groups"] == []
    assert {s[f"Cap{x}"][0] for x in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2" if profile else "0"]
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    root = [m.split()[5].split(",") for m in mounts if m.split()[4] == "/"]
    assert root and all("ro" in options for options in root)


def check_the_cage(profile):
    """The confinement is one: what a program must not do fails inside, and works outside."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        other = pathlib.Path(folder) / "other"
        other.write_text("x")
        os.chown(other, 12345, 12345)
        other.chmod(0o600)
        tries = {f"touch {folder}/x": "Read-only file system", f"cat {other}": "Permission denied"}
        if profile:
            tries["unshare --user true"] = "Operation not permitted"
        for command, says in tries.items():
            assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0, command
            inside = subprocess.run([*map(str, confine.prefix(0, profile)), "/bin/sh", "-c", command], capture_output=True,
                                    text=True)
            assert inside.returncode != 0 and says in inside.stderr, (command, inside)


def check_the_scaler(profile):
    """uid 65532, nothing writable: it reads agents and engines, answers KEDA, follows its files."""
    with Room() as room:
        pki = Pki(room.path / "pki")
        mount, agent_mount = Mounted(room.path / "scaler-tls"), Mounted(room.path / "agent-tls")
        mount.set_party(pki, "scaler")
        agent_mount.set_party(pki, "agent")
        room.own(NOBODY)
        argv = agent_argv(room, agent_mount)
        llm = VllmPod(rate=8)
        with Program(room.path / "gpuscale-agent", *argv) as agent:
            tls = {**mount.tls(), "serverName": AGENT}
            config = room.path / "s"
            with Scaler(config, [workload(pods=[pod("llm-0", llm.addr)])], agents=[agent.addr("grpc")], agents_tls=tls,
                        tick="200ms", grpc={"listen": "127.0.0.1:0", "tls": mount.tls(allowedNames=[KEDA])},
                        prefix=confine.prefix(NOBODY, profile), program=room.path / "gpuscale") as s:
                check_confined(s.program.pid, NOBODY, profile)
                credentials = pki.credentials(pki.pair("keda"))
                keda = Keda(s.grpc, room.path, credentials, as_server(SCALER))
                eventually("it sizes by what the engine serves", lambda: keda.replicas() > 1)
                eventually("the agent streams", lambda: metric_values(s.page(), "gpuscale_agents_connected") == {frozenset(): 1})
                pushed = Pushed(keda.stream("StreamIsActive"))
                eventually("activity is pushed", lambda: pushed.messages)
                pushed.cancel()
                eventually("it is ready", s.ready)
                assert http_get(f"http://{s.http}/")[0] == 200
                pki.certs("--renew")
                mount.set_party(pki, "scaler")
                room.own(NOBODY)
                s.set_workloads([workload(replicas=3, pods=[pod("llm-0", llm.addr)])])
                os.kill(s.program.pid, signal.SIGHUP)
                s.program.wait_log("gRPC certificate re-read")
                s.program.wait_log("workloads re-read")
                keda.close()
            assert not [e for e in s.program.events() if e.get("level") == "error"], s.program.log()
        llm.close()


def agent_argv(room, mount, *more, source="sim:2,steady"):
    return ["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--node-name", "node-a",
            "--source", source, "--interval", "200ms", "--dcgm", "on", *(f"--grpc-tls-{k}={v}" for k, v in mount.tls().items()),
            f"--grpc-tls-allowed-name={SCALER}", *more]


def check_the_agent(profile):
    """uid 0 without a capability: it asks the kubelet on its socket, which is root's, serves pages and streams."""
    with Room() as room:
        pki = Pki(room.path / "pki")
        mount = Mounted(room.path / "tls")
        mount.set_party(pki, "agent")
        stubs = room.path / "stubs"
        stubs.mkdir()
        make_stubs(stubs, "node", "health")
        import node_pb2
        api = kubelet_kit.make_stub(stubs)
        shutil.copy(kubelet_kit.ANSWERS / "node.csv", room.path)
        kubelet_folder = room.path / "pod-resources"
        kubelet_folder.mkdir(mode=0o750)
        with kubelet_kit.Kubelet(api, kubelet_folder, "whole") as kubelet:
            kubelet.path.chmod(0o600)  # as the kubelet's is, by its umask
            argv = agent_argv(room, mount, "--pod-resources=on", f"--pod-resources-socket={kubelet.path}",
                              "--pod-resources-interval=1s", source=f"replay:{room.path / 'node.csv'}")
            with Program(*confine.prefix(0, profile), room.path / "gpuscale-agent", *argv) as agent:
                agent.addr("grpc")  # it is the agent by now
                check_confined(agent.pid, 0, profile)
                wait_until(lambda: http_get(f"http://{agent.addr('health')}/readyz")[0] == 200, "it is ready")

                def page():
                    return http_get(f"http://{agent.addr('metrics')}/metrics")[2].decode()
                eventually("it knows who holds the GPUs", lambda: metric_values(page(), "gpuscale_gpu_owner_info"))
                with Watch(agent.addr("grpc"), node_pb2, pki.credentials(pki.pair("scaler")), as_server(AGENT)) as w:
                    assert w.next().full
                pki.certs("--renew")
                mount.set_party(pki, "agent")
                agent.signal(signal.SIGHUP)
                agent.wait_log("certificate reloaded")
                wait_until(kubelet.asked_again(), "it asks again")
            assert not [e for e in agent.events() if e.get("level") == "error"], agent.log()
    sys.modules.pop("node_pb2", None)
