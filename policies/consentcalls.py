"""The methods about consents that control may call for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from policies import requests
from policies.consent import ConsentRecord, record_json
from policies.consentdoc import ConsentDoc
from policies.engine import Engine, Outgoing
from policies.requests import Answer, Later, problem
from runtime.errors import PatternError, PolicyError
from runtime.patterns import load, named


class ConsentCalls:
    """Answers calls about consents.

    Args:
        put: takes what has to be sent because of a call.
    """

    def __init__(self, engine: Engine, put: Callable[[list[Outgoing]], None]) -> None:
        self._engine = engine
        self._put = put
        self.methods: Mapping[str, requests.Method] = {
            "consents": (requests.ConsentsParams, self._consents),
            "consent": (requests.RuleParams, self._consent),
            "grant": (ConsentDoc, self._grant),
            "withdraw": (requests.WithdrawParams, self._withdraw),
        }

    def _consents(self, params: requests.ConsentsParams, _actor: str) -> Answer:
        book = self._engine.consents
        found = self._engine.store.consents() if params.all else [r for r in book.records.values() if r.agreed]
        return 200, [self._json(record) for record in found]

    def _consent(self, params: requests.RuleParams, _actor: str) -> Answer:
        record = self._engine.consents.records.get(params.id) or self._engine.store.consent(params.id)
        return _none(params.id) if record is None else (200, self._json(record))

    def _grant(self, doc: ConsentDoc, actor: str) -> Later:
        """Compiling patterns may take long, so that is done aside."""
        self._engine.consents.check(doc, self._engine.clock.wall())
        folder = self._engine.patterns

        def read() -> dict[str, str] | PatternError:
            try:
                return named(doc.patterns, partial(load, folder))
            except PatternError as error:
                return error

        def then(digests: dict[str, str] | PatternError) -> Answer:
            if isinstance(digests, PatternError):
                return problem(400, str(digests).removesuffix(f" ({digests.remedy})"), digests.remedy or "correct it")
            try:
                record, outgoing = self._engine.grant(doc, digests, actor)
            except PolicyError as error:
                return requests.meaningless(error)
            self._put(outgoing)
            return 201, self._json(record)

        return Later(read, then)

    def _withdraw(self, params: requests.WithdrawParams, actor: str) -> Answer:
        try:
            record, outgoing = self._engine.withdraw(params.id, actor, params.reason or f"withdrawn by {actor}")
        except KeyError:
            return _none(params.id)
        except PolicyError as error:
            return problem(409, error.message, error.remedy or "")
        self._put(outgoing)
        return 200, self._json(record)

    def _json(self, record: ConsentRecord) -> dict[str, Any]:
        """A consent as REST shows it; times are epoch seconds."""
        book = self._engine.consents
        values = record_json(record)
        del values["home"]
        vms = list(book.covered(record.consent)) if record.agreed else []
        return {**values, "vms": vms, "in_force": record.consent in book.in_force}


def _none(identity: str) -> Answer:
    return problem(404, f"no consent {identity!r}", "list them with `dynseg consent list --all`")
