"""What is thought of subjects over time: evidence over evaluations, suspicion that decays, blame, and so flows' risk.

The rest of a judgement is a function of whole columns; this part remembers, so it goes step by step, in compiled loops.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F8, I8, NOBODY, U8, Array, Bool
from analyzer.risk import HALF_LIFE, decayed
from analyzer.services import Table, blame

RECALL = 600.0
"""Half-life, in seconds, of what is thought of dealings with one service: they are slower than windows."""
AGREEING = 2
"""Evaluations, of the last three of a subject, in which behaviour and baseline must agree."""
_LAST_THREE = np.uint8(0b111)
_TIMES = (0, 1, 1, 2, 1, 2, 2, 3)
"""How many of the last three, by their bits."""


class About(IntEnum):
    """Which flows a suspicion is about."""

    DEEDS = 0
    """Those of the subject that look like it: failed, to logins, new to what was learned, or unusual by themselves."""
    NAMES = 1
    """Its questions to name servers."""
    TARGET = 2
    """Those that others aim at it."""


_DEEDS, _TARGET = int(About.DEEDS), int(About.TARGET)


class Memory(NamedTuple):
    """What is remembered of subjects."""

    history: Array
    """(2, subjects) u1: a bit an evaluation: did behaviour and baseline agree; was it overwhelming, or what limits?"""
    risk: F8
    """(About, subjects)"""
    time: F8
    """(About, subjects) when it was found."""
    half: F8
    """(About, subjects) half-life of it in seconds."""

    @classmethod
    def of(cls, subjects: int) -> Memory:
        """Nothing is thought of subjects numbered from 0."""
        shape = len(About), subjects
        return cls(np.zeros((2, subjects), np.uint8), np.zeros(shape), np.zeros(shape), np.full(shape, HALF_LIFE))

    def forget(self, subjects: I8) -> None:
        """Nothing is thought of these any more."""
        self.history[:, subjects] = 0
        self.risk[:, subjects] = 0.0

    def thought(self, about: About, subject: I8, time: Array) -> F8:
        """Risk 0..100 of subjects at times; 0 for negative ones."""
        risk = decayed(self.risk[about, subject], time - self.time[about, subject], self.half[about, subject])
        return np.where(subject >= 0, risk, 0.0)


class Scored(NamedTuple):
    """Flows to score, with what their risk may come from."""

    time: F8
    initiator: I8
    other: I8
    """The other end, where it may as well have been the initiator; NOBODY: it was not."""
    target: I8
    slot: I8
    """Of their dealing in the table of services; NOBODY: none."""
    own: F8
    """Risk of each by itself."""
    kinds: Bool
    """(About, flows) which suspicion each would bear out."""


class Found(NamedTuple):
    """What evaluations have found, in the order of their steps."""

    subject: I8
    time: F8
    agreed: Bool
    repeated: Bool
    risk: F8
    """(About, evaluations) 0: nothing."""
    acts: Bool
    """(3, evaluations) is somebody acted on: now; if behaviour and baseline agreed; if enough was found again?"""


class Blamed(NamedTuple):
    """Dealings in which something was found, in the order of their steps."""

    keys: U8
    risk: F8
    time: F8


@compiled
def _decayed(risk: float, seconds: float, half_life: float) -> float:
    return risk * 0.5 ** (max(seconds, 0.0) / half_life)  # type: ignore[no-any-return]


@compiled
def _thought(memory: Memory, about: int, subject: int, time: float) -> float:
    if subject < 0 or memory.risk[about, subject] == 0.0:
        return 0.0
    return _decayed(memory.risk[about, subject], time - memory.time[about, subject], memory.half[about, subject])


@compiled
def score(memory: Memory, services: Table, flows: Scored, begin: int, end: int, risk: F8) -> None:
    """Risk of flows as things stand.

    It is the highest of the flow's own, of its initiator's where the flow is of the kind that made it, of what is
    thought of the dealings it belongs to, and of what goes on against its target.
    """
    for i in range(begin, end):
        highest, time = flows.own[i], flows.time[i]
        for about in range(len(flows.kinds)):
            if flows.kinds[about, i]:
                subject = flows.target[i] if about == _TARGET else flows.initiator[i]
                highest = max(highest, _thought(memory, about, subject, time))
        if flows.kinds[_DEEDS, i]:
            highest = max(highest, _thought(memory, _DEEDS, flows.other[i], time))
        if flows.slot[i] != NOBODY:
            dealing = services.rows[flows.slot[i]]
            if dealing.risk > 0.0:
                highest = max(highest, _decayed(dealing.risk, time - dealing.risk_time, RECALL))
        risk[i] = highest


@compiled
def remember(memory: Memory, found: Found, begin: int, end: int, evidence: Array, thought: F8) -> None:
    """Take evaluations in.

    Args:
        memory: changed.
        found: of which evaluations.
        begin: the first of them.
        end: behind the last.
        evidence: (2, evaluations) u1, set: the last three bits of each subject's history.
        thought: (evaluations,) set: the highest that is thought of each subject now.
    """
    for i in range(begin, end):
        subject, time, highest, acted = found.subject[i], found.time[i], 0.0, found.acts[0, i]
        for kind in range(2):
            bit = found.agreed[i] if kind == 0 else found.repeated[i]
            bits = (memory.history[kind, subject] << np.uint8(1) | np.uint8(bit)) & _LAST_THREE
            memory.history[kind, subject] = evidence[kind, i] = bits
            acted |= found.acts[1 + kind, i] and _TIMES[bits] >= AGREEING
        for about in range(len(found.risk)):
            before, risk = _thought(memory, about, subject, time), found.risk[about, i]
            if risk > 0.0 and risk >= before:
                memory.risk[about, subject], memory.time[about, subject] = risk, time
                memory.half[about, subject] = RECALL if acted else HALF_LIFE  # who is acted on stays suspect
            highest = max(highest, before, risk)
        thought[i] = highest


@compiled
def steps(
    memory: Memory,
    services: Table,
    edges: tuple[I8, I8, I8],
    flows: Scored,
    found: Found,
    blamed: Blamed,
    risk: F8,
    evidence: Array,
    thought: F8,
) -> None:
    """Step by step: `score` its flows by what is known from earlier ones, then blame, then `remember`.

    `edges`: (steps + 1,) where each step's flows, evaluations and blamed dealings begin.
    """
    for k in range(len(edges[0]) - 1):
        score(memory, services, flows, edges[0][k], edges[0][k + 1], risk)
        blame(services, blamed.keys, blamed.risk, blamed.time, edges[2][k], edges[2][k + 1])
        remember(memory, found, edges[1][k], edges[1][k + 1], evidence, thought)
