# SPDX-License-Identifier: Apache-2.0
"""The gRPC server against clients that break the rules: raw sockets, frame by frame."""

import socket
import struct
import threading
import time

import pytest

import harness
from grpc_common import echo, pb, server, stats  # noqa: F401 (fixtures)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags=0, stream=0, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def header(name, value):
    """A literal without indexing and without Huffman."""
    def text(s):
        s = s.encode()
        n = len(s)
        if n < 127:
            return bytes([n]) + s
        out, n = [127], n - 127
        while n >= 128:
            out.append(n % 128 + 128)
            n //= 128
        return bytes(out + [n]) + s
    return b"\x00" + text(name) + text(value)


def request_headers(*extra, path="/gpuscale.test.Echo/Unary", method="POST",
                    content_type="application/grpc"):
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"),
              ("content-type", content_type), ("te", "trailers"), *extra]
    return b"".join(header(n, v) for n, v in fields)


class Raw:
    def __init__(self, target, hello=True):
        host, port = target.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=harness.DEADLINE_S)
        self.buffer = b""
        if hello:
            self.sock.sendall(PREFACE + frame(SETTINGS))

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def next(self):
        """(type, flags, stream, body); None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return None
            self.buffer += got
        n = int.from_bytes(self.buffer[:3], "big")
        head, body = self.buffer[:9], self.buffer[9:9 + n]
        self.buffer = self.buffer[9 + n:]
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7fffffff, body

    def until(self, kind):
        while True:
            got = self.next()
            if got is None or got[0] == kind:
                return got

    def goaway(self):
        """Error code of the connection's end, or None when it just closed."""
        got = self.until(GOAWAY)
        return None if got is None else int.from_bytes(got[3][4:8], "big")

    def close(self):
        self.sock.close()


def test_settings_come_before_the_client_has_sent_anything(server):
    raw = Raw(server.target, hello=False)
    kind, flags, stream, body = raw.next()
    assert (kind, flags, stream) == (SETTINGS, 0, 0)
    settings = dict(struct.unpack(">HI", body[i:i + 6]) for i in range(0, len(body), 6))
    assert settings[3] == 65536 and settings[6] == 8192
    raw.close()


@pytest.mark.parametrize("garbage", [b"\x00" * 64, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2,
                                     PREFACE + b"\xff" * 200, PREFACE + frame(DATA, 0, 0, b"x"),
                                     PREFACE[:10] + b"garbage and more of it"])
def test_garbage_closes_the_connection_and_nothing_else(server, echo, garbage):
    raw = Raw(server.target, hello=False)
    raw.send(garbage)
    while raw.next() is not None:
        pass
    assert echo.unary(echo.request(text="x")).text == "x"
    assert stats(server)["protocol_errors"] >= 1


def test_half_a_frame_then_the_end(server, echo):
    for cut in (1, 9, 20):
        raw = Raw(server.target)
        raw.send(frame(HEADERS, END_HEADERS, 1, request_headers())[:cut])
        raw.close()
    raw = Raw(server.target)
    raw.send(frame(HEADERS, END_HEADERS, 1, request_headers()), frame(DATA, 0, 1, b"\x00\x00"))
    raw.close()
    harness.wait_until(lambda: stats(server)["connections"] == 0, "connections to be gone")
    assert echo.unary(echo.request(text="x")).text == "x"


def test_rapid_reset_is_cut(server, echo):
    raw = Raw(server.target)
    one = b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, request_headers()) +
                   frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8)) for i in range(4000))
    try:
        raw.send(one)
    except OSError:
        pass
    assert raw.goaway() in (11, 1, 2, None) # ENHANCE_YOUR_CALM, or cut before it was read
    assert stats(server)["streams"] == 0
    assert echo.unary(echo.request(text="x")).text == "x"


@pytest.mark.parametrize("flood", [frame(PING, 0, 0, b"12345678"), frame(SETTINGS)],
                         ids=["ping", "settings"])
def test_floods_of_control_frames_are_cut(server, echo, flood):
    raw = Raw(server.target)
    try:
        raw.send(flood * 20000)
    except OSError:
        pass
    assert raw.goaway() in (11, None)
    harness.wait_until(lambda: stats(server)["protocol_errors"] >= 1, "the flood to be counted")
    assert echo.unary(echo.request(text="x")).text == "x"


