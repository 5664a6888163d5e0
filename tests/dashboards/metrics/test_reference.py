"""What is made of the schema is as the schema is."""

from __future__ import annotations

import re

from dashboards.metrics.__main__ import files
from dashboards.metrics.downsampling import flux
from dashboards.metrics.schema import MEASUREMENTS, Kind


def test_nothing_that_is_made_is_stale() -> None:
    """The page's tables, the Flux task and the flags are what `make dashboards` would write."""
    stale = [path.name for path, content in files().items() if path.read_text(encoding="utf-8") != content]
    assert stale == []


def test_every_number_is_sampled_down_once() -> None:
    """Each field of each measurement without texts is in the Flux task, under one function."""
    named = re.findall(r'^        "(\S+)",$', flux(), re.MULTILINE)
    expected = [
        f"{one.full_name}/{field.name}"
        for one in MEASUREMENTS
        if all(field.kind is not Kind.TEXT for field in one.fields)
        for field in one.fields
    ]
    assert sorted(named) == sorted(expected)
