"""What control asks on behalf of people: the parameters of each method, checked, and how its answer looks.

Errors are `{"error", "remedy"}` with the HTTP status; nothing here decides about a rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from policies.admission import Ground, Refused
from policies.controls import StepAction
from policies.lifecycle import RuleRecord
from policies.prefixes import network
from policies.rules import Action, Mode, Network, Peer, Protocol, RuleState, Scope, SegmentationRule
from policies.schema import MAX_CHARACTERS
from runtime.errors import PolicyError
from runtime.validation import in_words, most_telling, readable
from topology.names import nearest

Answer = tuple[int, Any]
"""(HTTP status, JSON value)."""


class MissingError(PolicyError):
    """What is asked about is not there."""


@dataclass(frozen=True)
class Later:
    """An answer that takes long: `work` may be done aside, `then` makes the answer of its result."""

    work: Callable[[], Any]
    then: Callable[[Any], Answer]
    slow: bool = False
    """Does it take so long that other answers must not wait behind it?"""


def _network(value: Any) -> Network:
    return network(str(value))


def _absolute(folder: Path) -> Path:
    if not folder.is_absolute():
        raise ValueError(f"{str(folder)!r} is no absolute path")
    return folder


Name = Annotated[str, Field(min_length=1, max_length=64)]
Net = Annotated[Network, BeforeValidator(_network)]
Seconds = Annotated[float, Field(gt=0, le=10 * 366 * 86400, allow_inf_nan=False)]
Reason = Annotated[str, Field(max_length=500), AfterValidator(readable)]
Moment = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]
Version = Annotated[int, Field(ge=1, lt=1 << 31)]
Rate = Annotated[int, Field(ge=1, le=10_000_000)]
"""Packets per second."""
BaseVersion = Annotated[int, Field(ge=0, lt=1 << 31)]
"""The version that a change was made from: refused when another is in force by then."""


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Params):
    """No parameters."""


class VmParams(_Params):
    """A VM."""

    name: Name


class RuleParams(_Params):
    """A rule."""

    id: Name


class RulesParams(_Params):
    """Rules of a state, or all."""

    state: RuleState | None = None


class AuditParams(_Params):
    """A part of the audit log."""

    after: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    kind: Name | None = None


class IsolateParams(_Params):
    """Isolation of a VM by a person."""

    name: Name
    scope: Scope = Scope.ALL
    seconds: Seconds | None = None
    """How long; without it until released."""
    reason: Reason = ""


class PeerParams(_Params):
    """Whom a restricted VM may still exchange packets with."""

    net: Net
    protocol: Protocol = Protocol.ANY
    port: Annotated[int, Field(ge=1, le=65535)] | None = None

    @property
    def peer(self) -> Peer:
        """The same as a value of rules."""
        return Peer(self.net, self.protocol, self.port)


Peers = Annotated[tuple[PeerParams, ...], Field(max_length=1000)]


class _Steps(_Params):
    """The fields of rules about what one VM or address may go on doing."""

    source_vm: Name | None = None
    source_ip: Net | None = None
    segment: Name | None = None
    scope: Scope = Scope.ALL
    rate: Rate | None = None
    """Of `rate_limit`: packets per second; as set for the network by default."""
    peers: Peers = ()
    """Of `restrict`."""
    target: Name | None = None
    """Of `steer`."""
    mirror: bool = False
    """Of `steer`: a copy goes to the target, and the traffic its way."""
    mode: Mode = Mode.ENFORCE

    def steps(self) -> dict[str, Any]:
        """These as fields of a `SegmentationRule`."""
        own = {name: getattr(self, name) for name in _Steps.model_fields}
        return {**own, "peers": tuple(one.peer for one in self.peers)}


class CreateParams(_Steps):
    """A segmentation rule as a person writes it: the fields of its action, and how long and why."""

    action: Action
    destination_vm: Name | None = None
    port: int | None = None
    protocol: Protocol = Protocol.ANY
    seconds: Seconds | None = None
    reason: Reason = ""

    def rule(self, identity: str, issuer: str, now: float) -> SegmentationRule:
        """The rule, issued at `now` (epoch seconds)."""
        return SegmentationRule(
            identity,
            self.action,
            issuer,
            now,
            **self.steps(),
            destination_vm=self.destination_vm,
            port=self.port,
            protocol=self.protocol,
            reasons=(self.reason,) if self.reason else (),
            expires=None if self.seconds is None else now + self.seconds,
        )


class ConsentsParams(_Params):
    """Consents to payload inspection."""

    all: bool = False
    """Those that are over, too."""


class WithdrawParams(_Params):
    """A consent that is to end."""

    id: Name
    reason: Reason = ""


class ProposeParams(_Steps):
    """A segmentation rule as the analyzer proposes it."""

    proposal: int
    action: Action
    risk: Annotated[float, Field(ge=0, le=100)]
    reasons: tuple[str, ...] = ()
    behaviour: Annotated[str, Field(max_length=64)] = ""
    evidence_time: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    ordinary: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of its segment's ordinary traffic that it would stop."""

    def rule(self, identity: str, issuer: str, now: float) -> SegmentationRule:
        """The rule, issued at `now` (epoch seconds); how long it holds is for admission to say."""
        return SegmentationRule(
            identity,
            self.action,
            issuer,
            now,
            **self.steps(),
            risk=self.risk,
            reasons=self.reasons,
            behaviour=self.behaviour,
            evidence_time=self.evidence_time,
            ordinary=self.ordinary,
        )


