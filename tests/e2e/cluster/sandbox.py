# SPDX-License-Identifier: Apache-2.0
"""A pod's container as a kubelet and a network plugin make one: a network of its own with the pod's IP, a root of its own that is
read-only where its securityContext says so, the volumes, the user, no capability. As a program (sandbox.py SPEC) it is the
inside, which waits for its network and becomes the container's process."""

import ctypes
import json
import os
import pathlib
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration"))

import confine  # noqa: E402

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
GATEWAY, NODE_SIDE = "169.254.1.1", "10.244.255.200"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/dev", "/sys",
          "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/ld.so.cache", "/etc/passwd", "/etc/group")


def ip(*words, **kwargs):
    subprocess.run(["ip", *words], check=True, env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}, **kwargs)


def connect(pid, number, address):
    """The node's end of the pod's cable, and the way to it."""
    name = f"pod{number}"
    ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    ip("address", "add", f"{GATEWAY}/32", "dev", name)
    ip("link", "set", name, "up")
    ip("route", "add", f"{address}/32", "dev", name, "src", NODE_SIDE)
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def cut_cable(pid, up=False):
    """From now on every packet to and from the pod is lost, without a reset (up=True: no more)."""
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "set", "eth0", "up" if up else "down"], check=True)
    if up:
        _routes(["nsenter", f"--net=/proc/{pid}/ns/net"])


def _routes(prefix=()):
    for words in (f"route replace {GATEWAY} dev eth0 scope link", f"route replace default via {GATEWAY}"):
        subprocess.run([*prefix, "ip", *words.split()], check=True)


def bind(libc, source, target, read_only):
    source, target = pathlib.Path(source), pathlib.Path(target)
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    confine.check(libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None), f"bind {source}")
    if read_only:
        confine.check(libc.mount(None, os.fsencode(target), None, MS_BIND | MS_REMOUNT | MS_RDONLY, None), f"bind {source} read-only")


def make_root(libc, spec):
    confine.check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate")
    root = pathlib.Path(spec["root"])
    confine.check(libc.mount(b"tmpfs", os.fsencode(root), b"tmpfs", 0, b"mode=755"), "mount tmpfs")
    for path in map(pathlib.Path, SYSTEM):
        if path.is_symlink() and path.parent == pathlib.Path("/"):
            (root / path.name).symlink_to(os.readlink(path))
        elif path.exists():
            bind(libc, path, root / str(path)[1:], False)
    for source, target, read_only in spec["mounts"]:
        bind(libc, source, root / target.lstrip("/"), read_only)
    if spec["read_only"]:
        confine.check(libc.mount(None, os.fsencode(root), None, MS_REMOUNT | MS_RDONLY, None), "read-only root")
    os.chroot(root)
    os.chdir("/")


def main():
    spec = json.loads(pathlib.Path(sys.argv[1]).read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    confine.check(libc.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    socket.sethostname(spec["hostname"])
    os.write(spec["ready"], b"x")
    os.read(spec["go"], 1)
    os.close(spec["ready"])
    os.close(spec["go"])
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    for words in ("link set lo up", f"address add {spec['address']}/32 dev eth0", "link set eth0 up"):
        ip(*words.split())
    _routes()
    make_root(libc, spec)
    if spec["drop"]:
        confine.drop_privileges(libc, spec["uid"])
    os.execve(spec["argv"][0], spec["argv"], spec["env"])


if __name__ == "__main__":
    main()
