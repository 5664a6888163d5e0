"""Strange door: one door inside is tried that nobody of the segment ever went through. One alone only alerts."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ALERT, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {10.0: 1, 600.0: 1}
"""Remote access and directory services inside, of a host or a kind that is new: where nobody ever came to one while
it was learned, the first is worth a look."""
MARGIN = 2.0


class StrangeDoor:
    """A first step of lateral movement."""

    name = "strange-door"
    technique = "T1021"
    action = ALERT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Doors against how many are usual."""
        return np.where(scene.outside, 0.0, strongest(scene, "new_doors", FLOORS, MARGIN)[0])

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, doors, usual = peak(scene, "new_doors", FLOORS, MARGIN, subject)
        return (
            f"strange door: {doors:.0f} remote-access service{'' if doors == 1 else 's'} inside, never used before, in "
            f"{seconds_text(length)} (usual at most {usual:.0f})"
        )
