"""Probing: a VM tries what the policy denies, one service after the other."""

from __future__ import annotations

from analyzer.behaviours.base import RESTRICT, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {10.0: 5, 60.0: 8, 600.0: 15, 3600.0: 25}
"""Services that are new to the VM or its segment and that VFNs kept it from. Who set a machine up wrongly tries one or
two; what was ordinary before a policy forbade it is not new, and not counted."""
MARGIN = 2.0


class Probing:
    """Looking for what the policy lets through."""

    name = "probing"
    technique = "T1046"
    action = RESTRICT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Denied services against how many are usual."""
        return strongest(scene, "denied_services", FLOORS, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, denied, usual = peak(scene, "denied_services", FLOORS, MARGIN, subject)
        return (
            f"probing: {denied:.0f} new services tried that the policy denies, in {seconds_text(length)} "
            f"(usual at most {usual:.0f})"
        )
