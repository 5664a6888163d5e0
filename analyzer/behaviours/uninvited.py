"""Uninvited: a stranger's programme works through a service inside that nobody outside ever used."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import DENY, Dealing, Scene, dense, seconds_text, service_text
from analyzer.dealings import Dealings
from analyzer.flows import F8

TIMES = 20.0
"""Connections to one service. People, too, open many to a page ..."""
ALIKE = 0.35
"""... but what they send differs more than that (spread of the logarithm of its size)."""
SLOWEST = 5.0
"""Mean seconds between connections: who watches whether a service is up asks once a minute."""


class Uninvited(Dealing):
    """Enumeration and guessing from outside, whatever the service."""

    name = "uninvited"
    technique = "T1595"
    action = DENY

    def each(self, dealings: Dealings) -> F8:
        """Connections, alike and fast."""
        rows = dealings.rows
        alike = (dealings.size_spread <= ALIKE) & (rows["sizes"] >= TIMES / 2)
        new = rows["unheard"] & ~rows["outside"]
        return np.asarray(np.where(new & alike & dense(dealings, SLOWEST), rows["opened"] / TIMES, 0.0))

    def found(self, scene: Scene) -> F8:
        """Of strangers."""
        return np.where(scene.outside[scene.dealer], self.each(scene.dealings), 0.0)

    def words(self, dealing: Dealings) -> str:
        """How often, how fast, how much alike."""
        row = dealing.rows[0]
        return (
            f"uninvited: {row['opened']:.0f} connections to {service_text(dealing)}, which nobody outside ever used, "
            f"in {seconds_text(float(dealing.span[0]))}, alike in size (spread {dealing.size_spread[0]:.2f})"
        )
