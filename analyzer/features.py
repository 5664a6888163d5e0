"""What the flow model sees of a flow: one column a property, all flows at once."""

from __future__ import annotations

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F4, F8, FIN, ICMP, ICMP6, RST, TCP, UDP, Array, Bool, FlowState
from analyzer.observe import ADMIN_PORTS, Novelty

FLOW_FEATURES = (
    "duration", "src_pkts", "dst_pkts", "src_bytes", "dst_bytes", "src_size", "dst_size", "imbalance",
    "tcp", "udp", "icmp", "rst", "fin", "failed", "answered", "outside", "admin",
    "new_peer", "new_outside", "new_service",
)  # fmt: skip
_AMOUNTS = FLOW_FEATURES.index("imbalance")
"""The columns before it are logarithms of amounts, those behind it properties."""
_SENT, _RECEIVED = FLOW_FEATURES.index("src_bytes"), FLOW_FEATURES.index("dst_bytes")
_MILLISECONDS = 1000.0
_FAILED = int(FlowState.FAILED)


def flow_features(rows: Array, novelty: Novelty) -> F4:
    """(flows, len(FLOW_FEATURES)) of rows with totals (dtype FLOW): logarithms of amounts, 0/1 of properties.

    A column is in one place: models go through them column by column.
    """
    amounts = np.empty((_AMOUNTS, len(rows)))
    columns = np.empty((len(FLOW_FEATURES), len(rows)), np.float32)
    _fill(rows, (novelty.peer, novelty.outside, novelty.service), ADMIN_PORTS, amounts, columns[_AMOUNTS + 1 :])
    np.log1p(amounts, out=amounts)
    columns[:_AMOUNTS] = amounts
    np.subtract(amounts[_SENT], amounts[_RECEIVED], out=columns[_AMOUNTS], casting="same_kind")
    return columns.T


@compiled
def _fill(rows: Array, novelty: tuple[Bool, Bool, Bool], admin_ports: Bool, amounts: F8, properties: F4) -> None:
    """Amounts and properties, in the order of `FLOW_FEATURES`, of (columns, flows)."""
    for i in range(len(rows)):
        row = rows[i]
        duration = (row.end - row.start) * _MILLISECONDS
        amounts[0, i] = 0.0 if duration < 0 else duration
        amounts[1, i], amounts[2, i] = row.src_pkts, row.dst_pkts
        amounts[3, i], amounts[4, i] = row.src_bytes, row.dst_bytes
        amounts[5, i] = amounts[3, i] / max(amounts[1, i], 1.0)
        amounts[6, i] = amounts[4, i] / max(amounts[2, i], 1.0)
        properties[0, i] = row.proto == TCP
        properties[1, i] = row.proto == UDP
        properties[2, i] = row.proto in (ICMP, ICMP6)
        properties[3, i] = row.flags & RST != 0
        properties[4, i] = row.flags & FIN != 0
        properties[5, i] = row.state & _FAILED != 0
        properties[6, i] = row.dst_pkts > 0
        properties[7, i] = row.dst_segment == 0
        properties[8, i] = row.proto == TCP and admin_ports[row.dst_port]
        properties[9, i], properties[10, i], properties[11, i] = novelty[0][i], novelty[1][i], novelty[2][i]
