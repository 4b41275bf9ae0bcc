# SPDX-License-Identifier: Apache-2.0
"""A scaler with everything around it that Kubernetes and the GPUs would be: pods' metrics pages and a
gateway's, served from memory; a workloads file that is re-written; and KEDA's calls made with
python's grpc."""

import concurrent.futures
import http.server
import json
import os
import sys
import threading
import time

import grpc

from harness import Program, http_get, make_stubs, metric_values, wait_until

SERVICE = "/externalscaler.ExternalScaler/"
METRIC = "desired-replicas"
# Metadata of an LLM's trigger that reacts within seconds.
LLM = {"engine": "vllm", "capacity": "2", "rateWindow": "4s", "downWindow": "1s", "maxAge": "5s"}
# An engine that does one request at a time: the classic pair.
CLASSIC = {"queue": "10", "gpuUtilization": "55", "rateWindow": "2s", "downWindow": "1s",
           "maxAge": "5s"}


class Counter:
    """A counter that grows with the clock at a rate that may be changed."""

    def __init__(self, rate=0.0):
        self._lock = threading.Lock()
        self._at, self._value, self._rate = time.monotonic(), 1000.0, rate

    def set_rate(self, rate):
        with self._lock:
            now = time.monotonic()
            self._value += self._rate * (now - self._at)
            self._at, self._rate = now, rate

    def value(self):
        with self._lock:
            return self._value + self._rate * (time.monotonic() - self._at)


class Page:
    """One page on a port of its own, or at (host, port). `fault`: None, or how it misbehaves."""

    def __init__(self, render, at=("127.0.0.1", 0)):
        self.render = render
        self.fault = None
        self.hits = 0
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                page.hits += 1
                page.answer(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(at, Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def addr(self):
        return "%s:%d" % self.server.server_address[:2]

    @property
    def url(self):
        return f"http://{self.addr}/metrics"

    def answer(self, request):
        fault = self.fault
        if fault == "drop":
            request.close_connection = True
            return
        if fault == "html":
            body, kind = b"<html><body>Sign in</body></html>", "text/html"
        else:
            body, kind = self.render().encode(), "text/plain; version=0.0.4"
        request.send_response(int(fault) if fault and fault.isdigit() else 200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        try:
            request.wfile.write(body)
        except OSError:
            pass

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class VllmPod(Page):
    """One vLLM pod's page. A request is 500 computed prompt tokens (as many more were cached) and 200
    generated ones, 50 ms apart."""

    def __init__(self, rate=0.0, waiting=0, running=1, kv=0.1, at=("127.0.0.1", 0)):
        self.finished = Counter(rate)
        self.waiting, self.running, self.kv = waiting, running, kv
        super().__init__(self.text, at)

    def text(self):
        at, n = 'engine="0",model_name="m"', self.finished.value()
        return (f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{{at}}} {self.running}\n"
                f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{{{at}}} {self.waiting}\n"
                f"# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{{{at}}} {self.kv}\n"
                f"# TYPE vllm:request_success_total counter\n"
                f'vllm:request_success_total{{{at},finished_reason="stop"}} {n}\n'
                f"vllm:prompt_tokens_total{{{at}}} {n * 1000}\n"
                f'vllm:prompt_tokens_by_source_total{{{at},source="local_compute"}} {n * 500}\n'
                f'vllm:prompt_tokens_by_source_total{{{at},source="local_cache_hit"}} {n * 500}\n'
                f"vllm:generation_tokens_total{{{at}}} {n * 200}\n"
                f"vllm:inter_token_latency_seconds_sum{{{at}}} {n * 200 * 0.05}\n"
                f"vllm:inter_token_latency_seconds_count{{{at}}} {n * 200}\n"
                f'vllm:time_to_first_token_seconds_bucket{{{at},le="2.5"}} {n}\n'
                f'vllm:time_to_first_token_seconds_bucket{{{at},le="+Inf"}} {n}\n'
                f'vllm:request_time_per_output_token_seconds_bucket{{{at},le="0.1"}} {n}\n'
                f'vllm:request_time_per_output_token_seconds_bucket{{{at},le="+Inf"}} {n}\n')


class Gateway(Page):
    """A demand source: what knows of requests while no pod exists."""

    def __init__(self, rate=0.0):
        self.arrived = Counter(rate)
        super().__init__(lambda: "# TYPE gateway_requests_total counter\n"
                                 f'gateway_requests_total{{service="llm"}} {self.arrived.value()}\n')


class CustomPod(Page):
    """A pod of an engine that does one request at a time."""

    def __init__(self, queue=0, rate=0.0, running=1):
        self.finished = Counter(rate)
        self.queue, self.running = queue, running
        super().__init__(self.text)

    def text(self):
        return (f"# TYPE inference_queue_length gauge\ninference_queue_length {self.queue}\n"
                f"# TYPE inference_requests_running gauge\ninference_requests_running {self.running}\n"
                f"# TYPE inference_requests_total counter\ninference_requests_total {self.finished.value()}\n")


class FakeAgent:
    """An agent whose readings a test sets: `gpus` maps a pod's name to its GPU's utilization (None:
    unknown). `fault`: None, "old" (only ageing values), "silent" (nothing at all)."""

    INTERVAL_S = 0.2

    def __init__(self, folder, gpus, namespace="default"):
        make_stubs(folder, "node")
        import node_pb2
        self.pb, self.gpus, self.namespace = node_pb2, dict(gpus), namespace
        self.fault, self.old_since = None, 0.0
        self.boot_id = "%016x" % int.from_bytes(os.urandom(8), "little")
        self.closing = threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.unary_stream_rpc_method_handler(
            self.watch, request_deserializer=node_pb2.WatchRequest.FromString,
            response_serializer=lambda m: m.SerializeToString())
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("gpuscale.v1.Node", {"Watch": handler})])
        self.addr = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def state(self, seq):
        s = self.pb.NodeState(boot_id=self.boot_id, seq=seq, interval_ms=int(self.INTERVAL_S * 1000),
                              node="node-a", agent_version="test", full=True)
        for i, (name, busy) in enumerate(self.gpus.items(), 1):
            g = s.gpus.add(id=i, valid=0 if busy is None else 1, owners_known=True)
            g.info.uuid, g.info.index, g.info.model = f"GPU-{i:032x}", i - 1, "Test GPU"
            g.owners.add(namespace=self.namespace, pod=name, container="main")
            if busy is not None:
                g.values.append(busy)
            s.age_id.append(i)
            s.age_ms.append(int((time.monotonic() - self.old_since) * 1000)
                            if self.fault == "old" else 5)
        return s

    def watch(self, request, context):
        seq = 0
        while context.is_active() and not self.closing.is_set():
            if self.fault != "silent":
                seq += 1
                yield self.state(seq)
            self.closing.wait(self.INTERVAL_S)

    def only_old(self):
        self.old_since, self.fault = time.monotonic(), "old"

    def close(self):
        self.closing.set()
        self.server.stop(0).wait(5)


