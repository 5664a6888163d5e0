"""Explicit behaviours, one detector a file. `ALL` is what the analyzer asks, in no order that matters."""

from analyzer.behaviours.base import Behaviour, Scene
from analyzer.behaviours.bruteforce import BruteForce
from analyzer.behaviours.contact import FirstContact
from analyzer.behaviours.failed import FailedBurst
from analyzer.behaviours.scan import Scan
from analyzer.behaviours.spoof import Spoofing
from analyzer.behaviours.volume import OutboundVolume

ALL: tuple[Behaviour, ...] = (Scan(), BruteForce(), OutboundVolume(), Spoofing(), FirstContact(), FailedBurst())

__all__ = ["ALL", "Behaviour", "Scene"]
