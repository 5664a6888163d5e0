"""What people have set about automatic rules, and what is in the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controls import Controls, Hold, Modes, check, guarded, in_effect, mode_of
from policies.rules import Action, Mode, SegmentationRule
from policies.store import Entry, Store
from runtime.errors import SettingsError
from runtime.settings import EngineSettings, TapSettings
from topology.inventory import parse

CAUTION = [Mode.OBSERVE, Mode.PROPOSE, Mode.ENFORCE]
RULE = SegmentationRule("a" * 12, Action.ISOLATE, "analyzer", 0.0, source_vm="web1")
modes = st.sampled_from(list(Mode))


@given(modes, modes, st.none() | modes, st.none() | modes, st.none() | modes, st.booleans())
def test_the_most_cautious_mode_holds(
    set_in_file: Mode, own: Mode, overall: Mode | None, segment: Mode | None, action: Mode | None, held: bool
) -> None:
    """Of network (people over settings), segment, action, the rule itself, and the hold switch."""
    own_modes = {} if segment is None else {"web": segment}
    of_actions = {} if action is None else {Action.ISOLATE: action}
    controls = Controls(hold=Hold(on=held), modes=Modes(overall=overall, segments=own_modes, actions=of_actions))
    rule = SegmentationRule("a" * 12, Action.ISOLATE, "analyzer", 0.0, source_vm="web1", mode=own)
    mode, why = mode_of(rule, "web", controls, EngineSettings(mode=set_in_file.value))
    applying = [own, overall or set_in_file, segment, action, Mode.PROPOSE if held else None]
    assert mode is min((one for one in applying if one is not None), key=CAUTION.index)
    assert why


def test_modes_of_others_do_not_matter() -> None:
    """Another segment's and another action's say nothing."""
    of_others = Modes(segments={"db": Mode.OBSERVE}, actions={Action.DENY: Mode.OBSERVE})
    assert mode_of(RULE, "web", Controls(modes=of_others), EngineSettings())[0] is Mode.ENFORCE


def test_what_people_set_stands_over_the_settings() -> None:
    """Key by key."""
    settings = EngineSettings(mode="propose", segment_modes={"web": "observe", "db": "propose"})
    effect = in_effect(Modes(segments={"web": Mode.ENFORCE}), settings)
    assert effect.overall is Mode.PROPOSE
    assert effect.segments == {"web": Mode.ENFORCE, "db": Mode.PROPOSE}


def test_a_segment_that_is_not_there_is_told_at_the_start() -> None:
    """With the key and the name that was probably meant."""
    inventory = parse("segments: {web: }\nvfns: {v1: {dpid: 1}}\n")
    check(EngineSettings(segment_modes={"web": "observe"}), inventory)
    with pytest.raises(SettingsError, match=r"engine\.segment_modes\.wbe.*web"):
        check(EngineSettings(segment_modes={"wbe": "observe"}), inventory)


def test_resolvers_are_protected() -> None:
    """Beside what the settings name."""
    told = guarded(EngineSettings(protected=("192.0.2.0/28",)), TapSettings(resolvers=("192.0.2.53", "fd00::53")))
    assert [str(net) for net in told.protected] == ["192.0.2.0/28", "192.0.2.53/32", "fd00::53/128"]


def test_what_was_set_is_kept(tmp_path: Path) -> None:
    """The store gives it back whole, and nothing if nothing was set."""
    store = Store(tmp_path / "x.sqlite")
    assert store.controls() == Controls()
    for on in (True, False):
        hold = Hold(on=on, since=5.0, actor="anna", reason="exercise")
        controls = Controls(hold=hold, modes=Modes(overall=Mode.OBSERVE, actions={Action.DENY: Mode.PROPOSE}))
        store.write([Entry(5.0, "anna", "hold", {})], controls=controls)
        assert store.controls() == controls
    store.close()
