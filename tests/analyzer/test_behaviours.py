"""Checks that every detector has to pass, and what each one is for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.behaviours import ALL, Behaviour, Scene
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS

SHAPE = (len(LENGTHS), 1, len(FEATURES))
EVERY = pytest.mark.parametrize("behaviour", ALL, ids=lambda b: b.name)


def scene(usual: dict[str, float] | None = None, **values: float) -> Scene:
    """One subject with these values in every window, everything else 0."""
    made = []
    for features in (values, usual or {}, usual or {}):
        array = np.zeros(SHAPE)
        for name, value in features.items():
            array[:, :, FEATURES.index(name)] = value
        made.append(array)
    return Scene(*made)


LOUD = {
    "scan": scene(flows=500, in_services=500, in_hosts=3, failed_services=480, failed=480),
    "failed-connections": scene(flows=500, failed=480),
    "brute-force": scene(flows=200, admin_flows=200, admin_pairs=1),
    "first-contact": scene(flows=1, out_hosts=1, new_outside=1),
    "outbound-volume": scene(flows=1, bytes_out=4e8, bytes_unknown=4e8, bytes_in=1e6),
    "spoofing": scene(spoofed=100),
}
QUIET = scene(flows=12, in_hosts=4, in_services=5, bytes_out=2e5, bytes_in=3e6, dns=5, packets=500, failed=1)


@EVERY
def test_silence_and_ordinary_work_are_nothing(behaviour: Behaviour) -> None:
    """Nobody is suspected for nothing, nor for a page or two."""
    assert behaviour.strength(scene())[0] == 0
    assert behaviour.strength(QUIET)[0] < 1


@EVERY
def test_each_sees_what_it_is_for(behaviour: Behaviour) -> None:
    """The loud example is seen, with a reason that has its numbers, a name and a technique."""
    loud = LOUD[behaviour.name]
    assert behaviour.strength(loud)[0] >= 1
    reason = behaviour.reason(loud, 0)
    assert any(c.isdigit() for c in reason)
    assert behaviour.technique.startswith("T1")


@EVERY
def test_what_is_usual_is_no_behaviour(behaviour: Behaviour) -> None:
    """The same numbers, when they are usual for the VM and its segment, are no finding (forgery is never usual)."""
    loud = LOUD[behaviour.name]
    assert behaviour.strength(Scene(loud.values, loud.values, loud.values))[0] < 1


@EVERY
@given(st.lists(st.floats(0, 1e9), min_size=len(FEATURES), max_size=len(FEATURES)))
def test_any_numbers_give_a_strength(behaviour: Behaviour, numbers: list[float]) -> None:
    """Strength is finite and not negative for any windows, and a finding always has a reason."""
    values = np.tile(np.array(numbers), (len(LENGTHS), 1, 1))
    found = behaviour.strength(Scene(values, np.zeros(SHAPE), np.zeros(SHAPE)))
    assert found.shape == (1,)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    if found[0] >= 1:
        assert behaviour.reason(Scene(values, np.zeros(SHAPE), np.zeros(SHAPE)), 0)


@EVERY
def test_subjects_do_not_disturb_each_other(behaviour: Behaviour) -> None:
    """In a crowd each gets the strength it has alone."""
    loud = LOUD[behaviour.name]
    crowd = Scene(*(np.concatenate([q, w, q], axis=1) for q, w in zip(_arrays(QUIET), _arrays(loud), strict=True)))
    alone = [behaviour.strength(s)[0] for s in (QUIET, loud, QUIET)]
    assert behaviour.strength(crowd).tolist() == alone


def _arrays(of: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return of.values, of.own, of.segment


def test_a_browser_is_no_scanner() -> None:
    """Many outside services that answer, and a few inside, are no scan however many they are."""
    scan = next(b for b in ALL if b.name == "scan")
    assert scan.strength(scene(flows=400, out_hosts=200, in_services=12, in_hosts=6))[0] < 1


def test_admin_work_on_many_machines_is_no_brute_force() -> None:
    """An operator who opens two sessions on each of fifteen machines does not guess passwords."""
    brute = next(b for b in ALL if b.name == "brute-force")
    assert brute.strength(scene(admin_flows=30, admin_pairs=15))[0] < 1


def test_fetching_is_no_pushing() -> None:
    """Much data out counts only when much less comes in."""
    volume = next(b for b in ALL if b.name == "outbound-volume")
    assert volume.strength(scene(bytes_out=4e8, bytes_unknown=4e8, bytes_in=4e8))[0] == 0


def test_only_clear_behaviours_may_act() -> None:
    """A first contact and failing connections never lead to a rule by themselves."""
    assert {b.name for b in ALL if not b.acts} == {"first-contact", "failed-connections"}
