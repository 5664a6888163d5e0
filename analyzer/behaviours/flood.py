"""Floods: one VM sends packets that nobody answers, opens connection after connection, or is whom a crowd aims at."""

from __future__ import annotations

import numpy as np

from analyzer.behaviours.base import ISOLATE, RATE_LIMIT, Floors, Scene, excess, peak, seconds_text, strongest
from analyzer.flows import F8

UNHEEDED: Floors = {1.0: 4000, 10.0: 20_000, 60.0: 60_000}
"""Packets sent without any answer: no protocol that works goes on like that."""
OPENINGS: Floors = {1.0: 100, 10.0: 400}
"""Connections whose first packet was copied. A page needs some dozen; what opens more a second is a load test, or means
harm. Switches copy no more than each port's share (`openflow.copies_per_second`)."""
OPENED: Floors = {1.0: 1000, 10.0: 5000, 60.0: 15_000}
"""Connections opened and told of as flows: more than one machine can use, answered or not."""
BEGUN: Floors = {10.0: 1000, 60.0: 4000}
"""Connections whose first packet was copied: who goes on at this rate, under a limit perhaps, runs no short test."""
CROWD: Floors = {1.0: 100, 10.0: 200, 60.0: 500}
"""Sources that aim at one VM: more than a service without a load balancer meets in the time."""
IN_VAIN = 0.8
"""Share of their flows that is not answered."""
MARGIN = 3.0


class FloodSource:
    """A VM takes part in a denial of service."""

    name = "flood"
    technique = "T1498"
    action = ISOLATE
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Packets into the void, or connections beyond all use."""
        return np.asarray(
            np.max([strongest(scene, name, floors, MARGIN)[0] for name, floors, _ in self._KINDS], axis=0)
        )

    def reason(self, scene: Scene, subject: int) -> str:
        """How many, of what stands out most."""
        parts = [(name, what, *strongest(scene, name, floors, MARGIN)) for name, floors, what in self._KINDS]
        name, what, _, lengths = max(parts, key=lambda part: float(part[2][subject]))
        length = float(lengths[subject])
        value, usual = scene.now(name, length)[subject], scene.usual(name, length)[subject]
        return f"flood: {value:.0f} {what} in {seconds_text(length)} (usual at most {usual:.0f})"

    _KINDS = (
        ("unheeded", UNHEEDED, "packets without an answer"),
        ("flows", OPENED, "connections opened"),
        ("asked", BEGUN, "connections begun"),
    )


class OpeningFlood:
    """A VM opens connections faster than anything uses them: known by copies, within a fraction of a second."""

    name = "openings"
    technique = "T1499.002"
    action = RATE_LIMIT
    passive = False
    names = False

    def strength(self, scene: Scene) -> F8:
        """Openings against how many are usual."""
        return strongest(scene, "asked", OPENINGS, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        length, opened, usual = peak(scene, "asked", OPENINGS, MARGIN, subject)
        return f"openings: {opened:.0f} connections begun in {seconds_text(length)} (usual at most {usual:.0f})"


class FloodVictim:
    """A VM is the target of one. It has done nothing: what reaches it is limited, nothing of its own."""

    name = "flooded"
    technique = "T1498"
    action = RATE_LIMIT
    passive = True
    names = False

    def strength(self, scene: Scene) -> F8:
        """Sources, while most of what they send is not answered."""
        return np.asarray(np.max([part for _, part in self._parts(scene)], axis=0))

    def reason(self, scene: Scene, subject: int) -> str:
        """How many of them, and how many flows."""
        seconds = max(self._parts(scene), key=lambda part: float(part[1][subject]))[0]
        sources, flows = (scene.now(name, seconds)[subject] for name in ("hit_sources", "hit_flows"))
        usual = scene.usual("hit_sources", seconds)[subject]
        return (
            f"flooded: {sources:.0f} sources aimed {flows:.0f} flows at it in {seconds_text(seconds)}, hardly any "
            f"answered (usual at most {usual:.0f} sources)"
        )

    @staticmethod
    def _parts(scene: Scene) -> list[tuple[float, F8]]:
        parts = []
        for seconds, floor in CROWD.items():
            vain = scene.now("hit_answered", seconds) <= (1 - IN_VAIN) * scene.now("hit_flows", seconds)
            crowd = excess(scene.now("hit_sources", seconds), floor, scene.usual("hit_sources", seconds), MARGIN)
            parts.append((seconds, np.where(vain, crowd, 0.0)))
        return parts
