"""DNS storm: names are asked for faster than any program needs them, as by malware that searches for its server."""

from __future__ import annotations

from analyzer.behaviours.base import RESTRICT, Floors, Scene, peak, seconds_text, strongest
from analyzer.flows import F8

FLOORS: Floors = {10.0: 150, 60.0: 400, 600.0: 1500, 3600.0: 5000}
"""Questions: a browser that opens twenty pages asks for some hundred names, and then remembers them."""
MARGIN = 3.0


class DnsStorm:
    """Generated names."""

    name = "dns-storm"
    technique = "T1568.002"
    action = RESTRICT
    passive = False
    names = True

    def strength(self, scene: Scene) -> F8:
        """Questions against how many are usual."""
        return strongest(scene, "dns", FLOORS, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, asked, usual = peak(scene, "dns", FLOORS, MARGIN, subject)
        return f"DNS storm: {asked:.0f} questions in {seconds_text(length)} (usual at most {usual:.0f})"
