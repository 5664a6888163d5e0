"""Recorded flows as columns, and the packet by which each is judged."""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policies.reference import ICMP, TCP, Packet

I4 = npt.NDArray[np.int32]
_SYN = 0x02
_ECHO = {4: 8, 6: 128}
"""ICMP type of an echo request by IP version (RFC 792, RFC 4443)."""


@dataclass(frozen=True)
class Named:
    """A column of texts of which there are few; a text may be among the names several times."""

    codes: I4
    """Place in `names`; -1: none."""
    names: pa.StringArray

    def __getitem__(self, row: int) -> str | None:
        """The text of a row."""
        code = int(self.codes[row])
        return None if code < 0 else str(self.names[code])

    def take(self, rows: npt.NDArray[np.int64]) -> Named:
        """Some rows."""
        return Named(self.codes[rows], self.names)

    def among(self, rows: npt.NDArray[np.int64]) -> set[str]:
        """The texts of some rows."""
        codes = np.unique(self.codes[rows])
        return set(self.names.take(pa.array(codes[codes >= 0])).to_pylist())


@dataclass(frozen=True)
class FlowColumns:
    """Flows, or parts of flows, one element each. `src` opened the flow."""

    src_vm: Named
    """The VM on the port where it came in; none: from outside."""
    dst_vm: Named
    """The VM that has the destination address; none: for the outside, or everybody."""
    src_ip: Named
    dst_ip: Named
    proto: npt.NDArray[np.uint8]
    src_port: npt.NDArray[np.uint16]
    dst_port: npt.NDArray[np.uint16]
    packets: npt.NDArray[np.uint64]
    """Of both directions."""
    bytes: npt.NDArray[np.uint64]
    opened: npt.NDArray[np.float64]
    """Epoch seconds of the whole flow's first packet."""
    first: npt.NDArray[np.bool_]
    """Is it the first part of its flow among those that are looked at?"""
    forged: npt.NDArray[np.bool_]
    """Was its sender's address not its own? The guard drops it, whatever the policy."""
    everybody: npt.NDArray[np.bool_]
    """Is it for no VM and not for the outside, but for a group or all?"""

    def __len__(self) -> int:
        return len(self.proto)

    def take(self, rows: npt.NDArray[np.int64]) -> FlowColumns:
        """Some of them."""
        columns: Any = {
            column.name: own.take(rows) if isinstance(own := getattr(self, column.name), Named) else own[rows]
            for column in fields(self)
        }
        return FlowColumns(**columns)

    def packet(self, row: int) -> Packet:
        """The packet that opens a flow, by which rules decide about it. ICMP is taken for an echo request."""
        addresses = [ip_address(str(column[row])) for column in (self.src_ip, self.dst_ip)]
        proto, version = int(self.proto[row]), addresses[0].version
        everybody = bool(self.everybody[row])
        return Packet(
            self.src_vm[row],
            None if everybody else self.dst_vm[row],
            addresses[0],
            addresses[1],
            proto,
            int(self.src_port[row]),
            int(self.dst_port[row]),
            _SYN if proto == TCP else 0,
            _ECHO[version] if proto == ICMP[version] else None,
            broadcast=everybody,
        )
