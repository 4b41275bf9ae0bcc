#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test suites and prints, last, `N passed, N failed` over all of them.

    run.py --build DIR [--counts FILE] [-k EXPRESSION] unit|integration|tidy|e2e|chaos ...

Exit status 0 only when something ran and nothing failed. --counts appends "PASSED FAILED SKIPPED", for
.ci/run to add up; GPUSCALE_RECAP names a file to which the failures are appended, for it to tell again at its end."""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"


def junit_counts(path):
    """(passed, failed, skipped) of a JUnit file; a suite that ended without cases counts as failed."""
    passed = failed = skipped = 0
    root = ET.parse(path).getroot()
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def run_unit(build, args):
    status = subprocess.run(
        ["meson", "test", "-C", str(build), "--print-errorlogs", "--no-rebuild",
         "--num-processes", str(os.cpu_count() or 1)], cwd=ROOT).returncode
    report = build / "meson-logs" / "testlog.junit.xml"
    recap_all("failed", report)
    counts = junit_counts(report)
    if status != 0 and counts[1] == 0:  # its cases passed, and then it found a leak
        log = (build / "meson-logs/testlog.txt").read_text(errors="replace")
        for part in re.split(r"^=+ .* =+$", log, flags=re.M):
            if re.search(r"^result: +(?! |exit status 0)", part, re.M):
                recap("failed", "a unit test program", part)
        counts = (counts[0], 1, counts[2])
    return status, counts


# Findings that no second try may hide: a race or a bad access that shows once in a hundred runs is there.
FINDING = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|: runtime error: |Assertion .* failed")
SECOND_TRIES = 3
# Most of these tests' time is waiting for a program: more modules at once than there are cores. One of `cluster` has a
# plane of its own.
BESIDE = {"integration": ["-n", str(2 * (os.cpu_count() or 1)), "--dist", "loadfile"],
          "cluster": ["-n", "3", "--dist", "loadfile"]}


def failures(report):
    """What a JUnit file says of each failed case."""
    return [(case.get("name"), "".join(case.itertext()))
            for case in ET.parse(report).getroot().iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None]


def recap(what, name, text):
    """A failure, shortened, for the end of a long run whose middle nobody keeps."""
    path = os.environ.get("GPUSCALE_RECAP")
    if not path:
        return
    lines = text.strip().splitlines()
    if len(lines) > 60:
        lines = lines[:40] + ["..."] + lines[-20:]
    with open(path, "a") as out:
        out.write("\n".join([f"== {what}: {name}"] + ["   " + line[:400] for line in lines]) + "\n")


def recap_all(what, report):
    for name, text in failures(report):
        recap(what, name, text)


def run_again(command, env, report, folder):
    """A few failed tests once more, alone: these machines are shared, and a test can meet another's load. Who passes only
    then is told by name. Returns whether all of them passed."""
    failed = failures(report)
    if not 0 < len(failed) <= SECOND_TRIES or any(FINDING.search(text) for _, text in failed):
        return False
    again = report.with_suffix(".again.xml")
    again.unlink(missing_ok=True)
    beside = BESIDE[folder.name]
    command = [c for c in command if c not in beside and not c.startswith("--junitxml")]
    print(f"== {len(failed)} failed; again, alone:", flush=True)
    subprocess.run(command + ["--last-failed", "--last-failed-no-failures", "none", f"--junitxml={again}"],
                   cwd=ROOT, env=env)
    if not again.exists() or junit_counts(again)[:2] != (len(failed), 0):
        return False
    for name, _ in failed:
        print(f"== passed only at the second try: {name}", flush=True)
    return True


def run_pytest(build, folder, args):
    report = build / f"pytest-{folder.name}.xml"
    report.unlink(missing_ok=True)
    command = [PYTHON, "-m", "pytest", "-q", "-o", f"cache_dir={build / 'pytest-cache'}", "--tb=short",
               "--durations=8", f"--junitxml={report}", str(folder)]
    command += BESIDE.get(folder.name, [])
    if args.k:
        command += ["-k", args.k]
    if folder.name == "chaos":
        command += ["-s"]  # each step is told when it happens: who waits ten minutes wants to see
    env = {**os.environ, "GPUSCALE_BUILD": str(build), "PYTHONDONTWRITEBYTECODE": "1"}
    status = subprocess.run(command, cwd=ROOT, env=env).returncode
    if not report.exists():
        return status or 1, (0, 1, 0)
    passed, failed, skipped = junit_counts(report)
    if folder.name in BESIDE and run_again(command, env, report, folder):
        recap_all("passed only at the second try", report)
        return 0, (passed + failed, 0, skipped)
    recap_all("failed", report)
    return status, (passed, failed, skipped)


def run_others_e2e(build):
    out = subprocess.run([str(ROOT / "tests/e2e/run.sh"), str(build)], cwd=ROOT,
                         stdout=subprocess.PIPE, text=True)
    sys.stdout.write(out.stdout)
    if out.returncode != 0:
        recap("failed", "tests/e2e/run.sh", "\n".join(
            re.findall(r"^\s*--- FAIL: .*", out.stdout, re.M) + out.stdout.splitlines()[-30:]))
    tests = re.findall(r"^\s*--- (PASS|FAIL|SKIP): ", out.stdout, re.M)
    counts = (tests.count("PASS"), tests.count("FAIL"), tests.count("SKIP"))
    if out.returncode != 0 and counts[1] == 0:
        counts = (counts[0], 1, counts[2])
    return out.returncode, counts


def run_e2e(build, args):
    """With -k only tests on the control plane: the others are not pytest's."""
    others, counts = (0, (0, 0, 0)) if args.k else run_others_e2e(build)
    cluster = ROOT / "tests" / "e2e" / "cluster"
    print("building and running a control plane with KEDA (half an hour of CPU time when nothing is cached)", flush=True)
    if subprocess.run([str(cluster / "build.sh")], stdout=subprocess.DEVNULL).returncode != 0:
        return 1, (counts[0], counts[1] + 1, counts[2])
    status, more = run_pytest(build, cluster, args)
    return others or status, tuple(a + b for a, b in zip(counts, more))


SUITES = {
    "unit": run_unit,
    "integration": lambda b, a: run_pytest(b, ROOT / "tests" / "integration", a),
    "tidy": lambda b, a: run_pytest(b, ROOT / "tests" / "tidy", a),
    "e2e": run_e2e,
    "chaos": lambda b, a: run_pytest(b, ROOT / "tests" / "chaos", a),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--counts", type=pathlib.Path, default=os.environ.get("GPUSCALE_COUNTS"))
    parser.add_argument("-k")
    parser.add_argument("suites", nargs="+", choices=SUITES)
    args = parser.parse_args()
    build = args.build.resolve()

    total = [0, 0, 0]
    bad = False
    for suite in args.suites:
        start = time.monotonic()
        status, counts = SUITES[suite](build, args)
        bad |= status != 0 or counts[1] > 0
        total = [a + b for a, b in zip(total, counts)]
        print(f"== {suite}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped,"
              f" {time.monotonic() - start:.0f} s", flush=True)
    if bad and total[1] == 0:
        total[1] = 1
    if args.counts:
        with open(args.counts, "a") as out:
            out.write("%d %d %d\n" % tuple(total))
    skipped = f", {total[2]} skipped" if total[2] else ""
    print(f"{total[0]} passed, {total[1]} failed{skipped}")
    return 1 if bad or total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
