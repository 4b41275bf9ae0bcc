# SPDX-License-Identifier: Apache-2.0
"""gpuscale-agent on NVML, as a program: the scripted library of tests/nvml stands in for NVIDIA's."""

import os
import re
import time

import grpc
import pytest

import harness
from agent_kit import Agent, Watch, by_gpu, values_of
from harness import metric_values, run, wait_until

NVML = harness.ROOT / "tests/nvml/scripts"


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    harness.make_stubs(tmp_path_factory.mktemp("stubs"), "node")
    import node_pb2
    return node_pb2


def library(release):
    return harness.BUILD / "tests/nvml" / release / "libnvidia-ml.so.1"


class Nvml(Agent):
    """An agent whose NVML plays a script, which play() replaces. At the end the library must not
    have been called against NVML's rules."""

    def __init__(self, folder, script, *args, release="580", words="", source=None, **kwargs):
        self.script = folder / "script.nvml"
        self.play(script)
        env = {"FAKE_NVML_SCRIPT": str(self.script), **kwargs.pop("env", {})}
        super().__init__(source or f"nvml:library={library(release)}{words}", *args, env=env, **kwargs)

    def play(self, script):
        fresh = self.script.with_suffix(".new")
        fresh.write_text(script)
        os.replace(fresh, self.script)

    def __exit__(self, *exc):
        super().__exit__(*exc)
        assert "fake NVML" not in self.log()


def script(name):
    return (NVML / f"{name}.nvml").read_text()


def by_uuid(values):
    return {dict(labels)["uuid"]: value for labels, value in values.items()}


def own(agent, name):
    return by_uuid(agent.values(f"gpuscale_gpu_{name}"))


GPU = "gpu {0} uuid=GPU-{0} name=NVIDIA_H100 pci=00000000:0{0}:00.0 mig=0 events=1 " \
      "util={1} copy=1 total=80000000000 used=1000000 free=79999000000 reserved=0 power=100000\n"


# --- what is read of which GPU


def test_an_h100_tells_everything(tmp_path):
    with Nvml(tmp_path, script("h100x2")) as agent:
        agent.wait_ready()
        wait_until(lambda: len(agent.values("DCGM_FI_PROF_SM_ACTIVE")) == 2, "two rounds of each")
        page = agent.page()
        expected = {  # dcgm-exporter's names and units
            "DCGM_FI_DEV_GPU_UTIL": 87, "DCGM_FI_DEV_MEM_COPY_UTIL": 41, "DCGM_FI_DEV_ENC_UTIL": 0,
            "DCGM_FI_DEV_DEC_UTIL": 3, "DCGM_FI_DEV_POWER_USAGE": 512.345,
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 123456789, "DCGM_FI_DEV_GPU_TEMP": 61,
            "DCGM_FI_DEV_MEMORY_TEMP": 72, "DCGM_FI_DEV_SM_CLOCK": 1980,
            "DCGM_FI_DEV_MEM_CLOCK": 2619, "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": 4,
            "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": 2, "DCGM_FI_DEV_XID_ERRORS": 0,
            "DCGM_FI_DEV_FB_USED": 61440, "DCGM_FI_PROF_GR_ENGINE_ACTIVE": 0.865,
            "DCGM_FI_PROF_SM_ACTIVE": 0.7125, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.48,
            "DCGM_FI_PROF_DRAM_ACTIVE": 0.555, "DCGM_FI_PROF_PCIE_RX_BYTES": 104857600,
        }
        got = {name: by_gpu(metric_values(page, name))["0"] for name in expected}
        assert got == pytest.approx(expected)
        # The idle one is known to be idle.
        assert by_gpu(metric_values(page, "gpu_utilization"))["1"] == 0
        assert by_gpu(metric_values(page, "DCGM_FI_PROF_SM_ACTIVE"))["1"] == 0
        labels = [dict(l) for l in metric_values(page, "DCGM_FI_DEV_GPU_UTIL")]
        assert {(l["UUID"], l["modelName"], l["pci_bus_id"], l["DCGM_FI_DRIVER_VERSION"])
                for l in labels} == {
            ("GPU-11111111-aaaa-4000-8000-000000000000", "NVIDIA H100 80GB HBM3",
             "00000000:18:00.0", "580.82.07"),
            ("GPU-11111111-aaaa-4000-8000-000000000001", "NVIDIA H100 80GB HBM3",
             "00000000:2A:00.0", "580.82.07")}
        assert agent.values("gpuscale_agent_values_discarded_total") == {frozenset(): 0}
        assert agent.events("GPU source open")[0]["what"].startswith(
            "NVML: 2 GPUs, driver 580.82.07, /")


