# SPDX-License-Identifier: Apache-2.0
"""The volumes of a played pod: Secrets and ConfigMaps (renewed as a kubelet does it: a new folder, then a link swapped), projected
tokens, emptyDir, and of the host's paths the kubelet's own."""

import base64
import os
import shutil
import time

from plane import ApiError


class Volumes:
    def __init__(self, pod):
        self.pod, self.plane = pod, pod.player.plane
        self.folder = pod.folder / "volumes"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.volumes = {v["name"]: v for v in pod.pod["spec"].get("volumes", [])}
        self.written = {}  # name: content
        self.tokens = {}   # name: (token, when)

    def path(self, name):
        volume = self.volumes[name]
        if "hostPath" in volume:
            path = volume["hostPath"]["path"]
            # The node's kubelet is played: its folder is the node's. All else is as on this machine.
            return self.pod.node.folder / "pod-resources" if path.endswith("/pod-resources") else type(self.folder)(path)
        if "emptyDir" in volume:
            made = self.folder / name
            made.mkdir(exist_ok=True)
            made.chmod(0o777)
            return made
        return self.folder / name

    def ready(self):
        """Is everything there that must be? A kubelet waits for what is missing."""
        return all([self._write(name) for name in self.volumes])

    refresh = ready

    def _content(self, name):
        """{file: bytes} of a volume; None: not there yet."""
        volume, base = self.volumes[name], f"/api/v1/namespaces/{self.pod.pod['metadata']['namespace']}"
        if "secret" in volume:
            found = self.plane.get(f"{base}/secrets/{volume['secret']['secretName']}")
            return found and {k: base64.b64decode(v) for k, v in found.get("data", {}).items()}
        if "configMap" in volume:
            found = self.plane.get(f"{base}/configmaps/{volume['configMap']['name']}")
            return found and {k: v.encode() for k, v in found.get("data", {}).items()}
        if "projected" in volume:
            files = {}
            for source in volume["projected"]["sources"]:
                if "serviceAccountToken" in source:
                    files[source["serviceAccountToken"]["path"]] = self._token(name, source["serviceAccountToken"])
                if "configMap" in source:
                    found = self.plane.get(f"{base}/configmaps/{source['configMap']['name']}")
                    if not found:
                        return None
                    for item in source["configMap"].get("items", [{"key": k, "path": k} for k in found["data"]]):
                        files[item["path"]] = found["data"][item["key"]].encode()
                for item in source.get("downwardAPI", {}).get("items", []):
                    files[item["path"]] = self.pod.pod["metadata"]["namespace"].encode()
            return files
        return {}

    def _token(self, name, source):
        token, since = self.tokens.get(name, (None, 0))
        lifetime = max(600, source.get("expirationSeconds", 3600))
        if not token or time.monotonic() - since > 0.8 * lifetime:
            token = self.plane.token(self.pod.pod["metadata"]["namespace"], self.pod.pod["spec"]["serviceAccountName"], lifetime)
            self.tokens[name] = (token, time.monotonic())
        return token.encode()

    def _write(self, name):
        if any(kind in self.volumes[name] for kind in ("hostPath", "emptyDir")):
            return True
        try:
            content = self._content(name)
        except (ApiError, OSError):
            return name in self.written
        if content is None:
            return self.volumes[name].get("secret", {}).get("optional", False)
        if content != self.written.get(name):
            self._swap(name, content)
            self.written[name] = content
        return True

    def _swap(self, name, content):
        volume, spec = self.folder / name, self.pod.pod["spec"]
        kind = self.volumes[name].get("secret") or self.volumes[name].get("configMap") or self.volumes[name]["projected"]
        group = spec.get("securityContext", {}).get("fsGroup")
        volume.mkdir(exist_ok=True)
        fresh = volume / f"..{time.monotonic_ns()}"
        fresh.mkdir()
        for file, data in content.items():
            (fresh / file).write_bytes(data)
            (fresh / file).chmod(kind.get("defaultMode", 0o644) | (0o040 if group else 0))
            if group:
                os.chown(fresh / file, 0, group)
        link, old = volume / "..data", None
        if link.is_symlink():
            old = volume / os.readlink(link)
        (volume / "..data_tmp").symlink_to(fresh.name)
        os.replace(volume / "..data_tmp", link)
        for file in content:
            if not (volume / file).is_symlink():
                (volume / file).symlink_to(f"..data/{file}")
        if old:
            shutil.rmtree(old)
