"""Addresses and their names, as each VM was told them.

An answer counts only from a resolver that VMs are meant to ask, and only while the VM's own question for that name is
open there: so nobody else can put a name on an address.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from analyzer.dns.events import Events, Kind
from analyzer.dns.message import DnsMessage
from topology.model import Address

OPEN_SECONDS = 10.0
"""An answer that comes later counts for nothing; clients have given up by then (RFC 1035 4.2.1, resolv.conf(5))."""
MOST_OPEN = 512
"""Questions of a VM that are open; the oldest is forgotten for another."""
MOST_NAMES = 200_000
"""Names of all VMs together: each VM has an equal share of them, so none can make another's be forgotten."""
FEWEST_NAMES = 16


class Source(StrEnum):
    """Who says that an address has a name."""

    DNS = "dns"
    """A resolver."""
    TLS = "tls"
    """The VM, to the server (SNI)."""
    HTTP = "http"
    """The VM, to the server (Host)."""


@dataclass(frozen=True)
class Named:
    """An address as a VM knows it."""

    address: Address
    name: str
    source: Source
    first: float
    """Epoch seconds when it was first called so; `last`: when most recently."""
    last: float
    expires: float
    """Until then the resolver vouched for it; of other sources, the time of `last`."""


@dataclass(frozen=True)
class Exchange:
    """Where a message came from and went: the VM's end and the server's."""

    vm: int
    port: int
    """The VM's UDP or TCP port."""
    server: Address
    over_tcp: bool


_Question = tuple[int, Address, bool, int, int, str]


class PassiveDns:
    """What the VMs asked, and what they were told.

    Args:
        resolvers: addresses of those whose answers count.
        vms: how many VMs there may be.
        salt: of hashes; secret in a live network.
    """

    def __init__(self, resolvers: Collection[Address], vms: int, salt: int) -> None:
        self._resolvers = frozenset(resolvers)
        self._share = max(FEWEST_NAMES, MOST_NAMES // max(1, vms))
        self._open: dict[int, OrderedDict[_Question, float]] = {}
        self._names: dict[int, OrderedDict[Address, Named]] = {}
        self.events = Events(salt)
        self.questions = 0
        self.answers = 0
        self.unasked = 0

    def asked(self, time: float, exchange: Exchange, message: DnsMessage) -> None:
        """A VM has asked."""
        self.questions += 1
        waiting = self._open.setdefault(exchange.vm, OrderedDict())
        waiting[_question(exchange, message)] = time
        if len(waiting) > MOST_OPEN:
            waiting.popitem(last=False)
        self._note(time, Kind.QUESTION, exchange, message)

    def answered(self, time: float, exchange: Exchange, message: DnsMessage) -> bool:
        """A VM was told something; False when it had not asked, or not this one."""
        since = self._open.get(exchange.vm, OrderedDict()).pop(_question(exchange, message), None)
        if since is None or time > since + OPEN_SECONDS:
            self.unasked += 1
            self._note(time, Kind.UNASKED, exchange, message)
            return False
        self.answers += 1
        self._note(time, Kind.ANSWER, exchange, message)
        if exchange.server in self._resolvers:
            for address in message.addresses:
                self.call(time, exchange.vm, address, message.name, Source.DNS, message.ttl)
        return True

    def call(self, time: float, vm: int, address: Address, name: str, source: Source, ttl: int = 0) -> None:
        """An address has a name for a VM. While what a resolver says holds, the VM does not overrule it."""
        names = self._names.setdefault(vm, OrderedDict())
        known = names.get(address)
        if known is not None and source is not Source.DNS and known.source is Source.DNS and time <= known.expires:
            return
        first = known.first if known is not None and (known.name, known.source) == (name, source) else time
        names[address] = Named(address, name, source, first, time, time + ttl)
        names.move_to_end(address)
        if len(names) > self._share:
            names.popitem(last=False)

    def name_of(self, vm: int, address: Address) -> str | None:
        """What a VM knows an address by: the latest name, which an open connection goes on with after its expiry."""
        names = self._names.get(vm)
        return names[address].name if names is not None and address in names else None

    def anybodys_name_of(self, address: Address) -> str | None:
        """The latest name that any VM knows an address by, from a resolver."""
        found = (names[address] for names in self._names.values() if address in names)
        latest = max((n for n in found if n.source is Source.DNS), key=lambda named: named.last, default=None)
        return None if latest is None else latest.name

    def names(self, vm: int) -> Iterator[Named]:
        """All that a VM knows, newest first."""
        return reversed(self._names.get(vm, OrderedDict()).values())

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))

    def _note(self, time: float, kind: Kind, exchange: Exchange, message: DnsMessage) -> None:
        resolver = exchange.server in self._resolvers
        self.events.add(time, exchange.vm, kind, message, exchange.server, resolver=resolver)


def _question(exchange: Exchange, message: DnsMessage) -> _Question:
    """What an answer must repeat."""
    return exchange.port, exchange.server, exchange.over_tcp, message.id, message.qtype, message.name
