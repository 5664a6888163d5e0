"""Explicit behaviours, one detector a file. `ALL` is what the analyzer asks, in no order that matters."""

from analyzer.behaviours.base import ALERT, LADDER, Behaviour, Dealing, Scene
from analyzer.behaviours.beacon import Beacon
from analyzer.behaviours.bruteforce import BruteForce
from analyzer.behaviours.callback import Callback
from analyzer.behaviours.contact import FirstContact
from analyzer.behaviours.dnsstorm import DnsStorm
from analyzer.behaviours.failed import FailedBurst
from analyzer.behaviours.flood import FloodSource, FloodVictim
from analyzer.behaviours.guessing import Guessing
from analyzer.behaviours.knock import Knocking
from analyzer.behaviours.lateral import Lateral
from analyzer.behaviours.scan import Scan
from analyzer.behaviours.service import FirstSeenService
from analyzer.behaviours.spoof import Spoofing
from analyzer.behaviours.tunnel import DnsTunnel
from analyzer.behaviours.volume import OutboundVolume
from analyzer.behaviours.worm import Worm

ALL: tuple[Behaviour, ...] = (
    Scan(), Worm(), BruteForce(), Guessing(), Lateral(), Beacon(), Callback(), DnsTunnel(), DnsStorm(),
    OutboundVolume(), FloodSource(), FloodVictim(), Spoofing(), Knocking(), FirstContact(), FirstSeenService(),
    FailedBurst(),
)  # fmt: skip
DEALINGS = tuple(behaviour for behaviour in ALL if isinstance(behaviour, Dealing))

__all__ = ["ALERT", "ALL", "DEALINGS", "LADDER", "Behaviour", "Dealing", "Scene"]
