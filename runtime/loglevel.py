"""Changes what a process logs while it runs, for `PUT /v1/log-level`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.log import ROOT
from runtime.validation import in_words, most_telling

_REMEDY = "give `level` (DEBUG, INFO, WARNING, ERROR, INHERIT) and, if you like, `logger` (dynseg...)"


class LevelParams(BaseModel):
    """Which logger, and its new level; without one nothing is changed."""

    model_config = ConfigDict(extra="forbid")

    logger: str = Field(ROOT, pattern=r"^dynseg(\.[a-z_]+)*$")
    """`dynseg` is all; `dynseg.engine`, `dynseg.control.rest` ... what is below that name."""
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "INHERIT"] | None = None
    """`INHERIT`: that of the name above, again."""


def answer(params: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """As `set_level`, with the parameters checked first."""
    try:
        return set_level(LevelParams.model_validate(params))
    except ValidationError as error:
        first = most_telling(error)
        key = ".".join(map(str, first["loc"]))
        return 400, {"error": f"{key}: {in_words(first)[0]}", "remedy": _REMEDY}


def set_level(wanted: LevelParams) -> tuple[int, dict[str, Any]]:
    """(HTTP status, `{levels}` by logger as they are then); 400 with error and remedy when that cannot be."""
    if wanted.level == "INHERIT" and wanted.logger == ROOT:
        return 400, {"error": "level: nothing is above `dynseg`", "remedy": "name a level"}
    if wanted.level is not None:
        logging.getLogger(wanted.logger).setLevel(logging.NOTSET if wanted.level == "INHERIT" else wanted.level)
    return 200, {"levels": levels()}


def levels() -> dict[str, str]:
    """The level of `dynseg`, and of every logger below it that has one of its own."""
    known = logging.root.manager.loggerDict
    own = {
        name: logging.getLevelName(logger.level)
        for name, logger in known.items()
        if isinstance(logger, logging.Logger) and name.startswith(f"{ROOT}.") and logger.level != logging.NOTSET
    }
    return {ROOT: logging.getLevelName(logging.getLogger(ROOT).level), **dict(sorted(own.items()))}