VALUES = ["utilization_ratio", "memory_copy_ratio", "memory_used_bytes", "memory_reserved_bytes",
          "power_watts", "energy_joules_total", "temperature_celsius", "memory_temperature_celsius",
          "clock_event_reasons", "ecc_corrected_total", "xid_last", "sm_active_ratio",
          "graphics_engine_active_ratio", "pcie_transmit_bytes_per_second", "encoder_ratio"]
BOARD = {"power_watts", "energy_joules_total", "temperature_celsius", "memory_temperature_celsius",
         "clock_event_reasons", "ecc_corrected_total", "xid_last"}
MEMORY = {"memory_used_bytes", "memory_reserved_bytes"}
ACTIVITY = {"sm_active_ratio", "graphics_engine_active_ratio"}


@pytest.mark.parametrize("name, release, known", [
    # UUID's last digit and what is known of it: everything else is absent, never 0
    ("h100x2", "580", {"GPU-11111111-aaaa-4000-8000-000000000000": set(VALUES)}),
    ("h100x2", "450", {  # an old driver: no GPM, and what is reserved is in what is used
        "GPU-11111111-aaaa-4000-8000-000000000000":
            set(VALUES) - ACTIVITY - {"memory_reserved_bytes", "pcie_transmit_bytes_per_second"}}),
    ("t4_450", "450", {
        "GPU-44444444-dddd-4000-8000-000000000000":
            set(VALUES) - ACTIVITY - {"memory_reserved_bytes", "pcie_transmit_bytes_per_second",
                                      "memory_temperature_celsius", "ecc_corrected_total",
                                      "xid_last"}}),
    ("a100_mig", "525", {
        "GPU-22222222-bbbb-4000-8000-000000000000": BOARD,
        "MIG-0a0a0a0a-0000-5000-8000-000000000000": MEMORY | {"xid_last"},
        "MIG-0a0a0a0a-0000-5000-8000-000000000004": MEMORY | {"xid_last"},
        "GPU-22222222-bbbb-4000-8000-000000000001":
            set(VALUES) - ACTIVITY - {"pcie_transmit_bytes_per_second"}}),
    ("h100_mig", "580", {
        "GPU-33333333-cccc-4000-8000-000000000000": BOARD,
        "MIG-0b0b0b0b-0000-5000-8000-000000000000": MEMORY | ACTIVITY | {"xid_last"},
        "MIG-0b0b0b0b-0000-5000-8000-000000000002": MEMORY | ACTIVITY | {"xid_last"}}),
])
def test_what_is_known_in_each_mode(tmp_path, name, release, known):
    with Nvml(tmp_path, script(name), release=release) as agent:
        agent.wait_ready()
        wait_until(lambda: list(agent.values("gpuscale_agent_rounds_total").values())[0] >= 3,
                   "three rounds")
        page = agent.page()
        for uuid, wanted in known.items():
            got = {v for v in VALUES if uuid in by_uuid(metric_values(page, f"gpuscale_gpu_{v}"))}
            assert got == wanted, uuid


