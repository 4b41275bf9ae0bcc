# SPDX-License-Identifier: Apache-2.0
"""What the tests of gRPC share: the echo server and client of grpc_echo.c, stubs, fixtures."""

import pathlib
import signal
import subprocess

import grpc
import pytest

import harness


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    """Modules by name, made from the .proto files."""
    folder = tmp_path_factory.mktemp("stubs")
    here = pathlib.Path(__file__).resolve().parent
    harness.make_stubs(folder, "externalscaler", "node", "health", "reflection",
                       "reflection_v1alpha")
    subprocess.run(["protoc", f"--proto_path={here}", f"--python_out={folder}", "echo.proto"],
                   check=True)
    names = ("echo", "externalscaler", "node", "health", "reflection", "reflection_v1alpha")
    return {name: __import__(f"{name}_pb2") for name in names}


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return harness.Certs(tmp_path_factory.mktemp("certs"))


def serve(*args):
    # Freed memory that AddressSanitizer keeps would count as the server's.
    return harness.Program("grpc_echo", "server", *args,
                           env={"ASAN_OPTIONS": "exitcode=99:quarantine_size_mb=16"})


@pytest.fixture
def server():
    with serve() as program:
        program.target = program.addr("grpc")
        yield program


def client(*args, **kwargs):
    """Output lines of the C client as dicts by status."""
    out = harness.run("grpc_echo", "client", *args, **kwargs)
    assert out.returncode == 0, out.stderr
    lines = [harness.parse_logfmt(line) for line in out.stdout.splitlines()]
    return {line["status"]: line for line in lines}


class Echo:
    """What a generated stub would be."""

    def __init__(self, channel, pb):
        self.channel = channel
        self.request = pb["echo"].EchoRequest
        parse = pb["echo"].EchoResponse.FromString
        dump = pb["echo"].EchoRequest.SerializeToString
        self.unary = channel.unary_unary("/gpuscale.test.Echo/Unary", dump, parse)
        self.stream = channel.unary_stream("/gpuscale.test.Echo/Stream", dump, parse)


def connect(target, pb, credentials=None, options=()):
    # A subchannel of its own for each channel: tests count connections.
    options = (("grpc.use_local_subchannel_pool", 1), *options)
    if credentials:
        return Echo(grpc.secure_channel(target, credentials, options), pb)
    return Echo(grpc.insecure_channel(target, options), pb)


@pytest.fixture
def echo(server, pb):
    stub = connect(server.target, pb)
    yield stub
    stub.channel.close()


def stats(program):
    """The server's counters, told on SIGUSR2."""
    before = len(program.lines)
    program.signal(signal.SIGUSR2)
    line = program.wait_log("msg=stats", start=before)
    return {k: int(v) for k, v in harness.parse_logfmt(line).items() if v.isdigit()}


def status_of(call):
    with pytest.raises(grpc.RpcError) as failed:
        call()
    return failed.value.code(), failed.value.details()
