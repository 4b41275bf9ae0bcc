# SPDX-License-Identifier: Apache-2.0
"""The gRPC server and client (src/net/grpc_*) against python3-grpcio and python3-protobuf.
docs/grpc.md names the test of each rule."""

import concurrent.futures
import random
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

import harness
from grpc_common import (certs, client, connect, echo, pb, serve, server,  # noqa: F401 (fixtures)
                         stats, status_of)

SIZES = {"empty": 0, "one": 1, "frame": 16384 - 5, "frame and one": 16384 - 4,
         "three frames": 3 * 16384 - 5}

# Unary and streams


def test_unary_answers(echo):
    answer = echo.unary(echo.request(text="grüße 😀"))
    assert answer.text == "grüße 😀"
    assert not answer.payload


def test_empty_request_message_is_legal(echo):
    assert echo.unary(echo.request()).text == ""


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_bodies_of_every_frame_count(echo, size):
    assert echo.unary(echo.request(size=size)).payload == b"x" * size
    text = "t" * size
    assert echo.unary(echo.request(text=text)).text == text


def test_reply_of_three_megabytes(echo):
    assert len(echo.unary(echo.request(size=3_000_000)).payload) == 3_000_000


def test_request_over_the_limit_is_resource_exhausted(echo):
    # 64 KiB with tag and length of the text.
    fits = echo.request(text="a" * (65536 - 4))
    assert fits.ByteSize() == 65536
    assert len(echo.unary(fits).text) == 65532
    code, details = status_of(lambda: echo.unary(echo.request(text="a" * 65533)))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "65537" in details and "65536" in details


def test_reply_over_four_megabytes_is_resource_exhausted(echo):
    code, details = status_of(lambda: echo.unary(echo.request(size=4 << 20)))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED, details


def test_request_that_unpacks_to_much_more_is_refused(echo):
    raw = echo.channel.unary_unary("/gpuscale.test.Echo/Unary")
    code, details = status_of(lambda: raw(b"\x3a\x00" * 20000))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "unpack" in details


@pytest.mark.parametrize("name,raw,code", [
    ("NUL", b"\x0a\x03a\x00b", grpc.StatusCode.INVALID_ARGUMENT),
    ("bad UTF-8", b"\x0a\x02\xff\xfe", grpc.StatusCode.INVALID_ARGUMENT),
    ("truncated", b"\x0a\x05ab", grpc.StatusCode.INTERNAL),
    ("group", b"\x0b", grpc.StatusCode.INTERNAL),
])
def test_bad_messages_never_reach_the_method(echo, name, raw, code):
    method = echo.channel.unary_unary("/gpuscale.test.Echo/Unary")
    got, details = status_of(lambda: method(raw))
    assert got == code, details
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        assert "gpuscale.test.EchoRequest.text" in details


def test_server_stream_ends_with_ok(echo):
    call = echo.stream(echo.request(count=5, size=3))
    assert [m.seq for m in call] == [1, 2, 3, 4, 5]
    assert call.code() == grpc.StatusCode.OK


def test_stream_with_status_after_messages(echo):
    call = echo.stream(echo.request(count=2, delay_ms=5, status=9, message="later"))
    got = []
    with pytest.raises(grpc.RpcError) as failed:
        for message in call:
            got.append(message.seq)
    assert got == [1, 2]
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "later"


@pytest.mark.parametrize("status", range(1, 17))
def test_every_status_code_arrives(echo, status):
    code, details = status_of(lambda: echo.unary(echo.request(status=status, message="why")))
    assert code.value[0] == status and details == "why"


@pytest.mark.parametrize("message", ["plain", "50 % of\nlines\ttabs", "grüße 😀", "a" * 900])
def test_status_message_is_percent_encoded(echo, message):
    assert status_of(lambda: echo.unary(echo.request(status=3, message=message)))[1] == message


def test_unknown_method_and_service(echo):
    for path in ("/gpuscale.test.Echo/Nope", "/no.Such/Thing", "/"):
        code, details = status_of(lambda: echo.channel.unary_unary(path)(b""))
        assert code == grpc.StatusCode.UNIMPLEMENTED
        assert path in details


def test_deadline_is_kept_by_the_server(server, echo):
    code, _ = status_of(lambda: echo.unary(echo.request(delay_ms=60000), timeout=0.2))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    harness.wait_until(lambda: stats(server)["streams"] == 0, "the call to be gone")


