"""Beacon: one unknown outside service is visited again and again, at regular times or with messages all alike."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import RESTRICT, Dealing, dense, seconds_text, service_text
from analyzer.dealings import Dealings
from analyzer.flows import F8

REGULAR = 12.0
"""Visits at regular times to one service."""
JITTER = 0.35
"""Largest spread of the pauses' logarithm: an implant's jitter of 50 % has 0.3, people's visits more than 1."""
ALIKE = 0.25
"""Largest spread of the size of what is sent: an implant's reports hardly differ, a browser's requests do."""
BUSY = 60.0
"""Connections with messages that are alike, whatever their times: an implant that is being used."""
SAME = 0.15
"""Largest spread of sizes then: times say nothing, so sizes have to say more."""
SLOWEST = 60.0
"""Mean seconds between those: as a person works with it, not as a clock comes round."""
CLOCKS = (53, 123, 853)
"""Names and time are asked for at regular times by everybody."""


class Beacon(Dealing):
    """Command and control by polling."""

    name = "beacon"
    technique = "T1071"
    action = RESTRICT

    def each(self, dealings: Dealings) -> F8:
        """Visits or connections against what is needed."""
        rows = dealings.rows
        alike = (dealings.size_spread <= ALIKE) & (rows["sizes"] >= REGULAR / 2)
        regular = np.where(alike & (dealings.gap_spread <= JITTER), (rows["gaps"] + 1) / REGULAR, 0)
        busy = np.where((dealings.size_spread <= SAME) & dense(dealings, SLOWEST), rows["opened"] / BUSY, 0)
        candidate = (
            rows["outside"] & rows["unknown"] & ~np.isin(rows["port"], CLOCKS) & (rows["failed"] < rows["opened"])
        )
        return np.asarray(np.where(candidate, np.maximum(regular, busy), 0.0))

    def words(self, dealing: Dealings) -> str:
        """Connections, how regular, how alike."""
        row = dealing.rows[0]
        return (
            f"beacon: {row['opened']:.0f} connections to {service_text(dealing)}, unknown to its segment, in "
            f"{seconds_text(float(dealing.span[0]))}, visits {dealing.gap_middle[0]:.0f} s apart "
            f"(spread {dealing.gap_spread[0]:.2f}), of {dealing.size_middle[0]:.0f} bytes each "
            f"(spread {dealing.size_spread[0]:.2f})"
        )
