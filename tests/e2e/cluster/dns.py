# SPDX-License-Identifier: Apache-2.0
"""The cluster's DNS, as far as these tests ask: A records of NAME.NAMESPACE.svc[.cluster.local] are the Service's ready endpoints
(there is no kube-proxy: a ClusterIP leads nowhere), from a watch of EndpointSlices; all else does not exist."""

import socket
import struct
import threading


class Dns:
    """Answers on address:53 from `endpoints`, {(namespace, service): [address, ...]}, which its owner fills."""

    def __init__(self, address):
        self.endpoints = {}
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            data, peer = self.socket.recvfrom(4096)
            if not data:  # stop()
                return
            try:
                self.socket.sendto(self._answer(data), peer)
            except (OSError, IndexError, UnicodeDecodeError, struct.error):
                continue

    def _answer(self, data):
        ident, flags = struct.unpack(">HH", data[:4])
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        kind, _ = struct.unpack(">HH", data[at + 1:at + 5])
        question = data[12:at + 5]
        if labels[-2:] == ["cluster", "local"]:
            labels = labels[:-2]
        found = None
        if len(labels) == 3 and labels[2] == "svc":
            found = self.endpoints.get((labels[1], labels[0]))
        addresses = found if found and kind == 1 else []
        # Authoritative, recursion available; NXDOMAIN (3) for what is no Service.
        out = struct.pack(">HHHHHH", ident, 0x8580 | (flags & 0x0100) | (0 if found is not None else 3), 1, len(addresses), 0, 0)
        out += question
        for address in addresses:
            out += struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
        return out

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.socket.getsockname())
        self.thread.join(5)
        self.socket.close()
