"""The keys of a policy file. Scalars arrive as text (`runtime.document`); here they become values.

What an editor is told of them is made of the same models (`json_schema`, docs/policy.schema.json).
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    WrapSerializer,
    model_validator,
)

from policies.acl import DEFAULT_RANK, MAX_LISTS, MAX_RANK, Mode, PortRange
from policies.prefixes import network
from policies.rules import Network, Protocol
from policies.terms import DAYS, epoch_seconds, moment
from runtime.errors import WrongValueError
from runtime.validation import readable
from topology.model import OUTSIDE
from topology.names import nearest
from topology.schema import LabelKey, LabelValue

ANY = "any"
_ENDS = "{segment: x}, {vm: x}, {labels: {key: value}}, {networks: [x]}, {list: x}, any, outside"
MAX_PORT = 65535
MAX_RULES = 100_000
MAX_CHARACTERS = 2 << 20
"""Of a policy's text: what is longer is refused unread. Addresses by the million go into files of lists."""
INLINE, NAMED = "<inline>", "<named>"
"""How pydantic tells the two ways to write a service apart in the paths of its errors; no name has such characters."""


def _network(value: Any) -> Network:
    return network(str(value))


def _port_range(value: Any) -> PortRange:
    """`443`, or `8000-8099`."""
    text = str(value).strip()
    parts = [part.strip() for part in text.split("-")]
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):
        raise WrongValueError(f"{text!r} is no port or range", "write 443 or 8000-8099")
    first, last = int(parts[0]), int(parts[-1])
    if not (0 < first <= MAX_PORT and 0 < last <= MAX_PORT):
        raise WrongValueError(f"{text!r} is out of range", f"ports are 1 .. {MAX_PORT}")
    if first > last:
        raise WrongValueError(f"{text!r} is upside down", f"write {last}-{first}")
    return first, last


def _peer(value: Any) -> Any:
    """The words `any` and `outside` as the mappings that they stand for."""
    if value == ANY:
        return {}
    if value == OUTSIDE:
        return {"segment": OUTSIDE}
    if isinstance(value, dict):
        if len(value) != 1 and value.keys() != {"segment", "labels"}:
            raise WrongValueError(
                "names not one thing", "write one of segment, vm, labels, networks, list, or the word any"
            )
        return value
    raise WrongValueError(f"{value!r} is no end", f"write {_ENDS}")


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _moment(value: Any) -> float:
    """A time with its zone, as epoch seconds."""
    return epoch_seconds(str(value).strip())


def _hour(value: Any) -> time:
    text = str(value).strip()
    try:
        return time(0) if text == "24:00" else datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of any day
    except ValueError:
        raise WrongValueError(f"{text!r} is no hour", "write one such as 08:00") from None


def _days(value: Any) -> frozenset[int]:
    """`mon`, `mon-fri`, or a list of them."""
    found: set[int] = set()
    for part in _one_or_many(value):
        first, dash, last = (word.strip().lower() for word in str(part).partition("-"))
        ends = (first, last if dash else first)
        for word in ends:
            if word not in DAYS:
                raise WrongValueError(
                    f"{part!r} is no day", f"write mon, tue ... sun, or mon-fri; {nearest(word, DAYS)}"
                )
        begin, end = (DAYS.index(word) for word in ends)
        found |= {day % len(DAYS) for day in range(begin, end + 1 + len(DAYS) * (end < begin))}
    return frozenset(found)


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(value).strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongValueError(f"{value!r} is no time zone", "write one such as UTC or Europe/Berlin") from None


