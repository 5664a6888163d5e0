"""Hammering: opening packets rain on one host or service inside that never answers: a scan or flood without ports."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ISOLATE, Dealing, seconds_text, service_text
from analyzer.dealings import Dealings
from analyzer.flows import F8, TCP

OPENING = 60.0
"""Bytes of an opening packet."""
PACKETS = 1000.0
"""Of them without any answer: a client tries one connection six or seven times in two minutes."""
PACE = 20.0
"""A second: a hundred clients that all wait for a server that is away."""


class Hammering(Dealing):
    """Packets at a closed door, faster than anybody knocks."""

    name = "hammering"
    technique = "T1046"
    action = ISOLATE

    def each(self, dealings: Dealings) -> F8:
        """Opening packets against what is needed."""
        rows = dealings.rows
        dead = (rows["proto"] == TCP) & (rows["failed"] >= rows["opened"]) & (rows["bytes_in"] == 0)
        packets = rows["bytes_out"] / OPENING
        fast = dealings.span * PACE <= packets
        new = ~rows["outside"] & (rows["unknown"] | rows["unheard"])
        return np.asarray(np.where(new & dead & fast, packets / PACKETS, 0.0))

    def words(self, dealing: Dealings) -> str:
        """How much, at whom."""
        row = dealing.rows[0]
        return (
            f"hammering: {row['bytes_out'] / 1e3:.0f} kB of opening packets to {service_text(dealing)} in "
            f"{seconds_text(float(dealing.span[0]))}, and none was answered"
        )
