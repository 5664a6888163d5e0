"""What consents allow, as the analyzer understands them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from analyzer.payload.agreed import Consents, together


def told(identity: str = "a", seconds: float = 60.0, **more: Any) -> dict[str, Any]:
    made = {"id": identity, "vms": ["web1"], "patterns": ["secrets"], "digests": {"secrets": "d1"}}
    return {**made, "purpose": "", "until": time.time() + seconds, **more}


def agreed(*consents: dict[str, Any]) -> Consents:
    made = Consents()
    made.tell(consents, time.time(), time.monotonic())
    return made


def test_only_the_vms_that_are_named() -> None:
    """Nobody else, and nobody at all when none is in force."""
    consents = agreed(told())
    assert [one.id for one in consents.of("web1")] == ["a"]
    assert consents.of("web2") == ()
    assert agreed().of("web1") == ()


def test_it_ends_by_itself_on_either_clock() -> None:
    """Without a word of the engine: at its end by the wall's clock, or by the steady one."""
    assert agreed(told(seconds=-0.001)).of("web1") == ()
    late = Consents()
    late.tell([told(seconds=60.0)], time.time(), time.monotonic() - 61.0)
    assert late.of("web1") == ()
    assert not late.any_left()


def test_a_message_that_is_not_understood_allows_nothing() -> None:
    """Also not what was allowed before it."""
    consents = agreed(told())
    with pytest.raises(ValueError, match="without their digests"):
        consents.tell([told(), told("b", digests={})], time.time(), time.monotonic())
    assert consents.of("web1") == ()


@pytest.mark.parametrize(
    ("patterns", "rule", "covered"),
    [
        (["secrets"], "card", True),
        (["secrets:card"], "card", True),
        (["secrets:card"], "key", False),
        (["secrets:key", "secrets"], "card", True),
        (["secrets", "secrets:key"], "card", True),
    ],
)
def test_patterns_are_files_or_rules(patterns: list[str], rule: str, covered: bool) -> None:
    """A file means all its rules."""
    (consent,) = agreed(told(patterns=patterns)).of("web1")
    assert consent.covers("secrets", rule) is covered
    assert not consent.covers("others", rule)


def test_searches_are_joined_where_files_are_the_same() -> None:
    """A packet is searched once for all consents, unless they mean different contents of a file."""
    one = told("a", patterns=["secrets:card"])
    two = told("b", patterns=["secrets:key", "more"], digests={"secrets": "d1", "more": "m"})
    other = told("c", digests={"secrets": "d2"})
    assert together(agreed(one, two).of("web1")) == [
        ({"secrets": frozenset({"card", "key"}), "more": frozenset()}, {"secrets": "d1", "more": "m"})
    ]
    assert [digests["secrets"] for _, digests in together(agreed(one, other).of("web1"))] == ["d1", "d2"]