def test_mig_instances_have_dcgms_labels_and_their_own_activity(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("pods:\n- {gpu: MIG-0b0b0b0b-0000-5000-8000-000000000002, namespace: a, pod: b}\n")
    with Nvml(tmp_path, script("h100_mig"), config=config) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.values("DCGM_FI_PROF_SM_ACTIVE"), "two rounds")
        page = agent.page()
        active = {(dict(l)["GPU_I_ID"], dict(l)["GPU_I_PROFILE"], dict(l)["UUID"], dict(l).get("pod")): v
                  for l, v in metric_values(page, "DCGM_FI_PROF_SM_ACTIVE").items()}
        parent = "GPU-33333333-cccc-4000-8000-000000000000"
        assert active == pytest.approx({("2", "3g.40gb", parent, None): 0.8,
                                        ("9", "1g.10gb", parent, "b"): 0.05})
        # Utilization is of nobody; the engine's activity stands beside it.
        assert "gpu_utilization{" not in page and "DCGM_FI_DEV_GPU_UTIL{" not in page
        # The board's memory is not counted beside that of its instances.
        assert sum(metric_values(page, "gpu_memory_used").values()) == 21e9
        assert sum(own(agent, "memory_total_bytes").values()) == 42412802048 + 10468982784
        info = {dict(l)["uuid"]: dict(l) for l in metric_values(page, "gpuscale_gpu_info")}
        mig = info["MIG-0b0b0b0b-0000-5000-8000-000000000000"]
        assert (mig["parent_uuid"], mig["mig_profile"], mig["gpu_instance_id"]) == \
            (parent, "3g.40gb", "2")


def test_nan_and_refused_metrics_of_an_instance_are_absent(tmp_path):
    with Nvml(tmp_path, script("h100_mig")) as agent:
        agent.wait_ready()
        wait_until(lambda: agent.values("DCGM_FI_PROF_SM_ACTIVE"), "two rounds")
        assert own(agent, "dram_active_ratio") == \
            pytest.approx({"MIG-0b0b0b0b-0000-5000-8000-000000000002": 0.02})
        assert own(agent, "sm_occupancy_ratio") == \
            pytest.approx({"MIG-0b0b0b0b-0000-5000-8000-000000000000": 0.4})


def test_pcie_throughput_is_read_when_asked_for(tmp_path):
    with Nvml(tmp_path, GPU.format(0, 5) + "gpu 0 tx=7 rx=9", words=",pcie") as agent:
        agent.wait_ready()
        assert own(agent, "pcie_transmit_bytes_per_second") == {"GPU-0": 7000}
        assert own(agent, "pcie_receive_bytes_per_second") == {"GPU-0": 9000}


# --- accidents


def test_a_gpu_is_lost_and_back_and_the_others_go_on(tmp_path, pb):
    both = GPU.format(0, 10) + GPU.format(1, 20)
    with Nvml(tmp_path, both) as agent, Watch(agent.addr("grpc"), pb) as watch:
        first = watch.until(lambda m: len(m.gpus) == 2)
        ids = {g.info.uuid: g.id for g in first.gpus}
        agent.play(GPU.format(0, 11) + "gpu 1 uuid=GPU-1 all=!15")
        lost = watch.until(lambda m: any(g.lost for g in m.gpus))
        assert [g.id for g in lost.gpus if g.lost] == [ids["GPU-1"]]
        agent.play(GPU.format(0, 12))  # not even listed any more
        watch.until(lambda m: any(values_of(g).get("UTILIZATION_PCT") == 12 for g in m.gpus))
        assert own(agent, "lost") == {"GPU-0": 0, "GPU-1": 1}
        assert own(agent, "utilization_ratio") == pytest.approx({"GPU-0": 0.12})
        agent.play(both)
        back = watch.until(lambda m: any(g.id == ids["GPU-1"] and not g.lost and g.valid
                                         for g in m.gpus), deadline_s=60)
        gpu = next(g for g in back.gpus if g.id == ids["GPU-1"])
        assert values_of(gpu)["UTILIZATION_PCT"] == 20
        wait_until(lambda: own(agent, "lost") == {"GPU-0": 0, "GPU-1": 0}, "no GPU is lost")
        # Each is told once, however long it lasted.
        agent.wait_log('msg="a GPU is back"')
        assert [e["uuid"] for e in agent.events("a GPU is lost")] == ["GPU-1"]
        assert [e["uuid"] for e in agent.events("a GPU is back")] == ["GPU-1"]
        assert not agent.events("the list of GPUs changed")


