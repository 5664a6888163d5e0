"""Errors and the log: a person reads what is wrong, where, and what to do."""

from __future__ import annotations

import pickle

import pytest

from runtime import log
from runtime.errors import ChannelError, DynsegError, InventoryError, TransientError


def test_an_error_reads_as_place_key_message_remedy() -> None:
    """All parts in the order in which a compiler would print them."""
    error = InventoryError("unknown key", file="net.yaml", line=7, key="vms.web1.colour", remedy="take it out")
    assert str(error) == "net.yaml:7: vms.web1.colour: unknown key (take it out)"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DynsegError("broken"), "broken"),
        (DynsegError("broken", file="a"), "a: broken"),
        (DynsegError("broken", line=3), "broken"),
        (DynsegError("broken", key="a.b"), "a.b: broken"),
    ],
)
def test_parts_that_are_not_known_leave_no_trace(error: DynsegError, text: str) -> None:
    """No `None` and no empty brackets are shown."""
    assert str(error) == text


def test_a_broken_channel_is_expected_to_pass() -> None:
    """What is retried is told apart from what is not."""
    assert isinstance(ChannelError("gone"), TransientError)
    assert not isinstance(InventoryError("wrong"), TransientError)


def test_an_error_survives_a_process_border() -> None:
    """An error raised in a worker process arrives with all its parts."""
    error = InventoryError("unknown key", file="net.yaml", line=7, key="vms", remedy="take it out")
    back = pickle.loads(pickle.dumps(error))
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_log_lines_name_process_level_and_room(capsys: pytest.CaptureFixture[str]) -> None:
    """One line an event on standard error; setting up twice does not double it."""
    log.configure("engine", "info")
    logger = log.configure("engine", "info")
    logger.getChild("store").warning("slow: %d ms", 12)
    logger.getChild("store").debug("not shown")
    logger.handlers.clear()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith("engine WARNING dynseg.store: slow: 12 ms\n")
    assert shown.err.count("\n") == 1
