"""What people ask about the policy and its versions, and how they change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from policies import requests
from policies.diff import between
from policies.document import parse_document
from policies.engine import Engine
from policies.policybook import ConflictError, Draft, counts, draft, recalled
from policies.requests import Answer, Later, problem
from policies.versions import PolicyVersion
from policies.vfnstate import Phase
from policies.views import line_json, version_json
from runtime.errors import PolicyError


class PolicyCalls:
    """Methods for control, as `policies.service` has them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.methods: Mapping[str, requests.Method] = {
            "policy": (requests.PolicyParams, self._policy),
            "policy_history": (requests.HistoryParams, self._history),
            "policy_diff": (requests.DiffParams, self._diff),
            "lay_down": (requests.LayDownParams, self._lay_down),
            "rollback": (requests.RollbackParams, self._rollback),
            "simulate": (requests.SimulateParams, self._simulate),
            "dry_run": (requests.DryRunParams, lambda params, actor: self._simulate(params.simulation, actor)),
        }

    def _policy(self, params: requests.PolicyParams, _actor: str) -> Answer:
        if params.version is None or params.version == self._engine.policies.version.number:
            return 200, self._in_force()
        return 200, version_json(self._version(params.version), in_force=False)

    def _in_force(self) -> dict[str, Any]:
        """The version in force, and how far it has come."""
        engine, policies = self._engine, self._engine.policies
        states = engine.enforcer.states
        vfns = {
            vfn: None if state.phase is Phase.AWAY else engine.enforcer.follows(vfn) for vfn, state in states.items()
        }
        told = {"newest": policies.newest, "vfns": vfns, "left_out": list(policies.left_out), "off": self._off()}
        return {**version_json(policies.version), **counts(policies.whole), **told}

    def _off(self) -> list[str]:
        """Rules whose time it is not."""
        on = {acl.rule_id for acl in self._engine.policies.policy.acls}
        return [acl.rule_id for acl in self._engine.policies.whole.acls if acl.rule_id not in on]

    def _history(self, params: requests.HistoryParams, _actor: str) -> Answer:
        now = self._engine.policies.version.number
        return 200, [line_json(line, now) for line in self._engine.store.policies(params.limit, params.before)]

    def _diff(self, params: requests.DiffParams, _actor: str) -> Later:
        before = self._version(params.from_version)
        number = params.to_version
        after = self._engine.policies.version if number is None else self._version(number)

        def compare() -> dict[str, Any]:
            docs = (parse_document(before.text), parse_document(after.text))
            return between(before, after, docs)

        return Later(compare, lambda told: (200, told))

    def _version(self, number: int) -> PolicyVersion:
        """A version by its number.

        Raises:
            MissingError: there is none.
        """
        found = self._engine.store.policy(number)
        if found is None:
            remedy = f"the newest is {self._engine.policies.newest}"
            raise requests.MissingError(f"no version {number}", remedy=remedy)
        return found

    def _lay_down(self, params: requests.LayDownParams, actor: str) -> Later:
        inventory, text, folder = self._engine.inventory, params.document, params.folder
        now = self._engine.clock.wall()
        return self._accepting(lambda: draft(text, inventory, folder, now, params.file), params, actor)

    def _rollback(self, params: requests.RollbackParams, actor: str) -> Later:
        version, inventory = self._version(params.version), self._engine.inventory
        return self._accepting(lambda: recalled(version, inventory), params, actor)

    def _accepting(
        self, make: Callable[[], Draft], params: requests.LayDownParams | requests.RollbackParams, actor: str
    ) -> Later:
        """Check a policy aside, then put it in force, unless another was laid down while it was checked."""
        began = self._engine.policies.version.number

        def check() -> Draft | PolicyError:
            try:
                return make()
            except PolicyError as error:
                return error

        def then(checked: Draft | PolicyError) -> Answer:
            if isinstance(checked, PolicyError):
                return requests.meaningless(checked)
            base = params.base_version
            if base is None and (checked.again is not None or checked.base_version is None):
                base = began
            try:
                self._engine.lay_down(checked, actor, base, params.reason)
            except ConflictError as error:
                more = {"base_version": error.base, "version": error.now.number, "actor": error.now.actor}
                return problem(409, error.message, error.remedy or "", **more)
            told = {key: value for key, value in self._in_force().items() if key != "text"}
            return 200, {**told, "remarks": list(checked.remarks)}

        return Later(check, then)

    def _simulate(self, params: requests.SimulateParams, _actor: str) -> Answer | Later:
        dry_run = self._engine.dry_run
        if dry_run is None:
            return problem(503, "this engine has no flow archive", "run `dynseg policy simulate` where it is")
        return Later(lambda: dry_run(params), lambda answer: answer, slow=True)
