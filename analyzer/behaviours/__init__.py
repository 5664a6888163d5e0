"""Explicit behaviours, one detector a file. `ALL` is what the analyzer asks, in no order that matters."""

from analyzer.behaviours.base import ALERT, LADDER, Behaviour, Dealing, Scene
from analyzer.behaviours.beacon import Beacon
from analyzer.behaviours.bruteforce import BruteForce
from analyzer.behaviours.callback import Callback
from analyzer.behaviours.contact import FirstContact
from analyzer.behaviours.dnsstorm import DnsStorm
from analyzer.behaviours.failed import FailedBurst
from analyzer.behaviours.flood import FloodSource, FloodVictim, OpeningFlood
from analyzer.behaviours.guessing import Guessing
from analyzer.behaviours.hammering import Hammering
from analyzer.behaviours.knock import Knocking
from analyzer.behaviours.lateral import Lateral
from analyzer.behaviours.newedge import NewEdge
from analyzer.behaviours.oddnames import AbsentNames, CodedNames
from analyzer.behaviours.probing import Probing
from analyzer.behaviours.scan import Scan
from analyzer.behaviours.searching import Searching
from analyzer.behaviours.service import FirstSeenService
from analyzer.behaviours.spoof import Spoofing
from analyzer.behaviours.strangedoor import StrangeDoor
from analyzer.behaviours.tunnel import DnsTunnel
from analyzer.behaviours.uninvited import Uninvited
from analyzer.behaviours.volume import OutboundVolume
from analyzer.behaviours.worm import Worm

ALL: tuple[Behaviour, ...] = (
    Scan(), Searching(), Worm(), BruteForce(), Guessing(), Hammering(), Lateral(), NewEdge(), Beacon(), Callback(),
    DnsTunnel(), DnsStorm(), CodedNames(), AbsentNames(), Probing(), OutboundVolume(), FloodSource(), OpeningFlood(),
    FloodVictim(), Spoofing(), Knocking(), Uninvited(), StrangeDoor(), FirstContact(), FirstSeenService(),
    FailedBurst(),
)  # fmt: skip
DEALINGS = tuple(behaviour for behaviour in ALL if isinstance(behaviour, Dealing))

__all__ = ["ALERT", "ALL", "DEALINGS", "LADDER", "Behaviour", "Dealing", "Scene"]
