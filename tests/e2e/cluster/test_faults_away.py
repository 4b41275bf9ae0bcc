# SPDX-License-Identifier: Apache-2.0
"""The API server is away for five minutes. A scaler that decides alone goes on by what agents, engines and the gateway tell; nothing
can scale meanwhile, and nothing has been scaled wrongly when the API server is back."""

import os
import signal
import time

import pytest

from harness import http_get
from recorder import Recorder
from service import ADDRESS, Rig
from workloads import RATE, engine_deployment, scaled_object

AWAY_S = float(os.environ.get("GPUSCALE_AWAY_S", "300"))


class Two(Rig):
    """Services."""

    def __init__(self, plane):
        super().__init__(plane, gateways=("busy", "quiet"))
        self.start(demand={n: g.demand() for n, g in self.gateways.items()})

    def serve(self, name, replicas, rate):
        ns = self.plane.namespace(name)
        self.gateways[name].namespace = ns
        self.plane.apply(engine_deployment(ns, "llm", replicas=replicas, load_time="0s"))
        recorder = Recorder(self.plane, ns, "llm")
        self.plane.wait_until(lambda: len(self.ready(ns)) == replicas, "they are ready")
        self.gateways[name].rate = rate
        self.plane.apply(scaled_object(ns, "llm", {**RATE, "demand": name}, least=0))
        return ns, recorder

    def decided(self, ns):
        return self.scaler.decided(ns, "llm")["now"]

    def readyz(self):
        code, _, text = http_get(f"http://{ADDRESS}:8081/readyz", deadline_s=5)
        return code, text.decode()


@pytest.fixture(scope="module")
def rig(plane):
    rig = Two(plane)
    yield rig
    rig.stop()


def test_five_minutes_without_the_api_server(plane, rig):
    busy, busy_recorder = rig.serve("busy", replicas=1, rate=7)
    quiet, quiet_recorder = rig.serve("quiet", replicas=2, rate=7)
    for ns, recorder in ((busy, busy_recorder), (quiet, quiet_recorder)):
        plane.wait_until(lambda: recorder.now == 2 and len(rig.ready(ns)) == 2, f"two in {ns}")
    plane.processes["kube-apiserver"].stop(signal.SIGKILL)
    began = time.monotonic()
    try:
        rig.gateways["busy"].rate = 15  # four
        plane.wait_until(lambda: "unseen" in rig.decided(quiet)["notices"], "the scaler knows that it does not see")
        rig.gateways["quiet"].rate = 0
        plane.wait_until(lambda: rig.decided(busy)["desired"] == 4, "decided by what the gateway and the engines tell")
        plane.wait_until(lambda: time.monotonic() - began > AWAY_S - 5, "five minutes", deadline_s=AWAY_S + 60, every_s=1)
        said = rig.decided(busy), rig.decided(quiet)
        assert said[0]["desired"] == 4 and said[0]["state"] == "ok"
        assert said[1]["desired"] == 2, "what pods do that are not seen is not known: nothing is lowered"
        for record in said:
            assert "unseen" in record["notices"] and "are not followed for" in record["sentence"], record["sentence"]
        code, words = rig.readyz()
        assert code == 200 and words.startswith("ok, but:") and "pods" in words, words
        assert "the cluster does not answer: its last state stands" in rig.log()
        assert max(rig.scaler.page("gpuscale_cluster_failing_seconds").values()) > 60
        for ns in (busy, quiet):
            assert len(rig.ready(ns)) == 2, "nobody can change anything"
        plane.wait_until(lambda: time.monotonic() - began > AWAY_S, "five minutes", deadline_s=60)
    finally:
        plane.processes["kube-apiserver"].start()
    back = time.monotonic()
    plane.wait_until(lambda: plane.rest.request("GET", "/readyz")[0] == 200, "the API server is back", deadline_s=120)
    plane.wait_until(lambda: rig.readyz() == (200, "ok\n"), "all is seen again", deadline_s=120)
    seen = time.monotonic() - back
    plane.wait_until(lambda: plane.get(f"/apis/apps/v1/namespaces/{busy}/deployments/llm")["spec"]["replicas"] == 4 and len(rig.ready(busy)) == 4,
                     "what was missing is made up for", deadline_s=180)
    print(f"\nafter {AWAY_S:.0f} s without the API server: all seen again after {seen:.1f} s, scaled to four after {time.monotonic() - back:.1f} s")
    plane.wait_until(lambda: plane.get(f"/apis/apps/v1/namespaces/{quiet}/deployments/llm")["spec"]["replicas"] == 0 and not rig.ready(quiet),
                     "what nobody asks for goes", deadline_s=180)
    # Watches were cut: the recorder has listed again meanwhile. No number but those that were decided was ever set.
    assert set(busy_recorder.counts()) <= {1, 2, 3, 4} and set(quiet_recorder.counts()) <= {0, 1, 2}
    assert "the cluster answers again" in rig.log()
    for recorder in (busy_recorder, quiet_recorder):
        recorder.stop()
