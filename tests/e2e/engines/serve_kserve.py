# SPDX-License-Identifier: Apache-2.0
"""serve_kserve.py HTTP_PORT: KServe's Python server with a model `m` that fails when it is told to."""

import sys

import kserve


class Model(kserve.Model):
    def __init__(self):
        super().__init__("m")
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        if payload["instances"] == ["fail"]:
            raise RuntimeError("told to fail")
        return {"predictions": payload["instances"]}


kserve.ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Model()])
