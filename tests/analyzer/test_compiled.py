"""Loops as machine code."""

from typing import Any

import numpy as np
import pytest

from analyzer import warm
from analyzer.compiled import compiled, signed


def test_without_a_place_to_keep_it_code_is_compiled_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """A function that stands in no file has nothing beside which its machine code could lie."""
    place: dict[str, Any] = {}
    exec("def double(number):\n    return 2 * number\n", place)
    with caplog.at_level("INFO"):
        double = compiled(place["double"])
    assert double(21) == 42
    assert "compiled at each start" in caplog.text


def test_numbers_of_all_columns_may_be_mixed() -> None:
    """Unsigned ones become signed, so that bits can be told apart."""
    assert signed(np.uint8(255)) & ~1 == 254


def test_warming_up_leaves_nothing_to_compile(caplog: pytest.LogCaptureFixture) -> None:
    """The second time in a process it is a matter of milliseconds, and not worth a word."""
    warm.up()
    with caplog.at_level("INFO"):
        warm.up()
    assert caplog.records == []
