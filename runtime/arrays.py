"""Rows of the arrays that control sends to the analyzer: little-endian, without padding."""

from __future__ import annotations

import numpy as np

COUNTER = np.dtype([("cookie", "<u8"), ("packets", "<u8"), ("bytes", "<u8"), ("table", "u1")])
"""Message `counters`: what one flow entry has counted; 25 bytes."""
COPY_BYTES = 128
"""Of a packet so much is copied: Ethernet, IP with all its options, TCP."""
COPY = np.dtype([("time", "<f8"), ("in_port", "<u4"), ("length", "<u2"), ("head", f"S{COPY_BYTES}")])
"""Message `copies`: epoch seconds of a copy's receipt, OpenFlow port where the packet came in, length of the packet
itself, its beginning (zeros beyond its end); 142 bytes."""
