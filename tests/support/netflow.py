"""NetFlow v5 datagrams of a few records."""

from __future__ import annotations

import numpy as np

from analyzer.netflow import HEADER, RECORD


def datagram(records: int = 1, sequence: int = 0, uptime: int = 10_000, engine: int = 0x0103, **record: int) -> bytes:
    """A datagram sent at epoch second 1000.5."""
    header = np.zeros(1, HEADER)
    header["version"], header["count"], header["uptime"], header["seconds"] = 5, records, uptime, 1000
    header["nanoseconds"], header["sequence"], header["engine"] = 500_000_000, sequence, engine
    body = np.zeros(records, RECORD)
    for name, value in record.items():
        body[name] = value
    return header.tobytes() + body.tobytes()
