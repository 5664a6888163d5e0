"""Logs: a line an event, for people or as JSON, with what it is about; and levels that change while a process runs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from runtime import log, loglevel


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is the whole process's."""
    root = logging.getLogger("dynseg")
    before = root.handlers, root.level, root.propagate
    yield
    root.handlers, root.propagate = before[0], before[2]
    root.setLevel(before[1])
    logging.getLogger("dynseg.test").setLevel(logging.NOTSET)


def written(form: str, level: str = "INFO") -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    log.configure("engine", level, form, stream)
    return logging.getLogger("dynseg.test"), stream


def test_json_is_an_object_a_line_with_its_fields() -> None:
    """Text, level, logger, process, time and what was said beside it; nothing breaks the line."""
    logger, stream = written("json")
    logger.warning("rule %s is\nthere 🦊", "r1", extra={"rule": "r1", "vfn": "leaf1", "rules": ["a", "b"]})
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "event": "rule r1 is\nthere 🦊",
        "level": "warning",
        "logger": "dynseg.test",
        "process": "engine",
        "rule": "r1",
        "vfn": "leaf1",
        "rules": ["a", "b"],
    }


def test_a_trace_is_part_of_the_object() -> None:
    """An exception does not spill over the line."""
    logger, stream = written("json")
    try:
        int("no")
    except ValueError:
        logger.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_what_json_does_not_know_is_told_as_text() -> None:
    """A field may be anything."""
    logger, stream = written("json")
    logger.info("x", extra={"who": {1}})
    assert json.loads(stream.getvalue())["who"] == "{1}"


def test_people_get_a_line_they_can_read() -> None:
    """Time, process, level, logger, text; fields behind it, quoted where they have spaces."""
    logger, stream = written("human")
    logger.info("rule is there", extra={"rule": "r1", "reason": "it scans"})
    line = stream.getvalue()
    assert line[24:] == "engine INFO dynseg.test: rule is there  rule=r1  reason='it scans'\n".removeprefix(" ")
    assert line[:4].isdigit()


def test_people_get_the_trace_below() -> None:
    """As Python shows it."""
    logger, stream = written("human")
    try:
        int("no")
    except ValueError:
        logger.exception("failed")
    assert stream.getvalue().splitlines()[0].endswith("dynseg.test: failed")
    assert stream.getvalue().splitlines()[-1].startswith("ValueError: invalid literal")


def test_a_level_changes_at_once_and_is_taken_back() -> None:
    """Of one logger, without touching the others."""
    logger, stream = written("human")
    logger.debug("before")
    assert loglevel.answer({"logger": "dynseg.test", "level": "DEBUG"})[1] == {
        "levels": {**loglevel.levels(), "dynseg": "INFO", "dynseg.test": "DEBUG"}
    }
    logger.debug("during")
    logging.getLogger("dynseg.other").debug("of another")
    loglevel.answer({"logger": "dynseg.test", "level": "INHERIT"})
    logger.debug("after")
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == ["during"]


@pytest.mark.parametrize(
    "params",
    [{"level": "LOUD"}, {"logger": "root"}, {"logger": "dynseg.x y"}, {"lewel": "INFO"}, {"level": "INHERIT"}],
)
def test_a_wrong_wish_changes_nothing(params: dict[str, str]) -> None:
    """400, with the key and what to do."""
    written("human")
    before = loglevel.levels()
    status, told = loglevel.answer(params)
    assert status == 400
    assert set(told) == {"error", "remedy"}
    assert loglevel.levels() == before


def test_asking_changes_nothing() -> None:
    """Without a level the levels are shown."""
    written("human", "WARNING")
    status, told = loglevel.answer({})
    assert (status, told["levels"]["dynseg"]) == (200, "WARNING")
