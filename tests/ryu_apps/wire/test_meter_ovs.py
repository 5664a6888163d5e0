"""Meters on a real Open vSwitch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from support.openflow import Switch, bridge

from policies.codec import COPIES_METER
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.meter import FOREIGN

pytestmark = pytest.mark.ovs

CODEC = WireCodec()


@pytest.fixture
def switch() -> Iterator[Switch]:
    """A bridge without meters."""
    with bridge("tw2") as made:
        yield made


def meters(switch: Switch) -> dict[int, int]:
    """What is there."""
    found: dict[int, int] = {}
    for part in switch.parts(CODEC.read_meters()):
        found |= CODEC.decode_meters(part)
    return found


def test_meters_read_back_as_they_were_set(switch: Switch) -> None:
    """Rates of new and changed meters, the controller's included; what is dropped is gone."""
    assert meters(switch) == {}
    wanted = {COPIES_METER: 1000, 1: 5, 65_000: 1_000_000}
    assert switch.send(CODEC.set_meters(wanted)).errors == ()
    assert meters(switch) == wanted
    assert switch.send(CODEC.set_meters({1: 6}, there={1})).errors == ()
    assert switch.send(CODEC.drop_meters([65_000, 65_001])).errors == ()
    assert meters(switch) == {COPIES_METER: 1000, 1: 6}


@pytest.mark.parametrize("form", ["kbps,band=type=drop,rate=10", "pktps,burst,band=type=drop,rate=10,burst_size=9"])
def test_a_meter_of_another_kind_is_foreign(switch: Switch, form: str) -> None:
    """Other units or bursts are no rate of ours, and a change puts them right."""
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "add-meter", "tw2", f"meter=3,{form}"], check=True)
    assert meters(switch) == {3: FOREIGN}
    assert switch.send(CODEC.set_meters({3: 10}, there={3})).errors == ()
    assert meters(switch) == {3: 10}
