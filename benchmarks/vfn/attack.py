"""An attack by `benchmarks.vfn.headers` from one of the VMs, under way while something else is measured."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.vfn.datapath import DataPath
from mininet_labs.children import ROOT, end, module
from mininet_labs.errors import LabError

LEAD_SECONDS = 1.5
"""Before the measurement begins; the frames are made in the first part of it."""
MIN_SENT = 0.95
"""Of the rate."""
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Attack:
    """What is sent."""

    kind: str
    """One of `benchmarks.vfn.headers.KINDS`."""
    attacker: str
    target: str
    """Names of VMs."""
    version: int
    """IP version of the target's address."""
    rate: int
    """Frames a second."""


@contextmanager
def under(path: DataPath, attack: Attack, seconds: float) -> Iterator[None]:
    """The attack goes on around the block, which takes so many seconds.

    Raises:
        LabError: it did not keep its rate, or ended before it should.
    """
    target = path.inventory.vms[attack.target]
    address = next(each for each in target.addresses if each.version == attack.version)
    words = (attack.kind, target.mac, address, attack.rate, seconds + 2 * LEAD_SECONDS)
    program = module("benchmarks.vfn.headers", *words)
    sender = path.network.popen(attack.attacker, program, output=subprocess.PIPE, cwd=ROOT)
    try:
        _lead(sender)
        yield
        told, _ = sender.communicate(timeout=_PATIENCE_SECONDS)
    finally:
        end(sender)
    sent, took = map(float, told.split())
    if sent / took < MIN_SENT * attack.rate:
        message = f"only {sent / took:.0f} frames a second were sent, not {attack.rate}"
        raise LabError(message, remedy="measure on a calm machine")


def _lead(sender: subprocess.Popen[bytes]) -> None:
    try:
        status = sender.wait(LEAD_SECONDS)
    except subprocess.TimeoutExpired:
        return
    raise LabError(f"the attacker ended with status {status}")
