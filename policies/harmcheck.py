"""Takes back what does harm: rules, and versions of the policy, that keep ordinary traffic from passing.

The analyzer tells of ordinary flows that were dropped (`ordinary_denied`). Who answers for them is found aside
(`policies.impact.blame`); when they are more than the budget, the rule is rolled back, or the version before is laid
down again, or somebody is asked, as the settings say; the audit log has the flows (`harm`). Who puts the same in force
once more means it, and is left alone.

Of IPv6 flows VFNs do not say whether they dropped them. The analyzer tells of those that nobody answered; they count
where a rule drops them that every VFN had by then: what such a rule drops cannot have passed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress

from policies import harm
from policies.book import ENGINE
from policies.harm import Budget, Denied, Harm, Subject
from policies.impact.blame import blame
from policies.impact.tally import Rules
from policies.ladder import automatic
from policies.policybook import EMPTY, ConflictError, Draft, recalled
from policies.rules import RuleState, SegmentationRule
from policies.versions import PolicyVersion
from policies.views import sums
from runtime.errors import PolicyError
from runtime.settings import HarmSettings

if TYPE_CHECKING:
    from policies.engine import Engine, Outgoing

LOG = logging.getLogger("dynseg.engine")
ROLLED_BACK, ASKED, INSISTED = "rolled back", "asked", "insisted"
_REMEMBERED = 1000
"""Harm that is remembered outside of the audit log."""
_LOOKED_BACK = 100
"""Versions, and rules that were rolled back, that are searched for one that was taken back before."""
_Number = Annotated[int, Field(ge=0, le=65535)]
_Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Flow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source_vm: str | None
    destination_vm: str | None
    source: IPvAnyAddress
    destination: IPvAnyAddress
    protocol: Annotated[int, Field(ge=0, le=255)]
    port: _Number
    source_port: _Number
    flows: Annotated[int, Field(ge=1)]
    first: _Time
    last: _Time
    reported: bool = True


class OrdinaryDenied(BaseModel):
    """The analyzer tells of ordinary flows that were dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flows: Annotated[tuple[_Flow, ...], Field(max_length=1000)]