def pod(name, addr="", state="ready"):
    return {"name": name, "state": state, **({"address": addr} if addr else {})}


def workload(name="llm", replicas=1, pods=(), namespace="default", **more):
    return {"namespace": namespace, "target": f"deployment/{name}", "scaledObjects": [name],
            "replicas": replicas, "pods": list(pods), **more}


class Keda:
    """KEDA's calls on one connection."""

    def __init__(self, addr, folder, credentials=None, options=()):
        make_stubs(folder, "externalscaler")
        import externalscaler_pb2
        self.pb = externalscaler_pb2
        options = [("grpc.enable_http_proxy", 0), *options]
        self.channel = (grpc.secure_channel(addr, credentials, options) if credentials
                        else grpc.insecure_channel(addr, options))

    def ref(self, name="llm", metadata=None, namespace="default"):
        ref = self.pb.ScaledObjectRef(name=name, namespace=namespace)
        for key, value in (LLM if metadata is None else metadata).items():
            ref.scalerMetadata.add(key=key, value=value)
        return ref

    def _unary(self, method, request, answer, deadline_s=10):
        call = self.channel.unary_unary(SERVICE + method,
                                        request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=answer.FromString)
        return call(request, timeout=deadline_s)

    def spec(self, *args, **kwargs):
        return self._unary("GetMetricSpec", self.ref(*args, **kwargs),
                           self.pb.GetMetricSpecResponse)

    def metrics(self, *args, metric=METRIC, **kwargs):
        request = self.pb.GetMetricsRequest(scaledObjectRef=self.ref(*args, **kwargs),
                                            metricName=metric)
        return self._unary("GetMetrics", request, self.pb.GetMetricsResponse)

    def value(self, *args, **kwargs):
        """The float as KEDA from 2.17 on reads it."""
        answer = self.metrics(*args, **kwargs)
        assert len(answer.metricValues) == 1, "KEDA would sum several"
        v = answer.metricValues[0]
        return v.metricValueFloat if v.metricValueFloat > 0 else float(v.metricValue)

    def replicas(self, *args, **kwargs):
        """What the HPA computes from AverageValue 1: the ceiling."""
        v = self.value(*args, **kwargs)
        return int(v) + (v > int(v) + 1e-9)

    def active(self, *args, **kwargs):
        return self._unary("IsActive", self.ref(*args, **kwargs), self.pb.IsActiveResponse).result

    def stream(self, method, *args, **kwargs):
        answer = (self.pb.IsActiveResponse if method == "StreamIsActive"
                  else self.pb.GetMetricSpecResponse)
        call = self.channel.unary_stream(SERVICE + method,
                                         request_serializer=lambda m: m.SerializeToString(),
                                         response_deserializer=answer.FromString)
        return call(self.ref(*args, **kwargs))

    def code(self, call, *args, **kwargs):
        """(status code name, message) of a call that must fail; ("OK", answer) when it does not."""
        try:
            return "OK", call(*args, **kwargs)
        except grpc.RpcError as e:
            return e.code().name, e.details()

    def close(self):
        self.channel.close()


