# SPDX-License-Identifier: Apache-2.0
"""TorchServe's handler: a request whose body is a file's name is answered when the file is there."""

import os
import time


def handle(data, context):
    if not data:
        return None
    for item in data:
        wait = item.get("body") or ""  # text/plain comes as str, other kinds as bytes
        wait = wait if isinstance(wait, str) else bytes(wait).decode()
        while wait and not os.path.exists(wait):
            time.sleep(0.05)
    return ["ok"] * len(data)