def _empty_is(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value is None else value)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
_Text = Annotated[str, Field(max_length=1000), AfterValidator(readable)]
_NETWORK = {"type": "string", "examples": ["192.0.2.0/24", "2001:db8::1"]}
_PORTS = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_PORT}, {"type": "string"}]}
_DAY = {"type": "string", "examples": ["mon", "mon-fri"]}
Networks = tuple[Annotated[Network, BeforeValidator(_network), WithJsonSchema(_NETWORK)], ...]
Ports = Annotated[
    tuple[
        Annotated[
            PortRange,
            BeforeValidator(_port_range),
            PlainSerializer(lambda ends: ends[0] if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"),
            WithJsonSchema(_PORTS),
        ],
        ...,
    ],
    Field(min_length=1),
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [*_PORTS["anyOf"], {"type": "array", "items": _PORTS, "minItems": 1}]}),
]
Moment = Annotated[
    float,
    BeforeValidator(_moment),
    PlainSerializer(moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Hour = Annotated[
    time,
    BeforeValidator(_hour),
    PlainSerializer(lambda hour: f"{hour:%H:%M}"),
    WithJsonSchema({"type": "string", "examples": ["08:00", "18:30"]}),
]
Days = Annotated[
    frozenset[int],
    BeforeValidator(_days),
    PlainSerializer(lambda days: [DAYS[day] for day in sorted(days)]),
    WithJsonSchema({"anyOf": [_DAY, {"type": "array", "items": _DAY, "minItems": 1}]}),
]
Zone = Annotated[
    ZoneInfo,
    BeforeValidator(_zone),
    PlainSerializer(lambda zone: zone.key),
    WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Berlin"]}),
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


LabelValues = Annotated[
    tuple[LabelValue, ...],
    Field(min_length=1),
    BeforeValidator(_one_or_many, json_schema_input_type=LabelValue | list[LabelValue]),
]
Labels = dict[LabelKey, LabelValues]


class PeerDoc(_Part):
    """One end of a rule; nothing: any."""

    segment: Name | None = None
    vm: Name | None = None
    networks: Annotated[Networks, Field(min_length=1)] | None = None
    list: Name | None = None
    labels: Annotated[Labels, Field(min_length=1)] | None = None
    """VMs with all of these labels; of a key, one of several values; together with `segment`: of that segment."""


PeerValue = Annotated[
    PeerDoc,
    BeforeValidator(_peer, json_schema_input_type=PeerDoc | Literal["any", "outside"]),
    WrapSerializer(lambda peer, plain: plain(peer) if peer != PeerDoc() else ANY),
]
ServiceValue = Annotated[
    Annotated[ServiceDoc, Tag(INLINE)] | Annotated[Name, Tag(NAMED)],
    Discriminator(lambda value: NAMED if isinstance(value, str) else INLINE),
]


class ScheduleDoc(_Part):
    """When a rule is in force, every week anew."""

    days: Days = frozenset(range(len(DAYS)))
    """On which it begins; every day by default."""
    begins: Annotated[Hour, Field(alias="from")] = time(0)
    ends: Annotated[Hour, Field(alias="to")] = time(0)
    """An end that is not later than `from` is on the next day."""
    timezone: Zone = ZoneInfo("UTC")

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.begins == self.ends != time(0):
            raise WrongValueError("begins and ends at the same time", "leave `from` and `to` out for the whole day")
        return self


class RuleDoc(_Part):
    """One rule."""

    name: Name
    action: Literal["allow", "deny"]
    source: Annotated[PeerValue, Field(alias="from")]
    destination: Annotated[PeerValue, Field(alias="to")]
    service: Annotated[
        tuple[ServiceValue, ...],
        Field(min_length=1),
        BeforeValidator(_one_or_many, json_schema_input_type=ServiceValue | list[ServiceValue]),
    ] = ()
    """Names of services, or services; all traffic by default."""
    mode: Mode = Mode.ENFORCE
    priority: Annotated[int, Field(ge=0, le=MAX_RANK)] = DEFAULT_RANK
    """The higher one decides; at the same priority the deny."""
    tier: Literal["policy", "operator", "emergency"] = "policy"
    """`operator` and `emergency` also hold for answers and address resolution."""
    owner: _Text | None = None
    """Whom to ask about it."""
    comment: _Text | None = None
    """Why it is there."""
    expires: Moment | None = None
    """When it ends by itself: a time with its zone."""
    schedule: ScheduleDoc | None = None
    """At which hours it is in force; always by default."""


_Service = Annotated[
    tuple[ServiceDoc, ...],
    BeforeValidator(_one_or_many, json_schema_input_type=ServiceDoc | list[ServiceDoc]),
    Field(min_length=1),
]


class PolicyDoc(_Part):
    """The whole file."""

    base_version: Annotated[int, Field(ge=0, lt=1 << 31)] | None = None
    """The version that this text was made from: it is refused when another is in force by then."""
    services: Annotated[dict[Name, _Service], _empty_is({})] = {}
    lists: Annotated[dict[Name, ListDoc], Field(max_length=MAX_LISTS), _empty_is({})] = {}
    rules: Annotated[tuple[RuleDoc, ...], Field(max_length=MAX_RULES), _empty_is(())] = ()


def plain(doc: PolicyDoc) -> dict[str, Any]:
    """A document as JSON values that mean the same when they are read again; what is as by default is left out."""
    return doc.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def json_schema() -> dict[str, Any]:
    """The keys as JSON Schema (draft 2020-12), for editors. What parts must be to each other it does not say."""
    made = PolicyDoc.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "dynseg policy"}
