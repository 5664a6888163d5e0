"""The estimate of series, and the benchmarks of writing, in small."""

from __future__ import annotations

import dataclasses

import pytest
from support.telemetry import inventory

from benchmarks.dashboards.network import START, Site, Traffic
from benchmarks.dashboards.network import inventory as made
from dashboards.metrics import schema
from dashboards.metrics.estimate import Usage, points_per_second, series, tag_sets

SMALL = Usage(vms=200, segments=20, vfns=4, peers=6)


def test_every_measurement_is_estimated() -> None:
    """None is forgotten; a field more is a series more for each set of tags."""
    sets, total = tag_sets(SMALL), series(SMALL)
    assert sets.keys() == total.keys() == {one.full_name for one in schema.MEASUREMENTS}
    assert total["dynseg_vm"] == 200 * len(schema.VM.fields)
    assert series(SMALL, texts=True)["dynseg_events"] > total["dynseg_events"]


def test_an_inventory_says_most_of_it() -> None:
    """VMs, segments and VFNs are counted; nobody has more peers than there are segments."""
    usage = Usage.of(inventory())
    assert (usage.vms, usage.segments, usage.vfns, usage.peers) == (14, 4, 4, 4.0)


def test_pairs_have_a_bound() -> None:
    """However many segments talk to each other, there are no more series of pairs than are set, and one a decision."""
    usage = dataclasses.replace(SMALL, segments=100_000, most_pairs=1000)
    assert tag_sets(usage)["dynseg_flows"] == 1003


def test_points_follow_from_sets_and_interval() -> None:
    """Twice as often makes twice as many."""
    assert points_per_second(SMALL, 5.0) == pytest.approx(2 * points_per_second(SMALL, 10.0))


def test_traffic_as_it_is_assumed_makes_as_many_series() -> None:
    """Drawn traffic of a small network: sets of tags of flows are within a fifth of the estimate (which is a mean)."""
    site, traffic = Site(SMALL, 10.0), Traffic(SMALL)
    keys: set[str] = set()
    for i in range(10):
        site.tally.take(traffic.events(20_000, START, 10.0).rows)
        keys |= {line.split(" ")[0] for line in site.lines(START + 10.0 * (i + 1))}
    found = sum(key.startswith("dynseg_flows,") for key in keys)
    assert found == pytest.approx(tag_sets(SMALL)["dynseg_flows"], rel=0.2)
    assert sum(key.startswith("dynseg_vm,") for key in keys) == SMALL.vms


def test_members_of_drawn_segments_are_what_the_inventory_says() -> None:
    """The benchmark's shortcut from a segment to one of its VMs agrees with the inventory that it makes."""
    network, traffic = made(SMALL), Traffic(SMALL)
    rows = traffic.events(2000, START, 10.0).rows
    for end in ("src", "dst"):
        for vm in rows[f"{end}_vm"][rows[f"{end}_vm"] > 0].tolist():
            assert vm in network.vm_by_number
    scanned = traffic.scan(1, START).rows["dst_vm"].tolist()
    assert len({network.vm_by_number[vm].segment for vm in scanned}) == SMALL.segments