class CalmParams(_Params):
    """The end of what rules answered."""

    vm: Name | None = None
    address: Net | None = None
    since: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.vm is None) == (self.address is None):
            raise ValueError("give `vm` or `address`")
        return self


class ReleaseParams(_Params):
    """A rule that is to end."""

    id: Name
    reason: Reason = ""
    false_alarm: bool = False
    """It answered nothing bad: no probation, and no offence remembered."""


class DecideParams(_Params):
    """Yes or no to a rule that waits."""

    id: Name
    reason: Reason = ""


class HoldParams(_Params):
    """The switch that holds all automatic action."""

    on: bool
    reason: Reason = ""


class ModesParams(_Params):
    """What becomes of automatic rules; what is not named stays, null is as the settings say."""

    overall: Mode | None = None
    segments: dict[Name, Mode | None] = {}
    actions: dict[StepAction, Mode | None] = {}


class PolicyParams(_Params):
    """A version of the policy; the one in force by default."""

    version: Version | None = None


class HistoryParams(_Params):
    """Versions of the policy, newest first."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    before: Version | None = None


class DiffParams(_Params):
    """Two versions; the one in force by default."""

    from_version: Annotated[Version, Field(alias="from")]
    to_version: Annotated[Version | None, Field(alias="to")] = None


class RollbackParams(_Params):
    """An earlier version that is to be in force again."""

    version: Version
    base_version: BaseVersion | None = None
    reason: Reason = ""


class LayDownParams(_Params):
    """A policy, as YAML text or as the JSON of the same keys."""

    text: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    policy: dict[str, Any] | None = None
    folder: Annotated[Path, AfterValidator(_absolute)] = Path("/")
    """Where relative paths of lists begin."""
    file: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(readable)] = "policy"
    """What errors call the text."""
    base_version: BaseVersion | None = None
    reason: Reason = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.policy is None):
            raise ValueError("give `text` (YAML) or `policy` (JSON)")
        return self

    @property
    def document(self) -> str:
        """The text to be kept. JSON is YAML."""
        return self.text if self.text is not None else json.dumps(self.policy, indent=1)


class SimulateParams(_Params):
    """A policy, or one rule, to be tried out on recorded flows. Times are epoch seconds."""

    text: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    policy: dict[str, Any] | None = None
    rule: CreateParams | None = None
    folder: Annotated[Path, AfterValidator(_absolute)] = Path("/")
    since: Moment | None = None
    """Flows that ended then or later; a day ago by default."""
    until: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """Groups of flows at most."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.text, self.policy, self.rule)) != 1:
            raise ValueError("give one of `text` (YAML), `policy` (JSON) and `rule`")
        return self


class DryRunParams(CreateParams):
    """A segmentation rule to be tried out on recorded flows. Times are epoch seconds, as in `SimulateParams`."""

    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100

    @property
    def simulation(self) -> SimulateParams:
        """The same as a simulation of one rule."""
        rule = CreateParams(**{name: getattr(self, name) for name in CreateParams.model_fields})
        return SimulateParams(rule=rule, since=self.since, until=self.until, limit=self.limit)


