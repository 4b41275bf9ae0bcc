# SPDX-License-Identifier: Apache-2.0
"""deploy/Containerfile without a container runtime: each stage is a Debian 13 from debootstrap, its COPY and RUN lines are followed by
chroot, and the programs of the last stage run as its USER. `make image` (root, debootstrap, Debian's mirror; some five minutes, the base
system is kept in GPUSCALE_CACHE)."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = pathlib.Path(os.environ.get("GPUSCALE_CACHE") or pathlib.Path.home() / ".cache/gpuscale")


def instructions():
    """(word, rest) of each instruction, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "deploy/Containerfile").read_text(), flags=re.M)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            yield word, rest.strip()


class Stage:
    def __init__(self, folder, base):
        subprocess.run(["cp", "-a", "--reflink=auto", base, folder], check=True)
        self.root, self.workdir, self.user, self.labels = folder, "/", "0:0", {}

    def run(self, command, user="0:0"):
        return subprocess.run(["chroot", f"--userspec={user}", self.root, "/bin/sh", "-c", f"cd {self.workdir} && {command}"],
                              capture_output=True, text=True,
                              env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                   "DEBIAN_FRONTEND": "noninteractive"})

    def program(self, *argv):
        """Without any shell."""
        return subprocess.run([shutil.which("chroot"), f"--userspec={self.user}", self.root, *argv], capture_output=True, text=True, env={})

    def copy(self, sources, target, origin):
        many = len(sources) > 1 or target.endswith("/")
        target = self.root / (pathlib.PurePosixPath(self.workdir) / target).relative_to("/")
        for name in sources:
            source = origin / name.strip("/")
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                into = target if many or target.is_dir() else target.parent
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, into / source.name)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    base = CACHE / "debian-trixie"
    if not base.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = CACHE / "debian-trixie.tmp"
        shutil.rmtree(fresh, ignore_errors=True)
        subprocess.run(["debootstrap", "--variant=minbase", "trixie", fresh], check=True, stdout=subprocess.DEVNULL)
        fresh.rename(base)
    folder, found, stage = tmp_path_factory.mktemp("image"), {}, None
    for word, rest in instructions():
        if word == "FROM":
            assert rest.split()[0] == "$DEBIAN", "every stage is Debian 13"
            stage = Stage(folder / str(len(found)), base)
            found[rest.split(" AS ")[1] if " AS " in rest else "last"] = stage
        elif word == "WORKDIR":
            stage.workdir = rest
            (stage.root / rest.strip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            *sources, target = [a for a in shlex.split(rest) if not a.startswith("--")]
            origin = re.match(r"--from=(\w+)", rest)
            stage.copy(sources, target, found[origin.group(1)].root if origin else ROOT)
        elif word == "RUN":
            out = stage.run(rest)
            assert out.returncode == 0, f"{rest}\n{out.stdout[-3000:]}\n{out.stderr[-3000:]}"
        elif word == "USER":
            stage.user = rest
        else:
            assert word in ("ARG", "LABEL", "ENTRYPOINT", "CMD"), f"this test does not know {word}"
    yield found
    shutil.rmtree(folder)


def test_both_programs_start_as_nobody_and_without_a_shell(stages):
    last = stages["last"]
    uid = last.user.split(":")[0]
    assert uid != "0"
    for tool in ("sh", "bash", "dash"):
        for path in last.root.glob(f"usr/bin/{tool}"):
            path.unlink()
    for argv in (["/usr/bin/gpuscale", "--help"], ["/usr/bin/gpuscale", "scaler", "--print-config"], ["/usr/bin/gpuscale", "certs", "--help"],
                 ["/usr/bin/gpuscale-agent", "--source", "sim:8", "--print-config"]):
        out = last.program(*argv)
        assert out.returncode == 0, (argv, out.stderr)
    out = last.program("/usr/bin/gpuscale", "--version")
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', dict(instructions())["LABEL"]))
    assert labels["version"] in out.stdout and labels["licenses"] == "Apache-2.0"


def test_the_last_stage_has_no_compiler_and_no_sources(stages):
    last = stages["last"]
    assert not (last.root / "src").exists()
    for tool in ("cc", "gcc", "meson", "ninja", "python3", "make"):
        assert not list(last.root.glob(f"usr/bin/{tool}")), tool
    size = subprocess.run(["du", "-sm", last.root], capture_output=True, text=True, check=True).stdout.split()[0]
    base = subprocess.run(["du", "-sm", CACHE / "debian-trixie"], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"Debian 13 {base} MiB, with the programs {size} MiB; " + " ".join(
        f"{p.name} {p.stat().st_size // 1024} KiB" for p in sorted(last.root.glob("usr/bin/gpuscale*"))))
