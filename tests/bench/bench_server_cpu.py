#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a request costs the CPU of a real inference server's front: the figures in src/core/queueing/cpu_cost.c.

A server is made of the libraries that vLLM's front is made of (uvicorn with uvloop and httptools, FastAPI, pydantic,
Hugging Face's tokenizers) and does what that front does: it validates the request, encodes the prompt, decodes each
token by a DecodeStream and answers whole or with an event for each token. No model runs, and neither does vLLM's
scheduler process, so this is the least that such a server burns. Its CPU time is the kernel's (schedstat); costs a
prompt token and an output token are slopes between two lengths.

The tokenizer is a byte-level BPE with Llama 3's way to split text, trained here on Python's own documentation
(models are not downloaded): the time of an encoding depends on the text and the algorithm, not on whose merges these are.

    bench_server_cpu.py [--venv DIR] [--rounds N]      makes the virtual environment where it is missing (PyPI)
"""

import argparse
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PACKAGES = ["fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "pydantic==2.14.4",
            "tokenizers==0.23.3"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def corpus():
    import pydoc_data.topics
    return [text for text in pydoc_data.topics.topics.values() if len(text) > 200]


def make_tokenizer(path):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus()[::2], trainers.BpeTrainer(
        vocab_size=32000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(str(path))


def serve(path, fd):
    """The server; runs in the virtual environment."""
    import asyncio
    import socket
    from typing import Any, Optional, Union

    import fastapi
    import uvicorn
    from fastapi.responses import JSONResponse, StreamingResponse
    from pydantic import BaseModel, ConfigDict
    from tokenizers import Tokenizer
    from tokenizers.decoders import DecodeStream

    tokenizer = Tokenizer.from_file(path)
    answer = tokenizer.encode("\n".join(corpus()[1::2])[:200000]).ids

    class StreamOptions(BaseModel):
        include_usage: Optional[bool] = True

    class CompletionRequest(BaseModel):  # vLLM's, its most used fields
        model_config = ConfigDict(extra="allow")
        model: Optional[str] = None
        prompt: Union[list[int], list[list[int]], str, list[str], None] = None
        best_of: Optional[int] = None
        echo: Optional[bool] = False
        frequency_penalty: Optional[float] = 0.0
        logit_bias: Optional[dict[str, float]] = None
        logprobs: Optional[int] = None
        max_tokens: Optional[int] = 16
        n: int = 1
        presence_penalty: Optional[float] = 0.0
        seed: Optional[int] = None
        stop: Optional[Union[str, list[str]]] = []
        stream: Optional[bool] = False
        stream_options: Optional[StreamOptions] = None
        temperature: Optional[float] = None
        top_p: Optional[float] = None
        user: Optional[str] = None
        ignore_eos: bool = False

    class Choice(BaseModel):
        index: int = 0
        text: str
        logprobs: Optional[Any] = None
        finish_reason: Optional[str] = None
        stop_reason: Optional[Union[int, str]] = None

    class Usage(BaseModel):
        prompt_tokens: int = 0
        total_tokens: int = 0
        completion_tokens: Optional[int] = 0

    class CompletionResponse(BaseModel):
        id: str
        object: str = "text_completion"
        created: int
        model: str
        choices: list[Choice]
        usage: Optional[Usage] = None

    app = fastapi.FastAPI()

    async def engine(n, queue):
        for i in range(n):
            queue.put_nowait(answer[i % len(answer)])
            await asyncio.sleep(0)  # each token is its own step

    async def tokens(n):
        """(text of a token) as the output processor hands them on."""
        queue, stream = asyncio.Queue(), DecodeStream(skip_special_tokens=True)
        task = asyncio.create_task(engine(n, queue))
        for _ in range(n):
            yield stream.step(tokenizer, await queue.get()) or ""
        await task

    @app.post("/v1/completions")
    async def completions(request: CompletionRequest, raw: fastapi.Request):
        prompt, n, created = tokenizer.encode(request.prompt).ids, request.max_tokens, int(time.time())
        usage = Usage(prompt_tokens=len(prompt), completion_tokens=n, total_tokens=len(prompt) + n)

        async def events():
            i = 0
            async for text in tokens(n):
                i += 1
                chunk = CompletionResponse(id="cmpl-1", created=created, model="m", choices=[
                    Choice(text=text, finish_reason="length" if i == n else None)])
                yield f"data: {chunk.model_dump_json(exclude_unset=False)}\n\n"
            yield "data: [DONE]\n\n"

        if request.stream:
            return StreamingResponse(events(), media_type="text/event-stream")
        text = "".join([t async for t in tokens(n)])
        return JSONResponse(CompletionResponse(id="cmpl-1", created=created, model="m", usage=usage, choices=[
            Choice(text=text, finish_reason="length")]).model_dump())

    uvicorn.Server(uvicorn.Config(app, log_level="error", loop="uvloop", http="httptools")).run(
        sockets=[socket.socket(fileno=fd)])


class Server:
    def __init__(self, python, tokenizer):
        import socket
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        self.port = listening.getsockname()[1]
        self.proc = subprocess.Popen([python, __file__, "--serve", str(tokenizer), "--fd", str(listening.fileno())],
                                     pass_fds=[listening.fileno()],
                                     env={**os.environ, "TOKENIZERS_PARALLELISM": "false"})
        listening.close()
        from bench_http import cpu_seconds  # here: the server's own environment has not what it needs
        self.cpu_s = lambda: cpu_seconds(self.proc.pid)
        self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def post(self, prompt, n, stream):
        self.client.request("POST", "/v1/completions", json.dumps({
            "model": "m", "prompt": prompt, "max_tokens": n, "stream": stream, "temperature": 0.7, "top_p": 0.9,
            "ignore_eos": True}), {"Content-Type": "application/json"})
        answer = self.client.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body

    def cost_us(self, prompt, n, stream, requests):
        """CPU of one request."""
        self.post(prompt, n, stream)
        before = self.cpu_s()
        for _ in range(requests):
            self.post(prompt, n, stream)
        return (self.cpu_s() - before) / requests * 1e6

    def close(self):
        self.proc.terminate()
        self.proc.wait()


def ready_python(venv):
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = pathlib.Path(os.environ.get("GPUSCALE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
    parser.add_argument("--venv", type=pathlib.Path, default=build / "bench-venv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--train", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.fd)
    if args.train:
        return make_tokenizer(args.train)
    python = ready_python(args.venv)
    tokenizer = args.venv / "tokenizer.json"
    if not tokenizer.exists():
        subprocess.run([python, __file__, "--train", tokenizer], check=True)

    text = "\n".join(corpus()[1::2])
    server = Server(python, tokenizer)
    try:
        short, long = text[:40], text[1000:9000]
        counts = [json.loads(server.post(p, 1, False))["usage"]["prompt_tokens"] for p in (short, long)]
        costs = {"base": [], "prompt": [], "output": [], "streamed": [], "stream": []}
        for _ in range(args.rounds):
            base = server.cost_us(short, 1, False, 200)
            streamed = server.cost_us(short, 1, True, 200)
            costs["base"].append(base)
            costs["prompt"].append((server.cost_us(long, 1, False, 100) - base) / (counts[1] - counts[0]))
            costs["output"].append((server.cost_us(short, 257, False, 30) - base) / 256)
            costs["streamed"].append((server.cost_us(short, 257, True, 30) - streamed) / 256)
            costs["stream"].append(streamed - base)
    finally:
        server.close()
    # The shortest request has tokens too.
    rest = [p * counts[0] + o for p, o in zip(costs["prompt"], costs["output"])]
    costs["base"] = [b - r for b, r in zip(costs["base"], rest)]
    costs["stream"] = [s - (t - o) for s, t, o in zip(costs["stream"], costs["streamed"], costs["output"])]
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    versions = ", ".join(p.replace("==", " ") for p in PACKAGES)
    print(f"{time.strftime('%Y-%m-%d')}, {model}, Python {sys.version.split()[0]}; {versions}")
    print(f"a prompt of {len(long)} bytes has {counts[1]} tokens; median of {args.rounds} rounds (least..most)")
    for key, what in (("base", "us a request, without its tokens"),
                      ("stream", "us more where it is streamed"), ("prompt", "us a prompt token"),
                      ("output", "us an output token, answered whole"), ("streamed", "us an output token, streamed")):
        v = costs[key]
        print(f"  {statistics.median(v):8.2f} ({min(v):.2f}..{max(v):.2f}) {what}")


if __name__ == "__main__":
    sys.exit(main())
