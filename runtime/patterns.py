"""The patterns that payload may be searched for: a folder of YARA files, `NAME.yar`.

A consent names a file (`secrets`: all its rules) or one rule of it (`secrets:card_number`). The engine reads the folder
to check what a consent names, the analyzer to search; both by this module, so both mean the same. A file is known by
the SHA-256 of its bytes: what somebody has agreed to is that file, not what may stand under its name tomorrow.

Refused, because a rule could otherwise carry payload or other files elsewhere: `include`, and the module `console`,
which prints what it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import PatternError

SUFFIX = ".yar"
SEPARATOR = ":"
MOST_BYTES = 4 << 20
"""Of one file."""
_REMEDY = "see docs/payload.md for what a pattern file may hold"


@dataclass(frozen=True)
class PatternFile:
    """One file that compiles."""

    name: str
    """Without folder and suffix."""
    digest: str
    """SHA-256 of its bytes, hex."""
    rules: tuple[str, ...]
    compiled: Any
    """`yara_x.Rules`."""


def load(folder: Path | None, name: str) -> PatternFile:
    """Read and compile one file.

    Raises:
        PatternError: there is no such file, or it cannot be used; names file, line and remedy.
    """
    if folder is None:
        raise PatternError("there are no patterns", key="payload.patterns", remedy="name their folder in the settings")
    path = folder / (name + SUFFIX)
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as error:
        known = ", ".join(names(folder)) or "none"
        raise PatternError(f"cannot be read: {error.strerror}", file=path, remedy=f"files there: {known}") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PatternError(f"not UTF-8 at byte {error.start}", file=path, line=line, remedy=_REMEDY) from error
    if len(raw) > MOST_BYTES:
        raise PatternError(f"longer than {MOST_BYTES} bytes", file=path, remedy="split it")
    rules = tuple(_rules(path, text))
    if not rules:
        raise PatternError("holds no rule", file=path, remedy=_REMEDY)
    return PatternFile(name, hashlib.sha256(raw).hexdigest(), rules, _compile(path, text))


def names(folder: Path) -> tuple[str, ...]:
    """Names of the files in a folder; none where it cannot be read."""
    return tuple(sorted(path.stem for path in folder.glob(f"*{SUFFIX}")))


def split(pattern: str) -> tuple[str, str | None]:
    """(file, rule) that a consent's pattern means; no rule: all of the file."""
    file, _, rule = pattern.partition(SEPARATOR)
    return file, rule or None


def named(patterns: Iterable[str], read: Callable[[str], PatternFile]) -> dict[str, str]:
    """Digest of each file that patterns name, by its name.

    Raises:
        PatternError: a file cannot be used, or has no such rule.
    """
    found: dict[str, PatternFile] = {}
    for pattern in patterns:
        file, rule = split(pattern)
        found[file] = found.get(file) or read(file)
        if rule is not None and rule not in found[file].rules:
            known = ", ".join(found[file].rules)
            raise PatternError(f"{file}{SUFFIX} has no rule {rule!r}", key="patterns", remedy=f"its rules: {known}")
    return {name: file.digest for name, file in found.items()}


def _compile(path: Path, text: str) -> Any:
    compiler = _compiler()
    _add(compiler, path, text)
    ignored = [warning for warning in compiler.warnings() if warning["type"] == "IgnoredModule"]
    if ignored:
        message = "uses the module `console`, which would print what is searched"
        raise PatternError(message, file=path, line=ignored[0]["line"], remedy="take it out")
    return compiler.build()


def _rules(path: Path, text: str) -> Iterable[str]:
    """Names of the rules, as the compiler reads them: it is asked to complain of every name."""
    compiler = _compiler()
    compiler.max_warnings(len(text) + 1)
    compiler.allowed_rule_name("^$")
    _add(compiler, path, text)
    octets = text.encode()
    for warning in compiler.warnings():
        if warning["type"] == "InvalidRuleName":
            span = warning["labels"][0]["span"]
            yield octets[span["start"] : span["end"]].decode()


def _compiler() -> Any:
    import yara_x  # heavy; only who deals with patterns pays for it

    compiler = yara_x.Compiler()
    compiler.enable_includes(False)
    compiler.ignore_module("console")
    return compiler


def _add(compiler: Any, path: Path, text: str) -> None:
    import yara_x

    try:
        compiler.add_source(text, origin=path.name)
    except yara_x.CompileError as error:
        first = (compiler.errors() or [{}])[0]
        title = first.get("title") or str(error).splitlines()[0]
        raise PatternError(f"no YARA: {title}", file=path, line=first.get("line"), remedy=_REMEDY) from error
