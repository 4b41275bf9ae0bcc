# SPDX-License-Identifier: Apache-2.0
"""A pytest hook that says each result as Go's tests do, which is what tests/run.py counts in this suite."""


def pytest_runtest_logreport(report):
    over = report.when == "call" or (report.when == "setup" and report.outcome != "passed") or (
        report.when == "teardown" and report.outcome == "failed")
    if over:
        word = {"passed": "PASS", "failed": "FAIL", "skipped": "SKIP"}[report.outcome]
        print(f"\n--- {word}: {report.nodeid.split('::')[-1]} ({report.duration:.1f}s)", flush=True)
        if word == "SKIP":
            print(f"    SKIPPED LOUDLY: {report.longrepr[2]}", flush=True)
