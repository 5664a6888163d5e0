"""Knocking: a stranger tries services that do not exist here and gets nothing. Only asked of outside addresses."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import DENY, Floors, Scene, seconds_text, strongest
from analyzer.flows import F8

SERVICES: Floors = {60.0: 2, 3600.0: 2}
"""Services that failed, of kinds that nobody outside ever reached here. To deny who never got an answer costs nobody
anything, so little is enough."""
TIMES: Floors = {60.0: 3, 3600.0: 3}
"""Connections to such, whether to one or several: packets that were lost do not come to three."""
ALWAYS = 0.9
"""Share of a stranger's connections that fail."""
MARGIN = 2.0
_KINDS = (("knocked", SERVICES), ("knocks", TIMES))


class Knocking:
    """Probes from outside."""

    name = "knocking"
    technique = "T1595"
    action = DENY
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Closed services tried, while nearly everything fails."""
        vain = scene.now("failed", 3600.0) >= ALWAYS * scene.now("flows", 3600.0)
        both = [strongest(scene, name, floors, MARGIN)[0] for name, floors in _KINDS]
        return np.where(scene.outside & vain, np.max(both, axis=0), 0.0)

    def reason(self, scene: Scene, subject: int) -> str:
        """How many, and how often in vain."""
        knocked, failed = (scene.now(name, 3600.0)[subject] for name in ("knocked", "failed"))
        return (
            f"knocking: {knocked:.0f} services tried that are not offered to the outside, {failed:.0f} connections in "
            f"vain in {seconds_text(3600.0)}"
        )
