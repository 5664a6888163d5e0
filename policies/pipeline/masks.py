"""What keeps the masks of the data path's cache few, so that nobody can slow it down with crafted headers.

Open vSwitch caches a decision under a mask of what was looked at. Of ports it looks at prefixes: as many bits as it
takes to see that no rule fits. Where both ports are looked at, whoever chooses them chooses among 17 x 17 masks, and
each packet may have to be tried under every one (Csikor et al., "Tuple Space Explosion", CoNEXT 2019; CVE-2019-25076).
There both ports are made exact instead. IPv4 needs nothing: NetFlow makes its 5-tuples exact.
"""

from __future__ import annotations

from policies.entries import Copy
from policies.pipeline.tables import SCTP, TCP, UDP

PORTED = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
"""Field names' beginnings of the protocols that have ports, by protocol number."""


def exact_ports(protocol: int) -> tuple[Copy, ...]:
    """Steps that change nothing, after which what is cached holds for these ports only: copies onto themselves."""
    name = PORTED[protocol]
    return tuple(Copy(f"{name}_{end}", f"{name}_{end}") for end in ("src", "dst"))
