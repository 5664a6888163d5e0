"""Policies for common needs, to be filled in: `policies/templates/*.yaml`, each a text with its parameters."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from jinja2 import Environment, StrictUndefined, TemplateError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.terms import moment
from runtime import document
from runtime.errors import PolicyError
from runtime.validation import refusal
from topology.model import Inventory
from topology.names import nearest

FOLDER = Path(__file__).with_name("templates")
_VALUE = re.compile(r"[A-Za-z0-9:][A-Za-z0-9_.:/-]{0,126}")
"""Names, addresses, prefixes, numbers: nothing that could be more than a value in YAML."""


class ParameterDoc(BaseModel):
    """Something to be filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    default: str | None = None
    """None: it must be given."""


class TemplateDoc(BaseModel):
    """A template's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    parameters: Annotated[Mapping[str, ParameterDoc], Field()] = {}
    text: str
    """Jinja: parameters by name, `segments` (names of the inventory's), and `after(hours)`, a time from now."""


def names() -> tuple[str, ...]:
    """All templates."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str) -> TemplateDoc:
    """A template by its name.

    Raises:
        PolicyError: there is none.
    """
    if name not in names():
        raise PolicyError(f"no template {name!r}", remedy=nearest(name, names()))
    path = FOLDER / f"{name}.yaml"
    read = document.read(path.read_text(encoding="utf-8"), str(path), PolicyError)
    try:
        return TemplateDoc.model_validate(read.data)
    except ValidationError as error:
        raise refusal(
            error, read, PolicyError, lambda path: nearest(str(path[-1]), TemplateDoc.model_fields)
        ) from error


def fill(template: TemplateDoc, values: Mapping[str, str], inventory: Inventory, now: float | None = None) -> str:
    """The policy's text.

    Args:
        values: of parameters, by name.
        now: epoch seconds; None: the clock's.

    Raises:
        PolicyError: a parameter is missing, unknown, or no plain value.
    """
    for name, value in values.items():
        if name not in template.parameters:
            raise PolicyError(f"no parameter {name!r}", key="--set", remedy=nearest(name, template.parameters))
        if not _VALUE.fullmatch(value):
            message = f"{name}: {value!r} is no plain value"
            raise PolicyError(message, key="--set", remedy="write a name, address, prefix or number")
    known = {name: one.default for name, one in template.parameters.items()} | dict(values)
    if missing := [name for name, value in known.items() if value is None]:
        lines = "; ".join(f"{name}: {template.parameters[name].about}" for name in missing)
        raise PolicyError(f"to be filled in: {lines}", remedy=f"give --set {missing[0]}=VALUE")
    began = time.time() if now is None else now
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701 - YAML
    try:
        return environment.from_string(template.text).render(
            **known,
            segments=list(inventory.segments),
            after=lambda hours: moment(float(int(began + 3600 * float(hours)))),
        )
    except (TemplateError, ValueError) as error:
        raise PolicyError(f"cannot be filled in: {error}", remedy="look at the values that were given") from error
