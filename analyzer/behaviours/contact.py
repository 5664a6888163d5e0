"""First contact with outside addresses that nobody of the segment is known to talk to. It only alerts."""

from __future__ import annotations

from analyzer.behaviours.base import ALERT, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {10.0: 1, 600.0: 5}
MARGIN = 2.0
"""Where new addresses are usual (people browsing), one more is nothing."""


class FirstContact:
    """New outside peers."""

    name = "first-contact"
    technique = "T1071"
    action = ALERT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """New outside addresses against how many are usual."""
        return strongest(scene, "new_outside", FLOORS, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many of them."""
        length, new, usual = peak(scene, "new_outside", FLOORS, MARGIN, subject)
        whom = "an outside address" if new == 1 else f"{new:.0f} outside addresses"
        return f"first contact: {whom} unknown to its segment in {seconds_text(length)} (usual at most {usual:.0f})"
