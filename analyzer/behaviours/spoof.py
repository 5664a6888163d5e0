"""Spoofing: packets come in on a VM's port under addresses that are not its own."""

from __future__ import annotations

from analyzer.behaviours.base import ISOLATE, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {10.0: 5, 600.0: 20}
MARGIN = 2.0


class Spoofing:
    """Forged source addresses. The owner of the forged address is never counted."""

    name = "spoofing"
    technique = "T1036"
    action = ISOLATE
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Forged flows."""
        return strongest(scene, "spoofed", FLOORS, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, value, _ = peak(scene, "spoofed", FLOORS, MARGIN, subject)
        return f"spoofing: {value:.0f} flows under addresses that are not its own in {seconds_text(length)}"
