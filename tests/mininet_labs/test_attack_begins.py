"""When an attack begins, where its target is talked to all day."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from mininet_labs.attacks import raw
from mininet_labs.children import ROOT, module, wait_for
from mininet_labs.instruments import Watch


def test_a_tool_says_when_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it announces is read from its log, whatever it says afterwards; other tools say nothing."""
    before = time.time()
    raw.announce()
    log = tmp_path / "log"
    log.write_text(capsys.readouterr().out + "something else\n")
    assert (found := raw.begun(log)) is not None
    assert before - 1e-6 <= found <= time.time()
    log.write_text("Starting Nmap\n")
    assert raw.begun(log) is None
    log.write_text("")
    assert raw.begun(log) is None


def test_a_worm_says_when_it_begins(tmp_path: Path) -> None:
    """Before its first knock, not when its program starts."""
    log, before = tmp_path / "log", time.time()
    with log.open("wb") as out, subprocess.Popen(module("mininet_labs.attacks.worm", "--rate", 5, "127.0.0.2"),
                                                 cwd=ROOT, stdout=out) as worm:  # fmt: skip
        wait_for("the worm begins", lambda: raw.begun(log) is not None, 30.0)
        after = time.time()
        worm.terminate()
    found = raw.begun(log)
    assert found is not None
    assert before < found <= after


def test_what_came_before_was_ordinary() -> None:
    """It is none of the attack, and no frame is lost."""
    watch = Watch((1.0, 2.0, 3.0), (0.5, 2.5), (1.1, 2.1, 2.6), (1.1, 2.1), 0).since(2.0)
    assert (watch.attack, watch.passed) == ((2.0, 3.0), (2.1,))
    assert (watch.other, watch.delivered) == ((0.5, 1.0, 2.5), (1.1, 2.1, 2.6))
