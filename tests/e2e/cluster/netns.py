# SPDX-License-Identifier: Apache-2.0
"""One network of its own for the whole suite: every 10.244.x.y is an address of this host that any process can bind, so that
each pod serves on its own pod IP, each node on its own node IP, and no port meets one outside. enter() moves this process (and
what it starts afterwards) there; /etc/resolv.conf names the fixture's own DNS server there."""

import ctypes
import os
import pathlib
import subprocess

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PODS = "10.244.0.0/16"
DNS = "10.244.255.53"
_libc = ctypes.CDLL(None, use_errno=True)
_entered = False


def _check(status, what):
    if status != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)} (the cluster tests need root, or user namespaces)")


def enter(folder):
    """Once a process, before it has other threads: they would stay behind."""
    global _entered
    if _entered:
        return
    _entered = True
    if os.geteuid() == 0:
        _check(_libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "unshare")
    else:
        uid, gid = os.geteuid(), os.getegid()
        _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS), "unshare")
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    resolv = pathlib.Path(folder) / "resolv.conf"
    resolv.write_text(f"nameserver {DNS}\nsearch svc.cluster.local cluster.local\noptions ndots:5 timeout:1\n")
    target = os.path.realpath("/etc/resolv.conf")
    _check(_libc.mount(str(resolv).encode(), target.encode(), None, MS_BIND, None), "mount")
    # iproute2 lies in /usr/sbin, which a user's PATH may lack.
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    for command in ("link set lo up", f"route add local {PODS} dev lo"):
        subprocess.run(["ip", *command.split()], check=True, env=env)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)
