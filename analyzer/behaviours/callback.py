"""Callback: an unknown outside service is called again and again and never answers: an implant without its server."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import RESTRICT, Dealing, dense, seconds_text, service_text
from analyzer.dealings import Dealings
from analyzer.flows import F8

CALLS = 20.0
"""Programs that find a server dead wait longer each time: so many calls at short notice are not theirs."""
SLOWEST = 30.0
"""Mean seconds between calls."""


class Callback(Dealing):
    """Calls to a dead command server."""

    name = "callback"
    technique = "T1008"
    action = RESTRICT

    def each(self, dealings: Dealings) -> F8:
        """Calls, while every one of them failed."""
        rows = dealings.rows
        dead = (
            rows["outside"]
            & rows["unknown"]
            & (rows["failed"] >= rows["opened"] - 1)
            & (rows["bytes_in"] <= 0.1 * rows["bytes_out"])
        )
        return np.asarray(np.where(dead & dense(dealings, SLOWEST), rows["failed"] / CALLS, 0.0))

    def words(self, dealing: Dealings) -> str:
        """How often, in how long."""
        row = dealing.rows[0]
        return (
            f"callback: {row['failed']:.0f} calls to {service_text(dealing)}, unknown to its segment, in "
            f"{seconds_text(float(dealing.span[0]))}, and none was answered"
        )
