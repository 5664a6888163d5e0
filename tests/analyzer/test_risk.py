"""Risk and advice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.advisor import AGAIN_SECONDS, Advisor
from analyzer.risk import HALF_LIFE, MOST_ALONE, Finding, Verdict, decayed, risk_of, risk_of_p, risk_of_strength

FINDINGS = st.builds(
    Finding, st.just("scan"), st.just("T1046"), st.floats(1, 1e6), st.just("scan: 9 of 9"), st.booleans()
)


def verdict(vm: int = 1, risk: float = 80.0, confirmed: bool = True, time: float = 100.0) -> Verdict:
    """A verdict about a VM, or (vm 0) about an outside address."""
    finding = Finding("scan", "T1046", 5.0, "scan: tried 100 services", True)
    return Verdict(vm, vm, None if vm else (0, 0xFFFF_CB00_7142), time, risk, 1e-4, (finding,), confirmed)


def test_risk_scale_has_its_anchors() -> None:
    """At its floor a behaviour is 50, at eight times 100; p of 1e-3 is 50, of 1 nothing."""
    assert [round(risk_of_strength(s), 6) for s in (1, 8, 1000)] == [50, 100, 100]
    assert risk_of_p(np.array([1.0, 1e-3, 1e-6, 1e-30])).round(6).tolist() == [0, 50, 100, 100]


@given(st.lists(FINDINGS, max_size=4), st.floats(1e-12, 1))
def test_risk_is_a_maximum_and_alone_it_is_capped(findings: list[Finding], p: float) -> None:
    """Adding a finding never lowers risk nor sums; without an acting behaviour risk stays below the cap."""
    risk = risk_of(tuple(findings), p)
    assert 0 <= risk <= 100
    assert all(risk >= risk_of((f,), p) for f in findings)
    assert risk == max([risk_of((), p), *(risk_of((f,), p) for f in findings)])
    if not any(f.acts for f in findings):
        assert risk <= MOST_ALONE


def test_risk_decays_by_half_lives() -> None:
    """Without news risk halves every half-life, and clocks that go back do not raise it."""
    assert decayed(np.array([80.0]), np.array([HALF_LIFE])).tolist() == [40.0]
    assert decayed(np.array([80.0]), np.array([-5.0])).tolist() == [80.0]


def test_advice_is_by_risk_once_and_only_when_confirmed() -> None:
    """Riskiest first; a VM is isolated, an outside address denied; the same is not asked twice."""
    advisor = Advisor()
    found = advisor.advise([verdict(1, 60), verdict(0, 70), verdict(2, 90), verdict(3, 95, confirmed=False)])
    assert [(p.action, p.subject) for p in found] == [("isolate", 2), ("deny", (0, 0xFFFF_CB00_7142)), ("isolate", 1)]
    assert advisor.advise([verdict(1), verdict(2)]) == []
    assert [p.number for p in advisor.outstanding()] == [p.number for p in found]


def test_what_is_in_force_is_not_asked_for_until_released() -> None:
    """An accepted isolation silences advice about its VM; its end is reported once and opens it again."""
    advisor = Advisor()
    (proposal,) = advisor.advise([verdict(1)])
    assert advisor.decided(proposal.number, accepted=True) is proposal
    assert advisor.outstanding() == []
    assert advisor.advise([verdict(1, time=500)]) == []
    assert advisor.set_in_force({1}) == set()
    assert advisor.set_in_force(set()) == {1}
    assert len(advisor.advise([verdict(1, time=501)])) == 1


def test_a_refused_proposal_waits() -> None:
    """After a refusal the same is asked again, but not at once; answers to unknown numbers are ignored."""
    advisor = Advisor(first=77)
    (proposal,) = advisor.advise([verdict(1, time=100)])
    assert proposal.number == 77
    assert advisor.decided(12345, accepted=True) is None
    advisor.decided(proposal.number, accepted=False)
    assert advisor.advise([verdict(1, time=100 + AGAIN_SECONDS - 1)]) == []
    assert len(advisor.advise([verdict(1, time=100 + AGAIN_SECONDS)])) == 1
