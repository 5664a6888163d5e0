"""The methods that control may call for people: what each returns, and which rule each makes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from policies import requests
from policies.admission import Refused
from policies.consentcalls import ConsentCalls
from policies.engine import Engine, Outgoing, new_rule_id
from policies.explain.answer import explain, trace_plan
from policies.explain.question import ask
from policies.explain.restrictions import Standing, restrictions
from policies.hits import default_of
from policies.policycalls import PolicyCalls
from policies.requests import Answer, Later, problem, rule_json
from policies.rules import Action, Scope, SegmentationRule
from policies.vfnstate import Phase
from policies.views import hits_json, sums_json, version_json
from runtime.channel import Message
from runtime.errors import PolicyError
from topology.model import Vm
from topology.names import nearest


class Service:
    """Answers calls. Rules that they make travel through the engine like any other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outgoing: list[Outgoing] = []
        self._caller = 0
        self._methods: Mapping[str, requests.Method] = {
            "status": (requests.Nothing, self._status),
            "vfns": (requests.Nothing, lambda _params, _actor: (200, self._vfns())),
            "vms": (requests.Nothing, self._vms),
            "vm": (requests.VmParams, self._vm),
            "rules": (requests.RulesParams, self._rules),
            "rule": (requests.RuleParams, self._rule),
            "audit": (requests.AuditParams, self._audit),
            "isolate": (requests.IsolateParams, self._isolate),
            "create": (requests.CreateParams, self._create),
            "release": (requests.RuleParams, self._release),
            **ConsentCalls(engine, self._put).methods,
            "hits": (requests.Nothing, self._hits),
            "trace_plan": (requests.ExplainParams, self._trace_plan),
            "explain": (requests.ExplainParams, self._explain),
            "restrictions": (requests.VmParams, self._restrictions),
            **PolicyCalls(engine).methods,
        }

    def call(self, message: Message) -> list[Outgoing]:
        """Carry out a `call`. Its `result` is among the messages, or follows when work that was put aside is done."""
        data = message.data
        self._outgoing = []
        answer = requests.call(self._methods, data["method"], data.get("params") or {}, data["actor"])
        if isinstance(answer, Later):
            caller, then = self._caller, answer.then
            aside = self._engine.trying if answer.slow else self._engine.reading
            return aside(answer.work, lambda done: self._result(data["request"], then(done), caller))
        return self._result(data["request"], answer, self._caller)

    def control_gone(self) -> None:
        """Whoever called gets no answer any more: another control counts its requests anew."""
        self._caller += 1

    def _put(self, outgoing: list[Outgoing]) -> None:
        self._outgoing += outgoing

    def _result(self, request: int, answer: Answer, caller: int) -> list[Outgoing]:
        status, value = answer
        # What cuts a VM off goes out first.
        outgoing, self._outgoing = self._outgoing, []
        if caller != self._caller:
            return outgoing
        # As text, which control passes on unread: a policy is long, and control must not pause for it.
        result = Message("result", {"request": request, "status": status}, json.dumps(value).encode())
        return [*outgoing, Outgoing("control", result)]

    def _status(self, _params: requests.Nothing, _actor: str) -> Answer:
        engine = self._engine
        vfns = self._vfns()
        return 200, {
            "version": package_version(),
            "pid": os.getpid(),
            "started": engine.started,
            "uptime": round(engine.clock.wall() - engine.started, 3),
            "enforced": all(vfn["enforced"] for vfn in vfns),
            "vfns": {vfn["name"]: vfn["enforced_ratio"] if vfn["connected"] else None for vfn in vfns},
            "rules": engine.counts(),
            "policy": {key: version_json(engine.policies.version)[key] for key in ("version", "state")},
            "audit": {"count": engine.store.count, "head": engine.store.head},
        }

    def _vfns(self) -> list[dict[str, Any]]:
        enforcer = self._engine.enforcer
        return [
            {
                "name": vfn.name,
                "dpid": vfn.dpid,
                "bridge": vfn.bridge,
                "connected": (state := enforcer.states[vfn.name]).phase is not Phase.AWAY,
                "enforced": state.in_sync,
                "enforced_ratio": round(state.enforced_ratio, 6),
                "entries": state.goal.size,
                "rules": sorted(state.rules),
                "missing": list(enforcer.missing_ports(vfn.name)),
            }
            for vfn in self._engine.inventory.vfns.values()
        ]

    def _vms(self, _params: requests.Nothing, _actor: str) -> Answer:
        return 200, [self._vm_json(vm) for vm in self._engine.inventory.vms.values()]

    def _vm(self, params: requests.VmParams, _actor: str) -> Answer:
        vms = self._engine.inventory.vms
        if params.name not in vms:
            return problem(404, f"no VM {params.name!r}", nearest(params.name, vms))
        return 200, self._vm_json(vms[params.name])

    def _vm_json(self, vm: Vm) -> dict[str, Any]:
        rules = [rule for rule in self._engine.book.live() if vm.name in (rule.source_vm, rule.destination_vm)]
        isolating = [rule.scope for rule in rules if rule.action is Action.ISOLATE]
        return {
            "name": vm.name,
            "segment": vm.segment,
            "vfn": vm.vfn,
            "port": vm.port,
            "mac": vm.mac,
            "addresses": [str(address) for address in vm.addresses],
            "protected": vm.protected,
            "attached": vm.port not in self._engine.enforcer.missing_ports(vm.vfn),
            "isolated": (Scope.ALL if Scope.ALL in isolating else isolating[0]) if isolating else None,
            "rules": [rule.id for rule in rules],
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

    def _audit(self, params: requests.AuditParams, _actor: str) -> Answer:
        rows = self._engine.store.audit(params.after, params.limit, params.kind)
        return 200, [row.as_dict() for row in rows]

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
        self._outgoing += outgoing
        if isinstance(decision, Refused):
            return requests.refusal(decision)
        return 201, rule_json(self._engine.book.records[rule.id])

    def _release(self, params: requests.RuleParams, actor: str) -> Answer:
        try:
            record, outgoing = self._engine.release(params.id, actor, f"released by {actor}")
        except KeyError:
            return _no_rule(params.id)
        except PolicyError as error:
            return problem(409, error.message, error.remedy or "")
        self._outgoing += outgoing
        same = [
            rule.id for rule in self._engine.book.live() if rule.source_vm and rule.source_vm == record.rule.source_vm
        ]
        return 200, {**rule_json(record), "still_in_force": same}

    def _hits(self, _params: requests.Nothing, _actor: str) -> Answer:
        engine = self._engine
        segments = engine.inventory.segments.values()
        return 200, hits_json(engine.hits, engine.book.live(), engine.policies.whole.acls, segments)

    def _trace_plan(self, params: requests.ExplainParams, _actor: str) -> Answer:
        site = self._engine.site()
        return 200, trace_plan(ask(params, site.inventory), site)

    def _explain(self, params: requests.ExplainParams, _actor: str) -> Later:
        site = self._engine.site()
        question = ask(params, site.inventory)
        return Later(lambda: explain(question, site, params.traces), lambda told: (200, told))

    def _restrictions(self, params: requests.VmParams, _actor: str) -> Answer | Later:
        engine = self._engine
        vm = engine.inventory.vms.get(params.name)
        if vm is None:
            return problem(404, f"no VM {params.name!r}", nearest(params.name, engine.inventory.vms))
        standing = Standing(engine.site(), engine.policies.version, dict(engine.book.records))

        def then(rows: list[dict[str, Any]]) -> Answer:
            return 200, [{**row, "hits": sums_json(engine.hits.of(self._counted_as(row)))["packets"]} for row in rows]

        return Later(lambda: restrictions(vm, standing), then)

    def _counted_as(self, row: Mapping[str, Any]) -> str:
        """Under what name its hits are added up."""
        if row["kind"] == "default":
            return default_of(self._engine.inventory.segments[row["rule"]].number)
        return str(row["rule"])


def package_version() -> str:
    """The version of the installed package."""
    try:
        return version("dynseg")
    except PackageNotFoundError:
        return "not installed"


def _no_rule(identity: str) -> Answer:
    return problem(404, f"no rule {identity!r}", "list them with `dynseg rules`")
