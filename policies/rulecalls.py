"""What people ask about segmentation rules, and how they make, approve and end them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from policies import requests
from policies.admission import Admitted, Decision, Held, Merged, Refused
from policies.controls import Modes, in_effect
from policies.engine import Engine, Outgoing
from policies.requests import Answer, problem, rule_json
from policies.rules import Action, SegmentationRule, new_rule_id
from policies.views import sums_json
from runtime.errors import PolicyError
from topology.names import nearest

_K = TypeVar("_K")
_V = TypeVar("_V")


class RuleCalls:
    """Methods for control, as `policies.service` has them. Their rules travel through the engine like any other.

    Args:
        put: takes what has to be sent because of a call.
    """

    def __init__(self, engine: Engine, put: Callable[[list[Outgoing]], None]) -> None:
        self._engine = engine
        self._put = put
        self.methods: Mapping[str, requests.Method] = {
            "rules": (requests.RulesParams, self._rules),
            "rule": (requests.RuleParams, self._rule),
            "isolate": (requests.IsolateParams, self._isolate),
            "create": (requests.CreateParams, self._create),
            "release": (requests.ReleaseParams, self._release),
            "approve": (requests.DecideParams, self._approve),
            "reject": (requests.DecideParams, self._reject),
            "hold": (requests.HoldParams, self._hold),
            "modes": (requests.Nothing, lambda _params, _actor: (200, self._modes())),
            "set_modes": (requests.ModesParams, self._set_modes),
        }

    def _rules(self, params: requests.RulesParams, _actor: str) -> Answer:
        return 200, [rule_json(record) for record in self._engine.store.rules(params.state)]

    def _rule(self, params: requests.RuleParams, _actor: str) -> Answer:
        record = self._engine.store.rule(params.id)
        if record is None:
            return _no_rule(params.id)
        changes = [
            {"time": time, "state": state, "detail": detail}
            for time, state, detail in self._engine.store.history(params.id)
        ]
        return 200, {**rule_json(record), "history": changes, "hits": sums_json(self._engine.hits.of(params.id))}

    def _isolate(self, params: requests.IsolateParams, actor: str) -> Answer:
        vms = self._engine.inventory.vms
        if params.name not in vms:
            return problem(404, f"no VM {params.name!r}", nearest(params.name, vms))
        now = self._engine.clock.wall()
        vm = vms[params.name]
        return self._issue(
            SegmentationRule(
                new_rule_id(),
                Action.ISOLATE,
                actor,
                now,
                segment=vm.segment,
                source_vm=vm.name,
                scope=params.scope,
                reasons=(params.reason,) if params.reason else (),
                expires=None if params.seconds is None else now + params.seconds,
            )
        )

    def _create(self, params: requests.CreateParams, actor: str) -> Answer:
        return self._issue(params.rule(new_rule_id(), actor, self._engine.clock.wall()))

    def _issue(self, rule: SegmentationRule) -> Answer:
        decision, outgoing = self._engine.propose(rule)
        self._put(outgoing)
        return self._answer(decision)

    def _answer(self, decision: Decision) -> Answer:
        """201: it is in force or on its way; 202: it waits for approval; 200: another rule has taken it in."""
        match decision:
            case Refused():
                return requests.refusal(decision)
            case Admitted(rule=rule):
                return 201, self._told(rule.id)
            case Held(rule=rule):
                return 202, self._told(rule.id)
            case Merged(rule=rule, reason=reason):
                return 200, {**self._told(rule.id), "merged": reason}

    def _told(self, identity: str) -> dict[str, Any]:
        return rule_json(self._engine.book.records[identity])

    def _release(self, params: requests.ReleaseParams, actor: str) -> Answer:
        reason = f"released by {actor}" + (f": {params.reason}" if params.reason else "")
        try:
            record, outgoing = self._engine.release(params.id, actor, reason, false_alarm=params.false_alarm)
        except (KeyError, PolicyError) as error:
            return _left(params.id, error)
        self._put(outgoing)
        same = [
            rule.id for rule in self._engine.book.live() if rule.source_vm and rule.source_vm == record.rule.source_vm
        ]
        return 200, {**rule_json(record), "still_in_force": same}

    def _approve(self, params: requests.DecideParams, actor: str) -> Answer:
        try:
            decision, outgoing = self._engine.approve(params.id, actor)
        except (KeyError, PolicyError) as error:
            return _left(params.id, error)
        self._put(outgoing)
        status, value = self._answer(decision)
        return (200 if status == 201 else status), value

    def _reject(self, params: requests.DecideParams, actor: str) -> Answer:
        try:
            now = self._engine.clock.wall()
            return 200, rule_json(self._engine.book.reject(params.id, actor, params.reason, now))
        except (KeyError, PolicyError) as error:
            return _left(params.id, error)

    def _hold(self, params: requests.HoldParams, actor: str) -> Answer:
        self._engine.book.hold(params.on, actor, params.reason, self._engine.clock.wall())
        return 200, self._engine.book.controls.hold.model_dump(mode="json")

    def _modes(self) -> dict[str, Any]:
        """What holds, and what of it people have set."""
        controls = self._engine.book.controls
        effect = in_effect(controls.modes, self._engine.settings)
        return {**effect.model_dump(mode="json"), "set": controls.modes.model_dump(mode="json", exclude_none=True)}

    def _set_modes(self, params: requests.ModesParams, actor: str) -> Answer:
        segments, known = self._engine.inventory.segments, self._engine.book.controls.modes
        for name in params.segments:
            if name not in segments:
                return problem(404, f"no segment {name!r}", nearest(name, segments))
        modes = Modes(
            overall=params.overall if "overall" in params.model_fields_set else known.overall,
            segments=_laid_over(known.segments, params.segments),
            actions=_laid_over(known.actions, params.actions),
        )
        self._engine.book.set_modes(modes, actor, self._engine.clock.wall())
        return 200, self._modes()


def _laid_over(old: Mapping[_K, _V], new: Mapping[_K, _V | None]) -> dict[_K, _V]:
    """The old with the new over them; None takes away."""
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def _left(identity: str, error: KeyError | PolicyError) -> Answer:
    """Why a rule is left as it is."""
    if isinstance(error, KeyError):
        return _no_rule(identity)
    return problem(409, error.message, error.remedy or "")


def _no_rule(identity: str) -> Answer:
    return problem(404, f"no rule {identity!r}", "list them with `dynseg rules`")
