"""Addresses as halves, and batches cut by the clock."""

from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flows import FLOW, MAC_PREFIX, FlowBatch, address_halves, address_text, is_group

MACS = st.integers(0, 2**48 - 1).map(lambda n: ":".join(f"{n:012x}"[i : i + 2] for i in range(0, 12, 2)))


def _is_taken(address: IPv4Address | IPv6Address) -> bool:
    """IPv6 that stands for IPv4 or, in the discard-only prefix, for a MAC here."""
    return address.version == 6 and (int(address) >> 32 == 0xFFFF or int(address) >> 64 == MAC_PREFIX)


@given(st.one_of(st.ip_addresses().filter(lambda a: not _is_taken(a)).map(str), MACS))
def test_address_survives_both_ways(text: str) -> None:
    """IPv4, IPv6 and MAC addresses come back as the text they were."""
    assert address_text(*address_halves(text)) == text


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "web1", "02:00:00:00:00", "1.2.3.4/32", "::g"])
def test_other_text_is_no_address(text: str) -> None:
    """What is none of the three is refused."""
    with pytest.raises(ValueError, match="does not appear to be"):
        address_halves(text)


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("224.0.0.251", True),
        ("255.255.255.255", True),
        ("0.0.0.0", True),
        ("169.254.3.4", True),
        ("127.0.0.1", True),
        ("10.0.0.1", False),
        ("192.0.2.10", False),
        ("ff02::fb", True),
        ("fe80::1", True),
        ("::", True),
        ("fd00::1:1", False),
        ("2001:db8::1", False),
        ("ff:ff:ff:ff:ff:ff", True),
        ("01:00:5e:00:00:fb", True),
        ("02:00:00:00:01:01", False),
    ],
)
def test_groups_are_told_from_hosts(text: str, group: bool) -> None:
    """Multicast, broadcast, link-local, loopback and unspecified addresses are no single host's."""
    high, low = (np.array([half], np.uint64) for half in address_halves(text))
    assert is_group(high, low).tolist() == [group]


@given(st.lists(st.floats(0, 50), max_size=40), st.integers(1, 7))
def test_slices_keep_order_and_lose_nothing(ends: list[float], count: int) -> None:
    """Slices are the batch, in order, none across a tick of its clock; within one none is larger than all before."""
    batch = FlowBatch.empty(len(ends))
    batch.rows["end"] = ends
    parts = list(batch.slices(1.0, count))
    assert np.concatenate([p.rows["end"] for p in parts] or [np.zeros(0)]).tolist() == ends
    clock, tick, before = 0.0, -1.0, 0
    for part in parts:
        ticks = np.floor(np.maximum.accumulate(np.maximum(part.rows["end"], clock)))
        clock = float(max(clock, part.rows["end"].max()))
        before = before if ticks[0] == tick else 0
        tick = ticks[0]
        assert 0 < len(part) <= (before or count)
        before += len(part)
        assert len(set(ticks.tolist())) == 1


def test_other_dtypes_are_refused() -> None:
    """A batch is of FLOW and nothing else."""
    with pytest.raises(TypeError, match="not FLOW"):
        FlowBatch(np.zeros(3))
    assert FLOW.itemsize < 128
