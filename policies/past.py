"""What judging a rule has to know of others: who is about whom, who has offended how often, what was spent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from policies.budget import charged, recent, segment_of
from policies.controlstore import Offender
from policies.ladder import automatic, subject
from policies.lifecycle import RuleRecord
from policies.rules import Action, RuleState, SegmentationRule
from runtime.settings import EngineSettings
from topology.model import Inventory


class Past:
    """Rules as they were last put in. Times are epoch seconds."""

    def __init__(self, inventory: Inventory, settings: EngineSettings) -> None:
        self._inventory = inventory
        self._settings = settings
        self._about: defaultdict[str, dict[str, RuleRecord]] = defaultdict(dict)
        self._standing: defaultdict[str, dict[str, SegmentationRule]] = defaultdict(dict)
        """Rules that count against the budget of a segment."""
        self._ended: defaultdict[str, dict[str, RuleRecord]] = defaultdict(dict)
        """Those that count for some time after their end."""
        self._rejected: dict[str, RuleRecord] = {}
        self._offenders: dict[str, Offender] = {}
        self.sizes = dict(Counter(vm.segment for vm in inventory.vms.values()))
        """Number of VMs by segment."""

    def put(self, record: RuleRecord) -> None:
        """A rule, as it is now."""
        rule = record.rule
        if record.over:
            self._about[_key(rule)].pop(rule.id, None)
            if not self._about[_key(rule)]:
                del self._about[_key(rule)]
        else:
            self._about[_key(rule)][rule.id] = record
        who = subject(rule)
        if record.state is RuleState.REFUSED and record.by is not None and who is not None:
            self._rejected[who] = record
        if automatic(rule):
            self._charge(record)

    def about(self, rule: SegmentationRule) -> tuple[RuleRecord, ...]:
        """Rules that are not over and concern the same VMs or addresses."""
        return tuple(record for key in _concerned(rule) for record in self._about.get(key, {}).values())

    def whose(self, who: str) -> tuple[RuleRecord, ...]:
        """Rules that are not over and take something from a VM (by name) or address (as a network)."""
        return tuple(self._about.get(who, {}).values())

    def _charge(self, record: RuleRecord) -> None:
        segment, identity = segment_of(record.rule, self._inventory), record.rule.id
        self._standing[segment].pop(identity, None)
        self._ended[segment].pop(identity, None)
        if charged(record) and record.ended_at is None:
            self._standing[segment][identity] = record.rule
        elif charged(record):
            self._ended[segment][identity] = record

    def spent(self, segment: str, now: float) -> tuple[SegmentationRule, ...]:
        """The automatic rules that count against the budget of a segment."""
        ended = {i: one for i, one in self._ended[segment].items() if recent(one, now, self._settings)}
        self._ended[segment] = ended
        return (*self._standing[segment].values(), *(one.rule for one in ended.values()))

    def rejected(self, rule: SegmentationRule) -> RuleRecord | None:
        """The last rule about the same VM or address that somebody has rejected."""
        return self._rejected.get(subject(rule) or "")

    def recall(self, offenders: Iterable[Offender]) -> None:
        """Those of earlier runs."""
        self._offenders |= {one.subject: one for one in offenders}

    def offences(self, rule: SegmentationRule, now: float) -> int:
        """How often its VM or address has offended before, as far as that is remembered."""
        known = self._offenders.get(subject(rule) or "")
        forgotten = known is None or known.last + self._settings.forget_seconds < now
        return 0 if known is None or forgotten else known.offences

    def offend(self, record: RuleRecord, now: float) -> tuple[Offender, ...]:
        """An offence is answered by a rule; who has changed by that."""
        who = subject(record.rule)
        if not record.offence or who is None:
            return ()
        return self._keep(Offender(who, record.offence, record.rule.expires or now))

    def forgive(self, record: RuleRecord, now: float) -> tuple[Offender, ...]:
        """It was no offence; who has changed by that."""
        who = subject(record.rule)
        if not record.offence or who is None or self.offences(record.rule, now) < record.offence:
            return ()
        return self._keep(Offender(who, record.offence - 1, now))

    def _keep(self, offender: Offender) -> tuple[Offender, ...]:
        self._offenders[offender.subject] = offender
        return (offender,)


def _key(rule: SegmentationRule) -> str:
    """What rules that could have the same effect share."""
    return subject(rule) or f"{rule.source_ip} {rule.destination_vm}"


def _concerned(rule: SegmentationRule) -> Iterator[str]:
    yield _key(rule)
    if rule.action is Action.ALLOW:
        yield str(rule.source_ip)
        yield rule.destination_vm or ""
