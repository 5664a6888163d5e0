"""The pages' colours: there for light and dark screens, and readable on both (WCAG 2.2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
CSS = (DASHBOARDS / "templates" / "report.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in CSS.split("prefers-color-scheme: dark"))
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def brightness(colour: str) -> float:
    """Relative luminance; source: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((brightness(one), brightness(other)))
    return (light + 0.05) / (dark + 0.05)


def over(ground: str, colour: str, share: float) -> str:
    """A colour with an opacity, on a ground."""
    pairs = ((int(ground[i : i + 2], 16), int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def test_both_themes_have_every_colour_that_is_asked_for() -> None:
    """No picture, page or style names a colour that is not there."""
    sources = [*DASHBOARDS.glob("*.py"), *DASHBOARDS.glob("network_report/*.py"), *DASHBOARDS.glob("templates/*")]
    asked = {name for file in sources for name in re.findall(r"var\(--([\w-]+)\)", file.read_text())}
    assert asked
    assert asked <= LIGHT.keys()
    assert LIGHT.keys() == DARK.keys()


def test_paper_is_light() -> None:
    """Who prints from a dark screen gets dark words on white."""
    assert re.findall(r"@media ([\w ]*)\(prefers-color-scheme: dark\)", CSS) == ["screen and "]


@THEMES
def test_words_can_be_read(theme: dict[str, str]) -> None:
    """4.5 to 1 for words on every ground that they stand on."""
    for ground in ("paper", "ground", "lane"):
        for ink in ("ink", "muted", "good", "bad"):
            assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
    for level in ("good", "bad"):
        assert contrast(theme["on-level"], theme[level]) >= 4.5


@THEMES
def test_lines_and_marks_can_be_seen(theme: dict[str, str]) -> None:
    """3 to 1 for what is drawn to be understood without words."""
    for mark in ("cut", "blocked", "risk", "isolation", "restriction", "denial", "release", "bar", "edge"):
        assert contrast(theme[mark], theme["paper"]) >= 3, mark
        assert contrast(theme[mark], theme["lane"]) >= 3, mark


@THEMES
def test_amounts_in_the_heat_map_can_be_read(theme: dict[str, str]) -> None:
    """Whatever the share of the heat's colour is."""
    from dashboards.network_report.heat import TURN

    for percent in range(101):
        ground = over(theme["paper"], theme["heat"], percent / 100)
        ink = theme["on-full-heat" if percent / 100 > TURN else "on-light-heat"]
        assert contrast(ink, ground) >= 4.4, percent
