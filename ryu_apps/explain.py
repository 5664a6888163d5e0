"""`GET /v1/explain`: the engine says what to ask the switches, they are asked, and the engine says what it means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime.errors import TransientError
from runtime.tokens import Token
from ryu_apps.peer import Answer, Peer

Trace = Callable[[str, str, Sequence[str]], str | None]
"""What a bridge would do with a flow, given the states that connection tracking finds; None: it is not local."""


class Explain:
    """Carries questions and answers; understands neither."""

    def __init__(self, engine: Peer, trace: Trace) -> None:
        self._engine = engine
        self._trace = trace

    def answer(self, params: Mapping[str, Any], token: Token, seconds: float) -> Answer:
        """The engine's answer, the traces of local switches considered.

        Raises:
            TransientError: the engine is away, or does not answer within `seconds`.
        """
        plan = self._engine.call("trace_plan", params, token.name, token.role, seconds)
        if plan.status != 200:
            return plan
        traces = {item["vfn"]: self._told(item) for item in json.loads(plan.text)}
        return self._engine.call("explain", {**params, "traces": traces}, token.name, token.role, seconds)

    def _told(self, item: Mapping[str, Any]) -> Mapping[str, str]:
        try:
            text = self._trace(item["bridge"], item["flow"], item["states"])
        except TransientError as error:
            return {"error": str(error)}
        return {"error": "its switch is not on this machine"} if text is None else {"text": text}