class ExplainParams(_Params):
    """A packet, and what switches say that they would do with it."""

    source: Name
    """A VM, or an address."""
    destination: Name
    protocol: Literal[Protocol.TCP, Protocol.UDP, Protocol.SCTP, Protocol.ICMP] = Protocol.TCP
    port: Annotated[int, Field(ge=0, le=65535)] = 80
    """Of the destination."""
    source_port: Annotated[int, Field(ge=0, le=65535)] = 50000
    answer: bool = False
    """Does it come from the other end of a connection that stands already?"""
    source_address: Name | None = None
    """What the packet says of its sender, if that is not so."""
    traces: dict[str, dict[str, str]] = {}
    """By VFN: `text` of `ofproto/trace`, or `error`: why there is none."""


Method = tuple[type[BaseModel], Callable[[Any, str], Answer | Later]]


def call(methods: Mapping[str, Method], method: str, params: Mapping[str, Any], actor: str) -> Answer | Later:
    """Carry out a method after checking its parameters."""
    if method not in methods:
        return problem(404, f"the engine has no method {method!r}", nearest(method, methods))
    model, function = methods[method]
    try:
        checked = model.model_validate(params)
    except ValidationError as error:
        return _explain(error, model)
    try:
        return function(checked, actor)
    except PolicyError as error:
        return meaningless(error)


def rule_of(fields: Any, identity: str, now: float) -> SegmentationRule:
    """The rule of a person's fields, as `CreateParams` has them; nobody's in particular.

    Raises:
        PolicyError: a field is unknown, missing or wrong.
    """
    try:
        return CreateParams.model_validate(fields).rule(identity, "nobody", now)
    except ValidationError as error:
        _, told = _explain(error, CreateParams)
        raise PolicyError(told["error"], remedy=told["remedy"]) from error


def problem(status: int, error: str, remedy: str, **more: Any) -> Answer:
    """An answer that says what is wrong."""
    return status, {"error": error, "remedy": remedy, **more}


def meaningless(error: PolicyError) -> Answer:
    """The answer to what cannot mean anything here, or is not there, with its place."""
    status = 404 if isinstance(error, MissingError) else 400
    return problem(status, str(error).removesuffix(f" ({error.remedy})"), error.remedy or "correct it")


def refusal(refused: Refused) -> Answer:
    """The answer to a rule that is refused: 400 for one that means nothing, else 409."""
    status = 400 if refused.ground is Ground.MEANINGLESS else 409
    more = {} if refused.live_rule is None else {"rule": refused.live_rule}
    return problem(status, refused.reason, refused.remedy, ground=refused.ground, **more)


def rule_json(record: RuleRecord) -> dict[str, Any]:
    """A rule as REST shows it; times are epoch seconds."""
    rule = record.rule
    return {
        "id": rule.id,
        "action": rule.action,
        "state": record.state,
        "issuer": rule.issuer,
        "segment": rule.segment,
        "source_vm": rule.source_vm,
        "scope": rule.scope if rule.source_vm else None,
        "source_ip": None if rule.source_ip is None else str(rule.source_ip),
        "destination_vm": rule.destination_vm,
        "port": rule.port,
        "protocol": rule.protocol if rule.destination_vm else None,
        "mode": rule.mode,
        "rate": rule.rate,
        "peers": [peer.as_json() for peer in rule.peers],
        "target": rule.target,
        "mirror": rule.mirror,
        "behaviour": rule.behaviour,
        "risk": rule.risk,
        "reasons": list(rule.reasons),
        "vfns": list(record.vfns),
        "detail": record.detail,
        "created": rule.created,
        "evidence_time": rule.evidence_time,
        "installed_at": record.installed_at,
        "enforced_at": record.enforced_at,
        "expires": rule.expires,
        "released_at": record.ended_at if RuleState.RELEASED in (record.state, record.becomes) else None,
        "ended_at": record.ended_at,
        "removed_at": record.removed_at,
        "until": record.until,
        "approved_by": None if record.state is RuleState.REFUSED else record.by,
        "offence": record.offence,
    }


def _explain(error: ValidationError, model: type[BaseModel]) -> Answer:
    first = most_telling(error)
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return problem(400, f"{key}: unknown key", nearest(key, model.model_fields))
    if first["type"] == "missing":
        return problem(400, f"{key}: missing", f"give `{key}`")
    message, remedy = in_words(first)
    if not key:
        return problem(400, message, remedy or "see what this request takes in docs/architecture.md")
    return problem(400, f"{key}: {message}", remedy or f"correct `{key}`")
