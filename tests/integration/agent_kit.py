# SPDX-License-Identifier: Apache-2.0
"""What the tests and the benchmark of gpuscale-agent share: starting one, reading its page, and a
Watch client (python3-grpcio)."""

import queue
import re
import socket
import ssl
import threading
import time

import grpc

import harness

# Values of proto/node.proto by name, in the order of core/signal/reading.h.
VALUE_NAMES = re.findall(r"^    GPU_(\w+),", (harness.ROOT / "src/core/signal/reading.h").read_text(),
                         re.M)[:-1]


class Agent(harness.Program):
    """An agent on ports that the kernel picked. Extra arguments follow."""

    def __init__(self, source, *args, config=None, interval="100ms", dcgm="on", grpc_listen="127.0.0.1:0", **kwargs):
        argv = ["gpuscale-agent", "--listen", "127.0.0.1:0", "--grpc-listen", grpc_listen,
                "--health-listen", "127.0.0.1:0", "--node-name", "node-a"]
        if source is not None:
            argv += ["--source", source]
        if interval is not None:
            argv += ["--interval", interval]
        if dcgm is not None:
            argv += ["--dcgm", dcgm]
        if config is not None:
            argv += ["--config", config]
        super().__init__(*argv, *args, **kwargs)

    def url(self, path="/metrics", scheme="http"):
        return f"{scheme}://{self.addr('metrics')}{path}"

    def page(self, **kwargs):
        status, _, body = harness.http_get(self.url(), **kwargs)
        assert status == 200, body
        return body.decode()

    def ready(self):
        return harness.http_get(f"http://{self.addr('health')}/readyz")

    def wait_ready(self):
        harness.wait_until(lambda: self.ready()[0] == 200, "the agent is ready")
        return self

    def values(self, name):
        return harness.metric_values(self.page(), name)


def free_port():
    """A port that was free just now, for programs that cannot tell which one the kernel picked."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def by_gpu(values):
    """{frozenset of labels: value} -> {gpu index: value}."""
    return {dict(labels)["gpu"]: value for labels, value in values.items()}


class Watch:
    """A client of Node/Watch: its messages come through a queue; `status` is how it ended."""

    def __init__(self, addr, pb, credentials=None, options=()):
        target = addr
        self.channel = (grpc.secure_channel(target, credentials, options=list(options))
                        if credentials else grpc.insecure_channel(target, options=list(options)))
        call = self.channel.unary_stream(
            "/gpuscale.v1.Node/Watch", request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.NodeState.FromString)
        self.call = call(pb.WatchRequest(client="test"))
        self.messages = queue.Queue()
        self.status = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for message in self.call:
                self.messages.put(message)
        except grpc.RpcError:
            pass
        self.status = self.call.code(), self.call.details()
        self.messages.put(None)

    def next(self, deadline_s=harness.DEADLINE_S):
        message = self.messages.get(timeout=deadline_s)
        assert message is not None, f"the stream ended: {self.status}"
        return message

    def until(self, condition, deadline_s=harness.DEADLINE_S):
        """The first message for which condition(message) is true."""
        end = time.monotonic() + deadline_s
        while True:
            left = end - time.monotonic()
            assert left > 0, "no such message came"
            message = self.next(left)
            if condition(message):
                return message

    def end(self, deadline_s=harness.DEADLINE_S):
        """Waits for the end of the stream: (code, details)."""
        self._thread.join(deadline_s)
        assert self.status, "the stream did not end"
        return self.status

    def close(self):
        self.call.cancel()
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def values_of(gpu):
    """{name: value} of a Gpu message."""
    names = [n for i, n in enumerate(VALUE_NAMES) if gpu.valid >> i & 1]
    assert len(names) == len(gpu.values)
    return dict(zip(names, gpu.values))


def client_context(certs, leaf=None):
    """An ssl context that trusts the test CA and, with `leaf`, shows that certificate."""
    context = ssl.create_default_context(cafile=str(certs.ca))
    if leaf:
        context.load_cert_chain(str(leaf[0]), str(leaf[1]))
    return context


def grpc_credentials(certs, leaf=None):
    return grpc.ssl_channel_credentials(
        certs.ca.read_bytes(), *((leaf[1].read_bytes(), leaf[0].read_bytes()) if leaf else ()))
