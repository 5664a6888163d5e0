"""Control and the real engine and analyzer: who starts, adopts, restarts and ends whom. No switch is needed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.control import Node, command_of, until

pytestmark = pytest.mark.slow

NAMES = ("engine", "analyzer")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path, manage_bridges=False) as node:
        try:
            node.start()
            node.wait_up()
            yield node
        finally:
            node.clean_up()


def test_control_starts_both_and_an_orderly_end_ends_them(node: Node) -> None:
    """SIGTERM: ryu-manager's exit status is 0, nobody is left, nothing is complained of."""
    started = until(node.both, "both connected")
    pids = {name: int(started[name]["pid"]) for name in NAMES}
    assert all("cli.main" in command_of(pid) for pid in pids.values())
    assert {name: int((node.run_dir / f"{name}.pid").read_text()) for name in NAMES} == pids
    assert node.end(signal.SIGTERM) == 0
    assert not any(command_of(pid) for pid in pids.values())
    left = {path.name for path in node.run_dir.iterdir()}
    assert not left & {f"{name}.{kind}" for name in NAMES for kind in ("sock", "pid")}
    assert "Traceback" not in node.log


def test_ctrl_c_ends_in_order_too(node: Node) -> None:
    """SIGINT is the same as SIGTERM."""
    started = until(node.both, "both connected")
    assert node.end(signal.SIGINT) == 0
    assert not any(command_of(int(started[name]["pid"])) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_process_that_is_killed_is_started_again(node: Node, name: str) -> None:
    """Kill -9: the other one stays, the killed one is back with a new process id, and answers."""
    before = until(node.both, "both connected")
    os.kill(before[name]["pid"], signal.SIGKILL)

    def back() -> Mapping[str, Any] | None:
        now = node.both()
        return now if now is not None and now[name]["pid"] != before[name]["pid"] else None

    now = until(back, f"the {name} is back")
    other = next(n for n in NAMES if n != name)
    assert now[name]["starts"] == 2
    assert now[other] == before[other]
    assert "error" not in node.ask("GET", "/v1/status").json()[name]


def test_a_new_control_adopts_what_runs(node: Node) -> None:
    """Kill -9 of control: both go on, and the next control finds the same processes."""
    before = until(node.both, "both connected")
    node.end(signal.SIGKILL)
    assert all("cli.main" in command_of(before[name]["pid"]) for name in NAMES)
    node.start()
    node.wait_up()
    after = until(node.both, "both adopted")
    assert {name: after[name]["pid"] for name in NAMES} == {name: before[name]["pid"] for name in NAMES}
    assert {part["starts"] for part in after.values()} == {0}
    assert node.end(signal.SIGTERM) == 0
    assert not any(command_of(before[name]["pid"]) for name in NAMES)


def test_an_analyzer_that_cannot_start_is_told_and_tried_again(node: Node) -> None:
    """Its last words and its log are named; control and engine go on."""
    before = until(node.both, "both connected")
    inventory = node.folder / "inventory.yaml"
    good = inventory.read_text()
    inventory.write_text("nonsense: 1\n")
    os.kill(before["analyzer"]["pid"], signal.SIGKILL)
    until(lambda: "analyzer: ended with status 1: " in node.log, "its end is told")
    assert "inventory.yaml" in node.log.split("ended with status 1: ")[1].splitlines()[0]
    assert node.processes()["engine"]["connected"]
    inventory.write_text(good)
    until(node.both, "the analyzer is back")
