"""Searching: a VM tries services, doors or hosts that are new to it or its segment, and nearly all in vain."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from analyzer.behaviours.base import RESTRICT, Floors, Scene, failing, reached, seconds_text
from analyzer.behaviours.probing import FLOORS as DENIED
from analyzer.flows import F8

SERVICES: Floors = {1.0: 5, **DENIED}
"""Services inside, of kinds that its segment never used, that refused or are silent: as many as of those that a policy
denies (`analyzer.behaviours.probing`). Who set a machine up wrongly tries one or two, again and again."""
DOORS: Floors = SERVICES
"""Logins and other doors, of as many hosts that are new."""
HOSTS: Floors = {1.0: 10, 10.0: 10, 60.0: 15, 600.0: 25}
"""Hosts inside that it never talked to: what is deployed before its peers are up looks for so many at most."""
FAILING = 0.5
"""Share of all its connections that fail: what a VM was told of works, at least half of it."""
MARGIN = 2.0
_KINDS = {"knocked": SERVICES, "new_peers": HOSTS, "failed_doors": DOORS}
_WORDS = {
    "knocked": "services inside that its segment never used",
    "new_peers": "hosts that it never talked to",
    "failed_doors": "logins and other doors of hosts that are new",
}


class Searching:
    """How a scan or a worm's fan-out begins. Where nothing was learned nothing is new, and this sees nothing."""

    name = "searching"
    technique = "T1046"
    action = RESTRICT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """The clearest of the three measures, of a VM; 0 where no floor is reached."""
        strength = np.zeros(len(scene))
        for _, _, part in self._parts(scene):
            strength = np.maximum(strength, part)
        return np.where(scene.outside, 0.0, strength)

    def reason(self, scene: Scene, subject: int) -> str:
        """Names the measure that stands out most."""
        name, seconds, _ = max(self._parts(scene), key=lambda part: float(part[2][subject]))
        value, usual = self._value(scene, name, seconds)[subject], scene.usual(name, seconds)[subject]
        failed, flows = (scene.now(what, seconds)[subject] for what in ("failed", "flows"))
        return (
            f"searching: {value:.0f} {_WORDS[name]} tried in {seconds_text(seconds)}, {failed:.0f} of {flows:.0f} "
            f"connections in vain (usual at most {usual:.0f})"
        )

    @classmethod
    def _parts(cls, scene: Scene) -> Iterator[tuple[str, float, F8]]:
        for name, floors in _KINDS.items():
            for seconds, part in reached(scene, name, floors, MARGIN, partial(cls._value, scene)):
                yield name, seconds, part

    @staticmethod
    def _value(scene: Scene, name: str, seconds: float) -> F8:
        value = scene.now(name, seconds)
        if name == "failed_doors":
            value = np.minimum(value, scene.now("new_peers", seconds) + scene.now("new_outside", seconds))
        return np.where(failing(scene, FAILING, seconds), value, 0.0)
