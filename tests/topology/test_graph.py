"""Ways through the network, on networks with circles and parallel cables."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InventoryError
from topology.graph import Ways, get_vfns_for_vm, graph
from topology.inventory import parse
from topology.model import Inventory, OutsidePort


@st.composite
def networks(draw: st.DrawFn) -> Inventory:
    """Connected networks of up to seven VFNs, with extra links that make circles and parallels."""
    count = draw(st.integers(1, 7))
    pairs = [(draw(st.integers(0, index - 1)), index) for index in range(1, count)]
    if count > 1:
        extra = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] != pair[1])
        pairs += draw(st.lists(extra, max_size=6))
    vfns = "".join(f"  v{index}: {{dpid: {index + 1}}}\n" for index in range(count))
    links = "".join(
        f"  - {{a: v{a}, a_port: l{number}a, b: v{b}, b_port: l{number}b}}\n" for number, (a, b) in enumerate(pairs)
    )
    return parse(f"segments: {{s: }}\nvfns:\n{vfns}links:\n{links}")


def _far_ends(inventory: Inventory) -> dict[tuple[str, str], tuple[str, str]]:
    """(VFN, interface) at the other end of each cable."""
    ends = {}
    for link in inventory.links:
        ends[link.a, link.a_port] = (link.b, link.b_port)
        ends[link.b, link.b_port] = (link.a, link.a_port)
    return ends


@given(networks())
def test_following_next_hops_arrives_by_the_shortest_way(inventory: Inventory) -> None:
    """From every VFN to every other, in as many steps as networkx says are needed."""
    ends, ways = _far_ends(inventory), Ways(inventory)
    distances = dict(nx.all_pairs_shortest_path_length(graph(inventory)))
    for start in inventory.vfns:
        for goal in inventory.vfns:
            here, steps = start, 0
            while here != goal:
                here, steps = ends[here, ways.hops(here)[goal]][0], steps + 1
            assert steps == distances[start][goal]


@given(networks())
def test_a_broadcast_reaches_every_vfn_once(inventory: Inventory) -> None:
    """Flooding the tree's ports except the one it came in by visits each VFN exactly once, from any start."""
    ends, ways = _far_ends(inventory), Ways(inventory)
    for start in inventory.vfns:
        visits: list[str] = []
        waiting: list[tuple[str, str | None]] = [(start, None)]
        while waiting:
            here, came_in = waiting.pop()
            visits.append(here)
            assert len(visits) <= len(inventory.vfns)
            waiting += [ends[here, port] for port in ways.tree[here] if port != came_in]
        assert sorted(visits) == sorted(inventory.vfns)


@given(networks())
def test_transit_is_what_others_hand_on(inventory: Inventory) -> None:
    """A VFN is transit towards a goal exactly if some way from another VFN to that goal leads through it."""
    ends, ways = _far_ends(inventory), Ways(inventory)
    expected: dict[str, set[str]] = {vfn: set() for vfn in inventory.vfns}
    for start in inventory.vfns:
        for goal in inventory.vfns:
            here = start
            while here != goal:
                if here != start:
                    expected[here].add(goal)
                here = ends[here, ways.hops(here)[goal]][0]
    assert ways.transit == expected


@given(networks(), st.data())
def test_the_tree_leads_outside_and_no_further(inventory: Inventory, data: st.DataObject) -> None:
    """Flooding only the tree's outward ports reaches every outside port from anywhere, and ends at them."""
    goals = data.draw(st.sets(st.sampled_from(list(inventory.vfns))))
    gates = {f"o{vfn}": OutsidePort(f"o{vfn}", vfn, "out", f"02:00:00:00:ff:{n:02}") for n, vfn in enumerate(goals)}
    ends, ways = _far_ends(inventory), Ways(replace(inventory, outside=gates))
    for start in inventory.vfns:
        reached = {start}
        waiting: list[tuple[str, str | None]] = [(start, None)]
        while waiting:
            here, came_in = waiting.pop()
            onward = [ends[here, port] for port in ways.outward[here] if port != came_in]
            assert onward or here in goals or not goals
            reached |= {vfn for vfn, _ in onward}
            waiting += onward
        assert goals <= reached
        assert set(ways.outward[start]) <= set(ways.tree[start])


@given(networks())
def test_links_are_all_cables(inventory: Inventory) -> None:
    """Every end of every cable is a link port of its VFN, spare ones too."""
    ports = sorted((vfn, port) for vfn, names in Ways(inventory).links.items() for port in names)
    assert ports == sorted(_far_ends(inventory))


def test_the_vfns_of_a_vm() -> None:
    """A VM leads to its VFN, an unknown one to an error that names the nearest."""
    inventory = parse(
        "segments: {s: }\nvfns: {a: {dpid: 1}}\n"
        "vms: {web1: {segment: s, vfn: a, port: p1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}}"
    )
    assert get_vfns_for_vm(inventory, "web1") == (inventory.vfns["a"],)
    with pytest.raises(InventoryError, match="did you mean `web1`"):
        get_vfns_for_vm(inventory, "web2")
