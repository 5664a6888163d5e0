"""Risk and advice."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.advisor import AGAIN_SECONDS, Advisor
from analyzer.risk import (
    AGREE_P,
    BLATANT,
    CALM,
    CLEAR,
    HALF_LIFE,
    MOST_ALONE,
    OVERWHELMING,
    SURE_P,
    Finding,
    Verdict,
    advised,
    decayed,
    fisher,
    flow_risk,
    needed_at_once,
    risk_of,
    risk_of_p,
    risk_of_strength,
)

FINDINGS = st.builds(
    Finding, st.just("scan"), st.just("T1046"), st.floats(1, 1e6), st.just("scan: 9 of 9".__str__), st.booleans()
)


def verdict(vm: int = 1, risk: float = 80.0, confirmed: bool = True, time: float = 100.0) -> Verdict:
    """A verdict about a VM, or (vm 0) about an outside address."""
    finding = Finding("scan", "T1046", 5.0, "scan: tried 100 services".__str__, True)
    address = None if vm else (0, 0xFFFF_CB00_7142)
    action = "isolate" if confirmed else "alert"
    return Verdict(vm, vm, address, time, risk, 1e-4, (finding,), confirmed, action)


def test_risk_scale_has_its_anchors() -> None:
    """At its floor a behaviour is 50, at eight times 100; p of 1e-3 is 50, of 1 nothing."""
    assert risk_of_strength(np.array([1, 8, 1000])).round(6).tolist() == [50, 100, 100]
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
    assert advisor.set_in_force({1: "isolate"}) == set()
    assert advisor.set_in_force({}) == {1}
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


@given(st.lists(st.floats(1e-12, 1), min_size=2, max_size=20))
def test_risk_of_flows_keeps_their_order(ps: list[float]) -> None:
    """The less likely a flow, the higher its risk, without a step where it is capped."""
    p = np.sort(np.array(ps))
    risk = flow_risk(p)
    assert (np.diff(risk) <= 1e-12).all()
    assert ((risk >= 0) & (risk < MOST_ALONE)).all()
    assert np.allclose(risk[risk <= CALM], risk_of_p(p)[risk <= CALM])


@given(st.floats(1e-9, 1), st.floats(1e-9, 1))
def test_two_tails_make_one(first: float, second: float) -> None:
    """Fisher's combination is symmetric, within (0, 1], and of two certainties certain."""
    a, b = np.array([first]), np.array([second])
    assert fisher(a, b) == fisher(b, a)
    assert 0 < fisher(a, b)[0] <= 1
    assert fisher(np.ones(1), np.ones(1)).tolist() == [1.0]


def found(strength: float, action: str, passive: bool = False) -> tuple[Finding, ...]:
    """One finding."""
    return (Finding("x", "T1", strength, "x: 9".__str__, action != "alert", action, passive),)


def test_the_ladder_is_climbed_by_evidence() -> None:
    """A first step for a clear effect with the baseline, isolation after two of three, nothing for what only alerts."""
    isolates = found(BLATANT, "isolate")
    assert advised(isolates, np.inf, False, False) == "alert"
    assert advised(isolates, BLATANT, False, False) == "restrict"
    assert advised(isolates, np.inf, True, False) == "isolate"
    assert advised(found(OVERWHELMING, "isolate"), np.inf, False, True) == "restrict"
    assert advised(found(CLEAR, "isolate"), np.inf, False, True) == "alert"
    assert advised(found(CLEAR, "isolate"), np.inf, False, True, CLEAR) == "restrict"
    assert advised(found(100, "alert"), 1.0, True, True) == "alert"


def test_the_rarer_the_window_the_less_is_needed_at_once() -> None:
    """What is as rare as two windows together needs its floor, one in twenty more; what is common never suffices."""
    learned, outside = np.array([SURE_P, AGREE_P, 2 * AGREE_P, 1.0]), np.array([False, False, False, True])
    assert needed_at_once(learned, outside).tolist() == [1.0, BLATANT, np.inf, BLATANT]


def test_victims_are_limited_and_strangers_denied() -> None:
    """What is done to a subject leads to its relief when it goes on; who knocks in vain is denied at once."""
    assert advised(found(9, "rate_limit", passive=True), 1.0, True, False) == "alert"
    assert advised(found(9, "rate_limit", passive=True), np.inf, False, True) == "rate_limit"
    assert advised(found(1, "deny"), 1.0, False, False) == "deny"


def test_a_higher_step_follows_a_lower_one() -> None:
    """After a restriction an isolation is asked for, not the other way round; what the engine chose instead counts."""
    advisor = Advisor()
    first, second = replace(verdict(1), action="restrict", confirmed=False), verdict(1)
    (proposal,) = advisor.advise([first])
    advisor.decided(proposal.number, accepted=True)
    (proposal,) = advisor.advise([second])
    assert proposal.action == "isolate"
    assert advisor.advise([first]) == []
    advisor.decided(proposal.number, accepted=True)
    advisor.set_in_force({1: "restrict"})
    assert [p.action for p in advisor.advise([second])] == ["isolate"]
