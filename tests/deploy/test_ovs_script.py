"""`deploy/ovs` starts, finds and stops a real Open vSwitch: here one of its own, in its own folders and namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
SHARE = Path("/usr/share/openvswitch")


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """An environment in which Open vSwitch keeps everything below `tmp_path`."""
    folders = {"OVS_RUNDIR": "run", "OVS_DBDIR": "db", "OVS_LOGDIR": "log", "OVS_SYSCONFDIR": "etc"}
    (tmp_path / "etc" / "openvswitch").mkdir(parents=True)
    for name in folders.values():
        (tmp_path / name).mkdir(exist_ok=True)
    return {**os.environ, **{variable: str(tmp_path / name) for variable, name in folders.items()}}


@pytest.fixture
def run(root_dir: Path, place: dict[str, str]) -> Iterator[Run]:
    """Run a command there; what it started is stopped at the end."""

    def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=place, capture_output=True, text=True, timeout=60, check=False)

    yield command
    command(root_dir / "deploy" / "ovs", "stop")


def pids(folder: str) -> list[int]:
    """Process ids that the daemons wrote down."""
    return [int(file.read_text()) for file in Path(folder).glob("*.pid")]


@pytest.mark.ovs
def test_start_status_stop(run: Run, root_dir: Path, place: dict[str, str]) -> None:
    """From nothing to a switch that answers, and back to nothing, with an exit status for each state."""
    script = root_dir / "deploy" / "ovs"
    assert run(script, "status").returncode == 3
    first, second = run(script, "start"), run(script, "start")
    assert (first.returncode, first.stdout) == (0, "Open vSwitch started\n")
    assert (second.returncode, second.stdout) == (0, "Open vSwitch is already running\n")
    assert run(script, "status").returncode == 0
    assert run("ovs-vsctl", "show").returncode == 0
    daemons = pids(place["OVS_RUNDIR"])
    assert len(daemons) == 2
    assert run(script, "stop").returncode == 0
    assert run(script, "status").returncode == 3
    assert [pid for pid in daemons if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.ovs
def test_it_starts_where_there_is_no_kernel_module(run: Run, root_dir: Path, place: dict[str, str]) -> None:
    """A container whose host cannot load the module still gets its userspace switch."""
    share = Path(place["OVS_RUNDIR"]).parent / "share"
    shutil.copytree(SHARE, share)
    (share / "scripts" / "ovs-kmod-ctl").write_text("#!/bin/sh\nexit 1\n")
    place["OVS_PKGDATADIR"] = str(share)
    assert run(root_dir / "deploy" / "ovs", "start").returncode == 0
    assert run("ovs-vsctl", "show").returncode == 0


@pytest.mark.ovs
def test_a_switch_that_does_not_come_up_is_explained(run: Run, root_dir: Path, place: dict[str, str]) -> None:
    """A database folder that cannot be used: exit 1 and what the daemons said."""
    Path(place["OVS_DBDIR"]).rmdir()
    Path(place["OVS_DBDIR"]).write_text("in the way")
    failed = run("bash", "-c", f"cd /; sed 's/seq 100/seq 2/' {root_dir / 'deploy' / 'ovs'} | bash -s start")
    assert failed.returncode == 1
    assert "did not come up" in failed.stderr


def test_what_it_cannot_do_it_says(run: Run, root_dir: Path, place: dict[str, str]) -> None:
    """Without a command: usage. Without Open vSwitch: exit 4 and the package to install."""
    script = root_dir / "deploy" / "ovs"
    assert run(script).returncode == 2
    place["OVS_PKGDATADIR"] = "/nowhere"
    missing = run(script, "status")
    assert missing.returncode == 4
    assert "not installed" in missing.stderr
