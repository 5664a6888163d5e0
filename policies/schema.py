"""The keys of a policy file. Scalars arrive as text (`runtime.document`); here they become values."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from policies.acl import DEFAULT_RANK, MAX_LISTS, MAX_RANK, Mode, PortRange
from policies.rules import Network, Protocol
from topology.model import OUTSIDE

ANY = "any"
MAX_PORT = 65535
MAX_RULES = 100_000
INLINE, NAMED = "<inline>", "<named>"
"""How pydantic tells the two ways to write a service apart in the paths of its errors; no name has such characters."""


def _network(value: Any) -> Network:
    text = str(value).strip()
    try:
        return ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{text!r} has bits beyond its length; write {ip_network(text, strict=False)}") from None
        raise ValueError(f"{text!r} is no address or network; write one such as 192.0.2.0/24 or 2001:db8::1") from None


def _port_range(value: Any) -> PortRange:
    """`443`, or `8000-8099`."""
    text = str(value).strip()
    parts = [part.strip() for part in text.split("-")]
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):
        raise ValueError(f"{text!r} is no port or range; write 443 or 8000-8099")
    first, last = int(parts[0]), int(parts[-1])
    if not (0 < first <= MAX_PORT and 0 < last <= MAX_PORT):
        raise ValueError(f"{text!r} is out of range; ports are 1 .. {MAX_PORT}")
    if first > last:
        raise ValueError(f"{text!r} is upside down; write {last}-{first}")
    return first, last


def _peer(value: Any) -> Any:
    """The words `any` and `outside` as the mappings that they stand for."""
    if value == ANY:
        return {}
    if value == OUTSIDE:
        return {"segment": OUTSIDE}
    if isinstance(value, dict):
        if len(value) != 1:
            raise ValueError("names not one thing; write one of segment, vm, networks, list, or the word any")
        return value
    raise ValueError(
        f"{value!r} is no end; write {{segment: x}}, {{vm: x}}, {{networks: [x]}}, {{list: x}}, any, outside"
    )


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _empty_is(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value is None else value)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Networks = tuple[Annotated[Network, BeforeValidator(_network)], ...]
Ports = Annotated[
    tuple[Annotated[PortRange, BeforeValidator(_port_range)], ...], Field(min_length=1), BeforeValidator(_one_or_many)
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ServiceDoc(_Part):
    """A protocol and its ports."""

    protocol: Protocol
    ports: Ports = ()
    """Destination ports: numbers and ranges; all by default."""
    source_ports: Ports = ()


class ListDoc(_Part):
    """A set of addresses and prefixes."""

    networks: Networks = ()
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A file with one prefix a line and comments behind `#`, beside the policy's."""


class PeerDoc(_Part):
    """One end of a rule; nothing: any."""

    segment: Name | None = None
    vm: Name | None = None
    networks: Annotated[Networks, Field(min_length=1)] | None = None
    list: Name | None = None


PeerValue = Annotated[PeerDoc, BeforeValidator(_peer)]
ServiceValue = Annotated[
    Annotated[ServiceDoc, Tag(INLINE)] | Annotated[Name, Tag(NAMED)],
    Discriminator(lambda value: NAMED if isinstance(value, str) else INLINE),
]


class RuleDoc(_Part):
    """One rule."""

    name: Name
    action: Literal["allow", "deny"]
    source: Annotated[PeerValue, Field(alias="from")]
    destination: Annotated[PeerValue, Field(alias="to")]
    service: Annotated[tuple[ServiceValue, ...], Field(min_length=1), BeforeValidator(_one_or_many)] = ()
    """Names of services, or services; all traffic by default."""
    mode: Mode = Mode.ENFORCE
    priority: Annotated[int, Field(ge=0, le=MAX_RANK)] = DEFAULT_RANK
    """The higher one decides; at the same priority the deny."""
    tier: Literal["policy", "operator", "emergency"] = "policy"


class PolicyDoc(_Part):
    """The whole file."""

    services: Annotated[
        dict[Name, Annotated[tuple[ServiceDoc, ...], BeforeValidator(_one_or_many), Field(min_length=1)]], _empty_is({})
    ] = {}
    lists: Annotated[dict[Name, ListDoc], Field(max_length=MAX_LISTS), _empty_is({})] = {}
    rules: Annotated[tuple[RuleDoc, ...], Field(max_length=MAX_RULES), _empty_is(())] = ()
