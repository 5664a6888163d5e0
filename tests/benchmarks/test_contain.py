"""When an attack counts as stopped: a function of what was sent and what was forwarded."""

from dataclasses import replace

import pytest

from benchmarks.contain import BIN_SECONDS, first_step, stopped
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.evidence import Strike
from mininet_labs.instruments import Watch

START = 1000.0


def strike(sent: list[float], passed: list[float], rule: bool = True) -> Strike:
    """An attack with frames at these seconds after its start."""
    attack = Attack("flood", "web1", ("app1",), (), "", openings=True)
    times = [tuple(START + each for each in part) for part in (sent, passed)]
    watch = Watch(times[0], (), times[1], times[1], 0)
    return Strike(attack, START, START + 10, watch, {"id": "r"} if rule else None)


def every(step: float, until: float) -> list[float]:
    """Moments from 0 on."""
    return [number * step for number in range(int(until / step))]


def test_a_cut_ends_with_the_last_packet_that_passed() -> None:
    """All pass, then none does."""
    assert stopped(strike(every(0.001, 1), every(0.001, 0.131))) == pytest.approx(0.13)


def test_what_a_limit_lets_through_is_not_free() -> None:
    """A tenth goes on for a while; what counts is when the rest stopped."""
    limited = [each for number, each in enumerate(every(0.001, 1)) if each < 0.1 or number % 10 == 0]
    found = stopped(strike(every(0.001, 1), limited))
    assert found is not None
    assert abs(found - 0.1) <= BIN_SECONDS


def test_what_is_forwarded_while_nothing_is_sent_was_sent_before() -> None:
    """A flood pauses under its limit, and a packet that was under way arrives meanwhile: that is no free passage."""
    sent = [each for each in every(0.001, 1) if not 0.5 <= each < 0.6]
    limited = [each for number, each in enumerate(every(0.001, 0.5)) if each < 0.1 or number % 10 == 0]
    found = stopped(strike(sent, [*limited, 0.55]))
    assert found is not None
    assert abs(found - 0.1) <= BIN_SECONDS


def test_nothing_forwarded_is_stopped_at_once_and_nothing_decided_never() -> None:
    """Default deny forwards nothing; without a rule it is not known to be over."""
    assert stopped(strike(every(0.01, 1), [])) == 0.0
    assert stopped(strike(every(0.01, 1), every(0.01, 1), rule=False)) is None
    assert stopped(replace(strike([], []), rule={"id": "r"})) is None


def test_the_first_step_is_the_first_that_was_confirmed_about_the_attacker() -> None:
    """Others' rules, and its own from before and after, are not."""

    def entry(vm: str, after: float, kind: str = "enforced") -> dict:
        return {"ts": START + after, "kind": kind, "body": {"vm": vm, "seconds": 0.05}}

    attack = strike(every(0.01, 1), every(0.01, 0.1))
    audit = [
        entry("web1", -1),
        entry("web2", 0.1),
        entry("web1", 0.1, "admitted"),
        entry("web1", 2),
        entry("web1", 0.25),
    ]
    assert first_step(attack, audit) == pytest.approx((0.2, 0.25))
    assert first_step(attack, audit[:3]) is None
