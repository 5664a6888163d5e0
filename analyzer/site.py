"""The network that a recording is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

import numpy as np

from analyzer.flows import MAC_PREFIX, U8, Bool, address_text, is_v4
from runtime.errors import DynsegError

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_LOW = (1 << 64) - 1
SEGMENT = 1
"""Number of the one segment that all internal hosts of a recording are in."""


class FlowFileError(DynsegError):
    """A file of recorded flows is not as it has to be."""


@dataclass
class Site:
    """The network a recording is of: which addresses are inside, and their VM numbers in order of appearance."""

    networks: Sequence[IPv4Network | IPv6Network]
    names: list[str] = field(default_factory=lambda: [""])
    """Address of each VM number, in its usual spelling."""
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict)

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

    def inside(self, high: U8, low: U8) -> Bool:
        """Which addresses, given by their halves, are of this site? MACs always are."""
        v4, within = is_v4(high, low), high == np.uint64(MAC_PREFIX)
        for network in self.networks:
            base, mask = int(network.network_address), int(network.netmask)
            if network.version == 4:
                within |= v4 & (low & np.uint64(mask) == np.uint64(base))
            else:
                upper, lower = (high & np.uint64(mask >> 64)), (low & np.uint64(mask & _LOW))
                within |= ~v4 & (upper == np.uint64(base >> 64)) & (lower == np.uint64(base & _LOW))
        return np.asarray(within)

    def number(self, high: int, low: int) -> int:
        """VM number of an internal address, given by its halves: however it is spelled, it is one VM."""
        if (high, low) not in self._numbers:
            self._numbers[high, low] = len(self.names)
            self.names.append(address_text(high, low))
        return self._numbers[high, low]
