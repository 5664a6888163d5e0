"""Table 7: where a rule is in observe, a packet goes through the shadow tables first, then on as if it had not."""

from __future__ import annotations

from policies.entries import Resubmit, TableEntry
from policies.pipeline.tables import Table


def observe_entry(*, observing: bool) -> TableEntry:
    """The whole table.

    Args:
        observing: does a rule in observe stand at this VFN? Without one the shadow tables are empty.
    """
    steps = (Resubmit(Table.SHADOW),) if observing else ()
    return TableEntry(Table.OBSERVE, 0, (), steps, Table.ENFORCEMENT)
