"""What people have set about automatic rules: modes, and the switch that holds all automatic action."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Literal

from pydantic import BaseModel, ConfigDict

from policies.rules import Action, Mode, SegmentationRule
from runtime.errors import SettingsError
from runtime.settings import EngineSettings, TapSettings
from topology.model import Inventory
from topology.names import nearest

StepAction = Literal[Action.ISOLATE, Action.RESTRICT, Action.STEER, Action.RATE_LIMIT, Action.DENY]
"""Actions that take something from somebody, so that a mode is set for them."""
_CAUTION = (Mode.OBSERVE, Mode.PROPOSE, Mode.ENFORCE)
"""The most cautious first."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hold(_Part):
    """The switch. While it is on, automatic rules wait for approval instead of being installed."""

    on: bool = False
    since: float | None = None
    """Epoch seconds of the last change."""
    actor: str | None = None
    reason: str = ""


class Modes(_Part):
    """Modes that stand instead of those of the settings."""

    overall: Mode | None = None
    segments: Mapping[str, Mode] = {}
    actions: Mapping[StepAction, Mode] = {}


class Controls(_Part):
    """Both, as the store keeps them."""

    hold: Hold = Hold()
    modes: Modes = Modes()


def guarded(settings: EngineSettings, taps: TapSettings) -> EngineSettings:
    """The settings with the resolvers among the addresses that are never denied or limited."""
    resolvers = tuple(ip_network(str(address)) for address in taps.resolvers)
    return settings.model_copy(update={"protected": (*settings.protected, *resolvers)})


def check(settings: EngineSettings, inventory: Inventory) -> None:
    """Are all segments there that the settings name?

    Raises:
        SettingsError: one is not.
    """
    for name in settings.segment_modes:
        if name not in inventory.segments:
            remedy = nearest(name, inventory.segments)
            raise SettingsError(f"no segment {name!r}", key=f"engine.segment_modes.{name}", remedy=remedy)


def in_effect(modes: Modes, settings: EngineSettings) -> Modes:
    """What holds, whether set by people or in the settings."""
    return Modes(
        overall=modes.overall or Mode(settings.mode),
        segments={**{name: Mode(mode) for name, mode in settings.segment_modes.items()}, **modes.segments},
        actions={**{Action(name): Mode(mode) for name, mode in settings.action_modes.items()}, **modes.actions},
    )


def mode_of(rule: SegmentationRule, segment: str, controls: Controls, settings: EngineSettings) -> tuple[Mode, str]:
    """What is to become of an automatic rule, and why: the most cautious of everything that applies.

    Args:
        segment: of the VM that it is about.
    """
    modes = in_effect(controls.modes, settings)
    found: list[tuple[Mode, str]] = [(rule.mode, "its issuer")]
    if modes.overall is not None:
        found.append((modes.overall, "the mode of the network"))
    if segment in modes.segments:
        found.append((modes.segments[segment], f"the mode of segment {segment}"))
    found += [(mode, f"the mode of {action}") for action, mode in modes.actions.items() if action is rule.action]
    if controls.hold.on:
        found.append((Mode.PROPOSE, f"all automatic action is held by {controls.hold.actor}"))
    return min(found, key=lambda one: _CAUTION.index(one[0]))
