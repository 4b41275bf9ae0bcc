#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""confine.py UID PROFILE|- PROGRAM [ARG...]: runs a program as a container of Kubernetes runs it whose securityContext says
readOnlyRootFilesystem, capabilities {drop: [ALL]}, allowPrivilegeEscalation: false, runAsUser: UID, and with PROFILE (JSON, as
moby, containerd and runc read it) seccompProfile. Needs root. As a module: prefix() makes the words to put before a program."""

import ctypes
import ctypes.util
import json
import os
import pathlib
import platform
import re
import sys

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
MS_KEPT = {"nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "noatime": 0x400, "nodiratime": 0x800, "relatime": 0x200000}
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 24, 47, 4


def prefix(uid, profile=None):
    return [sys.executable, pathlib.Path(__file__).resolve(), str(uid), str(profile) if profile else "-"]


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def read_only(libc):
    """Every mount, in a mount namespace of this process."""
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate")
    for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
        at, options = line.split()[4:6]
        at = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), at)
        flags = MS_REMOUNT | MS_BIND | MS_RDONLY
        for option in options.split(","):
            flags |= MS_KEPT.get(option, 0)
        if libc.mount(None, os.fsencode(at), None, flags, None) != 0 and at == "/":
            check(-1, "mount -o remount,ro /")


def drop_privileges(libc, uid):
    last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text())
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(last + 1):
        check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "drop a capability")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # uid 0 still has them in this process; the bounding set leaves none to what it executes.
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    check(libc.capset(header, none), "capset")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


class Arg(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


OPS = {f"SCMP_CMP_{name}": i for i, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)}
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def rules(profile):
    """Those of a profile that hold for a process without capabilities on this machine: (action, name, args)."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    for group in profile["syscalls"]:
        needs, unless = group.get("includes") or {}, group.get("excludes") or {}
        if needs.get("caps") or (needs.get("arches") and arch not in needs["arches"]):
            continue
        if arch in (unless.get("arches") or []):
            continue
        action = ALLOW if group["action"] == "SCMP_ACT_ALLOW" else ERRNO | (group.get("errnoRet") or 1)
        args = [Arg(a["index"], OPS[a["op"]], a["value"], a.get("valueTwo", 0)) for a in group.get("args") or []]
        for name in group["names"]:
            yield action, name, args


def filter_calls(profile):
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    default = ERRNO | profile.get("defaultErrnoRet", 1)
    ctx = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(default)))
    for action, name, args in rules(profile):
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0 or action == default:  # not of this machine, or the default anyhow
            continue
        array = (Arg * max(1, len(args)))(*args)
        done = lib.seccomp_rule_add_array(ctx, ctypes.c_uint32(action), number, len(args), array)
        assert done == 0, (name, os.strerror(-done))
    done = lib.seccomp_load(ctx)
    assert done == 0, os.strerror(-done)


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    uid, path, program = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    profile = None if path == "-" else json.loads(pathlib.Path(path).read_text())
    read_only(libc)
    drop_privileges(libc, uid)
    if profile:
        filter_calls(profile)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
