"""New edge: where whom VMs talk to is settled, one deals with somebody inside that it never dealt with.

Where at least the services inside are settled, the same is asked of doors: a kind of remote access that nobody there
ever used is a new edge whomever else its VMs meet.
"""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import RESTRICT, Dealing, Scene, seconds_text, service_text
from analyzer.dealings import Dealings
from analyzer.flows import F8, TCP, Array, Bool
from analyzer.observe import DOORS

TIMES = 2.0
"""Connections: one may be a slip."""
MOVED = 20e3
"""Bytes sent over a service that nobody of the segment ever used: more than it takes to say hello and log in."""
AT_DOORS = 3.0
"""Connections through a door where only services are settled: who first comes to a host makes one or two."""


class NewEdge(Dealing):
    """A talk that was never there, where all talk is regular."""

    name = "new-edge"
    technique = "T1021"
    action = RESTRICT

    def each(self, dealings: Dealings) -> F8:
        """Connections that were answered, or what was moved."""
        rows = dealings.rows
        new = _talks(rows) & rows["unknown"]
        new &= rows["port"] > 0  # without ports nobody knows who began it
        answered = np.where(rows["opened"] > 1, rows["opened"] - rows["failed"], 0) / TIMES
        moved = np.where(rows["unheard"], rows["bytes_out"] / MOVED, 0)
        return np.asarray(np.where(new, np.maximum(answered, moved), 0.0))

    @staticmethod
    def _at_doors(dealings: Dealings) -> F8:
        """(dealings,) strength of each by connections that were answered, of doors of a new kind alone."""
        rows = dealings.rows
        new = _talks(rows) & rows["unheard"]
        return np.asarray(np.where(new & DOORS[rows["port"]], (rows["opened"] - rows["failed"]) / AT_DOORS, 0.0))

    def found(self, scene: Scene) -> F8:
        """Where the segment is closed; else of doors, if its services are: other acquaintances are what VMs make."""
        closed, settled = (each & ~scene.outside for each in (scene.closed, scene.settled))
        doors = np.where(settled[scene.dealer], self._at_doors(scene.dealings), 0.0)
        return np.where(closed[scene.dealer], self.each(scene.dealings), doors)

    def words(self, dealing: Dealings) -> str:
        """With whom, how often, how much."""
        row = dealing.rows[0]
        times = f"{row['opened']:.0f} connection{'' if row['opened'] == 1 else 's'}"
        unheard = ", a service that its segment never used," if row["unheard"] else ""
        return (
            f"new edge: {times} to {service_text(dealing)}{unheard} in {seconds_text(float(dealing.span[0]))}, "
            f"{row['bytes_out'] / 1e3:.0f} kB sent; it never talked to that address, and its segment hardly ever does "
            "anything new"
        )


def _talks(rows: Array) -> Bool:
    """Which dealings are TCP with somebody inside who answers?"""
    return np.asarray((rows["proto"] == TCP) & ~rows["outside"] & (rows["bytes_in"] > 0))
