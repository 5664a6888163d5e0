"""Failed-connection burst: most of what a VM opens fails. It only alerts: what it calls may be what is broken."""

from __future__ import annotations

from analyzer.behaviours.base import ALERT, Floors, Scene, peak, seconds_text, strongest_failing
from analyzer.flows import F8

FLOORS: Floors = {10.0: 30, 60.0: 60, 600.0: 150}
SHARE = 0.5
"""Of the connections it opened."""
MARGIN = 2.0


class FailedBurst:
    """Many failed connections, whoever they went to."""

    name = "failed-connections"
    technique = "T1046"
    action = ALERT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Only while at least `SHARE` of the connections fail."""
        return strongest_failing(scene, "failed", FLOORS, MARGIN, SHARE)

    def reason(self, scene: Scene, subject: int) -> str:
        """Failed of how many."""
        length, failed, usual = peak(scene, "failed", FLOORS, MARGIN, subject)
        flows = scene.now("flows", length)[subject]
        text = seconds_text(length)
        return f"failed connections: {failed:.0f} of {flows:.0f} in {text} (usual at most {usual:.0f} fail)"
