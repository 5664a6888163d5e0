"""Policies of any size for measurements: the same every time, allow lists with a deny among nine rules.

Rules spread over all ordered pairs of segments and over TCP ports from `FIRST_PORT` on, one port each, so no two have
the same match and none covers another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.acl import Acl, Peer, Policy, Service
from policies.entries import TableEntry
from policies.pipeline.compile import compile_vfn
from policies.rules import Protocol, Tier, Verdict
from topology import inventory as inventories
from topology.model import Inventory

FIRST_PORT = 20_000
ONE_VFN = Path(__file__).with_name("one.yaml")
_DENY_EVERY = 9
"""Shares no factor with usual numbers of segments, so that all of them have some."""


def one_vfn() -> Inventory:
    """A network of one VFN and four segments."""
    return inventories.load(ONE_VFN)


@dataclass(frozen=True)
class _Rule:
    name: str
    verdict: Verdict
    source: str
    destination: str
    port: int


def acls(count: int, segments: Sequence[str]) -> tuple[Acl, ...]:
    """So many rules between these segments, as values."""
    return tuple(
        Acl(
            rule.name,
            Tier.POLICY,
            rule.verdict,
            Peer(segment=rule.source),
            Peer(segment=rule.destination),
            (Service(Protocol.TCP, ((rule.port, rule.port),)),),
        )
        for rule in _rules(count, segments, FIRST_PORT, len(segments) - 1)
    )


def document(
    count: int,
    segments: Sequence[str],
    more: Sequence[Any] = (),
    *,
    port: int = FIRST_PORT,
    partners: int | None = None,
) -> str:
    """The same as a policy document (JSON is YAML).

    Args:
        more: rules to put behind them.
        port: where ports begin.
        partners: segments that one may open connections to; None: all.
    """
    rules = [
        {
            "name": rule.name,
            "action": "allow" if rule.verdict is Verdict.ALLOW else "deny",
            "from": {"segment": rule.source},
            "to": {"segment": rule.destination},
            "service": [{"protocol": "tcp", "ports": [str(rule.port)]}],
        }
        for rule in _rules(count, segments, port, partners or len(segments) - 1)
    ]
    return json.dumps({"rules": [*rules, *more]})


def _rules(count: int, segments: Sequence[str], port: int, partners: int) -> Iterator[_Rule]:
    """Every segment is source and destination equally often."""
    many = len(segments)
    for number in range(count):
        verdict = Verdict.DROP if number % _DENY_EVERY == 0 else Verdict.ALLOW
        turn, source = divmod(number, many)
        lap, distance = divmod(turn, partners)
        destination = (source + 1 + distance) % many
        yield _Rule(f"r{number}", verdict, segments[source], segments[destination], port + lap)


def entries(count: int) -> tuple[TableEntry, ...]:
    """What so many rules ask of the one VFN: the entries that stand for rules, without those of VMs and ports."""
    inventory = one_vfn()
    (vfn,) = inventory.vfns
    compiled = compile_vfn(inventory, vfn, {}, (), Policy(acls=acls(count, list(inventory.segments))))
    return tuple(entry for entry in compiled if entry.rules)
