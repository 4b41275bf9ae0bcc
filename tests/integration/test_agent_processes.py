# SPDX-License-Identifier: Apache-2.0
"""What each pod's processes use of a GPU that several share: the processes of the scripted NVML, and a
/proc of the test's with the groups of cgroup v1 and v2, of systemd and cgroupfs."""

import os
import shutil

import pytest

import harness
from agent_kit import Agent, Watch
from harness import run, wait_until
from test_agent_nvml import GPU, Nvml

UID_A, UID_B = "3f8c1a52-7d1e-4b9a-9c55-0a1b2c3d4e5f", "99999999-7d1e-4b9a-9c55-0a1b2c3d4e5f"
STATIC = "0123456789abcdef" * 2
ID_A, ID_B = "4c01db0b339c" * 5 + "aaaa", "4c01db0b339c" * 5 + "bbbb"
GROUPS = {
    "11": f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_A.replace('-', '_')}.slice/"
          f"cri-containerd-{ID_A}.scope\n",
    "12": f"0::/kubepods/burstable/pod{UID_A}/{ID_A}/worker\n",
    "13": f"12:pids:/user.slice\n4:memory:/kubepods/pod{UID_B}/{ID_B}\n1:name=systemd:/kubepods/pod{UID_B}/{ID_B}\n",
    "14": f"0::/kubepods.slice/kubepods-pod{STATIC}.slice/crio-{ID_B}.scope\n",
    "15": "0::/system.slice/nvidia-persistenced.service\n",
}
SHARED = GPU.format(0, 60) + "gpu 0 compute=11:4096,12:8192,13:1000,14:5,15:1 graphics=0 mps={mps} " \
                             "procutil=11:20,12:30,13:10\n" + GPU.format(1, 0) + "gpu 1 compute=0 graphics=0 mps=0\n"


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node")
    import node_pb2
    return node_pb2


@pytest.fixture
def proc(tmp_path):
    folder = tmp_path / "proc"
    for pid, text in GROUPS.items():
        (folder / pid).mkdir(parents=True)
        (folder / pid / "cgroup").write_text(text)
    return folder


def shares(agent, name):
    return {(d["uuid"], d["pod_uid"], d["container_id"]): v for d, v in
            ((dict(labels), v) for labels, v in agent.values(f"gpuscale_gpu_pod_{name}").items())}


def known(agent):
    return {dict(i)["uuid"]: v for i, v in agent.values("gpuscale_gpu_pod_processes_known").items()}


def test_processes_are_told_by_pod_uid_and_container(tmp_path, proc, pb):
    with Nvml(tmp_path, SHARED.format(mps=0), "--pod-processes", "--proc", proc) as agent:
        agent.wait_ready()
        a, b = ("GPU-0", UID_A, ID_A), ("GPU-0", UID_B, ID_B)
        static, host = ("GPU-0", STATIC, ID_B), ("GPU-0", "", "")
        wait_until(lambda: shares(agent, "processes") == {a: 2, b: 1, static: 1, host: 1}, "the shares")
        assert known(agent) == {"GPU-0": 1, "GPU-1": 1}  # known that nobody is on the second
        assert shares(agent, "memory_used_bytes") == {a: 12288, b: 1000, static: 5, host: 1}
        assert shares(agent, "utilization_ratio") == {a: 0.5, b: 0.1, static: 0, host: 0}
        with Watch(agent.addr("grpc"), pb) as watch:
            gpu = watch.next().gpus[0]
            assert gpu.shares_known
            assert [(s.pod_uid, s.processes, s.memory_used_bytes, s.utilization_pct) for s in gpu.shares] == [
                (UID_A, 2, 12288, 50), (UID_B, 1, 1000, 10), (STATIC, 1, 5, 0), ("", 1, 1, 0)]
            shutil.rmtree(proc / "13")  # it ended, and NVML has not noticed yet
            watch.until(lambda m: any(len(g.shares) == 3 for g in m.gpus))


def test_what_clients_of_mps_use_is_unknown(tmp_path, proc):
    with Nvml(tmp_path, SHARED.format(mps="11,12,13"), "--pod-processes", "--proc", proc) as agent:
        agent.wait_ready()
        wait_until(lambda: known(agent) == {"GPU-0": 0, "GPU-1": 1}, "the first GPU's are unknown")
        assert shares(agent, "processes") == {}
        agent.play(SHARED.format(mps=0))
        wait_until(lambda: known(agent)["GPU-0"] == 1, "without MPS they are known")


def test_it_is_off_unless_asked_for(tmp_path, proc):
    with Nvml(tmp_path, SHARED.format(mps=0), "--proc", proc) as agent:
        agent.wait_ready()
        assert "gpuscale_gpu_pod_" not in agent.page()


def test_without_the_hosts_processes_it_does_not_start():
    if os.readlink("/proc/self/ns/pid") == "pid:[4026531836]":
        pytest.skip("this is the host's PID namespace")
    done = run("gpuscale-agent", "--source", "sim:1", "--pod-processes")
    assert done.returncode == 2 and "hostPID: true" in done.stderr


def test_a_source_without_processes_says_unknown(proc):
    with Agent("sim:1,steady", "--pod-processes", "--proc", proc) as agent:
        agent.wait_ready()
        assert list(known(agent).values()) == [0]