def test_an_instance_that_is_destroyed_leaves_and_another_comes(tmp_path, pb):
    board = "gpu 0 uuid=GPU-0 name=A100 mig=1 power=100000\n"
    mig = "mig 0 {0} uuid=MIG-{0} gi={0} ci=0 name=A100_MIG_1g.5gb used=1 free=1 reserved=0 total=2\n"
    with Nvml(tmp_path, board + mig.format(1) + mig.format(2)) as agent, \
            Watch(agent.addr("grpc"), pb) as watch:
        first = watch.until(lambda m: len(m.gpus) == 3)
        ids = {g.info.uuid: g.id for g in first.gpus}
        agent.play(board + mig.format(2) + mig.format(5))
        gone = watch.until(lambda m: list(m.removed))
        assert list(gone.removed) == [ids["MIG-1"]]
        wait_until(lambda: set(own(agent, "memory_used_bytes")) == {"MIG-2", "MIG-5"},
                   "the new instance is there")
        agent.play(board + mig.format(2))
        agent.wait_log('the list of GPUs changed" gpus=2 before=3')


def test_an_xid_is_on_the_page_of_the_gpu_and_its_instance(tmp_path):
    text = script("h100_mig")
    with Nvml(tmp_path, text) as agent:
        agent.wait_ready()
        assert set(own(agent, "xid_last").values()) == {0}
        agent.play(text + "xid 0 31 9\n")
        wait_until(lambda: own(agent, "xid_last") == {
            "GPU-33333333-cccc-4000-8000-000000000000": 31,
            "MIG-0b0b0b0b-0000-5000-8000-000000000000": 0,
            "MIG-0b0b0b0b-0000-5000-8000-000000000002": 31}, "the XID")
        assert [(e["uuid"][:4], e["xid"]) for e in agent.events("a GPU reports an XID error")] == \
            [("GPU-", "31"), ("MIG-", "31")]


def test_a_call_that_hangs_for_a_minute_delays_neither_scrape_nor_stream(tmp_path, pb):
    text = GPU.format(0, 10) + GPU.format(1, 20)
    with Nvml(tmp_path, text) as agent, Watch(agent.addr("grpc"), pb) as watch:
        agent.wait_ready()
        agent.play(text + "hang 60s nvmlDeviceGetPowerUsage\n")
        watch.until(lambda m: m.driver_stalled_ms > 500)
        took = []
        for _ in range(200):
            start = time.monotonic()
            agent.page()
            took.append(time.monotonic() - start)
        assert max(took) < 20  # not the hang's minute, on a busy machine either
        ages = [watch.next().age_ms[0] for _ in range(5)]
        assert ages == sorted(ages) and ages[-1] > ages[0]
        assert list(agent.values("gpuscale_agent_driver_stalled_seconds").values())[0] > 0.5
        agent.wait_log("the GPU driver does not answer")
        wait_until(lambda: "gpu_utilization{" not in agent.page(), "old readings are gone")
        assert agent.ready()[0] == 200
        assert agent.stop() == 0  # the thread that hangs is left behind
        assert watch.end()[0] == grpc.StatusCode.OK


@pytest.mark.parametrize("call", ["nvmlInit_v2", "nvmlDeviceGetName"])
def test_a_driver_that_hangs_at_the_start_leaves_the_agent_serving(tmp_path, call):
    with Nvml(tmp_path, GPU.format(0, 10) + f"hang 60s {call}\n") as agent:
        agent.wait_log("the GPU driver does not answer")
        assert harness.http_get(f"http://{agent.addr('health')}/healthz")[0] == 200
        assert agent.ready()[0] == 503
        assert "gpu_utilization{" not in agent.page()
        assert agent.stop() == 0


def test_a_hang_that_ends_is_over(tmp_path):
    text = GPU.format(0, 10)
    with Nvml(tmp_path, text) as agent:
        agent.wait_ready()
        agent.play(text.replace("util=10", "util=30") + "hang 2s nvmlDeviceGetUtilizationRates\n")
        wait_until(lambda: list(agent.values("gpuscale_agent_driver_stalled_seconds").values())[0] > 0,
                   "the stall is told")
        wait_until(lambda: own(agent, "utilization_ratio") == {"GPU-0": 0.3}, "it answers again")
        assert agent.values("gpuscale_agent_driver_stalled_seconds") == {frozenset(): 0}