def test_cancelled_stream_is_gone_on_the_server(server, echo):
    call = echo.stream(echo.request(delay_ms=10))
    assert next(call).seq == 1
    assert stats(server)["streams"] == 1
    call.cancel()
    harness.wait_until(lambda: stats(server)["streams"] == 0, "the stream to be gone")
    assert stats(server)["cancelled"] == 1


def test_gzip_request_is_unimplemented_with_what_is_accepted(server, pb):
    stub = connect(server.target, pb)
    call = stub.unary.with_call
    with pytest.raises(grpc.RpcError) as failed:
        call(stub.request(text="a" * 1000), compression=grpc.Compression.Gzip)
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED
    stub.channel.close()


def test_metadata_up_to_eight_kib(echo):
    assert echo.unary(echo.request(text="x"), metadata=[("k", "v" * 7000)]).text == "x"
    code, details = status_of(lambda: echo.unary(echo.request(), metadata=[("k", "v" * 9000)]))
    # The client may know our SETTINGS_MAX_HEADER_LIST_SIZE by then and refuse by itself.
    assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL), details
    assert echo.unary(echo.request(text="x")).text == "x"


# Many


def test_64_callers_on_one_connection(server, echo):
    def caller(i):
        return [echo.unary(echo.request(text=f"{i}-{k}")).text == f"{i}-{k}" for k in range(40)]
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        for results in pool.map(caller, range(64)):
            assert all(results)
    assert stats(server)["connections"] == 1


def test_500_streams_and_a_unary_call_on_one_connection(server, echo):
    calls = [echo.stream(echo.request(delay_ms=60000)) for _ in range(500)]
    for call in calls:
        assert next(call).seq == 1
    now = stats(server)
    assert (now["connections"], now["streams"]) == (1, 500)
    assert echo.unary(echo.request(text="still there"), timeout=10).text == "still there"
    for call in calls:
        call.cancel()
    harness.wait_until(lambda: stats(server)["streams"] == 0, "all streams to be gone")


def test_stream_that_is_never_read_is_bounded(server, pb):
    stub = connect(server.target, pb)
    call = stub.stream(stub.request(size=100_000, fill=True))
    other = connect(server.target, pb)
    assert other.unary(other.request(text="x"), timeout=10).text == "x"
    assert server.rss_bytes() < 128 << 20
    code, details = status_of(lambda: [m for m in call])
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "does not read" in details
    stub.channel.close()
    other.channel.close()


# TLS


def credentials(certs, leaf=None):
    key, chain = None, None
    if leaf:
        crt, key_file = leaf
        chain, key = crt.read_bytes(), key_file.read_bytes()
    return grpc.ssl_channel_credentials(certs.ca.read_bytes(), key, chain)


def test_tls(certs, pb):
    crt, key = certs.leaf("server")
    with serve("--cert", crt, "--key", key) as program:
        target = program.addr("grpc").replace("127.0.0.1", "localhost")
        stub = connect(target, pb, credentials(certs))
        assert stub.unary(stub.request(text="safe"), timeout=10).text == "safe"
        assert [m.seq for m in stub.stream(stub.request(count=3))] == [1, 2, 3]
        assert len(stub.unary(stub.request(size=3_000_000)).payload) == 3_000_000
        stub.channel.close()
        ours = client("--to", program.addr("grpc"), "--tls-name", "localhost", "--ca", certs.ca,
                      "--calls", "200", "--parallel", "20", "--size", "1000")
        assert ours["OK"]["calls"] == "200" and ours["OK"]["bytes"] == "200000"


def test_tls_server_offers_h2(certs):
    crt, key = certs.leaf("server")
    with serve("--cert", crt, "--key", key) as program:
        out = subprocess.run(
            ["openssl", "s_client", "-connect", program.addr("grpc"), "-alpn", "h2"],
            input="", capture_output=True, text=True, timeout=20)
        assert "ALPN protocol: h2" in out.stdout, out.stderr


def test_mutual_tls_with_without_and_with_the_wrong_certificate(certs, pb, tmp_path):
    crt, key = certs.leaf("server")
    mine = certs.leaf("keda-operator")
    stranger = harness.Certs(tmp_path / "other", "other CA").leaf("stranger")
    with serve("--cert", crt, "--key", key, "--ca", certs.ca) as program:
        target = program.addr("grpc").replace("127.0.0.1", "localhost")
        stub = connect(target, pb, credentials(certs, mine))
        assert stub.unary(stub.request(), timeout=10).peer == "keda-operator"
        stub.channel.close()
        for leaf in (None, stranger):
            stub = connect(target, pb, credentials(certs, leaf))
            code, details = status_of(lambda: stub.unary(stub.request(), timeout=10))
            assert code == grpc.StatusCode.UNAVAILABLE, details
            stub.channel.close()
        args = ("--to", program.addr("grpc"), "--tls-name", "localhost", "--ca", certs.ca)
        good = client(*args, "--cert", mine[0], "--key", mine[1])
        assert good["OK"]["calls"] == "1"
        bad = client(*args, "--cert", stranger[0], "--key", stranger[1])
        assert bad["UNAVAILABLE"]["calls"] == "1"
        assert client(*args)["UNAVAILABLE"]["calls"] == "1"
        assert stats(program)["handshake_failures"] >= 2