def test_continuation_flood_is_cut(server, echo):
    raw = Raw(server.target)
    try:
        raw.send(frame(HEADERS, 0, 1, request_headers()),
                 frame(CONTINUATION, 0, 1, header("k", "v")) * 5000)
    except OSError:
        pass
    while raw.next() is not None:
        pass
    assert echo.unary(echo.request(text="x")).text == "x"


def test_pings_now_and_then_are_never_struck(server):
    raw = Raw(server.target)
    for i in range(1500): # each beside a request, as bandwidth probes are
        stream = 2 * i + 1
        raw.send(frame(PING, 0, 0, b"12345678"),
                 frame(HEADERS, END_HEADERS, stream, request_headers()),
                 frame(DATA, END_STREAM, stream, b"\x00" * 5))
        raw.until(PING)
    raw.close()
    assert stats(server)["protocol_errors"] == 0


def test_huge_headers_end_the_call_or_the_connection(server, echo):
    raw = Raw(server.target)
    block = request_headers(("k", "v" * 8000))
    raw.send(frame(HEADERS, END_HEADERS, 1, block[:16000]))
    body = raw.until(HEADERS)[3]
    assert b"grpc-status" in body or body # trailers-only
    raw.send(frame(HEADERS, 0, 3, request_headers(("k", "v" * 15000))),
             *[frame(CONTINUATION, 0, 3, header("k", "v" * 16000)) for _ in range(20)])
    while raw.next() is not None:
        pass
    assert echo.unary(echo.request(text="x")).text == "x"


def test_client_that_never_reads_is_bounded(server, echo):
    raw = Raw(server.target)
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    payload = b"\x10\xa0\x8d\x06" # size: 100,000
    message = b"\x00" + struct.pack(">I", len(payload)) + payload
    raw.sock.settimeout(0.5)
    try:
        for i in range(4000):
            raw.send(frame(HEADERS, END_HEADERS, 2 * i + 1, request_headers()),
                     frame(DATA, END_STREAM, 2 * i + 1, message))
    except OSError:
        pass # the server stopped reading
    assert echo.unary(echo.request(text="x"), timeout=10).text == "x"
    assert server.rss_bytes() < 300 << 20 # 4,000 answers are 400 MB
    raw.close()
    harness.wait_until(lambda: stats(server)["streams"] == 0, "its calls to be gone")


def test_reading_pauses_while_the_client_does_not_read_and_goes_on_after(server, echo):
    """A client with endless windows: only its socket holds the server back."""
    raw = Raw(server.target, hello=False)
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    raw.send(PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7fffffff)),
             frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fff0000 - 65535)))
    filler = b"\x32\xa0\x9c\x01" + b"m" * 20000 # message
    payload = b"\x10\xa0\x8d\x06" + filler # size: 100,000
    body = b"\x00" + struct.pack(">I", len(payload)) + payload
    calls = 600
    requests = b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, request_headers()) +
                        frame(DATA, 0, 2 * i + 1, body[:16000]) +
                        frame(DATA, END_STREAM, 2 * i + 1, body[16000:]) for i in range(calls))
    sender = threading.Thread(target=raw.sock.sendall, args=(requests,))
    sender.start()
    time.sleep(0.5) # nothing to wait for: that nothing more happens is the point
    assert sender.is_alive(), "the server reads on although nobody takes its answers"
    assert stats(server)["streams"] < calls / 2
    assert echo.unary(echo.request(text="x"), timeout=10).text == "x"
    ended = 0
    while ended < calls:
        got = raw.next()
        assert got is not None
        ended += got[0] == HEADERS and got[1] & END_STREAM
    sender.join(10)
    raw.close()


def test_idle_connections_do_not_stop_others(server, echo):
    idle = [Raw(server.target, hello=False) for _ in range(300)]
    assert echo.unary(echo.request(text="x"), timeout=10).text == "x"
    assert stats(server)["connections"] == 301
    for raw in idle:
        raw.close()
    harness.wait_until(lambda: stats(server)["connections"] == 1, "them to be gone")
