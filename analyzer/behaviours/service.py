"""First-seen service: inside, something is used that nobody of the segment ever used. It only alerts."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ALERT, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {10.0: 1, 600.0: 2}
MARGIN = 2.0


class FirstSeenService:
    """New services inside."""

    name = "first-seen-service"
    technique = "T1021"
    action = ALERT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """New services against how many are usual."""
        return np.where(scene.outside, 0.0, strongest(scene, "new_services", FLOORS, MARGIN)[0])

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, new, usual = peak(scene, "new_services", FLOORS, MARGIN, subject)
        what = "a service inside" if new == 1 else f"{new:.0f} services inside"
        text = seconds_text(length)
        return f"first-seen service: {what} that its segment never used, in {text} (usual at most {usual:.0f})"