def test_client_refuses_a_server_with_another_name(certs):
    crt, key = certs.leaf("elsewhere", sans="DNS:elsewhere.example")
    with serve("--cert", crt, "--key", key) as program:
        got = client("--to", program.addr("grpc"), "--tls-name", "localhost", "--ca", certs.ca)
        assert got["UNAVAILABLE"]["calls"] == "1"


# The graceful end


class Callers:
    """Threads that call without pause; every failure is kept."""

    def __init__(self, stub, n=8, delay_ms=5):
        self.failures, self.peers, self.ok = [], set(), 0
        self.lock = threading.Lock()
        self.running = True
        self.threads = [threading.Thread(target=self.call, args=(stub, delay_ms))
                        for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def call(self, stub, delay_ms):
        while self.running:
            try:
                answer = stub.unary(stub.request(text="x", delay_ms=delay_ms), timeout=30,
                                    wait_for_ready=True)
                with self.lock:
                    self.ok += 1
                    self.peers.add(answer.peer)
            except grpc.RpcError as e:
                with self.lock:
                    self.failures.append((e.code(), e.details()))

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()


def test_shutdown_while_calling_fails_no_call(pb):
    first = serve()
    target = first.addr("grpc")
    options = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
               ("grpc.max_reconnect_backoff_ms", 100))
    stub = connect(target, pb, options=options)
    stream = stub.stream(stub.request(delay_ms=20))
    assert next(stream).seq == 1
    callers = Callers(stub)
    harness.wait_until(lambda: callers.ok > 50, "calls to run")
    first.stop()
    with serve("--listen", target):
        before = callers.ok
        harness.wait_until(lambda: callers.ok > before + 50, "calls to go on")
        callers.stop()
    assert callers.failures == []
    for _ in stream: # ends with OK: KEDA then comes back at once
        pass
    assert stream.code() == grpc.StatusCode.OK
    stub.channel.close()


def test_connection_age_fails_no_call(pb):
    options = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50))
    with serve("--age", "300") as program:
        stub = connect(program.addr("grpc"), pb, options=options)
        callers = Callers(stub)
        harness.wait_until(lambda: len(callers.peers) > 4, "connections to be replaced")
        callers.stop()
        assert callers.failures == []
        stub.channel.close()


def test_running_unary_calls_outlive_sigterm(pb):
    program = serve()
    stub = connect(program.addr("grpc"), pb)
    future = stub.unary.future(stub.request(text="slow", delay_ms=700))
    harness.wait_until(lambda: stats(program)["streams"] == 1, "the call to run")
    program.stop()
    assert future.result(timeout=10).text == "slow"
    stub.channel.close()


def test_grace_time_cuts_what_does_not_end(pb):
    program = serve("--grace", "300")
    stub = connect(program.addr("grpc"), pb)
    future = stub.unary.future(stub.request(delay_ms=60000))
    harness.wait_until(lambda: stats(program)["streams"] == 1, "the call to run")
    program.stop()
    assert future.exception(timeout=10).code() == grpc.StatusCode.UNAVAILABLE
    stub.channel.close()


# Health and reflection


def test_health(server, pb):
    health = pb["health"]
    channel = grpc.insecure_channel(server.target)
    check = channel.unary_unary("/grpc.health.v1.Health/Check",
                                health.HealthCheckRequest.SerializeToString,
                                health.HealthCheckResponse.FromString)
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch",
                                 health.HealthCheckRequest.SerializeToString,
                                 health.HealthCheckResponse.FromString)
    for service in ("", "gpuscale.test.Echo"):
        assert check(health.HealthCheckRequest(service=service)).status == 1
    code, _ = status_of(lambda: check(health.HealthCheckRequest(service="no.such")))
    assert code == grpc.StatusCode.NOT_FOUND
    known = watch(health.HealthCheckRequest(service="gpuscale.test.Echo"))
    unknown = watch(health.HealthCheckRequest(service="no.such"))
    assert next(known).status == 1
    assert next(unknown).status == 3 and unknown.is_active()
    server.signal(signal.SIGUSR1)
    assert next(known).status == 2
    assert check(health.HealthCheckRequest()).status == 2
    server.signal(signal.SIGUSR2)
    assert next(known).status == 1
    channel.close()


