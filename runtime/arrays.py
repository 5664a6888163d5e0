"""Rows of the arrays that control sends to the analyzer: little-endian, without padding."""

from __future__ import annotations

import numpy as np

COUNTER = np.dtype([("cookie", "<u8"), ("packets", "<u8"), ("bytes", "<u8"), ("table", "u1")])
"""Message `counters`: what one flow entry has counted; 25 bytes."""
OPENING_BYTES = 128
"""Of a packet that opens a connection so much is copied: Ethernet, IP with all its options, TCP."""
WHOLE_BYTES = 1514
"""Of a packet that is read for names: all of it, as Ethernet carries it."""
COPY = np.dtype(
    [("time", "<f8"), ("cookie", "<u8"), ("in_port", "<u4"), ("length", "<u2"), ("size", "<u2"), ("table", "u1")]
)
"""Message `copies`: epoch seconds of a copy's receipt, cookie of the entry that made it, OpenFlow port where the packet
came in, length of the packet, bytes of it that follow, table of the entry; 25 bytes. The bytes of all copies stand
behind the rows, one copy after the other."""