class Pushed:
    """Collects what a stream sends, with times, until it ends."""

    def __init__(self, stream):
        self.stream, self.messages, self.end = stream, [], None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for message in self.stream:
                self.messages.append((time.monotonic(), message))
            self.end = "OK"
        except grpc.RpcError as e:
            self.end = e.code().name

    def cancel(self):
        self.stream.cancel()
        self.thread.join(5)


class Scaler:
    """`gpuscale scaler` with its two files in a folder. `prefix`: words before the program."""

    def __init__(self, folder, workloads, demand=None, agents=(), agents_tls=None, tls=None,
                 listen="127.0.0.1:0", prefix=(), program="gpuscale", **more):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.set_workloads(workloads)
        config = {"grpc": {"listen": listen, **({"tls": tls} if tls else {})},
                  "http": {"listen": "127.0.0.1:0"}, "health": {"listen": "127.0.0.1:0"},
                  "workloads": str(folder / "workloads.yaml"), **more}
        if agents:
            config["agents"] = {"targets": list(agents),
                                **({"tls": agents_tls} if agents_tls else {})}
        if demand:
            config["demand"] = demand
        (folder / "scaler.yaml").write_text(json.dumps(config)) # JSON is YAML
        self.program = Program(*prefix, program, "scaler", "--config", folder / "scaler.yaml")
        self.grpc = self.program.addr("grpc")
        self.http = self.program.addr("http")
        self.health = self.program.addr("health")

    def set_workloads(self, items):
        """Replaces the file as a careful writer does; a str is written as it is."""
        text = items if isinstance(items, str) else json.dumps({"workloads": items})
        fresh = self.folder / "workloads.new"
        fresh.write_text(text)
        os.replace(fresh, self.folder / "workloads.yaml")

    def page(self):
        status, _, body = http_get(f"http://{self.http}/metrics")
        assert status == 200
        return body

    def api(self, path):
        status, _, body = http_get(f"http://{self.http}{path}")
        assert status == 200, (status, body)
        return json.loads(body)

    def ready(self):
        return http_get(f"http://{self.health}/readyz")[0] == 200

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.program.stop()  # a crash at the end fails the test
        else:
            self.program.__exit__(kind, value, trace)


def gateway_demand(gateway):
    return {"gateway": {"url": gateway.url,
                        "requestsTotal": 'gateway_requests_total{service="llm"}'}}


def eventually(what, condition, deadline_s=30):
    """As wait_until, and an RPC that fails counts as "not yet"."""
    def tried():
        try:
            return condition()
        except grpc.RpcError as e:
            raise ValueError(f"{e.code().name}: {e.details()}") from e
        except (TypeError, IndexError) as e:  # not there yet
            raise ValueError(repr(e)) from e
    return wait_until(tried, what, deadline_s, 0.05)


__all__ = ["CLASSIC", "Counter", "CustomPod", "FakeAgent", "Gateway", "Keda", "LLM", "METRIC", "Page", "Program", "Pushed",
           "SERVICE", "Scaler", "VllmPod", "eventually", "gateway_demand", "http_get", "metric_values", "pod", "workload"]