@pytest.mark.parametrize("version", ["reflection", "reflection_v1alpha"])
def test_reflection(server, pb, version):
    from google.protobuf import descriptor_pb2
    module = pb[version]
    package = {"reflection": "grpc.reflection.v1",
               "reflection_v1alpha": "grpc.reflection.v1alpha"}[version]
    channel = grpc.insecure_channel(server.target)
    info = channel.stream_stream(f"/{package}.ServerReflection/ServerReflectionInfo",
                                 module.ServerReflectionRequest.SerializeToString,
                                 module.ServerReflectionResponse.FromString)
    asked = [module.ServerReflectionRequest(list_services="*"),
             module.ServerReflectionRequest(file_by_filename="echo.proto"),
             module.ServerReflectionRequest(file_containing_symbol="gpuscale.test.Echo.Unary"),
             module.ServerReflectionRequest(file_containing_symbol="gpuscale.test.EchoRequest.text"),
             module.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
             module.ServerReflectionRequest(
                 file_containing_symbol="grpc.health.v1.HealthCheckResponse.ServingStatus"),
             module.ServerReflectionRequest(file_containing_symbol="gpuscale.test.Ech"),
             module.ServerReflectionRequest(file_by_filename="nope.proto"),
             module.ServerReflectionRequest(
                 all_extension_numbers_of_type="gpuscale.test.EchoRequest")]
    answers = list(info(iter(asked)))
    assert len(answers) == len(asked)
    assert all(a.original_request == q for a, q in zip(answers, asked))
    services = {s.name for s in answers[0].list_services_response.service}
    assert services == {"gpuscale.test.Echo", "grpc.health.v1.Health",
                        "grpc.reflection.v1.ServerReflection",
                        "grpc.reflection.v1alpha.ServerReflection"}
    names = []
    for answer in answers[1:6]:
        file = descriptor_pb2.FileDescriptorProto()
        file.ParseFromString(answer.file_descriptor_response.file_descriptor_proto[0])
        names.append(file.name)
    assert names == ["echo.proto"] * 3 + ["health.proto"] * 2
    assert [a.error_response.error_code for a in answers[6:8]] == [5, 5]
    assert answers[8].all_extension_numbers_response.base_type_name == "gpuscale.test.EchoRequest"
    channel.close()


# Protobuf, against python3-protobuf


def random_text(rng):
    return "".join(chr(rng.choice([rng.randrange(1, 128), rng.randrange(128, 0x800),
                                   rng.randrange(0x1000, 0xd000), rng.randrange(0x10000, 0x10ffff)]))
                   for _ in range(rng.randrange(12)))


def random_value(rng, field):
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return rng.randbytes(rng.randrange(20))
        return random_text(rng)
    if kind == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == field.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return rng.choice([0.0, -1.5, 1e300, float("inf"), rng.random()])
    bits = 32 if kind in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    if kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64):
        return rng.choice([0, -1, -2**(bits - 1), 2**(bits - 1) - 1, rng.randrange(1000)])
    return rng.choice([0, 2**bits - 1, rng.randrange(1000)])


def fill(rng, message, depth=0):
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.3:
            continue
        repeated = field.label == field.LABEL_REPEATED
        is_map = field.message_type and field.message_type.GetOptions().map_entry
        for _ in range(rng.randrange(1, 5) if repeated else 1):
            if is_map:
                getattr(message, field.name)[random_text(rng)] = random_text(rng)
            elif field.message_type:
                target = getattr(message, field.name)
                fill(rng, target.add() if repeated else target, depth + 1)
                if not repeated:
                    target.SetInParent()
            elif repeated:
                getattr(message, field.name).append(random_value(rng, field))
            else:
                setattr(message, field.name, random_value(rng, field))
    return message


