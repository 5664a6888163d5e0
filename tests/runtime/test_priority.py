"""Niceness of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

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


GROUP = Path("/proc/self/autogroup")
IN_GROUP = """
from pathlib import Path
from runtime import priority
priority.take(priority.SWITCH)
print(Path("/proc/self/autogroup").read_text())
"""


@pytest.mark.skipif(os.geteuid() != 0 or not GROUP.exists(), reason="needs root, and a kernel with autogroups")
def test_the_group_of_a_session_has_it_too() -> None:
    """Its first process speaks for all of it; one that came into the session of others does not."""
    for first in (True, False):
        command = [sys.executable, "-c", IN_GROUP]
        done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=first)
        assert ("nice -10" in done.stdout) is first


@pytest.mark.skipif(os.geteuid() != 0 or not GROUP.exists(), reason="needs root, and a kernel with autogroups")
def test_the_group_of_a_daemon_gets_its_niceness() -> None:
    """So it is with the switch daemon, which has a session of its own. A group that has more of it keeps that."""
    command = [sys.executable, "-c", "import os; os.setpriority(os.PRIO_PROCESS, 0, -7); print(flush=True); input()"]
    for before, after in ((0, -7), (-9, -9)):
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True) as daemon:
            assert daemon.stdout is not None
            daemon.stdout.readline()  # by now it runs under its own name
            group = Path(f"/proc/{daemon.pid}/autogroup")
            group.write_text(f"{before}\n")
            priority.speak_for_group(daemon.pid)
            assert group.read_text().endswith(f"nice {after}\n")
            daemon.communicate(b"\n", timeout=30)


@pytest.mark.skipif(os.geteuid() != 0 or not GROUP.exists(), reason="needs root, and a kernel with autogroups")
def test_the_group_of_others_is_left_alone() -> None:
    """A program in the session of another does not speak for it, nor does one that is no more."""
    before = GROUP.read_text()
    with subprocess.Popen(["nice", "-n", "-7", "cat"], stdin=PIPE, stdout=PIPE) as guest:
        assert guest.stdin is not None
        assert guest.stdout is not None
        guest.stdin.write(b"\n")
        guest.stdin.flush()
        guest.stdout.readline()
        priority.speak_for_group(guest.pid)
        assert GROUP.read_text() == before
    priority.speak_for_group(guest.pid)


@pytest.mark.parametrize("told", ["", None])
def test_what_is_in_no_group_is_left_alone(told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whatever runs since before the first session: its file is empty. A kernel without groups has no such file."""
    for process in ("self", str(os.getpid())):
        (tmp_path / process).mkdir()
        if told is not None:
            (tmp_path / process / "autogroup").write_text(told)
    monkeypatch.setattr(priority, "_PROCESSES", tmp_path)
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    priority.take(os.getpriority(os.PRIO_PROCESS, 0))
    priority.speak_for_group(os.getpid())
    assert [file.read_text() for file in tmp_path.rglob("autogroup")] == ([] if told is None else [told, told])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_niceness_is_taken() -> None:
    """Of the switch, and of anybody."""
    assert niceness_after(priority.SWITCH) == (-10, "")
    assert niceness_after(priority.ORDINARY) == (0, "")


def test_without_the_right_to_it_the_process_goes_on() -> None:
    """And says so."""
    niceness, said = niceness_after(priority.SWITCH, "os.geteuid() or os.setuid(65534)")
    assert niceness == os.getpriority(os.PRIO_PROCESS, 0)
    assert f"going on with niceness {niceness}" in said
