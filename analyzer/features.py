"""What the flow model sees of a flow: one column a property, all flows at once."""

from __future__ import annotations

import numpy as np

from analyzer.flows import F8, FIN, ICMP, ICMP6, RST, TCP, UDP, Array, FlowState
from analyzer.observe import ADMIN_PORTS, Novelty

FLOW_FEATURES = (
    "duration", "src_pkts", "dst_pkts", "src_bytes", "dst_bytes", "src_size", "dst_size", "imbalance",
    "tcp", "udp", "icmp", "rst", "fin", "failed", "answered", "outside", "admin",
    "new_peer", "new_outside", "new_service",
)  # fmt: skip


def flow_features(rows: Array, novelty: Novelty) -> F8:
    """(flows, len(FLOW_FEATURES)) of rows with totals (dtype FLOW): logarithms of amounts, 0/1 of properties."""
    duration = np.maximum(rows["end"] - rows["start"], 0)
    amounts = {name: rows[name].astype(np.float64) for name in ("src_pkts", "dst_pkts", "src_bytes", "dst_bytes")}
    sizes = {end: amounts[f"{end}_bytes"] / np.maximum(amounts[f"{end}_pkts"], 1) for end in ("src", "dst")}
    columns = [
        np.log1p(duration * 1000),
        *(np.log1p(column) for column in amounts.values()),
        *(np.log1p(column) for column in sizes.values()),
        np.log1p(amounts["src_bytes"]) - np.log1p(amounts["dst_bytes"]),
        rows["proto"] == TCP,
        rows["proto"] == UDP,
        (rows["proto"] == ICMP) | (rows["proto"] == ICMP6),
        rows["flags"] & RST != 0,
        rows["flags"] & FIN != 0,
        rows["state"] & FlowState.FAILED != 0,
        rows["dst_pkts"] > 0,
        rows["dst_segment"] == 0,
        ADMIN_PORTS[rows["dst_port"]] & (rows["proto"] == TCP),
        novelty.peer,
        novelty.outside,
        novelty.service,
    ]
    return np.column_stack([np.asarray(column, np.float64) for column in columns])
