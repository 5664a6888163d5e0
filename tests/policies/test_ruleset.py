"""Which rules an edit changes, found without looking at all others one by one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from policies.acl import Acl, Peer
from policies.pipeline.ruleset import _SLICE, _WINDOW, _differing
from policies.rules import Tier, Verdict


def acl(number: int) -> Acl:
    return Acl(f"r{number}", Tier.POLICY, Verdict.ALLOW, Peer(segment="a"), Peer(segment="b"))


MANY = tuple(map(acl, range(3 * _SLICE)))


@given(st.lists(st.integers(0, 12)), st.lists(st.integers(0, 12)))
def test_what_has_gone_and_come_makes_the_one_the_other(before: list[int], after: list[int]) -> None:
    """Whatever is inserted, removed, moved or doubled; the rules need not be the same objects."""
    one, other = tuple(map(acl, before)), tuple(map(acl, after))
    gone, come = _differing(one, other)
    counts = Counter(one)
    counts.subtract(gone)
    counts.update(come)
    assert +counts == Counter(other)
    assert min(counts.values(), default=0) >= 0


@given(st.lists(st.tuples(st.integers(0, len(MANY) - 1), st.sampled_from("rix")), max_size=4))
def test_of_a_long_policy_only_the_edits_are_told(edits: list[tuple[int, str]]) -> None:
    """Removed, inserted and exchanged rules are told, and next to nothing else."""
    after = list(MANY)
    for number, (place, how) in enumerate(sorted(edits, reverse=True)):
        new = [] if how == "r" else [acl(-1 - number)]
        after[place : place + (how != "i")] = new
    gone, come = _differing(MANY, tuple(after))
    assert len(gone) + len(come) <= 2 * len(edits)
    assert set(MANY) - set(after) == set(gone)
    assert set(after) - set(MANY) == set(come)


def test_a_policy_that_begins_with_many_new_rules_is_still_told_right() -> None:
    """More of them than are looked past: then the rest is told as gone and come, which cancels."""
    new = tuple(acl(-1 - number) for number in range(2 * _WINDOW))
    gone, come = _differing(MANY, new + MANY)
    counts = Counter(come)
    counts.subtract(gone)
    assert +counts == Counter(new)
