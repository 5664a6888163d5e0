"""The methods that control may call for people: what each returns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from policies import requests, trail
from policies.consentcalls import ConsentCalls
from policies.engine import Engine, Outgoing
from policies.explain.answer import explain, trace_plan
from policies.explain.question import ask
from policies.explain.restrictions import Standing, life, restrictions
from policies.exposition import EngineExposition
from policies.hits import default_of
from policies.policycalls import PolicyCalls
from policies.requests import Answer, Later, problem
from policies.rulecalls import RuleCalls
from policies.rules import Action, Mode, Scope
from policies.vfnstate import Phase
from policies.views import hits_json, sums, version_json
from runtime.channel import Message
from runtime.loglevel import LevelParams, set_level
from topology.model import Vm
from topology.names import nearest


class Service:
    """Answers calls. Rules that they make travel through the engine like any other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outgoing: list[Outgoing] = []
        self._caller = 0
        self._exposition = EngineExposition(engine, package_version())
        engine.store.listeners += [self._exposition.take, trail.tell]
        self._methods: Mapping[str, requests.Method] = {
            "status": (requests.Nothing, self._status),
            "vfns": (requests.Nothing, lambda _params, _actor: (200, self._vfns())),
            "vms": (requests.Nothing, self._vms),
            "vm": (requests.VmParams, self._vm),
            "audit": (requests.AuditParams, self._audit),
            **RuleCalls(engine, self._put).methods,
            **ConsentCalls(engine, self._put).methods,
            "hits": (requests.Nothing, self._hits),
            "harm": (requests.Nothing, lambda _params, _actor: (200, engine.harm.told())),
            "exposition": (requests.Nothing, lambda _params, _actor: (200, self._exposition.text())),
            "log_level": (LevelParams, lambda params, _actor: set_level(params)),
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
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        result = Message("result", {"request": request, "status": status}, text)
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
            "hold": engine.book.controls.hold.model_dump(mode="json"),
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
        isolates = (rule for rule in rules if rule.action is Action.ISOLATE and rule.mode is not Mode.OBSERVE)
        isolating = [rule.scope for rule in isolates]
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

    def _audit(self, params: requests.AuditParams, _actor: str) -> Answer:
        rows = self._engine.store.audit(params.after, params.limit, params.kind)
        return 200, [row.as_dict() for row in rows]

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
        standing = Standing(site, self._engine.policies.version, dict(self._engine.book.records))

        def then(told: dict[str, Any]) -> Answer:
            decided = told["policy"]
            rule, default = decided["rule"], decided.get("default")
            more = life(standing, rule) if rule else {}
            hits = self._met(str(rule or default), default=bool(default))
            return 200, {**told, "policy": {**decided, **more, "hits": hits}}

        return Later(lambda: explain(question, site, params.traces), then)

    def _restrictions(self, params: requests.VmParams, _actor: str) -> Answer | Later:
        engine = self._engine
        vm = engine.inventory.vms.get(params.name)
        if vm is None:
            return problem(404, f"no VM {params.name!r}", nearest(params.name, engine.inventory.vms))
        standing = Standing(engine.site(), engine.policies.version, dict(engine.book.records))

        def then(rows: list[dict[str, Any]]) -> Answer:
            return 200, [{**row, "hits": self._met(row["rule"], default=row["kind"] == "default")} for row in rows]

        return Later(lambda: restrictions(vm, standing), then)

    def _met(self, name: str, *, default: bool) -> Mapping[str, int]:
        """Packets that a rule, or the default of a segment, has met."""
        engine = self._engine
        key = default_of(engine.inventory.segments[name].number) if default else name
        return sums(engine.hits.of(key))["packets"]


def package_version() -> str:
    """The version of the installed package."""
    try:
        return version("dynseg")
    except PackageNotFoundError:
        return "not installed"
