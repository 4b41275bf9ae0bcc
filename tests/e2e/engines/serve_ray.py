# SPDX-License-Identifier: Apache-2.0
"""serve_ray.py HTTP_PORT METRICS_PORT TEMP_DIR: one Ray Serve replica that takes two requests at a time; a
request with ?wait=FILE is answered when the file is there. Ends when standard input does."""

import asyncio
import os
import sys

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=2, num_replicas=1, ray_actor_options={"num_cpus": 0.1})
class Model:
    async def __call__(self, request: Request):
        wait = request.query_params.get("wait")
        while wait and not os.path.exists(wait):
            await asyncio.sleep(0.05)
        return "ok"


http_port, metrics_port, temp_dir = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ray.init(num_cpus=1, include_dashboard=False, _metrics_export_port=metrics_port, _temp_dir=temp_dir,
         object_store_memory=80 << 20, _system_config={"metrics_report_interval_ms": 500})
serve.start(http_options={"host": "127.0.0.1", "port": http_port})
serve.run(Model.bind())
print("ready", flush=True)
sys.stdin.read()
serve.shutdown()
ray.shutdown()
