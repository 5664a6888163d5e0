"""From copies to evidence: only of whom there is a consent, only while there is one, and without any payload in it."""

from __future__ import annotations

import logging
import select
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import copies
from analyzer.payload.inspector import GOT, SENT, Evidence, Inspector
from runtime import patterns
from runtime.arrays import COPY
from runtime.settings import PayloadSettings, Settings
from topology.inventory import parse

NET = parse(
    "segments: {web: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\nlinks: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  web2: {segment: web, vfn: v2, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
)
PORTS = {(1, 5): "web1", (2, 6): "web2"}
SECRET = b"4111111111111111"


def frame(source: str, target: str, payload: bytes, tcp: bool = True, padding: int = 0) -> bytes:
    """An Ethernet frame, padded as short ones are."""
    ends = ip_address(source), ip_address(target)
    if tcp:
        transport = struct.pack("!HHIIBBHHH", 40000, 80, 1, 1, 0x50, 0x18, 1024, 0, 0) + payload
    else:
        transport = struct.pack("!HHHH", 40000, 80, 8 + len(payload), 0) + payload
    proto = 6 if tcp else 17
    if ends[0].version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(transport), 0, 0, 64, proto, 0)
    else:
        head = struct.pack("!IHBB", 6 << 28, len(transport), proto, 64)
    kind = 0x0800 if ends[0].version == 4 else 0x86DD
    macs = bytes.fromhex("020000000002020000000001")
    return macs + struct.pack("!H", kind) + head + ends[0].packed + ends[1].packed + transport + bytes(padding)


def copied(table: int, in_port: int, *frames: bytes) -> copies.Copies:
    rows = np.zeros(len(frames), COPY)
    rows["time"], rows["table"], rows["in_port"] = time.time(), table, in_port
    rows["size"] = rows["length"] = [len(one) for one in frames]
    return copies.read(len(frames), rows.tobytes() + b"".join(frames))


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspector]:
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "secrets.yar").write_text(
        "rule card { strings: $a = /[0-9]{16}/ condition: $a }\nrule anything { condition: filesize > 0 }"
    )
    payload = PayloadSettings(patterns=tmp_path / "patterns", packets_per_flow=3)
    made = Inspector(
        Settings(state_dir=tmp_path, payload=payload), NET, lambda dpid, port: NET.vms.get(PORTS.get((dpid, port), ""))
    )
    yield made
    made.close()


def consent(folder: Path, vm: str = "web1", seconds: float = 60.0, **more: Any) -> dict[str, Any]:
    digests = {"secrets": patterns.load(folder, "secrets").digest}
    made = {"id": "c1", "vms": [vm], "purpose": "leaks", "patterns": ["secrets:card"], "digests": digests}
    return {**made, "until": time.time() + seconds, **more}


def found(inspector: Inspector, seconds: float = 15.0) -> list[Evidence]:
    """Evidence, once everything that was handed over was searched."""
    deadline, evidence = time.monotonic() + seconds, []
    while inspector.status()["waiting"] and time.monotonic() < deadline:
        select.select([inspector], [], [], 0.2)
        evidence += inspector.found()
    assert not inspector.status()["waiting"]
    return evidence


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("ends", [("10.0.0.1", "203.0.113.9"), ("fd00::1", "2001:db8::9")])
def test_what_a_vm_sends_is_searched(inspector: Inspector, tmp_path: Path, ends: tuple[str, str], tcp: bool) -> None:
    """The evidence names rule, place and hash, and holds no payload."""
    inspector.agree([consent(tmp_path / "patterns")])
    inspector.take(1, copied(SENT, 5, frame(*ends, b"card=" + SECRET, tcp, padding=4)))
    (evidence,) = found(inspector)
    assert (evidence.vm.name, evidence.behaviour) == ("web1", "payload:secrets:card")
    assert f"sent to {ends[1]}" in evidence.reason
    assert "at byte 5" in evidence.reason
    assert SECRET.decode() not in repr(evidence)


