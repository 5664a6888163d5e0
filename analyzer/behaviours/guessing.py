"""Guessing: short connections, all alike, to a login that its segment never used before. Slower than brute force."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import RESTRICT, Dealing, dense, seconds_text, service_text
from analyzer.dealings import Dealings
from analyzer.flows import F8, TCP
from analyzer.observe import ADMIN_PORTS

TRIES = 8.0
"""A login asks three times before it closes: so many connections are two dozen passwords."""
ALIKE = 0.35
"""Largest spread of the size of what is sent: who gets in does something, which is never the same."""
SLOWEST = 450.0
"""Mean seconds between tries: eight in an hour."""


class Guessing(Dealing):
    """Slow password guessing."""

    name = "guessing"
    technique = "T1110"
    action = RESTRICT

    def each(self, dealings: Dealings) -> F8:
        """Tries at one login."""
        rows = dealings.rows
        # A new peer alone says nothing: a program that turns to one more database asks it what it asks the others.
        login = (rows["proto"] == TCP) & ADMIN_PORTS[rows["port"]] & rows["unheard"]
        alike = (dealings.size_spread <= ALIKE) & (rows["sizes"] >= TRIES / 2)
        return np.asarray(np.where(login & alike & dense(dealings, SLOWEST), rows["opened"] / TRIES, 0.0))

    def words(self, dealing: Dealings) -> str:
        """Tries, and how alike they are."""
        row = dealing.rows[0]
        return (
            f"guessing: {row['opened']:.0f} connections to the login {service_text(dealing)}, which its segment never "
            f"used, in {seconds_text(float(dealing.span[0]))}, alike in size "
            f"(spread {dealing.size_spread[0]:.2f})"
        )
