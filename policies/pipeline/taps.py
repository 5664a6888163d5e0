"""What is copied to the controller for the analyzer, and which meter limits the copies of each port.

A meter of a copy stands in the action that makes it (`controller(meter_id=...)`), so what is over its rate is not
copied and goes on all the same. Each port has its own meters, so what one VM sends costs no other VM its copies; their
rates share what a VFN may copy, so that all of them together cannot flood the controller either.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from runtime.settings import TapSettings

_PORT_BITS = 15


@dataclass(frozen=True)
class Taps:
    """What is copied besides the packets that open TCP connections."""

    dns: bool = True
    """Questions for names where they enter, and answers where they go out to a VM."""
    bindings: bool = True
    """What DHCP servers say, and ARP that the guard drops: who claims to be at which address."""
    first_payload: tuple[int, ...] = ()
    """TCP ports where what clients say first is copied, for the name of the server in it."""

    @classmethod
    def of(cls, settings: TapSettings) -> Taps:
        """What the settings ask for; DNS over TCP has its own place."""
        ports = sorted(set(settings.first_payload_ports) - {53}) if settings.first_payload else ()
        return cls(settings.dns, settings.bindings, tuple(ports))


class CopyMeter(IntEnum):
    """Kinds of copies that are limited apart. The numbers below them are those of VMs, for their connections."""

    OPENINGS = 2
    NAMES = 3
    HELLOS = 4
    PAYLOAD = 5

    def of(self, port: int) -> int:
        """Number of a port's meter of this kind.

        Ports of a bridge are numbered from 1 on; those that somebody numbered beyond 32,767 share one. Open vSwitch has
        2^18 meters.
        """
        return self << _PORT_BITS | (port if port < 1 << _PORT_BITS else 0)

    def port(self, meter: int) -> int | None:
        """The port of a meter; None: it is not of this kind."""
        return meter & (1 << _PORT_BITS) - 1 if meter >> _PORT_BITS == self else None


class PortMeters(NamedTuple):
    """Numbers of the meters of one port's copies."""

    openings: int
    names: int
    hellos: int

    @classmethod
    def of(cls, port: int) -> PortMeters:
        """Those of a port number."""
        return cls(CopyMeter.OPENINGS.of(port), CopyMeter.NAMES.of(port), CopyMeter.HELLOS.of(port))


def copy_meters(ports: Collection[int], copies_per_second: int, taps: Taps) -> dict[int, int]:
    """Packets per second by meter, where these ports share what their VFN may copy of each kind.

    Args:
        ports: numbers of the ports of its VMs and of the outside.
        copies_per_second: of each kind, of all of them.
        taps: what is copied.
    """
    share = max(1, copies_per_second // max(1, len(ports)))
    kinds = [CopyMeter.OPENINGS]
    if taps.dns or taps.bindings:
        kinds.append(CopyMeter.NAMES)
    if taps.first_payload:
        kinds.append(CopyMeter.HELLOS)
    return {kind.of(port): share for kind in kinds for port in ports}
