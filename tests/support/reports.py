"""Reports of flow monitors as Open vSwitch writes them."""

from __future__ import annotations

import struct

from policies.codec import Happened
from policies.entries import TableEntry
from ryu_apps.wire.content import installed
from ryu_apps.wire.oxm import pack_match

HEAD = struct.pack("!II", 0x4F4E4600, 1870)
OWN = struct.pack("!HHI", 8, 3, 77)
"""A report of a change by the session itself."""


def report(happened: Happened, entry: TableEntry) -> bytes:
    """A full report as Open vSwitch writes it (ofp-monitor.c, `ofputil_append_flow_update`)."""
    there = installed(entry)
    tail = pack_match(there.match) + there.instructions
    fixed = (24 + len(tail), happened, 0, entry.priority, 0, 0, 4 + len(there.match), entry.table, there.cookie)
    return struct.pack("!HHHHHHHBxQ", *fixed) + tail