@dataclass(frozen=True)
class Found:
    """Harm that was found, and what was done about it."""

    subject: Subject
    decision: str
    """`rolled back`; `asked`: somebody is to decide; `insisted`: left alone, as somebody put it in force once more."""
    time: float
    evidence: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As REST tells it."""
        told = {"rule": self.subject.rule, "version": self.subject.version, "decision": self.decision}
        return {**told, "time": self.time, **self.evidence}


class HarmCheck:
    """What was denied of late, by who answers for it."""

    def __init__(self, engine: Engine, settings: HarmSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._budget = Budget(settings.flows, settings.seconds)
        self._denied: dict[Subject, list[Denied]] = defaultdict(list)
        self._draft: tuple[int, Draft] | None = None
        """What was in force before a version, by that version's number."""
        self.found: dict[Subject, Found] = {}
        """Of the last subjects since the engine began; each is found harmful once."""

    def take(self, told: OrdinaryDenied) -> list[Outgoing]:
        """What follows from flows that were dropped, now or later."""
        known = self._engine.inventory.vms
        flows = tuple(
            Denied(**dict(flow))
            for flow in told.flows
            if all(vm is None or vm in known for vm in (flow.source_vm, flow.destination_vm))
        )
        if not self._settings.enabled or not self._could_count(flows):
            return []
        return self._engine.reading(self._blaming(flows), lambda found: self._blamed(flows, *found))

    def told(self) -> list[dict[str, Any]]:
        """What was found, newest first."""
        return [found.as_json() for found in sorted(self.found.values(), key=lambda found: -found.time)]

    def _blaming(self, flows: Sequence[Denied]) -> Callable[[], tuple[tuple[int, Draft], tuple[Subject | None, ...]]]:
        """Work that finds out who answers for flows, as things stand."""
        engine, now = self._engine, self._engine.clock.wall()
        policy, version = engine.policies.policy, engine.policies.version
        rules = Rules(policy, engine.site().acls)
        held = self._draft
        earlier = None if held is not None and held[0] == version.number else self._before(version)
        same = Draft(engine.policies.whole, version.text, version.lists)

        def work() -> tuple[tuple[int, Draft], tuple[Subject | None, ...]]:
            draft = held if earlier is None else (version.number, self._recalled(earlier) or same)
            assert draft is not None, "either it is held or it is recalled"
            return draft, blame(engine.inventory, rules, draft[1].policy.at(now), flows)

        return work

    def _recalled(self, version: PolicyVersion) -> Draft | None:
        """A version as a draft; None: it can no longer be read, so nothing is compared with it."""
        try:
            return recalled(version, self._engine.inventory)
        except PolicyError as error:
            LOG.warning("version %d of the policy cannot be compared with: %s", version.number, error)
            return None

    def _before(self, version: PolicyVersion) -> PolicyVersion:
        """What was in force before a version."""
        lines = self._engine.store.policies(_LOOKED_BACK, version.number) if version.number else ()
        number = next((line.number for line in lines if line.refused is None), None)
        found = None if number is None else self._engine.store.policy(number)
        return EMPTY if found is None else found

    def _blamed(
        self, flows: Sequence[Denied], draft: tuple[int, Draft], subjects: Iterable[Subject | None]
    ) -> list[Outgoing]:
        self._draft = draft
        now = self._engine.clock.wall()
        touched: dict[Subject, None] = {}
        for flow, subject in zip(flows, subjects, strict=True):
            if subject is not None and self._counts(subject, flow, now):
                self._denied[subject].append(flow)
                touched[subject] = None
        outgoing: list[Outgoing] = []
        for subject in touched:
            self._denied[subject] = harm.recent(self._denied[subject], self._budget, now)
            judged = harm.judge(self._denied[subject], self._budget, now)
            if judged is not None:
                del self._denied[subject]
                outgoing += self._act(subject, judged, now)
        return outgoing

    def _could_count(self, flows: Sequence[Denied]) -> bool:
        """Is anything in force that one of them could be blamed on? To find out whom takes time."""
        now, newest = self._engine.clock.wall(), {flow.reported: flow for flow in sorted(flows, key=lambda f: f.last)}
        subjects = [Subject(rule=identity) for identity in self._engine.book.records]
        subjects.append(Subject(version=self._engine.policies.version.number))
        return any(self._counts(subject, flow, now) for subject in subjects for flow in newest.values())

    def _counts(self, subject: Subject, flow: Denied, now: float) -> bool:
        """Is a subject in force, young enough, not found harmful already, and was the flow dropped under it?"""
        if subject in self.found:
            return False
        if subject.rule is not None:
            record = self._engine.book.records.get(subject.rule)
            if record is None or not record.state.live or not harm.answerable(record.rule):
                return False
            began, confirmed = record.rule.created, record.enforced_at
        else:
            version = self._engine.policies.version
            if version.number != subject.version or version.actor == ENGINE:
                return False
            began, confirmed = version.created, version.enforced_at
        if began <= now - self._settings.watch_seconds:
            return False
        return flow.last >= began if flow.reported else confirmed is not None and flow.last >= confirmed

    def _act(self, subject: Subject, judged: Harm, now: float) -> list[Outgoing]:
        decision = self._decide(subject)
        reason, evidence = harm.in_words(judged, self._budget), harm.evidence(judged, self._budget)
        if subject.rule is not None:
            evidence |= {"hits": sums(self._engine.hits.of(subject.rule))["packets"]}
        LOG.warning("%s does harm: %s; %s", subject, reason, decision)
        about = {"version": subject.version} if subject.rule is None else {"rule": subject.rule}
        self._engine.book.note(ENGINE, "harm", now, {**about, "decision": decision, "reason": reason, **evidence})
        self.found[subject] = Found(subject, decision, now, evidence)
        if len(self.found) > _REMEMBERED:
            del self.found[next(iter(self.found))]
        return self._take_back(subject, f"harm: {reason}", evidence) if decision == ROLLED_BACK else []

    def _decide(self, subject: Subject) -> str:
        if self._insisted(subject):
            return INSISTED
        by_itself = subject.rule is not None and automatic(self._rule(subject.rule))
        answer = self._settings.automatic if by_itself else self._settings.person
        return ROLLED_BACK if answer == "rollback" else ASKED

    def _take_back(self, subject: Subject, reason: str, evidence: Mapping[str, Any]) -> list[Outgoing]:
        if subject.rule is not None:
            return self._engine.roll_back(subject.rule, reason, evidence)
        assert self._draft is not None, "who was blamed was compared with it"
        try:
            self._engine.lay_down(self._draft[1], ENGINE, subject.version, reason)
        except ConflictError as error:
            LOG.info("%s was changed meanwhile: %s", subject, error)
        except PolicyError as error:
            LOG.error("%s cannot be taken back: %s", subject, error)  # noqa: TRY400 - the sentence says it all
        return []

    def _insisted(self, subject: Subject) -> bool:
        """Was the very same taken back before, and a person put it in force again?"""
        store = self._engine.store
        if subject.rule is not None:
            rule = self._rule(subject.rule)
            back = store.rules(RuleState.ROLLED_BACK, _LOOKED_BACK)
            return not automatic(rule) and any(_content(record.rule) == _content(rule) for record in back)
        version = self._engine.policies.version
        lines = store.policies(_LOOKED_BACK, version.number)
        taken_back = {line.number - 1 for line in lines if line.actor == ENGINE}
        return any(line.digest == version.digest and line.number in taken_back for line in lines)

    def _rule(self, identity: str) -> SegmentationRule:
        return self._engine.book.records[identity].rule


def _content(rule: SegmentationRule) -> tuple[Any, ...]:
    """What a rule does, whoever issued it and when."""
    return rule.action, rule.source_vm, rule.scope, rule.source_ip, rule.peers, rule.rate, rule.target
