"""Aggregation of prefixes, against the standard library's."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from hypothesis import given
from hypothesis import strategies as st

from policies.prefixes import aggregate


def networks(width: int) -> st.SearchStrategy:
    """Prefixes that often touch and overlap, the whole space and its ends among them."""
    kind = IPv4Network if width == 32 else IPv6Network
    near = st.integers(0, 40) | st.integers((1 << width) - 40, (1 << width) - 1)
    lengths = st.integers(width - 6, width) | st.sampled_from((0, 1, width // 2))
    return st.builds(lambda address, length: kind((address >> width - length << width - length, length)), near, lengths)


@given(st.lists(networks(32) | networks(128), max_size=30))
def test_the_fewest_prefixes_are_those_of_the_standard_library(nets: list) -> None:
    """The same addresses, the same prefixes, in the same order."""
    expected = [list(collapse_addresses(net for net in nets if net.version == version)) for version in (4, 6)]
    assert list(aggregate(nets)) == [*expected[0], *expected[1]]
