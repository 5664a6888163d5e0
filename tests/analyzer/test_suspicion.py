"""What is thought of subjects, and for how long."""

import numpy as np

from analyzer.flows import F8
from analyzer.suspicion import About, Found, Memory, remember


def find(memory: Memory, subject: int, risk: float, now: float, *, acted: bool = False) -> F8:
    """One evaluation that finds something in its deeds; what is thought then."""
    raised, acts, no = np.zeros((len(About), 1)), np.zeros((3, 1), bool), np.zeros(1, bool)
    raised[About.DEEDS], acts[0] = risk, acted
    thought = np.zeros(1)
    found = Found(np.array([subject]), np.array([now]), no, no, raised, acts)
    remember(memory, found, 0, 1, np.zeros((2, 1), np.uint8), thought)
    return thought


def thought(memory: Memory, subject: int, now: float) -> float:
    """Of its deeds."""
    return float(memory.thought(About.DEEDS, np.array([subject]), np.array([now]))[0])


def test_who_was_acted_on_stays_suspect_for_longer() -> None:
    """Each suspicion halves in its own time."""
    memory = Memory.of(3)
    find(memory, 1, 80.0, 0.0)
    find(memory, 2, 80.0, 0.0, acted=True)
    assert thought(memory, 1, 60.0) == 20.0
    assert thought(memory, 2, 600.0) == 40.0


def test_less_than_what_is_thought_changes_nothing() -> None:
    """A weaker finding neither lowers a risk nor shortens its life."""
    memory = Memory.of(3)
    find(memory, 1, 80.0, 0.0, acted=True)
    assert find(memory, 1, 50.0, 600.0)[0] == 50.0
    assert find(memory, 1, 10.0, 660.0, acted=True)[0] == 12.5
    find(memory, 2, 80.0, 0.0, acted=True)
    find(memory, 2, 30.0, 600.0)
    assert thought(memory, 2, 600.0) == 40.0
    memory.forget(np.array([2]))
    assert thought(memory, 2, 600.0) == 0.0


def test_evidence_of_the_last_three_evaluations_is_kept() -> None:
    """Two of three that agreed are enough to act; what was longer ago is forgotten."""
    memory, evidence = Memory.of(2), np.zeros((2, 5), np.uint8)
    agreed, none = np.array([True, False, True, False, False]), np.zeros(5, bool)
    raised, acts = np.full((len(About), 5), 80.0), np.zeros((3, 5), bool)
    acts[1] = True
    found = Found(np.ones(5, np.int64), np.arange(5.0), agreed, none, raised, acts)
    remember(memory, found, 0, 5, evidence, np.zeros(5))
    assert evidence[0].tolist() == [0b1, 0b10, 0b101, 0b10, 0b100]
    assert memory.history[:, 1].tolist() == [0b100, 0]
