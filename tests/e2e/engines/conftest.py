# SPDX-License-Identifier: Apache-2.0
"""Results are told as Go's tests tell theirs (go_report.py)."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from go_report import pytest_runtest_logreport  # noqa: E402,F401
