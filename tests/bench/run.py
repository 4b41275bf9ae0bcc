#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every benchmark, one after the other: the built programs tests/bench/bench_* and the scripts
bench_*.py. Each prints its own figures (docs/benchmarks.md sets them beside the budgets). A benchmark that cannot run says so and
the rest goes on; the exit status tells."""

import argparse
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("names", nargs="*", help="only these, such as prom or agent")
    args = parser.parse_args()
    build = args.build.resolve()

    found = [p for p in sorted((build / "tests" / "bench").glob("bench_*"))
             if p.is_file() and os.access(p, os.X_OK)]
    found += sorted(HERE.glob("bench_*.py"))
    failed = []
    for program in found:
        name = program.stem.removeprefix("bench_")
        if args.names and name not in args.names:
            continue
        command = [str(program)] if program.suffix != ".py" else [sys.executable, str(program)]
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        status = subprocess.run(command, env={**os.environ, "GPUSCALE_BUILD": str(build)}).returncode
        if status != 0:
            failed.append(name)
            print(f"== {name} FAILED with status {status}")
        print(f"== {name} took {time.monotonic() - start:.0f} s", flush=True)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
