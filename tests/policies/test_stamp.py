"""Entries that are filled into a form are those that are made one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from policies.entries import TableEntry
from policies.pipeline.border import claims_of
from policies.pipeline.classes import destination_afar, destination_here
from policies.pipeline.connections import opening_entries
from policies.pipeline.guard import from_vm
from policies.pipeline.stamp import Stamp
from topology.addresses import link_local
from topology.model import Vm

Maker = Callable[..., Iterator[TableEntry]]
MAKERS: tuple[Maker, ...] = (from_vm, claims_of, destination_here, destination_afar, opening_entries)
STAMPS = {make: Stamp(make) for make in MAKERS}
"""Used for all examples, so that most forms were made for other VMs."""


@st.composite
def vms(draw: st.DrawFn) -> Vm:
    """VMs with up to four addresses, their own link-local one perhaps among them."""
    mac = ":".join(f"{draw(st.integers(0, 255)):02x}" for _ in range(6))
    own = st.just(link_local(mac))
    some = st.one_of(st.integers(1, 2**32 - 1).map(IPv4Address), st.integers(1, 2**128 - 1).map(IPv6Address), own)
    addresses = tuple(draw(st.lists(some, max_size=4, unique=True)))
    return Vm("m", draw(st.integers(1, 9)), "s", "v", "p", mac, addresses)


@given(vms(), st.integers(1, 65279), st.integers(1, 65534))
def test_a_filled_form_is_what_would_have_been_made(vm, one, other) -> None:
    """The entries of any VM, whatever VM the form was made for, in the same order."""
    for make, count in zip(MAKERS, (1, 0, 1, 2, 0), strict=True):
        numbers = (one, other)[:count]
        assert STAMPS[make].entries(vm, *numbers) == list(make(vm, *numbers))
