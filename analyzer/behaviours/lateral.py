"""Lateral movement: doors inside are tried that this VM, or anybody of its segment, never went through."""

from __future__ import annotations

from analyzer.behaviours.base import RESTRICT, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {60.0: 3, 600.0: 3, 3600.0: 4}
"""Doors (host, service): an administrator who comes for the first time opens one, perhaps two."""
MARGIN = 2.0


class Lateral:
    """New remote access inside."""

    name = "lateral-movement"
    technique = "T1021"
    action = RESTRICT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """New doors against how many are usual."""
        return strongest(scene, "new_doors", FLOORS, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, doors, usual = peak(scene, "new_doors", FLOORS, MARGIN, subject)
        return (
            f"lateral movement: {doors:.0f} remote-access services inside that were never used before, in "
            f"{seconds_text(length)} (usual at most {usual:.0f})"
        )
