"""Rules keep to the priorities of their tier."""

from __future__ import annotations

from itertools import pairwise

from policies.acl import MAX_RANK, Acl
from policies.pipeline.judgement import RESOLUTION, TRANSIT, priority
from policies.rules import Tier, Verdict


def test_no_rank_reaches_into_the_next_tier() -> None:
    """The last drop of a tier is judged after the first allow of the next, and before what the table has of its own."""
    tiers = sorted(Tier)
    for tier, above in pairwise(tiers):
        last = Acl("last", tier, Verdict.DROP, rank=MAX_RANK)
        first = Acl("first", above, Verdict.ALLOW, rank=0)
        assert priority(last) < priority(first)
    assert priority(Acl("last", tiers[-1], Verdict.DROP, rank=MAX_RANK)) < TRANSIT < 1 << 16
    learned = Acl("last", Tier.POLICY, Verdict.DROP, rank=MAX_RANK)
    contains = Acl("first", Tier.INTEL, Verdict.ALLOW, rank=0)
    assert priority(learned) < RESOLUTION < priority(contains)
