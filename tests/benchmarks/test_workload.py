"""The policies that benchmarks lay down: of the size they say, and the same in both forms."""

from __future__ import annotations

import pytest

from benchmarks.vfn import workload
from policies.document import parse
from policies.rules import Verdict

SEGMENTS = list(workload.one_vfn().segments)


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_no_two_rules_match_the_same(count: int) -> None:
    """As many as asked for, none of which makes another superfluous."""
    acls = workload.acls(count, SEGMENTS)
    assert len({(acl.source, acl.destination, acl.services) for acl in acls}) == len(acls) == count
    assert all(acl.source != acl.destination for acl in acls)


def test_segments_share_rules_of_both_verdicts_evenly() -> None:
    """No segment's VFN has more to carry than another's, and each has denies."""
    acls = workload.acls(900, SEGMENTS)
    for segment in SEGMENTS:
        own = [acl for acl in acls if acl.source.segment == segment]
        assert abs(len(own) - 225) <= 1
        assert 20 <= sum(acl.verdict is Verdict.DROP for acl in own) <= 30


def test_the_document_means_the_values() -> None:
    """What is measured through REST is what is measured without it."""
    text = workload.document(50, SEGMENTS)
    assert parse(text, workload.one_vfn(), lambda _: ()).acls == workload.acls(50, SEGMENTS)
