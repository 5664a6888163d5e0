"""YAML as written: plain data in which every scalar is the text of the file, and the line of every key.

YAML 1.1 reads ``10:20:30`` as a number and ``no`` as false; an inventory means neither, so the schema, not YAML,
decides what a scalar is. Aliases, duplicate keys, deep nesting and huge files are refused: settings and inventories
need none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from runtime.errors import DynsegError

MAX_CHARACTERS = 16 << 20
MAX_DEPTH = 16

Path = tuple[str | int, ...]
E = TypeVar("E", bound=DynsegError)
_NULLS = ("", "~", "null")
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True)
class Document:
    """A YAML text as data."""

    file: str
    data: Any
    """Mappings, lists, strings and None (for an empty value)."""
    lines: Mapping[Path, int]
    """1-based line of each key and list item."""

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of its nearest ancestor that the file does have."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def error(self, kind: type[E], path: Path, message: str, remedy: str | None = None) -> E:
        """An error about what stands at `path`, with its place."""
        return kind(message, file=self.file, line=self.line(path), key=dotted(path) or None, remedy=remedy)


def dotted(path: Path) -> str:
    """A path as people read it: `vms.web1.mac`."""
    return ".".join(map(str, path))


def read(text: str, file: str, error: type[DynsegError], longest: int = MAX_CHARACTERS) -> Document:
    """Read a YAML text of so many characters at most.

    Raises:
        error: not YAML, or YAML of a kind that is refused; names file, line and remedy.
    """
    if len(text) > longest:
        raise error(f"longer than {longest} characters", file=file, remedy="split it")
    try:
        _check_events(text, file, error)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as cause:
        raise _not_yaml(cause, text, file, error) from cause
    except yaml.YAMLError as cause:
        raise error(f"not YAML: {' '.join(str(cause).split())}", file=file) from cause
    lines: dict[Path, int] = {}
    data = None if root is None else _plain(root, (), lines, file, error)
    return Document(file, data, lines)


def _not_yaml(cause: yaml.MarkedYAMLError, text: str, file: str, error: type[DynsegError]) -> DynsegError:
    mark = cause.problem_mark or cause.context_mark
    line = None if mark is None else mark.line + 1
    if cause.problem == "but found another document":
        return error("a second document begins here", file=file, line=line, remedy="write one, without `---` in it")
    written = text.splitlines()[line - 1 : line] if line else []
    begins = written[0][: len(written[0]) - len(written[0].lstrip())] if written else ""
    remedy = "indent by spaces, not tabs" if "\t" in begins else None
    return error(f"not YAML: {cause.problem or cause.context}", file=file, line=line, remedy=remedy)


def _check_events(text: str, file: str, error: type[DynsegError]) -> None:
    """Refuse what could make a small text a huge or endless value, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            raise error(f"alias *{event.anchor} is not allowed", file=file, line=line, remedy="write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise error(f"nested deeper than {MAX_DEPTH} levels", file=file, line=line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _plain(node: yaml.Node, path: Path, lines: dict[Path, int], file: str, error: type[DynsegError]) -> Any:
    """The data below `node`; enters the line of everything it meets into `lines`."""
    lines.setdefault(path, _line(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, file, error)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, index), lines, file, error) for index, child in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    quoted = node.style in ("'", '"', "|", ">")
    return None if not quoted and node.value in _NULLS else node.value


def _line(marked: yaml.Node | yaml.Event) -> int:
    assert marked.start_mark is not None  # a text always has marks; only events made by hand have none
    return marked.start_mark.line + 1


def _mapping(
    node: yaml.MappingNode, path: Path, lines: dict[Path, int], file: str, error: type[DynsegError]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = _line(key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            raise error("a key must be a word", file=file, line=line)
        key = key_node.value
        inner = (*path, key)
        if key in result:
            raise error(
                f"given twice, first in line {lines[inner]}",
                file=file,
                line=line,
                key=dotted(inner),
                remedy="keep one of them",
            )
        lines[inner] = line
        result[key] = _plain(value_node, inner, lines, file, error)
    return result