def test_a_nvml_that_answers_999_for_ever_ends_the_agent_with_status_1(tmp_path, pb):
    with Nvml(tmp_path, GPU.format(0, 10)) as agent, Watch(agent.addr("grpc"), pb) as watch:
        agent.wait_ready()
        agent.play("every 999")
        agent.wait_log("the GPU driver failed calls")
        assert agent.wait(deadline_s=60) == 1
        told = agent.events("the GPU source failed for good")[0]["error"]
        assert "no NVML call was answered for 1" in told
        assert "NVML_ERROR_UNKNOWN (999)" in told and "restarted" in told
        assert watch.end()[0] == grpc.StatusCode.OK


def test_a_moment_of_999_is_survived(tmp_path):
    with Nvml(tmp_path, GPU.format(0, 10)) as agent:
        agent.wait_ready()
        agent.play("every 999\nat 2s\nevery 0\n" + GPU.format(0, 40))
        agent.wait_log("the GPU driver failed calls")
        wait_until(lambda: own(agent, "utilization_ratio") == {"GPU-0": 0.4}, "it answers again")


@pytest.mark.parametrize("text, release, says", [
    ("every 9", "580", "kernel module is not loaded"),
    ("every 18", "580", "upgraded under a running container"),
    ("every 4", "580", "runtimeClassName nvidia"),
    ("every 999", "580", "NVML_ERROR_UNKNOWN (999)"),
    ("driver 1.2", "580", "works and shows no GPU"),
    (GPU.format(0, 1), "300", "has no nvmlDeviceGetCount_v2"),
])
def test_what_is_missing_at_the_start_is_told_and_the_status_is_2(tmp_path, text, release, says):
    (tmp_path / "script.nvml").write_text(text)
    done = run("gpuscale-agent", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
               "--health-listen", "127.0.0.1:0", "--source", f"nvml:library={library(release)}",
               env={"FAKE_NVML_SCRIPT": str(tmp_path / "script.nvml")})
    assert done.returncode == 2, done.stderr
    assert says in done.stderr


# --- auto, recordings


def test_auto_takes_nvml_when_it_has_a_gpu_and_says_so(tmp_path):
    # A host that has the real library in the loader's reach finds the scripted one first.
    where = {"LD_LIBRARY_PATH": str(library("580").parent)}
    with Nvml(tmp_path, GPU.format(0, 10), source="auto", env=where) as agent:
        agent.wait_ready()
        opened = agent.events("GPU source open")[0]
        assert opened["source"] == "auto" and opened["what"].startswith("NVML: 1 GPU, ")
        assert own(agent, "utilization_ratio") == {"GPU-0": 0.1}
    done = run("gpuscale-agent", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0",
               "--health-listen", "127.0.0.1:0", "--source", "auto",
               env={**where, "FAKE_NVML_SCRIPT": "/dev/null"})
    assert done.returncode == 2
    assert re.search("auto found no GPU: nvml: NVIDIA driver .* shows no GPU", done.stderr)


@pytest.mark.parametrize("name", ["h100x2", "h100_mig", "a100_mig"])
def test_a_recording_of_nvml_replays_to_the_same_page(tmp_path, name):
    recording = tmp_path / "recording.csv"
    same = re.compile(r"^(gpuscale_gpu_(?!reading_age)|DCGM_FI_|gpu_).*", re.M)
    with Nvml(tmp_path, script(name), "--record", recording) as agent:
        agent.wait_ready()
        wait_until(lambda: recording.read_text().count("\n") > 30, "some rounds are recorded")
        page = sorted(m.group() for m in same.finditer(agent.page()))
    assert len(page) > 40
    with Agent(f"replay:{recording}") as agent:
        agent.wait_ready()

        def equal():
            replayed = sorted(m.group() for m in same.finditer(agent.page()))
            assert replayed == page
            return True
        wait_until(equal, "the page of the recording")


def test_help_names_the_source():
    done = run("gpuscale-agent", "--help")
    assert "nvml[:library=PATH][,pcie]" in re.sub(r"\s+", " ", done.stdout)
