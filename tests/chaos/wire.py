# SPDX-License-Identifier: Apache-2.0
"""What stands between the programs and can be broken: pages served over HTTP/1.1 (engines, the
demand source) and a TCP proxy (agents, KEDA). All of it runs on one event loop in a thread."""

import asyncio
import gzip
import random
import socket
import struct
import threading


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def serve(self, connected):
        """Serves a fresh port with `connected(reader, writer)`: (a function that closes it, HOST:PORT). Does
        not wait for the loop, which may wait for a lock that the caller has."""
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        addr, made = "127.0.0.1:%d" % sock.getsockname()[1], []

        async def begin():
            made.append(await asyncio.start_server(connected, sock=sock))

        def end():
            for server in made:
                server.close()
        asyncio.run_coroutine_threadsafe(begin(), self.loop)
        return lambda: self.soon(end), addr

    def soon(self, function):
        self.loop.call_soon_threadsafe(function)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


def reset(writer):
    sock = writer.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # it is closed already
    writer.transport.abort()


def head(status, length, kind="text/plain; version=0.0.4", more=""):
    return (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {length}\r\n"
            "\r\n").encode()


def spoiled(rng, body):
    """The page with bytes that no page has, so that it cannot be read as another sound one."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] = rng.choice((0x80, 0xff, 0xfe, 0xc0))
    return bytes(data)


class Endpoint:
    """A page on a port of its own. `fault` is None or how it misbehaves; `text` renders it."""

    FAULTS = ("refuse", "blackhole", "freeze", "delay", "cut", "reset", "trickle", "garbage", "html",
              "status", "gzip", "corrupt", "renamed", "nan", "empty", "flap")
    # Those under which not one page can be read.
    HIDES = tuple(f for f in FAULTS if f not in ("delay", "flap", "freeze"))

    def __init__(self, loop, text, rng):
        self.loop, self.text, self.rng = loop, text, rng
        self.fault, self.healed = None, asyncio.Event()
        self.zeros = False      # the mutation of the oracle's own test: a sound page of zeros
        self.hits = 0
        self.writers = set()
        self.end, self.addr = loop.serve(self.serve)

    def close(self):
        """The pod is gone, and its connections with it."""
        self.end()
        self.loop.soon(lambda: [reset(w) for w in list(self.writers)])

    def set(self, fault):
        def change():
            self.fault = fault
            if fault is None:
                self.healed.set()
            else:
                self.healed.clear()
        self.loop.soon(change)

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                if self.fault == "refuse":
                    reset(writer)
                    return
                await reader.readuntil(b"\r\n\r\n")
                self.hits += 1
                if not await self.answer(writer):
                    return
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # cut by the scaler: it is meant to
        finally:
            self.writers.discard(writer)
            writer.close()

    async def answer(self, writer):
        """False: the connection ends."""
        fault = self.fault
        if fault == "flap":
            fault = self.rng.choice((None, "cut", "status"))
        if fault == "freeze":  # goes on where it stood
            await self.healed.wait()
        elif fault == "blackhole":
            await asyncio.sleep(90)
            return False
        body = self.text().encode()
        if self.zeros:
            body = zeroed(body.decode()).encode()
        if fault == "delay":  # the answer is late, not the question
            await asyncio.sleep(self.rng.uniform(0.2, 1.2))
        if fault in self.BROKEN:
            return await self.BROKEN[fault](self, writer, body)
        writer.write(head("200 OK", len(body)) + body)
        await writer.drain()
        return True

    async def cut(self, writer, body):
        writer.write(head("200 OK", len(body)) + body[:self.rng.randrange(len(body))])
        await writer.drain()
        return False

    async def reset_(self, writer, body):
        writer.write(head("200 OK", len(body)) + body[:len(body) // 2])
        await writer.drain()
        reset(writer)
        return False

    async def trickle(self, writer, body):
        writer.write(head("200 OK", len(body)))
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)
        return False

    async def garbage(self, writer, body):
        writer.write(self.rng.randbytes(self.rng.randint(1, 4000)))
        await writer.drain()
        return False

    async def whole(self, writer, data):
        writer.write(data)
        await writer.drain()
        return True

    async def html(self, writer, body):
        page = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>"
        return await self.whole(writer, head("200 OK", len(page), "text/html") + page)

    async def status(self, writer, body):
        code = self.rng.choice(("503 Service Unavailable", "500 Oops", "401 Unauthorized", "404 No"))
        return await self.whole(writer, head(code, len(body)) + body)

    async def gzip(self, writer, body):
        packed = gzip.compress(body)
        packed = packed[:self.rng.randrange(len(packed) - 8)]
        more = "Content-Encoding: gzip\r\n"
        return await self.whole(writer, head("200 OK", len(packed), more=more) + packed)

    async def corrupt(self, writer, body):
        body = spoiled(self.rng, body)
        return await self.whole(writer, head("200 OK", len(body)) + body)

    async def renamed(self, writer, body):
        body = body.replace(b"vllm:", b"vllm_new:").replace(b"inference_", b"inference_new_").replace(
            b"gateway_", b"gateway_new_")
        return await self.whole(writer, head("200 OK", len(body)) + body)

    async def nan(self, writer, body):
        nonsense = self.rng.choice(("NaN", "+Inf", "-1"))
        body = "\n".join(line if line.startswith("#") or not line
                         else line.rsplit(" ", 1)[0] + " " + nonsense
                         for line in body.decode().split("\n")).encode()
        return await self.whole(writer, head("200 OK", len(body)) + body)

    async def empty(self, writer, body):
        return await self.whole(writer, head("200 OK", 0))

    BROKEN = {"cut": cut, "reset": reset_, "trickle": trickle, "garbage": garbage, "html": html,
              "status": status, "gzip": gzip, "corrupt": corrupt, "renamed": renamed, "nan": nan,
              "empty": empty}


def zeroed(text):
    """A sound page on which every value is 0."""
    return "\n".join(line if line.startswith("#") or not line else line.rsplit(" ", 1)[0] + " 0"
                     for line in text.split("\n"))


class Proxy:
    """A TCP proxy to `target` (a HOST:PORT, or a function that gives it) that can be broken."""

    FAULTS = ("refuse", "reset", "blackhole", "slow", "corrupt", "delay")

    def __init__(self, loop, target, rng):
        self.loop, self.target, self.rng = loop, target, rng
        self.fault = None
        self.writers = set()
        self.close, self.addr = loop.serve(self.serve)

    def set(self, fault):
        def change():
            self.fault = fault
            if fault in ("refuse", "reset"):
                for w in list(self.writers):
                    reset(w)
        self.loop.soon(change)

    async def serve(self, reader, writer):
        if self.fault == "refuse":
            reset(writer)
            return
        self.writers.add(writer)
        up = None
        try:
            target = self.target() if callable(self.target) else self.target
            host, port = target.rsplit(":", 1)
            up_reader, up = await asyncio.open_connection(host, int(port))
            self.writers.add(up)
            await asyncio.gather(self.pump(reader, up), self.pump(up_reader, writer))
        except OSError:
            reset(writer)
        finally:
            for w in filter(None, (writer, up)):
                self.writers.discard(w)
                w.close()

    async def pump(self, reader, writer):
        black = False
        while data := await reader.read(65536):
            fault = self.fault
            # What was swallowed is lost: a connection that a black hole has seen stays dead.
            black |= fault == "blackhole"
            if black:
                continue
            if fault == "corrupt":  # in a way that no framing takes for another sound message
                data = b"\xff" * 24 + data
            if fault == "delay":
                await asyncio.sleep(self.rng.uniform(0.05, 0.8))
            if fault == "slow":
                while self.fault == "slow" and data:
                    writer.write(data[:1])
                    data = data[1:]
                    await writer.drain()
                    await asyncio.sleep(1)
            if data:
                writer.write(data)
                await writer.drain()
        if not black:
            writer.close()


def rng_of(seed, name):
    return random.Random(f"{seed}/{name}")
