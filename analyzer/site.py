"""The network that a recording is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from analyzer.flows import MAC_PREFIX, address_halves
from runtime.errors import DynsegError

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
SEGMENT = 1
"""Number of the one segment that all internal hosts of a recording are in."""


class FlowFileError(DynsegError):
    """A file of recorded flows is not as it has to be."""


@dataclass
class Site:
    """The network a recording is of: which addresses are inside, and their VM numbers in order of appearance."""

    networks: Sequence[IPv4Network | IPv6Network]
    names: list[str] = field(default_factory=lambda: [""])
    """Address of each VM number."""
    _numbers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, internal: Sequence[str]) -> Site:
        """From CIDRs; none: the private ranges.

        Raises:
            FlowFileError: not a network.
        """
        try:
            return cls([ip_network(text) for text in internal or PRIVATE])
        except ValueError as error:
            raise FlowFileError(str(error), key="--internal", remedy="give networks such as 10.0.0.0/8") from error

    def inside(self, text: str) -> bool:
        """Is it an address of this site? A MAC always is."""
        if address_halves(text)[0] == MAC_PREFIX:
            return True
        address = ip_address(text)
        return any(address in network for network in self.networks)

    def number(self, text: str) -> int:
        """VM number of an internal address."""
        if text not in self._numbers:
            self._numbers[text] = len(self.names)
            self.names.append(text)
        return self._numbers[text]
