"""A small network for the tests of the lab's parts: one bridge that forwards like any switch, without dynseg."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from mininet_labs.network import LabNetwork
from topology import inventory as inventories
from topology.model import Inventory

SMALL = """
segments:
  red:
  blue:
vfns:
  tl0: {dpid: 0xe0}
  tl1: {dpid: 0xe1}
links:
  - {a: tl0, a_port: tl0-eth1, b: tl1, b_port: tl1-eth1}
vms:
  r1: {segment: red, vfn: tl0, port: tl0-eth2, mac: "02:00:00:00:e1:01", addresses: [10.9.1.1, "fd00:9::1:1"]}
  r2: {segment: red, vfn: tl1, port: tl1-eth2, mac: "02:00:00:00:e1:02", addresses: [10.9.1.2, "fd00:9::1:2"]}
  b1: {segment: blue, vfn: tl1, port: tl1-eth3, mac: "02:00:00:00:e2:01", addresses: [10.9.2.1, "fd00:9::2:1"]}
outside:
  far: {vfn: tl0, port: tl0-eth3, mac: "02:00:00:00:e9:01", addresses: [198.51.100.7]}
"""


def forward_like_any_switch(inventory: Inventory) -> None:
    for vfn in inventory.vfns.values():
        subprocess.run(["ovs-ofctl", "add-flow", vfn.bridge, "actions=NORMAL"], check=True)


@pytest.fixture(scope="session")
def small() -> Inventory:
    return inventories.parse(SMALL)


@pytest.fixture
def network(small: Inventory) -> Iterator[LabNetwork]:
    with LabNetwork(small) as network:
        forward_like_any_switch(small)
        yield network
