"""Control and the real engine and analyzer: who starts, adopts, restarts and ends whom. No switch is needed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.control import Node, until

NAMES = ("engine", "analyzer")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, manage_bridges=False) as node:
        try:
            node.start()
            node.wait_up()
            yield node
        finally:
            node.__exit__()
            for name in NAMES:  # only what this node wrote down, and only while it is still that
                path = node.run_dir / f"{name}.pid"
                pid = int(path.read_text()) if path.exists() else 0
                if pid and name in _command(pid):
                    os.kill(pid, signal.SIGKILL)


def processes(node: Node) -> Mapping[str, Any]:
    parts: Mapping[str, Any] = node.ask("GET", "/v1/status").json()["control"]["processes"]
    return parts


def both(node: Node) -> Mapping[str, Any] | None:
    """Both processes, once they are connected."""
    parts = processes(node)
    return parts if all(part["connected"] for part in parts.values()) else None


def test_control_starts_both_and_an_orderly_end_ends_them(node: Node) -> None:
    """SIGTERM: ryu-manager's exit status is 0, nobody is left, nothing is complained of."""
    started = until(lambda: both(node), "both connected")
    pids = {name: int(started[name]["pid"]) for name in NAMES}
    assert all("cli.main" in _command(pid) for pid in pids.values())
    assert {name: int((node.run_dir / f"{name}.pid").read_text()) for name in NAMES} == pids
    assert node.end(signal.SIGTERM) == 0
    assert not any(_command(pid) for pid in pids.values())
    left = {path.name for path in node.run_dir.iterdir()}
    assert not left & {f"{name}.{kind}" for name in NAMES for kind in ("sock", "pid")}
    assert "Traceback" not in node.log


def test_ctrl_c_ends_in_order_too(node: Node) -> None:
    """SIGINT is the same as SIGTERM."""
    started = until(lambda: both(node), "both connected")
    assert node.end(signal.SIGINT) == 0
    assert not any(_command(int(started[name]["pid"])) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_process_that_is_killed_is_started_again(node: Node, name: str) -> None:
    """Kill -9: the other one stays, the killed one is back with a new process id, and answers."""
    before = until(lambda: both(node), "both connected")
    os.kill(before[name]["pid"], signal.SIGKILL)

    def back() -> Mapping[str, Any] | None:
        now = both(node)
        return now if now is not None and now[name]["pid"] != before[name]["pid"] else None

    now = until(back, f"the {name} is back")
    other = next(n for n in NAMES if n != name)
    assert now[name]["starts"] == 2
    assert now[other] == before[other]
    assert "error" not in node.ask("GET", "/v1/status").json()[name]


def test_a_new_control_adopts_what_runs(node: Node) -> None:
    """Kill -9 of control: both go on, and the next control finds the same processes."""
    before = until(lambda: both(node), "both connected")
    node.end(signal.SIGKILL)
    assert all("cli.main" in _command(before[name]["pid"]) for name in NAMES)
    node.start()
    node.wait_up()
    after = until(lambda: both(node), "both adopted")
    assert {name: after[name]["pid"] for name in NAMES} == {name: before[name]["pid"] for name in NAMES}
    assert {part["starts"] for part in after.values()} == {0}
    assert node.end(signal.SIGTERM) == 0
    assert not any(_command(before[name]["pid"]) for name in NAMES)


def test_an_analyzer_that_cannot_start_is_told_and_tried_again(node: Node) -> None:
    """Its last words and its log are named; control and engine go on."""
    before = until(lambda: both(node), "both connected")
    inventory = node.folder / "inventory.yaml"
    good = inventory.read_text()
    inventory.write_text("nonsense: 1\n")
    os.kill(before["analyzer"]["pid"], signal.SIGKILL)
    until(lambda: "analyzer: ended with status 1: " in node.log, "its end is told")
    assert "nonsense" in node.log
    assert processes(node)["engine"]["connected"]
    inventory.write_text(good)
    until(lambda: both(node), "the analyzer is back")


def _command(pid: int) -> str:
    """Command line of a process; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""
