"""Table OBSERVE: where a rule is in observe, a packet goes through the shadow tables first, then on as without."""

from __future__ import annotations

from collections.abc import Iterator

from policies.entries import Resubmit, Step, TableEntry
from policies.pipeline.masks import PORTED, exact_ports
from policies.pipeline.tables import IPV6, Table, match


def observe_entries(*, observing: bool, source_ports: bool) -> Iterator[TableEntry]:
    """The whole table.

    Args:
        observing: does a rule in observe stand at this VFN? Without one the shadow tables are empty.
        source_ports: does a rule at this VFN name source ports?
    """
    steps: tuple[Step, ...] = (Resubmit(Table.SHADOW),) if observing else ()
    yield TableEntry(Table.OBSERVE, 0, (), steps, Table.ENFORCEMENT)
    if source_ports:
        for protocol in PORTED:
            fields = match({"eth_type": IPV6, "ip_proto": protocol})
            yield TableEntry(Table.OBSERVE, 1, fields, (*exact_ports(protocol), *steps), Table.ENFORCEMENT)
