"""The steps against one VM or address."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import ladder
from policies.rules import Action, Peer, Scope, SegmentationRule
from policies.translate import translate
from runtime.settings import EngineSettings
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: }\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\nlinks: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  web2: {segment: web, vfn: v2, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2]}\n"
    "  trap: {segment: web, vfn: v1, port: t1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3], inspection: true}\n"
)
VM = SegmentationRule("a" * 12, Action.RATE_LIMIT, "analyzer", 0.0, source_vm="web1", rate=50)
NET = ip_network("203.0.113.66/32")
PEERS = (Peer(ip_network("10.0.0.0/24")),)


def step(**more: Any) -> SegmentationRule:
    return replace(VM, **{"rate": None, **more})


LADDER = (
    VM,
    step(action=Action.STEER, target="trap"),
    step(action=Action.RESTRICT, peers=PEERS),
    step(action=Action.ISOLATE, scope=Scope.OTHER_SEGMENTS),
    step(action=Action.ISOLATE),
)


def test_the_steps_are_in_order() -> None:
    """Limited, steered, restricted, kept to its segment, cut off; a copy and an opening take nothing."""
    assert [ladder.step(rule) for rule in LADDER] == [1, 2, 3, 4, 5]
    assert ladder.step(step(action=Action.STEER, target="trap", mirror=True)) == 0
    assert ladder.step(step(action=Action.ALLOW)) == 0
    assert ladder.step(step(action=Action.DENY, source_vm=None, source_ip=NET)) == ladder.OUT


@pytest.mark.parametrize(
    ("standing", "more", "expected"),
    [
        (0, {"peers": PEERS}, ["steer", "restrict", "isolate"]),
        (0, {"source_vm": "web2", "peers": PEERS}, ["restrict", "isolate"]),
        (0, {"source_vm": "web2"}, ["isolate"]),
        (1, {"peers": PEERS}, ["restrict", "isolate"]),
        (3, {"peers": PEERS}, ["isolate"]),
        (4, {"peers": PEERS}, []),
    ],
)
def test_what_comes_next_is_possible(standing: int, more: dict[str, Any], expected: list[str]) -> None:
    """Steps that nothing is known for are left out, and each that is named means something to the switches."""
    found = list(ladder.above(replace(VM, **more), LADDER[standing], INVENTORY))
    assert [rule.action for rule in found] == expected
    assert all(translate(rule, INVENTORY) for rule in found)


def test_an_address_is_denied_after_it_was_limited() -> None:
    """There is nothing between."""
    limited = replace(VM, source_vm=None, source_ip=NET)
    assert [rule.action for rule in ladder.above(limited, limited, INVENTORY)] == [Action.DENY]
    assert ladder.subject(limited) == "203.0.113.66/32"


@pytest.mark.parametrize("rule", LADDER)
def test_every_step_can_be_lessened(rule: SegmentationRule) -> None:
    """To a limit that means something, for the same VM and the same reasons."""
    lesser = ladder.limited(rule)
    assert (lesser.action, lesser.source_vm, lesser.id) == (Action.RATE_LIMIT, "web1", rule.id)
    assert translate(lesser, INVENTORY)


@given(st.integers(0, 50), st.integers(0, 50))
def test_later_offences_are_never_answered_for_shorter(first: int, second: int) -> None:
    """10 minutes, an hour, a day, a week by default; a week from then on."""
    settings = EngineSettings()
    low, high = sorted((first, second))
    assert ladder.seconds(low, settings) <= ladder.seconds(high, settings) <= 7 * 86400
    assert [ladder.seconds(n, settings) for n in range(1, 6)] == [600, 3600, 86400, 604800, 604800]
