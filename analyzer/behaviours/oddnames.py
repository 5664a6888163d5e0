"""Odd names: those that a VM asks for look like data, or do not exist. Known by copies of questions and answers."""

from __future__ import annotations

from analyzer.behaviours.base import RESTRICT, Floors, Scene, peak, seconds_text, strongest
from analyzer.dns.oddness import ABSENT_NAMES, TUNNEL_NAMES
from analyzer.flows import F8

CODED: Floors = {60.0: TUNNEL_NAMES}
"""Names of forty characters and more that use them nearly alike: a page of one site has some ten hosts."""
ABSENT: Floors = {60.0: ABSENT_NAMES}
"""Domains that do not exist: a typing error makes one, a search list a few."""
MARGIN = 3.0


class CodedNames:
    """Data in names, whatever their bytes come to."""

    name = "coded-names"
    technique = "T1071.004"
    action = RESTRICT
    passive = False
    names = True

    def strength(self, scene: Scene) -> F8:
        """Names against how many are usual."""
        return strongest(scene, "coded_names", CODED, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        return _told(scene, subject, "coded_names", CODED, "coded names", "names that look like encoded data")


class AbsentNames:
    """A search for a server under generated names."""

    name = "absent-names"
    technique = "T1568.002"
    action = RESTRICT
    passive = False
    names = True

    def strength(self, scene: Scene) -> F8:
        """Domains against how many are usual."""
        return strongest(scene, "absent_names", ABSENT, MARGIN)[0]

    def reason(self, scene: Scene, subject: int) -> str:
        """How many."""
        return _told(scene, subject, "absent_names", ABSENT, "absent names", "domains asked for that do not exist")


def _told(scene: Scene, subject: int, feature: str, floors: Floors, name: str, what: str) -> str:
    length, asked, usual = peak(scene, feature, floors, MARGIN, subject)
    return f"{name}: {asked:.0f} {what} in {seconds_text(length)} (usual at most {usual:.0f})"