def test_random_messages_of_every_proto_survive_protobuf_c(pb):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    types = [pb["externalscaler"].ScaledObjectRef, pb["externalscaler"].GetMetricsRequest,
             pb["externalscaler"].GetMetricsResponse, pb["externalscaler"].GetMetricSpecResponse,
             pb["externalscaler"].IsActiveResponse, pb["node"].WatchRequest, pb["node"].NodeState,
             pb["health"].HealthCheckRequest, pb["health"].HealthCheckResponse,
             pb["reflection"].ServerReflectionRequest, pb["reflection"].ServerReflectionResponse,
             pb["reflection_v1alpha"].ServerReflectionRequest,
             pb["reflection_v1alpha"].ServerReflectionResponse,
             pb["echo"].EchoRequest, pb["echo"].EchoResponse]
    messages = [fill(rng, kind()) for kind in types for _ in range(60)]
    lines = "".join(f"{m.DESCRIPTOR.full_name} {m.SerializeToString().hex()}\n" for m in messages)
    out = harness.run("grpc_echo", "protobuf", stdin=lines)
    assert out.returncode == 0, out.stderr
    answers = out.stdout.splitlines()
    assert len(answers) == len(messages)
    for message, answer in zip(messages, answers):
        assert not answer.startswith("error"), (answer, message)
        assert type(message).FromString(bytes.fromhex(answer)) == message


# The client against python3-grpcio's server


class PythonServer:
    def __init__(self, pb):
        request, response = pb["echo"].EchoRequest, pb["echo"].EchoResponse

        def unary(q, context):
            if q.delay_ms:
                time.sleep(q.delay_ms / 1000)
            if q.status:
                context.abort(list(grpc.StatusCode)[q.status], q.text)
            return response(text=q.text, payload=b"x" * q.size)

        def stream(q, context):
            for i in range(q.count or 10**6):
                if not context.is_active():
                    return
                yield response(payload=b"x" * q.size, seq=i)
                time.sleep(q.delay_ms / 1000)

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "gpuscale.test.Echo",
            {"Unary": grpc.unary_unary_rpc_method_handler(
                unary, request.FromString, response.SerializeToString),
             "Stream": grpc.unary_stream_rpc_method_handler(
                 stream, request.FromString, response.SerializeToString)}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.target = f"127.0.0.1:{self.port}"
        self.server.start()


@pytest.fixture
def python_server(pb):
    s = PythonServer(pb)
    yield s
    s.server.stop(0).wait()


def test_client_unary_and_sizes(python_server):
    for size in (0, 1, 16379, 16380, 3_000_000):
        got = client("--to", python_server.target, "--size", size, "--calls", 3)
        assert got["OK"]["calls"] == "3" and int(got["OK"]["bytes"]) == 3 * size


def test_client_message_cap(python_server):
    assert "RESOURCE_EXHAUSTED" in client("--to", python_server.target, "--size", 5 << 20)


def test_client_stream(python_server):
    got = client("--to", python_server.target, "--method", "Stream", "--count", 100, "--size", 50)
    assert got["OK"]["messages"] == "100" and got["OK"]["bytes"] == "5000"


def test_client_reads_status_and_message(python_server):
    got = client("--to", python_server.target, "--status", 5, "--text", "nicht da: größe %")
    assert got["NOT_FOUND"]["last"] == "nicht da: größe %"


def test_client_unknown_method(python_server):
    assert "UNIMPLEMENTED" in client("--to", python_server.target, "--method", "Nope")


def test_client_timeout(python_server):
    assert "DEADLINE_EXCEEDED" in client("--to", python_server.target, "--delay", 2000,
                                         "--timeout", 200)


def test_client_more_calls_than_the_server_takes_at_once(python_server):
    got = client("--to", python_server.target, "--calls", 300, "--parallel", 300)
    assert got["OK"]["calls"] == "300"


def test_client_when_nothing_listens():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        target = "%s:%d" % s.getsockname()
    assert "UNAVAILABLE" in client("--to", target)


def test_client_over_a_unix_socket(tmp_path):
    path = f"unix:{tmp_path}/echo.sock"
    with serve("--listen", path) as program:
        program.addr("grpc")
        assert client("--to", path, "--calls", 10)["OK"]["calls"] == "10"


def test_client_is_told_unavailable_when_the_server_dies():
    program = serve()
    target = program.addr("grpc")
    done = []
    thread = threading.Thread(target=lambda: done.append(
        client("--to", target, "--method", "Stream", "--delay", 20)))
    thread.start()
    harness.wait_until(lambda: stats(program)["streams"] == 1, "the stream to run")
    program.kill()
    thread.join(20)
    assert "UNAVAILABLE" in done[0]


def test_client_stream_ends_with_ok_when_the_server_stops():
    program = serve()
    target = program.addr("grpc")
    done = []
    thread = threading.Thread(target=lambda: done.append(
        client("--to", target, "--method", "Stream", "--delay", 20)))
    thread.start()
    harness.wait_until(lambda: stats(program)["streams"] == 1, "the stream to run")
    program.stop()
    thread.join(20)
    assert "OK" in done[0]
