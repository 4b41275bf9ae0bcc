# SPDX-License-Identifier: Apache-2.0
"""What the chart's securityContexts leave is enough: the scaler as a user who is nobody, the agent as uid 0, both without a
capability, without new privileges and with nothing to write to. (With the runtime's seccomp profile: tests/e2e/confined.)"""

import os

import pytest

import confined_kit

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away like that")


def test_the_cage_is_one():
    confined_kit.check_the_cage(None)


def test_the_scaler_needs_no_user_no_capability_and_no_writable_file():
    confined_kit.check_the_scaler(None)


def test_the_agent_needs_uid_0_and_no_capability():
    confined_kit.check_the_agent(None)
