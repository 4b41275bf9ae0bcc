# SPDX-License-Identifier: Apache-2.0
"""A kubelet as far as the agent sees one: v1 PodResourcesLister on a unix socket (python3-grpcio),
which plays answers from pod_resources/*.json (protobuf's JSON, as grpcurl prints it)."""

import pathlib
import socket
import subprocess
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import json_format

HERE = pathlib.Path(__file__).resolve().parent
ANSWERS = HERE / "pod_resources"


def make_stub(folder):
    """The module of kubelet_api.proto."""
    subprocess.run(["protoc", f"--proto_path={HERE}", f"--python_out={folder}", "kubelet_api.proto"],
                   check=True)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    import kubelet_api_pb2
    return kubelet_api_pb2


class Kubelet:
    """Serves `answer` on FOLDER/kubelet.sock. refuse = (code, text) or hang = True play a bad one."""

    def __init__(self, api, folder, answer=None):
        self.api = api
        self.path = pathlib.Path(folder) / "kubelet.sock"
        self.asked = 0
        self.refuse = None
        self.go_on = threading.Event()  # cleared: questions hang
        self.go_on.set()
        self.server = None
        self.set_answer(answer if answer is not None else {})
        self.start()

    def set_answer(self, answer):
        """A name of pod_resources/, an object of JSON, or the bytes themselves."""
        if isinstance(answer, str):
            answer = (ANSWERS / f"{answer}.json").read_text()
            self.answer = json_format.Parse(answer, self.api.ListPodResourcesResponse()).SerializeToString()
        elif isinstance(answer, dict):
            self.answer = json_format.ParseDict(
                answer, self.api.ListPodResourcesResponse()).SerializeToString()
        else:
            self.answer = answer

    def _list(self, request, context):
        self.asked += 1
        self.go_on.wait(60)
        if self.refuse:
            context.abort(*self.refuse)
        return self.answer

    def start(self):
        methods = {"List": grpc.unary_unary_rpc_method_handler(
            self._list, request_deserializer=self.api.ListPodResourcesRequest.FromString,
            response_serializer=lambda b: b)}
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1.PodResourcesLister", methods),))
        self.server.add_insecure_port(f"unix:{self.path}")
        self.server.start()

    def stop(self):
        """Ends and takes the socket away, as a kubelet does that is restarted."""
        self.go_on.set()
        self.server.stop(0).wait()
        self.path.unlink(missing_ok=True)

    def asked_again(self, times=2):
        """A condition: so many more questions came."""
        goal = self.asked + times
        return lambda: self.asked >= goal

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


class Other:
    """Somebody else on the socket: each connection gets `says` and is kept open (or closed)."""

    def __init__(self, folder, says=b"", close=False):
        self.path = pathlib.Path(folder) / "kubelet.sock"
        self.says, self.close_at_once = says, close
        self.came = 0
        self.open = []
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.came += 1
            try:
                s.sendall(self.says)
            except OSError:
                pass
            if self.close_at_once:
                s.close()
            else:
                self.open.append(s)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.open:
            s.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


def many_pods(n, gpus=()):
    """An answer of n pods as busy nodes have them; the first len(gpus) hold those GPUs."""
    pods = []
    for i in range(n):
        container = {"name": "main", "cpuIds": [str(2 * i), str(2 * i + 1)],
                     "memory": [{"memoryType": "memory", "size": str(1 << 30),
                                 "topology": {"nodes": [{"ID": "0"}]}}]}
        if i < len(gpus):
            container["devices"] = [{"resourceName": "nvidia.com/gpu", "deviceIds": [gpus[i]],
                                     "topology": {"nodes": [{"ID": "0"}]}}]
        pods.append({"name": f"a-deployment-with-a-name-5d78c9869d-{i:05}", "namespace": f"team-{i % 17}",
                     "containers": [container, {"name": "istio-proxy"}]})
    return {"podResources": pods}
