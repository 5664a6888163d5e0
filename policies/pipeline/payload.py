"""Copies of packets with payload, of VMs under a consent. They stand at the VM's own VFN and are nobody else's.

What the VM sends is copied in TAP, whether it is allowed or not; what it gets in FORWARD, so only what is delivered.
Copied is all UDP, and of TCP what bears PSH: the sender's program has written it to its end. So a request, a log-in, a
command is copied whole, an answer at its end, and the middle of a long transfer is not. Both directions go under one
meter of the VM's port: what is over it is not copied, and goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.entries import Output, Resubmit, Step, TableEntry, ToController
from policies.pipeline.tables import DESTINATION, IPV4, IPV6, PSH, TCP, UDP, Matches, Table, match
from policies.pipeline.taps import CopyMeter
from topology.model import Vm

MOST_BYTES = 1600
"""Of a packet so much is copied: all of it, at the usual sizes."""
_COPIED = 1100
_FAMILIES = (IPV4, IPV6)
_BEARING: tuple[Matches, ...] = ({"ip_proto": TCP, "tcp_flags": (PSH, PSH)}, {"ip_proto": UDP})
_JUDGED_FROM = (Table.SOURCE_LISTS, Table.SOURCE)


def payload_of(vm: Vm, port: int, judged_from: Table) -> Iterator[TableEntry]:
    """The entries of a VM.

    Args:
        port: number of its port.
        judged_from: table where what it sends goes on.
    """
    copy = ToController(MOST_BYTES, CopyMeter.PAYLOAD.of(port))
    for family in _FAMILIES:
        for fields in _BEARING:
            said: Matches = {"eth_type": family, **fields}
            # Before these entries other tables would have copied it for what they look for; they still do.
            yield _entry(Table.TAP, {"in_port": port, **said}, (copy, Resubmit(Table.COPIES)), judged_from)
            yield _entry(
                Table.FORWARD, {DESTINATION: vm.number, **said}, (copy, Resubmit(Table.DELIVERED), Output(port))
            )


def whatever_copies(vm: Vm, port: int) -> Iterator[TableEntry]:
    """All entries that may copy a VM's payload, wherever packets go on at its VFN."""
    for judged_from in _JUDGED_FROM:
        yield from payload_of(vm, port, judged_from)


def copied_port(entry: TableEntry) -> int | None:
    """Number of the port for whose VM an entry copies payload; None: it does nothing of the kind."""
    meters = (step.meter for step in entry.steps if isinstance(step, ToController) and step.meter is not None)
    return next((port for meter in meters if (port := CopyMeter.PAYLOAD.port(meter)) is not None), None)


def rate(packets_per_second: int, copies_per_second: int, vms: int) -> int:
    """Packets per second of each VM's meter, where so many of a VFN share what it may copy."""
    return max(1, min(packets_per_second, copies_per_second // max(1, vms)))


def _entry(table: Table, fields: Matches, steps: tuple[Step, ...], goto: Table | None = None) -> TableEntry:
    return TableEntry(table, _COPIED, match(fields), steps, goto)
