"""The keys of an inventory file. Scalars arrive as text (`runtime.document`); here they become values."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from runtime.errors import WrongValueError
from topology.addresses import single
from topology.model import Address, Default

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def _mac(value: Any) -> str:
    """A unicast MAC, lower case with colons."""
    text = str(value).strip().lower().replace("-", ":")
    if not _MAC.fullmatch(text):
        raise WrongValueError(f"{value!r} is no MAC address", "write it as 02:00:00:00:01:01")
    if int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise WrongValueError(
            f"{value!r} is no unicast MAC address", "the first byte must be even, and not all be zero"
        )
    return text


def _address(value: Any) -> Address:
    """A unicast IPv4 or IPv6 address."""
    try:
        address = ip_address(str(value).strip())
    except ValueError:
        raise WrongValueError(
            f"{value!r} is no address", "write one IPv4 or IPv6 address without a prefix length"
        ) from None
    if not single(address):
        raise WrongValueError(f"{value!r} cannot be the address of an endpoint", "give a plain unicast address")
    return address


def _dpid(value: Any) -> int:
    """A datapath id: decimal, or hexadecimal with 0x."""
    try:
        number = int(str(value), 0)
    except ValueError:
        raise WrongValueError(f"{value!r} is no datapath id", "write a number such as 17 or 0x11") from None
    if not 0 < number < 1 << 64:
        raise WrongValueError(f"{value!r} is out of range", "a datapath id is 1 .. 2**64-1")
    return number


def _empty_is_default(value: Any) -> Any:
    return {} if value is None else value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Bridge = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")]
Port = Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
Mac = Annotated[str, BeforeValidator(_mac)]
Addresses = tuple[Annotated[Address, BeforeValidator(_address)], ...]


LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,126}$")]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})$")]
Labels = Annotated[dict[LabelKey, LabelValue], BeforeValidator(_empty_is_default)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SegmentDoc(_Part):
    """A segment; its value may be empty."""

    default: Default = "allow"
    """What happens to traffic towards its VMs that no rule decides."""
    outward: Default = "allow"
    """What happens to traffic of its VMs that no rule decides."""
    stateless: bool = False
    """Know answers to connections towards its VMs by what they look like; nothing is kept for each connection."""
    labels: Labels = {}
    """Words about all its VMs (`env: prod`), by which a policy selects."""


class VfnDoc(_Part):
    """An Open vSwitch bridge."""

    dpid: Annotated[int, BeforeValidator(_dpid)]
    """Datapath id."""
    bridge: Bridge | None = None
    """The bridge's name, by default the VFN's."""


class LinkDoc(_Part):
    """A cable between two VFNs."""

    a: Name
    a_port: Port
    b: Name
    b_port: Port


class OutsideDoc(_Part):
    """A port behind which the outside lies."""

    vfn: Name
    port: Port
    mac: Mac
    addresses: Addresses = ()


class VmDoc(_Part):
    """An endpoint."""

    segment: Name
    vfn: Name
    port: Port
    """Interface name at the VFN, or its `external_ids:iface-id`."""
    mac: Mac
    addresses: Addresses
    protected: bool = False
    """No rule takes anything from it, but for a person's limit of its rate."""
    inspection: bool = False
    """Traffic of other VMs may be steered to it: an inspection tool, a decoy."""
    remediation: bool = False
    """VMs that are restricted go on talking to it: DNS, updates, repair."""
    labels: Labels = {}
    """Words about it (`app: shop`), over those of its segment."""


class InventoryDoc(_Part):
    """The whole file."""

    # 65535 is the segment register's value for broadcast; NetFlow has 16 bits for a VFN's number.
    segments: Annotated[
        dict[Name, Annotated[SegmentDoc, BeforeValidator(_empty_is_default)]], Field(min_length=1, max_length=65534)
    ]
    vfns: Annotated[dict[Name, VfnDoc], Field(min_length=1, max_length=65536)]
    links: Annotated[tuple[LinkDoc, ...], BeforeValidator(lambda value: () if value is None else value)] = ()
    vms: Annotated[dict[Name, VmDoc], BeforeValidator(_empty_is_default)] = {}
    outside: Annotated[dict[Name, OutsideDoc], BeforeValidator(_empty_is_default)] = {}
