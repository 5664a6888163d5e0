"""Worm: one VM knocks at the doors of host after host, inside or outside, and most stay shut."""

from __future__ import annotations

from analyzer.behaviours.base import ISOLATE, Floors, Scene, peak, seconds_text, strongest_failing
from analyzer.flows import F8

FLOORS: Floors = {1.0: 8, 10.0: 10, 60.0: 15, 600.0: 30}
"""Logins and other doors that refused or never answered. An administrator knows which hosts there are."""
FAILING = 0.5
"""Share of all its connections that fail."""
MARGIN = 2.0


class Worm:
    """Fan-out at doors."""

    name = "worm"
    technique = "T1210"
    action = ISOLATE
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Shut doors against how many are usual, while most connections fail."""
        return strongest_failing(scene, "failed_doors", FLOORS, MARGIN, FAILING)

    def reason(self, scene: Scene, subject: int) -> str:
        """How many doors."""
        length, doors, usual = peak(scene, "failed_doors", FLOORS, MARGIN, subject)
        return (
            f"worm: {doors:.0f} logins and other doors that refused or did not answer in {seconds_text(length)} "
            f"(usual at most {usual:.0f})"
        )
