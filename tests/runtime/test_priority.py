"""Niceness of processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runtime import priority

PROGRAM = """
import os
from runtime import priority
{drop}
priority.take({niceness})
print(os.getpriority(os.PRIO_PROCESS, 0))
"""


def niceness_after(niceness: int, drop: str = "pass") -> tuple[int, str]:
    """What a process of its own has after asking for it, and what it says."""
    program = [sys.executable, "-c", PROGRAM.format(niceness=niceness, drop=drop)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return int(done.stdout), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_niceness_is_taken() -> None:
    """Of the switch, and of anybody."""
    assert niceness_after(priority.SWITCH) == (-10, "")
    assert niceness_after(priority.ORDINARY) == (0, "")


def test_without_the_right_to_it_the_process_goes_on() -> None:
    """And says so."""
    niceness, said = niceness_after(priority.SWITCH, "os.geteuid() or os.setuid(65534)")
    assert niceness == 0
    assert "going on with niceness 0" in said
