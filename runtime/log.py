"""Logs: one event a line on standard error, for people or as JSON, made of the standard library's by structlog.

What an event is about stands beside its text, as fields (`extra=` of a log call): `rule`, `proposal`, `vfn`, `vm`,
`request`. So `rule` leads from what the analyzer proposed (which logs the flows and the proposal's number) over the
engine's decision to the OpenFlow messages that control sent.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

ROOT = "dynseg"


def configure(process: str, level: str = "INFO", form: str = "human", stream: TextIO | None = None) -> logging.Logger:
    """Send this process's log to standard error, or to `stream`, and return its root logger `dynseg`.

    Args:
        process: its name, which is in every line.
        level: DEBUG, INFO, WARNING or ERROR.
        form: `human`, or `json`: an object with `time` (UTC), `process`, `level`, `logger`, `event`, `exception` and
            the event's fields.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _named(process),
    ]
    last: list[Processor]
    if form == "json":
        shared.append(structlog.processors.TimeStamper("iso", utc=True, key="time"))
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        shared.append(structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S.%f", utc=False, key="time"))
        last = [structlog.processors.format_exc_info, _for_people]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logger = logging.getLogger(ROOT)
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    return logger


def _named(process: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def _for_people(_: WrappedLogger, __: str, event: EventDict) -> str:
    """`time process LEVEL logger: text  key=value ...`, and a trace below it."""
    head = f"{event.pop('time')[:-3]} {event.pop('process')} {event.pop('level').upper()} {event.pop('logger')}"
    text, trace = event.pop("event"), event.pop("exception", None)
    fields = "".join(f"  {key}={_in_one_line(value)}" for key, value in event.items())
    return f"{head}: {text}{fields}" + (f"\n{trace}" if trace else "")


def _in_one_line(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(letter in text for letter in " \n\t'\"") else text