def test_what_a_vm_gets_is_searched_at_its_own_vfn(inspector: Inspector, tmp_path: Path) -> None:
    """A copy of another VFN that says to be for it is not looked at."""
    inspector.agree([consent(tmp_path / "patterns")])
    inspector.take(2, copied(GOT, 9, frame("203.0.113.9", "10.0.0.1", SECRET)))
    assert (inspector.unagreed, found(inspector)) == (1, [])
    inspector.take(1, copied(GOT, 9, frame("203.0.113.9", "10.0.0.1", SECRET)))
    (evidence,) = found(inspector)
    assert "got from 203.0.113.9" in evidence.reason


def test_nobody_else_is_looked_at(inspector: Inspector, tmp_path: Path) -> None:
    """No consent, another VM's, or a port where no VM is: dropped before any search."""
    inspector.take(1, copied(SENT, 5, frame("10.0.0.1", "10.0.0.2", SECRET)))
    inspector.agree([consent(tmp_path / "patterns")])
    inspector.take(2, copied(SENT, 6, frame("10.0.0.2", "10.0.0.1", SECRET)))
    inspector.take(1, copied(SENT, 7, frame("10.0.0.1", "10.0.0.2", SECRET)))
    assert (inspector.unagreed, inspector.status()["running"]) == (3, False)


def test_rules_that_were_not_agreed_to_stay_silent(inspector: Inspector, tmp_path: Path) -> None:
    """`anything` would match everything."""
    inspector.agree([consent(tmp_path / "patterns")])
    inspector.take(1, copied(SENT, 5, frame("10.0.0.1", "10.0.0.2", b"nothing special")))
    assert found(inspector) == []
    assert inspector.status()["searched"] == 1


def test_a_withdrawal_also_holds_for_what_is_under_way(inspector: Inspector, tmp_path: Path) -> None:
    """A packet that was handed over is not told of any more; the process ends."""
    inspector.agree([consent(tmp_path / "patterns")])
    inspector.take(1, copied(SENT, 5, frame("10.0.0.1", "10.0.0.2", SECRET)))
    inspector.agree([])
    assert inspector.status()["running"] is False
    inspector.take(1, copied(SENT, 5, frame("10.0.0.1", "10.0.0.2", SECRET)))
    assert (found(inspector), inspector.unagreed) == ([], 1)


def test_an_expiry_holds_without_the_engine(inspector: Inspector, tmp_path: Path) -> None:
    """By the analyzer's own clocks."""
    inspector.agree([consent(tmp_path / "patterns", seconds=0.05)])
    deadline = time.monotonic() + 5
    while inspector.consents.any_left() and time.monotonic() < deadline:
        select.select([], [], [], 0.01)
    inspector.take(1, copied(SENT, 5, frame("10.0.0.1", "10.0.0.2", SECRET)))
    assert inspector.unagreed == 1


def test_only_the_first_packets_of_a_flow(inspector: Inspector, tmp_path: Path) -> None:
    """Each direction by itself; pure acknowledgements do not count."""
    inspector.agree([consent(tmp_path / "patterns")])
    empty = frame("10.0.0.1", "10.0.0.2", b"")
    inspector.take(1, copied(SENT, 5, *[empty] * 5, *[frame("10.0.0.1", "10.0.0.2", b"hello")] * 5))
    assert (inspector.beyond, inspector.unagreed) == (2, 0)
    found(inspector)
    assert inspector.status()["searched"] == 3


@given(st.lists(st.binary(max_size=90), max_size=4), st.integers(0, 60))
def test_rubbish_is_counted_and_shown_nowhere(rubbish: list[bytes], cut: int) -> None:
    """Whatever bytes come as copies, nothing is raised and none of them is logged."""
    inspector = Inspector(Settings(), NET, lambda dpid, port: NET.vms["web1"])
    whole = frame("10.0.0.1", "203.0.113.9", SECRET)
    shown: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("dynseg").addHandler(handler)
    try:
        inspector.take(1, copied(SENT, 5, *rubbish, whole[: len(whole) - cut]))
    finally:
        logging.getLogger("dynseg").removeHandler(handler)
        inspector.close()
    assert inspector.copies == len(rubbish) + 1
    assert not any(SECRET.decode()[:6] in line for line in shown)
